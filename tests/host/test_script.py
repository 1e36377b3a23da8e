# SPDX-License-Identifier: BSD-2-Clause
"""The script of a batch and its answers, with a real sh and no network between."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warden.host.command import ENVIRONMENT, Command
from warden.host.script import Answers, Batch, make_script, new_boundary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SHELLS = ("sh", "dash", "bash", "busybox")
"""FreeBSD's sh is none of them: what all of them take, it takes as well."""


def talk(batches: Sequence[Batch], boundary: str, shell: Sequence[str] = ("/bin/sh",)) -> tuple[bytes, bytes]:
    script = b"".join(make_script(batches, boundary))
    done = subprocess.run([*shell, "-s"], input=script, capture_output=True, env=ENVIRONMENT, check=False)
    return done.stdout, done.stderr


@given(
    streams=st.lists(st.tuples(st.binary(max_size=60), st.binary(max_size=60), st.integers(0, 255)), max_size=5),
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    noise=st.binary(max_size=20),
)
def test_answers_are_the_same_however_the_bytes_are_cut(
    streams: list[tuple[bytes, bytes, int]], cuts: list[int], noise: bytes
) -> None:
    boundary = new_boundary()
    mark = boundary.encode()
    out = noise + mark + b"0;" + b"".join(stdout + mark + b"%d;" % status for stdout, _, status in streams)
    err = noise + mark + b";" + b"".join(stderr + mark + b";" for _, stderr, _ in streams)
    answers = Answers([Batch(commands=[Command(argv=("x",))] * len(streams), stops=False)], boundary)
    got = []
    for take, data in ((answers.take_output, out), (answers.take_error, err)):
        at = 0
        while at < len(data):
            size = cuts[at % len(cuts)]
            got += take(data[at : at + size])
            at += size
    assert [(one.stdout, one.stderr, one.exit_code) for one in got] == streams
    assert answers.complete


@pytest.mark.parametrize("shell", SHELLS)
def test_any_shell_of_posix_understands_the_script(shell: str, require_shell: Callable[[str], list[str]]) -> None:
    data = bytes(range(256)) + b"%s %% \\n \\ '' $HOME `id`\n"
    batches = [
        Batch(
            commands=[
                Command(argv=("/bin/cat",), stdin=data),
                Command(argv=("/usr/bin/printf", "%s", "it's \udcff $HOME\n")),
                Command(argv=("/bin/sh", "-c", "echo oops >&2; exit 9")),
                Command(argv=("/bin/echo", "not reached")),
            ],
            stops=True,
        ),
        Batch(commands=[Command(argv=("false",)), Command(argv=("/bin/echo", "reached"))], stops=False),
    ]
    boundary = new_boundary()
    answers = Answers(batches, boundary)
    out, err = talk(batches, boundary, require_shell(shell))
    answers.take_output(out)
    answers.take_error(err)
    assert answers.complete
    first, second = answers.results
    assert [one.exit_code for one in first] == [0, 0, 9]
    assert first[0].stdout == data
    assert first[1].stdout == b"it's \xff $HOME\n"
    assert first[2].stderr == b"oops\n"
    assert [one.exit_code for one in second] == [1, 0]
    assert second[1].stdout == b"reached\n"


@pytest.fixture
def require_shell(require_tool: Callable[[str], str]) -> Callable[[str], list[str]]:
    def require(name: str) -> list[str]:
        return [require_tool("busybox"), "sh"] if name == "busybox" else [require_tool(name)]

    return require


def test_a_shell_whose_reader_has_gone_runs_no_further_command() -> None:
    """Its next word to the reader is its last: at most the command at work is unknown to it."""
    talkative = Command(argv=("/bin/sh", "-c", "sleep 0.1"))
    batch = Batch(commands=[talkative] * 50, stops=False)
    shell = subprocess.Popen(["/bin/sh", "-s"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert shell.stdin is not None
    assert shell.stdout is not None
    assert shell.stderr is not None
    shell.stdin.write(b"".join(make_script([batch], new_boundary())))
    shell.stdin.close()
    shell.stdout.close()
    shell.stderr.close()
    assert shell.wait(timeout=3) != 0


def test_answers_know_who_has_not_answered() -> None:
    boundary = new_boundary()
    commands = [Command(argv=(name,)) for name in "abcd"]
    batches = [Batch(commands=commands[:2], stops=True), Batch(commands=commands[2:], stops=True)]
    answers = Answers(batches, boundary)
    begun = [answers.begun]
    answers.take_error(b"no shell for you")
    assert answers.stray == b"no shell for you"
    mark = boundary.encode()
    answers.take_output(mark + b"0;" + b"out" + mark + b"1;")
    begun.append(answers.begun)
    answers.take_error(mark + b";" + mark)
    begun.append(answers.begun)
    assert begun == [False, False, True], "it has begun once both outputs say so"
    assert answers.waiting == commands
    answers.take_error(b";")
    assert answers.waiting == commands[2:], "the first failed, and its batch ended with it"
    assert answers.current is commands[2]
