# SPDX-License-Identifier: BSD-2-Clause
"""A `.env` to a Spec of one agent, with the key names of Clawdie's guide to several agents on a host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from warden.spec.dotenv_schema import KEYS, DotenvKeys, closest_key
from warden.spec.dotenv_source import parse_dotenv
from warden.spec.errors import Problem, SpecError, dotted
from warden.spec.model import (
    DEFAULT_RELEASE,
    SERVICES,
    AgentSpec,
    JailSpec,
    Locale,
    NetworkSpec,
    Service,
    ServiceSettings,
    Spec,
)
from warden.spec.rules import one_address_for_two_llms
from warden.spec.words import findings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from ipaddress import IPv4Address
    from pathlib import Path

    from warden.spec.dotenv_source import DotenvSource
    from warden.spec.words import Finding

_HANDED_ON = frozenset({"DB_RUNTIME"})
"""Keys that mean something to Warden, and to the agent as well."""
_DEFAULT_COMMAND = ("/usr/local/bin/node", "dist/index.js")
_ADDRESS_KEYS: Mapping[Service, str] = {
    "git": "WARDEN_GIT_IP",
    "cms": "WARDEN_CMS_IP",
    "db": "WARDEN_DB_IP",
    "ollama": "WARDEN_OLLAMA_IP",
    "llama-cpp": "WARDEN_LLAMA_CPP_IP",
}
_JAIL_NAME_KEYS: Mapping[Service, str] = {
    "git": "GIT_JAIL_NAME",
    "cms": "CMS_JAIL_NAME",
    "db": "DB_JAIL_NAME",
    "ollama": "OLLAMA_JAIL_NAME",
    "llama-cpp": "LLAMA_CPP_JAIL_NAME",
}

_MEANS = {
    "ASSISTANT_NAME": "display_name",
    "AGENT_SUBNET_BASE": "subnet",
    "WARDEN_SUBNET": "subnet",
    "WARDEN_GATEWAY": "gateway",
    "AGENT_SERVICES": "services",
    "AGENT_COMMAND": "command",
    "AGENT_USER": "user",
    "DB_RUNTIME": "jails.db.runtime",
    "DISPLAY_LOCALE": "locale.display",
    "ASSISTANT_LOCALE": "locale.assistant",
    "SYSTEM_LOCALE": "locale.system",
    **{key: f"jails.{service}.address" for service, key in _ADDRESS_KEYS.items()},
    **{key: f"jails.{service}.name" for service, key in _JAIL_NAME_KEYS.items()},
}
"""What a key of `.env` is in the agent's table of `warden.toml`."""


def read_env(path: Path, text: str, *, directory: Path, owner: str) -> Spec:
    """Give what a `.env` asks for: one agent, no hosts, the default network.

    `directory` is the agent's, absolute, where its command runs; `owner` is that directory's owner, whom the
    command runs as unless AGENT_USER says otherwise. A key with nothing after `=` counts as one that is not
    there. Left to those who know networks and hosts is what `warden.spec.toml_spec.read_toml` leaves to them.
    Raises SpecError, and nothing else whatever the text holds, with everything that is wrong.
    """
    source = parse_dotenv(path, text)
    ours = {key: value for key, value in source.values.items() if key in KEYS and value}
    try:
        keys = DotenvKeys.model_validate(ours)
    except ValidationError as error:
        raise SpecError(_in_file(path, source, finding) for finding in findings(error)) from None
    problems = [_problem(path, source, *problem) for problem in _contradictions(keys, source)]
    if problems:
        raise SpecError(problems)
    notes: dict[str, tuple[str, ...]]
    notes = {f"{keys.agent_name}.{service}": (note,) for service in SERVICES if (note := _note(keys, service))}
    slips = tuple(_slips(source))
    if slips:
        notes[keys.agent_name] = slips
    return Spec(
        path=path,
        hosts={},
        network=NetworkSpec(),
        agents={keys.agent_name: _agent(keys, source, directory, owner)},
        notes=notes,
        positions=_positions(keys.agent_name, source),
    )


def _in_file(path: Path, source: DotenvSource, finding: Finding) -> Problem:
    key = finding.keys[0]
    hint = finding.hint
    if key == "AGENT_NAME" and key not in source.positions:
        slip = next((other for other in source.positions if closest_key(other) == key), None)
        hint = f"{slip} is written; did you mean {key}?" if slip else "write AGENT_NAME=atlas, for example"
    return _problem(path, source, key, f"{key}: {finding.message}", hint)


def _slips(source: DotenvSource) -> Iterator[str]:
    """Give a remark for each variable of the agent's own that looks like a key of ours with a slip in it."""
    for key, (line, _) in source.positions.items():
        meant = closest_key(key)
        if meant is not None:
            yield f"{key} in line {line} is no key of Warden's, and handed on to the agent; did you mean {meant}?"


