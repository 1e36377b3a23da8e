# SPDX-License-Identifier: BSD-2-Clause
"""Service jails that serve: both agents with everything, through reboots, failures, repeats and goodbyes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.engine.conftest import MODEL, TWO, World, agent_spec, spec_of
from warden.engine.report import Outcome
from warden.engine.status import read_status
from warden.engine.upkeep import make_backup_plan, make_upgrade_plan
from warden.host.fake.faults import Faults
from warden.host.fake.profiles import make
from warden.resources.errors import RefusedError
from warden.spec.model import JailSpec, Limits, ServiceSettings

if TYPE_CHECKING:
    from warden.spec.model import AgentSpec, Service, Spec


def with_settings(agent: AgentSpec, service: Service, **settings: Any) -> AgentSpec:
    """Give an agent with settings of one service's own."""
    jail = replace(agent.jails[service], settings=ServiceSettings(**settings))
    return replace(agent, jails={**agent.jails, service: jail})


CLAWDIE = TWO.agents["clawdie"]
SERVED = TWO
"""Both agents with all services, and a model to serve."""


@pytest.fixture(scope="session")
def _served() -> World:
    world = World(make("ready"))
    cut = world.apply(SERVED)
    assert cut.ok, cut.trouble
    return world


@pytest.fixture
def served(_served: World) -> World:
    """Give a world of one's own in which both agents serve."""
    return _served.copy()


def states(world: World) -> dict[str, tuple[str, str]]:
    """Give each service jail's state, and why."""
    return {
        jail.name: (jail.state, jail.why) for agent in read_status(world.facts(), "warden0") for jail in agent.jails
    }


def ill(world: World) -> dict[str, str]:
    """Give the jails that are not healthy, each with why."""
    return {name: f"{state}: {why}" for name, (state, why) in states(world).items() if state != "healthy"}


def pids(world: World, agent: str) -> dict[int, tuple[str, list[str]]]:
    """Give the processes of an agent's jails and of its own service."""
    machine = world.machine
    return {
        pid: (process.jail, process.argv)
        for pid, process in machine.processes.items()
        if (process.jail and process.jail.startswith(agent)) or process.title.startswith(f"daemon: {agent}")
    }


MOVING = ("/var/log/", "/var/run/", "/var/db/warden/journal/", "/postmaster.pid", "/pg_stat_tmp/")
"""What a service that is started again writes anew."""


def contents(world: World) -> dict[str, str]:
    """Give a digest of every file that a host or a jail keeps, but for logs."""
    files = world.machine.files
    return {
        path: hashlib.sha256(node.data).hexdigest()
        for path, node in files.walk("/")
        if node.kind == "file" and not any(part in path for part in MOVING)
    }


def test_both_agents_serve_and_go_on_after_a_reboot(served: World) -> None:
    assert set(states(served)) == {
        *("clawdiegit", "clawdiecms", "clawdiedb", "clawdiellm"),
        *("atlasgit", "atlascms", "atlasdb"),
    }
    assert ill(served) == {}
    assert all(jail.version for agent in read_status(served.facts(), "warden0") for jail in agent.jails)
    assert served.plan(SERVED).empty
    served.reboot()
    served.sh("/bin/sleep", "60")  # llama-server reads its model
    assert ill(served) == {}
    assert served.plan(SERVED).empty


def test_a_model_that_is_not_given_is_a_warning_and_no_change() -> None:
    spec = spec_of(with_settings(CLAWDIE, "llama-cpp", model=None), TWO.agents["atlas"])
    world = World(make("ready"))
    assert world.apply(spec).ok
    assert states(world)["clawdiellm"] == ("warning", "no model")
    assert all(agent.healthy for agent in read_status(world.facts(), "warden0"))
    plan = world.plan(spec)
    assert plan.empty
    assert any("no model" in note.message for note in plan.notes)


