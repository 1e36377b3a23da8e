# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

import time
from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warden.network.errors import NetworkError
from warden.network.subnets import PRIVATE, Taken, allocate, check_subnet, first_free, overlapping


def taken(*networks: str, what: str = "reserved") -> list[Taken]:
    return [Taken(network=IPv4Network(network), what=what) for network in networks]


@st.composite
def networks(draw: st.DrawFn, within: str = "10.0.0.0/16", shortest: int = 16, longest: int = 30) -> IPv4Network:
    space = IPv4Network(within)
    address = draw(st.integers(int(space.network_address), int(space.broadcast_address)))
    return IPv4Network((address, draw(st.integers(shortest, longest))), strict=False)


taken_lists = st.lists(networks(), max_size=12).map(lambda found: [Taken(network=each, what="x") for each in found])
pools = st.lists(networks(shortest=18, longest=25), min_size=1, max_size=3)


def brute_force(pool: list[IPv4Network], occupied: list[Taken]) -> list[IPv4Network]:
    candidates = [each for network in pool if network.prefixlen <= 24 for each in network.subnets(new_prefix=24)]
    return [each for each in dict.fromkeys(candidates) if not overlapping(each, occupied)]


@given(pools, taken_lists)
def test_the_first_free_subnet_is_the_first_of_all_candidates(pool: list[IPv4Network], occupied: list[Taken]) -> None:
    free = brute_force(pool, occupied)
    if free:
        assert first_free(pool, occupied) == free[0]
    else:
        with pytest.raises(NetworkError, match=str(pool[0])):
            first_free(pool, occupied)


@given(pools, taken_lists, st.data())
def test_allocation_overlaps_nothing_and_takes_the_lowest(
    pool: list[IPv4Network], occupied: list[Taken], data: st.DataObject
) -> None:
    free = brute_force(pool, occupied)
    explicit = data.draw(st.lists(st.sampled_from(free), unique=True, max_size=3)) if free else []
    names = [f"a{number}" for number in range(len(free))]
    asked = data.draw(st.permutations([*explicit, *[None] * (len(free) - len(explicit))]))
    wanted = dict(zip(names, asked, strict=True))

    allocated = allocate(wanted, pool, occupied)

    assert list(allocated) == names
    assert sorted(allocated.values()) == sorted(free), "every free subnet is used, none twice"
    assert all(allocated[name] == subnet for name, subnet in wanted.items() if subnet)
    given_out = [allocated[name] for name in names if wanted[name] is None]
    assert given_out == [subnet for subnet in free if subnet not in explicit], "in the pool's order"
    with pytest.raises(NetworkError, match="agent late"):
        allocate({**wanted, "late": None}, pool, occupied)


def test_big_taken_ranges_are_skipped_at_once() -> None:
    started = time.perf_counter()
    # Twelve million candidates, one by one, would take many seconds.
    free = first_free([IPv4Network("0.0.0.0/0")], taken("0.0.0.0/1", "128.0.0.0/2"))
    assert free == IPv4Network("192.0.0.0/24")
    assert time.perf_counter() - started < 0.5


def test_a_thousand_agents_are_quick() -> None:
    occupied = taken(*(f"10.{number // 256}.{number % 256}.0/24" for number in range(0, 4000, 2)))
    wanted: dict[str, IPv4Network | None] = {f"agent-{number}": None for number in range(1000)}
    wanted |= {f"fixed-{number}": IPv4Network(f"172.16.{number}.0/24") for number in range(200)}
    started = time.perf_counter()
    allocated = allocate(wanted, PRIVATE, occupied)
    assert time.perf_counter() - started < 1
    assert len(set(allocated.values())) == 1200


