# SPDX-License-Identifier: BSD-2-Clause
"""Hostile specs: whatever stands in one, it is refused in words, or it reaches the host as data and never as code."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import subprocess
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.conftest import EXHAUSTIVE
from warden.engine.plan import dump_json, make_plan, plan_to_json
from warden.facts.environment import parse_environment
from warden.facts.probe import read_facts
from warden.facts.registry import parse_agent
from warden.host.address import open_host
from warden.host.script import shell_line
from warden.network.errors import NetworkError
from warden.resources.environment import fill
from warden.resources.errors import RefusedError
from warden.resources.spec_check import check_spec
from warden.spec.dotenv_spec import read_env
from warden.spec.errors import SpecError
from warden.spec.model import SERVICES
from warden.spec.toml_spec import read_toml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from warden.engine.plan import Plan
    from warden.facts.model import Facts
    from warden.host.command import Command
    from warden.spec.model import AgentSpec, Spec

MARK = "zq7"
"""Stands in every hostile value: nothing of ours holds it, so that a value is found wherever it went."""

ATTACKS = (
    *("; {} #", "$({})", "`{}`", "' {} '", '" {} "', "| {}", "&& {}", "> /etc/{}", "${{{}}}", "\\{}", "{}\\", "*{}?"),
    *("../../etc/{}", "/etc/{}", "-{}", "--{}=x", "{}\n{}", "{}\r{}", "{}\0", "\x1b[31m{}", "\x7f{}", "{}\u2028{}"),
    *("{} {}", "\t{}", "{}=x", "# {}", "%s{}%n", "[{}]", "{{{{ {} }}}}", "{{% {} %}}", "<{}>", "~{}", "!{}", "{}:{}"),
    *("\u0430{}", "{}\u202e", "é{}", "{}\N{FULLWIDTH SEMICOLON}", "\N{ARABIC-INDIC DIGIT ONE}{}", "{}\N{PILE OF POO}"),
    *("{}" + "a" * 5000, "''{}''", "'\"'\"'{}", "EOF\n{}", "$'{}'", "{};", "10.0.1.{}", "{}.0/24"),
)
HOSTILE = st.sampled_from(ATTACKS).map(lambda attack: attack.format(MARK, MARK)) | st.text(max_size=30).map(
    lambda text: f"{text}{MARK}"
)
PRINTABLE = HOSTILE.filter(str.isprintable)
WILD = st.one_of(PRINTABLE, PRINTABLE, PRINTABLE, PRINTABLE, HOSTILE)
"""For values that may be anything: most hold no control character, so that a spec is not refused for one of many."""
REFUSALS = (SpecError, NetworkError, RefusedError)
TOML_PIECES = (*"[]{}='\"#\\.,\n\t \r", "a", "agents", '"""', "1e9", "\0")


@cache
def facts() -> Facts:
    with open_host("fake:", folder=Path()) as host:
        return read_facts(host, ("atlas",))


def basic(text: str) -> str:
    """Give text as a TOML basic string."""
    return json.dumps(text).replace("\x7f", "\\u007f") if text.isascii() else json.dumps(text, ensure_ascii=False)


def either(good: str) -> st.SearchStrategy[str]:
    """Give a value that is right most of the time, so that what stands beside it is reached too."""
    return st.integers(0, 15).flatmap(lambda number: HOSTILE if number == 15 else st.just(good))


@st.composite
def toml_texts(draw: st.DrawFn) -> str:
    name = draw(either("atlas"))
    service = draw(st.sampled_from(SERVICES))
    words = draw(st.lists(WILD, max_size=3))
    lines = [
        "[network]",
        *(f"{key} = {basic(draw(either(good)))}" for key, good in draw(st.sets(st.sampled_from(NETWORK)))),
        f"[agents.{basic(name)}]",
        f"services = [{basic(service)}]",
        f"display_name = {basic(draw(WILD))}",
        f"command = [{', '.join(map(basic, [draw(either('/bin/sh')), *words]))}]",
        *(f"{key} = {basic(draw(either(good)))}" for key, good in draw(st.sets(st.sampled_from(AGENT)))),
        f"[agents.{basic(name)}.env]",
        *(f"{basic(draw(either(f'V{number}')))} = {basic(draw(WILD))}" for number in range(draw(st.integers(0, 3)))),
        f"[agents.{basic(name)}.jails.{service}]",
        *(f"{key} = {basic(draw(either(good)))}" for key, good in draw(st.sets(st.sampled_from(JAIL)))),
    ]
    return "\n".join(lines) + "\n"


NETWORK = (("bridge", "warden0"), ("external_interface", "vtnet0"), ("isolation", "open"), ("domain", "home.arpa"))
AGENT = (("subnet", "10.0.1.0/24"), ("user", "agent"), ("workdir", "/home/agent"), ("host", "alpha"))
JAIL = (("name", "web"), ("address", "10.0.1.9"), ("release", "15.1-RELEASE"))

