# SPDX-License-Identifier: BSD-2-Clause
"""`warden log`: what was done to a host, by whom, from where."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from warden.cli import selection
from warden.cli.reading import for_each
from warden.cli.selection import host_targets
from warden.cli.terminal import out
from warden.engine.journal import read_journal
from warden.engine.plan import dump_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from warden.cli.selection import Target

JSON_VERSION = 1
_DONE = "done"


@click.command()
@selection.file_option
@selection.env_file_option
@selection.host_option
@selection.json_option
@click.option("-n", "most", type=click.IntRange(min=1), default=20, show_default=True, help="So many, the newest.")
def log(file: Path | None, env_file: Path | None, host: str | None, most: int, *, as_json: bool) -> int:
    """Show what was done to a host, the newest first.

    It stands on the host itself, so it is the same for everybody who works there.
    """
    targets, _ = host_targets(file, env_file, host, network_needed=False)

    def show(target: Target, entries: list[dict[str, Any]]) -> int:
        if as_json:
            out().print(dump_json({"version": JSON_VERSION, "host": target.label, "entries": entries}))
        else:
            print_log(target.label, entries)
        return 0

    return for_each(targets, partial(read_journal, most=most), show)


def print_log(label: str, entries: Sequence[dict[str, Any]]) -> None:
    """Print a host's journal for people: a line for each apply, and one for each change that was not done."""
    console = out()
    console.print(Text(label, style="bold"))
    if not entries:
        console.print("nothing was written down on this host")
    for entry in entries:
        changes = entry["changes"]
        outcomes = Counter(change["outcome"] for change in changes)
        counts = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()))
        line = Text(f"  {entry['when']}  {entry['who']} from {entry['from']}  {entry['what']}  ")
        line.append(counts, style="green" if set(outcomes) <= {_DONE} else "red")
        console.print(line.append(f"  plan {entry['plan'][:12]}", style="dim"))
        for change in changes:
            if change["outcome"] not in (_DONE, "skipped"):
                console.print(Text(f"    {_failure(change)}", style="red"))


def _failure(change: dict[str, Any]) -> str:
    whose = f"{change['agent']}: " if change.get("agent") else ""
    why = change.get("why", "")
    if "command" in change:
        why = f"exit {change.get('exit')} from: {change['command']}"
    return f"{whose}{change['id']}: {change['outcome']}{f', {why}' if why else ''}"
