# SPDX-License-Identifier: BSD-2-Clause
"""The verbs: what they print and how they end where all is well, and that no secret is ever shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import warden as package
from warden.cli.main import cli

if TYPE_CHECKING:
    from collections.abc import Callable

    import click

    from tests.cli.conftest import Ended

    Warden = Callable[..., Ended]

CANARY = "c4n4ry-7f3a"
TWO_HOSTS = """\
[hosts.alpha]
address = "fake:alpha.json"
[hosts.beta]
address = "fake:machines/beta.json"
[agents.one]
host = "alpha"
[agents.two]
host = "beta"
"""


def process(*argv: str, folder: Path, stdin: bytes = b"", **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run `warden` as a process of its own, where bytes pass through that pytest's capture would not take."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WARDEN_")}
    environment |= {"PYTHONPATH": str(Path(package.__file__).parents[1])} | variables
    return subprocess.run(
        (sys.executable, "-m", "warden", *argv),
        cwd=folder,
        env=environment,
        input=stdin,
        capture_output=True,
        check=False,
        timeout=60,
    )


def test_version_and_help(warden: Warden) -> None:
    assert warden("--version").out == f"warden {package.__version__}\n"
    for option in ("-h", "--help"):
        ended = warden(option)
        assert (ended.status, ended.err) == (0, "")
        assert "plan" in ended.out
        assert "apply" in ended.out
    ended = warden()
    assert ended.status == 2
    assert "Usage" in ended.out + ended.err


def commands(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inside = getattr(command, "commands", {})
    return [path, *(each for name, sub in inside.items() for each in commands(sub, (*path, name)))]


@pytest.mark.parametrize("path", [pytest.param(path, id=" ".join(path)) for path in commands(cli) if path])
def test_every_command_has_help(warden: Warden, path: tuple[str, ...]) -> None:
    for option in ("-h", "--help"):
        ended = warden(*path, option)
        assert (ended.status, ended.err) == (0, "")
        assert f"Usage: warden {' '.join(path)}" in ended.out


def test_host_run_passes_bytes_and_the_exit_status_through(tmp_path: Path) -> None:
    here = ("host", "run", "--host", "local", "--")
    script = r'cat; printf "\377\000\n"; printf "\376" >&2; exit 42'
    ended = process(*here, "/bin/sh", "-c", script, folder=tmp_path, stdin=b"\x80in\0")
    assert (ended.returncode, ended.stdout, ended.stderr) == (42, b"\x80in\0\xff\0\n", b"\xfe")
    ended = process(*here, "/bin/sh", "-c", 'printf "%s|" "$@"', "sh", "a b", "", "$(id)", "--host", folder=tmp_path)
    assert ended.stdout == b"a b||$(id)|--host|"
    assert process(*here, "no-such-program", folder=tmp_path).returncode == 127
    assert process(*here, "/bin/sh", "-c", "kill -9 $$", folder=tmp_path).returncode == 137


@pytest.mark.parametrize("spec", [None, "[agents.BAD", "[agents.BAD]\n"])
def test_host_run_needs_no_spec(warden: Warden, tmp_path: Path, spec: str | None) -> None:
    if spec is not None:
        (tmp_path / "warden.toml").write_text(spec)
    for host in ((), ("--host", "fake:"), ("--host", f"fake:{tmp_path}/host.json")):
        ended = warden("host", "run", *host, "--", "hostname")
        assert (ended.status, ended.out, ended.err) == (0, "host.example.org\n", "")


def test_host_run_says_which_of_several_hosts_is_meant(tmp_path: Path) -> None:
    (tmp_path / "warden.toml").write_text(TWO_HOSTS)
    ended = process("host", "run", "--", "hostname", folder=tmp_path)
    assert ended.returncode == 2
    assert b"several hosts: alpha, beta" in ended.stderr
    assert process("host", "run", "--host", "alpha", "--", "hostname", folder=tmp_path).stdout == b"host.example.org\n"


def test_a_name_of_any_bytes_can_be_told(tmp_path: Path) -> None:
    ended = process("plan", "-f", os.fsdecode(b"\xff.toml"), folder=tmp_path)
    assert ended.returncode == 2
    assert b"\\udcff.toml: No such file" in ended.stderr
    (tmp_path / ".env").write_text("AGENT_NAME=atlas\nASSISTANT_NAME=Žiga\nAGENT_SERVICES=git\n", encoding="utf-8")
    for verb in (("plan", "--json"), ("apply", "-y"), ("status", "--json")):
        ended = process(*verb, "--host", "fake:h.json", folder=tmp_path, PYTHONIOENCODING="ascii")
        assert ended.returncode == 0, ended
    assert json.loads(ended.stdout)["agents"][0]["name"] == "atlas"


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    script = f"mkdir gone && cd gone && rmdir ../gone && exec {sys.executable} -P -m warden plan --host fake:"
    environment = {"PYTHONPATH": str(Path(package.__file__).parents[1])}
    ended = subprocess.run(
        ("/bin/sh", "-c", script), cwd=tmp_path, env=environment, capture_output=True, check=False, timeout=60
    )
    assert ended.returncode == 2, ended
    assert b"bug" not in ended.stderr


def secrets_in(warden: Warden, folder: Path, *argv: str) -> Ended:
    ended = warden(*argv, folder=folder)
    assert CANARY not in ended.out, argv
    assert CANARY not in ended.err, argv
    return ended


@pytest.mark.parametrize("kind", [".env", "warden.toml"])
def test_no_secret_is_shown(warden: Warden, tmp_path: Path, kind: str) -> None:
    dotenv = f"AGENT_NAME=atlas\nAGENT_SERVICES=git\nTOKEN={CANARY}\nPASSWORD='x {CANARY} $y'\n"
    toml = '[agents.atlas]\nservices = ["git"]\ncommand = ["/usr/bin/true"]\n[agents.atlas.env]\n' + f'T = "{CANARY}"\n'
    (tmp_path / kind).write_text(dotenv if kind == ".env" else toml)
    plan = secrets_in(warden, tmp_path, "plan", "--json").json
    hidden = [command for change in plan["changes"] for command in change["commands"] if command["secret"]]
    assert hidden
    assert all(set(command) == {"secret", "command"} for command in hidden)
    secrets_in(warden, tmp_path, "plan")
    failing = f"fake:{tmp_path}/failing.json?fail-match=.env"
    assert secrets_in(warden, tmp_path, "apply", "-y", "--host", failing).status == 1
    assert secrets_in(warden, tmp_path, "apply", "-y", "--json", "--host", failing).status == 1
    events = [json.loads(line) for line in secrets_in(warden, tmp_path, "apply", "-y", "--json").out.splitlines()]
    assert [event["event"] for event in events][0 :: len(events) - 1] == ["plan", "report"]
    assert events[-1]["ok"]
    assert all(event["version"] == 1 for event in events)
    (tmp_path / kind).write_text((dotenv if kind == ".env" else toml).replace(CANARY, f"new-{CANARY}"))
    secrets_in(warden, tmp_path, "plan", "--json")
    secrets_in(warden, tmp_path, "apply", "-y")
    for verb in (("status", "--json"), ("agent", "list", "--json"), ("agent", "show", "atlas", "--json")):
        assert [agent["name"] for agent in secrets_in(warden, tmp_path, *verb).json["agents"]] == ["atlas"]
    path = "/usr/local/etc/warden/agents/atlas"
    assert CANARY in warden("host", "run", "--", "cat", f"{path}.env").out
    assert "-rw-------" in warden("host", "run", "--", "ls", "-l", f"{path}.env").out
    assert CANARY not in warden("host", "run", "--", "cat", f"{path}.toml", "/usr/local/etc/rc.d/atlas").out


@pytest.mark.parametrize(
    "line",
    ["{} without equals", "TOKEN='{}", "TOKEN={}\nTOKEN={}", 'TOKEN="{}\n"', "TO KEN={}", "TOKEN={}\x01", "1X={}"],
)
def test_no_secret_is_shown_where_the_dotenv_is_wrong(warden: Warden, tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text("AGENT_NAME=atlas\n" + line.replace("{}", CANARY) + "\n")
    for verb in (("plan",), ("--debug", "plan"), ("apply", "-y")):
        if verb[0] != "--debug":
            ended = secrets_in(warden, tmp_path, *verb)
            assert ended.status == 2, ended
            assert ended.err.startswith("error: .env:2:") or line.count("\n"), ended


def test_apply_as_json_where_nothing_is_to_do(warden: Warden, tmp_path: Path) -> None:
    (tmp_path / "warden.toml").write_text("[agents.atlas]\n")
    assert warden("apply", "-y").status == 0
    for options in ((), ("-y",)):
        ended = warden("apply", "--json", *options)
        assert ended.status == 0
        events = [json.loads(line) for line in ended.out.splitlines()]
        assert [event["event"] for event in events] == ["plan", "report"]
        assert (events[0]["plan"]["changes"], events[1]["ok"], events[1]["done"]) == ([], True, {})
    assert warden("apply").status == 0, "where nothing is to do, nothing is asked"


def test_plan_exit_code(warden: Warden, tmp_path: Path) -> None:
    (tmp_path / "warden.toml").write_text("[agents.atlas]\n")
    assert warden("plan").status == 0
    assert warden("plan", "--exit-code").status == 3
    assert warden("plan", "--exit-code", "--json").json["changes"]
    assert warden("apply", "-y").status == 0
    assert warden("plan", "--exit-code").status == 0
    assert warden("plan", "--exit-code", "--json").json["changes"] == []


def test_agent_list_and_show(warden: Warden, tmp_path: Path) -> None:
    ended = warden("agent", "list")
    assert (ended.status, "no agent is registered" in ended.out) == (0, True)
    assert warden("agent", "list", "--json").json["agents"] == []
    (tmp_path / "warden.toml").write_text('[agents.atlas]\nsubnet = "10.0.1.0/24"\nservices = ["git"]\n[agents.b]\n')
    assert warden("apply", "-y").status == 0
    listed = warden("agent", "list").out
    assert "atlas" in listed
    assert "10.0.1.0/24" in listed
    assert "1/1 up" in listed
    shown = warden("agent", "show", "atlas")
    assert "atlasgit" in shown.out
    assert "10.0.1.2" in shown.out
    told = warden("agent", "show", "atlas", "--json").json
    assert told["version"] == 1
    assert [(agent["name"], agent["healthy"]) for agent in told["agents"]] == [("atlas", True)]
    assert [agent["name"] for agent in warden("status", "--json").json["agents"]] == ["atlas", "b"]


def test_agent_add_keeps_what_is_written(warden: Warden, tmp_path: Path) -> None:
    text = '# mine\n[defaults]\nservices = ["git"]   # for all\n\n[agents.a]\nsubnet = "10.0.9.0/24"\n# the end\n'
    real = tmp_path / "kept" / "real.toml"
    real.parent.mkdir()
    real.write_bytes(text.replace("\n", "\r\n").encode())
    real.chmod(0o640)
    (tmp_path / "warden.toml").symlink_to(real)
    assert warden("agent", "add", "b", "--subnet", "10.0.8.0/24", "--service", "db").status == 0
    assert warden("agent", "add", "c").status == 0
    assert (tmp_path / "warden.toml").is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    after = real.read_bytes().decode()
    assert after.startswith(text.replace("\n", "\r\n"))
    agents = tomllib.loads(after)["agents"]
    assert agents["b"] == {"subnet": "10.0.8.0/24", "services": ["db"]}
    assert agents["c"] == {}, "the services of [defaults] are its own"
    ended = warden("plan")
    assert ended.status == 0
    assert "jail cgit" in ended.out


FORMS = (
    *("", "[network]\n", "[agents]\n", "[agents.a]\n[network]\n[agents.b]\n"),
    *("agents={}", "agents.a.user='x'", "[agents.a.env]\nX='1'\n[network]\n"),
)


@pytest.mark.parametrize("text", FORMS)
def test_agent_add_to_any_form_of_file(warden: Warden, tmp_path: Path, text: str) -> None:
    (tmp_path / "warden.toml").write_text(text)
    ended = warden("agent", "add", "new")
    assert ended.status == 0, ended
    before = tomllib.loads(text).get("agents", {})
    assert tomllib.loads((tmp_path / "warden.toml").read_text())["agents"] == {**before, "new": {}}


def test_a_relative_path_of_a_fake_host_is_beside_the_spec(
    warden: Warden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WARDEN_HOST")
    folder, elsewhere = tmp_path / "specs", tmp_path / "elsewhere"
    for each in (folder / "machines", elsewhere):
        each.mkdir(parents=True)
    (folder / "warden.toml").write_text(TWO_HOSTS)
    assert warden("plan", "-f", "../specs/warden.toml", folder=elsewhere).status == 0
    assert (folder / "alpha.json").exists()
    assert (folder / "machines" / "beta.json").exists()
    assert warden("host", "run", "--host", "fake:here.json", "--", "true", folder=elsewhere).status == 0
    assert (elsewhere / "here.json").exists()


@pytest.fixture
def two_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("WARDEN_HOST")
    (tmp_path / "machines").mkdir()
    (tmp_path / "warden.toml").write_text(TWO_HOSTS)
    return tmp_path


def agents_of(warden: Warden, host: str) -> list[str]:
    return [agent["name"] for agent in warden("status", "--host", host, "--json").json["agents"]]


def test_each_host_gets_its_own_agents(warden: Warden, two_hosts: Path) -> None:
    ended = warden("apply", "-y")
    assert ended.status == 0, ended
    assert (agents_of(warden, "alpha"), agents_of(warden, "beta")) == (["one"], ["two"])
    assert warden("plan", "--exit-code").status == 0
    assert "two" in warden("agent", "show", "two").out
    assert warden("destroy", "two", "-y").status == 0
    assert (agents_of(warden, "alpha"), agents_of(warden, "beta")) == (["one"], [])


def test_the_host_of_an_agent_that_is_named_is_the_only_one_asked(warden: Warden, two_hosts: Path) -> None:
    assert warden("apply", "-y", "--agent", "two").status == 0
    assert not (two_hosts / "alpha.json").exists()
    assert agents_of(warden, "beta") == ["two"]


@pytest.mark.parametrize(
    ("broken", "status"),
    [("fake:alpha.json?profile=bare", 4), ("ssh://127.0.0.1:1", 69), ("fake:not/there.json", 2), ("local", 4)],
)
def test_one_host_that_fails_never_stops_the_other(warden: Warden, two_hosts: Path, broken: str, status: int) -> None:
    (two_hosts / "warden.toml").write_text(TWO_HOSTS.replace("fake:alpha.json", broken))
    for verb in (("plan",), ("apply", "-y"), ("status",)):
        ended = warden(*verb)
        if verb == ("status",) and "bare" in broken:
            assert ended.status == 0  # it has no agents, and says so
            continue
        assert ended.status == status, ended
        assert "error: alpha: " in ended.err or "alpha.json" in ended.err
        assert "beta" in ended.out
        assert "hint: " in ended.err
    assert agents_of(warden, "beta") == ["two"]


def test_an_apply_that_fails_on_one_host_is_done_on_the_other(warden: Warden, two_hosts: Path) -> None:
    (two_hosts / "warden.toml").write_text(TWO_HOSTS.replace("alpha.json", "alpha.json?fail-nth=2"))
    ended = warden("apply", "-y")
    assert ended.status == 1
    assert "error: alpha" in ended.err
    assert agents_of(warden, "beta") == ["two"]


@pytest.mark.parametrize(("value", "traceback"), [("0", False), ("no", False), ("", False), ("1", True)])
def test_only_debug_shows_where_an_error_comes_from(tmp_path: Path, *, value: str, traceback: bool) -> None:
    ended = process("plan", "-f", "gone.toml", folder=tmp_path, WARDEN_DEBUG=value)
    assert (b"Traceback" in ended.stderr) is traceback
    assert ended.returncode == (1 if traceback else 2)