OURS = {
    "ASSISTANT_NAME": "Atlas",
    "AGENT_SUBNET_BASE": "10.0.1",
    "WARDEN_GATEWAY": "10.0.1.1",
    "WARDEN_SUBNET": "10.0.1.0/24",
    "AGENT_SERVICES": "git,db",
    "AGENT_COMMAND": "/usr/bin/true",
    "AGENT_USER": "agent",
    "WARDEN_GIT_IP": "10.0.1.2",
    "GIT_JAIL_NAME": "atlas-git",
    "DISPLAY_LOCALE": "sl-SI",
    "SYSTEM_LOCALE": "sl_SI.UTF-8",
}


@st.composite
def dotenv_texts(draw: st.DrawFn) -> str:
    def line(key: str, value: str) -> str:
        quote = draw(st.sampled_from(("", "'", '"')))
        return f"{draw(st.sampled_from(('', 'export ')))}{key}={quote}{value}{quote}"

    lines = [line("AGENT_NAME", draw(either("atlas")))]
    lines += [line(key, draw(either(OURS[key]))) for key in draw(st.sets(st.sampled_from(sorted(OURS))))]
    lines += [line(draw(either(f"OWN{number}")), draw(WILD)) for number in range(draw(st.integers(0, 4)))]
    return draw(st.sampled_from(("\n", "\r\n", "\n\n"))).join(lines) + draw(st.sampled_from(("", "\n")))


def readers(text: str) -> tuple[Callable[[], Spec], ...]:
    """Give what reads a text as a warden.toml, and what reads it as a .env."""
    return (
        partial(read_toml, Path("/srv/warden.toml"), text),
        partial(read_env, Path(".env"), text, directory=Path("/srv"), owner="agent"),
    )


def plan_of(spec: Spec) -> Plan:
    check_spec(spec)
    return make_plan(spec, tuple(spec.agents), facts())


def scripts_in(argv: tuple[str, ...]) -> Iterator[str]:
    """Give the words of a command that a shell will read as a program: what follows `sh -c`."""
    for before, option, word in zip(argv, argv[1:], argv[2:], strict=False):
        if before.rpartition("/")[2] in ("sh", "csh", "su") and option.startswith("-") and "c" in option:
            yield word


def holds_as_data(agent: AgentSpec, plan: Plan) -> None:
    """Check that what the operator wrote reaches the host whole, and never where a shell would evaluate it."""
    for change in plan.changes:
        for command in change.commands:
            assert not any(MARK in script for script in scripts_in(command.argv)), command
            for word in command.argv:
                if MARK in word:
                    assert is_plain(word), (word, command)
            assert "\0" not in "".join(command.argv)
            reads_back(agent, command)
    crosses_a_shell(plan)
    shown = dump_json(plan_to_json(plan))
    assert json.loads(shown)["version"] == 1
    for value in agent.env.values():
        # the same attack may stand in a key that is no secret
        if MARK in value and not any(value in open_one for open_one in (agent.display_name, *(agent.command or ()))):
            hidden = json.dumps(value, ensure_ascii=False)[1:-1]
            assert hidden not in shown or len(value) < 8


def is_plain(word: str) -> bool:
    """Tell whether a word of a command is only made of letters that mean nothing to any shell."""
    return re.fullmatch(r"[A-Za-z0-9_@%+=:,./ -]+", word) is not None and not word.startswith("-")


def reads_back(agent: AgentSpec, command: Command) -> None:
    """Check that a file that a command writes says what the operator wrote, read as its reader will read it."""
    path = command.argv[-1]
    text = fill(command.stdin).decode("utf-8", "surrogateescape")
    if MARK not in text:
        return
    if path.endswith(f"/agents/{agent.name}.toml"):
        entry = parse_agent(path, text)
        assert entry.display_name == agent.display_name
        assert entry.command == (agent.command or ())
    elif path.endswith(f"/agents/{agent.name}.env"):
        assert command.secret
        told = {name: value.reveal() for name, value in parse_environment(path, text).items()}
        assert told | dict(agent.env) == told
        # rc.subr has sh read it
        shown = " ".join(f'"${name}"' for name in agent.env)
        assert sh_says(f"{text}\nprintf '%s\\0' read {shown}") == ["read", *agent.env.values()]
    elif path == f"/usr/local/etc/rc.d/{agent.name}":
        assert_script(agent, text)
    else:
        # pf's rules, tables and the like: the bridge's name and the agent's stand in them, both checked; nginx ends
        # what it reads with a semicolon
        assert all(is_plain(word.removesuffix(";")) for word in re.findall(rf"[^\s\"/]*{MARK}[^\s\"/]*", text)), command


