# SPDX-License-Identifier: BSD-2-Clause
"""TOML text to values, with the position of every key.

tomllib gives the values and decides what TOML is; it says nothing about where keys stand, so a scanner of our own
finds that out. The scanner also sees which key is written twice, where tomllib names neither the key nor the line
of the first one.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from warden.spec.errors import Problem, SpecError, dotted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Keys = tuple[str, ...]
Place = tuple[int, int]

_SPACE = re.compile(r"[ \t]*")
_FILLING = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\[^\n])*"|'[^'\n]*'""")
_STRING = re.compile(
    r'''"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?'{3,5}|"(?:[^"\\\n]|\\[^\n])*"|'[^'\n]*\'''',
    re.DOTALL,
)
# A date and a time may have a space between them.
_SCALAR = re.compile(r"[^\s,\]}#\"'\[{]+(?: [0-9]{2}:[^\s,\]}#]+)?")
_DEEPEST = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class TomlSource:
    """What a TOML file says: its values, and the position of each key and list element by dotted key."""

    values: Mapping[str, Any]
    positions: Mapping[str, Place]


def parse_toml(path: Path, text: str) -> TomlSource:
    """Give the values and positions of a TOML text; `path` is for messages only.

    Raises SpecError where the text is no TOML, with each key that is written twice.
    """
    # As tomllib does, so that both count columns alike.
    text = text.replace("\r\n", "\n")
    scanner = _Scanner(text)
    scanner.scan()
    if scanner.too_deep:
        raise SpecError([_syntax_problem(path, RecursionError(), scanner.unreadable)])
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        if scanner.twice:
            raise SpecError(scanner.duplicates(path)) from None
        raise SpecError([_syntax_problem(path, error, scanner.unreadable)]) from None
    return TomlSource(values=values, positions={dotted(keys): place for keys, place in scanner.places.items()})


def _syntax_problem(path: Path, error: ValueError | RecursionError, unreadable: Place | None) -> Problem:
    """Say what tomllib found, and where; it has no place for what only the end of the text shows."""
    line, column = unreadable or (None, None)
    if isinstance(error, RecursionError):
        return Problem(path=path, line=line, column=column, message="not valid TOML: nested too deeply")
    said = re.fullmatch(r"(.*) \(at (?:line ([0-9]+), column ([0-9]+)|end of document)\)", str(error), re.DOTALL)
    if said is None:
        # A number of thousands of digits, which Python does not read.
        return Problem(path=path, message="not valid TOML: a number is too long")
    message = said[1]
    if message.startswith("Cannot "):
        # tomllib would go on in words of its own insides ("mutate immutable namespace").
        message = "a key or a table is written twice"
    return Problem(
        path=path,
        line=int(said[2]) if said[2] else line,
        column=int(said[3]) if said[3] else column,
        message=f"not valid TOML: {message[0].lower()}{message[1:]}",
    )


class _UnreadableError(Exception):
    """What follows is not TOML; tomllib will say why."""


class _TooDeepError(_UnreadableError):
    """What follows is nested deeper than any spec; tomllib would take minutes over some of it."""


class _Scanner:
    """Walks through a text that may not be TOML at all, and stops at the first thing that it cannot read."""

    def __init__(self, text: str) -> None:
        self.places: dict[Keys, Place] = {}
        self.unreadable: Place | None = None
        self.too_deep = False
        self.twice: list[tuple[Keys, Place, Place]] = []
        self._text = text
        self._at = 0
        self._line_starts = [0, *(newline.end() for newline in re.finditer("\n", text))]
        self._defined: dict[Keys, Place] = {}

    def scan(self) -> None:
        table: Keys = ()
        try:
            while self._skip(_FILLING) < len(self._text):
                if self._text[self._at] == "[":
                    table = self._header()
                else:
                    self._pair(table, 0)
        except _UnreadableError as error:
            self.unreadable = self._place()
            self.too_deep = isinstance(error, _TooDeepError)

    def duplicates(self, path: Path) -> list[Problem]:
        return [
            Problem(
                path=path,
                line=line,
                column=column,
                message=f"{dotted(keys)} is written twice; the first one is in line {first[0]}",
                hint="keep one of them",
            )
            for keys, first, (line, column) in self.twice
        ]

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise _UnreadableError
        self._at = match.end()
        return self._at

    def _expect(self, literal: str) -> None:
        if not self._text.startswith(literal, self._at):
            raise _UnreadableError
        self._at += len(literal)

    def _place(self) -> Place:
        line = bisect_right(self._line_starts, self._at)
        return line, self._at - self._line_starts[line - 1] + 1

    def _define(self, keys: Keys, place: Place) -> None:
        if keys in self._defined:
            self.twice.append((keys, self._defined[keys], place))
        else:
            self._defined[keys] = place

    def _header(self) -> Keys:
        array = self._text.startswith("[[", self._at)
        self._expect("[[" if array else "[")
        keys, place = self._keys(())
        self._expect("]]" if array else "]")
        if array:
            # Every element of an array of tables has its keys anew.
            self._defined = {key: there for key, there in self._defined.items() if key[: len(keys)] != keys}
        else:
            self._define(keys, place)
        return keys

    def _pair(self, table: Keys, depth: int) -> None:
        keys, place = self._keys(table)
        self._expect("=")
        self._skip(_SPACE)
        self._define(keys, place)
        self._value(keys, depth)

    def _keys(self, table: Keys) -> tuple[Keys, Place]:
        """Read a dotted key inside a table; give all of it, and the place of its last part."""
        while True:
            self._skip(_SPACE)
            place = self._place()
            table = (*table, self._key())
            if len(table) > _DEEPEST:
                raise _TooDeepError
            self.places.setdefault(table, place)
            self._skip(_SPACE)
            if not self._text.startswith(".", self._at):
                return table, place
            self._at += 1

    def _key(self) -> str:
        start = self._at
        raw = self._text[start : self._skip(_KEY)]
        if raw[0] == "'":
            return raw[1:-1]
        if raw[0] != '"':
            return raw
        try:
            (key,) = tomllib.loads(f"{raw} = 0")
        except tomllib.TOMLDecodeError:
            raise _UnreadableError from None
        return key

    def _value(self, keys: Keys, depth: int) -> None:
        if depth > _DEEPEST:
            raise _TooDeepError
        start = self._text[self._at : self._at + 1]
        if start == "[":
            self._array(keys, depth)
        elif start == "{":
            self._inline_table(keys, depth)
        else:
            self._skip(_STRING if start in ('"', "'") else _SCALAR)

    def _array(self, keys: Keys, depth: int) -> None:
        self._expect("[")
        index = 0
        while self._skip(_FILLING) < len(self._text) and self._text[self._at] != "]":
            element = (*keys, str(index))
            self.places.setdefault(element, self._place())
            self._value(element, depth + 1)
            index += 1
            self._skip(_FILLING)
            if not self._text.startswith(",", self._at):
                break
            self._at += 1
        self._expect("]")

    def _inline_table(self, keys: Keys, depth: int) -> None:
        self._expect("{")
        while self._skip(_FILLING) < len(self._text) and self._text[self._at] != "}":
            self._pair(keys, depth + 1)
            self._skip(_FILLING)
            if not self._text.startswith(",", self._at):
                break
            self._at += 1
        self._expect("}")
