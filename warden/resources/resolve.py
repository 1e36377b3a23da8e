# SPDX-License-Identifier: BSD-2-Clause
"""From what an operator wrote and what a host has to what should be: every name and address decided."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from warden.facts.model import HostDatabase
from warden.network.errors import NetworkError
from warden.network.names import check_agent_name, check_jail_names, default_jail_name
from warden.network.slots import address_of, check_addresses, gateway_of
from warden.network.subnets import Taken, allocate
from warden.resources import limits
from warden.resources.desired import Desired, DesiredAgent, DesiredJail, DesiredService
from warden.resources.errors import RefusedError
from warden.resources.fitness import check_agent_on_host, check_host, external_interface, registered_agent
from warden.spec.model import (
    DEFAULT_PORTS,
    DEFAULT_RUNTIMES,
    FORGEJO_PORT,
    LLM_SERVICES,
    JailSpec,
    Limits,
    ServiceSettings,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from ipaddress import IPv4Address, IPv4Network

    from warden.facts.model import Facts, RegisteredAgent, RegisteredJail
    from warden.spec.model import AgentSpec, Isolation, NetworkSpec, Service, Spec

DEFAULT_SERVICES: tuple[Service, ...] = ("git", "cms", "db")
"""What a `.env` without AGENT_SERVICES asks for, as the multi-agent guide has it."""

_PRIORITY = {"db": 10, "git": 20, "cms": 30, "llama-cpp": 40, "ollama": 40}
"""Bastille starts low numbers first: what others need comes up before them."""

_DEFAULT_ISOLATION: Isolation = "routed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """How much of an agent a `setup --step` is about: all of it by default."""

    services: tuple[Service, ...] | None = None
    service: bool = True


WHOLE = Scope()


def resolve(
    spec: Spec, agents: Collection[str], facts: Facts, scope: Scope = WHOLE, replaces: Collection[str] = ()
) -> Desired:
    """Decide everything about the spec's agents that are named in `agents`, as they should be on this host.

    `replaces` has the ids of conflicts that the operator has settled: what stands there is given up.
    Raises RefusedError where a name, an address or a subnet collides with what the host has, or where the host
    lacks what an agent needs.
    """
    check_host(facts)
    chosen = {name: spec.agents[name] for name in spec.agents if name in agents}
    others = {name: agent for name, agent in facts.registry.items() if name not in chosen}
    try:
        for name in chosen:
            check_agent_name(name)
        subnets = _subnets(spec.network, chosen, others, facts)
        resolved = {name: _agent(spec, agent, subnets[name], facts, scope) for name, agent in chosen.items()}
        everyone: dict[str, DesiredAgent | RegisteredAgent] = {**others, **resolved}
        check_jail_names(named_jails(everyone.values()))
    except NetworkError as error:
        raise RefusedError(str(error), hint=error.hint) from error
    for agent in resolved.values():
        _check_shared_llm(agent, resolved, others)
    desired = Desired(
        bridge=spec.network.bridge,
        external_interface=external_interface(spec.network.external_interface, facts, spec.network.bridge),
        isolation=spec.network.isolation or _recorded_isolation(facts),
        domain=spec.network.domain,
        agents=resolved,
        others=others,
        replace=frozenset(replaces),
    )
    limits.check(desired, facts)
    return desired


def resolve_leaving(network: NetworkSpec, agent: str, facts: Facts, *, keep_data: bool = False) -> Desired:
    """Decide what stays when a registered agent goes.

    Raises RefusedError where the host has no such agent, where it is protected, or others depend on it.
    """
    if registered_agent(agent, facts).protected:
        raise RefusedError(
            f"{agent} is protected on {facts.address}", hint="take `protected = true` out of its spec, and apply"
        )
    stay = {name: entry for name, entry in facts.registry.items() if name != agent}
    dependants = sorted(name for name, entry in stay.items() if entry.shares_llm_of == agent)
    if dependants:
        raise RefusedError(
            f"{agent} cannot go: its local model serves {', '.join(dependants)}",
            hint="give them another `llm` first, or destroy them before it",
        )
    return Desired(
        bridge=network.bridge,
        external_interface=external_interface(network.external_interface, facts, network.bridge),
        isolation=network.isolation or _recorded_isolation(facts),
        domain=network.domain,
        agents={},
        others=stay,
        leaving={agent: facts.registry[agent]},
        keep_data=keep_data,
    )


def _recorded_isolation(facts: Facts) -> Isolation:
    # a `.env` says nothing of isolation: what the host has stands, whoever set it
    return "open" if facts.host_record.isolation == "open" else _DEFAULT_ISOLATION


def _subnets(
    network: NetworkSpec, chosen: Mapping[str, AgentSpec], others: Mapping[str, RegisteredAgent], facts: Facts
) -> dict[str, IPv4Network]:
    wanted: dict[str, IPv4Network | None] = {}
    gateways: set[IPv4Address] = set()
    for name, agent in chosen.items():
        registered = facts.registry.get(name)
        if registered and agent.subnet and agent.subnet != registered.subnet:
            raise RefusedError(
                f"{name} has {registered.subnet} on {facts.address}, and the spec says {agent.subnet}",
                hint=f'write subnet = "{registered.subnet}", or destroy {name} first: an agent does not move',
            )
        subnet = registered.subnet if registered else agent.subnet
        wanted[name] = subnet
        if subnet is not None:
            gateways.add(agent.gateway or gateway_of(subnet))
    registered_gateways = {agent.gateway for agent in facts.registry.values()}
    taken = [Taken(network=agent.subnet, what=f"agent {name}") for name, agent in others.items()]
    taken += [Taken(network=reserved, what="reserved") for reserved in network.reserved]
    named = [subnet for subnet in wanted.values() if subnet is not None]
    apart: set[tuple[str, IPv4Network]] = set()
    for interface in facts.interfaces.values():
        for address in interface.addresses:
            on_bridge = interface.name == network.bridge
            # what somebody put into the subnet of a named agent is a conflict of its own, and has its own name
            if address.ip in gateways or (on_bridge and any(address.ip in subnet for subnet in named)):
                apart.add((interface.name, address.network))
            elif not (on_bridge and address.ip in registered_gateways):
                taken.append(Taken(network=address.network, what=f"address {address} on {interface.name}"))
    taken += [
        Taken(network=route.destination, what=f"route {route.destination} via {route.gateway or route.interface}")
        for route in facts.routes
        if route.destination.prefixlen > 0
        and not route.interface.startswith("lo")
        # a link's address says it already
        and not (route.gateway is None and (route.interface, route.destination) in apart)
        and not (route.interface == network.bridge and route.gateway is None)
    ]
    return allocate(wanted, network.pool, taken)


def _agent(spec: Spec, agent: AgentSpec, subnet: IPv4Network, facts: Facts, scope: Scope) -> DesiredAgent:
    registered = facts.registry.get(agent.name)
    gateway = agent.gateway or gateway_of(subnet)
    if registered and registered.gateway != gateway:
        raise RefusedError(
            f"{agent.name} has the gateway {registered.gateway} on {facts.address}, and the spec says {gateway}",
            hint=f"write the gateway that it has, or destroy {agent.name} first",
        )
    had = dict(registered.jails) if registered else {}
    named = agent.services if agent.services is not None else DEFAULT_SERVICES
    asked = named if scope.services is None else scope.services
    host_db = _host_db(agent, registered, facts, asked={*asked, *had})
    jails: dict[str, DesiredJail] = {
        service: _jail(agent, service, subnet, had.get(service), spec.notes.get(f"{agent.name}.{service}", ()))
        for service in _in_order({*asked, *had} - ({"db"} if host_db else set()))
    }
    workers = registered.workers if registered else {}
    addresses = {f"the worker {number}": worker.address for number, worker in workers.items()}
    check_addresses(subnet, gateway, {**addresses, **{service: jail.address for service, jail in jails.items()}})
    installed = bool(registered and registered.user)
    service = _service(spec, agent, facts) if scope.service or installed else None
    check_agent_on_host(agent, {jail.release for jail in jails.values()}, facts)
    has = {*had, *(["db"] if host_db else ())}
    dropped = tuple(sorted(has - set(named))) if spec.path.suffix == ".toml" else ()
    return DesiredAgent(
        name=agent.name,
        display_name=agent.display_name,
        subnet=subnet,
        gateway=gateway,
        jails=jails,
        service=service,
        system_locale=agent.locale.system,
        environment=_environment(agent),
        shares_llm_of=agent.llm_shared_with,
        protected=agent.protected,
        limits=agent.limits,
        domain=spec.network.domain,
        kept=dropped,
        notes=tuple(spec.notes.get(agent.name, ())),
        workers=workers,
        host_db=host_db,
    )


def _host_db(
    agent: AgentSpec, registered: RegisteredAgent | None, facts: Facts, *, asked: Collection[str]
) -> HostDatabase | None:
    """Give where an agent's databases are on the host, None where they are in a jail, or nowhere.

    Raises RefusedError where they are in the other place: what is there would be left behind.
    """
    had = registered.host_db if registered else None
    if "db" not in asked:
        return had
    spec = agent.jails.get("db", JailSpec())
    on_host = spec.settings.runtime == "host"
    if (had is not None and not on_host) or (on_host and registered is not None and "db" in registered.jails):
        there, here = ("on the host", "in a jail") if had else ("in a jail", "on the host")
        raise RefusedError(
            f"{agent.name}'s db is {there} on {facts.address}, and the spec wants it {here}",
            hint="what it holds would be left behind: write the runtime that it has, or destroy the agent first",
        )
    if not on_host:
        return None
    port = spec.port or (had.port if had else None) or DEFAULT_PORTS["db"]
    return HostDatabase(version=spec.settings.version, port=port)


def named_jails(agents: Iterable[DesiredAgent | RegisteredAgent]) -> Iterator[tuple[str, str]]:
    """Give the names of all jails of these agents, each with whose it is in words."""
    for agent in agents:
        for jail in agent.jails.values():
            yield jail.name, f"{agent.name}'s {jail.service}"
        for number, worker in agent.workers.items():
            yield worker.name, f"{agent.name}'s worker {number}"


def _in_order(services: Collection[str]) -> list[Service]:
    order: tuple[Service, ...] = ("git", "cms", "llama-cpp", "ollama", "db")
    return [service for service in order if service in services]


def _jail(
    agent: AgentSpec, service: Service, subnet: IPv4Network, had: RegisteredJail | None, notes: tuple[str, ...]
) -> DesiredJail:
    asked = agent.jails.get(service)
    name = (asked.name if asked else None) or (had.name if had else default_jail_name(agent.name, service))
    address = (asked.address if asked else None) or (had.address if had else address_of(subnet, service))
    if had and (had.name, had.address) != (name, address):
        raise RefusedError(
            f"{agent.name}'s {service} jail is {had.name} at {had.address}, and the spec says {name} at {address}",
            hint="a jail that exists is neither renamed nor moved: write what it has, or destroy the agent first",
        )
    settings = asked.settings if asked else ServiceSettings()
    runtime = settings.runtime or DEFAULT_RUNTIMES.get(service)
    if had and had.runtime not in (None, runtime):
        raise RefusedError(
            f"{agent.name}'s {service} is run by {had.runtime}, and the spec says {runtime}",
            hint="what it holds would be left behind: write the runtime that it has, or destroy the agent first",
        )
    default_port = FORGEJO_PORT if runtime == "forgejo" else DEFAULT_PORTS[service]
    return DesiredJail(
        service=service,
        name=name,
        address=address,
        release=_release(agent, asked, had),
        thick=service == "db",
        priority=_PRIORITY[service],
        port=(asked.port if asked else None) or (had.port if had else None) or default_port,
        settings=replace(settings, runtime=runtime),
        limits=asked.limits if asked else Limits(),
        remark="; ".join(notes),
    )


def _release(agent: AgentSpec, asked: JailSpec | None, had: RegisteredJail | None) -> str:
    if asked and asked.release:
        return asked.release
    return had.release if had else agent.release


def _service(spec: Spec, agent: AgentSpec, facts: Facts) -> DesiredService | None:
    if agent.command is None:
        return None
    user = agent.user
    owner = facts.users.get(user or "")
    if agent.user_is_owner and (owner is None or owner.uid == 0):
        # the owner of a folder on another machine is nobody here, and no agent runs as root for want of a word
        user = None
    account = facts.users.get(user or agent.name)
    if user == "root" or (account is not None and account.uid == 0):
        raise RefusedError(
            f"{agent.name} would run as {user}, who may do everything on {facts.address}",
            hint="name a user without such rights, or none: then it gets one of its own",
        )
    # the folder of a .env is on the machine that Warden runs on
    has_folder = spec.path.suffix == ".toml" or facts.address == "local"
    home = account.home if account is not None else f"/home/{user or agent.name}"
    workdir = agent.workdir if has_folder and agent.workdir else home
    return DesiredService(
        command=agent.command, user=user or agent.name, workdir=workdir, user_is_given=user is not None
    )


def _environment(agent: AgentSpec) -> dict[str, str]:
    generated = {
        "AGENT_NAME": agent.name,
        "ASSISTANT_NAME": agent.display_name,
        "DISPLAY_LOCALE": agent.locale.display,
        "ASSISTANT_LOCALE": agent.locale.assistant,
        "LANG": agent.locale.system,
        "LC_ALL": agent.locale.system,
    }
    return {**generated, **agent.env}


def _check_shared_llm(
    agent: DesiredAgent, resolved: Mapping[str, DesiredAgent], others: Mapping[str, RegisteredAgent]
) -> None:
    if agent.shares_llm_of is None:
        return
    owner = resolved.get(agent.shares_llm_of) or others.get(agent.shares_llm_of)
    if owner is None:
        raise RefusedError(
            f"{agent.name} shares the local model of {agent.shares_llm_of}, and there is no such agent",
            hint="name an agent that has llama-cpp or ollama among its services",
        )
    if not set(owner.jails) & set(LLM_SERVICES):
        raise RefusedError(
            f"{agent.name} shares the local model of {owner.name}, which has none",
            hint=f'add "llama-cpp" or "ollama" to the services of {owner.name}',
        )
