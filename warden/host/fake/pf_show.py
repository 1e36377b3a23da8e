# SPDX-License-Identifier: BSD-2-Clause
"""`pfctl -s`: rules, anchors, tables, status and the like (sessions 04, 09, 15, 17).

No packet passes through the fake machine, so its counters stand at nothing, and there are no states.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.host.fake import pf_kernel
from warden.host.fake.pf_grammar import parse_rule
from warden.host.fake.pf_hosts import surroundings
from warden.host.fake.pf_options import limits, log_interface
from warden.host.fake.pf_print import rule_text
from warden.host.fake.program import Reply, say

if TYPE_CHECKING:
    from warden.host.fake.machine import Pf
    from warden.host.fake.pf_rules import Address
    from warden.host.fake.program import Call

NO_ANCHOR = "pfctl: Anchor does not exist.\n"
STATE_COUNTERS = ("searches", "inserts", "removals")
COUNTERS = (
    "match",
    "bad-offset",
    "fragment",
    "short",
    "normalize",
    "memory",
    "bad-timestamp",
    "congestion",
    "ip-option",
    "proto-cksum",
    "state-mismatch",
    "state-insert",
    "state-limit",
    "src-limit",
    "synproxy",
    "map-failed",
    "translate",
)
RULE_COUNTERS = (
    "  [ Evaluations: 0         Packets: 0         Bytes: 0           States: 0     ]\n"
    "  [ Source Nodes: 0      Limit: 0      NAT/RDR: 0      Route: 0      ]\n"
    "  [ Inserted: uid 0 pid 0 State Creations: 0     ]\n"
)
ETHER_COUNTERS = "  [ Evaluations: 0         Packets: 0         Bytes: 0         ]\n"
NEVER_ACTIVE = "  [ Last Active Time: N/A ]\n"


class RuleView:
    """Prints rules: `verbose` is the number of -v, `numeric` -P, `recurse` an anchor that was named with `/*`."""

    def __init__(self, call: Call, *, verbose: int, numeric: bool, recurse: bool) -> None:
        self.call = call
        self.verbose = verbose
        self.numeric = numeric
        self.recurse = recurse

    @property
    def _pf(self) -> Pf:
        return self.call.machine.pf

    def rules(self, anchor: str) -> Reply:
        """Give the scrub and filter rules of an anchor."""
        if anchor not in self._pf.anchors:
            # exits 0 all the same (session 04)
            return say(error=NO_ANCHOR)
        found = self._pf.anchors[anchor]
        scrub = "".join(self._rule(anchor, number, text) for number, text in enumerate(found.scrub))
        return say(scrub + self._list(anchor, "filter", 0))

    def nat(self, anchor: str) -> Reply:
        """Give the translation rules of an anchor."""
        if anchor not in self._pf.anchors:
            return say(error=NO_ANCHOR)
        return say(self._list(anchor, "nat", 0))

    def ether(self, anchor: str) -> Reply:
        """Give the rules for Ethernet frames of an anchor."""
        if anchor not in self._pf.anchors:
            return say(error=NO_ANCHOR)
        rules = self._pf.anchors[anchor].ether
        tail = (ETHER_COUNTERS if self.verbose else "") + (NEVER_ACTIVE if self.verbose > 1 else "")
        numbers = (f"@{number} " if self.verbose > 1 else "" for number in range(len(rules)))
        return say("".join(f"{number}{text}\n{tail}" for number, text in zip(numbers, rules, strict=True)))

    def _list(self, anchor: str, kind: str, depth: int) -> str:
        found = self._pf.anchors.get(anchor)
        texts: list[str] = getattr(found, kind) if found is not None else []
        indent = "  " * depth
        out = ""
        for number, text in enumerate(texts):
            name = pf_kernel.called_anchor(text)
            if not (name and self.recurse):
                out += indent + self._rule(anchor, number, text)
                continue
            path = pf_kernel.anchor_path(anchor, name)
            inside = self._below(path, kind, depth + 1) if name.endswith("*") else self._list(path, kind, depth + 1)
            out += f"{indent}{self._text(anchor, number, text)} {{\n{self._counters()}{inside}{indent}}}\n"
        return out

    def _below(self, anchor: str, kind: str, depth: int) -> str:
        """Give the anchors below one that is called with `/*`."""
        word = "nat-anchor" if kind == "nat" else "anchor"
        indent = "  " * depth
        out = ""
        for path in pf_kernel.children(self._pf, anchor):
            name = path.rpartition("/")[2]
            out += f'{indent}{word} "{name}" all {{\n{self._list(path, kind, depth + 1)}{indent}}}\n'
        return out

    def _rule(self, anchor: str, number: int, text: str) -> str:
        return f"{self._text(anchor, number, text)}\n{self._counters()}"

    def _counters(self) -> str:
        return (RULE_COUNTERS if self.verbose else "") + (NEVER_ACTIVE if self.verbose > 1 else "")

    def _text(self, anchor: str, number: int, text: str) -> str:
        if self.verbose < 2 and not self.numeric:
            return text
        count = (lambda address: self._count(anchor, address)) if self.verbose > 1 else None
        text = rule_text(parse_rule(text), numeric=self.numeric, count=count)
        return f"@{number} {text}" if self.verbose > 1 else text

    def _count(self, anchor: str, address: Address) -> int | None:
        if address.kind == "table":
            for path in (anchor, ""):
                tables = self._pf.anchors[path].tables
                if address.text in tables:
                    return len(tables[address.text])
            return None
        name, *modifiers = address.text.split(":")
        mode = next((modifier for modifier in modifiers if modifier != "0"), "")
        found = surroundings(self.call, self.call.machine.net).addresses(name, mode, first="0" in modifiers)
        return len(found) if found else None


def show_anchors(call: Call, anchor: str) -> Reply:
    """Give the anchors below one, each followed by those below it."""
    pf = call.machine.pf
    if anchor not in pf.anchors:
        return say(error=f"Anchor '{anchor}' not found.\n" * 2)

    def below(path: str) -> str:
        return "".join(f"  {child}\n{below(child)}" for child in pf_kernel.children(pf, path))

    return say(below(anchor))


def show_tables(call: Call, anchor: str, verbose: int) -> Reply:
    """Give the tables of an anchor; with -v also their flags."""
    if verbose > 1:
        raise call.unsupported("pfctl -vvsT")
    pf = call.machine.pf
    if anchor not in pf.anchors:
        return say(error=NO_ANCHOR, status=1)
    rules = pf.anchors[anchor]
    if not verbose:
        return say("".join(f"{name}\n" for name in sorted(rules.tables)))
    out = ""
    for name in sorted(rules.tables):
        flags = rules.table_flags.get(name, "").split()
        used = any(f"<{name}>" in rule for rule in (*rules.filter, *rules.nat))
        elsewhere = not anchor and any(
            f"<{name}>" in rule for path, other in pf.anchors.items() if path for rule in (*other.filter, *other.nat)
        )
        marks = {"c": "const" in flags, "p": "persist" in flags, "a": True, "i": False, "r": used, "h": elsewhere}
        marks["C"] = "counters" in flags
        out += "".join(mark if held else "-" for mark, held in marks.items()) + f"\t{name}"
        out += f"\t{anchor}\n" if anchor else "\n"
    return say(out)


def show_status(call: Call) -> Reply:
    """Give pf's status, as `pfctl -s info` prints it."""
    pf = call.machine.pf
    seconds = call.machine.clock - pf.changed_at
    days, rest = divmod(seconds, 86400)
    since = f" for {days} days {rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    status = f"Status: {'Enabled' if pf.enabled else 'Disabled'}{since}"
    out = f"{status:<44}{'Debug: Urgent':>15}\n\n"
    name = log_interface(pf.anchors[""].options)
    if name:
        out += _interface_counters(name)
    # Rates are worked out from the second second on, like all divisions by time.
    rate = "           0.0/s" if seconds > 0 else f"{'':14}"
    out += f"{'State Table':<27} {'Total':>14} {'Rate':>16}\n"
    out += f"  {'current entries':<25} {0:>14} {'':>14}\n"
    out += "".join(f"  {counter:<25} {0:>14} {rate}\n" for counter in STATE_COUNTERS)
    out += "Counters\n" + "".join(f"  {counter:<25} {0:>14} {rate}\n" for counter in COUNTERS)
    return say(out)


