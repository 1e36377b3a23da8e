# SPDX-License-Identifier: BSD-2-Clause
"""Workers: made and destroyed at request, left alone by every apply, and gone without a trace."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.engine.conftest import (
    HOLDER,
    TWO,
    Cut,
    RecordingHost,
    World,
    agent_spec,
    boot_agrees,
    differences,
    fresh,
    spec_of,
    what_matters,
)
from warden.engine.apply import carry_out
from warden.engine.doctor import examine, read_host
from warden.engine.errors import ConflictsError, MovedError
from warden.engine.gc import find_orphans, make_gc_plan
from warden.engine.plan import make_destroy_plan
from warden.engine.status import read_status
from warden.engine.worker import (
    MOST,
    Order,
    check_names,
    make_create_plan,
    make_worker_destroy_plan,
    read_workers,
)
from warden.facts.probe import read_facts
from warden.host.fake.faults import Faults
from warden.network.errors import NetworkError
from warden.resources import mac
from warden.resources.errors import RefusedError
from warden.spec.model import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from warden.engine.plan import Plan
    from warden.facts.model import Facts
    from warden.host.command import Host

BRIDGE = "warden0"
JAILS = "/usr/local/bastille/jails"
REGISTRY = "/usr/local/etc/warden/agents/atlas.toml"
ONE = spec_of(agent_spec("atlas", "10.0.1.0/24", ("git",)))
LIMITS = Limits(memory=1 << 30, processes=100, cpu=50, quota=5 << 30)
NO_TRACES = ("/var/db/warden/journal", "/var/run/")
"""What was done is told, and what holds until the next boot is in nobody's way."""
STEP = 1 if os.environ.get("WARDEN_EXHAUSTIVE") else 4


@pytest.fixture(scope="session")
def _settled() -> World:
    world = fresh()
    cut = world.apply(ONE)
    assert cut.ok, cut.trouble
    return world


@pytest.fixture
def settled(_settled: World) -> World:
    """Give a world of one's own with the agent atlas, who has a git jail."""
    return _settled.copy()


def order(created: str = "one", count: int = 1, limits: Limits = LIMITS) -> Order:
    return Order(count=count, limits=limits, created=created)


def carry(world: World, make: Callable[[Facts], Plan], faults: Faults | None = None, *, kill_at: int = 0) -> Cut:
    return world._carry_out(["atlas"], make, faults, kill_at)


def create(world: World, wanted: Order, faults: Faults | None = None, *, kill_at: int = 0, agent: str = "atlas") -> Cut:
    return carry(world, partial(make_create_plan, BRIDGE, agent, wanted), faults, kill_at=kill_at)


def destroy(world: World, *names: str, faults: Faults | None = None, kill_at: int = 0) -> Cut:
    return carry(world, partial(make_worker_destroy_plan, BRIDGE, "atlas", names or None), faults, kill_at=kill_at)


def workers(world: World) -> dict[str, tuple[str, str]]:
    return {one.name: (one.address, one.state) for one in read_workers(world.facts())}


def whole(world: World) -> dict[str, Any]:
    """Give all of a host that a worker could leave something in."""
    machine = world.machine
    return {
        **what_matters(machine),
        "all datasets": {name: dict(one.properties) for name, one in machine.datasets.items() if "@" not in name},
        "rctl": sorted(machine.rctl),
        "everything": sorted(path for path, _ in machine.files.walk("/") if not path.startswith(NO_TRACES)),
        "processes": sorted(str(process.argv) for process in machine.processes.values() if process.jail),
    }


def test_a_worker_has_its_address_its_limits_and_the_workspace(settled: World) -> None:
    cut = create(settled, order())
    assert cut.ok, cut.trouble
    assert workers(settled) == {"atlasw01": ("10.0.1.101", "up")}
    rules = settled.sh("/usr/bin/rctl", "jail:atlasw01").split()
    assert sorted(rules) == [
        "jail:atlasw01:maxproc:deny=100",
        "jail:atlasw01:memoryuse:deny=1073741824",
        "jail:atlasw01:pcpu:deny=50",
    ]
    dataset = settled.facts().datasets["zroot/bastille/jails/atlasw01"]
    assert (dataset.agent, dataset.quota) == ("atlas", 5 << 30)
    settled.sh("/usr/sbin/jexec", "atlasw01", "/usr/bin/touch", "/workspace/done")
    assert settled.machine.files.exists("/var/db/warden/atlas/workspace/done")
    settings = settled.machine.files.text(f"{JAILS}/atlasw01/settings.conf")
    assert 'boot="off"' in settings
    assert 'priority="90"' in settings
    bastille = settled.facts().bastille_jails["atlasw01"]
    assert bastille.thin
    assert settled.facts().running_jails["atlasw01"].devfs_ruleset == 13