def test_a_release_without_pkg_leaves_its_jails_empty_and_says_so() -> None:
    world = World(make("ready"))
    world.sh("/bin/rm", "-f", "/usr/local/bastille/releases/15.1-RELEASE/usr/sbin/pkg")
    assert world.apply(TWO).ok
    plan = world.plan(TWO)
    assert plan.empty
    assert sum("has no pkg(8)" in note.message for note in plan.notes) == 7
    assert {state for state, _ in states(world).values()} == {"warning"}
    # what needs no package is there
    assert "git.atlas.home.arpa" in world.sh("/usr/sbin/jexec", "atlasdb", "/bin/cat", "/etc/hosts")
    assert world.sh("/usr/sbin/jls", "-j", "atlasdb", "sysvshm").strip() == "new"


def test_ten_applies_change_no_file_no_secret_no_process(served: World) -> None:
    before, running = contents(served), pids(served, "")
    for _ in range(10):
        cut = served.apply(SERVED)
        assert cut.ok
        assert cut.report is not None
        assert cut.report.results == ()
    assert contents(served) == before
    assert pids(served, "") == running


def test_setting_everything_up_again_changes_no_secret_and_no_database(served: World) -> None:
    """The commands of every set-up are run once more, as after a cut-off: nothing is made twice."""
    before = contents(served)
    for jail in ("clawdiegit", "clawdiecms", "clawdiedb", "clawdiellm", "atlasgit", "atlascms", "atlasdb"):
        served.sh("/usr/sbin/jexec", jail, "/usr/bin/touch", "/var/run/warden.stale")
    cut = served.apply(SERVED)
    assert cut.ok, cut.trouble
    assert cut.report is not None
    assert {result.change.kind for result in cut.report.results} == {"git", "cms", "db", "llama-cpp"}
    assert contents(served) == before
    assert served.plan(SERVED).empty


def test_the_second_agents_end_leaves_the_first_ones_processes_alone(served: World) -> None:
    before = pids(served, "clawdie")
    assert before
    cut = served.destroy("atlas", spec=SERVED)
    assert cut.ok, cut.trouble
    assert pids(served, "clawdie") == before
    assert "zroot/warden/atlas" not in served.machine.datasets
    assert "atlas" not in served.machine.files.text("/etc/hosts")
    alone = spec_of(CLAWDIE)
    assert served.plan(alone).empty
    assert ill(served) == {}


def test_each_agent_has_datasets_of_its_own_and_they_are_not_shared(served: World) -> None:
    marks = {name: one.properties.get("warden:agent") for name, one in served.machine.datasets.items()}
    for agent in ("clawdie", "atlas"):
        for name in ("", "/workspace", "/repos", "/data", "/pgdata18", "/pgwal18"):
            assert marks[f"zroot/warden/{agent}{name}"] == agent
    for mount in served.machine.files.mounted():
        jail = mount.point.removeprefix("/usr/local/bastille/jails/").partition("/")[0]
        if mount.source.startswith("/var/db/warden/"):
            assert jail.startswith(mount.source.split("/")[4])


def test_a_quota_is_set_and_changed_without_anything_restarting(served: World) -> None:
    before = pids(served, "")
    spec = spec_of(replace(CLAWDIE, limits=Limits(quota=20 << 30)), TWO.agents["atlas"])
    assert served.apply(spec).ok
    assert served.sh("/sbin/zfs", "get", "-Hp", "-o", "value", "quota", "zroot/warden/clawdie").strip() == str(20 << 30)
    assert served.plan(spec).empty
    assert served.apply(SERVED).ok
    assert served.sh("/sbin/zfs", "get", "-Hp", "-o", "value", "quota", "zroot/warden/clawdie").strip() == "0"
    assert pids(served, "") == before


