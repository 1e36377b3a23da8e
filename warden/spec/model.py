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
Become = Literal["none", "sudo", "doas"]

DEFAULT_RELEASE = "15.1-RELEASE"
DEFAULT_POOL = (IPv4Network("10.0.0.0/8"), IPv4Network("172.16.0.0/12"), IPv4Network("192.168.0.0/16"))
DEFAULT_PORTS: Mapping[Service, int] = MappingProxyType({"llama-cpp": 8080, "ollama": 11434})
"""What the services listen on whose port a pf rule must name."""


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
class JailSpec:
    """What is asked of one service's jail; None where the operator leaves it to Warden.

    `port` is what the service listens on, and can be asked for the services of DEFAULT_PORTS only.
    """

    name: str | None = None
    address: IPv4Address | None = None
    release: str | None = None
    port: int | None = None


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
