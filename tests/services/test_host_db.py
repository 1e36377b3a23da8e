# SPDX-License-Identifier: BSD-2-Clause
"""PostgreSQL on the host, shared by agents: on paper, and on a fake host with all its commands."""

from __future__ import annotations

import pytest

from tests.services.databases import agent_with, database_jail
from warden.facts.inside.common import HEAD
from warden.facts.inside.db import QUESTION
from warden.host.fake import packages
from warden.host.fake.profiles import make
from warden.host.fake.program import Call, run_program
from warden.resources.errors import RefusedError
from warden.services import db, host_db
from warden.services.host_db import HostTenant
from warden.services.shape import Place


def tenant(name: str, subnet: str, *, version: int = 18, port: int = 5432) -> HostTenant:
    agent = agent_with(database_jail(), name, subnet=subnet, storage=f"zroot/warden/{name}")
    return HostTenant(agent=agent, version=version, port=port)


ATLAS, BOT = tenant("atlas", "10.0.1.0/24"), tenant("my-bot", "10.0.2.0/24")
PASSWORDS = {"atlas": 'it\'s "100%" $HOME\\n', "my-bot": "another one"}


def test_the_data_lie_beside_the_agents_and_where_the_server_looks() -> None:
    assert [(dataset.name, dataset.mountpoint) for dataset in host_db.datasets([BOT, ATLAS], "zroot")] == [
        ("zroot/warden/pgdata_18", "/var/db/postgres/data18"),
        ("zroot/warden/pgwal_18", "/var/db/postgres/wal18"),
    ]
    assert host_db.datasets([ATLAS], None) == ()
    assert b"full_page_writes" not in host_db.setup([ATLAS], None).files[0].content


def test_an_agent_is_told_its_gateway() -> None:
    needs = host_db.needs(BOT)
    assert needs.environment == {"DB_HOST": "10.0.2.1", "DB_PORT": "5432", "DB_USER": "my_bot"}
    assert needs.secrets == ("DB_PASSWORD",)


def test_the_order_of_the_agents_does_not_matter() -> None:
    assert host_db.setup([BOT, ATLAS], "zroot") == host_db.setup([ATLAS, BOT], "zroot")


def test_agents_that_want_different_servers_are_refused() -> None:
    for other in (tenant("other", "10.0.3.0/24", version=17), tenant("other", "10.0.3.0/24", port=5433)):
        with pytest.raises(RefusedError, match="atlas, other share one PostgreSQL"):
            host_db.setup([ATLAS, other], "zroot")


def test_a_postgresql_of_the_operators_is_left_alone() -> None:
    ours = dict(host_db.setup([ATLAS], "zroot").variables)
    assert host_db.refusal({}, [ATLAS]) == ""
    assert host_db.refusal(ours, [ATLAS]) == ""
    assert "not Warden's" in host_db.refusal({"postgresql_enable": "YES"}, [ATLAS])
    assert "not Warden's" in host_db.refusal({**ours, "postgresql_flags": "-w"}, [ATLAS])
    assert "data17" in host_db.refusal({**ours, "postgresql_data": "/var/db/postgres/data17"}, [ATLAS])


class Rehearsal:
    """A fake host with two agents' gateways and env files."""

    def __init__(self) -> None:
        self.machine = make("ready")
        self.run("ifconfig", "bridge", "create", "name", "warden0")
        for one in (ATLAS, BOT):
            self.run("ifconfig", "warden0", "inet", f"{one.agent.gateway}/24", "alias")
            quoted = PASSWORDS[one.agent.name].replace("'", "'\\''")
            path = f"/usr/local/etc/warden/agents/{one.agent.name}.env"
            self.machine.files.make_dir("/usr/local/etc/warden/agents", parents=True)
            self.machine.files.write(path, f"DB_PASSWORD='{quoted}'\n".encode())

    def run(self, *argv: str, stdin: bytes = b"", expect: int = 0, **environment: str) -> str:
        reply = run_program(Call(self.machine, argv, stdin, {"HOME": "/root", "LC_ALL": "C.UTF-8", **environment}))
        assert reply.exit_code == expect, (argv, reply)
        return reply.stdout.decode() + (reply.stderr.decode() if expect else "")

    def set_up(self, *tenants: HostTenant) -> None:
        setup, call = host_db.setup(tenants, "zroot"), Call(self.machine, ("pkg",))
        for name in packages.missing(call, list(setup.packages)):
            packages.install(call, name, self.machine.catalogue[name])
        for dataset in host_db.datasets(tenants, "zroot"):
            properties = {**dataset.properties, "mountpoint": dataset.mountpoint}
            options = [word for name, value in properties.items() for word in ("-o", f"{name}={value}")]
            if not self.machine.files.exists(dataset.mountpoint):
                self.run("zfs", "create", "-p", *options, dataset.name)
        self.run("sysrc", *(f"{name}={value}" for name, value in setup.variables.items()))
        for command in (*(Place(jail=None).write(file) for file in setup.files), *setup.prepare, *setup.check):
            self.run(*command.argv, stdin=command.stdin)
        running = "if ! service postgresql onestatus >/dev/null; then service postgresql start; else "
        self.run("sh", "-c", f"{running} service postgresql {setup.how}; fi")
        for command in (*setup.finish, *(host_db.databases(one) for one in tenants)):
            self.run(*command.argv, stdin=command.stdin)

    def missing(self, one: HostTenant) -> set[str]:
        words = ("sh", str(one.agent.gateway), str(one.port), str(one.version), "host", one.agent.name)
        told = self.run("/bin/sh", "-c", HEAD + QUESTION, *words, stdin=f"{PASSWORDS[one.agent.name]}\n".encode())
        assert told.splitlines()[-1] == "healthy"
        return {item for item in host_db.items(one) if f"item {item}" not in told.splitlines()}

    def login(self, one: HostTenant, role: str, database: str, password: str, *, expect: int = 0) -> str:
        argv = ("-X", "-w", "-q", "-A", "-t", "-h", str(one.agent.gateway), "-p", "5432", "-U", role, "-d", database)
        return self.run("/usr/local/bin/psql", *argv, "-c", "SELECT 1", expect=expect, PGPASSWORD=password).strip()

    def pids(self) -> str:
        return self.run("pgrep", "-u", "postgres")


