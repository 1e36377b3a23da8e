# SPDX-License-Identifier: BSD-2-Clause
"""A machine over SSH: one connection, a channel with one `sh -s` for each batch, lanes as channels side by side."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from select import select
from typing import TYPE_CHECKING, Self

from warden.host.command import ENVIRONMENT, Result
from warden.host.errors import CommandTimeoutError, ConnectionLostError, HostError, HostUnreachableError
from warden.host.script import TIMED_OUT, Answers, Batch, make_script, make_session_script, new_boundary
from warden.host.ssh_channels import Channels
from warden.host.ssh_connect import close, connect
from warden.host.ssh_target import find_target

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paramiko import Channel

    from warden.host.address import Become
    from warden.host.command import Command, Host, Session
    from warden.host.ssh_connect import Ask

    OnResult = Callable[[Result], None] | None

_BECOME: dict[Become, str] = {"none": "", "sudo": "sudo -n ", "doas": "doas -n "}
_SHELL = " ".join(("/usr/bin/env -i", *(f"{name}={value}" for name, value in ENVIRONMENT.items()), "/bin/sh -s"))
_PIECE = 32 * 1024
_LOOK_EVERY = 1.0
"""Seconds between two looks at whether the host is still there."""
_GRACE = 30.0
"""Seconds beyond a command's limit after which the host itself is taken to hang."""
_SPARE_LANES = 4


class SshHost:
    """Runs commands on a machine over SSH, as root or, with `become`, through sudo(8) or doas(1)."""

    def __init__(
        self, address: str, *, become: Become = "none", ask: Ask | None = None, registers: bool = False
    ) -> None:
        self.address = address
        self._become = become
        self._ask = _asked_once(ask) if ask is not None else None
        self._registers = registers
        self._way = connect(find_target(address), self._ask)
        self._channels = Channels(self._way[0], _BECOME[become] + _SHELL)

    def run(self, batch: Sequence[Command], *, stop_on_error: bool = True, on_result: OnResult = None) -> list[Result]:
        """Run the commands in order; see `Host.run`."""
        if not batch:
            return []
        return self._converse([Batch(commands=batch, stops=stop_on_error)], on_result)[0]

    def run_lanes(
        self, lanes: Sequence[Sequence[Sequence[Command]]], *, on_result: OnResult = None
    ) -> list[list[list[Result]]]:
        """Run every lane over a channel of its own; see `Host.run_lanes`."""
        if not lanes:
            return []
        telling = threading.Lock()

        def tell(result: Result) -> None:
            with telling:
                if on_result is not None:
                    on_result(result)

        def run_lane(lane: Sequence[Sequence[Command]]) -> list[list[Result]]:
            return self._converse([Batch(commands=batch, stops=True) for batch in lane], tell)

        with ThreadPoolExecutor(max_workers=len(lanes)) as threads:
            running = [threads.submit(run_lane, lane) for lane in lanes]
            try:
                errors = [error for lane in running if (error := lane.exception()) is not None]
            except BaseException:
                self.close()  # the lanes end with their connection, and nobody waits for them
                raise
        _raise_worst(errors, [lane.result() for lane in running if lane.exception() is None])
        return [lane.result() for lane in running]

    def open(self, command: Command) -> Session:
        """Start a command that stays; see `Host.open`."""
        channel = self._channels.take(stays=True)
        # whoever keeps a command open is about to change the host: the channels for it open meanwhile
        self._channels.keep_ready(_SPARE_LANES)
        self._registers = True
        return SshSession(self, command, channel)

    def reopen(self) -> Host:
        """Connect once more; see `Host.reopen`."""
        return SshHost(self.address, become=self._become, ask=self._ask, registers=self._registers)

    def close(self) -> None:
        """Close the connection, and those that it goes through."""
        self._channels.close()
        close(self._way)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _converse(self, batches: Sequence[Batch], on_result: OnResult) -> list[list[Result]]:
        """Send the script of some batches over a channel, and take what comes back."""
        boundary = new_boundary()
        answers = Answers(batches, boundary)
        if answers.complete:
            return answers.results
        try:
            channel = self._channels.take()
        except HostUnreachableError as error:
            raise ConnectionLostError(str(error), ran=[], unknown=[], not_run=answers.waiting) from error
        sender = _Sender(channel, list(make_script(batches, boundary, registers=self._registers)))
        try:
            sender.start()
            self._listen(channel, answers, sender, on_result)
        finally:
            self._channels.give_back(channel)
        return answers.results

    def _listen(self, channel: Channel, answers: Answers, sender: _Sender, on_result: OnResult) -> None:
        while True:
            ended = channel.eof_received or channel.closed
            if not ended:
                select([channel], [], [], _LOOK_EVERY)
            for result in _receive(channel, answers):
                if on_result is not None:
                    on_result(result)
                _check_time(result)
            if answers.complete:
                return
            if ended:
                raise self._ended(channel, answers, sender)
            if not self._channels.alive():
                self.close()
            self._check_patience(answers)

    def _check_patience(self, answers: Answers) -> None:
        command = answers.current
        if command is None or command.timeout is None or time.monotonic() - answers.since < command.timeout + _GRACE:
            return
        raise CommandTimeoutError(
            f"{self.address} does not answer, {_GRACE:g} s after the time of {command} was up",
            hint="see whether the host is stuck, then apply again",
        )

    def _ended(self, channel: Channel, answers: Answers, sender: _Sender) -> HostError:
        """Say why a shell ended before its script."""
        channel.status_event.wait(_LOOK_EVERY)
        if not answers.begun and channel.exit_status >= 0:
            said = answers.stray.decode("utf-8", "replace").strip()
            how = f"{self._become} gives no root shell" if self._become != "none" else "there is no shell"
            return HostError(f"{self.address}: {how}: exit {channel.exit_status}: {said}", hint=_HINTS[self._become])
        waiting = answers.waiting
        sent = max(0, sender.begun - (sender.commands - len(waiting)))
        at = f" at: {answers.current}" if answers.current is not None else ""
        return ConnectionLostError(
            f"the connection to {self.address} broke{at}",
            ran=[result for batch in answers.results for result in batch],
            unknown=waiting[:sent],
            not_run=waiting[sent:],
        )