def test_the_agent_is_told_where_its_new_workers_are(settled: World) -> None:
    cut = create(settled, order(count=2))
    assert cut.report is not None
    assert cut.report.remaining is not None
    assert {note.message for note in cut.report.remaining.notes} == {
        "atlasw01 is at 10.0.1.101",
        "atlasw02 is at 10.0.1.102",
    }


def test_only_its_own_agents_workspace_is_in_a_worker() -> None:
    world = fresh()
    assert world.apply(TWO).ok
    for name in ("atlas", "clawdie"):
        assert create(world, order(), agent=name).ok
    mounted = {
        mount.point.removeprefix(f"{JAILS}/"): mount.source
        for mount in world.machine.files.mounted()
        if mount.point.endswith("/workspace") and mount.point.startswith(JAILS)
    }
    assert mounted == {
        "atlasw01/root/workspace": "/var/db/warden/atlas/workspace",
        "clawdiew01/root/workspace": "/var/db/warden/clawdie/workspace",
    }


def test_every_worker_has_a_mac_address_of_its_own(settled: World) -> None:
    # what its name decides is another jail's already
    wished = mac.free("atlasw01", ())
    settled.sh("ifconfig", "e0a_atlasgit", "ether", f"{wished}a")
    assert create(settled, order(count=3)).ok
    assert settled.sh("ifconfig", "-j", "atlasw02", "vnet0").count(f"{mac.free('atlasw02', ())}b") == 1
    ethers = {name: one.ether for name, one in settled.facts().interfaces.items() if name.startswith("e0a_")}
    assert ethers["e0a_atlasgit"] == f"{wished}a"
    assert len(set(ethers.values())) == len(ethers) == 4


def test_an_apply_leaves_workers_alone_and_keeps_their_entries(settled: World) -> None:
    assert create(settled, order(count=2)).ok
    assert settled.plan(ONE).empty
    entry = settled.machine.files.text(REGISTRY)
    before = {name: jail.jid for name, jail in settled.machine.jails.items()}
    more = spec_of(agent_spec("atlas", "10.0.1.0/24", ("git", "cms")))
    cut = settled.apply(more)
    assert cut.ok, cut.trouble
    assert entry.partition("[workers.")[2] == settled.machine.files.text(REGISTRY).partition("[workers.")[2]
    assert {name: settled.machine.jails[name].jid for name in before} == before
    assert destroy(settled).ok
    assert settled.plan(more).empty


def test_a_workers_name_and_address_are_taken(settled: World) -> None:
    assert create(settled, order()).ok
    atlas = ONE.agents["atlas"]
    for jail in ({"address": settled.facts().registry["atlas"].workers["w01"].address}, {"name": "atlasw0"}):
        spec = replace(
            atlas,
            services=("git", "cms"),
            jails={**atlas.jails, "cms": replace(atlas.jails["cms"], **jail)},
        )
        with pytest.raises((RefusedError, NetworkError), match="w01"):
            settled.plan(spec_of(spec))


@pytest.mark.parametrize("count", [1, 3])
def test_a_destroyed_worker_leaves_no_trace(settled: World, count: int) -> None:
    before = whole(settled)
    assert create(settled, order(count=count)).ok
    assert whole(settled)["everything"] != before["everything"]
    cut = destroy(settled)
    assert cut.ok, cut.trouble
    assert whole(settled) == before
    boot_agrees(settled)


def test_rules_that_outlived_a_killed_jail_go_as_well(settled: World) -> None:
    assert create(settled, order()).ok
    settled.sh("jail", "-R", "atlasw01")
    assert settled.machine.rctl
    assert destroy(settled.copy()).ok
    settled.sh("zfs", "inherit", "warden:agent", "zroot/bastille/jails/atlasw01")
    assert create(settled, order("two", limits=Limits(processes=7))).ok
    assert settled.sh("/usr/bin/rctl").split() == ["jail:atlasw01:maxproc:deny=7"]
    settled.sh("jail", "-R", "atlasw01")
    assert destroy(settled).ok
    assert settled.machine.rctl == []


