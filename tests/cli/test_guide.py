"""The multi-agent guide, end to end: two agents from their own directories onto one host."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from warden.engine.lock import LOCK
from warden.host.fake.machine import Machine
from warden.host.fake.persist import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ended
    from warden.host.fake.persist import Json

    Warden = Callable[..., Ended]

CLAWDIE_FILES = (
    "/usr/local/etc/warden/agents/clawdie.toml",
    "/usr/local/etc/rc.d/clawdie",
    "/usr/local/bastille/jails/clawdiegit/jail.conf",
    "/usr/local/bastille/jails/clawdiedb/settings.conf",
    "/usr/local/bastille/jails/clawdiecms/root/etc/rc.conf",
)
SHARED_FILES = (
    "/etc/rc.conf",
    "/etc/pf.conf",
    "/etc/devfs.rules",
    "/usr/local/etc/warden/pf.conf",
    "/usr/local/etc/warden/pf.closed",
    "/usr/local/etc/warden/subnets",
    "/usr/local/etc/warden/gateways",
    "/usr/local/etc/warden/host.toml",
)


def on_host(warden: Warden, *argv: str) -> str:
    ended = warden("host", "run", "--", *argv)
    assert ended.status == 0, (argv, ended)
    return ended.out


def first_agent(warden: Warden) -> dict[str, Any]:
    """Give everything about the first agent that applying the second must not touch."""
    return {
        "files": {path: on_host(warden, "cat", path) for path in CLAWDIE_FILES},
        "environment": on_host(warden, "cat", "/usr/local/etc/warden/agents/clawdie.env"),
        "jids": [line for line in on_host(warden, "jls", "jid", "name").splitlines() if "clawdie" in line],
        "processes": [
            line for line in on_host(warden, "ps", "-axww", "-o", "pid,command").splitlines() if "clawdie" in line
        ],
        "jail": on_host(warden, "ifconfig", "-j", "clawdiegit", "-f", "inet:cidr"),
        "marks": on_host(warden, "zfs", "get", "-Hp", "-o", "value", "warden:agent", "zroot/bastille/jails/clawdiegit"),
        "enabled": on_host(warden, "sysrc", "-n", "clawdie_enable"),
    }


@pytest.fixture
def both(warden: Warden, examples: Path) -> dict[str, Any]:
    """Apply the first agent, then the second, each from its own directory; give the first as it was in between."""
    assert warden("apply", "-y", folder=examples / "clawdie").status == 0
    before = first_agent(warden)
    ended = warden("apply", "-y", folder=examples / "atlas")
    assert ended.status == 0, ended
    return before


def test_the_bridge_carries_both_gateways_now_and_at_boot(warden: Warden, both: dict[str, Any]) -> None:
    bridge = on_host(warden, "ifconfig", "-f", "inet:cidr", "warden0")
    assert "inet 192.168.72.1/24" in bridge
    assert "inet 10.0.1.1/24" in bridge
    assert on_host(warden, "sysrc", "-n", "ifconfig_warden0_alias0", "ifconfig_warden0_alias1") == (
        "inet 192.168.72.1/24\ninet 10.0.1.1/24\n"
    )


def test_pf_has_both_subnets_and_takes_the_rules(warden: Warden, both: dict[str, Any]) -> None:
    table = on_host(warden, *["pfctl", "-a", "warden", "-t", "warden_net", "-T", "show"])
    assert table.split() == ["10.0.1.0/24", "192.168.72.0/24"]
    on_host(warden, "pfctl", "-nf", "/etc/pf.conf")
    on_host(warden, "pfctl", "-a", "warden", "-nf", "/usr/local/etc/warden/pf.conf")
    assert 'nat-anchor "warden" all' in on_host(warden, "pfctl", "-sn")
    assert "block drop in quick on warden0" in on_host(warden, "pfctl", "-a", "warden", "-sr")


@pytest.mark.parametrize(("service", "octet"), [("git", 2), ("cms", 3), ("db", 5)])
def test_the_jails_have_their_addresses_gateway_and_boot_flag(
    warden: Warden, both: dict[str, Any], service: str, octet: int
) -> None:
    for agent, base in (("clawdie", "192.168.72"), ("atlas", "10.0.1")):
        jail = f"{agent}{service}"
        assert f"inet {base}.{octet}/24" in on_host(warden, "ifconfig", "-j", jail, "-f", "inet:cidr")
        assert f"gateway: {base}.1\n" in on_host(warden, "route", "-j", jail, "-n", "get", "default")
        assert on_host(warden, "bastille", "config", jail, "get", "boot") == "on\n"


def test_a_vnet_jail_sees_no_disk(warden: Warden, both: dict[str, Any]) -> None:
    devices = on_host(warden, "jexec", "atlasgit", "ls", "/dev").split()
    assert "null" in devices
    assert not {"mem", "kmem", "vtbd0"} & set(devices)


def test_the_service_tells_the_truth(warden: Warden, both: dict[str, Any]) -> None:
    assert on_host(warden, "service", "atlas", "status").startswith("atlas is running as pid ")
    on_host(warden, "service", "atlas", "stop")
    stopped = warden("host", "run", "--", "service", "atlas", "status")
    assert (stopped.status, stopped.out) == (1, "atlas is not running.\n")
    assert "stopped" in warden("status").out


def test_the_locale_is_the_agents_own(warden: Warden, both: dict[str, Any]) -> None:
    script = on_host(warden, "cat", "/usr/local/etc/rc.d/atlas")
    assert "LANG=sl_SI.UTF-8 LC_ALL=sl_SI.UTF-8" in script
    environment = on_host(warden, "cat", "/usr/local/etc/warden/agents/atlas.env")
    assert {"LANG=sl_SI.UTF-8", "LC_ALL=sl_SI.UTF-8", "DISPLAY_LOCALE=sl-SI"} <= set(environment.splitlines())
    assert "LANG=en_US.UTF-8" in on_host(warden, "cat", "/usr/local/etc/warden/agents/clawdie.env")


def test_applying_the_second_never_touches_the_first(warden: Warden, both: dict[str, Any]) -> None:
    assert first_agent(warden) == both


def test_a_jail_name_that_bastille_refuses_becomes_one_that_it_takes(warden: Warden, examples: Path) -> None:
    ended = warden("plan", folder=examples / "atlas")
    line = next(line for line in ended.out.splitlines() if "jail atlascms" in line)
    assert "CMS_JAIL_NAME=atlas-cms" in line


def test_a_second_apply_changes_nothing_nor_does_a_reboot(warden: Warden, examples: Path, tmp_path: Path) -> None:
    atlas = examples / "atlas"
    assert warden("plan", "--exit-code", folder=atlas).status == 3
    assert warden("apply", "-y", folder=atlas).status == 0
    state = machine(tmp_path / "host.json")
    assert warden("plan", "--exit-code", folder=atlas).status == 0
    assert warden("apply", "-y", folder=atlas).status == 0
    assert machine(tmp_path / "host.json") == state
    on_host(warden, "shutdown", "-r", "now")
    again = warden("plan", "--exit-code", folder=atlas)
    assert again.status == 0, again.out
    assert "running" in warden("status").out


def machine(state: Path) -> Json:
    """Give the machine but for the time and the lock file, in which every apply writes who holds it."""
    machine: Machine = from_json(Machine, json.loads(state.read_text())["machine"])
    machine.files.remove(LOCK)
    machine.clock = machine.files.now = 0
    machine.files.node(LOCK.rpartition("/")[0]).mtime = 0
    return to_json(machine)


def test_destroy_leaves_the_host_as_it_was(warden: Warden, examples: Path) -> None:
    warden("apply", "-y", folder=examples / "clawdie")
    before = {path: on_host(warden, "cat", path) for path in SHARED_FILES}
    registry = on_host(warden, "ls", "/usr/local/etc/warden/agents")
    agent = first_agent(warden)
    bridge = on_host(warden, "ifconfig", "-f", "inet:cidr", "warden0")
    datasets = on_host(warden, "zfs", "list", "-Hp", "-o", "name")
    warden("apply", "-y", folder=examples / "atlas")
    ended = warden("destroy", "atlas", "-y", "--purge")
    assert ended.status == 0, ended
    assert {path: on_host(warden, "cat", path) for path in SHARED_FILES} == before
    assert on_host(warden, "ls", "/usr/local/etc/warden/agents") == registry
    assert first_agent(warden) == agent
    assert on_host(warden, "ifconfig", "-f", "inet:cidr", "warden0") == bridge
    assert on_host(warden, "zfs", "list", "-Hp", "-o", "name") == datasets
    assert on_host(warden, *["pfctl", "-a", "warden", "-t", "warden_net", "-T", "show"]).split() == ["192.168.72.0/24"]
    assert warden("host", "run", "--", "id", "atlas").status == 1


def test_destroying_the_last_agent_leaves_the_host_as_it_was_before_warden(warden: Warden, examples: Path) -> None:
    files = ("/etc/rc.conf", "/etc/pf.conf")
    before = {path: on_host(warden, "cat", path) for path in files}
    rules = (on_host(warden, "pfctl", "-sr"), on_host(warden, "pfctl", "-sn"))
    interfaces = on_host(warden, "ifconfig", "-l")
    warden("apply", "-y", folder=examples / "atlas")
    assert warden("destroy", "atlas", "-y").status == 0
    assert {path: on_host(warden, "cat", path) for path in files} == before
    assert (on_host(warden, "pfctl", "-sr"), on_host(warden, "pfctl", "-sn")) == rules
    assert on_host(warden, "ifconfig", "-l") == interfaces
    assert on_host(warden, "sysctl", "-n", "net.inet.ip.forwarding") == "0\n"
    for gone in ("/etc/devfs.rules", "/usr/local/etc/warden", "/usr/local/etc/rc.d/warden_pf"):
        assert warden("host", "run", "--", "test", "-e", gone).status == 1


def test_the_guides_steps_one_after_the_other(warden: Warden, examples: Path) -> None:
    atlas = examples / "atlas"
    for step in ("db", "git", "cms", "llama-cpp", "service"):
        ended = warden("setup", "--step", step, folder=atlas)
        assert ended.status == 0, (step, ended)
    assert on_host(warden, "jls", "name").split() == ["atlasdb", "atlasgit", "atlascms", "atlasllamacpp"]
    # what a step added stays, though the .env does not name it
    assert warden("plan", "--exit-code", folder=atlas).status == 0


def test_ollama_and_llama_cpp_at_one_address_are_alternatives(warden: Warden, examples: Path) -> None:
    atlas = examples / "atlas"
    assert warden("setup", "--step", "llama-cpp", folder=atlas).status == 0
    ended = warden("setup", "--step", "ollama", folder=atlas)
    assert ended.status == 4
    assert "10.0.1.4" in ended.err
    assert "llama-cpp" in ended.err
    assert "ollama" in ended.err
