# SPDX-License-Identifier: BSD-2-Clause
"""Plans and applies whose bytes truly travel: round trips counted at the far end, servers that die in the middle."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.engine.conftest import HOLDER, TWO, agent_spec, spec_of
from warden.engine.apply import carry_out
from warden.engine.errors import LockedError
from warden.engine.lock import LOCK
from warden.engine.plan import make_plan
from warden.engine.report import Outcome
from warden.facts.probe import read_facts
from warden.host.errors import ConnectionLostError, HostUnreachableError
from warden.host.fake.changes import changes_state
from warden.host.ssh import SshHost

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.ssh.rig.rig import Ran, Rig
    from warden.engine.report import ChangeResult, Report
    from warden.spec.model import Spec

    MakeRig = Callable[..., Rig]

ALPHA = "ssh://alpha"


def apply(host: SshHost, spec: Spec, on_change: Callable[[ChangeResult], None] | None = None) -> Report:
    names = list(spec.agents)
    read = partial(read_facts, agents=names)
    return carry_out(host, read, lambda facts: make_plan(spec, names, facts), HOLDER, on_change=on_change)


def agents(number: int) -> Spec:
    return spec_of(*(agent_spec(f"agent{n}", None, ("git", "cms", "db")) for n in range(number)))


def in_sequence(rig: Rig, since: int) -> int:
    """Give how many conversations of an apply followed upon one another: side by side they count as one.

    The longest is the lock's: it goes on while others come and go, and is waited for once, until it has begun.
    """
    spans = [(began, ended if ended is not None else float("inf")) for began, ended in rig.conversations()[since:]]
    lock = max(spans, key=lambda span: span[1] - span[0])
    count, last = 1, 0.0
    for began, ended in sorted((span for span in spans if span is not lock), key=lambda span: span[1]):
        if began >= last:
            count, last = count + 1, ended
    return count


@pytest.mark.parametrize("number", [1, 12, pytest.param(200, marks=pytest.mark.exhaustive)])
def test_a_plan_takes_one_round_trip_and_an_apply_eight_at_most(
    rig: Rig, reach: Callable[..., None], number: int
) -> None:
    reach(rig)
    spec = agents(number)
    with SshHost(ALPHA) as host:
        plan = make_plan(spec, list(spec.agents), read_facts(host, list(spec.agents)))
    assert len(rig.conversations()) == 1
    assert plan.changes
    with SshHost(ALPHA) as host:
        report = apply(host, spec)
    assert report.ok, report.failures[:1]
    assert 5 <= in_sequence(rig, 1) <= 8
    before = len(rig.conversations())
    with SshHost(ALPHA) as host:
        assert apply(host, spec).plan.empty
    assert len(rig.conversations()) == before + 1, "where there is nothing to do, the first look is all"
    assert rig.unsupported() == []


def at_once(rig: Rig) -> list[str]:
    """Have two operators apply at the same time; gives how it ended for them."""
    ready = threading.Barrier(2)
    outcomes: list[str] = []

    def run(name: str) -> None:
        with SshHost(ALPHA) as host:
            ready.wait()
            try:
                report = apply(host, spec_of(agent_spec(name, None, ("git",))))
            except LockedError as error:
                outcomes.append("locked" if HOLDER.who in str(error) else "locked by nobody")
            else:
                outcomes.append("done" if report.ok else "failed")

    both = [threading.Thread(target=run, args=(name,)) for name in ("atlas", "clawdie")]
    for one in both:
        one.start()
    for one in both:
        one.join()
    return sorted(outcomes)


def check_two_at_once(make_rig: MakeRig, reach: Callable[..., None]) -> None:
    """One wins, the other is told by whom it is locked out; none is half done."""
    rig = make_rig()
    reach(rig)
    outcomes = at_once(rig)
    assert outcomes in (["done", "locked"], ["done", "done"]), "the second came when the first had ended"
    with SshHost(ALPHA) as host:
        registered = read_facts(host, ()).registry
        assert len(registered) == outcomes.count("done")
        for name in registered:
            spec = spec_of(agent_spec(name, None, ("git",)))
            assert make_plan(spec, [name], read_facts(host, [name])).empty


def test_two_applies_at_once_have_one_winner(make_rig: MakeRig, reach: Callable[..., None]) -> None:
    check_two_at_once(make_rig, reach)


@pytest.mark.exhaustive
@pytest.mark.parametrize("attempt", range(50))
def test_two_applies_at_once_have_one_winner_fifty_times(
    make_rig: MakeRig, reach: Callable[..., None], attempt: int
) -> None:
    check_two_at_once(make_rig, reach)


def kill_at_random(rig: Rig, after: float) -> Report | None:
    """Apply, and kill the server meanwhile; gives the report, None where the apply had not begun to change anything."""
    with SshHost(ALPHA) as host:
        killer = threading.Timer(after, rig.kill_server)
        killer.start()
        try:
            return apply(host, TWO)
        except (ConnectionLostError, HostUnreachableError):
            return None
        finally:
            killer.join()


def check_account(report: Report | None, log: list[Ran]) -> None:
    """Check what a report says of each change against what the host truly ran."""
    ran = Counter(one.argv for one in log)
    if report is None:
        assert not [argv for argv in ran if changes_state(argv) and LOCK not in argv]
        return
    for result in report.results:
        guard = result.change.guard
        wanted = Counter(command.argv for command in (*result.change.commands, *(guard.settle if guard else ())))
        took_effect = wanted & ran
        if result.outcome is Outcome.DONE:
            assert took_effect == wanted, result
        elif result.outcome is Outcome.SKIPPED:
            assert not took_effect, result


def settled(rig: Rig) -> list[Ran]:
    """Wait until nothing more is run by shells that have lost their reader, and give what was run."""
    log = rig.commands()
    while True:
        time.sleep(0.15)
        again = rig.commands()
        if len(again) == len(log):
            return again
        log = again


@pytest.mark.parametrize("attempt", range(3))
def test_a_server_that_is_killed_in_mid_apply(make_rig: MakeRig, reach: Callable[..., None], attempt: int) -> None:
    killed_and_mended(make_rig, reach)


@pytest.mark.exhaustive
@pytest.mark.parametrize("attempt", range(100))
def test_a_server_that_is_killed_in_mid_apply_a_hundred_times(
    make_rig: MakeRig, reach: Callable[..., None], attempt: int
) -> None:
    killed_and_mended(make_rig, reach)


def killed_and_mended(make_rig: MakeRig, reach: Callable[..., None]) -> None:
    rig = make_rig()
    reach(rig)
    after = random.SystemRandom().uniform(0.02, 1.0)
    report = kill_at_random(rig, after)
    check_account(report, settled(rig))
    rig.start_server()
    with SshHost(ALPHA) as host:
        again = apply(host, TWO)
        assert again.ok, [one.failed_at or one.why for one in again.failures]
    with SshHost(ALPHA) as host:
        assert make_plan(TWO, list(TWO.agents), read_facts(host, list(TWO.agents))).empty
    assert rig.unsupported() == []
