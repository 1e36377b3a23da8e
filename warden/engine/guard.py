# SPDX-License-Identifier: BSD-2-Clause
"""The guard of pf's rules: new ones are loaded, and taken back by the host itself unless it answers a new connection.

What a boot reads stays as it was until then: a host that is restarted in between comes up with the old rules. The job
that takes them back runs under daemon(8) on the host, so it does not matter what becomes of the controller.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from warden.facts.doctor import GUARDS
from warden.host.command import Command
from warden.host.script import shell_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from warden.resources.change import Change

PATIENCE = 30
"""Seconds that the host waits for the proof."""

# a job that was armed before, by an apply that is gone, would take back what is loaded now: it is called off
_ARM = (
    f'umask 077; rm -f {GUARDS}*; cat > "$1" && exec /usr/sbin/daemon -f /bin/sh -c'
    """ 'sleep "$1"; [ ! -e "$2" ] || exec /bin/sh "$2"' sh "$2" "$1\""""
)
_WAIT = 'while [ -e "$1" ]; do sleep 1; done'


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job on the host that runs the rollback of some changes: its script, which is there as long as it is armed."""

    path: str
    script: bytes

    @property
    def arm(self) -> Command:
        """The command that starts it; to be run before the changes."""
        return Command(argv=("/bin/sh", "-c", _ARM, "sh", self.path, str(PATIENCE)), stdin=self.script)

    @property
    def call_off(self) -> Command:
        """The command that calls it off; exits 1 where it has run already."""
        return Command(argv=("/bin/rm", self.path))

    @property
    def run_now(self) -> Command:
        """The command that does its work at once."""
        return Command(argv=("/bin/sh", self.path))

    @property
    def wait(self) -> Command:
        """The command that waits until it is over."""
        return Command(argv=("/bin/sh", "-c", _WAIT, "sh", self.path), timeout=2 * PATIENCE)


def job_for(changes: Sequence[Change]) -> Job | None:
    """Give the job that takes these changes back, the last one first; None where none of them needs one."""
    guards = [change.guard for change in changes if change.guard is not None]
    if not guards:
        return None
    lines = ['rm "$0" || exit 0']  # whoever removes it first has the word: the proof, or the job
    lines += [shell_line(command) for guard in reversed(guards) for command in guard.rollback]
    return Job(path=f"{GUARDS}{secrets.token_hex(8)}", script="".join(f"{line}\n" for line in lines).encode())
