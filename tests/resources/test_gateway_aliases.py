"""The numbered aliases in rc.conf: dense, never empty, and other people's left where they are."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

from hypothesis import given
from hypothesis import strategies as st

from warden.resources.gateway import Aliases, parse_value

HOSTS = st.integers(1, 60).map(lambda number: IPv4Address(f"10.0.{number}.1"))
FOREIGN = st.dictionaries(st.integers(0, 12), st.integers(100, 200).map(lambda n: f"inet 10.9.{n}.1/24"), max_size=6)


def variables(values: dict[int, str]) -> dict[str, str]:
    return {f"ifconfig_warden0_alias{index}": value for index, value in values.items()}


def indexes(rc_conf: dict[str, str]) -> list[int]:
    return sorted(int(name.rpartition("alias")[2]) for name in rc_conf)


@given(foreign=FOREIGN, hosts=st.lists(HOSTS, unique=True, max_size=10))
def test_the_lowest_free_index_is_taken_and_foreign_aliases_stay(
    foreign: dict[int, str], hosts: list[IPv4Address]
) -> None:
    aliases = Aliases.read("warden0", variables(foreign))
    taken = set(foreign)
    for host in hosts:
        name = aliases.add(IPv4Interface(f"{host}/24"))
        index = int(name.rpartition("alias")[2])
        assert index == min(set(range(len(taken) + 1)) - taken)
        taken.add(index)
        assert aliases.holder(host) == name


@given(foreign=FOREIGN, hosts=st.lists(HOSTS, unique=True, min_size=1, max_size=10), data=st.data())
def test_after_removing_no_gap_stays_below_one_of_our_own(
    foreign: dict[int, str], hosts: list[IPv4Address], data: st.DataObject
) -> None:
    rc_conf = variables(foreign)
    aliases = Aliases.read("warden0", rc_conf)
    for host in hosts:
        rc_conf[aliases.add(IPv4Interface(f"{host}/24"))] = f"inet {host}/24"
    gone = data.draw(st.sampled_from(hosts))
    ours = set(hosts) - {gone}
    for name in aliases.drop(gone):
        del rc_conf[name]
    for old, new, value in aliases.close_gaps(ours):
        assert new not in rc_conf
        rc_conf[new] = value
        del rc_conf[old]
    for index, value in foreign.items():
        assert rc_conf[f"ifconfig_warden0_alias{index}"] == value
    held = {parse_value(value) for value in rc_conf.values()}
    assert {IPv4Interface(f"{host}/24") for host in ours} <= held
    ours_at = [
        int(name.rpartition("alias")[2])
        for name, value in rc_conf.items()
        if (parsed := parse_value(value)) and parsed.ip in ours
    ]
    assert all(set(range(index)) <= set(indexes(rc_conf)) for index in ours_at)


def test_values_as_rc_conf_may_have_them() -> None:
    assert parse_value("inet 10.7.2.1 netmask 255.255.255.0") == IPv4Interface("10.7.2.1/24")
    assert parse_value("inet 10.7.2.1 netmask 0xffffff00") == IPv4Interface("10.7.2.1/24")
    assert parse_value("inet 10.7.2.1/24 group warden") == IPv4Interface("10.7.2.1/24")
    assert parse_value("inet6 fe80::1") is None
    assert parse_value("up") is None
    assert parse_value("") is None
    assert parse_value("inet banana/24") is None


def test_an_address_of_the_interface_itself_counts() -> None:
    aliases = Aliases.read("warden0", {"ifconfig_warden0": "inet 192.168.72.1/24"})
    assert aliases.holder(IPv4Address("192.168.72.1")) == "ifconfig_warden0"