@pytest.fixture
def rehearsal() -> Rehearsal:
    return Rehearsal()


def test_two_agents_have_their_own_databases_on_one_server(rehearsal: Rehearsal) -> None:
    rehearsal.set_up(ATLAS, BOT)
    assert (rehearsal.missing(ATLAS), rehearsal.missing(BOT)) == (set(), set())
    assert rehearsal.login(BOT, "my_bot", "my_bot_brain", PASSWORDS["my-bot"]) == "1"
    for place, role, database in (
        (ATLAS, "atlas", "my_bot_ops"),
        (ATLAS, "my_bot", "my_bot_ops"),  # from the other's subnet
        (BOT, "my_bot", "atlas_ops"),
        (BOT, "my_bot", "system_ops"),
        (BOT, "system", "system_ops"),
    ):
        password = PASSWORDS["atlas" if role == "atlas" else "my-bot"]
        assert "no pg_hba.conf entry" in rehearsal.login(place, role, database, password, expect=2)


def test_an_agent_that_comes_or_goes_restarts_nothing_that_it_need_not(rehearsal: Rehearsal) -> None:
    rehearsal.set_up(ATLAS)
    first = rehearsal.pids()
    rehearsal.set_up(ATLAS, BOT)  # an address that the server does not listen on yet
    both = rehearsal.pids()
    assert both != first
    assert (rehearsal.missing(ATLAS), rehearsal.missing(BOT)) == (set(), set())
    before = rehearsal.machine.files.read("/var/db/postgres/data18/base/catalogue.json")
    rehearsal.set_up(ATLAS, BOT)
    rehearsal.set_up(ATLAS)
    assert rehearsal.pids() == both
    assert rehearsal.missing(ATLAS) == set()
    assert "no pg_hba.conf entry" in rehearsal.login(BOT, "my_bot", "my_bot_ops", PASSWORDS["my-bot"], expect=2)
    assert rehearsal.machine.files.read("/var/db/postgres/data18/base/catalogue.json") == before


def test_its_scripts_are_those_of_a_jails_server() -> None:
    setup = host_db.setup([ATLAS], "zroot")
    assert db.MAKE_CLUSTER in setup.prepare[0].argv
    assert (
        host_db.databases(ATLAS).stdin
        == db.setup(
            agent_with(database_jail(), "atlas", subnet="10.0.1.0/24", storage="zroot/warden/atlas"), database_jail()
        )
        .finish[0]
        .stdin
    )
    assert not [
        word for command in (*setup.prepare, *setup.check, *setup.finish) for word in command.argv if "jexec" in word
    ]


def test_only_a_jails_server_of_another_version_makes_room(rehearsal: Rehearsal) -> None:
    agent = agent_with(database_jail(), "atlas", subnet="10.0.1.0/24", storage="zroot/warden/atlas")
    assert db.STOP_OTHERS in "".join(db.setup(agent, database_jail()).prepare[0].argv)
    assert not [word for one in host_db.setup([ATLAS], "zroot").prepare for word in one.argv if "pg_ctl" in word]
    rehearsal.set_up(ATLAS)
    pids = rehearsal.pids()
    (prepare,) = host_db.setup([tenant("atlas", "10.0.1.0/24", version=17)], "zroot").prepare
    reply = run_program(Call(rehearsal.machine, prepare.argv, b"", {}))
    assert rehearsal.pids() == pids, reply
