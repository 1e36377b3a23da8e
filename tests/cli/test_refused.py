# SPDX-License-Identifier: BSD-2-Clause
"""What the host stands against: exit status 4 (or 75), an error that names it, and the host as it was."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from warden.engine.lock import LOCK, Holder, take_lock
from warden.host.address import open_host
from warden.host.command import Command
from warden.host.fake.machine import Machine
from warden.host.fake.persist import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ended
    from warden.host.fake.persist import Json

    Warden = Callable[..., Ended]

REGISTERED = """
[agents.clawdie]
subnet = "192.168.72.0/24"
services = ["git"]
command = ["/usr/bin/true"]
protected = true
"""


def run(address: str, folder: Path, *argv: str) -> None:
    with open_host(address, folder=folder) as host:
        result = host.run([Command(argv=argv)])[0]
    assert result.ok, (argv, result)


@pytest.fixture(scope="session")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a machine of each profile, made once."""
    folder = tmp_path_factory.mktemp("machines")
    for profile in ("ready", "bare"):
        run(f"fake:{profile}.json?profile={profile}", folder, "true")
    return folder


@pytest.fixture
def ready(tmp_path: Path, machines: Path) -> Path:
    """Put a ready host where `warden` expects one, and give the path of its state."""
    state = tmp_path / "host.json"
    state.write_bytes((machines / "ready.json").read_bytes())
    return state


@pytest.fixture
def with_clawdie(warden: Warden, ready: Path, tmp_path: Path) -> Path:
    """Put a ready host there that has an agent already, which is protected."""
    (tmp_path / "first.toml").write_text(REGISTERED)
    ended = warden("apply", "-y", "-f", "first.toml")
    assert ended.status == 0, ended
    return ready


def machine(state: Path) -> Json:
    """Give the machine but for the time, and for the lock file, in which every apply writes who holds it."""
    machine: Machine = from_json(Machine, json.loads(state.read_text())["machine"])
    if machine.files.exists(LOCK):
        machine.files.remove(LOCK)
    machine.clock = machine.files.now = 0
    machine.files.node(LOCK.rpartition("/")[0]).mtime = 0
    return to_json(machine)


def is_refused(ended: Ended, *says: str, hint: str, status: int = 4) -> None:
    assert ended.status == status, ended
    told = ended.err
    assert told.startswith("error: "), ended
    assert all(word in told.partition("hint: ")[0] for word in says), told
    assert "host.json" in told or "local" in told or status == 2, "the host is named"
    assert hint in told.partition("hint: ")[2], told
    assert "Traceback" not in told
    assert "bug" not in told


def refuses(warden: Warden, state: Path, spec: str, *says: str, hint: str, name: str = "warden.toml") -> None:
    """Plan and apply a spec, and check that both are refused and leave the host as it was."""
    (state.parent / name).write_text(spec)
    before = machine(state)
    for verb in (("plan",), ("plan", "--json"), ("plan", "--exit-code"), ("apply", "-y"), ("apply",)):
        is_refused(warden(*verb), *says, hint=hint)
    assert machine(state) == before


def test_a_subnet_of_a_registered_agent(warden: Warden, with_clawdie: Path) -> None:
    spec = '[agents.atlas]\nsubnet = "192.168.72.0/24"\n'
    refuses(
        warden,
        with_clawdie,
        spec,
        "warden.toml:2:1:",
        "of agent atlas",
        "agent clawdie",
        hint="write another private /24",
    )


def test_a_subnet_with_an_address_of_the_host(warden: Warden, ready: Path) -> None:
    warden("host", "run", "--", "ifconfig", "vtnet0", "inet", "10.0.1.77/26", "alias")
    spec = '[agents.atlas]\nsubnet = "10.0.1.0/24"\n'
    refuses(
        warden,
        ready,
        spec,
        "warden.toml:2:1:",
        "agent atlas",
        "10.0.1.77/26 on vtnet0",
        hint="write another private /24",
    )


def test_a_subnet_in_a_route_of_the_host(warden: Warden, ready: Path) -> None:
    warden("host", "run", "--", "route", "add", "-net", "10.0.0.0/16", "203.0.113.9")
    spec = '[agents.atlas]\nsubnet = "10.0.1.0/24"\n'
    refuses(
        warden,
        ready,
        spec,
        "warden.toml:2:1:",
        "10.0.1.0/24",
        "route 10.0.0.0/16 via 203.0.113.9",
        hint="write another",
    )
    dotenv = "AGENT_NAME=atlas\nAGENT_SUBNET_BASE=10.0.1\n"
    (ready.parent / "warden.toml").unlink()
    refuses(warden, ready, dotenv, ".env:2:1:", "route 10.0.0.0/16", hint="write another", name=".env")


