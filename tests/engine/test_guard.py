# SPDX-License-Identifier: BSD-2-Clause
"""New rules of pf: loaded, proven over a new connection, or taken back by the host itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engine.conftest import TWO, KilledError, World, agent_spec, fresh, spec_of, what_matters
from warden.engine.guard import PATIENCE
from warden.engine.report import Outcome
from warden.host.fake.faults import Faults
from warden.host.fake.operator import takes_ssh
from warden.host.fake.processes import advance
from warden.resources.change import Stage

if TYPE_CHECKING:
    from warden.engine.report import Report
    from warden.spec.model import Spec

PF_CONF = "/etc/pf.conf"
LOCKING_OUT = "set skip on lo0\nblock in quick on vtnet0 proto tcp to any port 22\npass\n"


@pytest.fixture
def world() -> World:
    return fresh()


@pytest.fixture
def trapped(world: World) -> World:
    """A host whose pf.conf was edited by hand and never loaded: whoever loads it locks everybody out."""
    world.machine.files.write(PF_CONF, LOCKING_OUT.encode())
    assert takes_ssh(world.machine)
    return world


def rules(world: World) -> tuple[list[str], list[str]]:
    main = world.machine.pf.anchors[""]
    return main.nat, main.filter


def armed(world: World) -> list[str]:
    return [name for name in world.machine.files.list_dir("/var/run") if name.startswith("warden.guard")]


def failures(report: Report | None) -> dict[str, str]:
    assert report is not None
    return {one.change.kind: one.why for one in report.failures}


def test_what_proves_itself_stays_and_nothing_is_left_of_the_guard(world: World) -> None:
    done = world.apply(TWO)
    assert done.ok, done.trouble
    assert armed(world) == []
    here = what_matters(world.machine)
    advance(world.machine, 2 * PATIENCE)
    assert what_matters(world.machine) == here
    world.reboot()
    world.sh("/bin/sleep", "10")  # llama-server reads its model
    assert world.plan(TWO).empty


def test_rules_that_lock_everybody_out_are_taken_back_by_the_host(trapped: World) -> None:
    before = rules(trapped)
    cut = trapped.apply(TWO)
    assert not cut.ok
    assert set(failures(cut.report)) == {"pf anchor", "pf hook"}
    assert "nobody answered" in failures(cut.report)["pf hook"]
    assert takes_ssh(trapped.machine)
    assert rules(trapped) == before
    assert trapped.machine.files.read(PF_CONF) == LOCKING_OUT.encode(), "the operator's file is as he left it"
    assert cut.report is not None
    on_it = [one.outcome for one in cut.report.results if one.change.stage is Stage.AGENT]
    assert set(on_it) == {Outcome.SKIPPED}, "nothing is built behind rules that did not hold"
    assert armed(trapped) == []


def test_the_host_takes_them_back_although_the_controller_is_gone(trapped: World) -> None:
    """Killed at each of its round trips, the one after the rules were loaded among them."""
    before = rules(trapped)
    locked_out = 0
    for trip in range(2, 8):
        world = trapped.copy()
        cut = world.apply(TWO, kill_at=trip)
        if not isinstance(cut.raised, KilledError):
            continue
        locked_out += not takes_ssh(world.machine)
        advance(world.machine, PATIENCE + 1)
        assert takes_ssh(world.machine)
        assert rules(world) == before
    assert locked_out, "the controller was never killed while nobody could get in"


def test_a_host_that_is_restarted_in_between_comes_up_with_the_old_rules(world: World) -> None:
    """The connection breaks at each command; whenever that is, a boot reads the old file or the proven one."""
    text = world.machine.files.read(PF_CONF)
    plain = spec_of(agent_spec("atlas", "10.0.1.0/24", services=()))
    states = set()
    for nth in range(1, 60):
        cut_off = world.copy()
        cut = cut_off.apply(plain, Faults(drop_after=nth))
        if cut.ok:
            break
        states.add((bool(armed(cut_off)), cut_off.machine.files.read(PF_CONF) == text))
        cut_off.reboot()
        left = cut_off.machine.files.read(PF_CONF)
        assert (left == text) == ('anchor "warden" all' not in cut_off.machine.pf.anchors[""].filter)
        assert takes_ssh(cut_off.machine)
    assert cut.ok
    assert states == {(False, True), (True, True), (False, False)}, "before, in between, and after"


def test_with_its_file_mended_the_next_apply_goes_through(trapped: World) -> None:
    assert not trapped.apply(TWO).ok
    trapped.machine.files.write(PF_CONF, b"pass\n")
    done = trapped.apply(TWO)
    assert done.ok, done.trouble
    advance(trapped.machine, 2 * PATIENCE)
    assert trapped.plan(TWO).empty


def test_what_is_not_confirmed_is_taken_back_at_once(world: World) -> None:
    before = rules(world)
    asked: list[bool] = []

    def no() -> bool:
        asked.append(takes_ssh(world.machine))
        return False

    cut = world.apply(TWO, confirm=no)
    assert asked == [True]
    assert "nobody confirmed" in failures(cut.report)["pf hook"]
    assert rules(world) == before
    assert armed(world) == []
    assert world.apply(TWO, confirm=lambda: True).ok


def test_a_rule_change_that_fails_half_way_is_taken_back(world: World) -> None:
    before = rules(world)
    cut = world.apply(TWO, Faults(fail_match="pfctl -f /var/run/warden.pf.conf"))
    assert "another change" in failures(cut.report)["pf anchor"]
    assert rules(world) == before
    anchor = world.machine.pf.anchors["warden"]
    assert (anchor.nat, anchor.filter) == ([], [])
    assert armed(world) == []


def cut_off_at(world: World, spec: Spec, nth: int) -> World:
    """Give a copy of the host on which the connection broke after the nth command."""
    copied = world.copy()
    assert not copied.apply(spec, Faults(drop_after=nth)).ok
    return copied


def test_a_job_of_an_apply_that_is_gone_does_not_take_back_what_the_next_one_loads(world: World) -> None:
    plain = spec_of(agent_spec("atlas", "10.0.1.0/24"))
    job_is_armed = next(nth for nth in range(1, 60) if armed(cut_off_at(world, plain, nth)))
    assert not world.apply(plain, Faults(drop_after=job_is_armed + 3)).ok
    assert armed(world)
    advance(world.machine, PATIENCE - 2)
    done = world.apply(plain)
    assert done.ok, done.trouble
    here = what_matters(world.machine)
    advance(world.machine, PATIENCE)
    assert what_matters(world.machine) == here


def test_adding_an_agent_loads_no_rule_and_needs_no_guard(world: World) -> None:
    assert world.apply(TWO).ok
    more = spec_of(*TWO.agents.values(), agent_spec("vera", services=("git",)))
    assert [change.kind for change in world.plan(more).changes if change.guard] == []
    done = world.apply(more)
    assert done.ok
    assert done.host.batches <= 7


def test_rules_that_pfctl_had_put_together_come_back_with_their_table(world: World) -> None:
    """Of six rules alike pfctl makes one, with a table that is gone once others are loaded."""
    desks = ", ".join(f"198.51.100.{number}" for number in range(1, 9))
    text = f"block in on vtnet0\npass in on vtnet0 proto tcp from {{ {desks} }} to any port 22\n"
    world.machine.files.write(PF_CONF, text.encode())
    world.sh("pfctl", "-f", PF_CONF)
    assert any("<__automatic_" in rule for rule in rules(world)[1])
    assert takes_ssh(world.machine)
    world.machine.files.write(PF_CONF, LOCKING_OUT.encode())
    assert not world.apply(TWO).ok
    assert takes_ssh(world.machine)
    assert rules(world)[1][1].endswith("port = ssh flags S/SA keep state")
