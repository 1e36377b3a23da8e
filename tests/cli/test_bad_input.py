# SPDX-License-Identifier: BSD-2-Clause
"""Specs and command lines that are wrong: exit status 2, an error that leads to the place, and no host is touched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Ended

    Warden = Callable[..., Ended]


class Bad(NamedTuple):
    """A spec, the line and column that the error must lead to, words that it must say, and words of its hint."""

    text: str
    place: str
    says: tuple[str, ...]
    hint: str


def jail(service: str, name: str) -> str:
    return f'[agents.atlas]\nservices = ["{service}"]\n[agents.atlas.jails.{service}]\nname = "{name}"\n'


TOML = {
    "two agents, one subnet": Bad(
        '[agents.a]\nsubnet = "10.0.1.0/24"\n[agents.b]\nsubnet = "10.0.1.0/24"\n',
        "4:1",
        ("agents a and b", "10.0.1.0/24"),
        "leave it out to get a free one",
    ),
    "reserved": Bad(
        '[network]\nreserved = ["10.0.0.0/16"]\n[agents.a]\nsubnet = "10.0.1.0/24"\n',
        "4:1",
        ("10.0.1.0/24", "10.0.0.0/16", "network.reserved"),
        "write another /24",
    ),
    "a /23": Bad('[agents.a]\nsubnet = "10.0.2.0/23"\n', "2:1", ("10.0.2.0/23", "/24"), "such as 10.0.2.0/24"),
    "a /25": Bad('[agents.a]\nsubnet = "10.0.2.0/25"\n', "2:1", ("10.0.2.0/25", "/24"), "write 10.0.2.0/24"),
    "no network": Bad('[agents.a]\nsubnet = "10.0.2.7/24"\n', "2:1", ("10.0.2.7/24",), "write 10.0.2.0/24"),
    "public": Bad('[agents.a]\nsubnet = "8.8.8.0/24"\n', "2:1", ("8.8.8.0/24", "private"), "RFC 1918"),
    "capital letter": Bad("[agents.Atlas]\n", "1:9", ("'Atlas'", "capital"), "write 'atlas'"),
    "two hyphens": Bad("[agents.dev--qwen]\n", "1:9", ("'dev--qwen'", "hyphen"), "write 'dev-qwen'"),
    "reserved word": Bad("[agents.system]\n", "1:9", ("'system'", "reserved"), "write another name"),
    "a variable of rc.conf's": Bad("[agents.firewall]\n", "1:9", ("'firewall'", "rc.conf"), "write another name"),
    "a log of the host's": Bad("[agents.auth]\n", "1:9", ("'auth'", "/var/log"), "write another name"),
    "too long": Bad(f"[agents.{'a' * 25}]\n", "1:9", ("25 characters", "24"), f"write '{'a' * 24}'"),
    "shell": Bad('[agents."x; rm -rf /"]\n', "1:9", ("'x; rm -rf /'",), "write 'x-rm-rf'"),
    "path": Bad('[agents."../etc"]\n', "1:9", ("'../etc'",), "write 'etc'"),
    "look-alike": Bad('[agents."\u0430tlas"]\n', "1:9", ("\u0430tlas",), "write 'tlas'"),
    "names that fold together": Bad(
        '[agents.dev-qwen]\nservices = ["git"]\n[agents.devqwen]\nservices = ["git"]\n',
        "3:9",
        ("dev-qwen's git", "devqwen's git", "are the same"),
        "write another jail name for",
    ),
    "one name the beginning of another": Bad(
        '[agents.a]\nservices = ["git"]\n[agents.a.jails.git]\nname = "web"\n'
        '[agents.b]\nservices = ["git"]\n[agents.b.jails.git]\nname = "webgit"\n',
        "5:9",
        ("'web'", "'webgit'", "a's git", "b's git"),
        "write another jail name",
    ),
    "jail with hyphen": Bad(jail("cms", "atlas-cms"), "4:1", ("'atlas-cms'", "'-'"), 'write "atlascms"'),
    "jail with underscore": Bad(jail("cms", "atlas_cms"), "4:1", ("'atlas_cms'", "'_'"), 'write "atlascms"'),
    "jail of digits": Bad(jail("git", "42"), "4:1", ("'42'", "number of a jail"), "write"),
    "jail ALL": Bad(jail("git", "ALL"), "4:1", ("'ALL'",), "write"),
    "jail with shell": Bad(jail("git", "$(reboot)"), "4:1", ("'$(reboot)'",), 'write "reboot"'),
    "two local models": Bad(
        '[agents.a]\nservices = ["ollama", "llama-cpp"]\n',
        "2:1",
        ("ollama and llama-cpp", "alternatives"),
        "leave one out",
    ),
    "gateway taken by a jail": Bad(
        '[agents.a]\nsubnet = "10.0.1.0/24"\nservices = ["git"]\n[agents.a.jails.git]\naddress = "10.0.1.1"\n',
        "5:1",
        ("agent a", "gateway and git", "10.0.1.1"),
        "write another address",
    ),
    "address outside": Bad(
        '[agents.a]\nsubnet = "10.0.1.0/24"\nservices = ["git"]\n[agents.a.jails.git]\naddress = "10.0.2.2"\n',
        "5:1",
        ("agent a", "10.0.2.2", "outside", "10.0.1.0/24"),
        "10.0.1.2 by default",
    ),
    "no UTF-8 locale": Bad(
        '[agents.a]\nlocale = { system = "sl_SI.ISO8859-2" }\n', "2:12", ("'sl_SI.ISO8859-2'",), "write sl_SI.UTF-8"
    ),
    "Linux's locale": Bad('[agents.a]\nlocale = { system = "sl_SI.utf8" }\n', "2:12", ("UTF-8",), "write sl_SI.UTF-8"),
    "unknown key": Bad('[agents.a]\nsubnett = "10.0.1.0/24"\n', "2:1", ("agents.a.subnett",), "did you mean subnet?"),
    "unknown table": Bad("[agent.a]\n", "1:2", ("unknown key agent",), "did you mean agents?"),
    "unknown service": Bad('[agents.a]\nservices = ["gti"]\n', "2:13", ("'gti'",), "did you mean git?"),
    "duplicate key": Bad('[agents.a]\nuser = "a"\nuser = "b"\n', "3:1", ("twice", "line 2"), "keep one"),
    "duplicate table": Bad("[agents.a]\n[agents.a]\n", "2:9", ("agents.a", "twice"), "keep one"),
    "wrong type": Bad('[agents.a]\nprotected = "yes"\n', "2:1", ("true or false", "text"), ""),
    "no TOML": Bad("[agents.a]\nuser = \n", "2:8", ("not valid TOML",), ""),
    "unknown host": Bad(
        '[hosts.alpha]\naddress = "local"\n[agents.a]\nhost = "alhpa"\n', "4:1", ("'alhpa'",), "alpha?"
    ),
    "bridge": Bad('[network]\nbridge = "$(reboot)"\n', "2:1", ("'$(reboot)'",), "warden0"),
    "newline": Bad('[agents.a]\nuser = "a\\nb"\n', "2:1", ("name of a user",), "letters"),
    "escape sequence": Bad('[agents.a]\ndisplay_name = "\\u001b[2J"\n', "2:1", ("control character",), "plain text"),
    "release": Bad('[defaults]\nrelease = "15.1-RELEASE-p1"\n', "2:1", ("patch level",), "15.1-RELEASE"),
}

GUIDE = "AGENT_NAME=atlas\nWARDEN_SUBNET=10.0.1.0/24\n"
DOTENV = {
    "no assignment": Bad("AGENT_NAME=atlas\nthis is no line\n", "2:1", ("KEY=value",), "#"),
    "open quote": Bad('AGENT_NAME="atlas\n', "1:1", ("KEY=value",), "quote"),
    "duplicate key": Bad("AGENT_NAME=atlas\nAGENT_NAME=other\n", "2:1", ("AGENT_NAME", "twice", "line 1"), "keep one"),
    "no agent": Bad("ASSISTANT_NAME=Atlas\n", "", ("AGENT_NAME", "missing"), "AGENT_NAME="),
    "a slip": Bad("AGENTNAME=atlas\n", "", ("AGENT_NAME", "missing"), "did you mean AGENT_NAME?"),
    "name": Bad("AGENT_NAME=Atlas\n", "1:1", ("'Atlas'", "capital"), "write 'atlas'"),
    "gateway outside": Bad(
        f"{GUIDE}WARDEN_GATEWAY=10.0.2.1\n",
        "3:1",
        ("WARDEN_GATEWAY=10.0.2.1", "outside", "WARDEN_SUBNET=10.0.1.0/24"),
        "10.0.1.0/24",
    ),
    "address outside": Bad(
        f"{GUIDE}WARDEN_DB_IP=10.0.2.5\n", "3:1", ("WARDEN_DB_IP=10.0.2.5", "WARDEN_SUBNET=10.0.1.0/24"), "10.0.1.0/24"
    ),
    "base and subnet": Bad(
        f"{GUIDE}AGENT_SUBNET_BASE=10.0.9\n",
        "2:1",
        ("AGENT_SUBNET_BASE=10.0.9", "WARDEN_SUBNET=10.0.1.0/24"),
        "keep one",
    ),
    "one address twice": Bad(
        f"{GUIDE}WARDEN_GIT_IP=10.0.1.2\nWARDEN_CMS_IP=10.0.1.2\n",
        "4:1",
        ("WARDEN_GIT_IP=10.0.1.2", "WARDEN_CMS_IP=10.0.1.2"),
        "another address",
    ),
    "broadcast": Bad(
        f"{GUIDE}AGENT_SERVICES=git\nWARDEN_GIT_IP=10.0.1.255\n", "4:1", ("10.0.1.255", "broadcast"), "10.0.1.254"
    ),
    "two local models": Bad(
        f"{GUIDE}AGENT_SERVICES=ollama,llama-cpp\nWARDEN_OLLAMA_IP=10.0.1.4\nWARDEN_LLAMA_CPP_IP=10.0.1.4\n",
        "3:1",
        ("ollama and llama-cpp", "alternatives"),
        "WARDEN_OLLAMA_IP or WARDEN_LLAMA_CPP_IP",
    ),
    "locale": Bad("AGENT_NAME=a\nSYSTEM_LOCALE=sl_SI.ISO8859-2\n", "2:1", ("SYSTEM_LOCALE",), "sl_SI.UTF-8"),
    "subnet": Bad("AGENT_NAME=a\nWARDEN_SUBNET=10.0.2.0/23\n", "2:1", ("WARDEN_SUBNET", "/24"), "10.0.2.0/24"),
    "public": Bad("AGENT_NAME=a\nAGENT_SUBNET_BASE=8.8.8\n", "2:1", ("AGENT_SUBNET_BASE", "private"), "RFC 1918"),
    "service": Bad("AGENT_NAME=a\nAGENT_SERVICES=db,gti\n", "2:1", ("'gti'", "service"), "did you mean git?"),
}


def is_invalid(ended: Ended, path: Path, bad: Bad, folder: Path) -> None:
    assert ended.status == 2, ended
    assert ended.out == ""
    first, _, _ = ended.err.partition("\n")
    assert first.startswith(f"error: {path}:{bad.place + ':' if bad.place else ''} "), first
    assert all(word in first for word in bad.says), first
    assert f"hint: {bad.hint}" in ended.err or (bad.hint and bad.hint in ended.err.partition("hint: ")[2]), ended.err
    is_clean(ended)
    assert not (folder / "host.json").exists()


def is_clean(ended: Ended) -> None:
    assert "Traceback" not in ended.err
    assert "bug" not in ended.err


@pytest.mark.parametrize("verb", [("plan",), ("apply", "-y")], ids=" ".join)
@pytest.mark.parametrize("bad", [pytest.param(bad, id=name) for name, bad in TOML.items()])
def test_a_bad_warden_toml(warden: Warden, tmp_path: Path, bad: Bad, verb: tuple[str, ...]) -> None:
    (tmp_path / "warden.toml").write_text(bad.text, encoding="utf-8")
    if not bad.hint:
        bad = bad._replace(hint="")
        ended = warden(*verb)
        assert ended.status == 2
        assert ended.err.startswith(f"error: warden.toml:{bad.place}: ")
        assert all(word in ended.err for word in bad.says), ended.err
        is_clean(ended)
        return
    is_invalid(warden(*verb), Path("warden.toml"), bad, tmp_path)


@pytest.mark.parametrize("verb", [("plan",), ("apply", "-y"), ("setup", "--step", "db")], ids=" ".join)
@pytest.mark.parametrize("bad", [pytest.param(bad, id=name) for name, bad in DOTENV.items()])
def test_a_bad_dotenv(warden: Warden, tmp_path: Path, bad: Bad, verb: tuple[str, ...]) -> None:
    (tmp_path / ".env").write_text(bad.text, encoding="utf-8")
    is_invalid(warden(*verb), Path(".env"), bad, tmp_path)


def test_every_problem_is_told_at_once(warden: Warden, tmp_path: Path) -> None:
    (tmp_path / "warden.toml").write_text('[agents.a]\nsubnet = "8.8.8.0/24"\nuserr = "x"\nservices = ["gti"]\n')
    ended = warden("plan")
    assert [line.split(":")[2] for line in ended.err.splitlines() if line.startswith("error: ")] == ["2", "3", "4"]


def test_a_dotenv_with_a_slip_in_a_key_is_told(warden: Warden, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("AGENT_NAME=atlas\nWARDEN_SUBENT=10.0.1.0/24\n")
    ended = warden("plan")
    assert ended.status == 0
    assert "WARDEN_SUBENT in line 2" in ended.out
    assert "did you mean WARDEN_SUBNET?" in ended.out


UNREADABLE: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "missing": (lambda _path: None, "No such file", ""),
    "a directory": (Path.mkdir, "Is a directory", ""),
    "a link to itself": (lambda path: path.symlink_to(path.name), "symbolic link", ""),
    "not UTF-8": (lambda path: path.write_bytes(b"# ok\n# caf\xe9\n"), "0xe9 is not UTF-8", ":2:6"),
    "NUL": (lambda path: path.write_bytes(b"AGENT_NAME=\0\n"), "", ""),
    "byte order mark": (lambda path: path.write_bytes(b"\xef\xbb\xbf[agents.a]\n"), "byte order mark", ":1:1"),
}


@pytest.mark.parametrize("verb", [("plan",), ("apply", "-y"), ("status",), ("destroy", "a", "-y")], ids=" ".join)
@pytest.mark.parametrize("option", ["-f", "--env-file"])
@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_spec_that_cannot_be_read(
    warden: Warden, tmp_path: Path, kind: str, option: str, verb: tuple[str, ...]
) -> None:
    make, says, place = UNREADABLE[kind]
    name = "spec.toml" if option == "-f" else "spec.env"
    make(tmp_path / name)
    ended = warden(*verb, option, name)
    assert ended.status == 2, ended
    assert ended.err.startswith(f"error: {name}{place}")
    assert says in ended.err
    assert "hint: " in ended.err or kind == "NUL"
    is_clean(ended)
    assert not (tmp_path / "host.json").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_spec_without_permission(warden: Warden, tmp_path: Path) -> None:
    (tmp_path / "warden.toml").touch(mode=0)
    ended = warden("plan")
    assert (ended.status, "Permission denied" in ended.err) == (2, True)


@pytest.mark.parametrize("verb", [("plan",), ("apply", "-y"), ("status",), ("destroy", "a", "-y")], ids=" ".join)
def test_a_spec_in_this_folder_that_is_broken_is_not_passed_over(
    warden: Warden, tmp_path: Path, verb: tuple[str, ...]
) -> None:
    (tmp_path / "warden.toml").mkdir()
    (tmp_path / ".env").write_text("AGENT_NAME=atlas\n")
    ended = warden(*verb)
    assert ended.status == 2
    assert "warden.toml: Is a directory" in ended.err
    assert not (tmp_path / "host.json").exists()


def test_no_spec_at_all(warden: Warden) -> None:
    ended = warden("plan")
    assert ended.status == 2
    assert "no warden.toml and no .env here" in ended.err
    assert "hint: begin one with: warden init" in ended.err


USAGE = {
    "an address that is none": (("plan", "--host", "banana"), ("banana",), "fake:PATH"),
    "a scheme that is none": (("plan", "--host", "http://x"), ("http://x",), "fake:PATH"),
    "a server that has no name": (("plan", "--host", "ssh://"), ("'ssh://'",), "ssh://"),
    "a host without a key": (("host", "trust", "local"), ("local", "without SSH"), "ssh://"),
    "a fake host's key": (("host", "trust", "fake:x", "-y"), ("fake:x", "without SSH"), "ssh://"),
    "the key of a host that is none": (("host", "trust", "other"), ("no host other",), "ssh://"),
    "a profile that is none": (("plan", "--host", "fake:x?profile=nice"), ("'nice'",), "ready"),
    "a fault that is none": (("plan", "--host", "fake:x?nice=1"), ("'nice'",), "fail-nth"),
    "a folder that is not there": (("plan", "--host", "fake:not/there.json"), ("does not exist",), "make the folder"),
    "an agent that the spec has not": (("plan", "--agent", "other"), ("no agent other",), "its agents: atlas"),
    "two specs": (("plan", "-f", "a.toml", "--env-file", ".env"), ("two specs",), "name one"),
    "an unknown option": (("plan", "--wat"), ("--wat",), "--help"),
    "an unknown verb": (("plam",), ("plam",), "--help"),
    "an unknown step": (("setup", "--step", "bd"), ("bd",), "--help"),
    "no step": (("setup",), ("--step",), "--help"),
    "nobody to ask": (("apply",), ("no terminal",), "add -y"),
    "nobody to ask, for a program": (("apply", "--json"), ("no terminal",), "add -y"),
    "no command": (("host", "run"), ("ARGV",), "--help"),
    "an empty command": (("host", "run", "--", ""), ("empty",), "host run --"),
}


@pytest.mark.parametrize("kind", USAGE)
def test_a_command_line_that_does_not_fit(warden: Warden, tmp_path: Path, kind: str) -> None:
    (tmp_path / "warden.toml").write_text("[agents.atlas]\n")
    argv, says, hint = USAGE[kind]
    ended = warden(*argv)
    assert ended.status == 2, ended
    assert all(word in ended.err for word in says), ended.err
    assert hint in ended.err.partition("hint: ")[2]
    is_clean(ended)


def test_a_fake_host_that_is_no_file_of_ours(warden: Warden, tmp_path: Path) -> None:
    (tmp_path / "warden.toml").write_text("[agents.atlas]\n")
    (tmp_path / "host.json").write_text("[]")
    ended = warden("plan")
    assert (ended.status, "not a fake host's file" in ended.err) == (2, True)
    assert (tmp_path / "host.json").read_text() == "[]"


@pytest.mark.parametrize("variable", ["WARDEN_FILE", "WARDEN_ENV_FILE"])
def test_a_spec_that_the_environment_names_is_not_passed_over(
    warden: Warden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "gone.toml")
    for verb in (("plan",), ("status",), ("apply", "-y")):
        ended = warden(*verb)
        assert ended.status == 2, ended
        assert ended.err.startswith("error: gone.toml: No such file")
    assert not (tmp_path / "host.json").exists()


TWO_HOSTS = '[hosts.a]\naddress = "fake:a.json"\n[hosts.b]\naddress = "fake:b.json"\n'


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("--host", "c"), ("no host c", "its hosts: a, b")),
        (("--host", "b", "--agent", "one"), ("agent one is not on b, but on a", "name its host")),
    ],
    ids=["unknown", "elsewhere"],
)
def test_a_host_that_does_not_fit(warden: Warden, tmp_path: Path, argv: tuple[str, ...], says: tuple[str, ...]) -> None:
    (tmp_path / "warden.toml").write_text(f'{TWO_HOSTS}[agents.one]\nhost = "a"\n[agents.two]\nhost = "b"\n')
    ended = warden("plan", *argv)
    assert ended.status == 2, ended
    assert all(word in ended.err for word in says), ended.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["warden.toml"]


BEFORE = "# mine\n[hosts.a]\naddress = 'local'   # here\n[agents.dev-qwen]\r\nservices = ['git']\n[agents.b]\n"


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("Atlas",), ("capital", "write 'atlas'")),
        (("x; rm -rf /",), ("write 'x-rm-rf'",)),
        (("firewall",), ("rc.conf",)),
        (("b",), ("has an agent b already", "[agents.b]")),
        (("c", "--subnet", "8.8.8.0/24"), ("private", "RFC 1918")),
        (("c", "--on", "banana"), ("no host 'banana'",)),
        (("devqwen", "--service", "git"), ("dev-qwen's git", "are the same")),
        (("c", "--service", "gti"), ("gti",)),
    ],
    ids=" ".join,
)
def test_agent_add_refuses_and_leaves_the_file(
    warden: Warden, tmp_path: Path, argv: tuple[str, ...], says: tuple[str, ...]
) -> None:
    path = tmp_path / "warden.toml"
    path.write_bytes(BEFORE.encode())
    ended = warden("agent", "add", *argv)
    assert ended.status == 2, ended
    assert all(word in ended.err for word in says), ended.err
    is_clean(ended)
    assert path.read_bytes() == BEFORE.encode()
    assert [each.name for each in tmp_path.iterdir()] == ["warden.toml"]


@pytest.mark.parametrize("text", ["[agents.a\n", "[agents.Big]\n", "agents = 1\n", "[agents.a]\nwat = 1\n", "\xff"])
def test_agent_add_leaves_a_file_that_is_invalid(warden: Warden, tmp_path: Path, text: str) -> None:
    path = tmp_path / "warden.toml"
    path.write_bytes(text.encode("latin-1"))
    ended = warden("agent", "add", "atlas")
    assert ended.status == 2, ended
    assert ended.err.startswith("error: warden.toml:1:" if "wat" not in text else "error: warden.toml:2:1:")
    is_clean(ended)
    assert path.read_bytes() == text.encode("latin-1")


def test_init_leaves_what_is_there(warden: Warden, tmp_path: Path) -> None:
    for name, options in (("warden.toml", ()), (".env", ("--env",))):
        (tmp_path / name).write_text("mine")
        ended = warden("init", *options)
        assert ended.status == 2
        assert f"{name} is there already" in ended.err
        assert "nothing is overwritten" in ended.err
        assert (tmp_path / name).read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".env", "warden.toml"]


@pytest.mark.parametrize("folder", ["system", "Atlas 2", "42", "ünïcode", "x" * 60, "firewall", "dev--qwen"])
def test_init_env_begins_a_valid_spec_in_a_folder_of_any_name(warden: Warden, tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    assert warden("init", "--env", folder=tmp_path / folder).status == 0
    ended = warden("plan", folder=tmp_path / folder)
    assert ended.status == 0, ended