def test_a_range_inside_another_hides_nothing_of_it() -> None:
    occupied = taken("10.0.0.0/16", "10.0.3.0/24", "10.0.9.0/30")
    assert first_free([IPv4Network("10.0.0.0/8")], occupied) == IPv4Network("10.1.0.0/24")
    with pytest.raises(NetworkError, match=r"overlaps reserved \(10\.0\.0\.0/16\)"):
        allocate({"atlas": IPv4Network("10.0.255.0/24")}, PRIVATE, [*occupied, *taken("10.0.254.252/30")])


def test_a_pool_smaller_than_a_subnet_holds_none() -> None:
    with pytest.raises(NetworkError, match=r"in the pool 10\.0\.0\.128/25$"):
        first_free([IPv4Network("10.0.0.128/25")], [])


def test_an_explicit_subnet_is_never_given_to_an_agent_that_comes_before() -> None:
    pool = [IPv4Network("10.0.0.0/8")]
    allocated = allocate({"first": None, "second": IPv4Network("10.0.0.0/24")}, pool, [])
    assert allocated == {"first": IPv4Network("10.0.1.0/24"), "second": IPv4Network("10.0.0.0/24")}


def test_an_explicit_subnet_may_be_outside_of_the_pool() -> None:
    wanted = {"atlas": IPv4Network("192.168.7.0/24")}
    assert allocate(wanted, [IPv4Network("10.0.0.0/8")], []) == wanted


def test_an_overlap_names_both_sides() -> None:
    route = Taken(network=IPv4Network("10.9.0.0/16"), what="route 10.9.0.0/16 via vtnet0")
    with pytest.raises(NetworkError, match=r"10\.9\.1\.0/24 of agent atlas overlaps route 10\.9\.0\.0/16 via vtnet0"):
        allocate({"atlas": IPv4Network("10.9.1.0/24")}, PRIVATE, [route])


def test_two_agents_with_one_subnet_are_both_named() -> None:
    subnet = IPv4Network("10.0.1.0/24")
    with pytest.raises(NetworkError, match=r"agents atlas and borea both ask for subnet 10\.0\.1\.0/24") as caught:
        allocate({"atlas": subnet, "borea": subnet}, PRIVATE, [])
    assert "leave the subnet of borea out" in caught.value.hint


def test_a_full_pool_says_what_fills_it() -> None:
    occupied = taken("10.0.0.0/24", what="agent clawdie") + taken("10.0.1.0/24", "172.16.0.0/12")
    with pytest.raises(NetworkError) as caught:
        first_free([IPv4Network("10.0.0.0/23")], occupied)
    assert str(caught.value) == (
        "no free /24 is left in the pool 10.0.0.0/23: taken by agent clawdie (10.0.0.0/24), reserved (10.0.1.0/24)"
    )
    assert caught.value.hint


def test_a_pool_filled_by_many_names_a_few() -> None:
    occupied = taken(*(f"10.0.{number}.0/24" for number in range(8)))
    with pytest.raises(NetworkError, match="and 3 more"):
        first_free([IPv4Network("10.0.0.0/21")], occupied)


@pytest.mark.parametrize(
    ("network", "says", "write"),
    [
        ("10.0.0.0/23", "holds 512 addresses", "10.0.0.0/24"),
        ("10.0.0.128/25", "holds 128 addresses", "10.0.0.0/24"),
        ("203.0.113.0/24", "is not private", "192.168.0.0/16"),
        ("172.32.0.0/24", "is not private", "172.16.0.0/12"),
    ],
)
def test_what_is_no_private_24_is_refused(network: str, says: str, write: str) -> None:
    with pytest.raises(NetworkError, match=says) as caught:
        check_subnet(IPv4Network(network))
    assert write in caught.value.hint
    with pytest.raises(NetworkError, match=f"agent atlas: .*{says}"):
        allocate({"atlas": IPv4Network(network)}, PRIVATE, [])


@pytest.mark.parametrize("network", ["10.255.255.0/24", "172.31.4.0/24", "192.168.72.0/24"])
def test_any_private_24_is_fine(network: str) -> None:
    check_subnet(IPv4Network(network))
