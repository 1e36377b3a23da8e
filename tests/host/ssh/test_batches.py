# SPDX-License-Identifier: BSD-2-Clause
"""Batches over a real SSH connection, to a real sh, with real programs."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warden.host.command import ENVIRONMENT, Command, Host
from warden.host.errors import CommandTimeoutError, ConnectionLostError, HostUnreachableError
from warden.host.local import LocalHost
from warden.host.ssh import SshHost

if TYPE_CHECKING:
    from tests.host.ssh.conftest import Serve
    from warden.host.command import Result

WORDS = st.binary(max_size=40).filter(lambda word: b"\0" not in word)
PRINTF = "/usr/bin/printf"


def command(*argv: str, stdin: bytes = b"", timeout: float | None = None) -> Command:
    return Command(argv=argv, stdin=stdin, timeout=timeout)


def text(word: bytes) -> str:
    return word.decode("utf-8", "surrogateescape")


@given(words=st.lists(WORDS, min_size=1, max_size=4), stdin=st.binary(max_size=300), status=st.integers(0, 120))
def test_a_command_does_what_a_direct_exec_does(host: SshHost, words: list[bytes], stdin: bytes, status: int) -> None:
    """Over SSH and locally, any bytes arrive as they were sent, and come back as they were written."""
    script = 'printf "%s\\0" "$@"; cat; printf "%s" "$#" >&2; exit "$0"'
    argv = ("/bin/sh", "-c", script, str(status), *map(text, words))
    direct = subprocess.run(argv, input=stdin, capture_output=True, env=ENVIRONMENT, check=False)
    assert direct.stdout == b"".join(word + b"\0" for word in words) + stdin
    hosts: tuple[Host, ...] = (host, LocalHost())
    for each in hosts:
        result = each.run([command(*argv, stdin=stdin)])[0]
        assert (result.exit_code, result.stdout, result.stderr) == (status, direct.stdout, direct.stderr)


@given(batch=st.lists(st.tuples(WORDS, st.binary(max_size=100)), min_size=1, max_size=6))
def test_batches_are_told_apart_command_by_command(host: SshHost, batch: list[tuple[bytes, bytes]]) -> None:
    commands = [command("/bin/sh", "-c", 'cat; printf %s "$0" >&2', text(word), stdin=data) for word, data in batch]
    results = host.run(commands)
    assert [(result.stdout, result.stderr) for result in results] == [(data, word) for word, data in batch]
    assert [result.command for result in results] == commands


def test_a_program_is_never_taken_for_a_builtin_of_the_shell(host: SshHost) -> None:
    results = host.run(
        [command("echo", "-e", r"a\tb"), command("exit", "3"), command("k=1"), command("f"), command("false")],
        stop_on_error=False,
    )
    assert results[0].stdout == subprocess.run(["/bin/echo", "-e", r"a\tb"], capture_output=True, check=True).stdout
    assert [result.exit_code for result in results[1:]] == [127, 127, 127, 1]
    assert b"not found" in results[1].stderr


def test_the_environment_is_the_fixed_one(host: SshHost) -> None:
    lines = host.run([command("/usr/bin/env")])[0].stdout.decode().splitlines()
    # a shell may say where it stands; what sshd and the login shell set is not there
    assert {line for line in lines if not line.startswith(("PWD=", "_=", "SHLVL=", "OLDPWD="))} == {
        f"{name}={value}" for name, value in ENVIRONMENT.items()
    }


def test_a_batch_stops_at_its_first_failure_unless_told_not_to(host: SshHost, tmp_path: Path) -> None:
    batch = [command("true"), command("false"), command("touch", str(tmp_path / "ran"))]
    assert [result.exit_code for result in host.run(batch)] == [0, 1]
    assert not (tmp_path / "ran").exists()
    assert [result.exit_code for result in host.run(batch, stop_on_error=False)] == [0, 1, 0]
    assert host.run([]) == []


def test_a_killed_command_has_the_status_that_a_shell_gives_it_and_no_words_of_the_shells(host: SshHost) -> None:
    result = host.run([command("/bin/sh", "-c", "echo last words >&2; kill -9 $$")])[0]
    assert (result.exit_code, result.stderr) == (137, b"last words\n")


def test_64_mebibytes_pass_in_either_direction(host: SshHost) -> None:
    data = os.urandom(1 << 20) * 64
    into_both = command("/bin/sh", "-c", "tee /dev/stderr", stdin=data)
    result, after = host.run([into_both, command("/bin/echo", "-n", "the end")])
    assert result.stdout == data
    assert result.stderr == data
    assert after.stdout == b"the end"


def test_a_command_need_not_read_its_input(host: SshHost) -> None:
    results = host.run([command("true", stdin=b"x" * 300_000), command("/bin/cat", stdin=b"y")])
    assert [result.exit_code for result in results] == [0, 0]
    assert results[1].stdout == b"y"


def test_without_input_a_command_finds_its_end_and_not_the_script(host: SshHost) -> None:
    results = host.run([command("/bin/cat"), command("/bin/echo", "next")])
    assert [result.stdout for result in results] == [b"", b"next\n"]


def test_results_are_told_as_they_come(host: SshHost, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    waits = command("/bin/sh", "-c", f'while ! [ -e "{gate}" ]; do sleep 0.02; done')
    seen: list[int] = []

    def tell(result: Result) -> None:
        seen.append(result.exit_code)
        gate.touch()  # the second command ends only once the first one's result was told

    assert len(host.run([command("true"), waits], on_result=tell)) == 2
    assert seen == [0, 0]


def test_lanes_run_side_by_side_and_fail_batch_by_batch(host: SshHost, tmp_path: Path) -> None:
    meet = 'touch "$1"; while ! [ -e "$2" ]; do sleep 0.02; done'  # either lane waits for the other
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    lanes = [
        [[command("/bin/sh", "-c", meet, "sh", one, two), command("false"), command("true")], [command("true")]],
        [[command("/bin/sh", "-c", meet, "sh", two, one)], [], [command("true")]],
    ]
    results = host.run_lanes(lanes)
    assert [[[result.exit_code for result in batch] for batch in lane] for lane in results] == [
        [[0, 1], [0]],
        [[0], [], [0]],
    ]


@pytest.mark.parametrize("sessions", [2, 3, 6])
def test_more_lanes_than_the_server_allows_sessions_take_turns(serve: Serve, sessions: int) -> None:
    serve(f"MaxSessions {sessions}")
    with SshHost("ssh://here") as host, _held(host):
        results = host.run_lanes([[[command("/bin/echo", str(lane))]] for lane in range(9)])
    assert [lane[0][0].stdout for lane in results] == [f"{lane}\n".encode() for lane in range(9)]


class _held:  # noqa: N801 - a word of the test's
    """A command that stays, as the lock does."""

    def __init__(self, host: SshHost) -> None:
        self.session = host.open(command("/bin/sh", "-c", "echo held; exec cat > /dev/null"))

    def __enter__(self) -> None:
        assert self.session.greeting == b"held"

    def __exit__(self, *exc: object) -> None:
        result = self.session.close()
        assert result.exit_code == 0


def test_a_command_that_stays_holds_while_others_run_and_ends_with_its_input(host: SshHost) -> None:
    with _held(host):
        assert host.run([command("/bin/echo", "meanwhile")])[0].stdout == b"meanwhile\n"


def test_a_command_that_was_to_stay_and_did_not_says_why(host: SshHost) -> None:
    session = host.open(command("/bin/sh", "-c", "printf 'no reason' >&2; exit 75"))
    assert session.greeting == b""
    result = session.close()
    assert (result.exit_code, result.stdout[-9:]) == (75, b"no reason")


def test_a_time_limit_ends_the_command_and_the_batch(host: SshHost, tmp_path: Path) -> None:
    batch = [command("/bin/sleep", "60", timeout=0.3), command("touch", str(tmp_path / "after"))]
    with pytest.raises(CommandTimeoutError, match=r"sleep 60 did not end within 0.3 s"):
        host.run(batch)
    assert host.run([command("/bin/echo", "fine", timeout=5)])[0].stdout == b"fine\n"
    assert not (tmp_path / "after").exists()


def test_what_a_login_shell_says_is_no_output_of_a_command(serve: Serve) -> None:
    serve('ForceCommand echo welcome; echo to all >&2; eval "$SSH_ORIGINAL_COMMAND"')
    with SshHost("ssh://here") as host:
        result = host.run([command("/bin/echo", "x")])[0]
        assert (result.stdout, result.stderr) == (b"x\n", b"")
        with _held(host):
            pass


def _log_commands(log: Path, number: int) -> list[Command]:
    return [command("/bin/sh", "-c", 'echo "$1" >> "$2"; sleep 0.005', "sh", str(n), str(log)) for n in range(number)]


def _number(ran: Command) -> int:
    return int(ran.argv[4])


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3])
def test_a_server_that_dies_leaves_a_true_account(serve: Serve, tmp_path: Path, delay: float) -> None:
    server = serve()
    log = tmp_path / "log"
    log.touch()
    commands = _log_commands(log, 300)
    with SshHost("ssh://here") as host:
        threading.Timer(delay, server.kill).start()
        with pytest.raises(ConnectionLostError) as lost:
            host.run(commands)
        with pytest.raises((ConnectionLostError, HostUnreachableError)):
            host.run([command("true")])
    _settle(log)
    truly = {int(line) for line in log.read_text().split()}
    ran = {_number(result.command) for result in lost.value.ran}
    unknown = {_number(one) for one in lost.value.unknown}
    not_run = {_number(one) for one in lost.value.not_run}
    assert ran <= truly
    assert not truly & not_run
    assert ran | unknown | not_run == set(range(300))
    assert len(ran) + len(unknown) + len(not_run) == 300
    assert len(truly) < 300, "the shell went on after its reader had gone"


def _settle(log: Path) -> None:
    """Wait until a shell that lost its reader has found out: nothing more is written."""
    before = -1
    while before != log.stat().st_size:
        before = log.stat().st_size
        time.sleep(0.1)


def test_lanes_of_a_server_that_dies_make_one_account(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    logs = [tmp_path / f"log{lane}" for lane in range(3)]
    for log in logs:
        log.touch()
    lanes = [[_log_commands(log, 40), _log_commands(log, 40)] for log in logs]
    with SshHost("ssh://here") as host:
        threading.Timer(0.15, server.kill).start()
        with pytest.raises(ConnectionLostError) as lost:
            host.run_lanes(lanes)
    assert len(lost.value.ran) + len(lost.value.unknown) + len(lost.value.not_run) == 240


def test_a_connection_that_falls_silent_is_given_up(serve: Serve, operator: pytest.MonkeyPatch) -> None:
    """The server is stopped, its socket stays open: nothing comes, and nothing says so."""
    operator.setattr("warden.host.ssh_channels._ASK_EVERY", 0.1)
    operator.setattr("warden.host.ssh_channels._SILENCE", 0.5)
    server = serve()
    with SshHost("ssh://here") as host:
        stopped = threading.Timer(0.2, server.signal, ["STOP"])
        stopped.start()
        with pytest.raises(ConnectionLostError):
            host.run([command("/bin/sleep", "30")])
        server.signal("CONT")


def test_what_a_command_is_sent_stands_in_no_process_list_and_in_no_file(host: SshHost) -> None:
    before = {path.name for path in Path("/tmp").iterdir()}
    secret = "a word that nobody should read"
    look = "cat > /dev/null; ps -e -o args"
    listed = host.run([Command(argv=("/bin/sh", "-c", look), stdin=secret.encode() * 1000, secret=True)])[0]
    assert b"sh -s" in listed.stdout
    assert secret.encode() not in listed.stdout
    assert not {name for name in {path.name for path in Path("/tmp").iterdir()} - before if "warden" in name}