def test_another_subnet_for_an_agent_that_has_one(warden: Warden, with_clawdie: Path) -> None:
    spec = '[agents.clawdie]\nsubnet = "10.0.1.0/24"\nservices = ["git"]\n'
    refuses(warden, with_clawdie, spec, "clawdie", "192.168.72.0/24", "10.0.1.0/24", hint='subnet = "192.168.72.0/24"')


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("cron", "a service cron that is not Warden's"),
        ("static-arp", "a service static-arp that is not Warden's"),
        ("www", "a system user www"),
        ("nobody", "a system user nobody"),
    ],
)
def test_a_name_that_the_host_uses(warden: Warden, ready: Path, name: str, says: str) -> None:
    if name == "static-arp":
        warden("host", "run", "--", "touch", "/etc/rc.d/static_arp")
    refuses(warden, ready, f"[agents.{name}]\n", "warden.toml:1:9:", says, hint="give the agent another name")


@pytest.mark.parametrize("name", ["clawdi-e", "claw-die"])
def test_a_name_that_folds_to_a_registered_one(warden: Warden, with_clawdie: Path, name: str) -> None:
    spec = f'[agents.{name}]\nservices = ["git"]\n'
    refuses(
        warden, with_clawdie, spec, "warden.toml:1:9:", "clawdie's git", f"{name}'s git", hint="write another jail name"
    )


def test_a_jail_name_that_is_the_beginning_of_a_registered_one(warden: Warden, with_clawdie: Path) -> None:
    spec = '[agents.atlas]\nservices = ["git"]\n[agents.atlas.jails.git]\nname = "clawdieg"\n'
    refuses(warden, with_clawdie, spec, "warden.toml:4:1:", "'clawdieg'", "begin alike", hint="write another jail name")


def test_a_locale_that_the_host_lacks(warden: Warden, ready: Path) -> None:
    spec = '[agents.atlas]\nlocale = { system = "sl_XX.UTF-8" }\n'
    refuses(warden, ready, spec, "warden.toml:2:12:", "atlas", "sl_XX.UTF-8", hint="sl_SI.UTF-8")


def test_a_release_that_is_not_bootstrapped(warden: Warden, ready: Path) -> None:
    spec = '[defaults]\nrelease = "14.3-RELEASE"\n[agents.atlas]\nservices = ["git"]\n'
    refuses(
        warden,
        ready,
        spec,
        "warden.toml:2:1:",
        "atlas",
        "14.3-RELEASE",
        "not bootstrapped",
        hint="bastille bootstrap 14.3-RELEASE",
    )


def test_a_bridge_that_is_an_interface_of_hardware(warden: Warden, ready: Path) -> None:
    (ready.parent / "warden.toml").write_text('[network]\nbridge = "vtnet0"\n[agents.atlas]\n')
    before = machine(ready)
    for verb in (("plan",), ("plan", "--exit-code"), ("apply",)):
        ended = warden(*verb)
        assert ended.status == 4, ended
        assert "vtnet0 is an interface of the host, and no bridge" in ended.out
        assert "hint: write another `bridge`" in ended.out
    is_refused(warden("apply", "-y"), "vtnet0 is an interface of the host", hint="another `bridge`")
    assert [each["name"] for each in warden("plan", "--json").json["conflicts"]] == ["vtnet0"]
    assert machine(ready) == before


def test_a_bridge_of_somebody_elses(warden: Warden, ready: Path) -> None:
    warden("host", "run", "--", "ifconfig", "bridge", "create", "name", "warden0")
    (ready.parent / "warden.toml").write_text("[agents.atlas]\n")
    before = machine(ready)
    is_refused(warden("apply", "-y"), "warden0 that is not Warden's", hint="ifconfig warden0 group warden")
    assert machine(ready) == before


def test_an_external_interface_that_the_host_lacks(warden: Warden, ready: Path) -> None:
    spec = '[network]\nexternal_interface = "ix0"\n[agents.atlas]\n'
    refuses(warden, ready, spec, "warden.toml:2:1:", "ix0", "no such interface", hint="vtnet0")


@pytest.mark.parametrize(
    ("argv", "says", "hint"),
    [
        (("pfctl", "-d"), "pf is not enabled now", "service pf start"),
        (("sysrc", "pf_enable=NO"), "pf is not enabled at boot", "sysrc pf_enable=YES"),
        (("pkg", "delete", "-y", "bastille"), "has no Bastille", "pkg install bastille"),
        (("zpool", "destroy", "-f", "zroot"), "has no ZFS pool", "ZFS"),
    ],
    ids=["pf now", "pf at boot", "Bastille", "ZFS"],
)
def test_a_host_that_is_not_fit(warden: Warden, ready: Path, argv: tuple[str, ...], says: str, hint: str) -> None:
    if argv[0] == "zpool":
        # no pool goes while its file systems are in use, and on this machine the root is one of them
        state = json.loads(ready.read_text())
        state["machine"]["pools"] = {}
        state["machine"]["datasets"] = {}
        ready.write_text(json.dumps(state))
        warden("host", "run", "--", "touch", "/tmp/x")  # the state is written as the fake host itself writes it
    else:
        done = warden("host", "run", "--", *argv)
        assert done.status == 0, done
    refuses(warden, ready, "[agents.atlas]\n", says, hint=hint)


