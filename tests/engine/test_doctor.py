# SPDX-License-Identifier: BSD-2-Clause
"""The doctor finds nothing on a host that is well; what is broken by hand it names, and its own words mend it."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache, partial
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from tests.engine.conftest import (
    HOLDER,
    HOSTS,
    TWO,
    RecordingHost,
    World,
    fresh,
    lived_in,
    spec_of,
    what_matters,
)
from tests.engine.test_stateful import (
    ETC,
    SERVICES,
    WHOLE,
    broken,
    by_hand,
    edit,
    void,
    without_hooks,
    without_ruleset,
)
from tests.engine.test_stateful import HARMS as STATEFUL_HARMS
from warden.engine.doctor import Examined, compare, examine, healthy, of_agents, read_host
from warden.engine.doctor_finding import APPLY, GC
from warden.engine.gc import make_gc_plan
from warden.engine.lock import LOCK, take_lock
from warden.facts.doctor import Pool, parse_pools
from warden.facts.keys import FOLDER as KEYS
from warden.host.fake.machine import EPOCH
from warden.spec.model import JailSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from warden.engine.doctor_finding import Finding

HOST = None
GIT = "jail atlasgit"
ATLAS_ALIAS = "inet 10.0.1.1/24"
GUARD = "/var/run/warden.guard.0123456789abcdef"

Harm = tuple["Callable[[World], None]", str, "str | None", str]


def put(path: str, content: bytes) -> Callable[[World], None]:
    def harm(world: World) -> None:
        world.machine.files.write(path, content)

    return harm


def move_alias(world: World) -> None:
    """Leave a gap in rc.conf: the last alias goes further up."""
    old = next(
        name for name in ("alias1", "alias0") if ATLAS_ALIAS in world.sh("sysrc", "-n", f"ifconfig_warden0_{name}")
    )
    other = {"alias0": "alias1", "alias1": "alias0"}[old]
    by_hand("sysrc", f"ifconfig_warden0_alias1={world.sh('sysrc', '-n', f'ifconfig_warden0_{other}').strip()}")(world)
    by_hand("sysrc", "-x", "ifconfig_warden0_alias0")(world)
    by_hand("sysrc", f"ifconfig_warden0_alias4={ATLAS_ALIAS}")(world)


def alias_of_atlas(world: World, *argv: str) -> None:
    """Do something with the variable of rc.conf that has atlas' gateway."""
    names = [f"ifconfig_warden0_alias{index}" for index in range(2)]
    mine = next(name for name in names if ATLAS_ALIAS in world.sh("sysrc", "-n", name))
    world.sh(*(word.replace("MINE", mine) for word in argv))


