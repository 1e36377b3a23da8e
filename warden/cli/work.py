# SPDX-License-Identifier: BSD-2-Clause
"""What the commands share that plan for hosts, or change them, many at a time: plan, ask, carry out, tell."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

import click

from warden.cli.crew import PATIENCE, Crew, InOrder
from warden.cli.errors import CHANGES, FAILED, REFUSED, CommandLineError, exit_status
from warden.cli.live import onlooker, print_event, print_report_event
from warden.cli.questions import need_terminal
from warden.cli.reading import first_status, show_each, tell_error
from warden.cli.render import count, print_error, print_plan, print_report, print_summary
from warden.cli.selection import holder
from warden.cli.terminal import answered_in_time, err, out
from warden.engine.apply import carry_out
from warden.engine.errors import ConflictsError, EngineError
from warden.engine.guard import PATIENCE as PATIENCE_OF_THE_HOST
from warden.engine.plan import dump_json, plan_to_json
from warden.engine.report import Outcome, Report
from warden.host.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from warden.cli.live import Onlooker
    from warden.cli.questions import Ask
    from warden.cli.selection import Target
    from warden.engine.plan import Plan
    from warden.engine.report import ChangeResult
    from warden.host.command import Host

Seen = TypeVar("Seen")

TIME_TO_CONFIRM = PATIENCE_OF_THE_HOST - 10
"""Seconds: the answer has to be at the host before it takes the rules back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Generic[Seen]):
    """What is to be made of one host: `read` reads it in one batch, `make` plans, `what` is told to others who wait.

    `check` raises where the first plan is not the one that was to be carried out: of a plan that was kept.
    """

    target: Target
    read: Callable[[Host], Seen]
    make: Callable[[Seen], Plan]
    what: str
    check: Callable[[Seen, Plan], None] | None = None


@dataclass(slots=True, kw_only=True)
class _Entry(Generic[Seen]):
    """A job, and how far it has come.

    `shown` is the plan that the operator was shown before anything was done, `done` the number of changes done.
    """

    job: Job[Seen]
    host: Host | None = None
    shown: Plan | None = None
    done: int = 0
    ended: Report | Exception | None = None

    @property
    def status(self) -> int:
        if isinstance(self.ended, Exception):
            return exit_status(self.ended)
        return 0 if self.ended is None or self.ended.ok else FAILED


def show_plans(
    jobs: Sequence[Job[Seen]],
    *,
    as_json: bool,
    exit_code: bool = False,
    keep: Callable[[Target, Seen, Plan], None] | None = None,
) -> int:
    """Plan for all hosts, and show the plans; where `exit_code` is set, the exit status tells of changes.

    `keep` is given every plan that could be carried out.
    """

    def show(target: Target, planned: tuple[Seen, Plan]) -> int:
        seen, plan = planned
        if keep is not None and not plan.conflicts:
            keep(target, seen, plan)
        if as_json:
            out().print(dump_json(plan_to_json(plan)))
        else:
            print_plan(target.label, plan)
        if plan.conflicts:
            return REFUSED
        return CHANGES if exit_code and plan.changes else 0

    return show_each([(job.target, partial(_plan, job)) for job in jobs], show)


def change_hosts(jobs: Sequence[Job[Seen]], *, ask: Ask | None, as_json: bool = False, confirm: bool = False) -> int:
    """Plan for all hosts, show the plans, ask once where `ask` is given, carry out, and tell how it ended.

    Without `ask` each host goes on by itself as soon as its plan is made. With `confirm` the operator has to say in
    time that new rules of pf are to last. Gives the exit status, as `for_each` does.
    """
    if confirm:
        need_terminal("leave --confirm out: a new connection is proof enough over SSH")
    entries = [_Entry(job=job) for job in jobs]
    with Crew(patience=PATIENCE) as crew:
        _prepare(crew, entries, shows=ask is not None, as_json=as_json)
        work = [entry for entry in entries if entry.host is not None and entry.ended is None]
        if not crew.stopping and (ask is None or _agreed(ask, work)):
            _carry_out(crew, work, as_json=as_json, confirm=confirm)
            for entry in work:
                _tell_end(entry, alone=len(jobs) == 1, as_json=as_json)
            if len(jobs) > 1 and not as_json:
                print_summary([entry.ended for entry in entries], [entry.status for entry in entries])
        if crew.stopping:
            raise click.Abort
    return first_status([entry.status for entry in entries])


def _plan(job: Job[Seen], host: Host) -> tuple[Seen, Plan]:
    seen = job.read(host)
    plan = job.make(seen)
    if job.check is not None:
        job.check(seen, plan)
    return seen, plan


