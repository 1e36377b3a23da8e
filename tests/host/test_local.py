"""The local host, with real processes."""

from __future__ import annotations

import grp
import os
import pwd
import signal
import stat
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warden.host.command import Command
from warden.host.errors import CommandTimeoutError
from warden.host.files import write_file
from warden.host.local import LocalHost

if TYPE_CHECKING:
    from pathlib import Path

ECHO_SCRIPT = """
import os, sys
words = [word.encode("utf-8", "surrogateescape") for word in sys.argv[1:]]
sys.stdout.buffer.write(b"\\0".join(words) + b"\\1" + sys.stdin.buffer.read())
"""
ECHO = (sys.executable, "-c", ECHO_SCRIPT)
WORDS = st.binary(max_size=40).filter(lambda word: b"\0" not in word)


def me() -> str:
    return f"{pwd.getpwuid(os.getuid()).pw_name}:{grp.getgrgid(os.getgid()).gr_name}"


@given(words=st.lists(WORDS, max_size=4), stdin=st.binary(max_size=200))
def test_any_bytes_arrive_as_they_were_sent(words: list[bytes], stdin: bytes) -> None:
    argv = (*ECHO, *(word.decode("utf-8", "surrogateescape") for word in words))
    result = LocalHost().run([Command(argv=argv, stdin=stdin)])[0]
    assert result.stdout == b"\0".join(words) + b"\1" + stdin


def test_a_batch_stops_at_its_first_failure_unless_told_not_to() -> None:
    batch = [Command(argv=("true",)), Command(argv=("false",)), Command(argv=("true",))]
    assert [result.exit_code for result in LocalHost().run(batch)] == [0, 1]
    assert [result.exit_code for result in LocalHost().run(batch, stop_on_error=False)] == [0, 1, 0]


def test_lanes_fail_batch_by_batch() -> None:
    fails = [Command(argv=("false",)), Command(argv=("true",))]
    works = [Command(argv=("true",))]
    seen: list[int] = []
    results = LocalHost().run_lanes([[fails, works], [works]], on_result=lambda result: seen.append(result.exit_code))
    assert [[[r.exit_code for r in batch] for batch in lane] for lane in results] == [[[1], [0]], [[0]]]
    assert sorted(seen) == [0, 0, 1]


def test_a_missing_program_is_an_answer_and_not_an_exception() -> None:
    result = LocalHost().run([Command(argv=("/nonexistent/program",))])[0]
    assert result.exit_code == 127
    assert b"not found" in result.stderr


def test_a_command_that_takes_too_long_is_ended() -> None:
    with pytest.raises(CommandTimeoutError, match="did not end within"):
        LocalHost().run([Command(argv=("sleep", "30"), timeout=0.1)])


def test_the_environment_is_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "of the operator")
    result = LocalHost().run([Command(argv=("env",))])[0]
    names = {line.partition("=")[0] for line in result.stdout.decode().splitlines()}
    assert "SECRET" not in names
    assert {"PATH", "LC_ALL", "HOME"} <= names


def test_a_session_stays_until_it_is_closed() -> None:
    session = LocalHost().open(Command(argv=("sh", "-c", "echo held; cat; exit 3")))
    assert session.greeting == b"held"
    assert session.close().exit_code == 3


def test_secret_commands_show_their_name_only() -> None:
    command = Command(argv=("tool", "hunter2"), stdin=b"hunter3", secret=True)
    assert "hunter" not in f"{command} {command!r}"


@pytest.mark.parametrize("mode", ["0644", "0600", "0555"])
def test_a_file_is_written_whole_with_its_mode(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a file; rm -rf $HOME"
    content = bytes(range(256)) * 300
    for _ in range(2):
        result = LocalHost().run([write_file(str(path), content, mode=mode, owner=me())])[0]
        assert (result.exit_code, result.stderr) == (0, b"")
    assert path.read_bytes() == content
    assert stat.S_IMODE(path.stat().st_mode) == int(mode, 8)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    result = LocalHost().run([write_file(str(path), b"new", owner="nobody-of-that-name:nogroup-of-that-name")])[0]
    assert result.exit_code == 1
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_daemon_that_a_command_leaves_behind_is_not_waited_for() -> None:
    """Such as pg_ctl leaves one, which keeps what it was given to write to."""
    [result] = LocalHost().run([Command(argv=("/bin/sh", "-c", "sleep 20 & echo $!; cat"), stdin=b"read")])
    pid, _, rest = result.stdout.decode().partition("\n")
    os.kill(int(pid), signal.SIGKILL)  # fails where it has ended already
    assert rest == "read"
