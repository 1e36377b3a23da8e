# SPDX-License-Identifier: BSD-2-Clause
"""Figures as tables that a terminal shows well, and that docs/bench.md can take as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def show(title: str, rows: Sequence[dict[str, Any]], leave: Collection[str] = ()) -> None:
    """Print rows that have the same columns, without those to leave out: words to the left, figures to the right."""
    columns = [column for column in rows[0] if column not in leave]
    head = [column.replace("_", " ") for column in columns]
    cells = [[_text(row[column]) for column in columns] for row in rows]
    widths = [max(len(line[at]) for line in (head, *cells)) for at in range(len(columns))]
    words = [isinstance(rows[0][column], str) for column in columns]
    rule = ["-" * width if left else "-" * (width - 1) + ":" for width, left in zip(widths, words, strict=True)]
    print(f"\n{title}\n")
    for line in (head, rule, *cells):
        padded = (
            cell.ljust(width) if left else cell.rjust(width)
            for cell, width, left in zip(line, widths, words, strict=True)
        )
        print(f"| {' | '.join(padded)} |", flush=True)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
