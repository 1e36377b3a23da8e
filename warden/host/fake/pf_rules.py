# SPDX-License-Identifier: BSD-2-Clause
"""pf's rules in structured form, after lists and macros are expanded; pf_print.py gives their text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AddressKind = Literal["any", "net", "range", "dynamic", "table", "no-route", "urpf-failed"]
RuleKind = Literal["scrub", "filter", "nat", "rdr", "binat"]


@dataclass(frozen=True, slots=True)
class Address:
    """One address of a rule.

    `text` is `10.0.1.0/24` (net), `10.0.1.1 - 10.0.1.9` (range), `vtnet0:0` (dynamic: `(vtnet0:0)`) or the name of
    a table. `family` is 4 or 6, 0 where either will do. `scope` names the interface of a link-local address.
    """

    kind: AddressKind = "any"
    text: str = ""
    family: int = 0
    negated: bool = False
    prefix: int | None = None
    scope: str = ""

    @property
    def several(self) -> bool:
        """Tell whether a dynamic address may stand for more than one: pf then takes them in turn."""
        return self.kind == "dynamic" and (":0" not in self.text or not self.text.partition(":")[0][-1].isdigit())

    @property
    def everything(self) -> bool:
        """Tell whether this is `any`, also when written as 0.0.0.0/0."""
        return self.kind == "any" or (self.kind == "net" and self.text in {"0.0.0.0/0", "::/0"})


ANY = Address()


@dataclass(frozen=True, slots=True)
class Port:
    """A port condition: `=`, `!=`, `<`, `<=`, `>`, `>=`, `:` (from to), `><` (between), `<>` (outside)."""

    operator: str
    low: int
    high: int = 0

    def matches(self, port: int) -> bool:
        """Tell whether a port fulfils the condition."""
        low, high = self.low, self.high
        return {
            "=": port == low,
            "!=": port != low,
            "<": port < low,
            "<=": port <= low,
            ">": port > low,
            ">=": port >= low,
            ":": low <= port <= high,
            "><": low < port < high,
            "<>": port < low or port > high,
        }[self.operator]


@dataclass(frozen=True, slots=True)
class Pool:
    """What a translation rule translates to: addresses, ports, and how one of several is chosen."""

    addresses: tuple[Address, ...] = ()
    low: int = 0
    high: int = 0
    method: str = ""
    static_port: bool = False
    sticky: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of pf. `action` is its first word or words; `anchor` is set for a rule that calls an anchor."""

    kind: RuleKind
    action: str
    anchor: str = ""
    translate_pass: bool = False
    answer: str = ""
    """What a block rule does: drop, return, return-rst, return-icmp."""
    ttl: int = 0
    direction: str = ""
    log: str = ""
    quick: bool = False
    interface: str = ""
    interface_not: bool = False
    family: int = 0
    protocol: int = 0
    source: Address = ANY
    source_port: Port | None = None
    destination: Address = ANY
    destination_port: Port | None = None
    flags: str = ""
    flag_set: str = ""
    icmp_type: int | None = None
    icmp_code: int | None = None
    state: str = ""
    """keep, modulate or synproxy; '' for a rule that makes no state."""
    state_options: tuple[str, ...] = ()
    fragment: bool = False
    scrub_options: str = ""
    allow_options: bool = False
    labels: tuple[str, ...] = ()
    tag: str = ""
    tagged: str = ""
    tagged_not: bool = False
    pool: Pool = Pool()


@dataclass(frozen=True, slots=True)
class EtherRule:
    """A rule for Ethernet frames; addresses stand as pfctl prints them, '' for any."""

    action: str
    direction: str = ""
    quick: bool = False
    interface: str = ""
    interface_not: bool = False
    protocol: int = 0
    source: str = ""
    destination: str = ""
    ip_source: Address = ANY
    ip_destination: Address = ANY
    tag: str = ""
    tagged: str = ""
    tagged_not: bool = False


@dataclass(frozen=True, slots=True)
class TableDefinition:
    """A `table` line: its flags, and what it is to hold; `contents` is None when the line names no addresses."""

    name: str
    flags: tuple[str, ...] = ()
    contents: tuple[str, ...] | None = None
