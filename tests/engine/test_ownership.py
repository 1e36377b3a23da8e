# SPDX-License-Identifier: BSD-2-Clause
"""What is whose: foreign things are conflicts with a name, drift shows both values, and what goes is kept."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING

import pytest

from tests.engine.conftest import (
    HOLDER,
    TWO,
    Cut,
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
from warden.engine.errors import ConflictsError
from warden.engine.plan import (
    check_replaces,
    make_destroy_plan,
    make_gone_plan,
    make_plan,
    plan_to_json,
    unnamed,
)
from warden.facts.model import RunningJail
from warden.facts.probe import read_facts
from warden.host.fake import datasets
from warden.host.fake.faults import Faults
from warden.host.fake.machine import Pool
from warden.resources.errors import RefusedError
from warden.spec.model import JailSpec, Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from warden.engine.plan import Plan
    from warden.facts.model import Facts
    from warden.spec.model import Spec

ONE = spec_of(agent_spec("atlas", "10.0.1.0/24", ("git", "db")))
WAYS = ("fail_nth", "drop_before", "drop_after")
STEP = 1 if os.environ.get("WARDEN_EXHAUSTIVE") else 6
"""Cut off at every command is a long run, and at some of them an everyday one."""

SCRIPT = b"""#!/bin/sh
# PROVIDE: atlas
. /etc/rc.subr
name="atlas"
rcvar="atlas_enable"
load_rc_config $name
command="/usr/local/bin/node"
run_rc_command "$1"
"""


def run(world: World, make: Callable[[Facts], Plan], faults: Faults | None = None) -> Cut:
    """Carry out a plan of any kind."""
    cut = Cut(RecordingHost(world.machine, faults))
    try:
        cut.report = carry_out(cut.host, partial(read_facts, agents=["atlas", "clawdie"]), make, HOLDER)
    except Exception as error:  # noqa: BLE001 - whatever ends a run, the next one has to go on from there
        cut.raised = error
    return cut


def cut_at(way: str, nth: int) -> Faults:
    return {"fail_nth": Faults(fail_nth=nth), "drop_before": Faults(drop_before=nth)}.get(way, Faults(drop_after=nth))


def replacing(*ids: str, spec: Spec = ONE) -> Callable[[Facts], Plan]:
    return lambda facts: make_plan(spec, list(spec.agents), facts, replaces=ids)


def foreign_jail(world: World) -> None:
    world.sh("ifconfig", "bridge", "create", "name", "mine0")
    world.sh("bastille", "create", "-B", "-M", "-g", "172.31.5.1", "atlasgit", "15.1-RELEASE", "172.31.5.2/24", "mine0")


def own_jail_elsewhere(world: World) -> None:
    """Somebody made the agent's jail anew, on another bridge, and without the mark."""
    assert world.apply(ONE).ok
    world.sh("bastille", "destroy", "-afy", "atlasgit")
    foreign_jail(world)


def foreign_script(world: World) -> None:
    world.machine.files.write("/usr/local/etc/rc.d/atlas", SCRIPT, mode=0o555)


def foreign_alias(world: World) -> None:
    assert world.apply(spec_of(TWO.agents["clawdie"])).ok
    world.sh("ifconfig", "warden0", "inet", "10.0.1.77/24", "alias")
    world.sh("sysrc", "ifconfig_warden0_alias1=inet 10.0.1.77/24")


def foreign_alias_at_boot(world: World) -> None:
    assert world.apply(ONE).ok
    world.sh("sysrc", "ifconfig_warden0_alias1=inet 10.0.1.77/24")


def gateway_without_an_agent(world: World) -> None:
    assert world.apply(spec_of(TWO.agents["clawdie"])).ok
    world.sh("ifconfig", "warden0", "inet", "10.0.1.1/24", "alias")


def foreign_rules(world: World) -> None:
    world.machine.files.write("/tmp/rules", b"block in quick on bridge5 all\n")
    world.sh("pfctl", "-a", "warden", "-f", "/tmp/rules")