def _prepare(crew: Crew, entries: Sequence[_Entry[Seen]], *, shows: bool, as_json: bool) -> None:
    """Connect to all hosts; where somebody is to be asked, or a plan was kept, plan and show the plans as well."""

    def work(entry: _Entry[Seen]) -> Plan | None:
        entry.host = crew.open(entry.job.target)
        return _plan(entry.job, entry.host)[1] if shows or entry.job.check is not None else None

    def tell(number: int, plan: Plan | Exception | None) -> None:
        entry = entries[number]
        target = entry.job.target
        if isinstance(plan, Exception):
            entry.ended = plan
        elif plan is not None:
            entry.shown = plan
            _show(target, plan, as_json=as_json)
            if plan.conflicts:
                entry.ended = ConflictsError(plan.conflicts)
            elif plan.empty:
                entry.ended = Report(plan=plan, results=(), remaining=plan)
        if entry.ended is not None:
            if entry.host is not None:
                crew.close(entry.host)
            _tell_end(entry, alone=len(entries) == 1, as_json=as_json)
            if as_json and isinstance(entry.ended, Report):
                print_report_event(target.label, entry.ended)

    crew.each(entries, work, InOrder(tell).put)


def _agreed(ask: Ask, entries: Sequence[_Entry[Seen]]) -> bool:
    """Ask once for all hosts that have work."""
    if not entries:
        return True
    try:
        agreed = ask([entry.shown for entry in entries if entry.shown is not None])
    except CommandLineError as error:
        print_error(error)
        for entry in entries:
            entry.ended = error
        return False
    if not agreed:
        err().print("nothing was done")
    return agreed


def _carry_out(crew: Crew, entries: Sequence[_Entry[Seen]], *, as_json: bool, confirm: bool) -> None:
    """Carry out on all hosts, several at a time, with one view of it all."""
    with onlooker([entry.job.target.label for entry in entries], as_json=as_json) as view:
        carrying = _Carrying(crew, entries, view, as_json=as_json, confirm=confirm)
        crew.each(range(len(entries)), carrying.work, carrying.end)


class _Carrying(Generic[Seen]):
    """What happens while plans are carried out; hosts go by the numbers of their entries."""

    def __init__(
        self, crew: Crew, entries: Sequence[_Entry[Seen]], view: Onlooker, *, as_json: bool, confirm: bool
    ) -> None:
        self._crew = crew
        self._confirms = confirm
        self._entries = entries
        self._view = view
        self._as_json = as_json
        self._waiting = {number for number, entry in enumerate(entries) if entry.shown is None}
        """The hosts whose plan has still to be shown; programs get each when it is made, people in their order."""
        self._plans: InOrder[Plan | None] = InOrder(self._show)

    def work(self, number: int) -> Report:
        """Carry out on one host; for a thread that works."""
        entry = self._entries[number]
        host, job = entry.host, entry.job
        assert host is not None  # noqa: S101 - only those that were opened have come this far

        def on_plan(plan: Plan) -> None:
            self._crew.go_on(host)
            self._crew.tell(partial(self._plan, number, plan))

        def on_change(result: ChangeResult) -> None:
            self._crew.tell(partial(self._change, number, result))
            self._crew.go_on(host)

        who = holder(job.what)
        try:
            return carry_out(
                host,
                job.read,
                job.make,
                who,
                shown=entry.shown,
                on_plan=on_plan,
                on_change=on_change,
                confirm=partial(self._confirm, job.target.label) if self._confirms else None,
            )
        except (HostError, EngineError):
            self._crew.go_on(host)  # what fails because an interrupt closed the connection is told as that
            raise
        finally:
            self._crew.close(host)

    def _confirm(self, label: str) -> bool:
        def asked() -> bool:
            with self._view.aside():
                return answered_in_time(f"{label}: new rules of pf are loaded. Are you still there?", TIME_TO_CONFIRM)

        return self._crew.have(asked, otherwise=False)

    def end(self, number: int, ended: Report | Exception) -> None:
        """Take note of how it ended on a host."""
        if number in self._waiting:
            self._waiting.remove(number)
            self._plans.put(number, None)  # the next hosts' need not wait for a plan that does not come
        self._entries[number].ended = ended
        self._view.end(number, ended)

    def _plan(self, number: int, plan: Plan) -> None:
        if number in self._waiting:
            self._waiting.remove(number)
            if self._as_json:
                self._show(number, plan)
            else:
                self._plans.put(number, plan)
        self._view.plan(number, plan)

    def _change(self, number: int, result: ChangeResult) -> None:
        self._entries[number].done += result.outcome is Outcome.DONE
        self._view.change(number, result)

    def _show(self, number: int, plan: Plan | None) -> None:
        if plan is not None:
            _show(self._entries[number].job.target, plan, as_json=self._as_json)


def _show(target: Target, plan: Plan, *, as_json: bool) -> None:
    if as_json:
        print_event("plan", host=target.label, plan=plan_to_json(plan))
    else:
        print_plan(target.label, plan)


def _tell_end(entry: _Entry[Seen], *, alone: bool, as_json: bool) -> None:
    ended = entry.ended
    if isinstance(ended, Exception):
        tell_error(entry.job.target, ended, alone=alone)
        if entry.done:
            err().print(f"{entry.job.target.label}: {count(entry.done, 'change')} had been done by then")
    elif ended is not None and not as_json and (ended.plan.changes or not ended.ok):
        print_report(entry.job.target.label, ended)
