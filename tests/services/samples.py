# SPDX-License-Identifier: BSD-2-Clause
"""An agent as the services see it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Any

from warden.resources.desired import DesiredAgent, DesiredJail, DesiredService
from warden.spec.model import DEFAULT_PORTS, Limits, ServiceSettings

if TYPE_CHECKING:
    from warden.spec.model import Service


def agent_with(service: Service, *, port: int | None = None, **settings: Any) -> tuple[DesiredAgent, DesiredJail]:
    """Give the agent atlas, and its jail of one service."""
    jail = DesiredJail(
        service=service,
        name=f"atlas{service}",
        address=IPv4Address("10.0.1.2"),
        release="15.1-RELEASE",
        thick=False,
        priority=10,
        port=port or DEFAULT_PORTS[service],
        settings=replace(ServiceSettings(), **settings),
        limits=Limits(),
    )
    agent = DesiredAgent(
        name="atlas",
        display_name="Atlas",
        subnet=IPv4Network("10.0.1.0/24"),
        gateway=IPv4Address("10.0.1.1"),
        jails={service: jail},
        service=DesiredService(command=("/usr/local/bin/node",), user="atlas", workdir="/home/atlas"),
        system_locale="C.UTF-8",
        environment={},
        shares_llm_of=None,
        protected=False,
        limits=Limits(),
        domain="home.arpa",
        storage="zroot/warden/atlas",
    )
    return agent, jail
