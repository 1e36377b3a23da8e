# SPDX-License-Identifier: BSD-2-Clause
"""The gateways of the agents: addresses of the bridge, live and in rc.conf."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Interface, NetmaskValueError
from typing import TYPE_CHECKING

from warden.resources.change import Change, Conflict, Stage
from warden.resources.commands import command, sysrc_remove, sysrc_set

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from ipaddress import IPv4Address

    from warden.facts.model import Facts, RegisteredAgent
    from warden.host.command import Command
    from warden.resources.change import Finding
    from warden.resources.desired import Desired, DesiredAgent

ALIAS = "_alias"


def changes(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the changes that add the agents' gateways, and that remove those of agents that leave.

    An address that is there already is not added again: the kernel would take it away first, with its route.
    """
    interface = facts.interfaces.get(desired.bridge)
    live = {address.ip: address for address in interface.addresses} if interface else {}
    aliases = Aliases.read(desired.bridge, facts.rc_conf)
    for agent in desired.agents.values():
        yield from _foreign(desired, agent, aliases, live, facts)
        yield from _add(desired.bridge, agent, aliases, live.get(agent.gateway), facts)
    for leaving in desired.leaving.values():
        yield from _remove(desired.bridge, leaving, aliases, live=leaving.gateway in live)
    yield from tidy(desired.bridge, set(desired.gateways), aliases, leaving=next(iter(desired.leaving), None))


def _foreign(
    desired: Desired,
    agent: DesiredAgent,
    aliases: Aliases,
    live: Mapping[IPv4Address, IPv4Interface],
    facts: Facts,
) -> Iterator[Finding]:
    """Give what is not Warden's and stands in the agent's subnet on the bridge, or has its gateway elsewhere."""
    known = agent.name in facts.registry
    here = {**{address.ip: address for address in aliases.all}, **live}
    for address, held in sorted(here.items()):
        if address not in agent.subnet or (known and address == agent.gateway):
            continue
        variable = aliases.holder(address)
        replaceable = variable is None or ALIAS in variable
        hint = f"take it away, or was it set up for {agent.name} by hand: warden adopt {agent.name}"
        conflict = Conflict(
            kind="alias",
            name=str(address),
            agent=agent.name,
            message=f"{held} on {desired.bridge} is not Warden's, and stands in {agent.name}'s subnet {agent.subnet}",
            hint=hint + (f"; to give it up: apply --replace alias:{address}" if replaceable else ""),
            replaceable=replaceable,
        )
        if not replaceable or conflict.id not in desired.replace:
            yield conflict
        elif address != agent.gateway:
            yield from _give_up(desired.bridge, agent, held, aliases, live=address in live)
    for interface in facts.interfaces.values():
        if interface.name != desired.bridge and agent.gateway in {held.ip for held in interface.addresses}:
            yield Conflict(
                kind="alias",
                name=str(agent.gateway),
                agent=agent.name,
                message=f"{agent.name}'s gateway {agent.gateway} is an address of {interface.name}",
                hint="take it away there, or write another private /24",
            )


def _give_up(
    bridge: str, agent: DesiredAgent, held: IPv4Interface, aliases: Aliases, *, live: bool
) -> Iterator[Change]:
    for change in removal(bridge, held.ip, aliases, live=live):
        yield replace(
            change, kind="replaced alias", agent=agent.name, stage=Stage.FIRST, reason="given up by --replace"
        )


def _add(
    bridge: str, agent: DesiredAgent, aliases: Aliases, live: IPv4Interface | None, facts: Facts
) -> Iterator[Finding]:
    address = IPv4Interface(f"{agent.gateway}/{agent.subnet.prefixlen}")
    commands: list[Command] = []
    found: list[str] = []
    if live is not None and live != address:
        commands.append(command("/sbin/ifconfig", bridge, "inet", str(live.ip), "-alias"))
    if live != address:
        commands.append(command("/sbin/ifconfig", bridge, "inet", str(address), "alias"))
        found.append(f"now {live or 'absent'} -> {address}")
    variable = aliases.holder(agent.gateway)
    persisted = variable is not None
    if variable is None:
        variable = aliases.add(address)
        commands.append(sysrc_set({variable: f"inet {address}"}))
        found.append(f"{variable} absent -> inet {address}")
    elif ALIAS in variable and parse_value(facts.rc_conf.get(variable, "")) not in (None, address):
        commands.append(sysrc_set({variable: f"inet {address}"}))
        found.append(f"{variable} {facts.rc_conf[variable]} -> inet {address}")
    if not commands:
        return
    there = live is not None or persisted
    yield Change(
        kind="gateway",
        name=str(address),
        agent=agent.name,
        action="~" if there else "+",
        stage=Stage.FIRST,
        detail=", ".join(found) if there else f"on {bridge}, {variable}",
        reason="" if there else "next free index",
        commands=tuple(commands),
    )


def _remove(bridge: str, agent: RegisteredAgent, aliases: Aliases, *, live: bool) -> Iterator[Change]:
    for change in removal(bridge, agent.gateway, aliases, live=live):
        yield replace(change, name=f"{agent.gateway}/{agent.subnet.prefixlen}", agent=agent.name)


def removal(bridge: str, address: IPv4Address, aliases: Aliases, *, live: bool) -> Iterator[Change]:
    """Give the change that takes a gateway off the bridge, now and at boot; none where it is not there."""
    commands: list[Command] = []
    if live:
        commands.append(command("/sbin/ifconfig", bridge, "inet", str(address), "-alias"))
    variables = aliases.drop(address)
    if variables:
        commands.append(sysrc_remove(variables))
    if commands:
        yield Change(
            kind="gateway",
            name=str(address),
            action="-",
            stage=Stage.LAST,
            detail=f"on {bridge}, {', '.join(variables) or 'not in rc.conf'}",
            commands=tuple(commands),
        )


def tidy(bridge: str, ours: set[IPv4Address], aliases: Aliases, *, leaving: str | None = None) -> Iterator[Change]:
    """Give the change that leaves each gateway once and no gap: a move that was cut off stands in two places."""
    surplus = aliases.drop_surplus(ours)
    moves = aliases.close_gaps(ours)
    commands = [sysrc_remove(surplus)] if surplus else []
    for old, new, value in moves:
        commands += [sysrc_set({new: value}), sysrc_remove([old])]
    if commands:
        words = [f"{name} goes" for name in surplus] + [f"{old} becomes {new}" for old, new, _ in moves]
        yield Change(
            kind="aliases",
            name=bridge,
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
        """Take this address out wherever it stands, and give the variables: one that was adopted may be no alias."""
        indexes = [index for index, held in self._addresses().items() if held.ip == address]
        for index in indexes:
            del self._values[index]
        self._holders.pop(address, None)
        names = [self._name(index) for index in indexes]
        if self._main is not None and self._main.ip == address:
            self._main = None
            names.append(f"ifconfig_{self._interface}")
        return names

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


@lru_cache(maxsize=4096)  # asked of every alias for every agent
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