REPLACEABLE: dict[str, tuple[Callable[[World], None], str]] = {
    "a jail": (foreign_jail, "jail:atlasgit"),
    "a jail in the place of ours": (own_jail_elsewhere, "jail:atlasgit"),
    "a script": (foreign_script, "script:atlas"),
    "an alias": (foreign_alias, "alias:10.0.1.77"),
    "an alias at boot": (foreign_alias_at_boot, "alias:10.0.1.77"),
    "the gateway": (gateway_without_an_agent, "alias:10.0.1.1"),
    "an anchor": (foreign_rules, "anchor:warden"),
}


@pytest.mark.parametrize("case", list(REPLACEABLE))
def test_what_is_not_wardens_is_a_conflict_with_a_name_and_stays(world: World, case: str) -> None:
    put, name = REPLACEABLE[case]
    put(world)
    plan = world.plan(ONE)
    assert [conflict.id for conflict in plan.conflicts] == [name]
    assert f"--replace {name}" in plan.conflicts[0].hint
    assert plan_to_json(plan)["conflicts"][0]["replaceable"] is True
    before = what_matters(world.machine)
    assert isinstance(world.apply(ONE).raised, ConflictsError)
    assert differences(what_matters(world.machine), before) == []


@pytest.mark.parametrize("case", list(REPLACEABLE))
def test_what_is_given_up_by_its_name_goes_first(world: World, case: str) -> None:
    put, name = REPLACEABLE[case]
    put(world)
    check_replaces(ONE, ["atlas"], world.facts("atlas"), [name])
    plan = make_plan(ONE, ["atlas"], world.facts("atlas"), replaces=[name])
    assert plan.conflicts == ()
    kind, _, what = name.partition(":")
    lost = [change for change in plan.changes if change.kind == f"replaced {kind}"]
    assert [(change.action, change.name) for change in lost] == ([("-", what)] if what != "10.0.1.1" else [])
    for change in lost:
        kin = [one for one in plan.changes if one.stage is change.stage and one.kind == kind]
        assert all(plan.changes.index(change) < plan.changes.index(one) for one in kin)
    done = run(world, replacing(name))
    assert done.ok, done.trouble
    assert world.plan(ONE).empty
    with pytest.raises(RefusedError, match="nothing of that name stands in the way"):
        check_replaces(ONE, ["atlas"], world.facts("atlas"), [name])


@pytest.mark.parametrize("case", list(REPLACEABLE))
def test_giving_up_may_be_cut_off_anywhere(case: str) -> None:
    put, name = REPLACEABLE[case]
    start = fresh()
    put(start)
    whole = start.copy()
    faults = Faults()
    assert run(whole, replacing(name), faults).ok
    goal = what_matters(whole.machine)
    for nth in range(1, faults.counted + 1, STEP):
        for way in WAYS:
            world = start.copy()
            run(world, replacing(name), cut_at(way, nth))
            done = run(world, replacing(name))
            assert done.ok, (case, nth, way, done.trouble)
            assert differences(what_matters(world.machine), goal) == [], (case, nth, way)


def test_only_what_stands_in_the_way_can_be_given_up(world: World) -> None:
    foreign_jail(world)
    for wrong in ("jail:atlasdb", "script:atlas", "jail:mine", "nonsense"):
        with pytest.raises(RefusedError, match="nothing of that name") as caught:
            check_replaces(ONE, ["atlas"], world.facts("atlas"), [wrong])
        assert "jail:atlasgit" in caught.value.hint


def test_a_jail_of_another_agent_is_not_for_replacing(world: World) -> None:
    assert world.apply(TWO).ok
    world.sh("zfs", "set", "warden:agent=clawdie", "zroot/bastille/jails/atlasgit")
    plan = world.plan(ONE)
    assert [(one.id, one.replaceable) for one in plan.conflicts] == [("jail:atlasgit", False)]
    with pytest.raises(RefusedError, match="not Warden's to replace"):
        check_replaces(ONE, ["atlas"], world.facts("atlas"), ["jail:atlasgit"])


