# SPDX-License-Identifier: BSD-2-Clause
"""How the agents of a host are, as its registry and its state tell."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from warden.facts.probe import TABLES
from warden.network.names import rc_name
from warden.resources.gateway import Aliases

if TYPE_CHECKING:
    from warden.facts.model import Facts, RegisteredAgent

JSON_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class JailStatus:
    """One jail: `up` is whether it runs with its own address."""

    service: str
    name: str
    address: str
    up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStatus:
    """One agent.

    `gateway_live` and `gateway_at_boot` tell whether the bridge has its gateway now and after a reboot, `nat`
    whether its subnet is in pf's table; `service` is `none`, `stopped`, `restarting` or `running`.
    """

    name: str
    display_name: str
    subnet: str
    gateway: str
    gateway_live: bool
    gateway_at_boot: bool
    nat: bool
    jails: tuple[JailStatus, ...]
    service: str
    enabled: bool
    locale: str | None

    @property
    def healthy(self) -> bool:
        """Tell whether everything that the agent has is there and runs."""
        return (
            self.gateway_live
            and self.gateway_at_boot
            and self.nat
            and all(jail.up for jail in self.jails)
            and self.service in ("none", "running")
        )


def read_status(facts: Facts, bridge: str) -> tuple[AgentStatus, ...]:
    """Give the state of every registered agent, in the order of their names."""
    return tuple(_agent(facts.registry[name], facts, bridge) for name in sorted(facts.registry))


def _agent(agent: RegisteredAgent, facts: Facts, bridge: str) -> AgentStatus:
    live = facts.interfaces.get(bridge)
    supervised = facts.supervised.get(agent.name)
    enabled = facts.rc_conf.get(f"{rc_name(agent.name)}_enable", "NO").upper() == "YES"
    if agent.user is None:
        service = "none"
    elif supervised is None:
        service = "stopped"
    else:
        service = "running" if supervised.child is not None else "restarting"
    return AgentStatus(
        name=agent.name,
        display_name=agent.display_name,
        subnet=str(agent.subnet),
        gateway=str(agent.gateway),
        gateway_live=live is not None and agent.gateway in {address.ip for address in live.addresses},
        gateway_at_boot=Aliases.read(bridge, facts.rc_conf).holder(agent.gateway) is not None,
        nat=agent.subnet in facts.pf.tables.get(TABLES[0], ()),
        jails=tuple(
            JailStatus(
                service=service_name,
                name=jail.name,
                address=str(jail.address),
                up=jail.name in facts.running_jails
                and jail.address in {address.ip for address in facts.running_jails[jail.name].addresses},
            )
            for service_name, jail in agent.jails.items()
        ),
        service=service,
        enabled=enabled,
        locale=agent.system_locale,
    )


def status_to_json(label: str, facts: Facts, agents: tuple[AgentStatus, ...]) -> dict[str, Any]:
    """Give the state of a host as docs/json.md describes it."""
    return {
        "version": JSON_VERSION,
        "host": label,
        "release": facts.release,
        "agents": [{**asdict(agent), "healthy": agent.healthy} for agent in agents],
    }
