# SPDX-License-Identifier: BSD-2-Clause
"""What a plan is made of: changes, and what stands in their way."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from warden.host.command import Command

Action = Literal["+", "~", "-"]


class Stage(IntEnum):
    """When a change is carried out: host-wide ones first, then the agents' lanes, then what must come after them."""

    FIRST = 1
    AGENT = 2
    LAST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What keeps a change of pf's rules from locking anybody out.

    The change's own commands load the new rules and leave the files that a boot reads as they are. `settle` makes them
    last, once the host has answered over a new connection; `rollback` is what the host runs by itself if it has not.
    """

    settle: tuple[Command, ...]
    rollback: tuple[Command, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One step from what a host has to what is wanted.

    `kind` and `name` identify it (`jail`, `atlasgit`); `agent` is whose it is, None for the host's own. `detail`
    says what it will be, `reason` why it is so or what it brings about. The commands are complete: nothing is left
    to decide when they are run, and each may be run again after a cut-off.
    """

    kind: str
    name: str
    action: Action
    stage: Stage
    commands: tuple[Command, ...]
    agent: str | None = None
    detail: str = ""
    reason: str = ""
    guard: Guard | None = None

    @property
    def id(self) -> str:
        """The change's name among all of a plan: `jail:atlasgit`."""
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """Something that Warden does not own stands where a change would go; nothing is applied until it is settled.

    `replaceable` says that `--replace` with its id makes a plan that takes it away.
    """

    kind: str
    name: str
    message: str
    hint: str
    agent: str | None = None
    replaceable: bool = False

    @property
    def id(self) -> str:
        """The name by which an operator gives it up: `jail:atlasgit`."""
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A remark for whoever reads the plan: nothing is changed for it."""

    message: str
    agent: str | None = None


Finding = Change | Conflict | Note
