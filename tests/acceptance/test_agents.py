# SPDX-License-Identifier: BSD-2-Clause
"""Two agents, from nothing to running: what a user sees, and what testinfra finds on the host."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.conftest import LOCALE

if TYPE_CHECKING:
    from collections.abc import Callable

    from testinfra.host import Host as Seen  # type: ignore[import-untyped]

    from tests.acceptance.conftest import Ended, Place

    Warden = Callable[..., Ended]

AGENT = (0, 1)
REGISTRY = "/usr/local/etc/warden/agents"


@pytest.fixture(scope="module")
def applied(warden: Warden, found: dict[str, str]) -> list[dict[str, Any]]:
    """Apply the spec, and give what was told as it went."""
    ended = warden("apply", "-y", "--json")
    assert ended.status == 0, ended.err
    return [json.loads(line) for line in ended.out.splitlines()]


@pytest.fixture(scope="module")
def agents(warden: Warden, applied: list[dict[str, Any]]) -> dict[str, Any]:
    """Give the agents as `warden status` has them, by name."""
    ended = warden("status", "--json")
    assert ended.status == 0, ended.err
    return {agent["name"]: agent for agent in ended.json["agents"]}


def test_the_apply_did_all_that_its_plan_says(applied: list[dict[str, Any]], place: Place) -> None:
    plan = next(event["plan"] for event in applied if event["event"] == "plan")
    done = [event["id"] for event in applied if event["event"] == "change" and event["outcome"] == "done"]
    assert sorted(done) == sorted(change["id"] for change in plan["changes"])
    assert {agent["name"] for agent in plan["agents"]} == set(place.agents)
    assert applied[-1]["event"] == "report"
    assert applied[-1]["ok"]


def test_a_second_plan_is_empty(warden: Warden, applied: list[dict[str, Any]]) -> None:
    ended = warden("plan", "--json", "--exit-code")
    assert ended.status == 0, ended.err
    assert (ended.json["changes"], ended.json["conflicts"]) == ([], [])


def test_the_doctor_has_nothing_against_the_agents(warden: Warden, place: Place, applied: list[dict[str, Any]]) -> None:
    ended = warden("doctor", "--json")
    told = [one for one in ended.json["findings"] if one["agent"] in place.agents]
    assert told
    assert [one for one in told if one["status"] != "ok"] == []


@pytest.mark.parametrize("number", AGENT)
def test_status_says_that_they_are_healthy(agents: dict[str, Any], place: Place, number: int) -> None:
    agent = agents[place.agents[number]]
    assert agent["healthy"]
    assert (agent["subnet"], agent["service"], agent["enabled"]) == (place.subnets[number], "running", True)
    assert {jail["service"]: jail["up"] for jail in agent["jails"]} == {"git": True, "cms": True}


@pytest.mark.parametrize("number", AGENT)
def test_the_gateway_is_on_the_bridge_now_and_at_boot(
    host: Seen, agents: dict[str, Any], place: Place, number: int
) -> None:
    gateway = agents[place.agents[number]]["gateway"]
    bridge = host.interface("warden0")
    assert bridge.exists
    assert gateway in bridge.addresses
    persisted = re.findall(
        r'^ifconfig_warden0_alias(\d+)="inet (\S+)"$', host.file("/etc/rc.conf").content_string, re.MULTILINE
    )
    assert gateway in [address.partition("/")[0] for _, address in persisted]
    assert sorted(int(index) for index, _ in persisted) == list(range(len(persisted)))


@pytest.mark.parametrize("number", AGENT)
def test_the_subnet_is_in_the_table_of_pf(host: Seen, applied: list[dict[str, Any]], place: Place, number: int) -> None:
    assert place.subnets[number] in host.check_output("pfctl -a warden -t warden_net -T show").split()
    assert place.subnets[number] in host.file("/usr/local/etc/warden/subnets").content_string.splitlines()


@pytest.mark.parametrize("number", AGENT)
def test_the_jails_run_and_answer(host: Seen, agents: dict[str, Any], place: Place, number: int) -> None:
    agent = agents[place.agents[number]]
    for jail in agent["jails"]:
        name, address = jail["name"], jail["address"]
        assert host.run("ping -c 1 -t 5 %s", address).succeeded
        assert f"inet {address}/24" in host.check_output("ifconfig -j %s -f inet:cidr", name)
        assert f"gateway: {agent['gateway']}" in host.check_output("route -j %s -n get default", name)
        dataset = host.check_output("zfs list -H -o name %s", f"/usr/local/bastille/jails/{name}")
        assert host.check_output("zfs get -H -o value warden:agent %s", dataset) == agent["name"]
        assert host.check_output("bastille config %s get boot", name) == "on"


def test_no_agent_reaches_the_jails_of_the_other(host: Seen, agents: dict[str, Any], place: Place) -> None:
    mine, others = (agents[name]["jails"][0] for name in place.agents)
    assert host.run("jexec %s ping -c 1 -t 3 %s", mine["name"], others["address"]).failed


@pytest.mark.parametrize("number", AGENT)
def test_the_service_runs_as_its_user_and_starts_at_boot(
    host: Seen, agents: dict[str, Any], place: Place, number: int
) -> None:
    name = place.agents[number]
    assert host.service(name).is_running
    assert host.service(name).is_enabled
    assert host.user(name).exists
    processes = host.check_output("ps -axww -o user,command").splitlines()
    assert f"{name} sleep 86400" in [" ".join(line.split()) for line in processes]
    script = host.file(f"/usr/local/etc/rc.d/{name}")
    assert (script.mode, script.user) == (0o555, "root")


@pytest.mark.parametrize("number", AGENT)
def test_the_locale_is_in_the_environment_of_the_service(
    host: Seen, agents: dict[str, Any], place: Place, number: int
) -> None:
    seen = host.file(f"/home/{place.agents[number]}/locale.now").content_string.splitlines()
    assert f"LANG={LOCALE}" in seen
    assert f"LC_ALL={LOCALE}" in seen


@pytest.mark.parametrize("number", AGENT)
def test_only_root_reads_the_environment_file(
    host: Seen, applied: list[dict[str, Any]], place: Place, number: int
) -> None:
    name = place.agents[number]
    secret, entry = host.file(f"{REGISTRY}/{name}.env"), host.file(f"{REGISTRY}/{name}.toml")
    assert (secret.mode, secret.user) == (0o600, "root")
    assert (entry.mode, entry.user) == (0o644, "root")
    assert "GREETING=" in secret.content_string
    assert "GREETING" not in entry.content_string


def test_jails_see_none_of_the_devices_of_the_host(host: Seen, agents: dict[str, Any]) -> None:
    for agent in agents.values():
        for jail in agent["jails"]:
            devices = host.check_output("jexec %s ls /dev", jail["name"]).split()
            assert "null" in devices
            assert not {"mem", "kmem", "pf"} & set(devices)
