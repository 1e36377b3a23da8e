# SPDX-License-Identifier: BSD-2-Clause
"""What is seen while plans are carried out: one live view on a terminal, lines elsewhere, JSON for programs."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol, Self

from rich.console import Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from warden.cli.render import change_line, count
from warden.cli.terminal import err, out
from warden.engine.report import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from rich.console import RenderableType
    from rich.progress import Task

    from warden.engine.plan import Plan
    from warden.engine.report import ChangeResult, Report


class Onlooker(Protocol):
    """Is told by the number of a host what goes on there."""

    def plan(self, number: int, plan: Plan) -> None:
        """Show that a plan is about to be carried out."""

    def change(self, number: int, result: ChangeResult) -> None:
        """Show that a change has ended."""

    def end(self, number: int, ended: Report | Exception) -> None:
        """Show how it ended on a host."""

    def aside(self) -> AbstractContextManager[None]:
        """Make room for a question to the operator."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


def onlooker(labels: Sequence[str], *, as_json: bool) -> Onlooker:
    """Give the one that fits where the output goes."""
    if as_json:
        return JsonLines(labels)
    return LiveView(labels) if err().is_terminal else Lines(labels)


class Lines:
    """A line for every change that has ended, with the host before it."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = labels

    def plan(self, number: int, plan: Plan) -> None: ...

    def change(self, number: int, result: ChangeResult) -> None:
        err().print(change_line(self._labels[number], result))

    def end(self, number: int, ended: Report | Exception) -> None: ...

    def aside(self) -> AbstractContextManager[None]:
        return nullcontext()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...


class JsonLines(Lines):
    """An object a line, as docs/json.md describes them."""

    def change(self, number: int, result: ChangeResult) -> None:
        change, host = result.change, self._labels[number]
        print_event("change", host=host, id=change.id, agent=change.agent, outcome=result.outcome.value)

    def end(self, number: int, ended: Report | Exception) -> None:
        if not isinstance(ended, Exception):
            print_report_event(self._labels[number], ended)


class LiveView:
    """A row for every host that has work, in their order: changes done, time, and what it is at or how it ended."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._rows = _Rows(
            _text("{task.fields[label]}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            _text("{task.description}"),
            console=err(),
            transient=True,
            # what is printed meanwhile goes above the rows, but for what goes somewhere else
            redirect_stdout=out().is_terminal,
        )
        self._tasks = [self._rows.add_task("", start=False, total=None, visible=False, label=label) for label in labels]
        self._left: dict[int, list[str]] = {}

    def plan(self, number: int, plan: Plan) -> None:
        self._left[number] = [_name(change.agent, change.kind, change.name) for change in plan.changes]
        if plan.changes:
            task = self._tasks[number]
            self._rows.start_task(task)
            self._rows.update(task, total=len(plan.changes), visible=True, description=self._left[number][0])

    def change(self, number: int, result: ChangeResult) -> None:
        left = self._left[number]
        change = result.change
        left.remove(_name(change.agent, change.kind, change.name))
        if result.outcome is Outcome.DONE:
            self._rows.advance(self._tasks[number])
        self._rows.update(self._tasks[number], description=left[0] if left else "reading the host back")

    def end(self, number: int, ended: Report | Exception) -> None:
        self._rows.stop_task(self._tasks[number])
        self._rows.update(self._tasks[number], description=_outcome(ended), over=True)

    @contextmanager
    def aside(self) -> Iterator[None]:
        self._rows.stop()
        try:
            yield
        finally:
            self._rows.start()

    def __enter__(self) -> Self:
        self._rows.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._rows.stop()


class _Rows(Progress):
    """The rows; where the terminal has fewer lines than there are hosts, those that have ended give way."""

    def get_renderables(self) -> Iterator[RenderableType]:
        tasks = [task for task in self.tasks if task.visible]
        room = max(err().height - 2, 1)  # a line for what is left out, and one for the cursor
        left_out = max(len(tasks) - room, 0)
        over = [task for task in tasks if task.fields.get("over")]
        hidden = {task.id for task in over[:left_out]}
        rows: list[Task] = [task for task in tasks if task.id not in hidden]
        lines: list[RenderableType] = [self.make_tasks_table(rows)]
        if hidden:
            lines.insert(0, Text(f"{count(len(hidden), 'host')} over, {len(rows)} shown", style="dim"))
        yield Group(*lines)


def print_event(event: str, **values: object) -> None:
    """Print an event as a line of JSON."""
    out().print(json.dumps({"version": 1, "event": event, **values}, ensure_ascii=False))


def print_report_event(label: str, report: Report) -> None:
    """Print the event that ends the work on a host."""
    done = Counter(result.outcome.value for result in report.results)
    print_event("report", host=label, ok=report.ok, done=done)


def _text(of: str) -> TextColumn:
    return TextColumn(of, markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))


def _name(agent: str | None, kind: str, name: str) -> str:
    return f"{agent or 'host'}: {kind} {name}"


def _outcome(ended: Report | Exception) -> str:
    if isinstance(ended, Exception):
        return "given up"
    if ended.ok:
        return "done"
    if ended.connection_lost:
        return "the connection broke"
    return f"{count(len(ended.failures), 'change')} failed" if ended.failures else "still differs"