def test_a_jail_that_bastille_does_not_know_is_left_alone(world: World) -> None:
    facts = world.facts("atlas")
    running = RunningJail(name="atlasgit", jid=7, path="/jails/mine", devfs_ruleset=4)
    plan = make_plan(ONE, ["atlas"], replace(facts, running_jails={"atlasgit": running}))
    assert [(one.id, one.replaceable) for one in plan.conflicts] == [("jail:atlasgit", False)]
    assert "/jails/mine" in plan.conflicts[0].message


def test_a_gateway_on_another_interface_is_a_conflict(world: World) -> None:
    world.sh("ifconfig", "vtnet0", "inet", "10.0.1.1/24", "alias")
    assert [(one.id, one.replaceable) for one in world.plan(ONE).conflicts] == [("alias:10.0.1.1", False)]


def test_a_user_that_the_spec_does_not_name_is_a_conflict(world: World) -> None:
    world.sh("pw", "useradd", "atlas", "-m")
    assert [one.id for one in world.plan(ONE).conflicts] == ["user:atlas"]
    named = spec_of(agent_spec("atlas", "10.0.1.0/24", ("git",), user="atlas"))
    assert world.plan(named).conflicts == ()


def test_a_jail_with_the_mac_address_of_another_gets_one_of_its_own(world: World) -> None:
    assert world.apply(TWO).ok
    ether = world.facts().interfaces["e0a_clawdiegit"].ether
    own = world.facts().interfaces["e0a_atlasgit"].ether
    path = "/usr/local/bastille/jails/atlasgit/jail.conf"
    text = world.machine.files.read(path)
    world.machine.files.write(path, text.replace(own[:-1].encode(), ether[:-1].encode()))
    world.sh("bastille", "restart", "atlasgit")
    assert world.facts().interfaces["e0a_atlasgit"].ether == ether
    plan = world.plan(TWO)
    # it is restarted, so what it serves is set up anew
    of_one = ["jail:clawdiegit", "git:clawdiegit"]
    assert [one.id for one in plan.changes] == of_one, "of two it is the one that is named later"
    assert "MAC address of atlasgit too -> 58:9c:fc:" in plan.changes[0].detail
    alone = world.copy()
    assert [one.id for one in alone.plan(spec_of(TWO.agents["atlas"])).changes if one.kind == "jail"] == [
        "jail:atlasgit"
    ]
    done = world.apply(TWO)
    assert done.ok, done.trouble
    ethers = [one.ether for one in world.facts().interfaces.values() if one.name.startswith("e0a_")]
    assert len(set(ethers)) == len(ethers)
    assert world.plan(TWO).empty


def test_what_was_begun_with_another_release_is_no_conflict(world: World) -> None:
    assert not world.apply(ONE, Faults(fail_match="atlasgit set priority")).ok
    files = world.machine.files
    path = "/usr/local/bastille/jails/atlasgit/jail.conf"
    files.write(path, files.read(path).replace(b"15.1-RELEASE", b"14.3-RELEASE"))
    done = world.apply(ONE)
    assert done.ok, done.trouble


def test_a_whole_jail_that_lost_its_mark_is_marked_and_keeps_what_it_holds(world: World) -> None:
    """A restored dataset has no property of ours: what was restored must not go for that."""
    assert world.apply(ONE).ok
    goal = what_matters(world.machine)
    data = "/usr/local/bastille/jails/atlasgit/root/etc/precious"
    world.machine.files.write(data, b"precious")
    world.sh("zfs", "inherit", "warden:agent", "zroot/bastille/jails/atlasgit")
    world.sh("bastille", "stop", "atlasgit")
    done = world.apply(ONE)
    assert done.ok, done.trouble
    assert world.machine.files.read(data) == b"precious"
    assert differences(what_matters(world.machine), goal) == []