def test_one_of_several_goes_by_name_or_number_and_its_number_is_free_again(settled: World) -> None:
    assert create(settled, order(count=3)).ok
    assert destroy(settled, "w01").ok
    assert destroy(settled, "atlasw03").ok
    assert workers(settled) == {"atlasw02": ("10.0.1.102", "up")}
    assert create(settled, order("two")).ok
    assert set(workers(settled)) == {"atlasw01", "atlasw02"}


def test_what_is_in_the_workspace_outlives_the_worker(settled: World) -> None:
    assert create(settled, order()).ok
    settled.sh("/usr/sbin/jexec", "atlasw01", "/usr/bin/touch", "/workspace/done")
    assert destroy(settled).ok
    assert settled.machine.files.exists("/var/db/warden/atlas/workspace/done")


def test_a_reboot_leaves_workers_down_and_they_can_still_be_destroyed(settled: World) -> None:
    before = whole(settled.copy())
    assert create(settled, order(count=2)).ok
    settled.reboot()
    assert workers(settled) == {"atlasw01": ("10.0.1.101", "down"), "atlasw02": ("10.0.1.102", "down")}
    assert settled.plan(ONE).empty
    assert all(agent.healthy for agent in read_status(settled.facts(), BRIDGE))
    assert create(settled, order("two")).ok
    assert workers(settled)["atlasw01"][1] == "down", "those that are there stay as they are"
    assert destroy(settled).ok
    after = whole(settled)
    rebooted = {"processes", "mounts"}
    assert {part: after[part] for part in before if part not in rebooted} == {
        part: before[part] for part in before if part not in rebooted
    }


def test_what_was_ordered_at_once_gets_numbers_of_its_own(settled: World) -> None:
    """What was planned before another one's workers were made is planned again under the lock."""
    make = partial(make_create_plan, BRIDGE, "atlas", order("mine"))
    seen: list[Facts] = []

    def read(host: Host) -> Facts:
        facts = read_facts(host, ["atlas"])
        if not seen:
            assert create(settled, order("another's", count=2)).ok
        seen.append(facts)
        return facts

    report = carry_out(RecordingHost(settled.machine), read, make, HOLDER)
    assert report.ok
    assert workers(settled).keys() == {"atlasw01", "atlasw02", "atlasw03"}
    assert settled.facts().registry["atlas"].workers["w03"].created == "mine"


def test_a_plan_that_was_shown_is_not_carried_out_with_other_numbers(settled: World) -> None:
    make = partial(make_create_plan, BRIDGE, "atlas", order("mine"))
    shown = make(settled.facts("atlas"))
    assert create(settled, order("another's")).ok
    with pytest.raises(MovedError):
        carry_out(RecordingHost(settled.machine), partial(read_facts, agents=["atlas"]), make, HOLDER, shown=shown)
    assert set(workers(settled)) == {"atlasw01"}


def test_all_numbers_taken_is_refused(settled: World) -> None:
    facts = settled.facts("atlas")
    many = {f"w{number:02}": number for number in range(1, MOST + 1)}
    atlas = facts.registry["atlas"]
    assert create(settled, order()).ok
    pattern = settled.facts("atlas").registry["atlas"].workers["w01"]
    there = {
        slot: replace(pattern, name=f"atlas{slot}", address=atlas.subnet[100 + number]) for slot, number in many.items()
    }
    marked = {
        f"zroot/bastille/jails/{one.name}": replace(
            facts.datasets["zroot/bastille/jails/atlasgit"], mountpoint=f"{JAILS}/{one.name}"
        )
        for one in there.values()
    }
    full = replace(
        facts,
        registry={"atlas": replace(atlas, workers=there)},
        datasets={**facts.datasets, **marked},
    )
    with pytest.raises(RefusedError, match="49 of 49 are taken") as refused:
        make_create_plan(BRIDGE, "atlas", order("two"), full)
    assert "warden worker destroy" in refused.value.hint
    now = settled.facts("atlas")
    with pytest.raises(RefusedError, match="no number free for 1 of 49"):
        make_create_plan(BRIDGE, "atlas", order("two", count=MOST), now)


