# SPDX-License-Identifier: BSD-2-Clause
"""The gateways of the agents: addresses of the bridge, live and in rc.conf."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Interface, NetmaskValueError
from typing import TYPE_CHECKING

from warden.resources.change import Change, Stage
from warden.resources.commands import command, sysrc_remove, sysrc_set

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from ipaddress import IPv4Address

    from warden.facts.model import Facts, RegisteredAgent
    from warden.host.command import Command
    from warden.resources.change import Finding
    from warden.resources.desired import Desired, DesiredAgent


def changes(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the changes that add the agents' gateways, and that remove those of agents that leave.

    An address that is there already is not added again: the kernel would take it away first, with its route.
    """
    live = facts.interfaces.get(desired.bridge)
    live_addresses = {address.ip for address in live.addresses} if live else set()
    aliases = Aliases.read(desired.bridge, facts.rc_conf)
    for agent in desired.agents.values():
        yield from _add(desired.bridge, agent, aliases, live=agent.gateway in live_addresses)
    for leaving in desired.leaving.values():
        yield from _remove(desired.bridge, leaving, aliases, live=leaving.gateway in live_addresses)
    yield from _tidy(desired, aliases)


def _add(bridge: str, agent: DesiredAgent, aliases: Aliases, *, live: bool) -> Iterator[Finding]:
    address = IPv4Interface(f"{agent.gateway}/{agent.subnet.prefixlen}")
    commands: list[Command] = []
    if not live:
        commands.append(command("/sbin/ifconfig", bridge, "inet", str(address), "alias"))
    variable = aliases.holder(agent.gateway)
    persisted = variable is not None
    if variable is None:
        variable = aliases.add(address)
        commands.append(sysrc_set({variable: f"inet {address}"}))
    if not commands:
        return
    lacking = "missing now" if persisted else "missing at boot" if live else "next free index"
    yield Change(
        kind="gateway",
        name=str(address),
        agent=agent.name,
        action="~" if live or persisted else "+",
        stage=Stage.FIRST,
        detail=f"on {bridge}, {variable}",
        reason=lacking,
        commands=tuple(commands),
    )


def _remove(bridge: str, agent: RegisteredAgent, aliases: Aliases, *, live: bool) -> Iterator[Finding]:
    commands: list[Command] = []
    if live:
        commands.append(command("/sbin/ifconfig", bridge, "inet", str(agent.gateway), "-alias"))
    variables = aliases.drop(agent.gateway)
    if variables:
        commands.append(sysrc_remove(variables))
    if commands:
        yield Change(
            kind="gateway",
            name=f"{agent.gateway}/{agent.subnet.prefixlen}",
            agent=agent.name,
            action="-",
            stage=Stage.LAST,
            detail=f"on {bridge}, {', '.join(variables) or 'not in rc.conf'}",
            commands=tuple(commands),
        )


def _tidy(desired: Desired, aliases: Aliases) -> Iterator[Finding]:
    """Give the change that leaves each gateway once and no gap: a move that was cut off stands in two places."""
    ours = set(desired.gateways)
    surplus = aliases.drop_surplus(ours)
    moves = aliases.close_gaps(ours)
    commands = [sysrc_remove(surplus)] if surplus else []
    for old, new, value in moves:
        commands += [sysrc_set({new: value}), sysrc_remove([old])]
    if commands:
        words = [f"{name} goes" for name in surplus] + [f"{old} becomes {new}" for old, new, _ in moves]
        leaving = next(iter(desired.leaving), None)
        yield Change(
            kind="aliases",
            name=desired.bridge,
            agent=leaving,
            action="~",
            stage=Stage.LAST if leaving else Stage.FIRST,
            detail=", ".join(words),
            reason="each gateway once in rc.conf, and no gap between them",
            commands=tuple(commands),
        )