HARMS: dict[str, Harm] = {
    "forwarding now": (by_hand("sysctl", "net.inet.ip.forwarding=0"), "forwarding", HOST, "now"),
    "forwarding at boot": (by_hand("sysrc", "-x", "gateway_enable"), "forwarding", HOST, "boot"),
    "bridge down": (by_hand("ifconfig", "warden0", "down"), "bridge warden0", HOST, "down"),
    "bridge unmarked": (by_hand("ifconfig", "warden0", "-group", "warden"), "bridge warden0", HOST, "group"),
    "bridge gone": (by_hand("ifconfig", "warden0", "destroy"), "bridge warden0", HOST, "not there"),
    "bridge not cloned": (by_hand("sysrc", "cloned_interfaces=lo1 bridge5"), "bridge warden0", HOST, "cloned"),
    "bridge unnamed at boot": (by_hand("sysrc", "-x", "ifconfig_UNIT_name"), "bridge warden0", HOST, "_name"),
    "bridge unmarked at boot": (by_hand("sysrc", "-x", "create_args_UNIT"), "bridge warden0", HOST, "create_args"),
    "gateway now": (by_hand("ifconfig", "warden0", "inet", "10.0.1.1", "-alias"), "gateway", "atlas", "not on"),
    "gateway at boot": (lambda world: alias_of_atlas(world, "sysrc", "-x", "MINE"), "gateway", "atlas", "boot"),
    "gateway empty": (lambda world: alias_of_atlas(world, "sysrc", "MINE="), "gateway", "atlas", "boot"),
    "gateway with another mask": (
        by_hand("sh", "-c", "ifconfig warden0 inet 10.0.1.1 -alias; ifconfig warden0 inet 10.0.1.1/16 alias"),
        *("gateway", "atlas", "has 10.0.1.1/16"),
    ),
    "gateway with another mask at boot": (
        lambda world: alias_of_atlas(world, "sysrc", "MINE=inet 10.0.1.1/16"),
        *("gateway", "atlas", "10.0.1.1/16, and should be inet 10.0.1.1/24"),
    ),
    "gateway twice": (by_hand("sysrc", f"ifconfig_warden0_alias7={ATLAS_ALIAS}"), "aliases", HOST, "_alias7"),
    "gap": (move_alias, "aliases", HOST, "gap"),
    "pf off": (by_hand("pfctl", "-d"), "pf", HOST, "off"),
    "pf at boot": (by_hand("sysrc", "-x", "pf_enable"), "pf", HOST, "boot"),
    "hooks": (without_hooks, "pf anchor warden", HOST, "hooked"),
    "hooks now": (by_hand("pfctl", "-F", "rules"), "pf anchor warden", HOST, "hooked"),
    "rules of the anchor": (by_hand("pfctl", "-a", "warden", "-F", "rules"), "pf anchor warden", HOST, "not loaded"),
    "nat of the anchor": (by_hand("pfctl", "-a", "warden", "-F", "nat"), "pf anchor warden", HOST, "not loaded"),
    "empty table": (
        by_hand("pfctl", "-a", "warden", "-t", "warden_net", "-T", "flush"),
        *("pf anchor warden", HOST, "tables"),
    ),
    "stranger in the table": (
        by_hand("pfctl", "-a", "warden", "-t", "warden_net", "-T", "add", "10.200.0.0/24"),
        *("pf anchor warden", HOST, "tables"),
    ),
    "lost table file": (by_hand("rm", f"{ETC}/subnets"), "pf anchor warden", HOST, "subnets missing"),
    "lost rules": (by_hand("rm", f"{ETC}/pf.conf"), "pf anchor warden", HOST, "pf.conf missing"),
    "edited rules": (
        edit(f"{ETC}/pf.conf", lambda data: data + b"pass\n"),
        "pf anchor warden",
        HOST,
        "pf.conf is not as Warden writes",
    ),
    "lost warden_pf": (by_hand("rm", "/usr/local/etc/rc.d/warden_pf"), "pf anchor warden", HOST, "missing"),
    "warden_pf at boot": (by_hand("sysrc", "-x", "warden_pf_enable"), "pf anchor warden", HOST, "not enabled"),
    "ruleset": (without_ruleset, "devfs ruleset", HOST, "not loaded"),
    "ruleset now": (lambda world: void(world.machine.devfs_rulesets.pop(13)), "devfs ruleset", HOST, "not loaded"),
    "bastille at boot": (by_hand("sysrc", "-x", "bastille_enable"), "bastille", HOST, "boot"),
    "jail gone": (by_hand("bastille", "destroy", "-afy", "atlasgit"), GIT, "atlas", "not there"),
    "jail not whole": (
        by_hand("zfs", "inherit", "warden:agent", "zroot/bastille/jails/atlasgit"),
        *(GIT, "atlas", "not whole"),
    ),
    "jail down": (by_hand("bastille", "stop", "atlasgit"), GIT, "atlas", "down"),
    "jail at boot": (by_hand("bastille", "config", "atlasgit", "set", "boot", "off"), GIT, "atlas", "boot"),
    "jail off the bridge": (by_hand("ifconfig", "warden0", "deletem", "e0a_atlasgit"), GIT, "atlas", "not on warden0"),
    "jail without address": (
        by_hand("ifconfig", "-j", "atlasgit", "vnet0", "inet", "10.0.1.2", "-alias"),
        *(GIT, "atlas", "no address"),
    ),
    "jail with another address": (
        by_hand(
            "sh",
            "-c",
            "ifconfig -j atlasgit vnet0 inet 10.0.1.2 -alias; ifconfig -j atlasgit vnet0 inet 10.0.1.9/24 alias;"
            " route -j atlasgit add default 10.0.1.1",
        ),
        *(GIT, "atlas", "has 10.0.1.9/24"),
    ),
    "jail without route": (by_hand("route", "-j", "atlasgit", "delete", "default"), GIT, "atlas", "no default route"),
    "jail silent": (by_hand("ifconfig", "e0a_atlasgit", "down"), GIT, "atlas", "does not answer"),
    "service down": (by_hand("service", "atlas", "onestop"), "service", "atlas", "not running"),
    "service at boot": (by_hand("sysrc", "-x", "atlas_enable"), "service", "atlas", "boot"),
    "script gone": (by_hand("rm", "/usr/local/etc/rc.d/atlas"), "service", "atlas", "missing"),
    "script edited": (
        edit("/usr/local/etc/rc.d/atlas", lambda data: data + b"# mine\n"),
        *("service", "atlas", "not as Warden writes it"),
    ),
    "script open": (by_hand("chmod", "777", "/usr/local/etc/rc.d/atlas"), "service", "atlas", "written by others"),
    "user gone": (by_hand("pw", "userdel", "atlas"), "service", "atlas", "no user"),
    "nginx down": (
        by_hand("jexec", "atlascms", "service", "nginx", "stop"),
        *("cms", "atlas", "atlascms is not healthy: nginx does not answer at http://10.0.1.3:80/"),
    ),
    "sshd down": (
        by_hand("jexec", "atlasgit", "service", "sshd", "onestop"),
        *("git", "atlas", "atlasgit is not healthy: sshd does not answer at 10.0.1.2:22"),
    ),
    "postgresql down": (
        by_hand("jexec", "atlasdb", "service", "postgresql", "stop"),
        *("db", "atlas", "atlasdb is not healthy: PostgreSQL does not answer at 10.0.1.5 port 5432"),
    ),
    "llama-server down": (
        by_hand("jexec", "clawdiellm", "service", "warden_llm", "stop"),
        *("llama-cpp", "clawdie", "clawdiellm is not healthy: no answer on 192.168.72.4:8080"),
    ),
    "repository gone": (
        by_hand("jexec", "atlasgit", "rm", "-rf", "/srv/git/atlas.git"),
        *("git", "atlas", "the repository /srv/git/atlas.git is not there"),
    ),
    "package gone": (
        by_hand("jexec", "atlascms", "env", "ASSUME_ALWAYS_YES=yes", "pkg", "delete", "-y", "nginx"),
        *("cms", "atlas", "atlascms is not healthy: "),
    ),
    "key gone": (
        by_hand("rm", f"{KEYS}/atlas", f"{KEYS}/atlas.pub"),
        *("key", "atlas", f"{KEYS}/atlas is missing"),
    ),
    "key given away": (
        by_hand("chown", "mine", f"{KEYS}/atlas"),
        "key",
        "atlas",
        "belongs to mine, and should to atlas",
    ),
    "known hosts gone": (
        by_hand("rm", f"{KEYS}/atlas.known_hosts"),
        *("key", "atlas", "atlas.known_hosts, the host key of atlasgit, is missing"),
    ),
    "password gone": (
        edit(f"{ETC}/agents/atlas.env", lambda data: re.sub(rb"(?m)^DB_PASSWORD=.*\n", b"", data)),
        *("secrets", "atlas", "has no DB_PASSWORD"),
    ),
    "names gone": (
        edit("/etc/hosts", lambda data: data.replace(b"10.0.1.2\tgit.atlas.home.arpa\n", b"")),
        *("names", "atlas", "/etc/hosts has no name of ours for 10.0.1.2"),
    ),
    "environment gone": (by_hand("rm", f"{ETC}/agents/atlas.env"), "secrets", "atlas", "missing"),
    "environment open": (by_hand("chmod", "640", f"{ETC}/agents/atlas.env"), "secrets", "atlas", "0640"),
    "environment given away": (
        by_hand("chown", "mine", f"{ETC}/agents/atlas.env"),
        *("secrets", "atlas", "belongs to mine"),
    ),
    "copy of the environment": (
        by_hand("sh", "-c", f"cat {ETC}/agents/atlas.env > {ETC}/agents/atlas.env.old"),
        *("secrets", "atlas", "atlas.env.old"),
    ),
    "locale changed": (
        edit(f"{ETC}/agents/atlas.env", lambda data: data.replace(b"\nLANG=", b"\nLANG=C")),
        *("locale", "atlas", "LANG"),
    ),
    "registry open": (by_hand("chmod", "666", f"{ETC}/agents/atlas.toml"), "files", HOST, "atlas.toml"),
    "registry folder open": (by_hand("chmod", "777", f"{ETC}/agents"), "files", HOST, f"{ETC}/agents "),
    "rules given away": (by_hand("chown", "mine", f"{ETC}/pf.conf"), "files", HOST, "belongs to mine"),
    "record gone": (by_hand("rm", f"{ETC}/host.toml"), "files", HOST, "host.toml is missing"),
    "armed guard": (put(GUARD, b'rm "$0" || exit 0\n'), "left-overs", HOST, "guard"),
    "epair of nobody": (
        by_hand(
            "sh",
            "-c",
            "pair=$(ifconfig epair create); ifconfig $pair name e0a_gone; ifconfig warden0 addm e0a_gone",
        ),
        *("orphans", HOST, "epair e0a_gone"),
    ),
    "account of nobody": (
        by_hand("pw", "useradd", "gone", "-c", "warden agent gone", "-s", "/bin/sh", "-w", "no"),
        *("orphans", HOST, "user gone"),
    ),
    "half a file": (put(f"{ETC}/agents/.new.toml.warden", b"name ="), "left-overs", HOST, "half a file"),
}
"""By name: what is done by hand, and the subject, the agent and a part of the message of the one finding."""