def test_a_number_whose_jail_or_address_is_somebody_elses_is_left_out(settled: World) -> None:
    settled.sh("ifconfig", "bridge9", "create")
    settled.sh("bastille", "create", "-B", "-M", "atlasw01", "15.1-RELEASE", "172.31.9.2/24", "bridge9")
    settled.sh("bastille", "create", "-B", "-M", "other", "15.1-RELEASE", "10.0.1.102/24", BRIDGE)
    before = settled.machine.jails["atlasw01"].jid
    assert create(settled, order()).ok
    assert workers(settled) == {"atlasw03": ("10.0.1.103", "up")}
    assert destroy(settled).ok
    assert settled.machine.jails["atlasw01"].jid == before


def test_limits_are_refused_where_the_kernel_keeps_none(settled: World) -> None:
    facts = replace(settled.facts("atlas"), rctl=None)
    with pytest.raises(RefusedError, match="keeps no resource limits, and atlas is to have some"):
        make_create_plan(BRIDGE, "atlas", order(), facts)
    assert make_create_plan(BRIDGE, "atlas", order(limits=Limits(quota=1 << 30)), facts).changes


def test_what_a_worker_needs_and_the_host_lacks_is_refused(settled: World) -> None:
    facts = settled.facts("atlas")
    with pytest.raises(RefusedError, match="has no agent rook"):
        make_create_plan(BRIDGE, "rook", order(), facts)
    with pytest.raises(RefusedError, match=r"10.0.1.1 is not on warden7"):
        make_create_plan("warden7", "atlas", order(), facts)
    with pytest.raises(RefusedError, match=r"atlas needs 14.9-RELEASE"):
        make_create_plan(BRIDGE, "atlas", replace(order(), release="14.9-RELEASE"), facts)
    with pytest.raises(RefusedError, match="atlas has no worker w07") as refused:
        check_names("atlas", ["w07"], facts)
    assert refused.value.hint == "its workers: none"


def test_an_agent_without_jails_can_have_workers() -> None:
    world = fresh()
    alone = spec_of(agent_spec("atlas", "10.0.1.0/24", ()))
    assert world.apply(alone).ok
    before = world.facts()
    assert before.devfs_ruleset_13 == ()
    ordered = replace(order(), release="15.1-RELEASE")
    cut = create(world, ordered)
    assert cut.ok, cut.trouble
    assert workers(world) == {"atlasw01": ("10.0.1.101", "up")}
    assert world.plan(alone).empty
    assert destroy(world).ok
    assert world.destroy("atlas").ok
    assert differences(what_matters(world.machine), what_matters(fresh().machine)) == []


def test_the_agents_end_takes_its_workers_along_and_keeps_nothing_of_them(settled: World) -> None:
    assert create(settled, order(count=2)).ok
    plan = make_destroy_plan(ONE.network, "atlas", settled.facts("atlas"), keep_data=True)
    names = [change.id for change in plan.changes]
    assert names.index("worker:atlasw02") < names.index("jail:atlasgit") < names.index("storage:atlas")
    cut = settled.destroy("atlas", spec=ONE)
    assert cut.ok, cut.trouble
    assert differences(what_matters(settled.machine), what_matters(fresh().machine)) == []
    assert settled.machine.rctl == []
    assert not [name for name in settled.machine.datasets if "w01" in name or "w02" in name]


def test_workers_are_no_orphans_unless_their_agents_entry_is_gone(settled: World) -> None:
    assert create(settled, order()).ok
    assert find_orphans(settled.facts()) == ()
    settled.reboot()
    assert find_orphans(settled.facts()) == ()
    settled.sh("/bin/rm", REGISTRY)
    assert "jail:atlasw01" in {change.id for change in find_orphans(settled.facts())}
    cut = carry(settled, make_gc_plan)
    assert cut.ok, cut.trouble
    assert "atlasw01" not in settled.facts().bastille_jails
    assert "zroot/bastille/jails/atlasw01" not in settled.machine.datasets


def ways(length: int, batches: int) -> list[tuple[str, int]]:
    """Give where a run of so many commands, of which the last writes the journal, can be cut off."""
    return [
        *(("fail", at) for at in range(1, length, STEP)),
        *(("drop", at) for at in range(2, length, STEP)),
        *(("kill", at) for at in range(2, batches + 1)),
    ]