def test_a_jails_limits_hold_now_and_after_its_restart(served: World) -> None:
    limits = Limits(memory=1 << 30, processes=100, cpu=50)
    atlas = TWO.agents["atlas"]
    spec = spec_of(CLAWDIE, replace(atlas, jails={**atlas.jails, "db": JailSpec(limits=limits)}))
    assert served.apply(spec).ok
    rules = {
        "jail:atlasdb:memoryuse:deny=1073741824",
        "jail:atlasdb:maxproc:deny=100",
        "jail:atlasdb:pcpu:deny=50",
    }
    assert rules <= set(served.sh("/usr/bin/rctl").split())
    served.reboot()
    served.sh("/bin/sleep", "60")
    assert rules <= set(served.sh("/usr/bin/rctl").split())
    assert served.plan(spec).empty
    assert served.apply(SERVED).ok
    assert "atlasdb" not in served.sh("/usr/bin/rctl")


def test_an_agents_own_limits_are_its_users(served: World) -> None:
    spec = spec_of(CLAWDIE, replace(TWO.agents["atlas"], limits=Limits(memory=4 << 30, processes=400)))
    assert served.apply(spec).ok
    rules = {"user:atlas:memoryuse:deny=4294967296", "user:atlas:maxproc:deny=400"}
    assert rules <= set(served.sh("/usr/bin/rctl").split())
    served.reboot()
    served.sh("/bin/sleep", "60")
    assert rules <= set(served.sh("/usr/bin/rctl").split())
    assert served.plan(spec).empty
    assert served.destroy("atlas", spec=spec).ok
    assert "user:atlas" not in served.sh("/usr/bin/rctl")
    assert "user:atlas" not in served.sh("/bin/sh", "-c", "cat /etc/rctl.conf 2>/dev/null", fails=True)


@pytest.mark.parametrize(
    ("match", "failed"), [("pkg install -y git", "git:atlasgit"), ("pkg install -y nginx", "cms:atlascms")]
)
def test_a_package_that_cannot_be_installed_is_told_and_the_next_apply_goes_on(match: str, failed: str) -> None:
    world = World(make("ready"))
    alone = spec_of(TWO.agents["atlas"])
    alone = spec_of(replace(alone.agents["atlas"], llm_shared_with=None))
    cut = world.apply(alone, Faults(fail_match=match))
    assert cut.report is not None
    assert [one.change.id for one in cut.report.failures] == [failed]
    outcomes = {one.change.id: one.outcome for one in cut.report.results}
    assert outcomes["service:atlas"] is Outcome.SKIPPED
    again = world.apply(alone)
    assert again.ok, again.trouble
    assert ill(world) == {}


def test_a_full_pool_is_told_and_nothing_is_lost(served: World) -> None:
    secrets = served.machine.files.text("/usr/local/etc/warden/agents/clawdie.env")
    full = served.machine.files.room.full_pools
    full.append("zroot")
    grown = spec_of(CLAWDIE, TWO.agents["atlas"], agent_spec("rook", "10.0.9.0/24"))
    cut = served.apply(grown)
    assert not cut.ok
    assert cut.report is not None
    assert cut.report.failures
    assert ill(served).keys() <= {"rookgit", "rookcms", "rookdb"}
    full.clear()
    again = served.apply(grown)
    assert again.ok, again.trouble
    assert ill(served) == {}
    assert served.machine.files.text("/usr/local/etc/warden/agents/clawdie.env") == secrets


def test_a_service_that_never_gets_healthy_is_told_and_mended_by_the_next_apply(served: World) -> None:
    served.sh("/bin/mv", MODEL, f"{MODEL}.away")
    served.sh("/usr/sbin/jexec", "clawdiellm", "/usr/sbin/service", "warden_llm", "onestop")
    cut = served.apply(SERVED)
    assert cut.report is not None
    assert [one.change.id for one in cut.report.failures] == ["llama-cpp:clawdiellm"]
    assert MODEL in cut.trouble
    served.sh("/bin/mv", f"{MODEL}.away", MODEL)
    again = served.apply(SERVED)
    assert again.ok, again.trouble
    assert ill(served) == {}


