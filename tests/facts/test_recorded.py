"""The parsers on what the real tools of a real FreeBSD 15.1 said: the sessions beside these tests."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from warden.facts.errors import FactsError
from warden.facts.host_tables import parse_devfs_rules, parse_mount_points, parse_passwd, parse_supervised
from warden.facts.ifconfig import parse_ifconfig
from warden.facts.netstat import parse_netstat
from warden.facts.pfctl import parse_rules, parse_status, parse_table
from warden.facts.sysrc import parse_sysrc
from warden.facts.zfs import parse_datasets

SESSIONS = Path(__file__).resolve().parents[1] / "sessions"


def recorded(session: str, *argv: str) -> list[str]:
    """Give every standard output that a command had in a session, in order."""
    lines = (SESSIONS / f"{session}.jsonl").read_text(encoding="utf-8").splitlines()
    steps: list[dict[str, Any]] = [json.loads(line) for line in lines]
    outputs = [step["stdout"] for step in steps if step.get("argv") == list(argv)]
    assert outputs, f"{session} has no {argv}"
    return outputs


def every_ifconfig() -> list[str]:
    outputs = []
    for path in sorted(SESSIONS.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            step = json.loads(line)
            argv = step.get("argv", [])
            shows = argv[:1] == ["ifconfig"] and not step.get("exit") and "flags=" in str(step["stdout"])
            if shows:
                outputs.append(step["stdout"])
    return outputs


def test_ifconfig_of_the_untouched_host() -> None:
    interfaces = parse_ifconfig(recorded("00-host-facts", "ifconfig", "-a")[0])
    assert list(interfaces) == ["vtnet0", "lo0"]
    assert interfaces["vtnet0"].addresses == (IPv4Interface("10.0.2.15/24"),)
    assert interfaces["vtnet0"].up
    assert interfaces["lo0"].groups == {"lo"}


def test_ifconfig_of_a_bridge_with_aliases_members_and_groups() -> None:
    shown = recorded("01-ifconfig-bridge-alias", "ifconfig", "-f", "inet:cidr", "warden0")[0]
    bridge = parse_ifconfig(shown)["warden0"]
    assert bridge.addresses == (IPv4Interface("192.168.72.1/24"), IPv4Interface("10.0.1.1/24"))
    assert bridge.groups == {"bridge", "warden"}
    with_member = parse_ifconfig(recorded("05-bastille-vnet-jails", "ifconfig", "warden0")[0])["warden0"]
    assert with_member.members == {"e0a_atlasgit"}
    down = parse_ifconfig(recorded("01-ifconfig-bridge-alias", "ifconfig", "warden0")[1])["warden0"]
    assert not down.up


@pytest.mark.parametrize("number", range(len(every_ifconfig())))
def test_every_recorded_ifconfig_is_understood(number: int) -> None:
    shown = every_ifconfig()[number]
    interfaces = parse_ifconfig(shown)
    assert len(interfaces) == sum(": flags=" in line for line in shown.splitlines())
    assert sum(len(entry.addresses) for entry in interfaces.values()) == shown.count("\tinet ")


def test_netstat() -> None:
    routes = parse_netstat(recorded("00-host-facts", "netstat", "--libxo", "json", "-rn")[0])
    assert [str(route.destination) for route in routes] == ["10.0.2.0/24", "10.0.2.15/32", "127.0.0.1/32"]
    assert routes[0].gateway is None
    assert routes[0].interface == "vtnet0"
    with pytest.raises(FactsError):
        parse_netstat('{"statistics": {}}')


def test_netstat_writes_short_destinations() -> None:
    entry = {"gateway": "10.0.2.2", "flags": "UGS", "interface-name": "vtnet0"}
    entries = [{**entry, "destination": word} for word in ("default", "10.8/16", "172.16/12", "127.0.0.1")]
    table = {"rt-family": [{"address-family": "Internet", "rt-entry": entries}]}
    text = json.dumps({"statistics": {"route-information": {"route-table": table}}})
    routes = parse_netstat(text)
    assert [str(route.destination) for route in routes] == ["0.0.0.0/0", "10.8.0.0/16", "172.16.0.0/12", "127.0.0.1/32"]
    assert routes[0].gateway == IPv4Address("10.0.2.2")


def test_sysrc() -> None:
    variables = parse_sysrc(recorded("02-sysrc", "sysrc", "-ae")[0])
    assert variables["ifconfig_warden0_alias2"] == "inet 10.0.3.1/24"
    assert variables["gateway_enable"] == "YES"
    assert len(variables) == 16


def test_sysrc_of_values_that_break_lines_and_quotes() -> None:
    assert parse_sysrc('a="x\ny"\nb="it\'s "quoted""\n') == {"a": "x\ny", "b": 'it\'s "quoted"'}
    with pytest.raises(FactsError, match="not understood"):
        parse_sysrc("banana\n")
    with pytest.raises(FactsError, match="does not end"):
        parse_sysrc('a="x\n')


def test_pfctl() -> None:
    assert parse_status(recorded("04-pf", "pfctl", "-s", "info")[0]) is True
    assert parse_status(recorded("04-pf", "pfctl", "-si")[1]) is False
    assert parse_rules(recorded("17-anchor-loaded-by-a-service", "pfctl", "-sr")[0]) == (
        "scrub in all fragment reassemble",
        'anchor "warden" all',
        "pass all flags S/SA keep state",
    )
    shown = recorded("17-anchor-loaded-by-a-service", *["pfctl", "-a", "warden", "-t", "warden_net", "-T", "show"])[0]
    assert parse_table(shown) == (IPv4Network("10.0.1.0/24"), IPv4Network("192.168.72.0/24"))
    with pytest.raises(FactsError):
        parse_table("   banana\n")


def test_zfs_marks_only_what_carries_the_property_itself() -> None:
    text = "zroot/a\tmountpoint\t/a\tdefault\nzroot/a\twarden:agent\tatlas\tlocal\n"
    text += "zroot/a/b\tmountpoint\t/a/b\tdefault\nzroot/a/b\twarden:agent\tatlas\tinherited from zroot/a\n"
    datasets = parse_datasets(text)
    assert datasets["zroot/a"].agent == "atlas"
    assert datasets["zroot/a/b"].agent is None
    with pytest.raises(FactsError):
        parse_datasets("zroot mountpoint /zroot\n")


def test_mounts_and_devfs() -> None:
    points = parse_mount_points(recorded("05-bastille-vnet-jails", "mount", "-p")[0])
    assert points[-2:] == (
        "/usr/local/bastille/jails/atlasgit/root/.bastille",
        "/usr/local/bastille/jails/atlasgit/root/dev",
    )
    rules = parse_devfs_rules(recorded("12-devfs-and-jail-parameters", *["devfs", "rule", "-s", "13", "show"])[1])
    assert rules == ("include 1", "include 2", "include 3", "include 4", "path bpf* unhide")


def test_passwd() -> None:
    users = parse_passwd(recorded("08-users-files-processes", "getent", "passwd", "atlas")[0])
    assert (users["atlas"].uid, users["atlas"].comment, users["atlas"].home) == (1001, "agent atlas", "/home/atlas")
    with pytest.raises(FactsError):
        parse_passwd("atlas:*:banana\n")


def test_supervised_services_are_told_by_the_supervisor_and_its_child() -> None:
    shown = (
        "  PID  PPID USER   COMMAND\n"
        " 1590     1 root   daemon: atlas[1591] (daemon)\n"
        " 1591  1590 nobody sleep 1000\n"
        " 1700     1 root   daemon: bora[1701] (daemon)\n"
        " 1800     1 nobody daemon: fake[1] (daemon)\n"
    )
    supervised = parse_supervised(shown)
    assert supervised["atlas"].child == 1591
    assert supervised["bora"].child is None
    assert "fake" not in supervised
