# SPDX-License-Identifier: BSD-2-Clause
"""The door to the fake machine."""

from __future__ import annotations

import gc
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

import warden.host.fake.programs  # noqa: F401 - importing it registers every program
from warden.host.command import ENVIRONMENT, Command, Result
from warden.host.errors import CommandTimeoutError, ConnectionLostError, HostError, HostUnreachableError
from warden.host.fake.faults import Faults
from warden.host.fake.operator import takes_ssh
from warden.host.fake.processes import catch_up
from warden.host.fake.program import Call, Reply, UnsupportedError, run_program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from warden.host.command import Host, Session
    from warden.host.fake.machine import Machine
    from warden.host.fake.store import Grip, Store

    OnResult = Callable[[Result], None] | None
    Lanes = Sequence[list[tuple[int, list[Command]]]]

ALREADY_LOCKED = 75


class FakeUnsupportedError(HostError):
    """The fake host was asked for a command form that it does not know, and will not pretend to."""


class FakeHost:
    """A FreeBSD machine that is not there. Commands of parallel lanes take effect one at a time, in turn.

    With `ages` its time passes between commands as ours does, for what waits on the machine; else commands alone take
    time there.
    """

    def __init__(self, address: str, store: Store, faults: Faults | None = None, *, ages: bool = False) -> None:
        self.address = address
        self._ages = ages
        self._store = store
        self._faults = faults if faults is not None else Faults()
        self._turn = threading.Lock()
        self.batches = 0
        """How many round trips were made, for whoever counts them."""

    def run(self, batch: Sequence[Command], *, stop_on_error: bool = True, on_result: OnResult = None) -> list[Result]:
        """Run the commands in order; see `Host.run`."""
        results: list[Result] = []
        with self._lend() as machine:
            self._round_trip()
            waiting = iter(batch)
            for command in waiting:
                results.append(self._execute(machine, command, results, lambda: list(waiting)))
                if on_result is not None:
                    on_result(results[-1])
                if stop_on_error and not results[-1].ok:
                    break
        return results

    def run_lanes(
        self, lanes: Sequence[Sequence[Sequence[Command]]], *, on_result: OnResult = None
    ) -> list[list[list[Result]]]:
        """Run the lanes side by side: one command of each in turn; see `Host.run_lanes`."""
        results: list[list[list[Result]]] = [[[] for _ in lane] for lane in lanes]
        pending = [[(number, list(batch)) for number, batch in enumerate(lane)] for lane in lanes]
        ran: list[Result] = []
        with self._lend() as machine:
            self._round_trip()
            while any(pending):
                for lane, batches in enumerate(pending):
                    while batches and not batches[0][1]:
                        batches.pop(0)
                    if not batches:
                        continue
                    number, commands = batches[0]
                    command = commands.pop(0)
                    result = self._execute(machine, command, ran, lambda: _waiting(pending))
                    ran.append(result)
                    results[lane][number].append(result)
                    if on_result is not None:
                        on_result(result)
                    if not result.ok:
                        commands.clear()
        return results

    def open(self, command: Command) -> Session:
        """Start a command that stays. The fake knows one: lockf(1) around something that reads its input."""
        path, inner = _lockf(command.argv)
        self._round_trip()
        grip = self._store.grip(path)
        if grip is None:
            return FakeSession(Result(command=command, exit_code=ALREADY_LOCKED), None)
        try:
            with self._lend() as machine:
                reply = self._reply(machine, Command(argv=inner, stdin=command.stdin))
        except BaseException:
            grip.release()
            raise
        return FakeSession(_result(command, reply), grip)

    def takes_connections(self) -> bool:
        """Tell whether pf lets a new connection to sshd in."""
        with self._lend() as machine:
            return takes_ssh(machine)

    def reopen(self) -> Host:
        """Give the machine again, if its pf lets a new connection in; see `Host.reopen`."""
        if not self.takes_connections():
            raise HostUnreachableError(f"{self.address}: no connection: nobody answered in time")
        return self

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @contextmanager
    def _lend(self) -> Iterator[Machine]:
        """Lend the machine to one caller at a time.

        The search for cyclic garbage rests meanwhile: commands make next to none, and each search would walk all the
        files of all the jails.
        """
        collecting = gc.isenabled()
        gc.disable()
        try:
            with self._turn, self._store.machine() as machine:
                if self._ages:
                    catch_up(machine, time.time())
                yield machine
                if self._ages:
                    catch_up(machine, time.time())
        finally:
            if collecting:
                gc.enable()

    def _round_trip(self) -> None:
        self.batches += 1
        if self._faults.latency:
            time.sleep(self._faults.latency)

    def _execute(
        self,
        machine: Machine,
        command: Command,
        ran: Sequence[Result],
        not_run: Callable[[], Sequence[Command]],
    ) -> Result:
        fault = self._faults.next(command)
        if fault == "drop-before":
            raise self._lost(ran, command, not_run())
        if fault == "hang":
            raise self._hung(command)
        if fault == "fail":
            refused = f"{command.argv[0]}: failed, as the fake host was told to\n"
            return Result(command=command, exit_code=1, stderr=refused.encode())
        result = _result(command, self._reply(machine, command))
        if fault == "drop-after":
            raise self._lost(ran, command, not_run())
        return result

    def _lost(self, ran: Sequence[Result], unknown: Command, not_run: Sequence[Command]) -> ConnectionLostError:
        return ConnectionLostError(
            f"the connection to {self.address} broke at: {unknown}", ran=ran, unknown=[unknown], not_run=not_run
        )

    def _hung(self, command: Command) -> HostError:
        """Give what becomes of a command that never returns; nobody is made to wait for it."""
        if command.timeout is not None:
            return _too_long(command, command.timeout)
        return HostError(
            f"the fake host {self.address} hangs, as it was told to, at: {command}",
            hint="a real host would keep Warden waiting: this command has no time limit",
        )

    def _reply(self, machine: Machine, command: Command) -> Reply:
        began = machine.clock
        try:
            with self._faults.imposed(machine):
                reply = run_program(Call(machine, command.argv, command.stdin, dict(ENVIRONMENT)))
        except UnsupportedError as error:
            raise FakeUnsupportedError(
                f"the fake host {self.address} does not know this form of a command: {error.form}",
                hint="docs/fake-host.md lists the forms that it knows",
            ) from error
        if command.timeout is not None and machine.clock - began > command.timeout:
            raise _too_long(command, command.timeout)
        return reply


