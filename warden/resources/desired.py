# SPDX-License-Identifier: BSD-2-Clause
"""What should be on a host, with everything decided: addresses, names, order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address, IPv4Network

    from warden.facts.model import HostDatabase, RegisteredAgent, RegisteredWorker
    from warden.spec.model import Isolation, Limits, Service, ServiceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredDataset:
    """A ZFS dataset of an agent's: its full name, where the host mounts it, and what is set on it when it is made.

    `owner` is the `user:group` that its folder is given when it is made, by name or by number; `quota` is in bytes.
    """

    name: str
    mountpoint: str
    properties: Mapping[str, str] = field(default_factory=dict)
    quota: int | None = None
    owner: str = "root:wheel"
    mode: str = "0755"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A folder of the host that a jail has as a folder of its own: nullfs(5). `target` is the path inside the jail."""

    source: str
    target: str
    writable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class VnetJail:
    """A VNET jail of an agent's: a service's, or a worker.

    `parameters` are those of jail(8) that it needs, besides what Bastille sets.
    """

    name: str
    address: IPv4Address
    release: str
    thick: bool
    priority: int
    limits: Limits
    parameters: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredJail(VnetJail):
    """A service's jail. `remark` is what the plan says beside it."""

    service: Service
    port: int
    settings: ServiceSettings
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredService:
    """The agent's own rc.d service: what runs, as whom, where; `user_is_given` tells that the spec names the user."""

    command: tuple[str, ...]
    user: str
    workdir: str
    user_is_given: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmServer:
    """A server of local models that an agent may ask."""

    service: Service
    address: IPv4Address
    port: int

    @property
    def url(self) -> str:
        """Its address as clients want it, without a path."""
        return f"http://{self.address}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredAgent:
    """One agent. `kept` are services that stand in the registry and are no longer asked for.

    `workers` are those that it has: an apply leaves them as they are.

    `storage` is the dataset that all of its others lie below, None on a host without a pool for them. `secrets` are
    variables of its env file whose values are made when the plan is applied, unless they are there. `llm` is where
    its local model answers: its own one's address and port, or that of the agent that shares. `public_key` is the
    line of the key that it reaches its repositories with, None as long as none was made; `knows_its_host` tells that
    the host key of its git jail was written down. `host_db` is where its databases are, if not in a jail.
    """

    name: str
    display_name: str
    subnet: IPv4Network
    gateway: IPv4Address
    jails: Mapping[str, DesiredJail]
    service: DesiredService | None
    system_locale: str
    environment: Mapping[str, str]
    shares_llm_of: str | None
    protected: bool
    limits: Limits
    domain: str
    storage: str | None = None
    datasets: tuple[DesiredDataset, ...] = ()
    secrets: tuple[str, ...] = ()
    llm: LlmServer | None = None
    public_key: str | None = None
    knows_its_host: bool = True
    host_db: HostDatabase | None = None
    kept: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    workers: Mapping[str, RegisteredWorker] = field(default_factory=dict)

    @property
    def owner(self) -> str:
        """Whose the agent's own files are: its command's user's, or root's where it has no command."""
        return self.service.user if self.service is not None else "root"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """Everything that should be on one host.

    `agents` are those that the spec names, `others` the registered ones that it does not and that stay as they
    are, `leaving` those that are to go. `replace` has the ids of what is not Warden's and is given up for what is;
    `keep_data` says that the data of jails that go are put aside.
    """

    bridge: str
    external_interface: str
    isolation: Isolation
    domain: str
    agents: Mapping[str, DesiredAgent]
    others: Mapping[str, RegisteredAgent] = field(default_factory=dict)
    leaving: Mapping[str, RegisteredAgent] = field(default_factory=dict)
    replace: frozenset[str] = frozenset()
    keep_data: bool = False

    @property
    def everyone(self) -> Mapping[str, DesiredAgent | RegisteredAgent]:
        """All agents that there will be, by name."""
        everyone: dict[str, DesiredAgent | RegisteredAgent] = {**self.others, **self.agents}
        return everyone

    @property
    def subnets(self) -> tuple[IPv4Network, ...]:
        """The subnets of all agents that there will be, in the order of their addresses."""
        return tuple(sorted(agent.subnet for agent in self.everyone.values()))

    @property
    def gateways(self) -> tuple[IPv4Address, ...]:
        """The gateways of all agents that there will be, in the order of their addresses."""
        return tuple(sorted(agent.gateway for agent in self.everyone.values()))

    @property
    def inhabited(self) -> bool:
        """Tell whether any agent will be left on the host."""
        return bool(self.agents or self.others)