IN_NO_REGISTRY = ("priority ", "quota ", "edit nginx.conf ", "edit pg_hba.conf ", "rc.conf of a jail ", "lose names ")
"""What only a spec knows: in which order jails start at boot, how much an agent may have, and what is in its jails."""


@cache
def good() -> World:
    world = lived_in()
    assert world.apply(TWO).ok
    return world


def look(world: World) -> tuple[Finding, ...]:
    return examine(read_host(RecordingHost(world.machine), [], None), TWO.network)


def wrong(world: World) -> list[Finding]:
    return [one for one in look(world) if one.status != "ok"]


@pytest.mark.parametrize("kind", HOSTS)
def test_a_host_that_is_well_has_nothing_wrong_also_after_a_reboot(kind: str) -> None:
    world = HOSTS[kind]()
    assert world.apply(TWO).ok
    assert wrong(world) == []
    assert {one.agent for one in look(world)} == {None, "atlas", "clawdie"}
    served = [one.subject for one in look(world) if one.agent == "clawdie" and one.subject in SERVICES]
    assert served == ["git", "cms", "llama-cpp", "db"]
    world.reboot()
    assert [(one.subject, one.message) for one in wrong(world)] == [
        ("llama-cpp", "clawdiellm is not healthy: loading model")
    ]
    world.sh("/bin/sleep", "10")
    assert wrong(world) == []


