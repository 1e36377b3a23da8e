# SPDX-License-Identifier: BSD-2-Clause
"""The machine that Warden runs on: `local`."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from tempfile import TemporaryFile
from threading import Lock
from typing import IO, TYPE_CHECKING, Self

from warden.host.command import ENVIRONMENT, Command, Result
from warden.host.errors import CommandTimeoutError, HostError
from warden.host.script import RUNNING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from warden.host.command import Host, Session

NOT_FOUND = 127
NOT_EXECUTABLE = 126


class LocalHost:
    """Runs commands as processes of this machine, each with the fixed environment and nothing else."""

    address = "local"

    def __init__(self, *, registers: bool = False) -> None:
        self._registers = registers

    def run(
        self,
        batch: Sequence[Command],
        *,
        stop_on_error: bool = True,
        on_result: Callable[[Result], None] | None = None,
    ) -> list[Result]:
        """Run the commands in order; see `Host.run`. Raises CommandTimeoutError when one exceeds its limit."""
        results: list[Result] = []
        for command in batch:
            results.append(_execute(command, registers=self._registers))
            if on_result is not None:
                on_result(results[-1])
            if stop_on_error and not results[-1].ok:
                break
        return results

    def run_lanes(
        self, lanes: Sequence[Sequence[Sequence[Command]]], *, on_result: Callable[[Result], None] | None = None
    ) -> list[list[list[Result]]]:
        """Run every lane in a thread of its own; see `Host.run_lanes`."""
        told = Lock()

        def tell(result: Result) -> None:
            with told:
                if on_result is not None:
                    on_result(result)

        def run_lane(lane: Sequence[Sequence[Command]]) -> list[list[Result]]:
            return [self.run(batch, on_result=tell) for batch in lane]

        if not lanes:
            return []
        with ThreadPoolExecutor(max_workers=len(lanes)) as threads:
            return list(threads.map(run_lane, lanes))

    def open(self, command: Command) -> Session:
        """Start a command that stays; see `Host.open`."""
        self._registers = True
        return LocalSession(command)

    def reopen(self) -> Host:
        """Give this machine again: there is no connection that could be new."""
        return LocalHost(registers=self._registers)

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class LocalSession:
    """A process of this machine whose standard input stays open."""

    def __init__(self, command: Command) -> None:
        self._command = command
        self._started = time.monotonic()
        try:
            self._process = subprocess.Popen(
                command.argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=ENVIRONMENT,
            )
        except OSError as error:
            raise HostError(f"cannot start {command}: {error.strerror}") from error
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        self.greeting = self._process.stdout.readline().rstrip(b"\n")

    @property
    def ended(self) -> bool:
        """Tell whether the process is over."""
        return self._process.poll() is not None

    def send(self, data: bytes) -> None:
        """Send something to its standard input; where it is over, to nobody."""
        assert self._process.stdin is not None  # noqa: S101 - asked for above
        with suppress(OSError):
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def close(self) -> Result:
        """End its standard input, wait for it, and give its result."""
        output, _ = self._process.communicate()
        return Result(
            command=self._command,
            exit_code=_status(self._process.returncode),
            stdout=output,
            seconds=time.monotonic() - self._started,
        )


def _execute(command: Command, *, registers: bool) -> Result:
    # see RUNNING: a command goes on when its controller is killed
    register = ("/bin/sh", "-c", f'echo $$ >> {RUNNING}; exec "$@"', "sh") if registers else ()
    # into files: a pipe would be waited for until the last daemon has closed it that the command has started
    with TemporaryFile() as stdout, TemporaryFile() as stderr:
        return _run((*register, *command.argv), command, stdout, stderr)


def _run(argv: tuple[str, ...], command: Command, stdout: IO[bytes], stderr: IO[bytes]) -> Result:
    started = time.monotonic()
    try:
        done = subprocess.run(
            argv,
            input=command.stdin,
            stdout=stdout,
            stderr=stderr,
            env=ENVIRONMENT,
            timeout=command.timeout,
            check=False,
        )
    except FileNotFoundError:
        missing = f"{command.argv[0]}: not found\n".encode()
        return Result(command=command, exit_code=NOT_FOUND, stderr=missing)
    except OSError as error:
        refused = f"{command.argv[0]}: {error.strerror}\n".encode()
        return Result(command=command, exit_code=NOT_EXECUTABLE, stderr=refused)
    except subprocess.TimeoutExpired as error:
        raise CommandTimeoutError(
            f"{command} did not end within {command.timeout:g} s, and was killed",
            hint="see on the host whether it is stuck, then apply again",
        ) from error
    seconds = time.monotonic() - started
    stdout.seek(0)
    stderr.seek(0)
    return Result(
        command=command,
        exit_code=_status(done.returncode),
        stdout=stdout.read(),
        stderr=stderr.read(),
        seconds=seconds,
    )


def _status(returncode: int) -> int:
    """Give the exit status as a shell tells it: 128 and the signal's number for a command that was killed."""
    return 128 - returncode if returncode < 0 else returncode
