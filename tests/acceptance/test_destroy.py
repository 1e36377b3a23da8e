# SPDX-License-Identifier: BSD-2-Clause
"""Agents that go: what is theirs goes with them, the other is untouched, and the host is as it was found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.acceptance.conftest import destroy_words, forget, look, write_spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from testinfra.host import Host as Seen  # type: ignore[import-untyped]

    from tests.acceptance.conftest import Ended, Place

    Warden = Callable[..., Ended]


def test_one_goes_and_then_the_other(warden: Warden, host: Seen, place: Place, found: dict[str, str]) -> None:
    assert warden("apply", "-y").status == 0
    gone, stays = place.agents
    before = agents(warden)

    ended = warden(*destroy_words(gone))
    assert ended.status == 0, ended.err
    after = agents(warden)
    assert gone not in after
    assert after[stays] == before[stays]
    nothing_is_left_of(before[gone], host)
    for jail in after[stays]["jails"]:
        assert host.run("ping -c 1 -t 5 %s", jail["address"]).succeeded
    assert host.service(stays).is_running
    write_spec(place, (stays,))
    ended = warden("plan", "--exit-code")
    write_spec(place, place.agents)
    assert ended.status == 0, ended.out

    ended = warden(*destroy_words(stays))
    assert ended.status == 0, ended.err
    nothing_is_left_of(before[stays], host)
    forget(place, host, found)
    assert look(host) == found


def test_an_apply_that_is_refused_changes_nothing(
    warden: Warden, host: Seen, place: Place, found: dict[str, str]
) -> None:
    """A mistake in the spec: a subnet that the host itself is in."""
    before = look(host)
    spec = place.folder / "warden.toml"
    text = spec.read_text(encoding="utf-8")
    spec.write_text(text.replace(place.subnets[0], "127.0.0.0/24"), encoding="utf-8")
    try:
        assert warden("apply", "-y").status in {2, 4}
    finally:
        spec.write_text(text, encoding="utf-8")
    assert look(host) == before


def agents(warden: Warden) -> dict[str, Any]:
    ended = warden("status", "--json")
    assert ended.status == 0, ended.err
    return {agent["name"]: agent for agent in ended.json["agents"]}


def nothing_is_left_of(agent: dict[str, Any], host: Seen) -> None:
    name = agent["name"]
    running, datasets = host.check_output("jls name").split(), host.check_output("zfs list -H -o name")
    for jail in agent["jails"]:
        assert jail["name"] not in running
        assert jail["name"] not in datasets
        assert not host.file(f"/usr/local/bastille/jails/{jail['name']}").exists
    bridge = host.interface("warden0")
    assert not bridge.exists or agent["gateway"] not in bridge.addresses
    assert agent["gateway"] not in host.file("/etc/rc.conf").content_string
    assert agent["subnet"] not in host.run("pfctl -a warden -t warden_net -T show").stdout
    assert not host.user(name).exists
    for path in (
        f"/usr/local/etc/rc.d/{name}",
        *(f"/usr/local/etc/warden/agents/{name}.{ext}" for ext in ("env", "toml")),
    ):
        assert not host.file(path).exists