class FakeSession:
    """A command of the fake machine that stays until it is closed, and the lock that it holds meanwhile."""

    def __init__(self, result: Result, grip: Grip | None) -> None:
        self._result = result
        self._grip = grip
        self.greeting = result.stdout.partition(b"\n")[0]

    @property
    def ended(self) -> bool:
        """Tell whether the command is over: one that holds a lock stays."""
        return self._grip is None

    def send(self, data: bytes) -> None:
        """Throw it away: what the fake keeps open reads nothing that matters."""

    def close(self) -> Result:
        """Let go of the lock."""
        if self._grip is not None:
            self._grip.release()
        return self._result


def _waiting(pending: Lanes) -> list[Command]:
    """Give the commands of lanes that have not had their turn."""
    return [command for lane in pending for _, commands in lane for command in commands]


def _result(command: Command, reply: Reply) -> Result:
    return Result(command=command, exit_code=reply.exit_code, stdout=reply.stdout, stderr=reply.stderr)


def _too_long(command: Command, limit: float) -> CommandTimeoutError:
    return CommandTimeoutError(f"{command} did not end within {limit:g} s")


def _lockf(argv: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Take `lockf [-ks] [-t 0] FILE COMMAND...` apart into the file and the command."""
    words = list(argv[1:])
    if argv[0].rpartition("/")[2] == "lockf":
        while words and words[0].startswith("-"):
            option = words.pop(0)
            if option == "-t":
                words.pop(0)
    if len(words) < 2 or argv[0].rpartition("/")[2] != "lockf":  # a file and a command
        raise FakeUnsupportedError("the fake host keeps no command open but lockf")
    return words[0], tuple(words[1:])
