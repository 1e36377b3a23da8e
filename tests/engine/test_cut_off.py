# SPDX-License-Identifier: BSD-2-Clause
"""A change is safe to be cut off anywhere: done again, it ends where it would have ended at once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.conftest import HOSTS, MODEL, KilledError, World, agent_spec, differences, spec_of, what_matters
from warden.engine.errors import EngineError
from warden.engine.report import Outcome
from warden.host.fake.faults import Faults
from warden.host.fake.processes import advance

if TYPE_CHECKING:
    from typing import Any

    from tests.engine.conftest import Cut
    from warden.host.command import Command

Way = Literal["fail", "drop-before", "drop-after", "kill", "full disk"]
Meanwhile = Literal["", "reboot", "a minute"]
MEANWHILE: tuple[Meanwhile, ...] = ("", "reboot", "a minute")
WAYS: tuple[Way, ...] = ("fail", "drop-before", "drop-after", "kill", "full disk")
"""A command fails, the connection breaks before or after it, the controller is killed, there is no room for files."""

SPEC = spec_of(
    agent_spec("clawdie", "192.168.72.0/24", ("git", "llama-cpp"), env={"TOKEN": "hush hush"}, model=MODEL),
    agent_spec("atlas", "10.0.1.0/24", ("cms", "db"), locale="sl_SI.UTF-8", shares="clawdie"),
)
"""Two agents with every service once: a service that stands twice has the same places to be cut off at."""
CHANGED = spec_of(
    agent_spec("clawdie", services=("git", "cms", "llama-cpp"), env={"TOKEN": "hush", "NEW": "1"}, model=MODEL),
    agent_spec("atlas", services=("cms", "db", "ollama"), command=None),
    agent_spec("vera", shares="atlas", services=("git",), locale="en_US.UTF-8"),
    isolation="open",
)
"""What SPEC becomes when about everything in it is edited at once."""

SCENARIOS: dict[str, tuple[str, str]] = {
    "apply": ("", "apply"),
    "apply, then rather destroy": ("", "apply"),
    "change": ("apply", "change"),
    "destroy": ("apply", "destroy atlas"),
    "destroy, then rather apply": ("apply", "destroy atlas"),
    "destroy the last": ("apply,destroy atlas", "destroy clawdie"),
    "destroy the last, then rather apply": ("apply,destroy atlas", "destroy clawdie"),
}
"""What was done before, and what is cut off."""

INSTEAD = {
    "apply, then rather destroy": ("destroy atlas", "destroy clawdie"),
    "destroy, then rather apply": ("apply",),
    "destroy the last, then rather apply": ("apply",),
}
"""What is done after the cut-off instead of the same thing again."""


def do(world: World, step: str, faults: Faults | None = None, *, kill_at: int = 0) -> Cut:
    verb, _, name = step.partition(" ")
    if verb == "destroy":
        return world.destroy(name, faults, kill_at=kill_at, spec=SPEC)
    return world.apply(SPEC if verb == "apply" else CHANGED, faults, kill_at=kill_at)


@cache
def before(host: str, steps: str) -> World:
    """Give a host on which some steps were carried out, none of them cut off; not to be changed, but copied."""
    world = HOSTS[host]()
    for step in filter(None, steps.split(",")):
        done = do(world, step)
        assert done.ok, (step, done)
    return world


@cache
def lengths(host: str, scenario: str) -> dict[Way, int]:
    """Give in how many places a run can be cut off: at commands that change something, and before round trips."""
    done_before, step = SCENARIOS[scenario]
    faults = Faults()
    done = do(before(host, done_before).copy(), step, faults)
    assert done.ok
    # the last command is the log's; where it fails, nothing else does
    counted = faults.counted
    at_commands: dict[Way, int] = dict.fromkeys(("drop-before", "drop-after", "full disk"), counted)
    return {**at_commands, "fail": counted - 1, "kill": done.host.batches}


@cache
def goal(host: str, scenario: str) -> dict[str, Any]:
    """Give what has to be in the end."""
    done_before, step = SCENARIOS[scenario]
    if scenario == "apply, then rather destroy":
        return what_matters(HOSTS[host]().machine)
    if scenario in INSTEAD:
        return what_matters(before(host, f"apply,{step}" if scenario not in INSTEAD else "apply").machine)
    return what_matters(before(host, f"{done_before},{step}").machine)


@dataclass(frozen=True)
class Case:
    """One way of being cut off: at the nth command or round trip, and what happens before the next try."""

    host: str
    scenario: str
    way: Way
    nth: int
    meanwhile: Meanwhile


def faults_of(case: Case) -> Faults:
    return {
        "fail": Faults(fail_nth=case.nth),
        "drop-before": Faults(drop_before=case.nth),
        "drop-after": Faults(drop_after=case.nth),
        "kill": Faults(),
        "full disk": Faults(disk_full_after=case.nth),
    }[case.way]


def check(case: Case) -> None:
    """Cut a run off, look at what it says of itself, carry on, and compare what came of it."""
    done_before, step = SCENARIOS[case.scenario]
    world = before(case.host, done_before).copy()
    cut = do(world, step, faults_of(case), kill_at=case.nth if case.way == "kill" else 0)
    assert case.way == "full disk" or not cut.ok, case
    if case.way == "kill":
        assert isinstance(cut.raised, KilledError)
    elif case.way == "full disk" and cut.report is None:
        assert isinstance(cut.raised, EngineError), "there was no room for the lock either"
    else:
        check_report(cut, case)
    match case.meanwhile:
        case "reboot":
            world.reboot()
        case "a minute":
            advance(world.machine, 60)  # what guards pf's rules has done its work by then
        case "":
            pass
    for again in INSTEAD.get(case.scenario, (step,)):
        if again.startswith("destroy") and again.partition(" ")[2] not in world.facts().registry:
            continue  # there is nothing of it, or nothing of it was begun
        done = do(world, again)
        assert done.ok, (again, done.trouble, case)
        if again in ("apply", "change"):
            assert world.plan(SPEC if again == "apply" else CHANGED).empty
    assert differences(what_matters(world.machine), goal(case.host, case.scenario)) == [], case


def check_report(cut: Cut, case: Case) -> None:
    """Check that a report says of each change what truly became of it."""
    report = cut.report
    assert report is not None, (case, cut.raised)
    ran = Counter(key(command) for command in cut.host.effective)
    for result in report.results:
        guard = result.change.guard
        commands = [key(command) for command in (*result.change.commands, *(guard.settle if guard else ()))]
        took_effect = Counter(commands) & ran
        ran -= took_effect
        whole = took_effect.total() == len(commands)
        assert result.outcome is not Outcome.DONE or whole, (case, result)
        assert result.outcome is not Outcome.SKIPPED or not took_effect, (case, result)
        assert result.outcome is not Outcome.UNKNOWN or report.connection_lost, (case, result)
        assert (result.outcome is Outcome.FAILED) == (result.failed_at is not None or bool(result.why))
        if result.failed_at is not None:
            assert key(result.failed_at.command) in commands or guard, "the guard has commands of its own"
    told = [result.change.id for result in cut.told if result.outcome in (Outcome.DONE, Outcome.FAILED)]
    assert told == [one for one in told if one in {result.change.id for result in report.results}]
    if case.way == "fail":
        assert len([one for one in report.failures if one.failed_at is not None]) == 1, case
        assert report.remaining is not None, case
        assert not report.remaining.empty, case
    elif case.way != "full disk":
        assert report.connection_lost, case
        assert report.remaining is None, case


def key(command: Command) -> tuple[tuple[str, ...], bytes]:
    # what a secret command is given is made when it is run
    return command.argv, b"" if command.secret else command.stdin


@st.composite
def cases(draw: st.DrawFn) -> Case:
    host, scenario, way = (
        draw(st.sampled_from(list(HOSTS))),
        draw(st.sampled_from(list(SCENARIOS))),
        draw(st.sampled_from(WAYS)),
    )
    nth = draw(st.integers(1, lengths(host, scenario)[way]))
    return Case(host, scenario, way, nth, draw(st.sampled_from(MEANWHILE)))


@given(cases())
def test_a_run_that_was_cut_off_is_made_good_by_the_next(case: Case) -> None:
    check(case)


@pytest.mark.exhaustive
@pytest.mark.parametrize("meanwhile", MEANWHILE)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scenario", list(SCENARIOS))
@pytest.mark.parametrize("host", list(HOSTS))
def test_wherever_it_was_cut_off(host: str, scenario: str, way: Way, meanwhile: Meanwhile) -> None:
    """Each place is one for each way of being cut off; what happens meanwhile takes turns."""
    wrong = []
    first = MEANWHILE.index(meanwhile) + 1
    for nth in range(first, lengths(host, scenario)[way] + 1, len(MEANWHILE)):
        try:
            check(Case(host, scenario, way, nth, meanwhile))
        except AssertionError as error:
            wrong.append((nth, str(error)[:2000]))
    assert not wrong
