# SPDX-License-Identifier: BSD-2-Clause
"""Running the commands of a plan: stage after stage, the agents side by side, pf's rules under guard."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from warden.engine.lock import LockLostError
from warden.engine.report import Account, Report
from warden.host.errors import CommandTimeoutError, ConnectionLostError, HostError
from warden.resources.change import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from warden.engine.guard import Job
    from warden.engine.lock import Lock
    from warden.engine.plan import Plan
    from warden.engine.report import ChangeResult
    from warden.host.command import Command, Host
    from warden.resources.change import Change

    Confirm = Callable[[], bool]

LANES = 4
"""Agents are worked on over this many channels; sshd allows ten sessions on a connection."""


def execute(
    host: Host,
    plan: Plan,
    on_change: Callable[[ChangeResult], None] | None = None,
    confirm: Confirm | None = None,
    lock: Lock | None = None,
) -> Report:
    """Run the commands of a plan; see `Report`.

    `confirm` is asked before new rules of pf are made to last, besides the proof over a new connection. `lock` is
    looked at before every batch: once it is lost, nothing more is begun.
    """
    account = Account(plan.changes, on_change)
    try:
        _run_stage(host, account, Stage.FIRST, confirm=confirm, lock=lock)
        if not account.failed_in(Stage.FIRST):
            lanes = _lanes(account, plan.changes)
            if lanes:
                _check(lock)
                host.run_lanes(lanes, on_result=account.note)
            failed = account.failed_agents()
            # what is the host's own needs all agents to be through: with one of them half gone, it is not the end
            without = {*failed, None} if failed else ()
            _run_stage(host, account, Stage.LAST, without=without, confirm=confirm, lock=lock)
    except ConnectionLostError as error:
        account.lose(error.unknown)
        return Report(plan=plan, results=account.results(), connection_lost=str(error))
    except (CommandTimeoutError, LockLostError) as error:
        return Report(plan=plan, results=account.results(), connection_lost=str(error))
    return Report(plan=plan, results=account.results())


def _check(lock: Lock | None) -> None:
    if lock is not None:
        lock.check()


def _run_stage(
    host: Host,
    account: Account,
    stage: Stage,
    *,
    without: Collection[str | None] = (),
    confirm: Confirm | None,
    lock: Lock | None,
) -> None:
    batches = account.take(stage, without=without)
    if batches.before:
        _check(lock)
        host.run(batches.before, on_result=account.note)
    if batches.job is None:
        return
    if account.failed_in(stage):
        account.take_back(stage, "another change of the rules failed, and the old ones are back")
        with suppress(HostError):
            host.run([batches.job.run_now])
        return
    fresh = _prove(host, batches.job)
    if isinstance(fresh, str):
        account.take_back(stage, fresh)
        return
    with fresh:
        why = "nobody confirmed the new rules, and the old ones are back"
        if confirm is None or confirm():
            _check(lock)
            fresh.run(batches.after, on_result=account.note)
            if not account.failed_in(stage):
                return
            why = "another change of the rules failed, so these were not made to last"
        account.take_back(stage, why)
        with suppress(HostError):
            fresh.run([batches.job.run_now])


def _prove(host: Host, job: Job) -> Host | str:
    """Give a new connection, which proves that the host still takes one; else why the new rules are gone again."""
    try:
        return host.reopen()
    except HostError as error:
        # over the old connection, which may have been cut off as well; then there is nobody to ask
        with suppress(HostError):
            host.run([job.wait])
        return f"the host took the old rules back by itself: with the new ones, {error}"


def _lanes(account: Account, changes: Sequence[Change]) -> list[list[list[Command]]]:
    """Spread the agents over the lanes; each agent is a batch of its own, so that its failure ends only itself."""
    names = list(dict.fromkeys(change.agent for change in changes if change.stage is Stage.AGENT))
    batches = [account.take_agent(Stage.AGENT, name) for name in names]
    return [lane for lane in (batches[start::LANES] for start in range(LANES)) if lane]