def _interface_counters(name: str) -> str:
    two = f"{0:>14} {0:>16}"
    lines = [f"Interface Stats for {name:<16} {'IPv4':>5} {'IPv6':>16}"]
    lines += [f"  {'Bytes In':<25} {two}", f"  {'Bytes Out':<25} {two}"]
    for title in ("Packets In", "Packets Out"):
        lines += [f"  {title}", f"    {'Passed':<23} {two}", f"    {'Blocked':<23} {two}"]
    return "\n".join(lines) + "\n\n"


def show_running(call: Call) -> Reply:
    """Tell whether pf is enabled, by exit status too."""
    return say("Enabled\n") if call.machine.pf.enabled else say("Disabled\n", status=1)


def show_limits(call: Call) -> Reply:
    """Give pf's memory limits."""
    found = limits(call.machine.pf.anchors[""].options)
    return say("".join(f"{name:<13} hard limit {number:>8}\n" for name, number in found.items()))


def show_interfaces(call: Call) -> Reply:
    """Give the interfaces and groups that pf knows; an interface that was renamed also by its first name."""
    names = {"all"}
    for interface in call.machine.net.interfaces.values():
        names |= {interface.name, interface.unit, *interface.groups}
    return say("".join(f"{name}\n" for name in sorted(names)))
