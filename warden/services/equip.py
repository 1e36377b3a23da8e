# SPDX-License-Identifier: BSD-2-Clause
"""What the services of an agent need, put into what should be on its host: datasets, mounts, variables, secrets."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from warden.resources import storage
from warden.resources.desired import DesiredDataset, LlmServer
from warden.resources.kept import AGENTS
from warden.services import host_db, llm
from warden.services.host_setup import pool_of, tenants_of
from warden.services.modules import MODULES
from warden.spec.model import DEFAULT_PORTS, LLM_SERVICES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.facts.model import Facts
    from warden.resources.desired import Desired, DesiredAgent

COMMON = ("workspace", "repos", "data")
"""The datasets that every agent has."""


def equip(desired: Desired, facts: Facts) -> Desired:
    """Give what should be on a host, with all that the services of its agents need there."""
    pool = pool_of(facts)
    agents = {name: _agent(desired, agent, pool, facts) for name, agent in desired.agents.items()}
    return replace(desired, agents=agents)


def _agent(desired: Desired, agent: DesiredAgent, pool: str | None, facts: Facts) -> DesiredAgent:
    key = facts.keys.get(agent.name)
    agent = replace(
        agent,
        storage=storage.storage_of(pool, agent.name) if pool else None,
        llm=_llm(desired, agent),
        public_key=key.public if key is not None else None,
        knows_its_host=key is not None and key.known_hosts,
    )
    needs = {
        service: MODULES[service].needs(agent, jail)
        for service, jail in agent.jails.items()
        if service not in agent.kept
    }
    on_host = [host_db.needs(tenant) for tenant in tenants_of([agent])]
    told = {name: value for need in (*needs.values(), *on_host) for name, value in need.environment.items()}
    datasets = [*_common(agent), *(dataset for need in needs.values() for dataset in need.datasets)]
    jails = {
        service: replace(jail, parameters=needs[service].parameters, mounts=needs[service].mounts)
        if service in needs
        else jail
        for service, jail in agent.jails.items()
    }
    return replace(
        agent,
        jails=jails,
        datasets=tuple(datasets) if agent.storage and (agent.jails or agent.service) else (),
        # what the operator wrote wins
        environment={**told, **llm.environment(agent), **agent.environment},
        secrets=tuple(name for need in (*needs.values(), *on_host) for name in need.secrets),
    )


def _common(agent: DesiredAgent) -> Iterator[DesiredDataset]:
    """Give the agent's tree: its own dataset with the quota of all, and what every agent has below it."""
    folder = f"{AGENTS}/{agent.name}"
    # root in a jail that it is mounted in could leave a program there that makes whoever runs it on the host root
    properties = {"setuid": "off"}
    yield DesiredDataset(name=str(agent.storage), mountpoint=folder, properties=properties, quota=agent.limits.quota)
    user = agent.owner
    for name in COMMON:
        owner = f"{user}:wheel" if name == "workspace" else "root:wheel"
        yield DesiredDataset(name=f"{agent.storage}/{name}", mountpoint=f"{folder}/{name}", owner=owner)


def _llm(desired: Desired, agent: DesiredAgent) -> LlmServer | None:
    owner = desired.everyone.get(agent.shares_llm_of) if agent.shares_llm_of else agent
    jails = owner.jails if owner is not None else {}
    for service in LLM_SERVICES:
        if service in jails:
            jail = jails[service]
            return LlmServer(service=service, address=jail.address, port=jail.port or DEFAULT_PORTS[service])
    return None
