# SPDX-License-Identifier: BSD-2-Clause
"""What passes through the door: commands in, results out."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ENVIRONMENT = {
    "PATH": "/sbin:/bin:/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin",
    "LC_ALL": "C.UTF-8",
    "HOME": "/root",
}
"""The environment of every command, whatever the operator's own shell has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command for a host.

    `argv` is never a shell string; `stdin` is all that the command can read, in bytes; `secret` keeps argv and
    stdin out of everything that people read; `timeout` is in seconds, None for no limit.
    """

    argv: tuple[str, ...]
    stdin: bytes = b""
    secret: bool = False
    timeout: float | None = None

    def __post_init__(self) -> None:
        if not self.argv or not self.argv[0]:
            raise ValueError("a command needs a name")
        if any("\0" in word for word in self.argv):
            raise ValueError("no argument of a command can hold a NUL byte")

    def __str__(self) -> str:
        """Give the command as a person would type it, or its name only where the rest is secret."""
        if self.secret:
            return f"{shlex.quote(self.argv[0])} (arguments kept secret)"
        return shlex.join(self.argv)

    __repr__ = __str__


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a command answered: exit status, both outputs as bytes, and how long it took in seconds."""

    command: Command
    exit_code: int
    stdout: bytes = b""
    stderr: bytes = b""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Tell whether the exit status is 0."""
        return self.exit_code == 0


class Session(Protocol):
    """A command that goes on while others run; what it reads on standard input is this session's to send."""

    @property
    def greeting(self) -> bytes:
        """The first line that the command wrote, without its newline; empty if it ended before."""

    @property
    def ended(self) -> bool:
        """Tell whether the command is over, by itself or because the connection broke."""

    def send(self, data: bytes) -> None:
        """Send something to the command's standard input; harmless when it is over."""

    def close(self) -> Result:
        """End the command's standard input, wait for it, and give its result."""


class Host(Protocol):
    """A machine that runs commands: the one door through which Warden reaches it.

    `on_result` is called for every command as soon as its result is known.
    """

    @property
    def address(self) -> str:
        """The address as the operator gave it."""

    def run(
        self,
        batch: Sequence[Command],
        *,
        stop_on_error: bool = True,
        on_result: Callable[[Result], None] | None = None,
    ) -> list[Result]:
        """Run the commands in order, in one round trip.

        Gives the results of those that ran: fewer than were asked for when `stop_on_error` is set and one exited
        non-zero, which is then the last. Raises ConnectionLostError when the connection breaks inside the batch.
        """

    def run_lanes(
        self, lanes: Sequence[Sequence[Sequence[Command]]], *, on_result: Callable[[Result], None] | None = None
    ) -> list[list[list[Result]]]:
        """Run lanes side by side in one round trip; a lane is several batches, one after the other.

        A command that fails ends its own batch only. Gives the results by lane and batch.
        """

    def open(self, command: Command) -> Session:
        """Start a command that stays, and wait for its first line."""

    def reopen(self) -> Host:
        """Give the same machine over a new connection, as somebody would who comes to it now.

        Raises HostUnreachableError where it takes none any more.
        """

    def close(self) -> None:
        """Let go of the host; harmless when done twice."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...
