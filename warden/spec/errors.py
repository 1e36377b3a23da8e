# SPDX-License-Identifier: BSD-2-Clause
"""What can be wrong with a spec, and where in the file it stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


_SHOWN_MAX = 120


class RefusedValueError(ValueError):
    """A value that cannot be, whatever key it stands at; `hint` says what to write instead."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong: lines and columns count from 1, None where the whole file is meant.

    `path` is None for what stands in the environment and not in a file.
    """

    path: Path | None
    line: int | None = None
    column: int | None = None
    message: str
    hint: str = ""

    def __str__(self) -> str:
        """Give `FILE:LINE:COLUMN: message`, as compilers do, so that editors can jump there."""
        place = "".join(f"{part}:" for part in (self.path, self.line, self.column) if part is not None)
        return f"{place} {self.message}" if place else self.message


class SpecError(Exception):
    """A spec that Warden cannot take, with every problem that was found in it, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.line or 0, problem.column or 0)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def dotted(keys: Iterable[str]) -> str:
    """Join keys as TOML writes them: `agents.atlas.env`, with quotes around what needs them."""
    return ".".join(key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else repr(key) for key in keys)


def shown(keys: Iterable[str]) -> str:
    """Give dotted keys as a message can hold them, cut where they are long."""
    text = dotted(keys)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}..."


def quoted(text: str) -> str:
    """Give text in quotes and on one line, as a message can hold it, cut where it is long."""
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    return repr(shown)


def problem_at(
    path: Path, positions: Mapping[str, tuple[int, int]], keys: Iterable[str], message: str, *, hint: str = ""
) -> Problem:
    """Make a problem that points at a key, or where it is not written at the nearest table around it."""
    around = list(keys)
    while around and dotted(around) not in positions:
        around.pop()
    line, column = positions[dotted(around)] if around else (None, None)
    return Problem(path=path, line=line, column=column, message=message, hint=hint)
