# SPDX-License-Identifier: BSD-2-Clause
"""pf.conf(5): from its text to rules, in the way and with the words of pfctl.

The subset: macros, `include`, `set`, `table`, `scrub`, `nat`, `rdr`, `binat`, `pass`, `block`, `match`, `antispoof`,
`ether`, anchors and `load anchor`. What is good pf but not in it raises UnsupportedError; what is not pf is said to be
a syntax error at the line where pfctl says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from warden.host.fake.filesystem import FileError
from warden.host.fake.pf_clauses import MAX_TABLE_NAME, hosts
from warden.host.fake.pf_ether import ether_rules
from warden.host.fake.pf_filter import anchor_rules, antispoof_rules, filter_rules, scrub_rules
from warden.host.fake.pf_hosts import HostError, Surroundings, table_entry, table_hosts, table_words
from warden.host.fake.pf_lexer import END, NUMBER, STRING
from warden.host.fake.pf_nat import binat_rules, nat_anchor_rules, nat_rules
from warden.host.fake.pf_options import OptionReader
from warden.host.fake.pf_print import address_text
from warden.host.fake.pf_reader import Reader, Refusal, Wrong
from warden.host.fake.pf_rules import Address, EtherRule, Rule, TableDefinition

if TYPE_CHECKING:
    from collections.abc import Callable

STAGES = ("options", "ethernet", "normalization", "queueing", "translation", "filtering")


@dataclass(slots=True)
class Ruleset:
    """A ruleset that was read: rules in their order, and what pfctl said and printed (-v) meanwhile."""

    options: list[str] = field(default_factory=list)
    ether: list[EtherRule] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    tables: list[TableDefinition] = field(default_factory=list)
    load_anchors: list[tuple[str, str]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    failed: bool = False
    optimize: bool = True

    def of_kind(self, *kinds: str) -> list[Rule]:
        """Give the rules of these kinds, kind by kind."""
        return [rule for kind in kinds for rule in self.rules if rule.kind == kind]


def parse(
    name: str,
    text: str,
    where: Surroundings,
    *,
    macros: dict[str, str] | None = None,
    on_table: Callable[[str], list[str]] = lambda _name: [],
) -> Ruleset:
    """Read a ruleset. `macros` are fixed ones (-D); `on_table` gives the warnings about a table's name."""
    parser = _Parser(name, text, where, macros or {}, on_table)
    parser.run()
    return parser.found


@lru_cache(maxsize=16384)
def parse_rule(text: str) -> Rule:
    """Give the rule that pfctl prints as `text`."""
    return parse("rule", text, Surroundings()).rules[0]


@lru_cache(maxsize=1024)
def parse_ether_rule(text: str) -> EtherRule:
    """Give the rule for Ethernet frames that pfctl prints as `text`."""
    return parse("rule", text, Surroundings()).ether[0]