def test_what_was_changed_by_hand_is_put_right(served: World) -> None:
    served.sh("/usr/sbin/jexec", "atlasdb", "/bin/sh", "-c", "echo '# by hand' >> /usr/local/etc/pg_hba.conf")
    served.sh("/usr/sbin/jexec", "atlascms", "/usr/sbin/service", "nginx", "stop")
    served.sh("/usr/sbin/jexec", "atlasgit", "/bin/rm", "-rf", "/srv/git/atlas.git")
    plan = served.plan(SERVED)
    assert [change.id for change in plan.changes] == ["git:atlasgit", "cms:atlascms", "db:atlasdb"]
    assert served.apply(SERVED).ok
    assert ill(served) == {}
    assert served.plan(SERVED).empty


def test_a_password_is_another_one_once_its_line_is_taken_away(served: World) -> None:
    path = "/usr/local/etc/warden/agents/atlas.env"
    before = served.machine.files.text(path)
    served.sh("/bin/sh", "-c", f"grep -v ^DB_PASSWORD= {path} > {path}.new; chmod 600 {path}.new; mv {path}.new {path}")
    plan = served.plan(SERVED)
    assert [change.id for change in plan.changes] == ["environment:atlas", "db:atlasdb", "service:atlas"]
    cut = served.apply(SERVED)
    assert cut.ok, cut.trouble
    after = served.machine.files.text(path)
    assert "DB_PASSWORD=" in after
    assert not {line for line in before.splitlines() if "DB_PASSWORD" in line} & set(after.splitlines())
    assert ill(served) == {}


def test_a_backup_is_one_snapshot_of_all_datasets(served: World) -> None:
    plan = make_backup_plan("atlas", served.facts(), "20261121T120000Z")
    [change] = plan.changes
    snapshots = [command for command in change.commands if "snapshot" in str(command)]
    assert len(snapshots) == 1
    cut = served._carry_out(["atlas"], lambda facts: make_backup_plan("atlas", facts, "20261121T120000Z"), None, 0)
    assert cut.ok, cut.trouble
    taken = {
        one.name: one.createtxg
        for one in served.machine.datasets.values()
        if one.name.endswith("@warden-20261121T120000Z")
    }
    assert {"zroot/warden/atlas/pgdata18", "zroot/warden/atlas/pgwal18"} <= {name.partition("@")[0] for name in taken}
    assert len(set(taken.values())) == 1


def test_an_upgrade_backs_up_first_and_ends_healthy(served: World) -> None:
    served.machine.catalogue["nginx"] = "1.30.0,3"
    stamp = "20261121T120000Z"
    cut = served._carry_out(["atlas"], lambda facts: make_upgrade_plan(SERVED, "atlas", facts, stamp), None, 0)
    assert cut.ok, cut.trouble
    assert cut.report is not None
    assert cut.report.results[0].change.id == "backup:atlas"
    versions = {jail.name: jail.version for agent in read_status(served.facts(), "warden0") for jail in agent.jails}
    assert versions["atlascms"] == "1.30.0,3"
    assert versions["clawdiecms"] != "1.30.0,3"
    assert ill(served) == {}
    assert served.plan(SERVED).empty


def test_secrets_are_made_once_and_the_operators_own_win(served: World) -> None:
    def password(world: World, agent: str) -> str:
        text = world.machine.files.text(f"/usr/local/etc/warden/agents/{agent}.env")
        return next(line.partition("=")[2] for line in text.splitlines() if line.startswith("DB_PASSWORD="))

    first = password(served, "clawdie"), password(served, "atlas")
    assert first[0] != first[1]
    assert all(len(value) >= 32 for value in first)
    own = replace(TWO.agents["atlas"], env={"DB_PASSWORD": "it's my own"})
    spec = spec_of(CLAWDIE, own)
    cut = served.apply(spec)
    assert cut.ok, cut.trouble
    assert "it's my own" in password(served, "atlas").replace("'\"'\"'", "'")
    assert password(served, "clawdie") == first[0]
    assert ill(served) == {}
    assert served.plan(spec).empty


