# SPDX-License-Identifier: BSD-2-Clause
"""An apply from its beginning to its end: read, plan, lock, plan again, carry out, read back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from warden.engine.errors import ConflictsError, MovedError
from warden.engine.execute import execute
from warden.engine.journal import RidingAlong, commands, entry
from warden.engine.lock import take_lock
from warden.engine.report import Report
from warden.host.errors import ConnectionLostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from warden.engine.execute import Confirm
    from warden.engine.lock import Holder
    from warden.engine.plan import Plan
    from warden.engine.report import ChangeResult
    from warden.host.command import Host

Seen = TypeVar("Seen")
"""What is read of a host, and what its plan is made of."""


def carry_out(
    host: Host,
    read: Callable[[Host], Seen],
    make: Callable[[Seen], Plan],
    holder: Holder,
    *,
    shown: Plan | None = None,
    on_plan: Callable[[Plan], None] | None = None,
    on_change: Callable[[ChangeResult], None] | None = None,
    confirm: Confirm | None = None,
) -> Report:
    """Read the host and plan; then take the lock, plan again, carry the plan out, and read the host back.

    `read` reads what a plan rests on in one batch that changes nothing, and `make` gives the plan for it. Where there
    is nothing to do, that first batch is all: no lock is taken, and what was just read is the proof. `shown` is the
    plan that the operator agreed to, read and made by the caller: where the host has moved since, MovedError is
    raised and nothing is done. Raises LockedError and ConflictsError, likewise before anything is done; so is a
    ConnectionLostError that is raised, and not told in the report. `on_plan` is given the plan that is carried out;
    `confirm` is asked before new rules of pf are made to last.
    """
    if shown is None:
        plan = make(read(host))
        if plan.conflicts:
            raise ConflictsError(plan.conflicts)
        if plan.empty:
            return _nothing_to_do(plan, on_plan)
    lock = take_lock(host, holder)
    try:
        # what was read before the lock was taken may be in the middle of another apply
        plan = make(read(host))
        if plan.conflicts:
            raise ConflictsError(plan.conflicts)
        if shown is not None and plan.fingerprint != shown.fingerprint:
            raise MovedError(
                f"{host.address} is no longer as it was when this plan was made", hint="look at a new plan first"
            )
        if on_plan is not None:
            on_plan(plan)
        report = execute(host, plan, on_change, confirm, lock)
        if report.connection_lost:
            return report
        try:
            # what was done is written down in the batch that reads the host back
            along = RidingAlong(host, commands(entry(report, holder)) if plan.changes else ())
            return replace(report, remaining=along.told(make(read(along))))
        except ConnectionLostError as error:
            # what was done is known, and has to be told; only how the host is now is not
            return replace(report, connection_lost=str(error))
    finally:
        lock.close()


def _nothing_to_do(plan: Plan, on_plan: Callable[[Plan], None] | None) -> Report:
    if on_plan is not None:
        on_plan(plan)
    return Report(plan=plan, results=(), remaining=plan)
