# SPDX-License-Identifier: BSD-2-Clause
"""What can be seen to be wrong in a spec before any host is asked: names that nothing could have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.network.errors import NetworkError
from warden.network.names import (
    bastille_form,
    bastille_refusal,
    check_agent_name,
    check_jail_names,
    default_jail_name,
)
from warden.network.slots import address_of, check_addresses, gateway_of
from warden.spec.errors import SpecError, problem_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Address

    from warden.spec.errors import Problem
    from warden.spec.model import AgentSpec, Spec


def check_spec(spec: Spec) -> None:
    """Raise SpecError, with every problem and its place in the file, for names and addresses that cannot be."""
    problems = [problem for agent in spec.agents.values() for problem in _agent_problems(spec, agent)]
    if not problems:
        hosts = dict.fromkeys(agent.host for agent in spec.agents.values())
        problems = [problem for host in hosts for problem in _collisions(spec, host)]
    if problems:
        raise SpecError(problems)


def _agent_problems(spec: Spec, agent: AgentSpec) -> Iterator[Problem]:
    try:
        check_agent_name(agent.name)
    except NetworkError as error:
        yield _problem(spec, ("agents", agent.name), error)
        return
    for service, jail in agent.jails.items():
        refusal = bastille_refusal(jail.name) if jail.name else None
        if jail.name and refusal:
            yield problem_at(
                spec.path,
                spec.positions,
                ("agents", agent.name, "jails", service, "name"),
                f"{jail.name!r} cannot be a VNET jail's name: {refusal}",
                hint=f'write "{bastille_form(jail.name) or default_jail_name(agent.name, service)}"',
            )
    if agent.subnet is not None:
        subnet = agent.subnet
        addresses: dict[str, IPv4Address] = {
            service: agent.jails[service].address or address_of(subnet, service)
            for service in agent.services or ()
            if service in agent.jails
        }
        try:
            check_addresses(subnet, agent.gateway or gateway_of(subnet), addresses)
        except NetworkError as error:
            written = [name for name, jail in agent.jails.items() if jail.address and f" {name} " in f"{error} "]
            keys = ("agents", agent.name, "jails", *([written[-1], "address"] if written else []))
            yield problem_at(spec.path, spec.positions, keys, f"agent {agent.name}: {error}", hint=error.hint)


def _collisions(spec: Spec, host: str | None) -> Iterator[Problem]:
    seen = [named for agent in spec.agents.values() if agent.host == host for named in _jail_names(agent)]
    try:
        check_jail_names(seen)
    except NetworkError as error:
        # both agents stand in the message; the one that comes later in the file is where it is mended
        named = [name for name in spec.agents if f"{name}'s " in str(error)]
        yield _problem(spec, ("agents", *named[-1:]), error)


def _jail_names(agent: AgentSpec) -> Iterator[tuple[str, str]]:
    for service in agent.services or ():
        asked = agent.jails.get(service)
        yield (asked.name if asked else None) or default_jail_name(agent.name, service), f"{agent.name}'s {service}"


def _problem(spec: Spec, keys: tuple[str, ...], error: NetworkError) -> Problem:
    return problem_at(spec.path, spec.positions, keys, str(error), hint=error.hint)
