# SPDX-License-Identifier: BSD-2-Clause
"""What the kernel keeps of pf: anchors, the tables in them, and when either goes away (sessions 04, 15, 17).

An anchor exists as long as it holds something, has anchors below it, or is called by a rule; so does one whose first
load failed half-way. A table exists as long as it is `persist` or a rule uses it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from warden.host.fake.machine import PfRules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from warden.host.fake.machine import Pf
    from warden.host.fake.pf_rules import TableDefinition

_CALL = re.compile(r'(?:nat-|rdr-|binat-)?anchor "([^"]+)"')
_TABLE = re.compile(r"<([^<>]+)>")


@dataclass(slots=True)
class Load:
    """What is to be loaded into one anchor, in one step with others."""

    anchor: str
    rules: PfRules
    tables: list[TableDefinition] = field(default_factory=list)


def called_anchor(rule: str) -> str:
    """Give the name by which a rule calls an anchor, '' for a rule that calls none."""
    match = _CALL.match(rule)
    return match.group(1) if match else ""


def anchor_path(anchor: str, name: str) -> str:
    """Give the path of the anchor that a rule in `anchor` calls by `name`; a `/*` behind it is left out."""
    path = name[1:] if name.startswith("/") else f"{anchor}/{name}" if anchor else name
    return path.removesuffix("*").removesuffix("/")


def children(pf: Pf, anchor: str) -> list[str]:
    """Give the paths of the anchors directly below one, in the order in which pf knows them."""
    prefix = f"{anchor}/" if anchor else ""
    below = (path for path in pf.anchors if path and path.startswith(prefix))
    return sorted(path for path in below if "/" not in path[len(prefix) :])


def begin(pf: Pf, anchor: str) -> PfRules:
    """Make sure that an anchor and those above it exist; give it."""
    parts = anchor.split("/") if anchor else []
    for end in range(1, len(parts) + 1):
        pf.anchors.setdefault("/".join(parts[:end]), PfRules())
    return pf.anchors[anchor]


def commit(pf: Pf, loads: Iterable[Load]) -> None:
    """Put new rulesets in the place of the old ones, all at once; other anchors stay as they are."""
    for load in loads:
        old = begin(pf, load.anchor)
        called = _called(pf, load.anchor)
        tables, flags = dict(old.tables), dict(old.table_flags)
        for definition in load.tables:
            name = definition.name
            tables[name] = list(tables.get(name, []) if definition.contents is None else definition.contents)
            flags[name] = " ".join(definition.flags)
        load.rules.tables, load.rules.table_flags = tables, flags
        if load.anchor:
            load.rules.options = []
        pf.anchors[load.anchor] = load.rules
        for path in _called(pf, load.anchor):
            begin(pf, path)
        tidy(pf, load.anchor)
        for path in called:
            remove_if_empty(pf, path)


def clear(pf: Pf, anchor: str, *kinds: str) -> None:
    """Empty lists of an anchor (`filter`, `scrub`, `nat`, `ether`); an anchor that is left with nothing goes."""
    rules = pf.anchors.get(anchor)
    if rules is None:
        return
    called = _called(pf, anchor)
    for kind in kinds:
        getattr(rules, kind).clear()
    tidy(pf, anchor)
    for path in called:
        remove_if_empty(pf, path)


def tidy(pf: Pf, anchor: str) -> None:
    """Drop an anchor's tables that nothing keeps, the same in the main ruleset, and the anchor if it is empty."""
    for path in dict.fromkeys((anchor, "")):
        rules = pf.anchors.get(path)
        if rules is None:
            continue
        loose = [name for name in rules.tables if "persist" not in rules.table_flags.get(name, "").split()]
        if loose:
            used = set(_used_tables(pf, path))
            for name in loose:
                if name not in used:
                    del rules.tables[name]
                    rules.table_flags.pop(name, None)
    remove_if_empty(pf, anchor)


def remove_if_empty(pf: Pf, anchor: str) -> None:
    """Take away an anchor that holds nothing and that nothing needs, then the one above it likewise."""
    while anchor:
        rules = pf.anchors.get(anchor)
        if rules is None or rules.filter or rules.scrub or rules.nat or rules.ether or rules.tables:
            return
        if children(pf, anchor) or any(anchor in _called(pf, path) for path in pf.anchors):
            return
        del pf.anchors[anchor]
        anchor = anchor.rpartition("/")[0]


def same_named_tables(pf: Pf, anchor: str, name: str) -> list[str]:
    """Give the other anchors that have a table of this name."""
    return sorted(path for path, rules in pf.anchors.items() if path != anchor and name in rules.tables)


def duplicate_warnings(pf: Pf, anchor: str, name: str) -> list[str]:
    """Give what pfctl says when a table gets a name that one in another anchor has."""
    return [
        f'pfctl: warning: table <{name}> already defined in anchor "{path or "/"}"'
        for path in same_named_tables(pf, anchor, name)
    ]


def _called(pf: Pf, anchor: str) -> list[str]:
    rules = pf.anchors.get(anchor)
    if rules is None:
        return []
    names = (called_anchor(rule) for rule in (*rules.nat, *rules.filter))
    return [anchor_path(anchor, name) for name in names if name]


def _used_tables(pf: Pf, anchor: str) -> Iterator[str]:
    """Give the tables that an anchor's rules name; those of the main ruleset are named by rules everywhere."""
    for path in pf.anchors if not anchor else [anchor]:
        rules = pf.anchors[path]
        for rule in (*rules.nat, *rules.filter, *rules.scrub, *rules.ether):
            if "<" in rule:
                yield from _TABLE.findall(rule)
