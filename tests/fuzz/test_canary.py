# SPDX-License-Identifier: BSD-2-Clause
"""A canary is planted as every secret, and searched for everywhere but where it belongs.

It belongs into the operator's own spec, into the agent's env file on the host (0600), into what the agent's own
processes are given, and on its way there over standard input. Nowhere else may it be found: not in an argument of a
command, in what is printed, with --debug or without, in a plan that is kept, the log or the journal.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import random
import stat
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import EXHAUSTIVE
from warden.cli import terminal
from warden.cli.main import main
from warden.engine.journal import JOURNAL, LOG
from warden.host.fake.host import FakeHost
from warden.host.fake.machine import Machine
from warden.host.fake.persist import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from warden.host.command import Command, Result, Session

CANARY = "c4n4ry-7f3a"
PLANTED = tuple(f"{CANARY}-{place}" for place in ("a", "b", "c", "d"))
ENV_FILES = "/usr/local/etc/warden/agents"

TOML = f"""\
[agents.atlas]
services = ["git"]
command = ["/usr/bin/true"]
user = "atlas"
[agents.atlas.env]
TOKEN = "{PLANTED[0]}"
"PASSWORD" = "it's \\"{PLANTED[1]}\\" $(x) {PLANTED[1]}"
[agents.vera]
services = []
[agents.vera.env]
TOKEN = "{PLANTED[2]}"
"""
DOTENV = f"""\
AGENT_NAME=atlas
AGENT_SERVICES=git
AGENT_COMMAND=/usr/bin/true
AGENT_USER=atlas
TOKEN={PLANTED[0]}
PASSWORD='x {PLANTED[1]} $y'
export API_KEY="{PLANTED[2]}"
"""
SPECS = {"warden.toml": TOML, ".env": DOTENV}
WAYS = ("fail-nth", "drop-before", "drop-after", "hang-nth", "disk-full-after")


class Spy:
    """Runs command lines, and keeps all that was printed and all that was sent to the host."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.commands: list[Command] = []
        self.counted = 0
        self._capsys = capsys

    def __call__(self, *args: str, faults: str = "") -> int:
        """Run a command line; where something is printed, or raised as --debug has it, it must hold no canary."""
        terminal.out.cache_clear()
        terminal.err.cache_clear()
        self._capsys.readouterr()
        os.environ.pop("WARDEN_DEBUG", None)
        os.environ["WARDEN_HOST"] = f"fake:{self.folder}/host.json{faults}"
        raised = ""
        try:
            status = main([*args])
        except Exception as error:  # noqa: BLE001 - with --debug it is Python that prints it
            raised = "".join(traceback.format_exception(error))
            status = 1
        shown = self._capsys.readouterr()
        for text in (shown.out, shown.err, raised):
            assert CANARY not in text, args
        return status

    @property
    def machine(self) -> Machine:
        found: Machine = from_json(Machine, json.loads((self.folder / "host.json").read_text())["machine"])
        return found

    def search(self) -> None:
        """Search what was sent, what is on the host, and what lies in the operator's folder."""
        for command in self.commands:
            assert CANARY not in " ".join(command.argv)
            assert CANARY not in repr(command)
            assert CANARY.encode() not in command.stdin or command.secret, command
        if (self.folder / "host.json").exists():
            search_host(self.machine)
        for path in self.folder.iterdir():
            if path.name not in SPECS and not path.name.startswith("host.json"):
                assert CANARY not in path.read_text(), path


def search_host(machine: Machine) -> None:
    for path, node in machine.files.walk("/"):
        if CANARY.encode() in node.data:
            assert path.startswith(f"{ENV_FILES}/"), path
            assert path.endswith((".env", ".env.warden")), path
            assert stat.S_IMODE(node.mode) == 0o600, path
    for pid, process in machine.processes.items():
        given = dataclasses.replace(process, environment={})
        assert CANARY not in json.dumps(to_json(given)), pid
    rest: Any = to_json(machine)
    del rest["files"], rest["processes"]
    assert CANARY not in json.dumps(rest)


