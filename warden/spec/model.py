# SPDX-License-Identifier: BSD-2-Clause
"""What an operator can ask for, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address
    from pathlib import Path

Service = Literal["git", "cms", "db", "llama-cpp", "ollama"]
SERVICES: tuple[Service, ...] = get_args(Service)
Isolation = Literal["open", "routed"]
Runtime = Literal["jail", "host", "ssh", "forgejo"]
Become = Literal["none", "sudo", "doas"]

DEFAULT_RELEASE = "15.1-RELEASE"
DEFAULT_POOL = (IPv4Network("10.0.0.0/8"), IPv4Network("172.16.0.0/12"), IPv4Network("192.168.0.0/16"))
LLM_SERVICES: tuple[Service, ...] = ("llama-cpp", "ollama")
"""The servers of local models: alternatives, and what other agents can share."""
DEFAULT_PORTS: Mapping[Service, int] = MappingProxyType(
    {"git": 22, "cms": 80, "db": 5432, "llama-cpp": 8080, "ollama": 11434}
)
"""What the services listen on unless the operator says otherwise."""
FORGEJO_PORT = 3000
"""What Forgejo's web server listens on, where it is what serves git."""
DEFAULT_RUNTIMES: Mapping[Service, Runtime] = MappingProxyType({"git": "ssh", "db": "jail"})
RUNTIMES: Mapping[Service, tuple[Runtime, ...]] = MappingProxyType({"git": ("ssh", "forgejo"), "db": ("jail", "host")})
"""How a service can be run, for those for which there is a choice."""
POSTGRESQL_VERSIONS = (16, 17, 18)
"""The major versions of PostgreSQL that Warden sets up."""
DEFAULT_POSTGRESQL = 18
"""The major version of PostgreSQL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSpec:
    """A host by the name that the spec gives it: `[hosts.NAME]`; `become` is how a user there becomes root."""

    name: str
    address: str
    become: Become = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """The table `[network]`, the same for all of a spec's hosts; `isolation` is None where the spec does not say."""

    bridge: str = "warden0"
    pool: tuple[IPv4Network, ...] = DEFAULT_POOL
    reserved: tuple[IPv4Network, ...] = ()
    external_interface: str = "auto"
    isolation: Isolation | None = None
    domain: str = "home.arpa"


@dataclass(frozen=True, slots=True, kw_only=True)
class Locale:
    """Three locales of an agent: `display` and `assistant` are BCP 47 tags, `system` is one of `locale -a`, UTF-8."""

    display: str = "en-US"
    assistant: str = "en-US"
    system: str = "C.UTF-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What may be used at most: memory and storage (`quota`) in bytes, processes, and percent of one CPU's time."""

    memory: int | None = None
    processes: int | None = None
    cpu: int | None = None
    quota: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """The keys that a service has of its own; those of other services are left at their defaults.

    `version` is PostgreSQL's major one; `runtime` is one of RUNTIMES; `webroot` is a folder of the host that nginx
    serves; `model` is llama-server's file on the host, with `parallel` requests at once and a `context` of so many
    tokens; `models` are what ollama is to have.
    """

    version: int = DEFAULT_POSTGRESQL
    runtime: Runtime | None = None
    webroot: str | None = None
    model: str | None = None
    parallel: int = 1
    context: int = 8192
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JailSpec:
    """What is asked of one service's jail; None where the operator leaves it to Warden.

    `port` is what the service listens on.
    """

    name: str | None = None
    address: IPv4Address | None = None
    release: str | None = None
    port: int | None = None
    limits: Limits = field(default_factory=Limits)
    settings: ServiceSettings = field(default_factory=ServiceSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpec:
    """One agent: `[agents.NAME]`, or the `.env` of a directory.

    `services` is None where the spec does not say (a `.env` without AGENT_SERVICES): then the registry's list
    stands, or the default for a new agent. `command` is None for an agent that runs nothing. `user` and `workdir`
    are None where the agent's name and that user's home are meant; `user_is_owner` tells that the user is only the
    owner of the folder that the spec stands in. `host` is None where there is one host only.
    `jails` has an entry for every service of SERVICES, whether the agent has it or not.
    """

    name: str
    display_name: str
    release: str
    host: str | None = None
    subnet: IPv4Network | None = None
    gateway: IPv4Address | None = None
    services: tuple[Service, ...] | None = ()
    command: tuple[str, ...] | None = None
    user: str | None = None
    user_is_owner: bool = False
    workdir: str | None = None
    locale: Locale = field(default_factory=Locale)
    llm_shared_with: str | None = None
    limits: Limits = field(default_factory=Limits)
    protected: bool = False
    jails: Mapping[Service, JailSpec] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A whole spec: where it stands, and what it asks for.

    `notes` are remarks for the plan, by agent and service (`atlas.cms`): what of the operator's words became
    something else, and why. `positions` has the line and column, from 1, of what stands in the file, by dotted key
    as `warden.toml` has it, for both kinds of file: `agents.atlas.jails.cms.name`. `warden.spec.errors.problem_at`
    makes an error of it that points there.
    """

    path: Path
    hosts: Mapping[str, HostSpec]
    network: NetworkSpec
    agents: Mapping[str, AgentSpec]
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    positions: Mapping[str, tuple[int, int]] = field(default_factory=dict)