def faults_of(way: str, at: int) -> Faults | None:
    return {"fail": Faults(fail_nth=at), "drop": Faults(drop_after=at), "kill": None}[way]


def test_a_create_may_be_cut_off_anywhere_and_done_again(settled: World) -> None:
    goal = settled.copy()
    counting = Faults()
    done = create(goal, order(count=2), counting)
    assert done.ok
    before, goal_now = whole(settled), what_matters(goal.machine)
    for way, at in ways(counting.counted, done.host.batches):
        cut_off = settled.copy()
        assert not create(cut_off, order(count=2), faults_of(way, at), kill_at=at if way == "kill" else 0).ok
        instead = cut_off.copy()
        if at % 2:
            cut_off.reboot()
        made = sum(state != "unfinished" for _, state in workers(cut_off).values())
        if made < 2:
            # what is whole stays, and what is not is made anew
            again = create(cut_off, order("again", count=2 - made))
            assert again.ok, (way, at, again.trouble)
        assert workers(cut_off).keys() == {"atlasw01", "atlasw02"}, (way, at)
        if not at % 2:
            after = what_matters(cut_off.machine)
            left = [one for one in differences(after, goal_now) if "atlas.toml" not in one]
            assert left == [], (way, at)
        gone = destroy(instead)
        assert gone.ok, (way, at, gone.trouble)
        assert whole(instead) == before, (way, at)


def test_a_destroy_may_be_cut_off_anywhere_and_done_again(settled: World) -> None:
    before = whole(settled)
    assert create(settled, order(count=2)).ok
    counting = Faults()
    done = destroy(settled.copy(), faults=counting)
    assert done.ok
    for way, at in ways(counting.counted, done.host.batches):
        cut_off = settled.copy()
        assert not destroy(cut_off, faults=faults_of(way, at), kill_at=at if way == "kill" else 0).ok
        if at % 2:
            cut_off.reboot()
        assert cut_off.plan(ONE).empty, (way, at)
        again = destroy(cut_off)
        assert again.ok, (way, at, again.trouble)
        after = whole(cut_off)
        for part in before:
            if not (at % 2 and part in ("processes", "mounts")):
                assert after[part] == before[part], (way, at, part)


def test_the_agents_end_may_be_cut_off_anywhere_and_done_again(settled: World) -> None:
    assert create(settled, order()).ok
    counting = Faults()
    assert settled.copy().destroy("atlas", counting, spec=ONE).ok
    for at in range(1, counting.counted, STEP):
        cut_off = settled.copy()
        assert not cut_off.destroy("atlas", Faults(fail_nth=at), spec=ONE).ok
        again = cut_off.destroy("atlas", spec=ONE)
        assert again.ok, (at, again.trouble)
        assert differences(what_matters(cut_off.machine), what_matters(fresh().machine)) == []
        assert cut_off.machine.rctl == []


def test_doctor_and_status_tell_of_workers(settled: World) -> None:
    assert create(settled, order()).ok
    assert not create(settled, order("two"), Faults(fail_match="create -B -M")).ok
    [agent] = read_status(settled.facts(), BRIDGE)
    assert agent.healthy
    assert [(one.name, one.state) for one in agent.workers] == [("atlasw01", "up"), ("atlasw02", "unfinished")]
    found = examine(read_host(RecordingHost(settled.machine), ["atlas"], None), ONE.network)
    told = {one.subject: (one.status, one.message) for one in found if one.subject.startswith("worker")}
    assert told == {
        "worker atlasw01": ("ok", "10.0.1.101, up"),
        "worker atlasw02": ("warning", "its create was cut off"),
    }
    assert [one for one in found if one.status != "ok"] == [one for one in found if one.subject == "worker atlasw02"]


def test_a_begun_worker_whose_name_somebody_took_is_a_conflict(settled: World) -> None:
    assert not create(settled, order(), Faults(fail_match="create -B -M")).ok
    assert workers(settled) == {"atlasw01": ("10.0.1.101", "unfinished")}
    settled.sh("ifconfig", "bridge9", "create")
    settled.sh("bastille", "create", "-B", "-M", "atlasw01", "15.1-RELEASE", "172.31.9.2/24", "bridge9")
    cut = create(settled, order("two"))
    assert isinstance(cut.raised, ConflictsError)
    assert destroy(settled).ok
    assert "atlasw01" in settled.machine.jails
    assert workers(settled) == {}
