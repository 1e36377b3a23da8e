# SPDX-License-Identifier: BSD-2-Clause
"""The lock with a real sh and a real connection; only lockf(1) is flock(1) here, which Linux has."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from warden.engine import lock
from warden.engine.errors import LockedError
from warden.engine.lock import Holder, LockLostError, take_lock
from warden.host.command import Command
from warden.host.local import LocalHost
from warden.host.ssh import SshHost

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.host.ssh.conftest import Serve
    from warden.host.command import Host

ME = Holder(who="me@here", what="a test", since="2026-11-21T05:00:00+00:00")
OTHER = Holder(who="other@there", what="another", since="2026-11-21T06:00:00+00:00")
HERE = "ssh://here"
LOCKF = """#!/bin/sh
# lockf -s -k -t 0 FILE COMMAND...
shift 4; file=$1; shift
exec {flock} -n -o -E 75 "$file" "$@"
"""


@pytest.fixture(autouse=True)
def on_linux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, require_tool: Callable[[str], str]) -> None:
    """Put the lock's files into a folder of the test's, and let it be lost after two seconds of silence."""
    lockf = tmp_path / "lockf"
    lockf.write_text(LOCKF.format(flock=require_tool("flock")))
    lockf.chmod(0o755)
    monkeypatch.setattr(lock, "LOCKF", str(lockf))
    monkeypatch.setattr(lock, "LOCK", str(tmp_path / "lock"))
    monkeypatch.setattr(lock, "RUNNING", str(tmp_path / "running"))
    monkeypatch.setattr("warden.host.script.RUNNING", str(tmp_path / "running"))
    monkeypatch.setattr("warden.host.local.RUNNING", str(tmp_path / "running"))
    monkeypatch.setattr(lock, "BEAT", 0.3)
    monkeypatch.setattr(lock, "SILENCE", 2)


@pytest.fixture(params=["local", "ssh"])
def connect(request: pytest.FixtureRequest, serve: Serve) -> Callable[[], Host]:
    """Give what connects to this machine, in either way."""
    serve()
    return LocalHost if request.param == "local" else lambda: SshHost(HERE)


def is_free() -> bool:
    with LocalHost() as host:
        try:
            take_lock(host, OTHER).close()
        except LockedError:
            return False
        return True


def freed_within(seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if is_free():
            return True
        time.sleep(0.1)
    return False


def test_it_is_held_until_it_is_closed_and_says_by_whom(connect: Callable[[], Host]) -> None:
    with connect() as host, connect() as second:
        with take_lock(host, ME) as held:
            with pytest.raises(LockedError, match="me@here, a test, since 2026-11-21T05:00:00"):
                take_lock(second, OTHER)
            held.check()
        take_lock(second, OTHER).close()


def test_signs_of_life_keep_it_for_longer_than_a_silence(connect: Callable[[], Host]) -> None:
    with connect() as host, take_lock(host, ME) as held:
        time.sleep(3.5)
        held.check()
        assert not is_free()


def test_a_connection_that_breaks_frees_it(serve: Serve) -> None:
    server = serve()
    with SshHost(HERE) as host:
        held = take_lock(host, ME)
        assert not is_free()
        server.kill()
        assert freed_within(1.5)
        with pytest.raises(LockLostError):
            held.check()


def _hold(connect: str, ready: object) -> None:
    """Be a controller that holds the lock and does nothing more."""
    host: Host = LocalHost() if connect == "local" else SshHost(HERE)
    take_lock(host, ME)
    ready.set()  # type: ignore[attr-defined]
    time.sleep(60)


def controller(connect: str) -> multiprocessing.process.BaseProcess:
    """Start a controller as a process of its own, with the settings of this test."""
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=_hold, args=(connect, ready))
    process.start()
    assert ready.wait(10)
    return process


@pytest.mark.parametrize("way", ["local", "ssh"])
def test_a_controller_that_is_killed_frees_it(serve: Serve, way: str) -> None:
    serve()
    process = controller(way)
    assert not is_free()
    process.kill()
    process.join()
    assert freed_within(1.5)


@pytest.mark.parametrize("way", ["local", "ssh"])
def test_a_controller_that_falls_silent_loses_it_in_time_and_knows_when_it_wakes(serve: Serve, way: str) -> None:
    """Stopped, its socket open: as a laptop that falls asleep."""
    serve()
    process = controller(way)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        time.sleep(0.5)
        assert not is_free(), "silence has to last"
        assert freed_within(5)
    finally:
        os.kill(process.pid, signal.SIGCONT)
        process.kill()
        process.join()


def test_it_is_not_let_go_of_while_a_batch_still_runs(serve: Serve, tmp_path: Path) -> None:
    """The connection breaks, the command that it was running goes on: so does the lock."""
    server = serve()
    gate = tmp_path / "gate"
    waits = Command(argv=("/bin/sh", "-c", f'trap "" HUP; while ! [ -e {gate} ]; do sleep 0.05; done'))
    with SshHost(HERE) as host:
        take_lock(host, ME)
        running = threading.Thread(target=_run_and_lose, args=(host, waits))
        running.start()
        time.sleep(0.5)
        server.kill()
        running.join()
        time.sleep(3)
        assert not is_free()
        gate.touch()
        assert freed_within(4)


def _hold_and_run(started: str, gate: str) -> None:
    with LocalHost() as host:
        take_lock(host, ME)
        host.run([Command(argv=("/bin/sh", "-c", f"touch {started}; while ! [ -e {gate} ]; do sleep 0.05; done"))])


def test_a_command_of_a_killed_controller_keeps_it_on_the_host_itself(tmp_path: Path) -> None:
    started, gate = tmp_path / "started", tmp_path / "gate"
    process = multiprocessing.get_context("fork").Process(target=_hold_and_run, args=(str(started), str(gate)))
    process.start()
    while not started.exists():
        time.sleep(0.02)
    process.kill()
    process.join()
    time.sleep(2.5)
    assert not is_free()
    gate.touch()
    assert freed_within(4)


def _run_and_lose(host: Host, command: Command) -> None:
    with pytest.raises(Exception, match="broke"):
        host.run([command])


def test_who_lost_it_is_told_before_anything_more_is_begun(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT", 60)
    serve()
    with SshHost(HERE) as host:
        held = take_lock(host, ME)
        assert freed_within(5)
        with pytest.raises(LockLostError, match="nothing was heard of this apply"):
            held.check()
