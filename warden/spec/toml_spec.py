# SPDX-License-Identifier: BSD-2-Clause
"""`warden.toml` to a Spec: what the keys mean together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from warden.spec.errors import Problem, SpecError, dotted, problem_at, quoted, shown
from warden.spec.model import (
    SERVICES,
    AgentSpec,
    HostSpec,
    JailSpec,
    Limits,
    Locale,
    NetworkSpec,
    Service,
    ServiceSettings,
    Spec,
)
from warden.spec.rules import duplicates, one_address_for_two_llms
from warden.spec.toml_schema import AgentTable, DefaultsTable, LimitsTable, TomlFile, known_keys
from warden.spec.toml_source import parse_toml
from warden.spec.values import closest
from warden.spec.words import findings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from ipaddress import IPv4Network
    from pathlib import Path

    from warden.spec.toml_schema import JailDefaults, JailLimitsTable, JailTable
    from warden.spec.words import Finding


def read_toml(path: Path, text: str, *, directory: Path | None = None) -> Spec:
    """Give what a `warden.toml` asks for.

    `path` is the file's name as messages show it. `directory` is the absolute folder where relative paths in it
    start: that of `path` unless given, which a caller with a relative `path` must. Left to those who know networks
    and hosts: whether the names of agents and jails can be had, and whether addresses fit their subnet. Raises
    SpecError, and nothing else whatever the text holds, with everything that is wrong.
    """
    folder = directory or path.parent
    source = parse_toml(path, text)
    try:
        file = TomlFile.model_validate(source.values)
    except ValidationError as error:
        raise SpecError(_in_file(path, source.positions, finding) for finding in findings(error)) from None
    problems = [*_problems(path, folder, source.positions, file)]
    if problems:
        raise SpecError(problems)
    return Spec(
        path=path,
        hosts={
            name: HostSpec(name=name, address=host.address, become=host.become) for name, host in file.hosts.items()
        },
        network=NetworkSpec(
            bridge=file.network.bridge,
            pool=tuple(file.network.pool),
            reserved=tuple(file.network.reserved),
            external_interface=file.network.external_interface,
            isolation=file.network.isolation,
            domain=file.network.domain,
        ),
        agents={name: _agent(folder, name, table, file.defaults) for name, table in file.agents.items()},
        positions=source.positions,
    )


def _in_file(path: Path, positions: Mapping[str, tuple[int, int]], finding: Finding) -> Problem:
    hint = finding.hint
    message = f"{shown(finding.keys)}: {finding.message}"
    if finding.unknown:
        hint = closest(finding.keys[-1], known_keys(finding.keys[:-1]))
        message = f"unknown key {shown(finding.keys)}"
    return problem_at(path, positions, finding.keys, message, hint=hint)


def _services(agent: AgentTable, defaults: DefaultsTable) -> tuple[Service, ...]:
    return tuple(defaults.services if agent.services is None else agent.services)


def _agent(folder: Path, name: str, table: AgentTable, defaults: DefaultsTable) -> AgentSpec:
    return AgentSpec(
        name=name,
        display_name=table.display_name or name,
        release=defaults.release,
        host=table.host,
        subnet=table.subnet,
        services=_services(table, defaults),
        command=None if table.command is None else tuple(table.command),
        user=table.user,
        workdir=None if table.workdir is None else str(folder / table.workdir),
        locale=Locale(display=table.locale.display, assistant=table.locale.assistant, system=table.locale.system),
        llm_shared_with=table.llm.shared_with,
        limits=_limits(table.limits, LimitsTable()),
        protected=table.protected,
        jails={service: _jail(service, table, defaults) for service in SERVICES},
        env=table.env,
    )


def _jail(service: Service, agent: AgentTable, defaults: DefaultsTable) -> JailSpec:
    field = service.replace("-", "_")
    jail: JailTable = getattr(agent.jails, field)
    default: JailDefaults = getattr(defaults.jails, field)
    own = _settings(default) | _settings(jail)
    return JailSpec(
        name=jail.name,
        address=jail.address,
        release=jail.release or default.release,
        port=jail.port or default.port,
        limits=_limits(jail.limits, default.limits),
        settings=ServiceSettings(**own),
    )


def _settings(table: JailDefaults) -> dict[str, Any]:
    """Give the keys of a service's own that a table has."""
    written = {name: getattr(table, name) for name in ServiceSettings.__slots__ if hasattr(table, name)}
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in written.items() if value is not None
    }


