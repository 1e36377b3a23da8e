# SPDX-License-Identifier: BSD-2-Clause
"""rc.conf as sh reads it: the last assignment wins, later values may use earlier ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from warden.host.fake.program import UnsupportedError
from warden.host.fake.rc_defaults import defaults_text

if TYPE_CHECKING:
    from warden.host.fake.machine import Machine

DEFAULTS_FILE = "/etc/defaults/rc.conf"
DEFAULTS_TEXT = defaults_text()

_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_PLAIN = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="([^"\\$`]*)"[ \t]*(?:\n|\Z)')
_ALL_PLAIN = re.compile(r'(?:[A-Za-z_][A-Za-z0-9_]*="[^"\\$`]*"[ \t]*\n|\n)*')
"""What rc.conf nearly always is; a host with many agents has thousands of such lines, and reads them often."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-+=?]|%%|##|[%#]")
_KEYWORDS = frozenset(["if", "for", "while", "until", "case", "{", "!"])


class RcSyntaxError(Exception):
    """A file that sh cannot parse; the text is sh's own."""


class UnsetError(Exception):
    """`${name?}` of a variable that is not set."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """`${name}`, with an operator and its word where there is one."""

    name: str
    operator: str = ""
    word: tuple[Part, ...] = ()


Part = str | Expansion
Word = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Simple:
    """A simple command: assignments and, rarely in an rc.conf, words behind them that would be run."""

    assignments: tuple[tuple[str, Word], ...]
    words: tuple[Word, ...]


def is_yes(value: str) -> bool:
    """Tell whether a value switches something on, as checkyesno of rc.subr(8) does."""
    return value.lower() in ("yes", "true", "on", "1")


def read_rc_conf(machine: Machine, jail: str = "", service: str = "") -> dict[str, str]:
    """Give the variables that the system's or a jail's rc.conf sets, on top of the defaults.

    With `service`, also what /etc/rc.conf.d/SERVICE sets. Raises RcSyntaxError where sh would give up.
    """
    root = machine.root_of(jail)
    variables = read_defaults(machine, root)
    files = variables["rc_conf_files"].split()
    if service:
        files += [f"/etc/rc.conf.d/{service}", f"/usr/local/etc/rc.conf.d/{service}"]
    for path in files:
        source(machine, root, path, variables)
    return variables


def read_defaults(machine: Machine, root: str = "/") -> dict[str, str]:
    """Give the variables of /etc/defaults/rc.conf."""
    node = machine.files.lookup(DEFAULTS_FILE, root=root)
    if node is None:
        return {"rc_conf_files": ""}
    if node.data == _DEFAULTS_DATA:
        return dict(DEFAULTS)
    variables: dict[str, str] = {}
    source(machine, root, DEFAULTS_FILE, variables)
    return variables


@lru_cache(maxsize=32)
def plain(text: str) -> dict[str, str] | None:
    """Give what a file of plain quoted values on lines of their own sets, without parsing it; None for any other."""
    return dict(_PLAIN.findall(text)) if _ALL_PLAIN.fullmatch(text) else None


def source(machine: Machine, root: str, path: str, variables: dict[str, str]) -> None:
    """Do what `. path` does to the variables; a file that is not there does nothing."""
    node = machine.files.lookup(path, root=root)
    if node is None or node.kind != "file":
        return
    text = node.data.decode("utf-8", "surrogateescape")
    settings = plain(text)
    if settings is not None:
        variables.update(settings)
        return
    for command in parse(text):
        if not command.words:
            for name, value in command.assignments:
                variables[name] = expand(value, variables)
            continue
        words = [expand(word, variables) for word in command.words]
        if words[0] == "." and len(words) == 2:
            source(machine, root, words[1], variables)
        elif words[0] == "export":
            for exported in words[1:]:
                name, equals, text = exported.partition("=")
                variables[name] = text if equals else variables.get(name, "")
        elif "=" not in words[0]:
            raise UnsupportedError(f"{path}: the fake host does not run {words[0]!r} in an rc.conf")
        # a name that sh does not take, `dev-qwen_enable=YES`, is a command that it does not find (session 02)


@lru_cache(maxsize=32)
def parse(text: str) -> tuple[Simple, ...]:
    """Parse a file of assignments; raises RcSyntaxError as `sh -n` fails, UnsupportedError for other commands."""
    return _Reader(text).commands()


def check(text: str) -> None:
    """Raise RcSyntaxError where sh cannot parse a file."""
    if plain(text) is None:
        parse(text)


@cache
def parse_expansion(expression: str) -> Word:
    """Parse what stands between `${` and `}` in double quotes."""
    return _Reader(f'"${{{expression}}}"').word()


def expand(word: Word, variables: dict[str, str]) -> str:
    """Give a word's value; raises UnsetError for `${name?}` of what is not set."""
    return "".join(part if isinstance(part, str) else _expand(part, variables) for part in word)


def _expand(part: Expansion, variables: dict[str, str]) -> str:
    value = variables.get(part.name)
    operator = part.operator
    if not operator:
        return value or ""
    if operator[0] in "%#":
        return _trim(value or "", operator, expand(part.word, variables))
    missing = value is None or (operator[0] == ":" and not value)
    kind = operator[-1]
    if kind == "+":
        return "" if missing else expand(part.word, variables)
    if not missing:
        return value or ""
    if kind == "?":
        raise UnsetError(part.name)
    instead = expand(part.word, variables)
    if kind == "=":
        variables[part.name] = instead
    return instead


