# SPDX-License-Identifier: BSD-2-Clause
"""How the agents of a host are, as its registry and its state tell."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from warden.engine.serving import host_serving, serving
from warden.engine.worker import read_workers
from warden.facts.probe import TABLES
from warden.network.names import rc_name
from warden.resources.gateway import Aliases

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.engine.worker import WorkerStatus
    from warden.facts.model import Facts, RegisteredAgent, RegisteredJail

JSON_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class JailStatus:
    """One jail: `up` is whether it runs with its own address; the rest is what `Serving` has of its service."""

    service: str
    name: str
    address: str
    up: bool
    state: str
    version: str | None
    why: str


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
    workers: tuple[WorkerStatus, ...]

    @property
    def healthy(self) -> bool:
        """Tell whether everything that the agent has is there, runs and answers; a warning is no illness."""
        return (
            self.gateway_live
            and self.gateway_at_boot
            and self.nat
            and all(jail.up and jail.state in ("healthy", "warning") for jail in self.jails)
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
        jails=(*(_jail(jail, facts) for jail in agent.jails.values()), *_host_db(agent, facts)),
        service=service,
        enabled=enabled,
        locale=agent.system_locale,
        workers=read_workers(facts, agent.name),
    )


def _jail(jail: RegisteredJail, facts: Facts) -> JailStatus:
    running = facts.running_jails.get(jail.name)
    how = serving(jail, facts)
    return JailStatus(
        service=jail.service,
        name=jail.name,
        address=str(jail.address),
        up=running is not None and jail.address in {address.ip for address in running.addresses},
        state=how.state,
        version=how.version,
        why=how.why,
    )


def _host_db(agent: RegisteredAgent, facts: Facts) -> Iterator[JailStatus]:
    """Give the agent's databases on the host as if they were a jail's, whose name is `host`."""
    if agent.host_db is not None:
        how = host_serving(agent, agent.host_db, facts)
        yield JailStatus(
            service="db",
            name="host",
            address=str(agent.gateway),
            up=how.state == "healthy",
            state=how.state,
            version=how.version,
            why=how.why,
        )


def status_to_json(label: str, facts: Facts, agents: tuple[AgentStatus, ...]) -> dict[str, Any]:
    """Give the state of a host as docs/json.md describes it."""
    return {
        "version": JSON_VERSION,
        "host": label,
        "release": facts.release,
        "agents": [{**asdict(agent), "healthy": agent.healthy} for agent in agents],
    }
