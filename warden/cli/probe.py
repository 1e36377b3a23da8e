# SPDX-License-Identifier: BSD-2-Clause
"""`warden host probe`: what a host is and has."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click
from rich.text import Text

from warden.cli import selection
from warden.cli.errors import REFUSED
from warden.cli.reading import for_each
from warden.cli.selection import host_targets
from warden.cli.terminal import out
from warden.engine.plan import dump_json
from warden.engine.probe import find_unfit, probe_to_json
from warden.facts.probe import read_facts

if TYPE_CHECKING:
    from pathlib import Path

    from warden.cli.selection import Target
    from warden.engine.probe import Unfit
    from warden.facts.model import Facts


@click.command()
@selection.file_option
@selection.env_file_option
@selection.host_option
@selection.json_option
def probe(file: Path | None, env_file: Path | None, host: str | None, *, as_json: bool) -> int:
    """Read a host, change nothing, and show what it has and whether agents could live there."""
    targets, network = host_targets(file, env_file, host)

    def show(target: Target, facts: Facts) -> int:
        unfit = find_unfit(facts, network)
        if as_json:
            out().print(dump_json(probe_to_json(target.label, facts, unfit)))
        else:
            _print(target.label, facts, unfit)
        return REFUSED if unfit else 0

    return for_each(targets, partial(read_facts, agents=(), ask_jails=False), show)


def _print(label: str, facts: Facts, unfit: tuple[Unfit, ...]) -> None:
    console = out()
    console.print(Text(f"{label}  FreeBSD {facts.release}", style="bold"))
    pf = {True: "enabled", False: "disabled", None: "not there"}[facts.pf.enabled]
    _row("network", f"out by {facts.external_interface or 'no default route'}, forwarding {_on(facts.forwarding)}")
    _row("pf", f"{pf}, {len(facts.pf.filter_rules)} rules, {len(facts.pf.nat_rules)} of translation")
    _row("bastille", f"{facts.bastille or 'not there'}, releases: {', '.join(sorted(facts.releases)) or 'none'}")
    _row("zfs", ", ".join(sorted(facts.pools)) or "no pool")
    for interface in facts.interfaces.values():
        if interface.addresses:
            addresses = ", ".join(str(address) for address in interface.addresses)
            _row("interface", f"{interface.name}  {addresses}" + ("" if interface.up else "  down"))
    for name in sorted(facts.bastille_jails):
        running = facts.running_jails.get(name)
        addresses = ", ".join(str(address) for address in running.addresses) if running else ""
        _row("jail", f"{name}  {addresses}  up" if running else f"{name}  down")
    _row("agents", ", ".join(sorted(facts.registry)) or "none")
    for item in unfit:
        console.print(Text(f"  not fit: {item.message}", style="red"))
        console.print(Text(f"  hint: {item.hint}", style="cyan"))


def _row(what: str, text: str) -> None:
    out().print(f"  {what:9}  {text}")


def _on(state: bool) -> str:  # noqa: FBT001 - a word for a value
    return "on" if state else "off"
