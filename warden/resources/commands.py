# SPDX-License-Identifier: BSD-2-Clause
"""Commands that several kinds of resources send, with FreeBSD's absolute paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.host.command import Command

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

WARDEN = "/usr/local/etc/warden"
BASTILLE_LOCK = "/var/run/warden-bastille.lock"
RC_CONF_LOCK = "/var/run/warden-rc.conf.lock"


def command(*argv: str) -> Command:
    """Give a command without input."""
    return Command(argv=argv)


def one_at_a_time(lock: str, *argv: str) -> Command:
    """Give a command that waits until no other of Warden's holds the same lock: lockf(1)."""
    return command("/usr/bin/lockf", "-k", lock, *argv)


def bastille(*argv: str) -> Command:
    """Give a command of Bastille's; two of them at once on a host tread on each other's files in /tmp."""
    return one_at_a_time(BASTILLE_LOCK, "/usr/local/bin/bastille", *argv)


def sysrc_set(values: Mapping[str, str]) -> Command:
    """Give the command that sets variables of rc.conf; sysrc takes no lock of its own, and would lose an edit."""
    return one_at_a_time(RC_CONF_LOCK, "/usr/sbin/sysrc", *(f"{name}={value}" for name, value in values.items()))


def sysrc_remove(names: Iterable[str]) -> Command:
    """Give the command that removes rc.conf variables, all of which must be there."""
    return one_at_a_time(RC_CONF_LOCK, "/usr/sbin/sysrc", "-x", *names)


def remove_file(path: str) -> Command:
    """Give the command that removes a file, if it is there."""
    return command("/bin/rm", "-f", path)
