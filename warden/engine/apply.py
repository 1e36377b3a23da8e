# SPDX-License-Identifier: BSD-2-Clause
"""Carrying a plan out: host-wide changes, then the agents' side by side, then what must come after them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from warden.engine.errors import ConflictsError, MovedError
from warden.engine.lock import take_lock
from warden.facts.probe import read_facts
from warden.host.errors import ConnectionLostError
from warden.resources.change import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from warden.engine.lock import Holder
    from warden.engine.plan import Plan
    from warden.facts.model import Facts
    from warden.host.command import Command, Host, Result
    from warden.resources.change import Change

LANES = 4
"""Agents are worked on over this many channels; sshd allows ten sessions on a connection."""


class Outcome(Enum):
    """What became of a change; UNKNOWN where the connection broke inside it."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeResult:
    """A change, what became of it, and the command that it failed at, if any."""

    change: Change
    outcome: Outcome
    failed_at: Result | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an apply did. `remaining` is what still differs, read back from the host afterwards."""

    plan: Plan
    results: tuple[ChangeResult, ...]
    remaining: Plan | None = None
    connection_lost: str = ""

    @property
    def ok(self) -> bool:
        """Tell whether everything was done, and the host was read back as it should be."""
        return self.remaining is not None and self.remaining.empty and not self.failures

    @property
    def failures(self) -> tuple[ChangeResult, ...]:
        """The changes that were begun and not done."""
        return tuple(result for result in self.results if result.outcome in (Outcome.FAILED, Outcome.UNKNOWN))


def carry_out(
    host: Host,
    agents: Collection[str],
    make: Callable[[Facts], Plan],
    holder: Holder,
    *,
    shown: Plan | None = None,
    on_plan: Callable[[Plan], None] | None = None,
    on_change: Callable[[ChangeResult], None] | None = None,
) -> Report:
    """Take the lock, plan again from fresh facts, carry the plan out, and read the host back.

    `make` gives the plan for facts; `shown` is the plan that the operator agreed to: where the host has moved since,
    MovedError is raised and nothing is done. Raises LockedError and ConflictsError, likewise before anything is done.
    """
    lock = take_lock(host, holder)
    try:
        plan = make(read_facts(host, agents))
        if plan.conflicts:
            raise ConflictsError(plan.conflicts)
        if shown is not None and plan.digest != shown.digest:
            raise MovedError(
                f"{host.address} is no longer as it was when this plan was made", hint="look at a new plan first"
            )
        if on_plan is not None:
            on_plan(plan)
        report = execute(host, plan, on_change)
        if report.connection_lost:
            return report
        try:
            return replace(report, remaining=make(read_facts(host, agents)))
        except ConnectionLostError as error:
            # what was done is known, and has to be told; only how the host is now is not
            return replace(report, connection_lost=str(error))
    finally:
        lock.close()


def execute(host: Host, plan: Plan, on_change: Callable[[ChangeResult], None] | None = None) -> Report:
    """Run the commands of a plan, stage after stage; see `Report`."""
    run = _Run(plan.changes, on_change)
    try:
        first = run.take(Stage.FIRST)
        if first:
            host.run(first, on_result=run.note)
        if not run.failed_in(Stage.FIRST):
            lanes = _lanes(run, plan.changes)
            if lanes:
                host.run_lanes(lanes, on_result=run.note)
            failed = run.failed_agents()
            # what is the host's own needs all agents to be through: with one of them half gone, it is not the end
            last = run.take(Stage.LAST, without={*failed, None} if failed else ())
            if last:
                host.run(last, on_result=run.note)
    except ConnectionLostError as error:
        run.lose(error.unknown)
        return Report(plan=plan, results=run.results(), connection_lost=str(error))
    return Report(plan=plan, results=run.results())


def _lanes(run: _Run, changes: Iterable[Change]) -> list[list[list[Command]]]:
    """Spread the agents over the lanes; each agent is a batch of its own, so that its failure ends only itself."""
    names = list(dict.fromkeys(change.agent for change in changes if change.stage is Stage.AGENT))
    batches = [run.take(Stage.AGENT, only=name) for name in names]
    return [lane for lane in (batches[start::LANES] for start in range(LANES)) if lane]


class _Run:
    """Keeps account of which change each command belongs to, and what became of it."""

    def __init__(self, changes: Sequence[Change], on_change: Callable[[ChangeResult], None] | None) -> None:
        self._changes = changes
        self._on_change = on_change
        self._owner: dict[int, int] = {}
        self._left = [len(change.commands) for change in changes]
        self._failed: dict[int, Result] = {}
        self._unknown: set[int] = set()
        self._sent: list[Command] = []

    def take(self, stage: Stage, *, only: str | None = None, without: Collection[str | None] = ()) -> list[Command]:
        """Give the commands of a stage, each as an object of its own, so that its result tells whose it is."""
        commands = []
        for number, change in enumerate(self._changes):
            if change.stage is not stage or (only is not None and change.agent != only) or change.agent in without:
                continue
            for command in change.commands:
                own = replace(command)
                self._owner[id(own)] = number
                self._sent.append(own)  # kept: an id is only good while its object lives
                commands.append(own)
        return commands

    def note(self, result: Result) -> None:
        """Account for a result as it arrives."""
        number = self._owner[id(result.command)]
        self._left[number] -= 1
        if not result.ok:
            self._failed[number] = result
        if self._on_change is not None and (not result.ok or self._left[number] == 0):
            self._on_change(self._result(number))

    def lose(self, unknown: Iterable[Command]) -> None:
        """Account for a connection that broke: these commands may have taken effect."""
        self._unknown |= {self._owner[id(command)] for command in unknown}

    def failed_in(self, stage: Stage) -> bool:
        """Tell whether a change of the stage failed."""
        return any(self._changes[number].stage is stage for number in self._failed)

    def failed_agents(self) -> set[str | None]:
        """Give the agents of which a change failed."""
        return {self._changes[number].agent for number in self._failed}

    def results(self) -> tuple[ChangeResult, ...]:
        """Give what became of every change."""
        return tuple(self._result(number) for number in range(len(self._changes)))

    def _result(self, number: int) -> ChangeResult:
        change = self._changes[number]
        if number in self._failed:
            return ChangeResult(change=change, outcome=Outcome.FAILED, failed_at=self._failed[number])
        if self._left[number] == 0:
            return ChangeResult(change=change, outcome=Outcome.DONE)
        begun = self._left[number] < len(change.commands)
        outcome = Outcome.UNKNOWN if number in self._unknown or begun else Outcome.SKIPPED
        return ChangeResult(change=change, outcome=outcome)