def test_existing_variables_keep_their_places_and_missing_ones_are_appended(served: World) -> None:
    path = "/usr/local/etc/warden/agents/atlas.env"
    before = served.machine.files.text(path).splitlines()
    spec = spec_of(CLAWDIE, replace(TWO.agents["atlas"], env={"A_FIRST": "1"}))
    assert served.apply(spec).ok
    assert served.machine.files.text(path).splitlines() == [*before, "A_FIRST=1"]


def test_agents_are_told_where_their_services_are(served: World) -> None:
    clawdie = served.machine.files.text("/usr/local/etc/warden/agents/clawdie.env")
    atlas = served.machine.files.text("/usr/local/etc/warden/agents/atlas.env")
    assert "LLM_BASE_URL=http://192.168.72.4:8080" in clawdie
    assert "LLM_BASE_URL=http://192.168.72.4:8080" in atlas
    assert "DB_HOST=10.0.1.5" in atlas
    assert "llama-cpp.clawdie.home.arpa" in served.sh("/usr/sbin/jexec", "atlasgit", "/bin/cat", "/etc/hosts")


def on_host(name: str, subnet: str) -> AgentSpec:
    """Give an agent whose databases are on the host."""
    return with_settings(agent_spec(name, subnet, ("git", "db")), "db", runtime="host")


def login(world: World, agent: str, gateway: str, database: str) -> bool:
    """Tell whether an agent gets into a database of the host's server with its own password."""
    client = f'psql -X -w -q -A -t -h {gateway} -p 5432 -U {agent} -d {database} -c "SELECT 1"'
    env = f"/usr/local/etc/warden/agents/{agent}.env"
    return bool(world.sh("/bin/sh", "-c", f'. {env}; export PGPASSWORD="$DB_PASSWORD"; {client}', fails=True).strip())


def test_databases_on_the_host_are_shared_and_kept_apart() -> None:
    world = World(make("ready"))
    both = spec_of(on_host("atlas", "10.0.1.0/24"), on_host("rook", "10.0.9.0/24"))
    cut = world.apply(both)
    assert cut.ok, cut.trouble
    assert world.plan(both).empty
    assert "atlasdb" not in world.machine.jails
    found = {
        (agent.name, jail.service): jail for agent in read_status(world.facts(), "warden0") for jail in agent.jails
    }
    assert found["atlas", "db"].name == "host"
    assert {jail.state for jail in found.values()} == {"healthy"}
    assert login(world, "atlas", "10.0.1.1", "atlas_ops")
    assert not login(world, "atlas", "10.0.1.1", "rook_ops")
    assert not login(world, "rook", "10.0.9.1", "atlas_ops")
    world.reboot()
    world.sh("/bin/sleep", "30")
    assert world.plan(both).empty
    plan = make_backup_plan("atlas", world.facts(), "now")
    assert "zroot/warden/pgdata_18@warden-now zroot/warden/pgwal_18@warden-now" in str(plan.changes[0].commands[0])
    assert world.destroy("rook", spec=both).ok
    assert login(world, "atlas", "10.0.1.1", "atlas_ops")
    assert not login(world, "rook", "10.0.9.1", "rook_ops")
    assert world.plan(spec_of(on_host("atlas", "10.0.1.0/24"))).empty
    assert world.destroy("atlas", spec=both).ok
    assert "postgresql" not in world.machine.files.text("/etc/rc.conf")
    assert world.sh("/usr/bin/pgrep", "-u", "postgres", fails=True) == ""
    assert "zroot/warden/pgdata_18" in world.machine.datasets


def test_an_agent_that_comes_to_the_hosts_server_does_not_disturb_the_others_data() -> None:
    world = World(make("ready"))
    assert world.apply(spec_of(on_host("atlas", "10.0.1.0/24"))).ok
    secret = world.machine.files.text("/usr/local/etc/warden/agents/atlas.env")
    both = spec_of(on_host("atlas", "10.0.1.0/24"), on_host("rook", "10.0.9.0/24"))
    cut = world.apply(both)
    assert cut.ok, cut.trouble
    assert world.machine.files.text("/usr/local/etc/warden/agents/atlas.env") == secret
    assert login(world, "atlas", "10.0.1.1", "atlas_ops")
    assert login(world, "rook", "10.0.9.1", "rook_ops")


