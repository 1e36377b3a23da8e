# SPDX-License-Identifier: BSD-2-Clause
"""What the service db asks of the host, and how it is set up: on paper, and on a fake host with all its commands."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

import pytest

from tests.services.databases import ADDRESS, agent_with, database_jail
from warden.facts.inside.common import HEAD
from warden.facts.inside.db import QUESTION
from warden.host.fake import packages, processes
from warden.host.fake.machine import Machine
from warden.host.fake.persist import Json, from_json, to_json
from warden.host.fake.profiles import make
from warden.host.fake.program import Call, run_program
from warden.services import db, db_sql, host_db
from warden.services.db_sql import Tenant
from warden.services.shape import Place

if TYPE_CHECKING:
    from collections.abc import Callable

JAIL = database_jail()
AGENT = agent_with(JAIL)
ROOT = "/usr/local/bastille/jails/atlasdb/root"
PASSWORD = 'it\'s "100%" $HOME\\n `id` #;'


def test_data_and_wal_have_a_dataset_each_of_one_pool_and_are_mounted_where_postgresql_looks() -> None:
    needs = db.needs(AGENT, JAIL)
    assert [(dataset.name, dataset.mountpoint) for dataset in needs.datasets] == [
        ("zroot/warden/atlas/pgdata18", "/var/db/warden/atlas/pgdata18"),
        ("zroot/warden/atlas/pgwal18", "/var/db/warden/atlas/pgwal18"),
    ]
    assert {(dataset.owner, dataset.mode) for dataset in needs.datasets} == {("770:770", "0700")}
    assert [(mount.source, mount.target, mount.writable) for mount in needs.mounts] == [
        ("/var/db/warden/atlas/pgdata18", "/var/db/postgres/data18", True),
        ("/var/db/warden/atlas/pgwal18", "/var/db/postgres/wal18", True),
    ]
    data, wal = needs.datasets
    assert (data.properties["recordsize"], wal.properties["recordsize"]) == ("16K", "128K")
    assert {data.properties["compression"], wal.properties["compression"]} == {"lz4"}
    assert {data.properties["atime"], wal.properties["atime"]} == {"off"}


def test_the_agent_is_told_where_its_database_is() -> None:
    needs = db.needs(replace(AGENT, name="my-atlas"), replace(JAIL, port=5433))
    assert needs.environment == {"DB_HOST": ADDRESS, "DB_PORT": "5433", "DB_USER": "my_atlas"}
    assert needs.secrets == ("DB_PASSWORD",)
    assert needs.parameters == {"sysvmsg": "new", "sysvsem": "new", "sysvshm": "new"}


def test_without_a_pool_there_are_no_datasets_and_pages_can_be_torn() -> None:
    agent = replace(AGENT, storage=None)
    needs = db.needs(agent, JAIL)
    assert (needs.datasets, needs.mounts) == ((), ())
    assert b"full_page_writes" not in db.setup(agent, JAIL).files[0].content
    assert b"full_page_writes = off" in db.setup(AGENT, JAIL).files[0].content


def test_another_major_version_shares_nothing_with_this_one() -> None:
    newer = database_jail(version=19)
    for ours, theirs in zip(db.needs(AGENT, JAIL).datasets, db.needs(AGENT, newer).datasets, strict=True):
        assert (ours.name, ours.mountpoint) != (theirs.name, theirs.mountpoint)
    setup = db.setup(AGENT, newer)
    assert setup.packages == (
        *("postgresql19-server", "postgresql19-client", "postgresql19-contrib", "postgresql19-pgvector"),
    )
    assert "/var/db/postgres/data19" in setup.variables["postgresql_data"]
    assert "18" not in " ".join(setup.variables.values())


def test_data_of_other_versions_are_known_by_their_datasets() -> None:
    names = ["zroot/warden/atlas/pgdata16", "zroot/warden/atlas/pgdata18", "zroot/warden/atlas/pgdata16/x"]
    names += ["zroot/warden/atlasx/pgdata15", "zroot/warden/atlas/pgwal15"]
    assert db.other_versions(AGENT, 18, names) == (16,)
    assert db.other_versions(AGENT, 19, names) == (16, 18)
    assert db.other_versions(replace(AGENT, storage=None), 18, names) == ()


def test_the_cluster_is_made_with_the_agents_locale_and_an_order_that_no_upgrade_changes() -> None:
    flags = db.setup(replace(AGENT, system_locale="sl_SI.UTF-8"), JAIL).variables["postgresql_initdb_flags"].split()
    assert {"--encoding=UTF8", "--locale=sl_SI.UTF-8", "--data-checksums", "--waldir=/var/db/postgres/wal18"} <= {
        *flags
    }
    assert {"--locale-provider=builtin", "--builtin-locale=C.UTF-8"} <= {*flags}
    older = db.setup(AGENT, database_jail(version=16)).variables["postgresql_initdb_flags"].split()
    assert "--lc-collate=C" in older
    assert not [flag for flag in older if "builtin" in flag]


def test_only_the_agents_subnet_gets_to_its_own_databases() -> None:
    rules = db.setup(AGENT, JAIL).files[1]
    assert [line.split() for line in rules.content.decode().splitlines() if line and not line.startswith("#")] == [
        ["local", "all", "postgres", "peer"],
        ["host", "atlas_ops,atlas_brain,atlas_skills", "atlas", "10.0.1.0/24", "scram-sha-256"],
    ]
    assert (rules.mode, rules.owner) == ("0640", "root:postgres")


def test_items_name_everything_that_is_wanted() -> None:
    wanted = db.setup(AGENT, JAIL).items
    assert {"login works", "role atlas", "role system", "database atlas_ops atlas"} <= wanted
    assert {"database system_skills system", "extension atlas_brain uuid-ossp"} <= wanted
    assert {"database postgres postgres", "database template1 postgres"} <= wanted
    assert len(wanted) == 3 + 6 + 2 + 9


def test_no_password_is_asked_for_by_name_only_and_never_a_word_of_a_command() -> None:
    setup = db.setup(AGENT, JAIL)
    (finish,) = setup.finish
    assert "/usr/local/etc/warden/agents/atlas.env" in finish.argv
    assert not finish.secret, "there is nothing in it to hide"
    assert b":'password'" in finish.stdin
    assert b"\\getenv password DB_PASSWORD" in finish.stdin


@pytest.mark.parametrize(
    "script",
    [
        *(HEAD + QUESTION, db.STOP_OTHERS, db.MAKE_CLUSTER, db_sql.APPLY, db_sql.WITH_PASSWORD),
        *(host_db.LISTEN, host_db.IS_FREE, host_db.IS_ALONE),
    ],
)
def test_the_scripts_are_sound(script: str, require_tool: Callable[[str], str]) -> None:
    shellcheck = require_tool("shellcheck")
    # variables set by others, `cmd && item || ...`, files named at run time, functions that a script has more of
    ignored = "SC2034,SC1090,SC2015,SC2016,SC2317,SC2329"
    argv = [shellcheck, "-s", "sh", "-e", ignored, "-"]
    done = subprocess.run(argv, input=script.encode(), capture_output=True, check=False)
    assert done.stdout.decode() == ""


class Rehearsal:
    """A fake host with an agent's jail, its storage and its env file, as they are before the service is set up."""

    def __init__(self) -> None:
        self.machine = make("ready")
        self.run("ifconfig", "bridge", "create", "name", "warden0")
        self.run("ifconfig", "warden0", "inet", "10.0.1.1/24", "up")
        self.run("bastille", "create", "-T", "-B", JAIL.name, JAIL.release, f"{ADDRESS}/24", "warden0")
        needs = db.needs(AGENT, JAIL)
        for dataset in needs.datasets:
            properties = {**dataset.properties, "mountpoint": dataset.mountpoint}
            options = [word for name, value in properties.items() for word in ("-o", f"{name}={value}")]
            self.run("zfs", "create", "-p", *options, dataset.name)
            self.run("chown", dataset.owner, dataset.mountpoint)
            self.run("chmod", dataset.mode, dataset.mountpoint)
        for mount in needs.mounts:
            self.run("mkdir", "-p", f"{ROOT}{mount.target}")
            self.run("mount", "-t", "nullfs", mount.source, f"{ROOT}{mount.target}")
        self.set_password(PASSWORD)

    def set_password(self, password: str) -> None:
        quoted = password.replace("'", "'\\''")
        self.machine.files.make_dir("/usr/local/etc/warden/agents", parents=True)
        self.machine.files.write("/usr/local/etc/warden/agents/atlas.env", f"DB_PASSWORD='{quoted}'\n".encode())

    def run(self, *argv: str, stdin: bytes = b"", expect: int = 0) -> str:
        reply = run_program(Call(self.machine, argv, stdin, {"HOME": "/root", "LC_ALL": "C.UTF-8"}))
        assert reply.exit_code == expect, (argv, reply)
        return reply.stdout.decode()

    def ask(self, password: str = PASSWORD, version: str = "18") -> list[str]:
        words = (ADDRESS, "5432", version, "jail", "atlas")
        argv = ("timeout", "15", "/usr/sbin/jexec", "-l", JAIL.name, "/bin/sh", "-c", HEAD + QUESTION, "sh", *words)
        return self.run(*argv, stdin=f"{password}\n".encode()).splitlines()

    def set_up(self, *, start: bool = True) -> None:
        """Do what the setup says, in its order."""
        setup, call = db.setup(AGENT, JAIL), Call(self.machine, ("pkg",), jail=JAIL.name)
        for name in packages.missing(call, ["pkg", *setup.packages]):
            packages.install(call, name, self.machine.catalogue[name])
        for name, value in setup.variables.items():
            self.run("jexec", "-l", JAIL.name, "sysrc", f"{name}={value}")
        for file in setup.files:
            written = Place(jail=JAIL.name).write(file)
            self.run(*written.argv, stdin=written.stdin)
        for command in (*setup.prepare, *setup.check):
            self.run(*command.argv, stdin=command.stdin)
        if start:
            self.run("jexec", "-l", JAIL.name, "service", "postgresql", "start")
        for command in setup.finish:
            self.run(*command.argv, stdin=command.stdin)

    def missing(self, password: str = PASSWORD) -> set[str]:
        told = set(self.ask(password))
        return {item for item in db.setup(AGENT, JAIL).items if f"item {item}" not in told}