def test_the_data_of_a_jail_with_another_release_are_not_lost_to_fit_a_spec(world: World) -> None:
    assert world.apply(ONE).ok
    files = world.machine.files
    path = "/usr/local/bastille/jails/atlasgit/jail.conf"
    files.write(path, files.read(path).replace(b"15.1-RELEASE", b"14.3-RELEASE"))
    conflict = world.plan(ONE).conflicts[0]
    assert (conflict.id, conflict.replaceable) == ("jail:atlasgit", True)
    assert "14.3-RELEASE" in conflict.message
    done = run(world, replacing("jail:atlasgit"))
    assert done.ok, done.trouble


AFTERWARDS = {"jail down": ["git:atlasgit"], "environment's mode": ["service:atlas"]}
"""What follows of a change: what a jail serves is set up once it is up, and a service starts with its environment."""

DRIFT: dict[str, tuple[tuple[str, ...], str, str]] = {
    "forwarding at boot": (("sysrc", "gateway_enable=NO"), "forwarding:ipv4", "gateway_enable NO -> YES"),
    "forwarding now": (("sysctl", "net.inet.ip.forwarding=0"), "forwarding:ipv4", "net.inet.ip.forwarding 0 -> 1"),
    "boot flag": (("bastille", "config", "atlasgit", "set", "boot", "off"), "jail:atlasgit", "boot off -> on"),
    "priority": (("bastille", "config", "atlasgit", "set", "priority", "7"), "jail:atlasgit", "priority 7 -> 20"),
    "jail down": (("bastille", "stop", "atlasgit"), "jail:atlasgit", "down -> up"),
    "off the bridge": (("ifconfig", "warden0", "deletem", "e0a_atlasgit"), "jail:atlasgit", "no bridge -> on warden0"),
    "script": (("sh", "-c", "echo '# mine' >> /usr/local/etc/rc.d/atlas"), "service:atlas", "script differs"),
    "script's mode": (("chmod", "644", "/usr/local/etc/rc.d/atlas"), "service:atlas", "mode 0644 -> 0555"),
    "not at boot": (("sysrc", "atlas_enable=NO"), "service:atlas", "atlas_enable NO -> YES"),
    "stopped": (("service", "atlas", "onestop"), "service:atlas", "stopped -> running"),
    "environment's mode": (
        ("chmod", "644", "/usr/local/etc/warden/agents/atlas.env"),
        "environment:atlas",
        "environment: 0644 root -> 0600 root",
    ),
    "gateway's mask now": (
        ("ifconfig", "warden0", "inet", "10.0.1.1/16", "alias"),
        "gateway:10.0.1.1/24",
        "now 10.0.1.1/16 -> 10.0.1.1/24",
    ),
    "gateway's mask at boot": (
        ("sysrc", "ifconfig_warden0_alias0=inet 10.0.1.1/16"),
        "gateway:10.0.1.1/24",
        "ifconfig_warden0_alias0 inet 10.0.1.1/16 -> inet 10.0.1.1/24",
    ),
    "table's file": (
        ("rm", "/usr/local/etc/warden/subnets"),
        "pf table:warden_net",
        "/usr/local/etc/warden/subnets absent -> 10.0.1.0/24",
    ),
    "gateways of the table": (
        ("pfctl", "-a", "warden", "-t", "warden_gateways", "-T", "delete", "10.0.1.1"),
        "pf table:warden_net",
        "+ gateway 10.0.1.1",
    ),
    "subnets of the table": (
        ("pfctl", "-a", "warden", "-t", "warden_net", "-T", "add", "10.9.0.0/24"),
        "pf table:warden_net",
        "- 10.9.0.0/24",
    ),
    "jails at boot": (("sysrc", "bastille_enable=NO"), "service:bastille", "bastille_enable NO -> YES"),
    "bridge's group": (("sysrc", "create_args_bridge0=mtu 9000"), "bridge:warden0", "create_args_bridge0 mtu 9000 ->"),
    "registry": (
        (
            "sh",
            "-c",
            "sed 's/protected = false/protected = true/' A > A.new; mv A.new A".replace(
                "A", "/usr/local/etc/warden/agents/atlas.toml"
            ),
        ),
        "registry:atlas",
        "protected true -> false",
    ),
}


