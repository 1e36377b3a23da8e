# SPDX-License-Identifier: BSD-2-Clause
"""jail.conf(5): what a jail is started with."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache

Parameters = dict[str, list[str]]
"""A jail's parameters by name; one without a value, as `persist;`, has none in its list."""

TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*|//[^\n]*|/\*.*?\*/)
    |(?P<sign>\+=|[{};,=])
    |(?P<double>"(?:[^"\\]|\\.)*")
    |(?P<single>'(?:[^'\\]|\\.)*')
    |(?P<word>[^\s;{},="'+]+(?:\+(?!=)[^\s;{},="']*)*)""",
    re.VERBOSE | re.DOTALL,
)
VARIABLE = re.compile(r"\$(?:\{([A-Za-z0-9_.]+)\}|([A-Za-z0-9_.]+))")
ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class JailConfError(Exception):
    """A jail.conf that cannot be read; `line` is where."""

    def __init__(self, line: int) -> None:
        super().__init__(f"line {line}: syntax error")
        self.line = line


@dataclass(slots=True)
class Statement:
    """`NAME = VALUE, ...;` or `NAME += VALUE;` or `NAME;`: values with whether variables in them count."""

    name: str
    values: list[tuple[str, bool]] = field(default_factory=list)
    adds: bool = False


@dataclass(slots=True)
class JailConf:
    """A file: statements for all jails, and blocks by their names or patterns, in order."""

    common: list[Statement] = field(default_factory=list)
    blocks: list[tuple[str, list[Statement]]] = field(default_factory=list)

    def names(self) -> list[str]:
        """Give the jails that the file defines."""
        return [name for name, _ in self.blocks if "*" not in name]

    def parameters(self, name: str) -> Parameters:
        """Give what holds for a jail: what is said for all, for patterns that match it, and for itself."""
        found: Parameters = {"name": [name]}
        matching = [body for pattern, body in self.blocks if pattern == name or fnmatchcase(name, pattern)]
        for statement in [*self.common, *(line for body in matching for line in body)]:
            values = [expand(text, found) if expands else text for text, expands in statement.values]
            if statement.adds:
                found.setdefault(statement.name, []).extend(values)
            else:
                found[statement.name] = values
        return found


def expand(text: str, parameters: Parameters) -> str:
    r"""Put variables and parameters in for `$name`; `\$` stays a dollar sign."""
    parts = re.split(r"(\\.)", text, flags=re.DOTALL)
    return "".join(
        part[1:]
        if part.startswith("\\")
        else VARIABLE.sub(lambda match: " ".join(_value_of(match[1] or match[2], parameters)), part)
        for part in parts
    )


@lru_cache(maxsize=64)
def parse(text: str) -> JailConf:
    """Read a jail.conf; one text is read at every start and stop of its jail, so what it came to is kept."""
    tokens = _tokens(text)
    conf = JailConf()
    place = 0
    while place < len(tokens):
        kind, word, line = tokens[place]
        if kind == "sign":
            raise JailConfError(line)
        if place + 1 < len(tokens) and tokens[place + 1][1] == "{" and tokens[place + 1][0] == "sign":
            body: list[Statement] = []
            place += 2
            while place < len(tokens) and tokens[place][:2] != ("sign", "}"):
                place = _statement(tokens, place, body)
            if place == len(tokens):
                raise JailConfError(tokens[-1][2])
            conf.blocks.append((word, body))
            place += 1
        else:
            place = _statement(tokens, place, conf.common)
    return conf


def _value_of(name: str, parameters: Parameters) -> list[str]:
    return parameters.get(f"${name}", parameters.get(name, []))


def _statement(tokens: list[tuple[str, str, int]], place: int, into: list[Statement]) -> int:
    kind, name, line = tokens[place]
    if kind == "sign":
        raise JailConfError(line)
    statement = Statement(name)
    place += 1
    if place < len(tokens) and tokens[place][0] == "sign" and tokens[place][1] in ("=", "+="):
        statement.adds = tokens[place][1] == "+="
        place += 1
        while place < len(tokens):
            kind, word, line = tokens[place]
            if kind == "sign":
                raise JailConfError(line)
            place += 1
            while place < len(tokens) and tokens[place][0] != "sign":
                word += tokens[place][1]  # strings that stand together are one
                place += 1
            statement.values.append((word, kind != "single"))
            if place < len(tokens) and tokens[place][1] == ",":
                place += 1
                continue
            break
    if place == len(tokens) or tokens[place][:2] != ("sign", ";"):
        raise JailConfError(tokens[min(place, len(tokens) - 1)][2])
    into.append(statement)
    return place + 1


def _tokens(text: str) -> list[tuple[str, str, int]]:
    tokens: list[tuple[str, str, int]] = []
    place, line = 0, 1
    while place < len(text):
        match = TOKEN.match(text, place)
        if match is None:
            raise JailConfError(line)
        here = line
        line += text.count("\n", place, match.end())
        place = match.end()
        kind = match.lastgroup or ""
        if kind == "space":
            continue
        word = match[0]
        if kind in ("double", "single"):
            word = word[1:-1]
        if kind == "single":
            word = ESCAPE.sub(lambda found: found[1] if found[1] in "'\\" else found[0], word)
        tokens.append((kind, word, here))
    return tokens
