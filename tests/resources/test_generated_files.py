"""What Warden generates, tried with the real tools: sh(1), shellcheck, and sh again on what rc.subr would run."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warden.facts.environment import parse_environment
from warden.facts.probe import ANCHOR
from warden.resources import environment, pf
from warden.resources.desired import DesiredService
from warden.resources.errors import RefusedError
from warden.resources.service import render_script
from warden.resources.templates import render

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WORDS = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=30)
HOSTILE = ("x; rm -rf /", "$(reboot)", "`reboot`", 'it\'s "quoted"', "two words", "$HOME", "*", "a\\b", "%s", "ž")


def script(
    name: str = "atlas",
    command: tuple[str, ...] = ("/usr/local/bin/node", "dist/index.js"),
    workdir: str = "/home/x",
) -> str:
    return render_script(name, "sl_SI.UTF-8", DesiredService(command=command, user="atlas", workdir=workdir))


def warden_pf() -> str:
    return render("rc.d/warden_pf", anchor=ANCHOR, rules=pf.RULES, closed=pf.CLOSED)


@pytest.mark.parametrize("text", [script(), script("dev-qwen"), script(command=HOSTILE), warden_pf()])
def test_rc_scripts_please_sh_and_shellcheck(text: str, tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    path = tmp_path / "script"
    path.write_text(text)
    for command in (["sh", "-n", str(path)], [require_tool("shellcheck"), "-s", "sh", str(path)]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("text", [script("dev-qwen"), warden_pf()])
def test_rc_scripts_follow_the_conventions(text: str) -> None:
    lines = text.splitlines()
    assert lines[0] == "#!/bin/sh"
    keywords = [
        number
        for number, line in enumerate(lines)
        if line.startswith(("# PROVIDE", "# REQUIRE", "# BEFORE", "# KEYWORD"))
    ]
    assert keywords == list(range(keywords[0], keywords[-1] + 1)), "rcorder(8) reads one block"
    assert lines[-1] == 'run_rc_command "$1"'
    assert ". /etc/rc.subr" in lines


def test_a_hyphen_is_an_underscore_where_sh_needs_a_name() -> None:
    text = script("dev-qwen")
    assert 'name="dev_qwen"' in text
    assert 'rcvar="dev_qwen_enable"' in text
    assert "# PROVIDE: dev_qwen" in text
    assert 'pidfile="/var/run/dev-qwen.pid"' in text


def run_as_rc_subr_does(text: str, tmp_path: Path) -> list[str]:
    """Run a script with a stand-in for rc.subr that evaluates command and arguments once, as rc.subr does."""
    subr = tmp_path / "rc.subr"
    show = 'for word in "$@"; do printf \'%s\\0\' "$word"; done'
    subr.write_text(
        f'load_rc_config() {{ :; }}\nshow() {{ {show}; }}\nrun_rc_command() {{ eval "show $command_args"; }}\n'
    )
    path = tmp_path / "script"
    path.write_text(text.replace(". /etc/rc.subr", f". {shlex.quote(str(subr))}"))
    done = subprocess.run(["sh", str(path), "start"], capture_output=True, check=True)
    return done.stdout.decode().split("\0")[:-1]


@given(command=st.lists(WORDS, min_size=1, max_size=4))
def test_every_word_of_a_command_arrives_as_one_argument(
    tmp_path_factory: pytest.TempPathFactory, command: list[str]
) -> None:
    words = run_as_rc_subr_does(script(command=tuple(command)), tmp_path_factory.mktemp("rc"))
    assert words[-len(command) :] == command
    assert words[words.index("/usr/bin/env") :][1:3] == ["LANG=sl_SI.UTF-8", "LC_ALL=sl_SI.UTF-8"]
    assert words[words.index("-u") + 1] == "atlas"


def test_a_folder_that_rc_subr_cannot_change_to_is_refused() -> None:
    with pytest.raises(RefusedError, match="does not quote"):
        script(workdir="/home/two words")


@given(values=st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True), WORDS, max_size=6))
def test_an_env_file_means_to_sh_what_it_means_to_us(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, str]
) -> None:
    values = {f"W_{name}": value for name, value in values.items()}
    command = environment.write("atlas", values)
    assert command.secret
    path = tmp_path_factory.mktemp("env") / "atlas.env"
    path.write_bytes(command.stdin)
    read_back = parse_environment(str(path), command.stdin.decode())
    assert {name: secret.reveal() for name, secret in read_back.items()} == values
    done = subprocess.run(["sh", "-c", 'set -a; . "$1"; env -0', "sh", str(path)], capture_output=True, check=True)
    seen = dict(entry.split("=", 1) for entry in done.stdout.decode().split("\0") if "=" in entry)
    assert {name: value for name, value in seen.items() if name.startswith("W_")} == values