@pytest.mark.parametrize("kind", HOSTS)
def test_a_host_without_agents_is_well_and_is_asked_for_nothing_that_only_agents_need(kind: str) -> None:
    found = look(HOSTS[kind]())
    assert [one for one in found if one.status != "ok"] == []
    assert not {"forwarding", "bridge warden0", "devfs ruleset"} & {one.subject for one in found}


@pytest.mark.parametrize("name", sorted(HARMS))
def test_what_was_broken_is_named_and_what_the_doctor_says_mends_it(name: str) -> None:
    harm, subject, agent, words = HARMS[name]
    world = good().copy()
    harm(world)
    found = wrong(world)
    assert [(one.subject, one.agent) for one in found] == [(subject, agent)], found
    assert words in found[0].message
    if found[0].mend == APPLY:
        assert world.apply(TWO).ok
    elif found[0].mend == GC:
        assert world._carry_out([], make_gc_plan, None, 0).ok
    else:
        world.sh("sh", "-c", found[0].mend)
    assert wrong(world) == []


@pytest.mark.parametrize("name", sorted(name for name in STATEFUL_HARMS if not name.startswith(IN_NO_REGISTRY)))
def test_without_a_spec_it_sees_all_that_an_apply_would_mend(name: str) -> None:
    """But for what stands in no registry."""
    world = broken().copy()
    (no_model,) = [one for one in look(world) if one.status != "ok"]
    assert no_model.message == "atlasllm: no model"
    STATEFUL_HARMS[name](world)
    found = examine(read_host(RecordingHost(world.machine), [], None), WHOLE.network)
    assert all(one.status == "ok" or one == no_model for one in found) == world.plan(WHOLE).empty


def test_a_jail_that_is_down_serves_nothing_and_that_is_said_once() -> None:
    world = good().copy()
    world.sh("bastille", "stop", "atlasgit")
    found = [one for one in look(world) if one.agent == "atlas"]
    assert [(one.subject, one.message) for one in found if one.status != "ok"] == [(GIT, "is down")]
    assert "git" not in {one.subject for one in found}
    assert {"cms", "db"} <= {one.subject for one in found if one.status == "ok"}