class Aliases:
    """The numbered aliases of an interface in rc.conf, kept dense and never empty.

    rc.conf(5) says that rc stops at a gap; 13.2 and 15.1 stop at an empty value only. Other people's aliases count
    and stay where they are; one that is empty is nobody's.
    """

    def __init__(self, interface: str, values: dict[int, str], main: str) -> None:
        self._interface = interface
        self._values = {index: value for index, value in values.items() if value.strip()}
        self._empty = values.keys() - self._values.keys()
        self._main = parse_value(main)
        self._holders: dict[IPv4Address, str] = {}
        for index, address in self._addresses().items():
            self._holders.setdefault(address.ip, self._name(index))

    @classmethod
    def read(cls, interface: str, rc_conf: Mapping[str, str]) -> Aliases:
        """Take the aliases of an interface out of rc.conf's variables."""
        pattern = re.compile(rf"^ifconfig_{re.escape(interface)}_alias(\d+)$")
        values = {int(found[1]): value for name, value in rc_conf.items() if (found := pattern.match(name))}
        return cls(interface, values, rc_conf.get(f"ifconfig_{interface}", ""))

    def holder(self, address: IPv4Address) -> str | None:
        """Give the variable that has the address; None where none has it."""
        if self._main is not None and self._main.ip == address:
            return f"ifconfig_{self._interface}"
        return self._holders.get(address)

    def add(self, address: IPv4Interface) -> str:
        """Take the lowest free index for an address, and give its variable."""
        index = self._lowest_free()
        self._values[index] = f"inet {address}"
        self._holders[address.ip] = self._name(index)
        return self._name(index)

    @property
    def all(self) -> tuple[IPv4Interface, ...]:
        """All addresses that the interface gets at boot."""
        main = () if self._main is None else (self._main,)
        return (*main, *self._addresses().values())

    def drop_surplus(self, ours: set[IPv4Address]) -> list[str]:
        """Take out what stands there for nothing, and give the variables: empty ones, and ours that stand twice."""
        surplus = sorted(self._empty - self._values.keys())
        surplus += [
            index
            for index, held in self._addresses().items()
            if held.ip in ours and self.holder(held.ip) != self._name(index)
        ]
        self._empty = set()
        for index in surplus:
            self._values.pop(index, None)
        return [self._name(index) for index in surplus]

    def drop(self, address: IPv4Address) -> list[str]:
        """Take every alias with this address out, and give their variables."""
        indexes = [index for index, held in self._addresses().items() if held.ip == address]
        for index in indexes:
            del self._values[index]
        self._holders.pop(address, None)
        return [self._name(index) for index in indexes]

    def close_gaps(self, ours: set[IPv4Address]) -> list[tuple[str, str, str]]:
        """Move our own highest aliases down until no gap is below one of them: (old variable, new variable, value)."""
        moves: list[tuple[str, str, str]] = []
        while True:
            gap = self._lowest_free()
            movable = [index for index, held in self._addresses().items() if held.ip in ours and index > gap]
            if not movable:
                return moves
            index = max(movable)
            value = self._values.pop(index)
            self._values[gap] = value
            moves.append((self._name(index), self._name(gap), value))

    def _addresses(self) -> dict[int, IPv4Interface]:
        parsed = {index: parse_value(value) for index, value in sorted(self._values.items())}
        return {index: address for index, address in parsed.items() if address is not None}

    def _lowest_free(self) -> int:
        index = 0
        while index in self._values:
            index += 1
        return index

    def _name(self, index: int) -> str:
        return f"ifconfig_{self._interface}_alias{index}"


def parse_value(value: str) -> IPv4Interface | None:
    """Give the address of an `ifconfig_*` value, `inet 10.0.1.1/24` or `inet 10.0.1.1 netmask 255.255.255.0`."""
    words = value.split()
    if len(words) < 2 or words[0] != "inet":  # the family and an address
        return None
    mask = words[words.index("netmask") + 1] if "netmask" in words[:-1] else None
    try:
        if mask is None:
            return IPv4Interface(words[1])
        prefix = str(int(mask, 16).bit_count()) if mask.startswith("0x") else mask
        return IPv4Interface(f"{words[1]}/{prefix}")
    except (AddressValueError, NetmaskValueError, ValueError):
        return None