def test_a_postgresql_of_the_operators_is_a_conflict() -> None:
    world = World(make("ready"))
    world.sh("/usr/sbin/sysrc", "postgresql_enable=YES")
    plan = world.plan(spec_of(on_host("atlas", "10.0.1.0/24")))
    assert [conflict.id for conflict in plan.conflicts] == ["db:host"]


def test_databases_do_not_move_between_the_host_and_a_jail() -> None:
    world = World(make("ready"))
    assert world.apply(spec_of(on_host("atlas", "10.0.1.0/24"))).ok
    with pytest.raises(RefusedError, match=r"on the host .* wants it in a jail"):
        world.plan(spec_of(agent_spec("atlas", "10.0.1.0/24", ("git", "db"))))


def test_another_major_version_is_a_conflict_and_loses_nothing(served: World) -> None:
    atlas = with_settings(TWO.agents["atlas"], "db", version=17)
    spec = spec_of(CLAWDIE, atlas)
    plan = served.plan(spec)
    assert [conflict.id for conflict in plan.conflicts] == ["db:atlasdb"]
    assert "version = 18" in plan.conflicts[0].hint


def test_a_folder_with_something_in_it_is_not_hidden_under_a_mount() -> None:
    """A jail of the operator's time may hold a cluster, where the new dataset would be mounted."""
    world = World(make("ready"))
    alone = spec_of(agent_spec("atlas", "10.0.1.0/24", ("db",)))
    assert world.apply(alone).ok
    jail = "/usr/local/bastille/jails/atlasdb"
    world.sh("/usr/local/bin/bastille", "stop", "atlasdb")
    world.sh("/bin/sh", "-c", f"grep -v pgdata18 {jail}/fstab > /tmp/f; cp /tmp/f {jail}/fstab")
    world.sh("/usr/local/bin/bastille", "start", "atlasdb")
    world.sh(
        "/usr/sbin/jexec",
        "atlasdb",
        "/bin/sh",
        "-c",
        "mkdir -p /var/db/postgres/data18; echo old > /var/db/postgres/data18/file",
    )
    cut = world.apply(alone)
    assert not cut.ok
    assert "/var/db/postgres/data18 is not empty" in cut.trouble
    world.sh("/usr/sbin/jexec", "atlasdb", "/bin/rm", "/var/db/postgres/data18/file")
    assert world.apply(alone).ok
    assert ill(world) == {}


def test_a_jail_that_is_down_for_want_of_what_it_mounts_gets_its_new_folder() -> None:
    world = World(make("ready"))
    world.sh("/bin/mkdir", "-p", "/home/old", "/home/new")
    atlas = agent_spec("atlas", "10.0.1.0/24", ("cms",))
    assert world.apply(spec_of(with_settings(atlas, "cms", webroot="/home/old"))).ok
    world.sh("/usr/local/bin/bastille", "stop", "atlascms")
    world.sh("/bin/rm", "-rf", "/home/old")
    moved = spec_of(with_settings(atlas, "cms", webroot="/home/new"))
    cut = world.apply(moved)
    assert cut.ok, cut.trouble
    assert world.plan(moved).empty


def test_what_an_operator_has_limited_besides_stays(served: World) -> None:
    served.sh("/usr/local/bin/bastille", "limits", "atlasdb", "add", "openfiles", "5000")
    atlas = TWO.agents["atlas"]
    spec = spec_of(CLAWDIE, replace(atlas, jails={**atlas.jails, "db": JailSpec(limits=Limits(processes=100))}))
    cut = served.apply(spec)
    assert cut.ok, cut.trouble
    assert "openfiles" in served.machine.files.text("/usr/local/bastille/jails/atlasdb/rctl.conf")
    assert "jail:atlasdb:openfiles:deny=5000" in served.sh("/usr/bin/rctl")
    assert served.apply(SERVED).ok
    assert "openfiles" in served.machine.files.text("/usr/local/bastille/jails/atlasdb/rctl.conf")
    assert "maxproc" not in served.machine.files.text("/usr/local/bastille/jails/atlasdb/rctl.conf")