def test_a_server_without_a_model_is_a_warning_until_it_has_one() -> None:
    clawdie = TWO.agents["clawdie"]
    without = spec_of(replace(clawdie, jails={**clawdie.jails, "llama-cpp": JailSpec()}))
    world = fresh()
    assert world.apply(without).ok
    (found,) = wrong(world)
    assert (found.status, found.subject, found.agent) == ("warning", "llama-cpp", "clawdie")
    assert found.message == "clawdiellm: no model"
    assert "model" in found.mend
    assert "apply" in found.mend
    assert healthy(look(world))
    assert world.apply(spec_of(clawdie)).ok
    assert wrong(world) == []


def test_a_release_without_pkg_is_a_warning_for_each_jail_and_its_services_are_not_called_ill() -> None:
    world = fresh()
    world.sh("/bin/rm", "-f", "/usr/local/bastille/releases/15.1-RELEASE/usr/sbin/pkg")
    assert world.apply(TWO).ok
    found = wrong(world)
    assert [(one.agent, one.subject) for one in found] == [
        *(("atlas", service) for service in ("git", "cms", "db")),
        *(("clawdie", service) for service in ("git", "cms", "llama-cpp", "db")),
    ]
    assert {one.status for one in found} == {"warning"}
    assert found[0].message == "atlasgit: empty: 15.1-RELEASE has no pkg(8) to install anything with"
    assert {one.mend for one in found} == {
        "bootstrap a release that has pkg(8) (bastille bootstrap RELEASE), and write it for the agent"
    }
    assert healthy(look(world))


def test_reading_takes_two_batches_and_changes_nothing() -> None:
    world = good().copy()
    before = what_matters(world.machine)
    host = RecordingHost(world.machine)
    read_host(host, [], None)
    assert host.batches == 2
    assert what_matters(world.machine) == before


def test_one_finding_for_each_of_several_things() -> None:
    world = good().copy()
    for name in ("bridge down", "jail down", "service at boot", "environment open"):
        HARMS[name][0](world)
    assert [(one.agent, one.subject) for one in wrong(world)] == [
        (None, "bridge warden0"),
        ("atlas", GIT),
        ("atlas", "service"),
        ("atlas", "secrets"),
    ]
    assert [one.subject for one in of_agents(look(world), ["clawdie"]) if one.status != "ok"] == ["bridge warden0"]


def test_a_command_that_does_not_stay_up() -> None:
    world = good().copy()
    child = world.facts().supervised["atlas"].child
    assert child is not None
    del world.machine.processes[child]
    assert [(one.subject, one.mend) for one in wrong(world)] == [("service", "tail /var/log/atlas.log")]


def test_who_holds_the_lock_is_told_and_what_it_works_with_is_no_left_over() -> None:
    world = good().copy()
    put(GUARD, b"")(world)
    lock = take_lock(RecordingHost(world.machine), HOLDER)
    try:
        assert [(one.status, one.subject) for one in wrong(world)] == [("warning", "lock")]
        assert f"{HOLDER.who}, {HOLDER.what}, since {HOLDER.since}" in wrong(world)[0].message
    finally:
        lock.close()
    assert [one.subject for one in wrong(world)] == ["left-overs"]


def test_the_lock_is_free_though_its_file_is_there() -> None:
    assert good().machine.files.exists(LOCK)
    assert {one.subject: one.message for one in look(good())}["lock"] == "free"