_HINTS: dict[Become, str] = {
    "none": "log in with ssh: does the user's shell take a command?",
    "sudo": "sudo -n must work there without a password: a line in sudoers(5) with NOPASSWD",
    "doas": "doas -n must work there without a password: a line in doas.conf(5) with nopass",
}


def _asked_once(ask: Ask) -> Ask:
    """Keep what was answered: a connection that is made in the middle of an apply has no time to ask again."""
    answers: dict[str, str | None] = {}

    def asked(prompt: str) -> str | None:
        if prompt not in answers:
            answers[prompt] = ask(prompt)
        return answers[prompt]

    return asked


class _Sender(threading.Thread):
    """Sends a script while its answers are read: either side may have to wait for the other.

    `begun` counts the commands that may have reached the host: the others certainly did not.
    """

    def __init__(self, channel: Channel, pieces: list[bytes]) -> None:
        super().__init__(daemon=True, name="warden-ssh-sender")
        self._channel = channel
        self._pieces = pieces
        self.commands = len(pieces) - 1  # the first piece is the prologue
        self.begun = 0

    def run(self) -> None:
        """Send the pieces, a few small ones together, and end the shell's input."""
        with suppress(OSError):  # the reader finds out, and knows more
            together = bytearray()
            for number, piece in enumerate(self._pieces):
                together += piece
                if len(together) >= _PIECE:
                    self._send(together, number)
                    together.clear()
            self._send(together, self.commands)
            self._channel.shutdown_write()

    def _send(self, data: bytearray, begun: int) -> None:
        self.begun = begun
        for start in range(0, len(data), _PIECE):  # sendall copies what is left each time: no more than a piece of it
            self._channel.sendall(bytes(data[start : start + _PIECE]))


class SshSession:
    """A command on the host that stays for as long as its channel is open."""

    def __init__(self, host: SshHost, command: Command, channel: Channel) -> None:
        self._command = command
        self._channel = channel
        self._started = time.monotonic()
        boundary = new_boundary()
        try:
            channel.sendall(make_session_script(command, boundary))
        except OSError as error:
            raise _lost_at(host, command) from error
        self._output = bytearray()
        while (line := self._first_line(boundary.encode())) is None:
            data = channel.recv(_PIECE)
            if not data:
                break
            self._output += data
        if line is None:
            channel.status_event.wait(_LOOK_EVERY)
            if channel.exit_status < 0:  # it did not end: it was cut off
                raise _lost_at(host, command)
        self.greeting = line or b""

    def _first_line(self, boundary: bytes) -> bytes | None:
        _, found, after = bytes(self._output).partition(boundary)
        line, newline, _ = after.partition(b"\n")
        return line if found and newline else None

    @property
    def ended(self) -> bool:
        """Tell whether the command is over, or the way to it."""
        return bool(self._channel.eof_received or self._channel.closed)

    def send(self, data: bytes) -> None:
        """Send something to its standard input; where it is over, to nobody."""
        with suppress(OSError):
            self._channel.sendall(data)

    def close(self) -> Result:
        """End its standard input, wait for it, and give its result; 255 where the connection broke before."""
        with suppress(OSError):
            self._channel.shutdown_write()
            while data := self._channel.recv(_PIECE):
                self._output += data
        self._channel.status_event.wait(_LOOK_EVERY)
        status = self._channel.exit_status
        self._channel.close()
        return Result(
            command=self._command,
            exit_code=status if status >= 0 else 255,
            stdout=bytes(self._output),
            seconds=time.monotonic() - self._started,
        )


def _receive(channel: Channel, answers: Answers) -> list[Result]:
    """Take everything that is there already."""
    ended: list[Result] = []
    while channel.recv_ready():
        ended += answers.take_output(channel.recv(_PIECE))
    while channel.recv_stderr_ready():
        ended += answers.take_error(channel.recv_stderr(_PIECE))
    return ended


def _check_time(result: Result) -> None:
    limit = result.command.timeout
    if limit is not None and (
        result.exit_code == TIMED_OUT or (result.exit_code == _KILLED and result.seconds >= limit)
    ):
        raise CommandTimeoutError(
            f"{result.command} did not end within {limit:g} s, and was ended",
            hint="see on the host whether it is stuck, then apply again",
        )


_KILLED = 128 + 9


def _lost_at(host: SshHost, command: Command) -> ConnectionLostError:
    return ConnectionLostError(
        f"the connection to {host.address} broke at: {command}", ran=[], unknown=[command], not_run=[]
    )


def _raise_worst(errors: Sequence[BaseException], done: Sequence[list[list[Result]]]) -> None:
    """Raise what ended some lanes: one account of a lost connection for all of them, else the first error."""
    lost = [error for error in errors if isinstance(error, ConnectionLostError)]
    others = [error for error in errors if not isinstance(error, ConnectionLostError)]
    if others:
        raise others[0]
    if lost:
        raise ConnectionLostError(
            str(lost[0]),
            ran=[
                *(result for lane in done for batch in lane for result in batch),
                *(result for error in lost for result in error.ran),
            ],
            unknown=[command for error in lost for command in error.unknown],
            not_run=[command for error in lost for command in error.not_run],
        )
