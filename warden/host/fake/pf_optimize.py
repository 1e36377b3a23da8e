# SPDX-License-Identifier: BSD-2-Clause
"""What pfctl does to filter rules before it loads them (`-o basic`, session 09).

Rules that say the same are dropped, six or more that differ in one address only share a table, and the rest is
ordered so that the kernel can skip more of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING

from warden.host.fake.pf_hosts import parse_network
from warden.host.fake.pf_rules import ANY, Address, Rule, TableDefinition

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

TABLE_THRESHOLD = 6
"""From so many rules on a table is faster than rules."""


@dataclass(slots=True, eq=False)
class _Shared:
    """A table in the making, and how many rules would share it."""

    number: int
    entries: list[Address] = field(default_factory=list)
    made: bool = False


@dataclass(slots=True, eq=False)
class _Item:
    """A rule on its way through, and the table that its addresses may go to."""

    rule: Rule
    source: _Shared | None = None
    destination: _Shared | None = None


def optimize(
    rules: list[Rule], is_group: Callable[[str], bool], name_table: Callable[[int, int], str]
) -> tuple[list[Rule], list[TableDefinition]]:
    """Give the rules as pfctl loads them, and the tables that it makes of addresses.

    `is_group` tells interface groups, over which rules are not moved. `name_table` names a new table by two numbers:
    how many pfctl has thought of so far, and how many it has made.
    """
    tables: list[TableDefinition] = []
    numbers = count()
    found: list[Rule] = []
    for block in _superblocks(rules, is_group):
        items = block
        if len(block) > 1:
            items = _combine(_without_duplicates(block), name_table, numbers, tables)
            items = _reorder(items)
        found += [item.rule for item in items]
    return found, tables


def _superblocks(rules: list[Rule], is_group: Callable[[str], bool]) -> list[list[_Item]]:
    """Split the rules into runs inside which their order does not matter."""
    blocks: list[list[_Item]] = []
    for rule in rules:
        first = blocks[-1][0].rule if blocks else None
        if first is not None and not _stands_alone(rule) and _same_block(first, rule, is_group):
            blocks[-1].append(_Item(rule))
        else:
            blocks.append([_Item(rule)])
    return blocks


def _stands_alone(rule: Rule) -> bool:
    limited = any(option.startswith(("max", "source-track rule")) for option in rule.state_options)
    return bool(rule.labels or rule.anchor or limited)


def _same_block(first: Rule, rule: Rule, is_group: Callable[[str], bool]) -> bool:
    names = (first.interface, rule.interface)
    if names[0] != names[1] and any(name and is_group(name) for name in names):
        return False
    return _break_key(first) == _break_key(rule)


def _break_key(rule: Rule) -> Hashable:
    """Give what must be the same for all rules of a block."""
    return (
        (rule.action, rule.answer, rule.ttl, rule.log, rule.quick, rule.tag, rule.anchor, rule.labels),
        (rule.state, rule.state_options, rule.fragment, rule.allow_options, rule.pool, rule.translate_pass),
    )


def _without_duplicates(block: list[_Item]) -> list[_Item]:
    """Drop rules that another one of the block says already."""
    left = list(block)
    at = 0
    while at < len(left):
        one = left[at].rule
        dropped = False
        for other in left[at + 1 :]:
            if _covers(one, other.rule):
                left.remove(other)
            elif _covers(other.rule, one):
                dropped = True
                break
        if dropped:
            del left[at]
        else:
            at += 1
    return left


def _covers(wide: Rule, narrow: Rule) -> bool:
    """Tell whether a rule matches all that another one of its block does."""
    same_family = wide.family == narrow.family
    return (
        _covered(wide.source, narrow.source, same_family=same_family)
        and _covered(wide.destination, narrow.destination, same_family=same_family)
        and (not wide.family or same_family)
        and wide.interface in {"", narrow.interface}
        and wide.direction in {"", narrow.direction}
        and wide.protocol in {0, narrow.protocol}
        and (wide.source_port is None or wide.source_port == narrow.source_port)
        and (wide.destination_port is None or wide.destination_port == narrow.destination_port)
        and (not wide.flag_set or (wide.flags, wide.flag_set) == (narrow.flags, narrow.flag_set))
        and _strict_key(wide) == _strict_key(narrow)
    )


def _strict_key(rule: Rule) -> Hashable:
    return (rule.interface_not, rule.icmp_type, rule.icmp_code, rule.tagged, rule.tagged_not)


def _covered(wide: Address, narrow: Address, *, same_family: bool) -> bool:
    if wide.everything and not wide.negated:
        return not narrow.negated
    if wide == narrow:
        return True
    if (wide.kind, narrow.kind) != ("net", "net") or wide.negated != narrow.negated or not same_family:
        return False
    outer, inner = parse_network(wide.text), parse_network(narrow.text)
    return outer.prefixlen < inner.prefixlen and inner.network_address in outer


def _combine(
    block: list[_Item], name_table: Callable[[int, int], str], numbers: count[int], tables: list[TableDefinition]
) -> list[_Item]:
    """Gather rules that differ in one address only, and put the addresses of six or more into a table."""
    groups: dict[Rule, list[_Item]] = {}
    for item in block:
        groups.setdefault(replace(item.rule, source=ANY, destination=ANY), []).append(item)
    for group in groups.values():
        at = 0
        while at < len(group):
            for other in group[at + 1 :]:
                shared = _share(group[at], other, numbers)
                if shared is not None and len(shared.entries) >= TABLE_THRESHOLD:
                    group.remove(other)
            at += 1
    left = {id(item) for group in groups.values() for item in group}
    found: list[_Item] = []
    for item in block:
        shared = item.source or item.destination
        if shared is None or len(shared.entries) < TABLE_THRESHOLD:
            found.append(item)
        elif not shared.made and id(item) in left:
            shared.made = True
            name = name_table(shared.number, len(tables))
            tables.append(TableDefinition(name, ("const",), tuple(entry.text for entry in shared.entries)))
            item.rule = _with_table(item, name)
            found.append(item)
    return found


def _with_table(item: _Item, name: str) -> Rule:
    rule = item.rule
    if item.source is not None:
        return replace(rule, source=Address("table", name, negated=rule.source.negated))
    return replace(rule, destination=Address("table", name, negated=rule.destination.negated))


def _share(one: _Item, other: _Item, numbers: count[int]) -> _Shared | None:
    """Let two rules share a table if they differ in their sources or their destinations only; give the table."""
    same_source = one.rule.source == other.rule.source
    if other.source or other.destination or same_source == (one.rule.destination == other.rule.destination):
        return None
    side = "destination" if same_source else "source"
    mine: Address = getattr(one.rule, side)
    yours: Address = getattr(other.rule, side)
    taken = one.source if same_source else one.destination
    if taken is not None or {mine.kind, yours.kind} != {"net"} or mine.negated != yours.negated:
        return None
    shared: _Shared = getattr(one, side) or _Shared(next(numbers), [mine])
    shared.entries.append(yours)
    setattr(one, side, shared)
    setattr(other, side, shared)
    return shared


_KEYS: tuple[Callable[[Rule], Hashable], ...] = (
    lambda rule: (rule.interface, rule.interface_not) if rule.interface else None,
    lambda rule: rule.direction or None,
    lambda rule: rule.family or None,
    lambda rule: rule.protocol or None,
    lambda rule: None if rule.source.everything else rule.source,
    lambda rule: None if rule.destination.everything else rule.destination,
    lambda rule: rule.source_port,
    lambda rule: rule.destination_port,
)
"""The fields by which the kernel can skip rules, most useful first; None is never the same as another one's."""