@pytest.mark.parametrize(
    ("percent", "status"), [(0, "ok"), (79, "ok"), (80, "warning"), (94, "warning"), (95, "failed"), (100, "failed")]
)
def test_a_pool_that_fills_up(percent: int, status: str) -> None:
    world = good().copy()
    pool = world.machine.pools["zroot"]
    pool.allocated = -(-pool.size * percent // 100)
    assert {one.subject: one.status for one in look(world)}["pools"] == status


def test_a_pool_that_is_not_well() -> None:
    world = good().copy()
    world.machine.pools["zroot"].health = "DEGRADED"
    found = wrong(world)
    assert [(one.status, one.subject) for one in found] == [("failed", "pools")]
    assert "zroot is DEGRADED: One or more devices could not be opened. Sufficient replicas" in found[0].message


def seen() -> Examined:
    return read_host(RecordingHost(good().machine), [], None)


def status_of(subject: str, examined: Examined) -> str:
    return {one.subject: one.status for one in examine(examined, TWO.network)}[subject]


@pytest.mark.parametrize(
    ("free", "status"), [(2 << 30, "ok"), (1 << 30, "ok"), (1 << 29, "warning"), (1 << 20, "failed"), (0, "failed")]
)
def test_free_space(free: int, status: str) -> None:
    examined = seen()
    assert status_of("free space", replace(examined, vitals=replace(examined.vitals, free_space=free))) == status


@pytest.mark.parametrize(
    ("version", "status"), [("1.4.4", "ok"), ("1.4.3", "warning"), ("1.10.0", "warning"), (None, "failed")]
)
def test_versions_of_bastille(version: str | None, status: str) -> None:
    examined = seen()
    assert status_of("bastille", replace(examined, facts=replace(examined.facts, bastille=version))) == status


def test_no_pool_a_locale_that_is_not_there_and_a_release_that_is_too_old() -> None:
    examined = seen()
    facts = replace(examined.facts, locales=frozenset({"C.UTF-8"}), release="13.2-RELEASE")
    found = examine(replace(examined, facts=facts, vitals=replace(examined.vitals, pools=())), TWO.network)
    assert [(one.subject, one.agent, one.status) for one in found if one.status != "ok"] == [
        ("release", None, "warning"),
        ("pools", None, "failed"),
        ("locale", "atlas", "failed"),
    ]
    assert not healthy(found)


@pytest.mark.parametrize(
    ("ahead", "status"), [(0.0, "ok"), (4.9, "ok"), (-4.9, "ok"), (6.0, "warning"), (-3600.0, "warning")]
)
def test_clocks(ahead: float, status: str) -> None:
    world = good().copy()
    now = EPOCH + world.machine.clock
    read = partial(read_host, RecordingHost(world.machine), [])
    assert status_of("clock", read(lambda: now - ahead)) == status


def test_a_slow_network_is_no_difference_between_clocks() -> None:
    world = good().copy()
    now = EPOCH + world.machine.clock
    ticks = iter([now - 20.0, *[now + 20.0] * 99])
    assert status_of("clock", read_host(RecordingHost(world.machine), [], lambda: next(ticks))) == "ok"


def test_a_jail_that_is_down_is_not_waited_for() -> None:
    world = good().copy()
    world.sh("bastille", "stop", "atlasgit")
    host = RecordingHost(world.machine)
    examined = read_host(host, [], None)
    pinged = {command.argv[-1] for command in host.effective if command.argv[0] == "/sbin/ping"}
    assert "10.0.1.2" not in pinged
    assert "10.0.1.3" in pinged
    assert examined.vitals.silent == frozenset[IPv4Address]()


def test_with_a_spec_it_says_whether_a_plan_would_change_anything() -> None:
    world = good().copy()
    names = list(TWO.agents)
    assert [one.status for one in compare(TWO, names, world.facts(*names))] == ["ok"]
    world.sh("service", "atlas", "onestop")
    (finding,) = compare(TWO, names, world.facts(*names))
    assert (finding.status, finding.message, finding.mend) == ("warning", "the plan says 1 change", APPLY)


@pytest.mark.parametrize("name", sorted(name for name in STATEFUL_HARMS if name.startswith(IN_NO_REGISTRY)))
def test_with_a_spec_it_sees_what_stands_in_no_registry_as_well(name: str) -> None:
    world = broken().copy()
    STATEFUL_HARMS[name](world)
    names = list(WHOLE.agents)
    (finding,) = compare(WHOLE, names, world.facts(*names))
    assert (finding.status == "ok") == world.plan(WHOLE).empty
    assert finding.mend == ("" if finding.status == "ok" else APPLY)


def test_a_bootstrap_that_was_cut_off() -> None:
    world = good().copy()
    put(f"{ETC}/bootstrapping-14.3-RELEASE", b"")(world)
    assert [(one.subject, one.mend) for one in wrong(world)] == [("left-overs", "warden host bootstrap")]


def test_pools_of_all_kinds_are_understood() -> None:
    assert parse_pools("a\tONLINE\t5\nb\tFAULTED\t-\n") == (
        Pool(name="a", health="ONLINE", capacity=5),
        Pool(name="b", health="FAULTED", capacity=0),
    )
