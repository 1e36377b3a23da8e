# SPDX-License-Identifier: BSD-2-Clause
"""Agents with a database, as the tests of the service db want them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from warden.resources.desired import DesiredAgent, DesiredJail
from warden.spec.model import Limits, ServiceSettings

ADDRESS = "10.0.1.4"


def database_jail(name: str = "atlasdb", address: str = ADDRESS, *, version: int = 18, port: int = 5432) -> DesiredJail:
    """Give a jail that PostgreSQL is to serve in."""
    return DesiredJail(
        service="db",
        name=name,
        address=IPv4Address(address),
        release="15.1-RELEASE",
        thick=True,
        priority=20,
        port=port,
        settings=ServiceSettings(version=version),
        limits=Limits(),
    )


def agent_with(
    jail: DesiredJail,
    name: str = "atlas",
    *,
    subnet: str = "10.0.1.0/24",
    storage: str | None = "zroot/warden/atlas",
    locale: str = "C.UTF-8",
) -> DesiredAgent:
    """Give an agent that has this jail only."""
    network = IPv4Network(subnet)
    return DesiredAgent(
        name=name,
        display_name=name.title(),
        subnet=network,
        gateway=network[1],
        jails={"db": jail},
        service=None,
        system_locale=locale,
        environment={},
        shares_llm_of=None,
        protected=False,
        limits=Limits(),
        domain="home.arpa",
        storage=storage,
    )
