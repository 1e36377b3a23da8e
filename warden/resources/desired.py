# SPDX-License-Identifier: BSD-2-Clause
"""What should be on a host, with everything decided: addresses, names, order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address, IPv4Network

    from warden.facts.model import RegisteredAgent
    from warden.spec.model import Isolation, Service


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredJail:
    """A service's VNET jail. `remark` is what the plan says beside it."""

    service: Service
    name: str
    address: IPv4Address
    release: str
    thick: bool
    priority: int
    port: int | None = None
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredService:
    """The agent's own rc.d service: what runs, as whom, where; `user_is_given` tells that the spec names the user."""

    command: tuple[str, ...]
    user: str
    workdir: str
    user_is_given: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredAgent:
    """One agent. `kept` are services that stand in the registry and are no longer asked for."""

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
    kept: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


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