@pytest.mark.parametrize("case", list(DRIFT))
def test_drift_is_shown_with_both_values_and_repaired(world: World, case: str) -> None:
    argv, change, shows = DRIFT[case]
    assert world.apply(ONE).ok
    goal = what_matters(world.machine)
    world.sh(*argv)
    plan = world.plan(ONE)
    assert [one.id for one in plan.changes] == [change, *AFTERWARDS.get(case, [])]
    assert plan.changes[0].action == "~"
    assert shows in f"{plan.changes[0].detail} {plan.changes[0].reason}"
    done = world.apply(ONE)
    assert done.ok, done.trouble
    assert differences(what_matters(world.machine), goal) == []


def test_drift_of_an_environment_names_variables_and_no_value(world: World) -> None:
    spec = spec_of(agent_spec("atlas", "10.0.1.0/24", ("git",), env={"TOKEN": "canary-new"}))
    assert world.apply(spec).ok
    path = "/usr/local/etc/warden/agents/atlas.env"
    world.machine.files.write(path, world.machine.files.read(path).replace(b"canary-new", b"canary-old"))
    plan = world.plan(spec)
    assert "TOKEN differs" in plan.changes[0].reason
    assert "canary" not in repr(plan_to_json(plan))


# destroy


def destroying(name: str, *, keep: bool = True) -> Callable[[Facts], Plan]:
    def make(facts: Facts) -> Plan:
        if name in facts.registry:
            return make_destroy_plan(TWO.network, name, facts, keep_data=keep)
        return make_gone_plan(facts, name)

    return make


def kept(world: World) -> list[str]:
    prefix = "zroot/warden/kept/"
    names = [name for name in world.machine.datasets if name.startswith(prefix)]
    return sorted(name.removeprefix(prefix) for name in names if not {"/", "@"} & set(name.removeprefix(prefix)))


def test_what_is_in_jails_is_kept_and_the_rest_is_as_it_was() -> None:
    world = lived_in()
    before = what_matters(world.machine)
    assert world.apply(ONE).ok
    world.machine.files.write("/usr/local/bastille/jails/atlasdb/root/var/db/data", b"precious")
    world.machine.files.write("/var/db/warden/atlas/workspace/data", b"precious too")
    plan = make_destroy_plan(ONE.network, "atlas", world.facts("atlas"), keep_data=True)
    told = " ".join(note.message for note in plan.notes)
    assert "zfs destroy -r zroot/warden/kept/atlas-db-1" in told
    assert "zfs destroy -r zroot/warden/kept/atlas-data-1" in told
    assert "/var/log/atlas.log" in told
    assert "/home/atlas" in told
    done = run(world, destroying("atlas"))
    assert done.ok, done.trouble
    assert done.report is not None
    assert done.report.remaining is not None
    afterwards = " ".join(note.message for note in done.report.remaining.notes)
    assert "zroot/warden/kept/atlas-db-1" in afterwards
    assert "zroot/warden/kept/atlas-data-1" in afterwards
    assert differences(what_matters(world.machine), before) == []
    assert kept(world) == ["atlas-data-1", "atlas-db-1", "atlas-git-1"]
    assert "zroot/warden/kept/atlas-db-1/root@destroyed" in world.machine.datasets
    assert "zroot/warden/kept/atlas-data-1/pgdata18@destroyed" in world.machine.datasets
    assert not [name for name, dataset in world.facts().datasets.items() if dataset.agent]
    assert world.sh("zfs", "get", "-H", "-o", "value", "warden:kept", "zroot/warden/kept/atlas-db-1").strip() == "atlas"
    assert world.sh("zfs", "get", "-H", "-o", "value", "readonly", "zroot/warden/kept/atlas-db-1").strip() == "on"
    world.sh("zfs", "set", "mountpoint=/mnt", "zroot/warden/kept/atlas-db-1")
    assert b"precious" in world.machine.files.read("/mnt/root/var/db/data")
    for name in ("workspace", "repos", "data", "pgdata18", "pgwal18"):
        dataset = f"zroot/warden/kept/atlas-data-1/{name}"
        assert world.sh("zfs", "get", "-H", "-o", "value", "readonly,mounted,warden:agent", dataset).split() == [
            *("on", "no", "-")
        ]
    world.sh("zfs", "set", "mountpoint=/data", "zroot/warden/kept/atlas-data-1")
    assert world.machine.files.read("/data/workspace/data") == b"precious too"


