# SPDX-License-Identifier: BSD-2-Clause
"""`warden demo`: the main job on a fake host, offline, and gone when it ends."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.rule import Rule

from warden.cli.live import Lines
from warden.cli.render import print_plan, print_report
from warden.cli.selection import holder
from warden.cli.status import print_status
from warden.cli.terminal import err, out
from warden.engine.apply import carry_out
from warden.engine.plan import make_plan
from warden.engine.status import read_status
from warden.facts.probe import read_facts
from warden.host.address import open_host
from warden.spec.toml_spec import read_toml

if TYPE_CHECKING:
    from warden.host.command import Host
    from warden.spec.model import Spec

_LABEL = "demo"
_FIRST = """
[agents.clawdie]
display_name = "Clawdie"
subnet = "192.168.72.0/24"
services = ["git", "cms", "db"]
command = ["/usr/local/bin/node", "dist/index.js"]
"""
_SECOND = (
    _FIRST
    + """
[agents.atlas]
display_name = "Atlas"
subnet = "10.0.1.0/24"
services = ["git", "cms", "db"]
command = ["/usr/local/bin/node", "dist/index.js"]
locale = { display = "sl-SI", assistant = "sl-SI", system = "sl_SI.UTF-8" }
"""
)


@click.command()
def demo() -> int:
    """Show a FreeBSD host with one agent, plan a second, apply it, and plan again. Needs no FreeBSD."""
    with open_host("fake:", folder=Path()) as host:
        _step("a FreeBSD host in memory, with one agent on it")
        _apply(host, _FIRST, quietly=True)
        _status(host)

        _step("the plan for a second agent, atlas")
        spec = _spec(_SECOND)
        print_plan(_LABEL, make_plan(spec, tuple(spec.agents), read_facts(host, spec.agents)))

        _step("applying it")
        _apply(host, _SECOND, quietly=False)

        _step("the host now")
        _status(host)

        _step("the same plan again")
        print_plan(_LABEL, make_plan(spec, tuple(spec.agents), read_facts(host, spec.agents)))
    out().print()
    out().print("rehearse on a machine that stays: warden init, then: warden apply --host fake:demo.json")
    return 0


def _step(title: str) -> None:
    console = out()
    console.print()
    console.print(Rule(title, align="left") if console.is_terminal else f"== {title}")
    console.print()


def _spec(text: str) -> Spec:
    return read_toml(Path("warden.toml"), text)


def _apply(host: Host, text: str, *, quietly: bool) -> None:
    spec = _spec(text)
    lines = Lines([_LABEL])
    report = carry_out(
        host,
        partial(read_facts, agents=spec.agents),
        partial(make_plan, spec, tuple(spec.agents)),
        holder("showing the demo"),
        on_change=None if quietly else partial(lines.change, 0),
    )
    if not quietly or not report.ok:
        print_report(_LABEL, report)
        err().print()


def _status(host: Host) -> None:
    facts = read_facts(host, ())
    print_status(_LABEL, facts, read_status(facts, "warden0"))
