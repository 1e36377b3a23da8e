# SPDX-License-Identifier: BSD-2-Clause
"""What was set up by hand, as the guide says, becomes Warden's: marked where it fits, and nothing of it made anew."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING

import pytest

from tests.engine.conftest import (
    HOLDER,
    Cut,
    RecordingHost,
    agent_spec,
    differences,
    fresh,
    lived_in,
    spec_of,
    what_matters,
)
from warden.engine.adopt import make_adopt_plan
from warden.engine.apply import carry_out
from warden.engine.gc import find_orphans
from warden.engine.plan import make_destroy_plan
from warden.facts.probe import read_facts
from warden.host.fake.faults import Faults
from warden.resources.errors import RefusedError

if TYPE_CHECKING:
    from tests.engine.conftest import World
    from warden.engine.plan import Plan
    from warden.spec.model import Spec

SPEC = spec_of(agent_spec("atlas", "10.0.1.0/24", ("git", "db")))
SCRIPT = b"""#!/bin/sh
# PROVIDE: atlas
# REQUIRE: LOGIN
. /etc/rc.subr
name="atlas"
rcvar="atlas_enable"
load_rc_config $name
: ${atlas_enable:=NO}
pidfile="/var/run/atlas.pid"
command="/usr/sbin/daemon"
command_args="-f -P /var/run/atlas.pid -u atlas /usr/local/bin/node dist/index.js"
run_rc_command "$1"
"""
NAT = b"nat on vtnet0 inet from 10.0.1.0/24 to any -> (vtnet0)\n"
GIT = ("create", "-B", "-M", "-g", "10.0.1.1", "atlasgit", "15.1-RELEASE", "10.0.1.2/24", "warden0")
DB = ("create", "-T", "-B", "-M", "-g", "10.0.1.1", "atlasdb", "15.1-RELEASE", "10.0.1.5/24", "warden0")


def set_up(world: World, *jails: tuple[str, ...], main: bool = False) -> None:
    """Do what the guide says, by hand: bridge, gateway, forwarding, NAT, jails, user and service."""
    unit = "bridge0"
    cloned = world.sh("sysrc", "-n", "-i", "cloned_interfaces").split()
    world.sh("sysrc", f"cloned_interfaces={' '.join([*cloned, unit])}", f"ifconfig_{unit}_name=warden0")
    world.sh("sysrc", f"ifconfig_warden0{'' if main else '_alias0'}=inet 10.0.1.1/24", "gateway_enable=YES")
    world.sh("ifconfig", "bridge", "create", "name", "warden0")
    world.sh("ifconfig", "warden0", "inet", "10.0.1.1/24", "alias", "up")
    world.sh("sysctl", "net.inet.ip.forwarding=1")
    files = world.machine.files
    files.write("/etc/pf.conf", with_nat(files.read("/etc/pf.conf")))
    world.sh("pfctl", "-f", "/etc/pf.conf")
    for jail in jails or (GIT, DB):
        world.sh("bastille", *jail)
    world.sh("pw", "useradd", "atlas", "-m")
    files.write("/usr/local/etc/rc.d/atlas", SCRIPT, mode=0o555)
    world.sh("sysrc", "atlas_enable=YES")
    world.sh("service", "atlas", "start", fails=True)


def with_nat(text: bytes) -> bytes:
    lines = text.splitlines(keepends=True)
    first = next(n for n, line in enumerate(lines) if line.startswith((b"block", b"pass", b"anchor")))
    return b"".join([*lines[:first], NAT, *lines[first:]])


@cache
def _by_hand() -> World:
    world = fresh()
    set_up(world)
    return world


def by_hand() -> World:
    return _by_hand().copy()


def adopt(world: World, faults: Faults | None = None, spec: Spec = SPEC) -> Cut:
    cut = Cut(RecordingHost(world.machine, faults))
    try:
        read = partial(read_facts, agents=["atlas"])
        cut.report = carry_out(cut.host, read, partial(make_adopt_plan, spec, "atlas"), HOLDER)
    except Exception as error:  # noqa: BLE001 - whatever ends a run, the next one has to go on from there
        cut.raised = error
    return cut


def plan(world: World, spec: Spec = SPEC) -> Plan:
    return make_adopt_plan(spec, "atlas", world.facts("atlas"))


def test_without_adoption_what_stands_there_is_in_the_way() -> None:
    world = by_hand()
    conflicts = world.plan(SPEC).conflicts
    assert {one.id for one in conflicts} == {
        *("bridge:warden0", "alias:10.0.1.1", "jail:atlasgit", "jail:atlasdb", "script:atlas", "user:atlas")
    }
    assert all("warden adopt" in one.hint for one in conflicts if one.kind in ("alias", "jail", "script", "bridge"))


def test_what_fits_is_marked_and_nothing_is_made_anew() -> None:
    world = by_hand()
    before = what_matters(world.machine)
    jails = {name: jail.jid for name, jail in world.machine.jails.items()}
    assert [change.id for change in plan(world).changes] == [
        *("bridge:warden0", "jail:atlasgit", "jail:atlasdb", "script:atlas", "registry:atlas")
    ]
    done = adopt(world)
    assert done.ok, done.trouble
    assert {name: jail.jid for name, jail in world.machine.jails.items()} == jails, "no jail was restarted"
    changed = differences(before, what_matters(world.machine))
    registry = "files /usr/local/etc/warden"
    assert {line.partition(": ")[0] for line in changed if not line.startswith(registry)} == {
        *("rc.conf", "interfaces warden0", "files /usr/local/etc/rc.d/atlas"),
        *("datasets zroot/bastille/jails/atlasgit", "datasets zroot/bastille/jails/atlasdb"),
    }
    assert adopt(world).ok
    assert plan(world).empty
    assert find_orphans(world.facts()) == ()


def test_the_first_plan_afterwards_shows_what_the_adoption_said_that_differs() -> None:
    world = by_hand()
    told = [note.message for note in plan(world).notes if note.message.startswith("then differs: ")]
    assert not [note.message for note in plan(world).notes if note.message.startswith("then in the way")]
    assert adopt(world).ok
    after = world.plan(SPEC)
    assert after.conflicts == ()
    assert [f"then differs: {one.action} {one.kind} {one.name}" for one in after.changes] == [
        line.partition("  ")[0] for line in told
    ]
    changed = {one.id for one in after.changes}
    assert "jail:atlasgit" in changed, "its priority is not as Warden has it"
    assert not [one for one in after.changes if one.kind == "jail" and "create" in str(one.commands)]
    assert "service:atlas" in changed
    assert "gateway:10.0.1.1/24" not in changed
    world.machine.files.write("/usr/local/bastille/jails/atlasgit/root/data", b"precious")
    done = world.apply(SPEC)
    assert done.ok, done.trouble
    assert world.plan(SPEC).empty
    assert world.machine.files.read("/usr/local/bastille/jails/atlasgit/root/data") == b"precious"
    assert NAT.strip() in world.machine.files.read("/etc/pf.conf")
    world.reboot()
    assert world.plan(SPEC).empty


@pytest.mark.parametrize("main", [False, True])
def test_an_adopted_agent_can_be_destroyed(*, main: bool) -> None:
    world = lived_in()
    set_up(world, main=main)
    assert adopt(world).ok
    assert world.apply(SPEC).ok
    done = world.destroy("atlas")
    assert done.ok, done.trouble
    assert "10.0.1.1" not in world.sh("ifconfig", "-f", "inet:cidr", "-a")
    assert "10.0.1.1" not in world.machine.files.text("/etc/rc.conf")
    assert "atlas" in world.facts().users, "an account that Warden did not make stays"
    assert find_orphans(world.facts()) == ()


def test_adopting_may_be_cut_off_anywhere_and_an_apply_in_between_loses_nothing() -> None:
    whole = by_hand()
    faults = Faults()
    assert adopt(whole, faults).ok
    goal = what_matters(whole.machine)
    for nth in range(1, faults.counted + 1):
        for cut in (Faults(fail_nth=nth), Faults(drop_before=nth), Faults(drop_after=nth)):
            world = by_hand()
            adopt(world, cut)
            path = "/usr/local/bastille/jails/atlasdb/root/data"
            world.machine.files.write(path, b"precious")
            again = world.copy()
            again.apply(SPEC)
            assert again.machine.files.read(path) == b"precious", nth
            done = adopt(world)
            assert done.ok, (nth, done.trouble)
            world.machine.files.remove(path)
            assert differences(what_matters(world.machine), goal) == [], nth


MISFITS: dict[str, tuple[tuple[str, ...], str]] = {
    "address": ((*GIT[:7], "10.0.1.9/24", "warden0"), "it has the address 10.0.1.9/24"),
    "bridge": ((*GIT[:8], "mine0"), "its interface on mine0"),
}


@pytest.mark.parametrize("case", list(MISFITS))
def test_what_does_not_fit_is_left_alone_and_never_destroyed(case: str) -> None:
    create, shows = MISFITS[case]
    world = fresh()
    world.sh("ifconfig", "bridge", "create", "name", "mine0")
    set_up(world, create, DB)
    assert any(shows in note.message for note in plan(world).notes)
    assert adopt(world).ok
    assert "git" not in world.facts().registry["atlas"].jails
    assert world.facts().datasets["zroot/bastille/jails/atlasgit"].agent is None
    assert [one.id for one in world.plan(SPEC).conflicts] == ["jail:atlasgit"]
    world.sh("bastille", "stop", "atlasgit")
    assert [one.id for one in world.plan(SPEC).conflicts] == ["jail:atlasgit"]
    done = adopt(world)
    assert done.ok, done.trouble


def test_a_jail_that_is_down_is_not_adopted_before_its_address_is_known() -> None:
    world = by_hand()
    world.sh("bastille", "stop", "atlasdb")
    assert any("bastille start atlasdb" in note.message for note in plan(world).notes)
    assert adopt(world).ok
    assert [one.id for one in world.plan(SPEC).conflicts] == ["jail:atlasdb"]
    world.sh("bastille", "start", "atlasdb")
    assert [one.id for one in plan(world).changes] == ["jail:atlasdb", "registry:atlas"]
    assert adopt(world).ok
    assert world.plan(SPEC).conflicts == ()


def test_a_script_of_another_name_is_left_alone() -> None:
    world = by_hand()
    path = "/usr/local/etc/rc.d/atlas"
    world.machine.files.write(path, SCRIPT.replace(b'name="atlas"', b'name="maps"'), mode=0o555)
    assert adopt(world).ok
    assert [one.id for one in world.plan(SPEC).conflicts] == ["script:atlas"]


def test_where_nothing_of_an_agent_stands_there_is_nothing_to_adopt(world: World) -> None:
    with pytest.raises(RefusedError, match="nothing of atlas stands"):
        plan(world)


def test_the_spec_has_to_say_which_subnet_it_was() -> None:
    spec = spec_of(replace(SPEC.agents["atlas"], subnet=None))
    with pytest.raises(RefusedError, match="which subnet atlas has"):
        plan(by_hand(), spec)


def test_other_agents_are_not_touched() -> None:
    world = fresh()
    clawdie = spec_of(agent_spec("clawdie", "192.168.72.0/24", ("git",)))
    set_up(world)
    # two agents by hand: the one is adopted, and the other stays as it is
    world.sh(
        "bastille",
        "create",
        "-B",
        "-M",
        "-g",
        "192.168.72.1",
        "clawdiegit",
        "15.1-RELEASE",
        "192.168.72.2/24",
        "warden0",
    )
    world.sh("ifconfig", "warden0", "inet", "192.168.72.1/24", "alias")
    assert adopt(world).ok
    assert world.facts().datasets["zroot/bastille/jails/clawdiegit"].agent is None
    assert {one.id for one in world.plan(clawdie).conflicts} == {"alias:192.168.72.1", "jail:clawdiegit"}


def test_destroying_what_was_adopted_keeps_its_data() -> None:
    world = by_hand()
    assert adopt(world).ok
    destroyed = make_destroy_plan(SPEC.network, "atlas", world.facts("atlas"), keep_data=True)
    assert "zroot/warden/kept/atlas-db-1" in " ".join(note.message for note in destroyed.notes)


def test_a_script_stays_the_operators_where_the_spec_has_no_command() -> None:
    world = by_hand()
    spec = spec_of(agent_spec("atlas", "10.0.1.0/24", ("git", "db"), command=None))
    before = world.machine.files.read("/usr/local/etc/rc.d/atlas")
    assert any("names no command" in note.message for note in plan(world, spec).notes)
    assert adopt(world, spec=spec).ok
    done = world.apply(spec)
    assert done.ok, done.trouble
    assert world.machine.files.read("/usr/local/etc/rc.d/atlas") == before
    assert world.destroy("atlas").ok
    assert world.machine.files.read("/usr/local/etc/rc.d/atlas") == before


def test_an_entry_that_was_lost_is_brought_back(world: World) -> None:
    assert world.apply(SPEC).ok
    goal = what_matters(world.machine)
    world.sh("rm", "/usr/local/etc/warden/agents/atlas.toml")
    assert {one.id for one in world.plan(SPEC).conflicts} == {"alias:10.0.1.1"}
    assert [one.id for one in plan(world).changes] == ["registry:atlas"]
    assert adopt(world).ok
    assert world.plan(SPEC).empty
    assert differences(what_matters(world.machine), goal) == []