def test_each_time_another_name_is_taken_for_what_is_kept(world: World) -> None:
    for _ in range(2):
        assert world.apply(ONE).ok
        assert run(world, destroying("atlas")).ok
    assert kept(world) == [f"atlas-{what}-{number}" for what in ("data", "db", "git") for number in (1, 2)]
    for name in kept(world):
        world.sh("zfs", "destroy", "-r", f"zroot/warden/kept/{name}")


def test_purge_keeps_nothing(world: World) -> None:
    assert world.apply(ONE).ok
    assert run(world, destroying("atlas", keep=False)).ok
    assert kept(world) == []
    assert differences(what_matters(world.machine), what_matters(fresh().machine)) == []


def test_a_create_that_was_cut_off_left_nothing_to_keep(world: World) -> None:
    assert not world.apply(ONE, Faults(fail_match="zfs set warden:agent=atlas zroot/bastille/jails/atlasgit")).ok
    assert run(world, destroying("atlas")).ok
    # the storage was whole; the jail was not
    assert kept(world) == ["atlas-data-1"]


def test_storage_whose_create_was_cut_off_is_destroyed_too(world: World) -> None:
    assert not world.apply(ONE, Faults(fail_match="warden:agent=atlas zroot/warden/atlas")).ok
    assert run(world, destroying("atlas")).ok
    assert kept(world) == []
    assert differences(what_matters(world.machine), what_matters(fresh().machine)) == []


def limited(processes: int | None) -> Spec:
    """Give TWO with limits for atlas and for its db, which are those of a user and of a jail."""
    limits = Limits(memory=1 << 30, processes=processes)
    atlas = TWO.agents["atlas"]
    jails = {**atlas.jails, "db": JailSpec(limits=limits)}
    return spec_of(TWO.agents["clawdie"], replace(atlas, limits=limits, jails=jails))


LIMITED = limited(100)


@cache
def _two() -> World:
    world = fresh()
    assert world.apply(LIMITED).ok
    return world


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("spec", [TWO, limited(None), limited(90)], ids=["none", "fewer", "others"])
def test_limits_that_change_may_be_cut_off_anywhere(way: str, spec: Spec) -> None:
    """A rule that holds, and that no file has any more, would not be known to be Warden's."""
    whole = _two().copy()
    faults = Faults()
    assert whole.apply(spec, faults).ok
    goal = what_matters(whole.machine)
    for nth in range(1, faults.counted + 1):
        world = _two().copy()
        world.apply(spec, cut_at(way, nth))
        done = world.apply(spec)
        assert done.ok, (nth, done.trouble)
        assert differences(what_matters(world.machine), goal) == [], nth


@cache
def _counted(name: str) -> int:
    faults = Faults()
    assert run(_two().copy(), destroying(name), faults).ok
    return faults.counted


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("again", ["destroy", "reboot, destroy", "apply"])
def test_a_destroy_that_keeps_may_be_cut_off_anywhere(way: str, again: str) -> None:
    whole = _two().copy()
    assert run(whole, destroying("atlas")).ok
    goal = what_matters(_two().machine if again == "apply" else whole.machine)
    for nth in range(1 + WAYS.index(way), _counted("atlas") + 1, STEP):
        world = _two().copy()
        world.machine.files.write("/usr/local/bastille/jails/atlasdb/root/var/db/data", b"precious")
        assert not run(world, destroying("atlas"), cut_at(way, nth)).ok or way == "fail_nth"
        if again.startswith("reboot"):
            world.reboot()
        done = world.apply(LIMITED) if again == "apply" else run(world, destroying("atlas"))
        assert done.ok, (nth, done.trouble)
        assert differences(what_matters(world.machine), goal) == [], nth
        trees = [
            tree for name, tree in world.machine.files.trees.items() if name.endswith(("atlasdb/root", "db-1/root"))
        ]
        assert any("data" in tree.children["var"].children["db"].children for tree in trees), nth