@pytest.fixture
def spy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Spy]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    for name in ("WARDEN_FILE", "WARDEN_ENV_FILE", "WARDEN_DEBUG", "WARDEN_HOST"):
        monkeypatch.delenv(name, raising=False)
    spy = Spy(tmp_path, capsys)
    run, lanes, opened, lend = FakeHost.run, FakeHost.run_lanes, FakeHost.open, FakeHost._execute

    def note_run(host: FakeHost, batch: Sequence[Command], **how: Any) -> list[Result]:
        spy.commands += batch
        return run(host, batch, **how)

    def note_lanes(host: FakeHost, all_lanes: Sequence[Sequence[Sequence[Command]]], **how: Any) -> Any:
        spy.commands += [command for lane in all_lanes for batch in lane for command in batch]
        return lanes(host, all_lanes, **how)

    def note_open(host: FakeHost, command: Command) -> Session:
        spy.commands.append(command)
        return opened(host, command)

    def count(host: FakeHost, *args: Any) -> Result:
        result = lend(host, *args)
        spy.counted = host._faults.counted
        return result

    for name, noting in (("run", note_run), ("run_lanes", note_lanes), ("open", note_open), ("_execute", count)):
        monkeypatch.setattr(FakeHost, name, noting)
    yield spy
    os.environ.pop("WARDEN_DEBUG", None)
    os.environ.pop("WARDEN_HOST", None)


def plant(spy: Spy, kind: str) -> None:
    """Plant canaries in the spec, and one on the host, where the operator put it into the agent's env file."""
    (spy.folder / kind).write_text(SPECS[kind])
    script = 'umask 077; mkdir -p "$1" && printf "%s\\n" "$2" > "$1/atlas.env"'
    spy("host", "run", "--", "/bin/sh", "-c", script, "sh", ENV_FILES, f"HAND='{PLANTED[3]}'")
    spy.commands.clear()  # that was by hand


READING: tuple[tuple[str, ...], ...] = (
    *(("plan",), ("plan", "--json"), ("--debug", "plan"), ("plan", "-o", "kept.plan"), ("plan", "--exit-code")),
    *(("status",), ("status", "--json"), ("doctor",), ("doctor", "--json"), ("log",), ("log", "--json")),
    *(("agent", "list"), ("agent", "list", "--json"), ("agent", "show", "atlas"), ("agent", "show", "atlas", "--json")),
    *(("host", "probe"), ("host", "probe", "--json"), ("host", "list", "--json"), ("--debug", "status")),
)


@pytest.mark.parametrize("kind", list(SPECS))
def test_from_the_first_plan_to_the_last_destroy(spy: Spy, kind: str) -> None:
    plant(spy, kind)
    for args in READING:
        spy(*args)
    assert spy("apply", "-y", "kept.plan") == 0
    env = spy.machine.files.read(f"{ENV_FILES}/atlas.env").decode()
    assert all(planted in env for planted in (PLANTED[0], PLANTED[1], PLANTED[3])), (
        "the canaries came where they belong"
    )
    assert any(CANARY.encode() in command.stdin for command in spy.commands)
    for args in READING:
        spy(*args)
    # drift: the service's file is edited by hand, and the plan says so
    spy("host", "run", "--", "/bin/sh", "-c", 'echo "TOKEN=mine" > "$1"', "sh", f"{ENV_FILES}/atlas.env")
    for args in (*READING, ("apply", "-y", "--json"), ("--debug", "apply", "-y")):
        spy(*args)
    spy.search()
    for name in ("vera", "atlas"):
        spy("--debug", "destroy", name)
        spy("destroy", "-y", name)
    assert spy.machine.files.lookup(f"{ENV_FILES}/atlas.env") is None
    for path in (LOG, *(f"{JOURNAL}/{name}" for name in spy.machine.files.list_dir(JOURNAL))):
        assert spy.machine.files.read(path)
    spy.search()


def cut(spy: Spy, args: tuple[str, ...], faults: Callable[[], list[str]]) -> None:
    """Run a command line with each fault, from where it was before, and search after each."""
    before = (spy.folder / "host.json").read_text()
    spy(*args)
    for fault in faults():
        (spy.folder / "host.json").write_text(before)
        for words in (args, ("--debug", *args), (*args, "--json")):
            if words[-1] != "--json" or "apply" in words:
                spy(*words, faults=f"?{fault}")
        spy.search()
        spy.commands.clear()