@dataclass(slots=True, eq=False)
class _Run:
    """Rules with a field in common; `weight` is their number, 0 for those that are not worth an order."""

    members: list[_Item]
    weight: int


def _reorder(block: list[_Item]) -> list[_Item]:
    """Put rules that have a field in common beside each other, the largest such group first."""
    runs = [_runs(block, key) for key in _KEYS]
    largest = 0
    for of_key in runs:
        if of_key[0].weight in {1, len(block)}:
            of_key[0].weight = 0
        largest = max(largest, of_key[0].weight)
    if largest == 0:
        return block
    head = list(block)
    split: list[_Item] = []
    rest: list[_Item] = []
    while head:
        best = max(range(len(_KEYS)), key=lambda index: runs[index][0].weight if runs[index] else 0)
        if not runs[best] or runs[best][0].weight <= 1:
            rest += head
            break
        run = runs[best].pop(0)
        for item in run.members:
            head.remove(item)
            _leave_runs(runs, item)
        if len(run.members) > 2:
            split += _reorder(run.members)
        else:
            rest += run.members
    return split + rest


def _runs(block: list[_Item], key: Callable[[Rule], Hashable]) -> list[_Run]:
    """Give the rules by one field, the largest group first."""
    groups: dict[Hashable, _Run] = {}
    runs: list[_Run] = []
    for item in block:
        value = key(item.rule)
        run = groups.get(value) if value is not None else None
        if run is None:
            run = _Run([], 0)
            runs.append(run)
            if value is not None:
                groups[value] = run
        run.members.append(item)
        run.weight += 1
        at = runs.index(run)
        while at and runs[at - 1].weight < run.weight:
            runs[at - 1], runs[at] = runs[at], runs[at - 1]
            at -= 1
    return runs


def _leave_runs(runs: list[list[_Run]], item: _Item) -> None:
    for of_key in runs:
        if not of_key or of_key[0].weight <= 1:
            continue
        at = next((index for index, run in enumerate(of_key) if item in run.members), None)
        if at is None:
            continue
        run = of_key[at]
        run.members.remove(item)
        run.weight -= 1
        while at + 1 < len(of_key) and of_key[at + 1].weight > run.weight:
            of_key[at], of_key[at + 1] = of_key[at + 1], of_key[at]
            at += 1
