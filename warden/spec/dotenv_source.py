# SPDX-License-Identifier: BSD-2-Clause
"""The lines of a `.env` to values, with the position of every key.

The grammar is python-dotenv's, which pydantic-settings reads such files with: `KEY=value`, quotes, comments,
`export`. Read through either of them, though, a line that is no assignment would only be logged, a key that is
there twice would go unseen, and `${NAME}` in a value would be replaced, which Clawdie itself does not do.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dotenv.parser import parse_stream

from warden.spec.errors import Problem, RefusedValueError, SpecError
from warden.spec.values import variable_name, without_control

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from dotenv.parser import Binding

Place = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class DotenvSource:
    """What a `.env` says: its values, and the position of each key."""

    values: Mapping[str, str]
    positions: Mapping[str, Place]


def parse_dotenv(path: Path, text: str) -> DotenvSource:
    """Give the values and positions of a `.env`; `path` is for messages only.

    Raises SpecError for lines that are no assignment, for keys that are no names of variables or there twice, and
    for values that hold more than one line.
    """
    values: dict[str, str] = {}
    positions: dict[str, Place] = {}
    problems: list[Problem] = []
    for binding in parse_stream(io.StringIO(text, newline="")):
        if binding.key is None and not binding.error:
            continue
        line, column = _place(binding)
        for message, hint in _refusals(binding, positions):
            problems.append(Problem(path=path, line=line, column=column, message=message, hint=hint))
        if binding.key is not None and binding.value is not None:
            values[binding.key] = binding.value
            positions.setdefault(binding.key, (line, column))
    if problems:
        raise SpecError(problems)
    return DotenvSource(values=values, positions=positions)


def _place(binding: Binding) -> Place:
    """Give line and column of an assignment; the parser counts the empty lines before it as its own."""
    before = re.match(r"\s*", binding.original.string)
    lines = re.split(r"\r\n|\n|\r", before[0] if before else "")
    return binding.original.line + len(lines) - 1, len(lines[-1]) + 1


def _refusals(binding: Binding, earlier: Mapping[str, Place]) -> Iterator[tuple[str, str]]:
    """Give what is wrong with an assignment, each with a hint."""
    if binding.key is None or binding.value is None:
        yield "this line is no KEY=value", "a value in quotes ends with the same quote; a comment begins with #"
        return
    try:
        variable_name(binding.key)
        without_control(binding.value)
    except RefusedValueError as error:
        yield f"{binding.key}: {error}" if binding.key.isidentifier() else str(error), error.hint
    if binding.key in earlier:
        yield f"{binding.key} is written twice; the first one is in line {earlier[binding.key][0]}", "keep one of them"
