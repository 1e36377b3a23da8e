# SPDX-License-Identifier: BSD-2-Clause
"""`warden doctor`."""

from __future__ import annotations

import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import click
from rich.text import Text

from warden.cli import selection
from warden.cli.errors import FAILED
from warden.cli.reading import show_each
from warden.cli.selection import NoSpecError, host_targets, read_spec, spec_path
from warden.cli.terminal import out
from warden.engine.doctor import compare, doctor_to_json, examine, healthy, of_agents, read_host
from warden.engine.plan import dump_json
from warden.resources.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from warden.cli.selection import Target
    from warden.engine.doctor import Examined
    from warden.engine.doctor_finding import Finding

_STYLE = {"ok": "green", "warning": "yellow", "failed": "red"}
_WIDEST = max(len(status) for status in _STYLE)


@click.command()
@selection.file_option
@selection.env_file_option
@selection.host_option
@selection.agent_option
@selection.json_option
def doctor(
    file: Path | None, env_file: Path | None, host: str | None, agents: tuple[str, ...], *, as_json: bool
) -> int:
    """Check hosts and their agents: what is wrong, and the command that mends it."""
    targets, network = host_targets(file, env_file, host)
    try:
        spec = read_spec(spec_path(file, env_file))
    except NoSpecError:
        spec = None
    known: set[str] = set()

    def show(target: Target, seen: Examined) -> int:
        known.update(seen.facts.registry, target.agents)
        found = examine(seen, network)
        if spec is not None and target.agents:
            found += compare(spec, target.agents, seen.facts)
        found = of_agents(found, agents)
        if as_json:
            out().print(dump_json(doctor_to_json(target.label, seen.facts.release, found)))
        else:
            print_findings(target.label, seen.facts.release, found)
        return 0 if healthy(found) else FAILED

    asked = [(target, partial(read_host, agents=target.agents, clock=_clock_for(target))) for target in targets]
    status = show_each(asked, show)
    unknown = sorted(set(agents) - known)
    if unknown and status == 0:
        where = ", ".join(target.label for target in targets)
        raise RefusedError(f"no agent {unknown[0]} is registered on {where}", hint="see: warden agent list")
    return status


def _clock_for(target: Target) -> Callable[[], float] | None:
    """Give this machine's clock, for a host that lives in the same time."""
    return None if target.address.startswith("fake:") else time.time


def print_findings(label: str, release: str, found: tuple[Finding, ...]) -> None:
    """Print what was found, the host's own first, then each agent's; a line for each thing, and how it is mended."""
    console = out()
    counted = Counter(one.status for one in found)
    head = Text(f"{label}  FreeBSD {release}", style="bold")
    words = [f"{counted[status]} {status}" for status in ("failed", "warning", "ok") if counted[status]]
    console.print(head.append(f"  {', '.join(words)}", style="not bold"))
    width = max(len(one.subject) for one in found)
    for agent in dict.fromkeys(one.agent for one in sorted(found, key=lambda one: one.agent or "")):
        console.print()
        console.print(Text(agent or "host", style="bold"))
        for one in found:
            if one.agent == agent:
                line = Text("  ").append(one.status.ljust(_WIDEST), style=_STYLE[one.status])
                console.print(line.append(f"  {one.subject.ljust(width)}  {one.message}"))
                if one.mend:
                    console.print(Text(f"  {'':{_WIDEST}}  mend: {one.mend}", style="cyan"))