class _Parser:
    """The statements of pf.conf, one method each."""

    def __init__(
        self, name: str, text: str, where: Surroundings, macros: dict[str, str], on_table: Callable[[str], list[str]]
    ) -> None:
        self.read = Reader(name, text, where, dict(macros))
        self.found = Ruleset(messages=self.read.messages)
        self.options = OptionReader(self.read, self.found.options, self.found.shown, self.stage)
        self._fixed = frozenset(macros)
        self._on_table = on_table
        self._reached = 0

    def run(self) -> None:
        """Read all of it."""
        going = True
        while going and not self.read.at(END):
            if self.read.accept("\n"):
                continue
            try:
                self._statement()
                if not self.read.accept("\n"):
                    self.read.wrong()
            except Wrong:
                going = self.read.recover(syntax=True)
            except Refusal:
                going = self.read.recover(syntax=False)
        self.found.failed = self.read.errors > 0
        self.found.optimize = self.options.optimize

    def stage(self, name: str) -> None:
        """Refuse a statement that comes after one of a later stage."""
        number = STAGES.index(name)
        if self.options.require_order and self._reached > number:
            self.read.refuse(f"Rules must be in order: {', '.join(STAGES)}")
        self._reached = number

    def _statement(self) -> None:
        simple = {
            "set": self.options.statement,
            "table": self._table,
            "load": self._load_anchor,
            "include": self._include,
            "ether": self._ether,
            STRING: self._macro,
        }.get(self.read.peek().kind)
        if simple is not None:
            simple()
        else:
            self.found.rules += self._rules()

    def _rules(self) -> list[Rule]:
        """Take a line that stands for rules."""
        read = self.read
        if read.at("pass", "block", "match"):
            return filter_rules(read, self.options, lambda: self.stage("filtering"))
        if read.at("antispoof", "anchor"):
            take = antispoof_rules if read.take().kind == "antispoof" else anchor_rules
            return take(read, lambda: self.stage("filtering"))
        if read.at("nat-anchor", "rdr-anchor", "binat-anchor"):
            return nat_anchor_rules(read, lambda: self.stage("translation"))
        no = read.accept("no")
        if read.accept("scrub"):
            return scrub_rules(read, lambda: self.stage("normalization"), no=no)
        if not read.at("nat", "rdr", "binat"):
            read.wrong()
        translate = binat_rules if read.at("binat") else nat_rules
        return translate(read, lambda: self.stage("translation"), no=no)

    def _macro(self) -> None:
        name = self.read.string()
        self.read.expect("=")
        words = [self.read.expect(STRING, NUMBER)]
        while self.read.at(STRING, NUMBER):
            words.append(self.read.take().value)
        value = " ".join(words)
        self.found.shown.append(f'{name} = "{value}"')
        if any(character.isspace() for character in name):
            self.read.refuse("macro name cannot contain whitespace")
        if name not in self._fixed:
            self.read.define(name, value)

    def _include(self) -> None:
        self.read.take()
        name = self.read.string()
        try:
            text = self.read.where.read(name)
        except FileError as failure:
            self.read.messages.append(f"pfctl: pushfile: {name}: {failure.reason}")
            self.read.refuse(f"failed to include file {name}")
        self.read.include(name, text)

    def _load_anchor(self) -> None:
        self.read.take()
        self.read.expect("anchor")
        anchor = self.read.string()
        self.read.expect("from")
        self.found.load_anchors.append((anchor, self.read.string()))

    def _table(self) -> None:
        read = self.read
        read.take()
        read.expect("<")
        name = read.string()
        read.expect(">")
        flags: set[str] = set()
        shown: list[str] = []
        contents: list[str] | None = None
        problem: list[str] = []
        while read.at(STRING, "{", "file"):
            if read.at(STRING):
                word = read.string()
                if word not in {"const", "persist", "counters"}:
                    read.refuse(f"invalid table option '{word}'")
                flags.add(word)
                continue
            added, text = self._table_file(problem) if read.accept("file") else self._table_list()
            contents = [*(contents or []), *added]
            if text.startswith("{") and shown and shown[-1].endswith(" }"):
                shown[-1] = f"{shown[-1][:-2]}{text[1:]}"
            else:
                shown.append(text)
        if len(name) > MAX_TABLE_NAME:
            read.refuse(f"table name too long, max {MAX_TABLE_NAME} chars")
        if problem:
            read.messages += problem[:-1]
            read.refuse(problem[-1])
        ordered = tuple(flag for flag in ("const", "persist", "counters") if flag in flags)
        self.found.shown.append(" ".join([f"table <{name}>", *ordered, *shown]))
        read.messages += self._on_table(name)
        unique = None if contents is None else tuple(dict.fromkeys(contents))
        self.found.tables.append(TableDefinition(name, ordered, unique))

    def _table_file(self, problem: list[str]) -> tuple[list[str], str]:
        """Take a table's file; what is wrong with it is said when the whole line has been read."""
        name = self.read.string()
        found: list[str] = []
        try:
            for word in table_words(self.read.where.read(name)):
                found += [table_entry(address) for address in table_hosts(self.read.where, word)]
        except FileError as failure:
            problem[:] = [f'cannot load "{name}": {failure.reason}']
        except HostError as failure:
            problem[:] = [*failure.lines, f'file "{name}" contains bad data']
        return found, f'file "{name}"'

    def _table_list(self) -> tuple[list[str], str]:
        read = self.read
        read.expect("{")
        read.newlines()
        if read.accept("}"):
            return [], "{ }"
        addresses = read.braced(lambda: hosts(read))
        for address in addresses:
            _refuse_in_table(read, address)
        texts = " ".join(address_text(address).replace("! ", "!") for address in addresses)
        return [table_entry(address) for address in addresses], f"{{ {texts} }}"

    def _ether(self) -> None:
        self.found.ether += ether_rules(self.read, lambda: self.stage("ethernet"))


def _refuse_in_table(read: Reader, address: Address) -> None:
    refusals = {
        "range": "address ranges are not permitted inside tables",
        "dynamic": "dynamic addresses are not permitted inside tables",
        "table": "tables cannot contain tables",
        "no-route": '"no-route" is not permitted inside tables',
        "urpf-failed": '"urpf-failed" is not permitted inside tables',
    }
    if address.kind in refusals:
        read.refuse(refusals[address.kind])
