# SPDX-License-Identifier: BSD-2-Clause
"""What the commands share that change hosts: plan, ask, carry out, tell."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from warden.cli.errors import FAILED, KNOWN, CommandLineError, describe, exit_status
from warden.cli.render import change_line, print_plan, print_report
from warden.cli.selection import holder
from warden.cli.terminal import can_ask, err, is_set, out
from warden.engine.apply import carry_out
from warden.engine.errors import EngineError
from warden.engine.plan import dump_json, plan_to_json
from warden.facts.probe import read_facts
from warden.host.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from warden.cli.selection import Target
    from warden.engine.apply import ChangeResult, Report
    from warden.engine.lock import Holder
    from warden.engine.plan import Plan
    from warden.facts.model import Facts
    from warden.host.command import Host

    Make = Callable[[Facts], Plan]


def for_each(targets: Sequence[Target], act: Callable[[Target], int]) -> int:
    """Do something on every host; a failure on one does not keep it from the next.

    Gives the exit status: 0, or that of the first host that had another.
    """
    statuses = []
    for target in targets:
        try:
            statuses.append(act(target))
        except KNOWN as error:
            if is_set("WARDEN_DEBUG"):
                raise
            names = (target.label, target.address) if len(targets) == 1 else (target.label,)
            told = any(name in str(error) for name in names)
            print_error(error, label="" if told else target.label)
            statuses.append(exit_status(error))
    return next((status for status in statuses if status), 0)


def print_error(error: Exception, *, label: str = "") -> None:
    """Print an error and its hints to standard error."""
    for message, hint in describe(error):
        err().print(f"error: {label + ': ' if label else ''}{message}", style="red")
        if hint:
            err().print(f"hint: {hint}", style="cyan")


def show_plan(target: Target, make: Make, agents: Collection[str], *, as_json: bool) -> Plan:
    """Read a host, plan, and print the plan."""
    with target.open() as host:
        plan = make(read_facts(host, agents))
    if as_json:
        out().print(dump_json(plan_to_json(plan)))
    else:
        print_plan(target.label, plan)
    return plan


def change_host(
    target: Target,
    make: Make,
    agents: Collection[str],
    *,
    what: str,
    ask: Callable[[Plan], None] | None,
    as_json: bool = False,
) -> int:
    """Plan, show the plan, ask where `ask` is given, carry it out, and tell how it ended; gives the exit status."""
    with target.open() as host:
        shown: Plan | None = None
        if ask is not None:
            shown = make(read_facts(host, agents))
            _show(target, shown, as_json=as_json)
            if shown.empty:
                if as_json:
                    _print_event("report", host=target.label, ok=True, done={})
                return 0
            if not shown.conflicts:
                ask(shown)

        def on_plan(plan: Plan) -> None:
            if shown is None:
                _show(target, plan, as_json=as_json)

        def on_change(result: ChangeResult) -> None:
            change = result.change
            _print_event("change", host=target.label, id=change.id, agent=change.agent, outcome=result.outcome.value)

        report = follow(
            target.label,
            host,
            make,
            agents,
            holder(what),
            shown=shown,
            on_plan=on_plan,
            on_change=on_change if as_json else None,
            quietly=as_json,
        )
    if as_json:
        _print_event("report", host=target.label, ok=report.ok, done=_counts(report))
    elif report.plan.changes or not report.ok:
        print_report(target.label, report)
    return 0 if report.ok else FAILED


def _show(target: Target, plan: Plan, *, as_json: bool) -> None:
    if as_json:
        _print_event("plan", plan=plan_to_json(plan))
    else:
        print_plan(target.label, plan)


def follow(
    label: str,
    host: Host,
    make: Make,
    agents: Collection[str],
    holder: Holder,
    *,
    shown: Plan | None = None,
    on_plan: Callable[[Plan], None] | None = None,
    on_change: Callable[[ChangeResult], None] | None = None,
    quietly: bool = False,
) -> Report:
    """Carry a plan out with live progress: a line a change, and on a terminal a bar below them."""
    live = err().is_terminal and not quietly
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err(), transient=True, disable=not live) as progress:
        task = progress.add_task(label, total=None)

        def tell_plan(plan: Plan) -> None:
            progress.update(task, total=len(plan.changes))
            if on_plan is not None:
                on_plan(plan)

        def tell_change(result: ChangeResult) -> None:
            change = result.change
            progress.update(task, advance=1, description=f"{label}  {change.kind} {change.name}")
            if on_change is not None:
                on_change(result)
            elif not quietly:
                err().print(change_line(label, result))

        try:
            return carry_out(host, agents, make, holder, shown=shown, on_plan=tell_plan, on_change=tell_change)
        except (EngineError, HostError) as error:
            if type(error) in (EngineError, HostError):
                # the lock could not even be tried: where that is because the machine is no FreeBSD, say so
                read_facts(host, agents)
            raise


def _print_event(event: str, **values: object) -> None:
    out().print(json.dumps({"version": 1, "event": event, **values}, ensure_ascii=False))


def _counts(report: Report) -> dict[str, int]:
    counts: dict[str, int] = {}
    for result in report.results:
        counts[result.outcome.value] = counts.get(result.outcome.value, 0) + 1
    return counts


def ask_to_apply(plan: Plan) -> None:
    """Ask whether to carry a plan out; ends the command where the answer is no, or nobody can be asked."""
    if not can_ask():
        raise CommandLineError("there is no terminal to ask at", hint="look at the plan, then add -y")
    if not click.confirm(f"carry out {len(plan.changes)} changes on {plan.address}?", err=True):
        raise click.exceptions.Exit(0)


def ask_for_name(name: str) -> Callable[[Plan], None]:
    """Give what asks for an agent's name to be typed before it is destroyed."""

    def ask(plan: Plan) -> None:
        if not can_ask():
            raise CommandLineError("there is no terminal to ask at", hint="look at what goes, then add -y")
        typed = click.prompt(f"type the agent's name to destroy it on {plan.address}", err=True)
        if typed != name:
            raise CommandLineError(f"{typed!r} is not {name!r}: nothing was done")

    return ask
