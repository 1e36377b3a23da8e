# SPDX-License-Identifier: BSD-2-Clause
"""What a doctor says: of each thing that it looked at whether it is well, what is wrong, and what mends it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from warden.host.command import Command

Status = Literal["ok", "warning", "failed"]

APPLY = "warden apply"
"""What mends all that Warden makes itself."""
GC = "warden gc"
"""What removes what is Warden's and nobody's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing of a host, or of the agent that is named.

    `mend` is the command that mends it, to be run on the host as root but for those of Warden's own; where no command
    does, it says what to do, and it is empty where nothing needs to be done.
    """

    status: Status
    subject: str
    message: str
    mend: str = ""
    agent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something that is wrong with what was looked at."""

    message: str
    mend: str
    status: Status = "failed"


def findings(subject: str, fine: str, troubles: Iterable[Trouble], agent: str | None = None) -> Iterator[Finding]:
    """Give a finding for each trouble of a thing, or one that says in which way it is fine where there is none."""
    well = True
    for trouble in troubles:
        well = False
        yield Finding(status=trouble.status, subject=subject, message=trouble.message, mend=trouble.mend, agent=agent)
    if well:
        yield Finding(status="ok", subject=subject, message=fine, agent=agent)


def by_hand(commands: Iterable[Command]) -> str:
    """Give commands as an operator types them: no paths of base programs, and without the locks that Warden takes.

    What needs more than can be typed, such as the content of a file, is left to an apply.
    """
    words = []
    for command in commands:
        if command.stdin or command.secret:
            return APPLY
        argv = command.argv[3:] if command.argv[0].endswith("/lockf") else command.argv
        words.append(shlex.join((argv[0].rpartition("/")[2], *argv[1:])))
    return " && ".join(words)