@pytest.fixture(scope="module")
def done() -> Json:
    """Give a host on which the service was set up, as JSON."""
    rehearsal = Rehearsal()
    assert rehearsal.ask()[-1] == "ill PostgreSQL is not installed"
    rehearsal.set_up()
    return to_json(rehearsal.machine)


@pytest.fixture
def rehearsal(done: Json) -> Rehearsal:
    """Give that host."""
    found = Rehearsal.__new__(Rehearsal)
    found.machine = from_json(Machine, done)
    return found


def test_what_was_set_up_is_told_and_healthy(rehearsal: Rehearsal) -> None:
    told = rehearsal.ask()
    assert told[-1] == "healthy"
    assert rehearsal.missing() == set()
    setup = db.setup(AGENT, JAIL)
    for name, value in setup.variables.items():
        assert f"variable {name} {value}" in told
    for file in setup.files:
        assert [line for line in told if line.startswith("file 640 root:postgres ") and line.endswith(f" {file.path}")]
    for name in setup.packages:
        assert [line for line in told if line.startswith(f"package {name} ")]


def test_ten_times_change_nothing(rehearsal: Rehearsal) -> None:
    def data() -> dict[str, bytes]:
        entries = rehearsal.machine.files.walk("/var/db/warden/atlas/pgdata18")
        return {path: node.data for path, node in entries}

    before = data()
    running = rehearsal.run("jexec", JAIL.name, "pgrep", "-u", "postgres")
    for _ in range(10):
        rehearsal.set_up(start=False)
    assert data() == before
    assert rehearsal.run("jexec", JAIL.name, "pgrep", "-u", "postgres") == running


