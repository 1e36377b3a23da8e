# SPDX-License-Identifier: BSD-2-Clause
"""What a plan is, in which order it is carried out, and what a report says of it."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.engine.conftest import (
    HOLDER,
    TWO,
    KilledError,
    RecordingHost,
    World,
    agent_spec,
    differences,
    fresh,
    lived_in,
    spec_of,
    what_matters,
)
from warden.engine.apply import carry_out
from warden.engine.errors import ConflictsError, EngineError, LockedError, MovedError
from warden.engine.execute import execute
from warden.engine.lock import Holder, take_lock
from warden.engine.plan import dump_json, make_destroy_plan, make_plan, plan_to_json
from warden.engine.report import Outcome
from warden.facts.base_system import BEGUN
from warden.facts.probe import read_facts
from warden.host.command import Result
from warden.host.errors import ConnectionLostError
from warden.host.fake.faults import Faults
from warden.host.fake.host import FakeSession
from warden.resources.change import Stage
from warden.resources.errors import RefusedError

if TYPE_CHECKING:
    from warden.engine.plan import Plan
    from warden.facts.model import Facts
    from warden.host.command import Command, Session
    from warden.host.fake.machine import Machine
    from warden.spec.model import Service, Spec

JSON_KEYS = {"version", "host", "release", "facts", "plan", "agents", "changes", "conflicts", "notes"}
CHANGE_KEYS = {"id", "kind", "name", "agent", "action", "stage", "detail", "reason", "commands"}


read_two = partial(read_facts, agents=list(TWO.agents))


def many(count: int, services: tuple[Service, ...] = ("git",)) -> Spec:
    """Give a spec of many agents, none of which says where its subnet is."""
    return spec_of(*(agent_spec(f"agent{number:03d}x", None, services) for number in range(count)))


def ids(world: World, spec: Spec) -> list[str]:
    return [change.id for change in world.plan(spec).changes]


def test_the_same_spec_and_facts_give_the_same_plan(world: World) -> None:
    facts = world.facts(*TWO.agents)
    first, second = (make_plan(TWO, list(TWO.agents), facts) for _ in range(2))
    assert first == second
    assert first.digest == second.digest
    assert dump_json(plan_to_json(first)) == dump_json(plan_to_json(second))
    # reading changes nothing, so the next probe says the same
    assert make_plan(TWO, list(TWO.agents), world.facts(*TWO.agents)) == first


def test_the_plan_of_a_converged_host_is_empty_also_after_a_reboot(world: World) -> None:
    assert world.apply(TWO).ok
    assert world.plan(TWO).empty
    before = what_matters(world.machine)
    world.reboot()
    # an apply would wait until the model has been read
    assert [(change.id, change.reason) for change in world.plan(TWO).changes] == [
        ("llama-cpp:clawdiellm", "loading model")
    ]
    world.sh("/bin/sleep", "10")
    assert world.plan(TWO).empty
    assert differences(what_matters(world.machine), before) == []


def test_the_json_is_stable_and_has_no_secret(world: World) -> None:
    plan = plan_to_json(world.plan(TWO))
    assert set(plan) == JSON_KEYS
    assert all(set(change) == CHANGE_KEYS for change in plan["changes"])
    text = dump_json(plan)
    assert json.loads(text) == plan
    assert "hush" not in text
    environment = [
        command
        for change in plan["changes"]
        if change["id"] == "environment:clawdie"
        for command in change["commands"]
        if command["secret"]
    ]
    assert [set(command) for command in environment] == [{"secret", "command"}]


def test_a_report_that_failed_at_a_secret_command_does_not_tell_it(world: World) -> None:
    cut = world.apply(TWO, Faults(fail_match="clawdie.env"))
    assert cut.report is not None
    assert [failed.change.id for failed in cut.report.failures] == ["environment:clawdie"]
    assert "hush" not in repr(cut.report)


def test_ids_are_unique_and_nothing_has_no_command(world: World) -> None:
    changes = world.plan(TWO).changes
    assert len({change.id for change in changes}) == len(changes)
    assert all(change.commands for change in changes)


def test_the_registry_comes_before_everything_and_goes_after_it(world: World) -> None:
    assert ids(world, TWO)[:3] == ["registry:clawdie", "registry:atlas", "record:host.toml"]
    assert world.apply(TWO).ok
    leaving = [change.id for change in make_destroy_plan(TWO.network, "atlas", world.facts("atlas")).changes]
    assert leaving[-1] == "registry:atlas"
    assert world.destroy("atlas").ok
    last = [change.id for change in make_destroy_plan(TWO.network, "clawdie", world.facts("clawdie")).changes]
    assert last[-1] == "record:/usr/local/etc/warden"


def test_a_service_starts_after_its_jails_and_stops_before_them(world: World) -> None:
    names = ids(world, TWO)
    assert names.index("service:atlas") > max(names.index(f"jail:atlas{service}") for service in ("git", "cms", "db"))
    assert world.apply(TWO).ok
    leaving = [change.id for change in make_destroy_plan(TWO.network, "atlas", world.facts("atlas")).changes]
    assert leaving.index("service:atlas") < min(
        leaving.index(f"jail:atlas{service}") for service in ("git", "cms", "db")
    )


def test_pf_gets_its_table_files_before_the_rules_and_the_rules_before_the_hooks(world: World) -> None:
    plan = world.plan(TWO)
    names = [change.id for change in plan.changes]
    order = ["bridge:warden0", "pf table:warden_net", "pf anchor:warden", "service:warden_pf", "pf hook:/etc/pf.conf"]
    assert sorted(order, key=names.index) == order
    assert [change.stage for change in plan.changes] == sorted(change.stage for change in plan.changes)


def test_the_ruleset_for_jails_is_there_before_the_first_jail(world: World) -> None:
    changes = {change.id: change for change in world.plan(TWO).changes}
    assert changes["devfs ruleset:13"].stage is Stage.FIRST
    assert changes["jail:atlasgit"].stage is Stage.AGENT


@pytest.mark.parametrize("count", [1, 200])
def test_round_trips_do_not_grow_with_the_agents(world: World, count: int) -> None:
    host = RecordingHost(world.machine)
    read_facts(host, many(count).agents)
    assert host.batches == 1
    applied = world.apply(many(count))
    assert applied.ok, applied.trouble
    assert applied.host.batches <= 7
    again = world.apply(many(count))
    assert again.ok
    assert again.host.batches == 1
    destroyed = world.destroy("agent000x")
    assert destroyed.ok, destroyed.trouble
    assert destroyed.host.batches <= 7


def test_a_converged_host_is_only_read(world: World) -> None:
    assert world.apply(TWO).ok
    faults = Faults()
    applied = world.apply(TWO, faults)
    assert applied.ok
    assert faults.counted == 0
    assert applied.host.batches == 1


def test_an_agent_that_fails_does_not_stop_the_others(world: World) -> None:
    cut = world.apply(TWO, Faults(fail_match="atlascms 15.1-RELEASE"))
    assert cut.report is not None
    outcomes = {result.change.id: result.outcome for result in cut.report.results}
    assert outcomes["jail:atlasgit"] is Outcome.DONE
    assert outcomes["jail:atlascms"] is Outcome.FAILED
    assert outcomes["jail:atlasdb"] is outcomes["service:atlas"] is Outcome.SKIPPED
    assert {outcome for name, outcome in outcomes.items() if "clawdie" in name} == {Outcome.DONE}
    assert cut.report.remaining is not None
    # atlasgit is done; what still differs is named
    assert {change.id for change in cut.report.remaining.changes} == {
        *("jail:atlascms", "jail:atlasdb", "key:atlas", "environment:atlas"),
        *("git:atlasgit", "cms:atlascms", "db:atlasdb", "service:atlas"),
    }


def test_an_agent_that_fails_keeps_what_comes_last(world: World) -> None:
    assert world.apply(TWO).ok
    cut = world.destroy("atlas", Faults(fail_match="jails/atlascms"))
    assert cut.report is not None
    outcomes = {result.change.id: result.outcome for result in cut.report.results}
    assert outcomes["service:atlas"] is Outcome.DONE
    assert outcomes["jail:atlascms"] is Outcome.FAILED
    last = {outcomes[change.id] for change in cut.report.plan.changes if change.stage is Stage.LAST}
    assert last == {Outcome.SKIPPED}
    assert "atlas" in world.facts().registry


def test_what_goes_with_the_last_agent_stays_as_long_as_anything_of_it_does(world: World) -> None:
    assert world.apply(spec_of(TWO.agents["clawdie"])).ok
    cut = world.destroy("clawdie", Faults(fail_match="jails/clawdiedb"))
    assert cut.report is not None
    assert not cut.ok
    assert "clawdie" in world.facts().registry
    assert world.facts().host_record.rc_conf_before
    assert world.destroy("clawdie").ok
    assert differences(what_matters(world.machine), what_matters(fresh().machine)) == []


def test_a_host_wide_change_that_fails_keeps_all_agents_back(world: World) -> None:
    cut = world.apply(TWO, Faults(fail_match="net.inet.ip.forwarding=1"))
    assert cut.report is not None
    later = [result.outcome for result in cut.report.results if result.change.stage is Stage.AGENT]
    assert set(later) == {Outcome.SKIPPED}
    assert world.machine.jails == {}


def test_a_second_apply_is_told_who_holds_the_host(world: World) -> None:
    host = RecordingHost(world.machine)
    other = Holder(who="anna@desk", what="applying warden.toml", since="2026-11-21T05:00:00+00:00")
    session = take_lock(host, other)
    before = what_matters(world.machine)
    with pytest.raises(LockedError, match=r"anna@desk, applying warden\.toml, since 2026-11-21T05:00:00"):
        carry_out(host, read_two, lambda facts: make_plan(TWO, list(TWO.agents), facts), HOLDER)
    assert differences(what_matters(world.machine), before) == []
    session.close()
    assert world.apply(TWO).ok


def test_a_plan_that_was_shown_is_read_again_only_under_the_lock(world: World) -> None:
    shown = world.plan(TWO)
    again = world.copy()
    host = RecordingHost(world.machine)
    make = partial(make_plan, TWO, list(TWO.agents))
    assert carry_out(host, read_two, make, HOLDER, shown=shown).ok
    assert host.batches == again.apply(TWO).host.batches - 1


def test_a_lock_that_cannot_be_taken_says_why(world: World) -> None:
    class LocklessHost(RecordingHost):
        def __init__(self, machine: Machine, exit_code: int) -> None:
            super().__init__(machine)
            self.exit_code = exit_code

        def open(self, command: Command) -> Session:
            return FakeSession(Result(command=command, exit_code=self.exit_code, stdout=b"no such thing"), None)

    for exit_code, hint in ((127, "part of FreeBSD"), (126, "part of FreeBSD"), (73, "must be root")):
        with pytest.raises(EngineError, match=f"lockf exits {exit_code}: no such thing") as caught:
            take_lock(LocklessHost(world.machine, exit_code), HOLDER)
        assert hint in caught.value.hint


def test_verify_names_what_still_differs(world: World) -> None:
    """A command that says 0 and does nothing is found out."""

    def forget_one(facts: Facts) -> Plan:
        whole = make_plan(TWO, list(TWO.agents), facts)
        kept = tuple(change for change in whole.changes if change.id != "gateway:10.0.1.1/24")
        return whole if facts.registry else replace(whole, changes=kept)

    report = carry_out(RecordingHost(world.machine), read_two, forget_one, HOLDER)
    assert not report.ok
    assert report.remaining is not None
    assert [change.id for change in report.remaining.changes][:1] == ["gateway:10.0.1.1/24"]


def test_a_plan_that_was_shown_is_not_carried_out_on_a_host_that_moved(world: World) -> None:
    shown = world.plan(TWO)
    world.sh("sysctl", "net.inet.ip.forwarding=1")
    before = what_matters(world.machine)
    with pytest.raises(MovedError):
        carry_out(
            RecordingHost(world.machine),
            read_two,
            lambda facts: make_plan(TWO, list(TWO.agents), facts),
            HOLDER,
            shown=shown,
        )
    assert differences(what_matters(world.machine), before) == []


def test_conflicts_keep_everything_from_being_done(world: World) -> None:
    world.sh("ifconfig", "bridge", "create", "name", "warden0")
    before = what_matters(world.machine)
    cut = world.apply(TWO)
    assert isinstance(cut.raised, ConflictsError)
    assert differences(what_matters(world.machine), before) == []


@pytest.mark.parametrize("stage", list(Stage))
def test_a_connection_that_breaks_is_told_with_all_that_was_done(world: World, stage: Stage) -> None:
    assert world.apply(TWO).ok
    spec = spec_of(*TWO.agents.values(), agent_spec("vera", services=("git",)))
    plan = (
        world.plan(spec) if stage is not Stage.LAST else make_destroy_plan(TWO.network, "atlas", world.facts("atlas"))
    )
    host = RecordingHost(world.machine, Faults(drop_before=1))
    report = execute(host, replace(plan, changes=tuple(change for change in plan.changes if change.stage >= stage)))
    assert report.connection_lost
    assert report.results[0].outcome is Outcome.UNKNOWN
    assert {result.outcome for result in report.results[1:]} <= {Outcome.SKIPPED}


def test_a_connection_that_breaks_while_the_host_is_read_back_still_gives_the_report(world: World) -> None:
    class LosingHost(RecordingHost):
        def _round_trip(self) -> None:
            super()._round_trip()
            if self.batches == 7:  # probe, lock, probe, rules, proof, agents; and now the probe that verifies
                raise ConnectionLostError("gone", ran=[], unknown=[], not_run=[])

    report = carry_out(
        LosingHost(world.machine),
        read_two,
        lambda facts: make_plan(TWO, list(TWO.agents), facts),
        HOLDER,
    )
    assert report.connection_lost
    assert not report.ok
    assert {result.outcome for result in report.results} == {Outcome.DONE}
    assert world.plan(TWO).empty


def test_a_controller_that_is_killed_leaves_no_lock(world: World) -> None:
    for trip in range(2, 8):
        again = world.copy()
        assert isinstance(again.apply(TWO, kill_at=trip).raised, KilledError)
        assert again.apply(TWO).ok


def test_an_operators_own_things_stay_as_they_are() -> None:
    """Everything but what Warden says that it changes: and once it has gone, that as well."""
    world = lived_in()
    before = what_matters(world.machine)
    assert world.apply(TWO).ok
    here = what_matters(world.machine)
    for part in ("interfaces", "jails", "datasets"):
        assert {name: here[part].get(name) for name in before[part]} == before[part], part
    assert set(before["rc.conf"]) - set(here["rc.conf"]) == {'cloned_interfaces="lo1 bridge5"', 'gateway_enable="NO"'}
    assert here["devfs"][77] == before["devfs"][77]
    assert {*before["pf"][""][1]} <= {*here["pf"][""][1]}
    changed = {path for path in before["files"] if here["files"].get(path) != before["files"][path]}
    accounts = {f"/etc/{name}" for name in ("group", "master.passwd", "passwd", "pwd.db", "spwd.db")}
    assert changed <= {"/etc/pf.conf", "/etc/devfs.rules", "/etc/hosts"} | accounts
    for agent in ("atlas", "clawdie"):
        assert world.destroy(agent).ok
    assert differences(what_matters(world.machine), before) == []


def test_a_release_that_was_not_bootstrapped_to_its_end_is_none(world: World) -> None:
    world.machine.files.make_dir("/usr/local/etc/warden", parents=True)
    world.machine.files.write(f"{BEGUN}15.1-RELEASE", b"begun\n")
    with pytest.raises(RefusedError, match=r"15.1-RELEASE, which was not bootstrapped to its end") as refused:
        world.plan(TWO)
    assert "warden host bootstrap --release 15.1-RELEASE" in refused.value.hint