def test_limits_that_change_while_a_jail_is_down_are_the_only_ones_afterwards(served: World) -> None:
    def limited(memory: int) -> Spec:
        atlas = TWO.agents["atlas"]
        return spec_of(CLAWDIE, replace(atlas, jails={**atlas.jails, "db": JailSpec(limits=Limits(memory=memory))}))

    assert served.apply(limited(1 << 30)).ok
    served.sh("/usr/local/bin/bastille", "stop", "atlasdb")
    assert served.apply(limited(2 << 30)).ok
    assert served.sh("/usr/bin/rctl", "jail:atlasdb:memoryuse").split() == ["jail:atlasdb:memoryuse:deny=2147483648"]


def test_rc_conf_of_a_jail_may_be_written_in_other_ways(served: World) -> None:
    rc_conf = "sed -e s/nginx_enable=.*/nginx_enable=\\'YES\\'/ /etc/rc.conf > /etc/new && mv /etc/new /etc/rc.conf"
    served.sh("/usr/sbin/jexec", "atlascms", "/bin/sh", "-c", rc_conf)
    assert "nginx_enable='YES'" in served.sh("/usr/sbin/jexec", "atlascms", "/bin/cat", "/etc/rc.conf")
    assert served.plan(SERVED).empty


def below(world: World, folder: str) -> list[str]:
    """Give what is in a folder of the host's that a dataset is mounted over."""
    files, datasets = world.machine.files, world.machine.datasets
    above = datasets[max((name for name in datasets if folder.startswith(f"/var/db/{name[6:]}/")), key=len)]
    node = files.trees[above.name].children.get(folder.rpartition("/")[2])
    return sorted(node.children) if node is not None else []


def test_a_dataset_that_is_not_mounted_is_mounted_before_anything_is_made_in_its_place(served: World) -> None:
    before = contents(served)
    served.sh("/usr/local/bin/bastille", "stop", "atlasdb")
    served.sh("/sbin/zfs", "umount", "zroot/warden/atlas/pgdata18")
    storage = served.plan(SERVED).changes[0]
    assert (storage.id, storage.action, storage.reason) == ("storage:atlas", "~", "pgdata18 was not mounted")
    assert [one.argv for one in storage.commands] == [("/sbin/zfs", "mount", "zroot/warden/atlas/pgdata18")]
    cut = served.apply(SERVED)
    assert cut.ok, cut.trouble
    assert below(served, "/var/db/warden/atlas/pgdata18") == []
    assert contents(served) == before
    assert ill(served) == {}
    assert served.plan(SERVED).empty


@pytest.mark.parametrize("dataset", ["zroot/warden/atlas/pgdata18", "zroot/warden/atlas"])
def test_a_mount_that_failed_at_boot_is_made_good_and_the_jails_get_what_is_theirs(served: World, dataset: str) -> None:
    before, others = contents(served), pids(served, "clawdie")
    served.sh("/sbin/zfs", "set", "canmount=noauto", dataset)
    served.reboot()
    served.sh("/bin/sleep", "60")
    served.sh("/sbin/zfs", "set", "canmount=on", dataset)
    others = pids(served, "clawdie")
    change = served.plan(SERVED).changes[0]
    assert change.id == "storage:atlas"
    assert "was not mounted" in change.reason
    cut = served.apply(SERVED)
    assert cut.ok, cut.trouble
    assert contents(served) == before
    assert ill(served) == {}
    assert pids(served, "clawdie") == others
    assert served.plan(SERVED).empty
    served.reboot()
    served.sh("/bin/sleep", "60")
    assert served.plan(SERVED).empty


def test_a_dataset_that_was_moved_comes_back_with_what_it_holds(served: World) -> None:
    before = contents(served)
    served.sh("/usr/local/bin/bastille", "stop", "atlasdb")
    served.sh("/sbin/zfs", "set", "mountpoint=/srv/db", "zroot/warden/atlas/pgdata18")
    cut = served.apply(SERVED)
    assert cut.ok, cut.trouble
    assert contents(served) == before
    assert served.plan(SERVED).empty