@pytest.mark.parametrize("value", ["yes", "true", "ON", "1"])
def test_pf_is_enabled_by_every_word_that_rc_takes(warden: Warden, ready: Path, value: str) -> None:
    warden("host", "run", "--", "sysrc", f"pf_enable={value}")
    (ready.parent / "warden.toml").write_text("[agents.atlas]\n")
    assert warden("plan").status == 0


def test_a_host_with_nothing_added(warden: Warden, ready: Path, machines: Path) -> None:
    ready.write_bytes((machines / "bare.json").read_bytes())
    refuses(warden, ready, "[agents.atlas]\n", "has no pf", hint="kldload pf")


def test_this_machine_is_no_freebsd(warden: Warden, tmp_path: Path) -> None:
    (tmp_path / "warden.toml").write_text("[agents.atlas]\n")
    for verb in (("plan",), ("apply", "-y"), ("apply",), ("status",), ("agent", "list"), ("destroy", "atlas", "-y")):
        is_refused(warden(*verb, "--host", "local"), "local is no FreeBSD host", hint="fake:demo.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["warden.toml"]


def test_destroying_an_agent_that_is_not_there(warden: Warden, with_clawdie: Path) -> None:
    before = machine(with_clawdie)
    for name in ("atlas", "clawdi", "x; reboot", "../clawdie"):
        is_refused(warden("destroy", name, "-y"), f"no agent {name}", "host.json", hint="warden agent list")
    is_refused(warden("agent", "show", "atlas"), "no agent atlas", hint="warden agent list")
    assert machine(with_clawdie) == before


def test_destroying_an_agent_that_is_protected(warden: Warden, with_clawdie: Path) -> None:
    before = machine(with_clawdie)
    for options in ((), ("-y",)):
        is_refused(warden("destroy", "clawdie", *options), "clawdie is protected", hint="protected = true")
    assert machine(with_clawdie) == before


def test_destroying_asks_and_nobody_answers(warden: Warden, with_clawdie: Path) -> None:
    (with_clawdie.parent / "first.toml").write_text(REGISTERED.replace("true\n", "false\n"))
    assert warden("apply", "-y", "-f", "first.toml").status == 0
    before = machine(with_clawdie)
    is_refused(warden("destroy", "clawdie"), "no terminal", hint="add -y", status=2)
    assert machine(with_clawdie) == before


def test_an_agent_that_others_need_stays(warden: Warden, ready: Path) -> None:
    spec = '[agents.llm]\nservices = ["llama-cpp"]\n[agents.a]\nllm = { shared_with = "llm" }\n'
    (ready.parent / "warden.toml").write_text(spec)
    assert warden("apply", "-y").status == 0
    before = machine(ready)
    is_refused(warden("destroy", "llm", "-y"), "llm cannot go", "serves a", hint="another `llm` first")
    assert machine(ready) == before


def without_time(machine: Json) -> Json:
    """Leave out what goes on by itself: the lock's own shell waits for signs of life."""
    assert isinstance(machine, dict)
    return {name: value for name, value in machine.items() if name not in ("clock", "awaited_since", "processes")}


def test_a_second_apply_while_one_holds_the_lock(warden: Warden, ready: Path) -> None:
    (ready.parent / "warden.toml").write_text("[agents.atlas]\n")
    holder = Holder(who="dana@laptop", what="applying other.toml", since="2026-01-02T03:04:05+00:00")
    with open_host(f"fake:{ready}", folder=ready.parent) as host:
        session = take_lock(host, holder)
        before = without_time(machine(ready))
        try:
            for verb in (("apply", "-y"), ("setup", "--step", "db")):
                ended = warden(*verb)
                is_refused(ended, "dana@laptop", "other.toml", "2026-01-02T03:04:05", hint="wait", status=75)
            assert warden("plan").status == 0, "looking needs no lock"
        finally:
            session.close()
    assert without_time(machine(ready)) == before
    assert warden("apply", "-y").status == 0


def test_a_link_that_breaks_is_told_as_partly_applied(warden: Warden, ready: Path) -> None:
    (ready.parent / "warden.toml").write_text("[agents.atlas]\n")
    ended = warden("apply", "-y", "--host", f"fake:{ready}?drop-after=4")
    assert ended.status == 1, ended
    assert "hint: apply again" in ended.err
    assert warden("apply", "-y").status == 0