def test_a_password_that_changed_in_the_env_file_is_set(rehearsal: Rehearsal) -> None:
    rehearsal.set_password("another one")
    assert rehearsal.missing("another one") == {"login works"}
    rehearsal.set_up(start=False)
    assert rehearsal.missing("another one") == set()
    assert rehearsal.missing() == {"login works"}


def test_an_env_file_without_a_password_changes_nothing(rehearsal: Rehearsal) -> None:
    rehearsal.machine.files.write("/usr/local/etc/warden/agents/atlas.env", b"TOKEN=x\n")
    (finish,) = db.setup(AGENT, JAIL).finish
    reply = run_program(Call(rehearsal.machine, finish.argv, finish.stdin))
    assert (reply.exit_code, b"DB_PASSWORD is not set in" in reply.stderr) == (1, True)
    assert rehearsal.missing() == set()


def test_it_is_healthy_after_its_jail_ended_in_any_way(rehearsal: Rehearsal) -> None:
    rehearsal.run("bastille", "restart", JAIL.name)
    for mount in db.needs(AGENT, JAIL).mounts:  # the core has them in the jail's fstab
        if not rehearsal.machine.files.exists(f"{ROOT}{mount.target}/.", root="/"):
            rehearsal.run("mount", "-t", "nullfs", mount.source, f"{ROOT}{mount.target}")
    assert rehearsal.ask()[-1] == "healthy"
    processes.kill_jail(rehearsal.machine, JAIL.name)
    assert rehearsal.ask()[-1] == f"ill PostgreSQL does not answer at {ADDRESS} port 5432"
    rehearsal.set_up()
    assert (rehearsal.ask()[-1], rehearsal.missing()) == ("healthy", set())


