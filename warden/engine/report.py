# SPDX-License-Identifier: BSD-2-Clause
"""What became of a plan's changes, and which command belongs to which of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from warden.engine.guard import job_for
from warden.resources.environment import fill

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from warden.engine.guard import Job
    from warden.engine.plan import Plan
    from warden.host.command import Command, Result
    from warden.resources.change import Change, Stage


class Outcome(Enum):
    """What became of a change; UNKNOWN where the connection broke inside it."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeResult:
    """A change, what became of it, and the command that it failed at, or else why it was taken back."""

    change: Change
    outcome: Outcome
    failed_at: Result | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an apply did. `remaining` is what still differs, read back from the host afterwards.

    `connection_lost` says what broke, where it could not go on: the connection, or a command that did not end.
    """

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """A stage's commands. Where pf's rules are among its changes, `job` guards them.

    `before` ends with the last change that is guarded; `after` calls the job off, makes those changes last, and does
    what is left of the stage. Without a job there is nothing in it.
    """

    before: list[Command]
    after: list[Command]
    job: Job | None


class Account:
    """Keeps account of which change each command belongs to, and what became of it."""

    def __init__(self, changes: Sequence[Change], on_change: Callable[[ChangeResult], None] | None) -> None:
        self._changes = changes
        self._on_change = on_change
        self._owner: dict[int, int] = {}
        self._total = [0] * len(changes)
        self._done = [0] * len(changes)
        self._taken: set[int] = set()
        self._failed: dict[int, Result] = {}
        self._taken_back: dict[int, str] = {}
        self._unknown: set[int] = set()
        self._sent: list[Command] = []
        self._proofs: dict[int, list[int]] = {}

    def take(self, stage: Stage, *, without: Collection[str | None] = ()) -> Batches:
        """Give the commands of a stage, but for those of some agents."""
        numbers = [
            number
            for number, change in enumerate(self._changes)
            if change.stage is stage and change.agent not in without
        ]
        guarded = [number for number in numbers if self._changes[number].guard is not None]
        job = job_for([self._changes[number] for number in guarded])
        if job is None:
            return Batches(before=self._commands(numbers), after=[], job=None)
        cut = numbers.index(guarded[-1]) + 1
        first = numbers.index(guarded[0])
        before = [
            *self._commands(numbers[:first]),
            self._own(job.arm, guarded[0]),
            *self._commands(numbers[first:cut]),
        ]
        proof = self._own(job.call_off, guarded[-1])
        after = [proof]
        # none of them is done before the proof: not even one that has nothing left to do after it
        self._proofs[id(proof)] = guarded[:-1]
        for number in guarded[:-1]:
            self._total[number] += 1
        for number in guarded:
            guard = self._changes[number].guard
            after += [self._own(command, number) for command in (guard.settle if guard is not None else ())]
        return Batches(before=before, after=[*after, *self._commands(numbers[cut:])], job=job)

    def take_agent(self, stage: Stage, agent: str | None) -> list[Command]:
        """Give the commands of one agent in a stage."""
        return self._commands(
            [n for n, change in enumerate(self._changes) if change.stage is stage and change.agent == agent]
        )

    def _commands(self, numbers: Iterable[int]) -> list[Command]:
        commands = []
        for number in numbers:
            self._taken.add(number)
            commands += [self._own(command, number) for command in self._changes[number].commands]
        return commands

    def _own(self, command: Command, number: int) -> Command:
        """Give the command as an object of its own, so that its result tells whose it is; its secrets are made here."""
        own = replace(command, stdin=fill(command.stdin) if command.secret else command.stdin)
        self._owner[id(own)] = number
        self._sent.append(own)  # kept: an id is only good while its object lives
        self._total[number] += 1
        return own

    def note(self, result: Result) -> None:
        """Account for a result as it arrives."""
        number = self._owner[id(result.command)]
        if not result.ok:
            self._failed[number] = result
        for one in (number, *(self._proofs.get(id(result.command), ()) if result.ok else ())):
            self._done[one] += 1
            if self._on_change is not None and (not result.ok or self._done[one] == self._total[one]):
                self._on_change(self._result(one))

    def lose(self, unknown: Iterable[Command]) -> None:
        """Account for a connection that broke: these commands may have taken effect."""
        self._unknown |= {self._owner[id(command)] for command in unknown}

    def take_back(self, stage: Stage, why: str) -> None:
        """Account for guarded changes that were begun, and that the host was made, or left, to take back."""
        for number, change in enumerate(self._changes):
            begun = 0 < self._done[number] < self._total[number]
            if change.stage is stage and change.guard is not None and begun:
                self._taken_back.setdefault(number, why)
                if self._on_change is not None and number not in self._failed:
                    self._on_change(self._result(number))

    def failed_in(self, stage: Stage) -> bool:
        """Tell whether a change of the stage failed."""
        return any(self._changes[number].stage is stage for number in (*self._failed, *self._taken_back))

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
        if number in self._taken_back:
            return ChangeResult(change=change, outcome=Outcome.FAILED, why=self._taken_back[number])
        if number in self._taken and self._done[number] == self._total[number]:
            return ChangeResult(change=change, outcome=Outcome.DONE)
        outcome = Outcome.UNKNOWN if number in self._unknown or self._done[number] else Outcome.SKIPPED
        return ChangeResult(change=change, outcome=outcome)