def test_a_protected_agent_is_not_destroyed(world: World) -> None:
    protected = spec_of(agent_spec("atlas", "10.0.1.0/24", ("git",)))
    assert world.apply(protected).ok
    world.sh(
        "sh",
        "-c",
        "sed 's/protected = false/protected = true/' A > A.new; mv A.new A".replace(
            "A", "/usr/local/etc/warden/agents/atlas.toml"
        ),
    )
    before = what_matters(world.machine)
    done = run(world, destroying("atlas"))
    assert isinstance(done.raised, RefusedError)
    assert "protected = true" in done.raised.hint
    assert differences(what_matters(world.machine), before) == []


# what the spec no longer names


def test_what_the_spec_does_not_name_is_told_and_stays(world: World) -> None:
    assert world.apply(TWO).ok
    plan = world.plan(ONE)
    assert [note.message for note in plan.notes if note.agent is None] == [
        "agent clawdie is registered here, and not in warden.toml: it stays; apply --prune removes it"
    ]
    assert "clawdie" in world.facts().registry


def test_who_shares_a_model_goes_before_its_owner(world: World) -> None:
    assert world.apply(TWO).ok
    assert unnamed(spec_of(), world.facts()) == ["atlas", "clawdie"]
    assert unnamed(spec_of(agent_spec("vera")), world.facts()) == ["atlas", "clawdie"]


# the dataset that all agents' lie below


def foreign_root(world: World, *options: str) -> None:
    """Somebody has a dataset where Warden's would be, with a plain file in it."""
    world.sh("zfs", "create", *options, "zroot/warden")
    folder = world.sh("zfs", "get", "-H", "-o", "value", "mountpoint", "zroot/warden").strip()
    if folder != "none":
        world.machine.files.write(f"{folder}/theirs", b"precious")


@pytest.mark.parametrize("options", [(), ("-o", "mountpoint=/srv/warden"), ("-o", "mountpoint=none")])
def test_somebody_elses_root_of_datasets_is_a_conflict_and_stays(world: World, options: tuple[str, ...]) -> None:
    foreign_root(world, *options)
    before, properties = what_matters(world.machine), dict(world.machine.datasets["zroot/warden"].properties)
    plan = world.plan(ONE)
    assert [(one.id, one.replaceable) for one in plan.conflicts] == [("dataset:zroot/warden", False)]
    assert "zfs rename zroot/warden zroot/NAME" in plan.conflicts[0].hint
    assert isinstance(world.apply(ONE).raised, ConflictsError)
    assert differences(what_matters(world.machine), before) == []
    assert world.machine.datasets["zroot/warden"].properties == properties
    world.sh("zfs", "rename", "zroot/warden", "zroot/theirs")
    assert world.apply(ONE).ok


def test_a_root_of_bastilles_is_not_renamed_without_a_word_about_its_settings(world: World) -> None:
    facts = world.facts("atlas")
    moved = {
        name.replace("zroot/bastille", "zroot/warden"): replace(
            dataset, name=name.replace("zroot/bastille", "zroot/warden")
        )
        for name, dataset in facts.datasets.items()
    }
    plan = make_plan(ONE, ["atlas"], replace(facts, datasets=moved))
    assert [one.id for one in plan.conflicts] == ["dataset:zroot/warden"]
    assert "bastille_zfs_prefix" in plan.conflicts[0].hint


