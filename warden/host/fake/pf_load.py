# SPDX-License-Identifier: BSD-2-Clause
"""`pfctl -f`: a file is read whole, with the anchors that it loads, and then put in place in one step or not at all."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from warden.host.fake import pf_kernel
from warden.host.fake.filesystem import FileError
from warden.host.fake.machine import PfRules
from warden.host.fake.pf_expand import fill_labels
from warden.host.fake.pf_grammar import Ruleset, parse
from warden.host.fake.pf_hosts import surroundings
from warden.host.fake.pf_optimize import optimize
from warden.host.fake.pf_print import ether_text, rule_text
from warden.host.fake.program import Reply, say

if TYPE_CHECKING:
    from warden.host.fake.pf_rules import Rule, TableDefinition
    from warden.host.fake.program import Call


@dataclass(slots=True)
class Loading:
    """A run of `pfctl -f`: `check` for -n, `verbose` for -v, macros from -D; what is said gathers in the lists.

    With `only` nothing but the rules of translation (-N) or of filtering (-R) is loaded: pfctl(8), not recorded.
    """

    call: Call
    check: bool = False
    verbose: bool = False
    optimize: bool = True
    only: Literal["", "nat", "filter"] = ""
    macros: dict[str, str] = field(default_factory=dict)
    out: list[str] = field(default_factory=list)
    err: list[str] = field(default_factory=list)
    loads: list[pf_kernel.Load] = field(default_factory=list)

    def run(self, name: str, anchor: str) -> Reply:
        """Load a file into an anchor, '' for the main ruleset."""
        pf = self.call.machine.pf
        good = self._read(name, anchor, self.macros)
        if good and not self.check:
            pf_kernel.commit(pf, self.loads)
        return say(_lines(self.out), error=_lines(self.err), status=0 if good else 1)

    def _read(self, name: str, anchor: str, macros: dict[str, str]) -> bool:
        pf = self.call.machine.pf
        if not self.check:
            # The anchor is there from now on, and stays when the file turns out to be wrong (session 15).
            pf_kernel.begin(pf, anchor)
        where = surroundings(self.call, self.call.net)
        try:
            text = where.read(name)
        except FileError as failure:
            self.err += [
                f"pfctl: pushfile: {name}: {failure.reason}",
                f"pfctl: cannot open the main config file!: {failure.reason}",
            ]
            return self._give_up()
        found = parse(
            "stdin" if name == "-" else name,
            text,
            where,
            macros=macros,
            on_table=lambda table: pf_kernel.duplicate_warnings(pf, anchor, table),
        )
        self.err += found.messages
        self._show(found.shown)
        if found.failed:
            return self._give_up()
        rules = found.of_kind("filter")
        made: list[TableDefinition] = []
        if self.optimize and found.optimize:
            rules, made = optimize(rules, where.is_group, self._table_name)
        self._stage(anchor, found, rules, made)
        for child, file in found.load_anchors:
            path = f"{anchor}/{child}" if anchor else child
            if self.verbose:
                self.err += ["", f"Loading anchor {path} from {file}"]
            if not self._read(file, path, {}):
                self.err.append("pfctl: load anchors")
                return False
        return True

    def _stage(self, anchor: str, found: Ruleset, rules: list[Rule], made: list[TableDefinition]) -> None:
        loaded = PfRules(
            options=list(found.options),
            scrub=_texts(found.of_kind("scrub")),
            nat=_texts(found.of_kind("nat", "rdr", "binat")),
            filter=_texts(rules),
            ether=[ether_text(rule) for rule in found.ether],
        )
        if self.only:
            live = self.call.machine.pf.anchors.get(anchor, PfRules())
            kept = replace(live, options=list(live.options))
            if self.only == "nat":
                loaded = replace(kept, nat=loaded.nat)
            else:
                loaded = replace(kept, scrub=loaded.scrub, filter=loaded.filter)
        self._show([*loaded.scrub, *loaded.ether, *loaded.nat])
        self._show([f"table <{table.name}> const {{ {' '.join(table.contents or ())} }}" for table in made])
        self._show(loaded.filter)
        self.loads.append(pf_kernel.Load(anchor, loaded, [*found.tables, *made]))

    def _show(self, lines: list[str]) -> None:
        if self.verbose:
            self.out += lines

    def _table_name(self, thought_of: int, made: int) -> str:
        """Name a table that pfctl makes of rules: under -n it stays with the name that it has while it grows."""
        if self.check:
            return f"__automatic_{thought_of}"
        return f"__automatic_{self.call.machine.pick(2**32):x}_{made}"

    def _give_up(self) -> bool:
        if not self.check:
            self.err.append("pfctl: Syntax error in config file: pf rules not loaded")
        return False


def _texts(rules: list[Rule]) -> list[str]:
    return [rule_text(fill_labels(rule, number)) for number, rule in enumerate(rules)]


def _lines(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
