# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from warden.network.errors import NetworkError
from warden.network.slots import BROWSER_CLONE_SLOTS, SLOTS, WORKER_SLOTS, address_of, check_addresses, gateway_of

SUBNET = IPv4Network("10.0.1.0/24")
GATEWAY = IPv4Address("10.0.1.1")


def test_the_guides_example_has_its_addresses() -> None:
    services = ("git", "cms", "ollama", "llama-cpp", "db")
    assert [str(address_of(SUBNET, service)) for service in services] == [
        "10.0.1.2",
        "10.0.1.3",
        "10.0.1.4",
        "10.0.1.4",
        "10.0.1.5",
    ]
    assert gateway_of(SUBNET) == GATEWAY


def test_workers_and_clones_share_no_slot_with_services() -> None:
    assert not set(SLOTS.values()) & {*WORKER_SLOTS, *BROWSER_CLONE_SLOTS}
    assert not set(WORKER_SLOTS) & set(BROWSER_CLONE_SLOTS)


def test_a_service_without_a_slot_is_an_error() -> None:
    with pytest.raises(NetworkError, match="'mail' has no address slot"):
        address_of(SUBNET, "mail")


def test_the_default_addresses_fit() -> None:
    check_addresses(SUBNET, GATEWAY, {name: address_of(SUBNET, name) for name in ("git", "cms", "db", "ollama")})


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("10.0.2.3", "10.0.2.3 of cms is outside the subnet 10.0.1.0/24"),
        ("10.0.1.0", "10.0.1.0 of cms is the network address of 10.0.1.0/24"),
        ("10.0.1.255", "10.0.1.255 of cms is the broadcast address of 10.0.1.0/24"),
        ("10.0.1.1", "gateway and cms have the same address 10.0.1.1"),
        ("10.0.1.2", "git and cms have the same address 10.0.1.2"),
    ],
)
def test_an_address_that_cannot_be_is_refused(address: str, says: str) -> None:
    with pytest.raises(NetworkError) as caught:
        check_addresses(SUBNET, GATEWAY, {"git": IPv4Address("10.0.1.2"), "cms": IPv4Address(address)})
    assert says in str(caught.value)
    assert caught.value.hint


def test_a_gateway_outside_is_refused() -> None:
    with pytest.raises(NetworkError, match="of gateway is outside"):
        check_addresses(SUBNET, IPv4Address("10.0.2.1"), {})