def test_the_hosts_databases_are_mounted_before_their_server_starts() -> None:
    world, spec = World(make("ready")), spec_of(on_host("atlas", "10.0.1.0/24"))
    assert world.apply(spec).ok
    before = contents(world)
    world.sh("/usr/sbin/service", "postgresql", "stop")
    world.sh("/sbin/zfs", "umount", "zroot/warden/pgdata_18")
    cut = world.apply(spec)
    assert cut.ok, cut.trouble
    assert contents(world) == before
    assert world.plan(spec).empty


def test_an_agent_that_has_databases_on_the_host_only_has_a_place_for_them() -> None:
    only = replace(with_settings(agent_spec("atlas", "10.0.1.0/24", ("db",), command=None), "db", runtime="host"))
    world = World(make("ready"))
    cut = world.apply(spec_of(only))
    assert cut.ok, cut.trouble
    assert world.plan(spec_of(only)).empty


def foreign_cluster(world: World, version: int, *, running: bool) -> str:
    """Somebody has a cluster that rc.conf says nothing of; give its folder."""
    folder = f"/var/db/postgres/data{version}"
    world.sh("/usr/bin/env", "ASSUME_ALWAYS_YES=yes", "/usr/sbin/pkg", "install", "-y", f"postgresql{version}-server")
    flags = "postgresql_initdb_flags=--encoding=UTF8 --locale=C.UTF-8"
    world.sh("/usr/sbin/sysrc", flags, f"postgresql_data={folder}")
    world.sh("/usr/sbin/service", "postgresql", "oneinitdb")
    if running:
        world.sh("/usr/sbin/service", "postgresql", "onestart")
    world.sh("/usr/sbin/sysrc", "-x", "postgresql_initdb_flags", "postgresql_data")
    return folder


@pytest.mark.parametrize("running", [True, False])
def test_a_cluster_that_rc_conf_says_nothing_of_is_not_covered(*, running: bool) -> None:
    world, spec = World(make("ready")), spec_of(on_host("atlas", "10.0.1.0/24"))
    folder = foreign_cluster(world, 18, running=running)
    before, server = (
        world.machine.files.read(f"{folder}/base/catalogue.json"),
        world.sh("/usr/bin/pgrep", "-u", "postgres", fails=True),
    )
    cut = world.apply(spec)
    assert not cut.ok
    assert f"{folder} is not empty" in cut.trouble
    assert "zroot/warden/pgdata_18" not in world.machine.datasets
    assert "postgresql" not in world.machine.files.text("/etc/rc.conf")
    assert world.machine.files.read(f"{folder}/base/catalogue.json") == before
    assert world.sh("/usr/bin/pgrep", "-u", "postgres", fails=True) == server
    if running:
        world.sh("/bin/sh", "-c", f"su -m postgres -c '/usr/local/bin/pg_ctl -D {folder} -s -m fast stop'")
    world.sh("/bin/mv", folder, f"{folder}.old")
    cut = world.apply(spec)
    assert cut.ok, cut.trouble
    assert world.machine.files.read(f"{folder}.old/base/catalogue.json") == before


def test_a_server_of_another_version_on_the_host_is_not_stopped() -> None:
    world, spec = World(make("ready")), spec_of(on_host("atlas", "10.0.1.0/24"))
    folder = foreign_cluster(world, 17, running=True)
    server = world.sh("/usr/bin/pgrep", "-u", "postgres", fails=True)
    cut = world.apply(spec)
    assert not cut.ok
    assert f"runs on the host, with its data in {folder}" in cut.trouble
    assert 'runtime = "jail"' in cut.trouble
    assert world.sh("/usr/bin/pgrep", "-u", "postgres", fails=True) == server
    assert "zroot/warden/pgdata_18" not in world.machine.datasets
