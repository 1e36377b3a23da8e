# SPDX-License-Identifier: BSD-2-Clause
"""What carries Warden's mark and is nobody's: named, and removed; what carries none is not."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.engine.conftest import (
    HOLDER,
    TWO,
    Cut,
    RecordingHost,
    agent_spec,
    differences,
    fresh,
    lived_in,
    spec_of,
    what_matters,
)
from warden.engine.apply import carry_out
from warden.engine.errors import ConflictsError
from warden.engine.gc import find_orphans, make_gc_plan
from warden.facts.probe import read_facts
from warden.host.fake.faults import Faults
from warden.spec.model import JailSpec, Limits, ServiceSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.engine.conftest import World
    from warden.spec.model import AgentSpec

ONE = spec_of(agent_spec("atlas", "10.0.1.0/24", ("git", "db")))
CLAWDIE = spec_of(TWO.agents["clawdie"])
AGENTS = "/usr/local/etc/warden/agents"
STEP = 1 if os.environ.get("WARDEN_EXHAUSTIVE") else 5


def gc(world: World, faults: Faults | None = None) -> Cut:
    cut = Cut(RecordingHost(world.machine, faults))
    try:
        cut.report = carry_out(cut.host, partial(read_facts, agents=()), make_gc_plan, HOLDER)
    except Exception as error:  # noqa: BLE001 - whatever ends a run, the next one has to go on from there
        cut.raised = error
    return cut


def orphans(world: World) -> list[str]:
    return [change.id for change in find_orphans(world.facts())]


@pytest.mark.parametrize("host", [fresh, lived_in])
def test_a_host_without_warden_has_no_orphans(host: Callable[[], World]) -> None:
    assert orphans(host()) == []


def limited(agent: AgentSpec) -> AgentSpec:
    return replace(agent, limits=Limits(memory=1 << 30, quota=1 << 34))


def test_a_host_with_agents_has_no_orphans() -> None:
    world = lived_in()
    assert world.apply(spec_of(*map(limited, TWO.agents.values()))).ok
    assert orphans(world) == []
    world.reboot()
    assert orphans(world) == []
    assert world.destroy("atlas").ok
    assert orphans(world) == []
    assert world.destroy("clawdie").ok
    assert orphans(world) == []


def lose_entry(world: World) -> None:
    world.sh("rm", f"{AGENTS}/atlas.toml")


def test_all_of_an_agent_whose_entry_was_lost_is_named_and_goes(world: World) -> None:
    assert world.apply(CLAWDIE).ok
    goal = what_matters(world.machine)
    assert world.apply(TWO).ok
    lose_entry(world)
    left = orphans(world)
    assert set(left) == {
        *("service:atlas", "jail:atlasgit", "jail:atlascms", "jail:atlasdb", "storage:atlas", "key:atlas"),
        *("gateway:10.0.1.1", "pf table:warden_net", "names:/etc/hosts", "user:atlas"),
    }
    # what uses something goes before it
    assert [one for one in left if one.startswith(("service", "jail", "storage", "user"))] == [
        *("service:atlas", "jail:atlascms", "jail:atlasdb", "jail:atlasgit", "storage:atlas", "user:atlas")
    ]
    done = gc(world)
    assert done.ok, done.trouble
    assert orphans(world) == []
    # the anchor's rules speak of the share with clawdie as yet: that is the next apply's
    assert world.apply(CLAWDIE).ok
    assert differences(what_matters(world.machine), goal) == []
    kept = [name for name in world.machine.datasets if name.startswith("zroot/warden/kept/atlas-")]
    assert sorted(name.rpartition("/")[2] for name in kept if name.endswith("-1")) == [
        *("atlas-atlascms-1", "atlas-atlasdb-1", "atlas-atlasgit-1", "atlas-data-1")
    ]
    assert "zroot/warden/kept/atlas-data-1/pgdata18@destroyed" in kept


def test_all_of_warden_goes_where_the_whole_registry_was_lost() -> None:
    world = lived_in()
    before = what_matters(world.machine)
    assert world.apply(TWO).ok
    world.sh("rm", f"{AGENTS}/atlas.toml", f"{AGENTS}/clawdie.toml")
    done = gc(world)
    assert done.ok, done.trouble
    assert differences(what_matters(world.machine), before) == []


@pytest.mark.parametrize("way", ["fail", "drop before", "drop after"])
def test_gc_may_be_cut_off_anywhere(way: str) -> None:
    start = fresh()
    assert start.apply(spec_of(limited(ONE.agents["atlas"]))).ok
    lose_entry(start)
    whole = start.copy()
    faults = Faults()
    assert gc(whole, faults).ok
    goal = what_matters(whole.machine)
    for nth in range(1 + len(way) % STEP, faults.counted + 1, STEP):
        world = start.copy()
        gc(
            world,
            {"fail": Faults(fail_nth=nth), "drop before": Faults(drop_before=nth)}.get(way, Faults(drop_after=nth)),
        )
        done = gc(world)
        assert done.ok, (nth, done.trouble)
        assert differences(what_matters(world.machine), goal) == [], nth


def leave_epair(world: World) -> None:
    end = world.sh("ifconfig", "epair", "create").strip()
    world.sh("ifconfig", end, "up", "name", "e0a_novagit")
    world.sh("ifconfig", end.removesuffix("a") + "b", "up", "name", "e0b_novagit")
    world.sh("ifconfig", "warden0", "addm", "e0a_novagit")


def leave_marked_jail(world: World) -> None:
    create = ("create", "-B", "-M", "-g", "10.0.9.1", "novagit", "15.1-RELEASE", "10.0.9.2/24", "warden0")
    world.sh("bastille", *create)
    world.sh("zfs", "set", "warden:agent=nova", "zroot/bastille/jails/novagit")


def leave_storage(world: World) -> None:
    for name in ("nova", "nova/data"):
        world.sh("zfs", "create", f"zroot/warden/{name}")
        world.sh("zfs", "set", "warden:agent=nova", f"zroot/warden/{name}")


def leave_names(world: World) -> None:
    text = world.machine.files.read("/etc/hosts")
    names = b"10.0.9.1\tnova.home.arpa\n10.0.9.2\tgit.nova.home.arpa\n"
    world.machine.files.write("/etc/hosts", text.replace(b"# warden end\n", names + b"# warden end\n"))


def leave_limits(world: World) -> None:
    world.sh("pw", "useradd", "nova", "-c", "warden agent nova")
    world.machine.files.write("/etc/rctl.conf", b"user:nova:maxproc:deny=100  # warden: nova\n")
    world.sh("rctl", "-a", "user:nova:maxproc:deny=100")


def leave_dataset(world: World) -> None:
    world.sh("zfs", "create", "zroot/bastille/jails/novagit")
    world.sh("zfs", "set", "warden:agent=nova", "zroot/bastille/jails/novagit")


LEFT: dict[str, tuple[Callable[[World], object], set[str]]] = {
    "an epair": (leave_epair, {"epair:e0a_novagit"}),
    "a jail": (leave_marked_jail, {"jail:novagit"}),
    "a dataset": (leave_dataset, {"jail:novagit"}),
    "a mark": (lambda world: world.sh("zfs", "set", "warden:agent=nova", "zroot/vm"), {"mark:zroot/vm"}),
    "storage": (leave_storage, {"storage:nova"}),
    "storage that begins as another's": (
        lambda world: world.sh("zfs", "create", "-o", "warden:agent=claw", "zroot/warden/claw"),
        {"storage:claw"},
    ),
    "a dataset in another's storage": (
        lambda world: world.sh(
            *("zfs", "create", "-o", "mountpoint=none", "-o", "warden:agent=nova", "zroot/warden/clawdie/nova")
        ),
        {"mark:zroot/warden/clawdie/nova"},
    ),
    "a key": (
        lambda world: [
            world.machine.files.write(f"/usr/local/etc/warden-keys/nova{end}", b"ssh-ed25519 AAAA nova\n")
            for end in ("", ".pub", ".known_hosts")
        ],
        {"key:nova"},
    ),
    "names": (leave_names, {"names:/etc/hosts"}),
    "limits": (leave_limits, {"limits:/etc/rctl.conf", "user:nova"}),
    "an env file": (
        lambda world: world.machine.files.write(f"{AGENTS}/nova.env", b"# managed by warden\nTOKEN=x\n", mode=0o600),
        {"service:nova"},
    ),
    "a script": (
        lambda world: world.machine.files.write(
            "/usr/local/etc/rc.d/nova",
            world.machine.files.read("/usr/local/etc/rc.d/clawdie").replace(b"clawdie", b"nova"),
            mode=0o555,
        ),
        {"service:nova"},
    ),
    "an entry of the table": (
        lambda world: world.sh("pfctl", "-a", "warden", "-t", "warden_net", "-T", "add", "10.0.9.0/24"),
        {"pf table:warden_net"},
    ),
    "a gateway": (
        lambda world: (
            world.sh("pfctl", "-a", "warden", "-t", "warden_gateways", "-T", "add", "10.0.9.1"),
            world.sh("ifconfig", "warden0", "inet", "10.0.9.1/24", "alias"),
            world.sh("sysrc", "ifconfig_warden0_alias1=inet 10.0.9.1/24"),
        ),
        {"gateway:10.0.9.1", "pf table:warden_net"},
    ),
    "an account": (lambda world: world.sh("pw", "useradd", "nova", "-c", "warden agent nova"), {"user:nova"}),
    "an account and its switch": (
        lambda world: (
            world.sh("pw", "useradd", "nova", "-c", "warden agent nova"),
            world.sh("sysrc", "nova_enable=YES"),
        ),
        {"service:nova", "user:nova"},
    ),
}


@pytest.mark.parametrize("case", list(LEFT))
def test_what_was_left_behind_is_named_and_goes(case: str) -> None:
    world = lived_in()
    assert world.apply(CLAWDIE).ok
    goal = what_matters(world.machine)
    leave, names = LEFT[case]
    leave(world)
    assert set(orphans(world)) == names
    assert make_gc_plan(world.facts()).conflicts == ()
    done = gc(world)
    assert done.ok, done.trouble
    assert orphans(world) == []
    assert differences(what_matters(world.machine), goal) == []


def test_what_carries_no_mark_is_not_named() -> None:
    world = lived_in()
    assert world.apply(CLAWDIE).ok
    world.sh("ifconfig", "warden0", "inet", "10.77.0.1/24", "alias")
    world.sh("sysrc", "ifconfig_warden0_alias1=inet 10.77.0.1/24")
    create = ("create", "-B", "-M", "-g", "10.77.0.1", "novagit", "15.1-RELEASE", "10.77.0.2/24", "warden0")
    world.sh("bastille", *create)
    world.machine.files.write("/usr/local/etc/rc.d/nova", b"#!/bin/sh\n# PROVIDE: nova\n", mode=0o555)
    world.sh("sysrc", "nova_enable=YES")
    world.sh("pw", "useradd", "nova", "-m")
    assert orphans(world) == []


def test_nothing_is_put_aside_below_somebody_elses_dataset() -> None:
    world = lived_in()
    assert world.apply(CLAWDIE).ok
    leave_dataset(world)
    for jail in ("clawdiegit", "clawdiecms", "clawdiedb", "clawdiellm"):
        world.sh("bastille", "stop", jail)
    world.sh("zfs", "destroy", "-rf", "zroot/warden")
    world.sh("zfs", "create", "zroot/warden")
    assert [one.id for one in make_gc_plan(world.facts()).conflicts] == ["dataset:zroot/warden"]
    assert isinstance(gc(world).raised, ConflictsError)
    assert "zroot/warden/kept" not in world.machine.datasets
    assert "zroot/bastille/jails/novagit" in world.machine.datasets


@pytest.mark.parametrize("alone", [True, False])
def test_the_hosts_postgresql_is_nobodys_orphan(*, alone: bool) -> None:
    atlas = agent_spec("atlas", "10.0.1.0/24", ("git", "db"))
    atlas = replace(atlas, jails={**atlas.jails, "db": JailSpec(settings=ServiceSettings(runtime="host"))})
    world = fresh()
    assert world.apply(spec_of(atlas) if alone else spec_of(TWO.agents["clawdie"], atlas)).ok
    lose_entry(world)
    data = world.machine.files.read("/var/db/postgres/data18/base/catalogue.json")
    assert not [one for one in orphans(world) if "pg" in one or one.startswith("db:")]
    plan = make_gc_plan(world.facts())
    assert not [str(one) for change in plan.changes for one in change.commands if "pgdata_" in str(one)]
    done = gc(world)
    assert done.ok, done.trouble
    assert {"zroot/warden/pgdata_18", "zroot/warden/pgwal_18"} <= world.machine.datasets.keys()
    assert world.machine.files.read("/var/db/postgres/data18/base/catalogue.json") == data
    assert world.sh("pgrep", "-u", "postgres")