def _problem(path: Path, source: DotenvSource, key: str, message: str, hint: str = "") -> Problem:
    line, column = source.positions.get(key, (None, None))
    return Problem(path=path, line=line, column=column, message=message, hint=hint)


def _agent(keys: DotenvKeys, source: DotenvSource, directory: Path, owner: str) -> AgentSpec:
    return AgentSpec(
        name=keys.agent_name,
        display_name=keys.assistant_name or keys.agent_name,
        release=DEFAULT_RELEASE,
        subnet=keys.warden_subnet or keys.agent_subnet_base,
        gateway=keys.warden_gateway,
        services=keys.agent_services,
        command=keys.agent_command or _DEFAULT_COMMAND,
        user=keys.agent_user or owner,
        user_is_owner=keys.agent_user is None,
        workdir=str(directory),
        locale=Locale(display=keys.display_locale, assistant=keys.assistant_locale, system=keys.system_locale),
        jails={
            service: JailSpec(
                name=_bastille_name(_jail_name(keys, service)),
                address=_address(keys, service),
                settings=ServiceSettings(runtime=keys.db_runtime if service == "db" else None),
            )
            for service in SERVICES
        },
        env={key: value for key, value in source.values.items() if key not in KEYS or (value and key in _HANDED_ON)},
    )


def _jail_name(keys: DotenvKeys, service: Service) -> str | None:
    name: str | None = getattr(keys, _JAIL_NAME_KEYS[service].lower())
    return name


def _address(keys: DotenvKeys, service: Service) -> IPv4Address | None:
    address: IPv4Address | None = getattr(keys, _ADDRESS_KEYS[service].lower())
    return address


def _bastille_name(name: str | None) -> str | None:
    """Give the name without what Bastille takes in the name of no VNET jail, though Clawdie's guide writes it."""
    return name and name.replace("-", "").replace("_", "")


def _note(keys: DotenvKeys, service: Service) -> str | None:
    name = _jail_name(keys, service)
    if name is None or name == _bastille_name(name):
        return None
    refused = " and no ".join(f"'{character}'" for character in "-_" if character in name)
    return f"{_JAIL_NAME_KEYS[service]}={name}: Bastille takes no {refused}"


def _positions(agent: str, source: DotenvSource) -> dict[str, tuple[int, int]]:
    table = dotted(("agents", agent))
    positions = {table: source.positions["AGENT_NAME"]}
    for key, place in source.positions.items():
        if key in _MEANS:
            positions[f"{table}.{_MEANS[key]}"] = place
        elif key not in KEYS:
            positions[f"{table}.env.{key}"] = place
    return positions


def _contradictions(keys: DotenvKeys, source: DotenvSource) -> Iterator[tuple[str, str, str]]:
    """Give what does not fit together: the key to point at, a message that names both keys, and a hint."""
    subnet_key = "WARDEN_SUBNET" if keys.warden_subnet else "AGENT_SUBNET_BASE"
    subnet = keys.warden_subnet or keys.agent_subnet_base
    if keys.agent_subnet_base not in (None, subnet):
        both = f"{_written('AGENT_SUBNET_BASE', source)} and {_written('WARDEN_SUBNET', source)}"
        yield "WARDEN_SUBNET", f"{both} are two subnets", "keep one of them"
    addresses = {"WARDEN_GATEWAY": keys.warden_gateway}
    addresses |= {key: _address(keys, service) for service, key in _ADDRESS_KEYS.items()}
    owners: dict[IPv4Address, str] = {}
    for key, address in addresses.items():
        if address is None:
            continue
        if subnet and address not in subnet:
            message = f"{_written(key, source)} is outside of {_written(subnet_key, source)}"
            yield key, message, f"write an address of {subnet}"
        other = owners.setdefault(address, key)
        # The guide itself gives both servers of local models one address: only one of them is ever asked for.
        if other != key and {key, other} != {_ADDRESS_KEYS["ollama"], _ADDRESS_KEYS["llama-cpp"]}:
            message = f"{_written(other, source)} and {_written(key, source)} are the same address"
            yield key, message, "write another address for one of them"
    if one_address_for_two_llms(
        keys.agent_services or (), subnet, ollama=keys.warden_ollama_ip, llama_cpp=keys.warden_llama_cpp_ip
    ):
        message = "AGENT_SERVICES names ollama and llama-cpp, which have the same address; they are alternatives"
        hint = f"leave one out, or write another address in {_ADDRESS_KEYS['ollama']} or {_ADDRESS_KEYS['llama-cpp']}"
        yield "AGENT_SERVICES", message, hint


def _written(key: str, source: DotenvSource) -> str:
    return f"{key}={source.values[key]}"