@pytest.mark.parametrize("verb", ["apply", "destroy"])
@pytest.mark.parametrize("kind", list(SPECS))
def test_wherever_it_is_cut_off(spy: Spy, kind: str, verb: str, request: pytest.FixtureRequest) -> None:
    plant(spy, kind)
    args: tuple[str, ...] = ("apply", "-y")
    if verb == "destroy":
        assert spy(*args) == 0
        args = ("destroy", "-y", "atlas")

    def faults() -> list[str]:
        every = [f"{way}={nth}" for way in WAYS for nth in range(1, spy.counted + 1)]
        if EXHAUSTIVE:
            return every
        chosen = random.Random(f"{request.config.getoption('hypothesis_seed')} {kind} {verb}")  # noqa: S311 - a sample
        return chosen.sample(every, 6)

    cut(spy, args, faults)


BROKEN_HOST = {
    "a quote that does not end": f"TOKEN='{CANARY}",
    "no assignment": f"{CANARY}",
    "an assignment and no assignment": f"A='x' {CANARY}=y 'B {CANARY}'",
}


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in BROKEN_HOST.items()])
def test_an_env_file_on_the_host_that_is_broken(spy: Spy, text: str) -> None:
    plant(spy, "warden.toml")
    script = 'umask 077; printf "%s\\n" "$2" > "$1/atlas.env"'
    spy("host", "run", "--", "/bin/sh", "-c", script, "sh", ENV_FILES, text)
    spy.commands.clear()
    for args in (*READING, ("apply", "-y"), ("--debug", "apply", "-y"), ("destroy", "-y", "atlas")):
        spy(*args)
    spy.search()


BROKEN_SPECS = {
    "a string that does not end": f'[agents.atlas.env]\nTOKEN = "{CANARY}\n',
    "no TOML behind it": f'[agents.atlas.env]\nTOKEN = "{CANARY}" x\n',
    "written twice": f'[agents.atlas.env]\nTOKEN = "{CANARY}"\nTOKEN = "{CANARY}"\n',
    "a list": f'[agents.atlas.env]\nTOKEN = ["{CANARY}"]\n',
    "a table": f'[agents.atlas.env]\nTOKEN = {{ a = "{CANARY}" }}\n',
    "no table": f'[agents.atlas]\nenv = "{CANARY}"\n',
    "a NUL": f'[agents.atlas.env]\nTOKEN = "{CANARY}\\u0000"\n',
    "a key that is none": f'[agents.atlas.env]\n"a b" = "{CANARY}"\n',
    "another agent is wrong": f'[agents.atlas.env]\nTOKEN = "{CANARY}"\n[agents.Vera]\nservices = ["x"]\n',
}
BROKEN_DOTENVS = {
    "a quote that does not end": f"AGENT_NAME=atlas\nTOKEN='{CANARY}\n",
    "words behind it": f"AGENT_NAME=atlas\nTOKEN='{CANARY}' x y\n",
    "written twice": f"AGENT_NAME=atlas\nTOKEN={CANARY}\nTOKEN={CANARY}\n",
    "a NUL": f"AGENT_NAME=atlas\nTOKEN={CANARY}\0\n",
    "a key that is none": f"AGENT_NAME=atlas\n1TOKEN={CANARY}\n",
    "another key is wrong": f"AGENT_NAME=Atlas!\nTOKEN={CANARY}\nWARDEN_SUBNET=x\n",
    "no UTF-8": f"AGENT_NAME=atlas\nTOKEN={CANARY}\udcff\n",
}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *(pytest.param("warden.toml", text, id=f"toml: {name}") for name, text in BROKEN_SPECS.items()),
        *(pytest.param(".env", text, id=f"env: {name}") for name, text in BROKEN_DOTENVS.items()),
    ],
)
def test_a_spec_that_is_wrong(spy: Spy, kind: str, text: str) -> None:
    (spy.folder / kind).write_bytes(text.encode("utf-8", "surrogateescape"))
    for args in (*READING, ("apply", "-y"), ("--debug", "apply", "-y"), ("--debug", "plan", "--json")):
        spy(*args)
    spy.search()