def assert_script(agent: AgentSpec, script: str) -> None:
    """Check an rc.d script: the one place where hostile words may stand is the quoted list of the command."""
    # sh reads the assignment, and rc.subr evaluates its value: twice quoted, it must come apart into our words
    arguments, *words = sh_says(script.replace(". /etc/rc.subr", RC_SUBR))
    assert tuple(words[-len(agent.command or ()) :]) == agent.command
    rest = script.replace(shlex.quote(arguments), "")
    for checked in (agent.name, agent.name.replace("-", "_"), agent.user or "", agent.workdir or ""):
        assert not checked or is_plain(checked)
        rest = rest.replace(checked, "") if checked else rest
    assert MARK not in rest


RC_SUBR = """
load_rc_config() { :; }
run_rc_command() { eval "set -- $command_args"; printf '%s\\0' "$command_args" "$@"; }
"""
"""What stands in for rc.subr(8), which evaluates the words once more."""


def sh_says(script: str) -> list[str]:
    """Give what a script writes that a real sh(1) reads, each word with a NUL behind it."""
    argv = [b"/bin/sh", b"-c", script.encode("utf-8", "surrogateescape"), b"sh"]
    done = subprocess.run(argv, capture_output=True, check=False, env={"PATH": "/nowhere"}, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stderr) == (0, b""), script
    return done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]


def crosses_a_shell(plan: Plan) -> None:
    """Check that every command whose words a shell has to read, as over SSH, comes out of it as it went in."""
    sent = [
        word for change in plan.changes for command in change.commands for word in (*command.argv, "end of command")
    ]
    lines = [
        f"printf '%s\\0' {shell_line(command)} 'end of command'"
        for change in plan.changes
        for command in change.commands
    ]
    assert sh_says("\n".join(lines)) == sent


tries = settings(
    max_examples=10_000 if EXHAUSTIVE else 60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@tries
@given(toml_texts())
@example(f'[agents.atlas]\ncommand = ["/bin/sh", "-c", "$({MARK})\'"]\ndisplay_name = "{MARK}"\n')
def test_a_hostile_warden_toml_is_refused_or_data(text: str) -> None:
    try:
        spec = read_toml(Path("/srv/warden.toml"), text)
        plan = plan_of(spec)
    except REFUSALS:
        return
    for agent in spec.agents.values():
        holds_as_data(agent, plan)


@tries
@given(dotenv_texts())
@example(f"AGENT_NAME=atlas\nA='$({MARK})'\nB=\"`{MARK}`\"\nC=; {MARK}\n")
@example(f"AGENT_NAME=atlas\nAGENT_COMMAND=/bin/sh -c '$({MARK}) \"'\n")
def test_a_hostile_dotenv_is_refused_or_data(text: str) -> None:
    try:
        spec = read_env(Path(".env"), text, directory=Path("/srv/atlas"), owner="agent")
        plan = plan_of(spec)
    except REFUSALS:
        return
    for agent in spec.agents.values():
        holds_as_data(agent, plan)


@tries
@given(st.text(max_size=200) | st.lists(st.sampled_from(TOML_PIECES)).map("".join))
def test_any_text_at_all_is_refused_in_words(text: str) -> None:
    for read in readers(text):
        with contextlib.suppress(*REFUSALS):
            plan_of(read())


HUGE = {
    "a deep array": "x = " + "[" * 100_000,
    "a deep inline table": "x = " + "{a=" * 100_000,
    "a deep key": "a" + ".a" * 20_000 + " = 1",
    "a long key": "a" * 1_000_000 + " = 1",
    "a long name": f"[agents.{'a' * 1_000_000}]\n",
    "a long string": 'x = "' + "a" * 1_000_000 + '"',
    "an open string": 'x = "' + "a\\\\" * 300_000,
    "an open string of lines": 'x = """' + '"" ' * 300_000,
    "a long number": "x = " + "9" * 10_000,
    "many keys": "".join(f"k{number} = 1\n" for number in range(5_000)),
    "one key, many times": "a = 1\n" * 5_000,
    "many brackets": "[" * 100_000,
    "many tables": "".join(f"[agents.A{number}]\n" for number in range(2_000)),
    "blanks": " " * 1_000_000 + "=",
    "equals": "=" * 100_000,
    "quotes": "A='" + "\\'" * 200_000,
}


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in HUGE.items()])
def test_a_huge_spec_is_refused_in_few_words(text: str) -> None:
    for read in readers(text):
        with pytest.raises(SpecError) as refused:
            check_spec(read())
        for problem in refused.value.problems:
            assert len(str(problem)) < 500
            assert len(problem.hint) < 500