def _limits(table: JailLimitsTable, default: JailLimitsTable) -> Limits:
    return Limits(
        **{name: getattr(table, name) or getattr(default, name) for name in type(table).model_fields},
    )


def _problems(path: Path, folder: Path, positions: Mapping[str, tuple[int, int]], file: TomlFile) -> Iterator[Problem]:
    """Give what is wrong with a file whose keys and values, each for itself, are right."""
    if not file.network.pool:
        yield problem_at(
            path, positions, ("network", "pool"), "network.pool is empty", hint="write a private range, or leave it out"
        )
    yield from _duplicate_services(path, positions, ("defaults", "services"), file.defaults.services)
    subnets: dict[tuple[str | None, IPv4Network], str] = {}
    for name, agent in file.agents.items():
        keys = ("agents", name)
        for inside, message, hint in _agent_problems(folder, name, agent, file):
            yield problem_at(path, positions, (*keys, *inside), f"{shown((*keys, *inside))}: {message}", hint=hint)
        yield from _duplicate_services(path, positions, (*keys, "services"), agent.services or [])
        if agent.subnet is not None:
            for reserved in file.network.reserved:
                if agent.subnet.overlaps(reserved):
                    yield problem_at(
                        path,
                        positions,
                        (*keys, "subnet"),
                        f"subnet {agent.subnet} of agent {quoted(name)} overlaps {reserved} of network.reserved",
                        hint="write another /24, or take that range out of reserved",
                    )
            # Two hosts can have the same private subnet; on one host it is a collision.
            other = subnets.setdefault((_host_of(agent, file), agent.subnet), name)
            if other != name:
                yield problem_at(
                    path,
                    positions,
                    (*keys, "subnet"),
                    f"agents {other} and {name} both ask for subnet {agent.subnet}",
                    hint="write another /24 for one of them, or leave it out to get a free one",
                )


def _agent_problems(
    folder: Path, name: str, agent: AgentTable, file: TomlFile
) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Give what is wrong with one agent: the keys inside its table, a message and a hint."""
    if agent.host is not None and agent.host not in file.hosts:
        hint = closest(agent.host, file.hosts) or f"write [{dotted(('hosts', agent.host))}] with its address"
        yield ("host",), f"there is no host {quoted(agent.host)}", hint
    if agent.host is None and len(file.hosts) > 1:
        yield ("host",), "must say which host, as there are several", f"hosts are {', '.join(file.hosts)}"
    if agent.workdir is not None and not (folder / agent.workdir).is_absolute():
        yield ("workdir",), f"{quoted(agent.workdir)} is no absolute path", "write it from / on"
    if agent.llm.shared_with == name:
        yield ("llm", "shared_with"), "an agent cannot share with itself", "leave llm out"
    services = _services(agent, file.defaults)
    for field in sorted(agent.jails.model_fields_set):
        service = field.replace("_", "-")
        if service not in services:
            yield ("jails", service), f"agent {name} has no service {service}", f'add "{service}" to its services'
    if one_address_for_two_llms(
        services, agent.subnet, ollama=agent.jails.ollama.address, llama_cpp=agent.jails.llama_cpp.address
    ):
        yield (
            ("services",),
            "ollama and llama-cpp have the same address; they are alternatives",
            f"leave one out, or write an address for one of them in [{dotted(('agents', name, 'jails', 'ollama'))}]",
        )


def _host_of(agent: AgentTable, file: TomlFile) -> str | None:
    return next(iter(file.hosts), None) if agent.host is None else agent.host


def _duplicate_services(
    path: Path, positions: Mapping[str, tuple[int, int]], keys: tuple[str, ...], services: list[Service]
) -> Iterator[Problem]:
    for index, service in duplicates(services):
        where = (*keys, str(index))
        yield problem_at(path, positions, where, f"{dotted(keys)}: {service} is there twice", hint="keep one of them")
