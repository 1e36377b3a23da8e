# SPDX-License-Identifier: BSD-2-Clause
"""What plans, reports and states look like to a person; readable without colour."""

from __future__ import annotations

import traceback
from collections import Counter
from typing import TYPE_CHECKING

from rich.text import Text

from warden.cli.errors import FAILED, UNREACHABLE, describe, has_word
from warden.cli.terminal import err, is_set, out
from warden.engine.report import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from warden.engine.plan import Plan
    from warden.engine.report import ChangeResult, Report
    from warden.resources.change import Change

_ACTION_STYLE = {"+": "green", "~": "yellow", "-": "red"}
_GAP = 2
_BEGUN = "begun, and not known to be done"
_ENDINGS = ("done", "failed", "refused", "with nothing to do", "not begun")


def count(number: int, noun: str) -> str:
    """Give `1 change`, `2 changes`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def print_error(error: Exception, *, host: str = "", alone_as: str = "") -> None:
    """Print an error and its hints to standard error, beginning with the host that it is about.

    Where that is the only one, `alone_as` is its address, and a message that has either of them names it well enough.
    """
    if is_set("WARDEN_DEBUG"):
        err().print("".join(traceback.format_exception(error)).rstrip())
    for message, hint in describe(error):
        told = message.startswith(f"{host}: ") or f": {host}: " in message or not host
        told = told or (bool(alone_as) and any(has_word(message, name) for name in (host, alone_as)))
        err().print(f"error: {message if told else f'{host}: {message}'}", style="red")
        if hint:
            err().print(f"hint: {hint}", style="cyan")


def print_plan(label: str, plan: Plan) -> None:
    """Print a plan: the host's own changes, then each agent's, conflicts and remarks beside what they are about."""
    console = out()
    head = f"{label}  FreeBSD {plan.release}" + (f"  {plan.address}" if plan.address != label else "")
    agents = f"{count(len(plan.agents), 'agent')}, " if plan.agents else ""
    console.print(Text(head, style="bold").append(f"  {agents}{_summary(plan)}", style="not bold"))
    console.print()
    widths = _widths(plan.changes)
    _section(console, plan, None, widths)
    for agent in plan.agents:
        mine = [change for change in plan.changes if change.agent == agent.name]
        state = "leaves" if agent.leaving else "new" if agent.new else "" if mine else "nothing to do"
        title = Text(f"{agent.name}  {agent.subnet}", style="bold")
        console.print(title.append(f"  {state}" if state else "", style="not bold"))
        _section(console, plan, agent.name, widths)
    if plan.agents or plan.changes:
        console.print()
    if plan.empty:
        console.print(Text("nothing to do: the host is as it should be", style="green"))


def _summary(plan: Plan) -> str:
    words = count(len(plan.changes), "change")
    return f"{words}, {count(len(plan.conflicts), 'conflict')}" if plan.conflicts else words


def _section(console: Console, plan: Plan, agent: str | None, widths: tuple[int, int]) -> None:
    changes = [change for change in plan.changes if change.agent == agent]
    conflicts = [conflict for conflict in plan.conflicts if conflict.agent == agent]
    notes = [note for note in plan.notes if note.agent == agent]
    if agent is None and (changes or conflicts or notes):
        console.print(Text("host", style="bold"))
    for change in changes:
        console.print(_line(change, widths))
    for conflict in conflicts:
        console.print(Text(f"  ! {conflict.kind} {conflict.name}: {conflict.message}", style="red"))
        console.print(Text(f"    hint: {conflict.hint}", style="cyan"))
    for note in notes:
        console.print(Text(f"    note: {note.message}", style="dim"))


def _widths(changes: Sequence[Change]) -> tuple[int, int]:
    subject = max((len(f"{change.kind} {change.name}") for change in changes), default=0)
    detail = max((len(change.detail) for change in changes if change.reason), default=0)
    return subject + _GAP, detail + _GAP


def _line(change: Change, widths: tuple[int, int]) -> Text:
    subject = f"{change.kind} {change.name}"
    text = Text(f"  {change.action} ", style=_ACTION_STYLE[change.action])
    text.append(subject.ljust(widths[0]))
    text.append(change.detail.ljust(widths[1]) if change.reason else change.detail)
    text.append(change.reason, style="dim")
    return text


def change_line(label: str, result: ChangeResult) -> Text:
    """Give the line of progress for a change that has ended."""
    change = result.change
    text = Text(f"{label}: {change.agent or 'host'}: ", style="dim")
    text.append(f"{change.action} ", style=_ACTION_STYLE[change.action])
    text.append(f"{change.kind} {change.name}: ", style="not dim")
    return text.append(result.outcome.value, style="green" if result.outcome is Outcome.DONE else "red")


def print_report(label: str, report: Report) -> None:
    """Print how an apply ended: one line where all went well, else what failed, at which command, and why."""
    done = sum(result.outcome is Outcome.DONE for result in report.results)
    if report.ok:
        out().print(Text(f"{label}: {count(done, 'change')} done, read back and found as it should be", style="green"))
        for note in report.remaining.notes if report.remaining else ():
            out().print(Text(f"note: {note.message}", style="yellow"))
        return
    console = err()
    for result in report.failures:
        _print_failure(console, label, result)
    skipped = sum(result.outcome is Outcome.SKIPPED for result in report.results)
    console.print(Text(f"{label}: {done} done, {len(report.failures)} failed or unknown, {skipped} not begun"))
    if report.connection_lost:
        console.print(Text(f"error: {label}: {report.connection_lost}", style="red"))
    if report.remaining is not None and not report.failures:
        for change in report.remaining.changes:
            what = f"{change.kind} {change.name}: {change.detail} {change.reason}".rstrip()
            console.print(Text(f"error: {label}: still differs after the apply: {what}", style="red"))
        for conflict in report.remaining.conflicts:
            console.print(Text(f"error: {label}: {conflict.message}", style="red"))
    console.print(Text("hint: apply again: Warden reads the host and goes on from what it finds", style="cyan"))


def print_summary(ended: Sequence[Report | Exception | None], statuses: Sequence[int]) -> None:
    """Print the last line of an apply to several hosts: how many of them came to which end."""
    found = Counter(_ending(end, status) for end, status in zip(ended, statuses, strict=True))
    words = ", ".join(f"{found[word]} {word}" for word in _ENDINGS if found[word])
    out().print(Text(f"{count(len(ended), 'host')}: {words}", style="red" if any(statuses) else "green"))


def _ending(ended: Report | Exception | None, status: int) -> str:
    if ended is None:
        return "not begun"
    if status in (FAILED, UNREACHABLE):
        return "failed"
    if isinstance(ended, Exception):
        return "refused"
    return "done" if ended.plan.changes else "with nothing to do"


def _print_failure(console: Console, label: str, result: ChangeResult) -> None:
    change = result.change
    whose = f"{label}: {change.agent}" if change.agent else label
    if result.failed_at is None:
        console.print(Text(f"error: {whose}: {change.kind} {change.name}: {result.why or _BEGUN}", style="red"))
        return
    failed = result.failed_at
    console.print(
        Text(
            f"error: {whose}: {change.kind} {change.name}: exit {failed.exit_code} from: {failed.command}", style="red"
        )
    )
    if not failed.command.secret:
        for line in _last_lines(failed.stdout + failed.stderr):
            console.print(Text(f"  {line}"))


def _last_lines(output: bytes, most: int = 10) -> Iterable[str]:
    return output.decode("utf-8", "replace").strip().splitlines()[-most:]