def _trim(value: str, operator: str, pattern: str) -> str:
    """Take the shortest (`%`, `#`) or longest (`%%`, `##`) match of a pattern off the end or the front."""
    matches = re.compile(translate(pattern)).match
    lengths = range(len(value) + 1) if len(operator) == 1 else range(len(value), -1, -1)
    for length in lengths:
        piece = value[len(value) - length :] if operator[0] == "%" else value[:length]
        if matches(piece):
            return value[: len(value) - length] if operator[0] == "%" else value[length:]
    return value


class _Reader:
    """A reader of shell words; it knows what an rc.conf is made of, and refuses the rest of the language."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def commands(self) -> tuple[Simple, ...]:
        found: list[Simple] = []
        assignments: list[tuple[str, Word]] = []
        words: list[Word] = []
        while True:
            self._skip_blanks()
            here = self._peek()
            if here in ("\n", ";", ""):
                if assignments or words:
                    found.append(Simple(tuple(assignments), tuple(words)))
                    assignments, words = [], []
                if not here:
                    return tuple(found)
                self.at += 1
                continue
            plain = None if words or assignments else _PLAIN.match(self.text, self.at)
            if plain:
                self.at = plain.end()
                found.append(Simple(((plain[1], (plain[2],) if plain[2] else ()),), ()))
                continue
            name = _ASSIGNMENT.match(self.text, self.at)
            if name and not words:
                self.at = name.end()
                assignments.append((name.group()[:-1], self.word()))
            else:
                words.append(self.word())
                if words[0] and words[0][0] in _KEYWORDS:
                    raise UnsupportedError(f"an rc.conf with {words[0][0]!r} in it")

    def word(self) -> Word:
        parts: list[Part] = []
        while (here := self._peek()) and here not in " \t\n;":
            if here == "'":
                parts.append(self._until("'"))
            elif here == '"':
                self.at += 1
                parts += self._quoted('"')
            elif here == "\\":
                parts.append(self.text[self.at + 1 : self.at + 2].replace("\n", ""))
                self.at += 2
            elif here == "$":
                parts.append(self._dollar())
            elif here in "`|&<>()":
                raise UnsupportedError(f"an rc.conf with {here!r} in it")
            else:
                parts.append(here)
                self.at += 1
        return _joined(parts)

    def _quoted(self, end: str) -> list[Part]:
        """Read what stands in double quotes, or in the braces of an expansion there, and the end itself."""
        parts: list[Part] = []
        while (here := self._peek()) != end:
            if not here:
                raise RcSyntaxError("Syntax error: Unterminated quoted string")
            if here == "\\" and self.text[self.at + 1 : self.at + 2] in ("$", "`", '"', "\\", "\n", "}"):
                parts.append(self.text[self.at + 1].replace("\n", ""))
                self.at += 2
            elif here == "$":
                parts.append(self._dollar())
            elif here == "`":
                raise UnsupportedError("an rc.conf with a command substitution")
            else:
                parts.append(here)
                self.at += 1
        self.at += 1
        return parts

    def _dollar(self) -> Part:
        self.at += 1
        if self._peek() == "(":
            raise UnsupportedError("an rc.conf with a command substitution")
        if self._peek() == "{":
            self.at += 1
            name = self._name()
            operator = _OPERATOR.match(self.text, self.at)
            self.at = operator.end() if operator else self.at
            word = self._quoted("}")
            if not name or (word and not operator):
                raise RcSyntaxError("Syntax error: Bad substitution")
            return Expansion(name, operator.group() if operator else "", _joined(word))
        name = self._name()
        if name:
            return Expansion(name)
        if self._peek().isdigit() or self._peek() in tuple("@*#?$!-"):
            raise UnsupportedError(f"an rc.conf with ${self._peek()} in it")
        return "$"

    def _name(self) -> str:
        match = _NAME.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return match.group() if match else ""

    def _until(self, end: str) -> str:
        stop = self.text.find(end, self.at + 1)
        if stop < 0:
            raise RcSyntaxError("Syntax error: Unterminated quoted string")
        text = self.text[self.at + 1 : stop]
        self.at = stop + 1
        return text

    def _skip_blanks(self) -> None:
        while self._peek() in (" ", "\t") or self.text.startswith("\\\n", self.at):
            self.at += 1 if self._peek() != "\\" else 2
        if self._peek() == "#":
            end = self.text.find("\n", self.at)
            self.at = end if end >= 0 else len(self.text)

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]


def _joined(parts: list[Part]) -> Word:
    """Join neighbouring strings; an empty word is no part at all."""
    word: list[Part] = []
    for part in parts:
        if isinstance(part, str) and word and isinstance(word[-1], str):
            word[-1] += part
        elif part != "":
            word.append(part)
    return tuple(word)


def _defaults() -> dict[str, str]:
    found: dict[str, str] = {}
    for command in parse(DEFAULTS_TEXT):
        for name, value in command.assignments:
            found[name] = expand(value, found)
    return found


DEFAULTS = _defaults()
_DEFAULTS_DATA = DEFAULTS_TEXT.encode()