def test_a_root_of_wardens_that_was_moved_is_a_conflict_that_says_where_it_belongs(world: World) -> None:
    assert world.apply(ONE).ok
    for jail in ("atlasgit", "atlasdb"):
        world.sh("bastille", "stop", jail)
    world.sh("zfs", "set", "mountpoint=/srv/agents", "zroot/warden")
    conflict = world.plan(ONE).conflicts[0]
    assert conflict.id == "dataset:zroot/warden"
    world.sh(*conflict.hint.partition("was it Warden's: ")[2].split())
    assert world.apply(ONE).ok


def test_the_root_that_earlier_versions_made_for_what_they_kept_is_taken(world: World) -> None:
    world.sh("zfs", "create", "-o", "mountpoint=none", "zroot/warden")
    world.sh("zfs", "create", "-o", "readonly=on", "zroot/warden/kept")
    done = world.apply(ONE)
    assert done.ok, done.trouble
    assert world.facts().datasets["zroot/warden"].mountpoint == "/var/db/warden"
    assert world.plan(ONE).empty


def test_nothing_is_kept_below_somebody_elses_dataset(world: World) -> None:
    """An agent of before there were datasets has jails only, and the name may be somebody's."""
    assert world.apply(ONE).ok
    for jail in ("atlasgit", "atlasdb"):
        world.sh("bastille", "stop", jail)
    world.sh("zfs", "destroy", "-rf", "zroot/warden")
    foreign_root(world)
    before = what_matters(world.machine)
    done = run(world, destroying("atlas"))
    assert isinstance(done.raised, ConflictsError)
    assert differences(what_matters(world.machine), before) == []
    assert run(world, destroying("atlas", keep=False)).ok
    assert world.machine.files.read("/zroot/warden/theirs") == b"precious"


def other_pool(world: World) -> None:
    world.machine.pools["tank"] = Pool("tank", size=1 << 34, allocated=0)
    datasets.create(world.machine, "tank")


def test_the_last_agents_end_destroys_no_root_that_is_not_wardens(world: World) -> None:
    other_pool(world)
    world.sh("zfs", "create", "tank/warden")
    world.machine.files.write("/tank/warden/theirs", b"precious")
    assert world.apply(ONE).ok
    assert run(world, destroying("atlas", keep=False)).ok
    assert "zroot/warden" not in world.machine.datasets
    assert world.machine.files.read("/tank/warden/theirs") == b"precious"


@pytest.mark.parametrize(
    "use",
    [
        ("zfs", "create", "-o", "mountpoint=none", "zroot/warden/theirs"),
        ("zfs", "snapshot", "zroot/warden@theirs"),
        ("sh", "-c", "zfs set canmount=on zroot/warden && zfs mount zroot/warden"),
    ],
)
def test_the_last_agents_end_leaves_a_root_that_holds_something(world: World, use: tuple[str, ...]) -> None:
    assert world.apply(ONE).ok
    if use[0] == "sh":
        purge = make_destroy_plan(TWO.network, "atlas", world.facts("atlas"), keep_data=False)
        tidy = next(one for one in purge.changes if one.id == "storage:/var/db/warden")
        world.sh("zfs", "destroy", "-rf", "zroot/warden/atlas")
        world.sh(*use)
        for one in tidy.commands:
            world.sh(*one.argv)
    else:
        world.sh(*use)
        done = run(world, destroying("atlas", keep=False))
        assert done.ok, done.trouble
    assert "zroot/warden" in world.machine.datasets


def test_an_unmarked_dataset_of_an_agents_name_goes_only_where_warden_begins_them(world: World) -> None:
    assert world.apply(ONE).ok
    other_pool(world)
    world.sh("zfs", "create", "-p", "tank/warden/atlas")
    world.machine.files.write("/tank/warden/atlas/theirs", b"precious")
    world.sh("zfs", "destroy", "-rf", "zroot/warden/atlas")
    assert run(world, destroying("atlas", keep=False)).ok
    assert world.machine.files.read("/tank/warden/atlas/theirs") == b"precious"
