# SPDX-License-Identifier: BSD-2-Clause
"""How a batch crosses a byte stream: one script for `sh -s`, and the answers that come back between boundaries.

The script needs nothing but what is built into FreeBSD's sh(1): no temporary file, no process besides the commands'
own. Behind every command's standard output and error the shell writes a boundary of random bytes that no command can
know, so that output of any bytes and any size passes through as it comes, and the reader learns of each command as
soon as it ends. This is the one place where argv becomes words of a shell.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from warden.host.command import Result

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from warden.host.command import Command

TIMED_OUT = 124
"""timeout(1) exits so when the time was up."""

RUNNING = "/var/run/warden.batches"
"""Where the shells that run batches of an apply write their process ids."""

_KILL_AFTER = 5
"""Seconds that a command has to end by itself, once its time is up."""

# `f` ends a command's output. `k` is set once a command failed whose batch then ends. The shell's own remarks, as on a
# child that was killed, are no output of any command: they go to /dev/null. Where the reader has gone, the shell goes.
_PROLOGUE = """\
exec 3>&2 2>/dev/null
f(){{ c=$?;printf '{boundary}%d;' $c&&printf '{boundary};'>&3||exit;}}
s(){{ f;[ $c = 0 ]||k=1;}}
:;f
"""

_OCTAL = {ord("\0"): r"\000", ord("%"): "%%", ord("\\"): r"\134", ord("'"): r"\047"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Commands that run in order; with `stops` the first that exits non-zero is the last."""

    commands: Sequence[Command]
    stops: bool


def new_boundary() -> str:
    """Make what stands behind each output: 128 random bits, as a word of the shell's."""
    return secrets.token_hex(16)


def make_script(batches: Sequence[Batch], boundary: str, *, registers: bool = False) -> Iterator[bytes]:
    """Write the script, a piece for the beginning and one for each command.

    With `registers` the shell first writes its process id into RUNNING, for a command that stays and has to know
    whether a batch still runs although nobody listens any more.
    """
    register = f"echo $$ >> {RUNNING}\n" if registers else ""
    yield (_PROLOGUE.format(boundary=boundary) + register).encode()
    for batch in batches:
        lead = b"k=\n"
        for command in batch.commands:
            yield lead + b'[ "$k" ]||{ ' + _run(command) + (b";s;}\n" if batch.stops else b";f;}\n")
            lead = b""


def make_session_script(command: Command, boundary: str) -> bytes:
    """Write the script for a command that stays: it takes the shell's place, and its standard input."""
    return f"printf '{boundary}'\n".encode() + b"exec " + _words(command) + b" 2>&1\n"


def shell_line(command: Command) -> str:
    """Give a command without input as a line for a script that a host is to keep."""
    return _words(command).decode("utf-8", "surrogateescape")


def _run(command: Command) -> bytes:
    # `exec`, so that a builtin, a function or an alias of the shell's never stands in for the program
    program = b"exec " + _words(command) + b" 2>&3 3>&-"
    if not command.stdin:
        return b"(" + program + b")</dev/null"
    return b"printf -- '" + _format(command.stdin) + b"'|" + program


def _words(command: Command) -> bytes:
    argv = command.argv
    if command.timeout is not None:
        argv = ("timeout", "-k", str(_KILL_AFTER), f"{command.timeout:g}", *argv)
    return b" ".join(_quote(word) for word in argv)


def _quote(word: str) -> bytes:
    return b"'" + word.encode("utf-8", "surrogateescape").replace(b"'", b"'\\''") + b"'"


def _format(data: bytes) -> bytes:
    """Write bytes as a format of printf(1) in single quotes: the few that mean something there as octal numbers."""
    return data.decode("latin-1").translate(_OCTAL).encode("latin-1")


@dataclass(slots=True)
class _Stream:
    """One of the two outputs: what came since the last boundary, and how much of it holds none."""

    pending: bytearray = field(default_factory=bytearray)
    seen: int = 0


class Answers:
    """Takes what comes back over the two outputs, and gives a result for each command that has ended.

    `complete` tells that everything that was to come has come.
    """

    def __init__(self, batches: Sequence[Batch], boundary: str) -> None:
        self._boundary = boundary.encode()
        self._waiting = [list(batch.commands) for batch in batches]
        self._stops = [batch.stops for batch in batches]
        self._results: list[list[Result]] = [[] for _ in batches]
        self._out = _Stream()
        self._err = _Stream()
        self._outputs: list[tuple[bytes, int]] = []
        self._errors: list[bytes] = []
        self._begun = False
        self._at = 0
        self._since = time.monotonic()
        self._skip_empty()

    @property
    def begun(self) -> bool:
        """Tell whether the shell has said anything: until then no command has run."""
        return self._begun

    @property
    def complete(self) -> bool:
        """Tell whether every command that was to run has answered."""
        return self._at == len(self._waiting)

    @property
    def results(self) -> list[list[Result]]:
        """The results so far, by batch."""
        return self._results

    @property
    def waiting(self) -> list[Command]:
        """The commands that have not answered, and still may."""
        return [command for commands in self._waiting[self._at :] for command in commands]

    @property
    def current(self) -> Command | None:
        """The command that is to answer next."""
        return self._waiting[self._at][0] if not self.complete else None

    @property
    def since(self) -> float:
        """When the last command answered, by the monotonic clock."""
        return self._since

    @property
    def stray(self) -> bytes:
        """What came and belongs to no answer: what a shell that never began has said."""
        return bytes(self._err.pending + self._out.pending)

    def take_output(self, data: bytes) -> list[Result]:
        """Take a piece of standard output."""
        self._out.pending += data
        while (at := self._find(self._out)) >= 0:
            after = at + len(self._boundary)
            end = self._out.pending.find(b";", after)
            if end < 0:
                break
            self._outputs.append((bytes(self._out.pending[:at]), int(self._out.pending[after:end])))
            del self._out.pending[: end + 1]
        return self._match()

    def take_error(self, data: bytes) -> list[Result]:
        """Take a piece of standard error."""
        self._err.pending += data
        while (at := self._find(self._err)) >= 0:
            end = at + len(self._boundary)
            if end == len(self._err.pending):
                break
            self._errors.append(bytes(self._err.pending[:at]))
            del self._err.pending[: end + 1]
        return self._match()

    def _find(self, stream: _Stream) -> int:
        at = stream.pending.find(self._boundary, stream.seen)
        stream.seen = 0 if at >= 0 else max(0, len(stream.pending) - len(self._boundary) + 1)
        return at

    def _match(self) -> list[Result]:
        """Bring together what both outputs have of a command."""
        ended = []
        while self._outputs and self._errors:
            (stdout, status), stderr = self._outputs.pop(0), self._errors.pop(0)
            if not self._begun:
                self._begun = True  # the first boundary ends what a login shell had to say
                self._since = time.monotonic()
                continue
            now = time.monotonic()
            command = self._waiting[self._at].pop(0)
            result = Result(command=command, exit_code=status, stdout=stdout, stderr=stderr, seconds=now - self._since)
            self._since = now
            self._results[self._at].append(result)
            if status != 0 and self._stops[self._at]:
                self._waiting[self._at].clear()
            self._skip_empty()
            ended.append(result)
        return ended

    def _skip_empty(self) -> None:
        while not self.complete and not self._waiting[self._at]:
            self._at += 1
