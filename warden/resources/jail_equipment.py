# SPDX-License-Identifier: BSD-2-Clause
"""What a jail gets besides what Bastille gives it: parameters of jail(8), and folders of the host by nullfs(5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.facts.jails import JAILS
from warden.resources.commands import bastille, command
from warden.resources.jail_end import stop

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from warden.facts.model import BastilleJail, RegisteredAgent
    from warden.host.command import Command
    from warden.resources.desired import DesiredAgent, Mount, VnetJail

_IS_WHOLE = (
    'ifconfig -j "$1" -f inet:cidr | grep -qF "inet $2 " && route -j "$1" -n get default | grep -q "gateway: $3\\$"'
    ' || { echo "$1 has no address $2 or no default route by $3" >&2; exit 1; }'
)
# a jail whose fstab(5) names what is not there does not start again
_ARE_THERE = 'for f; do [ -d "$f" ] || { echo "there is no folder $f on the host" >&2; exit 1; }; done'
# the line of fstab(5) that mounts on a point takes the place of any other that does
_SET_MOUNT = """\
{ grep -vF " $2 " "$1" || [ $? -eq 1 ]; } > "$1.warden" && { [ -z "$3" ] || echo "$3" >> "$1.warden"; } &&
	mv -f "$1.warden" "$1" || { rm -f "$1.warden"; exit 1; }
"""
# what lies in a folder would be out of sight once something is mounted on it, and nobody would know
_FOLDERS = """\
for d; do
	mkdir -p "$d" || exit 1
	[ -z "$(ls -A "$d")" ] || { echo "$d is not empty: move what it holds to where it is to be kept" >&2; exit 1; }
done
"""


def is_whole(agent: DesiredAgent | RegisteredAgent, jail: VnetJail) -> Command:
    """Give the command that fails unless a jail has its address and its default route."""
    address = f"{jail.address}/{agent.subnet.prefixlen}"
    return command("/bin/sh", "-c", _IS_WHOLE, "sh", jail.name, address, str(agent.gateway))


def equip(
    agent: DesiredAgent | RegisteredAgent,
    jail: VnetJail,
    defined: BastilleJail | None = None,
    while_down: Sequence[Command] = (),
) -> Iterator[Command]:
    """Give the commands that let a running jail have its parameters and mounts.

    It is stopped before its definition changes: cut off here, it is seen to be down, and not to run with what it had.
    The folders are made from inside: on the host their paths could lead anywhere.
    """
    had = defined.mounts if defined is not None else {}
    targets = [mount.target for mount in jail.mounts if _fstab(jail, mount)[0] not in had]
    if targets:
        yield command("/bin/sh", "-c", _ARE_THERE, "sh", *(mount.source for mount in jail.mounts))
        yield command("/usr/sbin/jexec", "-l", "-U", "root", jail.name, "/bin/sh", "-c", _FOLDERS, "sh", *targets)
    yield from stop(jail.name)
    for name, value in jail.parameters.items():
        yield bastille("config", jail.name, "set", name, value)
    yield from (set_mount(jail, mount, _fstab(jail, mount)[1]) for mount in jail.mounts)
    yield from while_down
    yield bastille("start", jail.name)
    yield is_whole(agent, jail)


def _fstab(jail: VnetJail, mount: Mount) -> tuple[str, str]:
    """Give where a mount is on the host, and its line of fstab(5)."""
    point = f"{JAILS}/{jail.name}/root{mount.target}"
    return point, f"{mount.source} {point} nullfs {'rw' if mount.writable else 'ro'} 0 0"


def set_mount(jail: VnetJail, mount: Mount, line: str) -> Command:
    """Give the command that gives a mount point a line in the jail's fstab, or with '' none any more."""
    return command("/bin/sh", "-c", _SET_MOUNT, "sh", f"{JAILS}/{jail.name}/fstab", _fstab(jail, mount)[0], line)


def differs(jail: VnetJail, mount: Mount, defined: BastilleJail) -> bool:
    """Tell whether something else is to be mounted where a mount is wanted."""
    point, line = _fstab(jail, mount)
    return defined.mounts.get(point, line) != line


def lacks(jail: VnetJail, defined: BastilleJail) -> Iterator[str]:
    """Say what of its parameters and mounts a jail's definition lacks."""
    for name, value in jail.parameters.items():
        if defined.parameters.get(name) != value:
            yield f"{name} {defined.parameters.get(name, 'not set')} -> {value}"
    for mount in jail.mounts:
        point, line = _fstab(jail, mount)
        if defined.mounts.get(point) != line:
            yield f"{mount.source} not on its {mount.target} -> mounted there"


def unmounted(jail: VnetJail, mounted: frozenset[str]) -> Iterator[str]:
    """Say which of its mounts a jail that runs does not have; `mounted` are the host's mount points."""
    for mount in jail.mounts:
        if _fstab(jail, mount)[0] not in mounted:
            yield f"{mount.target} not mounted -> mounted"