def test_a_recovering_server_is_ill_and_says_why(rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("warden.host.fake.unrecorded.postgresql.RECOVERY", 100)
    processes.kill_jail(rehearsal.machine, JAIL.name)
    rehearsal.run("jexec", "-l", JAIL.name, "service", "postgresql", "start", expect=1)
    recovering = "ill PostgreSQL is starting, recovering or stopping, and takes no connections yet"
    assert rehearsal.ask()[-1] == recovering
    rehearsal.set_up(start=False)  # the last step waits for it
    assert (rehearsal.ask()[-1], rehearsal.missing()) == ("healthy", set())


def test_a_cluster_of_another_version_is_left_alone(rehearsal: Rehearsal) -> None:
    path = "/var/db/warden/atlas/pgdata18/PG_VERSION"
    rehearsal.machine.files.write(path, b"17\n")
    assert rehearsal.ask()[-1] == "ill cluster in /var/db/postgres/data18 is version 17 of PostgreSQL, not 18"
    (prepare,) = db.setup(AGENT, JAIL).prepare
    reply = run_program(Call(rehearsal.machine, prepare.argv, prepare.stdin))
    assert (reply.exit_code, b"is version 17" in reply.stderr) == (1, True)
    assert rehearsal.machine.files.read(path) == b"17\n"


def test_a_server_of_another_version_makes_room_and_keeps_its_data(rehearsal: Rehearsal) -> None:
    """What is left mounted of the old version runs when the jail starts, and holds the port."""
    other = "/var/db/postgres/data17"
    script = db.setup(AGENT, database_jail(version=17)).prepare[0].argv[-7:]
    assert script[:2] == ("/bin/sh", "-c")
    rehearsal.run(
        "jexec", "-l", JAIL.name, "sysrc", "postgresql_initdb_flags=--encoding=UTF8", f"postgresql_data={other}"
    )
    rehearsal.run("jexec", "-l", JAIL.name, "service", "postgresql", "initdb")
    rehearsal.run("jexec", "-l", JAIL.name, "service", "postgresql", "start", expect=1)  # 18 has the port
    before = rehearsal.machine.files.read("/var/db/warden/atlas/pgdata18/base/catalogue.json")
    rehearsal.machine.files.write(f"{ROOT}{other}/PG_VERSION", b"17\n")
    rehearsal.run("jexec", "-l", JAIL.name, *script)
    assert not rehearsal.machine.files.exists("/var/db/warden/atlas/pgdata18/postmaster.pid")
    assert rehearsal.machine.files.read("/var/db/warden/atlas/pgdata18/base/catalogue.json") == before
    rehearsal.run("jexec", "-l", JAIL.name, *script)
    rehearsal.set_up()  # and back
    assert (rehearsal.ask()[-1], rehearsal.missing()) == ("healthy", set())


def test_tenants_share_a_server_by_their_own_lines() -> None:
    tenants = [
        Tenant(agent="atlas", subnet=IPv4Network("10.0.1.0/24")),
        Tenant(agent="my-bot", subnet=IPv4Network("10.0.2.0/24")),
    ]
    lines = db_sql.who_may_connect("2 agents", tenants).decode().splitlines()
    assert "host    my_bot_ops,my_bot_brain,my_bot_skills  my_bot  10.0.2.0/24  scram-sha-256" in lines
    assert not [line for line in lines if "atlas" in line and "my_bot" in line]
