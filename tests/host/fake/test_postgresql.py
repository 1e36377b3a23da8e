# SPDX-License-Identifier: BSD-2-Clause
"""PostgreSQL of the fake host: its rc.d script, its data in files, who may log in, and what it does not understand."""

from __future__ import annotations

import pickle

import pytest

from warden.host.fake import packages, processes
from warden.host.fake.machine import Machine
from warden.host.fake.persist import from_json, to_json
from warden.host.fake.profiles import make
from warden.host.fake.program import Call, UnsupportedError, run_program
from warden.host.fake.unrecorded import postgresql
from warden.host.fake.unrecorded.postgresql_cluster import Cluster

JAIL, ROOT = "atlasdb", "/usr/local/bastille/jails/atlasdb/root"
DATA, WAL = "/var/db/postgres/data18", "/var/db/postgres/wal18"
ADDRESS = "10.0.1.4"
CONFIG = "/usr/local/etc/postgresql.conf"
PSQL = ("/usr/local/bin/psql", "-X", "-w", "-q", "-A", "-t", "-p", "5432")
CREATE = """\
\\getenv password DB_PASSWORD
SELECT format('CREATE ROLE %I NOLOGIN', name)
  FROM (VALUES ('atlas'), ('borealis')) AS wanted (name)
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \\gexec
ALTER ROLE "atlas" LOGIN PASSWORD :'password';
SELECT format('CREATE DATABASE %I OWNER %I TEMPLATE template0 ENCODING ''UTF8''', name, owner)
  FROM (VALUES ('atlas_ops', 'atlas'), ('borealis_ops', 'borealis')) AS wanted (name, owner)
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name) \\gexec
"""
CLOSE = """\
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', datname)
  FROM pg_database
 WHERE (datname, pg_get_userbyid(datdba)) IN (('atlas_ops', 'atlas'), ('borealis_ops', 'borealis'))
   AND EXISTS (SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE grantee = 0) \\gexec
"""
PASSWORD = 'it\'s \\ "all" $HOME'


def on_host(machine: Machine, *argv: str) -> tuple[int, str, str]:
    reply = run_program(Call(machine, argv))
    return reply.exit_code, reply.stdout.decode(), reply.stderr.decode()


def run(
    machine: Machine, *argv: str, user: str = "root", stdin: str = "", jail: str = JAIL, **environment: str
) -> tuple[int, str, str]:
    reply = run_program(Call(machine, argv, stdin.encode(), dict(environment), "/", jail, user))
    return reply.exit_code, reply.stdout.decode(), reply.stderr.decode()


def sql(machine: Machine, script: str, *more: str, **environment: str) -> tuple[int, str, str]:
    argv = (*PSQL, "-v", "ON_ERROR_STOP=1", *more, "-U", "postgres", "-d", "postgres", "-f", "-")
    return run(machine, *argv, user="postgres", stdin=script, **environment)


def login(machine: Machine, role: str = "atlas", database: str = "atlas_ops", password: str = PASSWORD, *,
          jail: str = JAIL) -> str:  # fmt: skip
    argv = (*PSQL, "-h", ADDRESS, "-U", role, "-d", database, "-c", "SELECT 1")
    code, out, error = run(machine, *argv, jail=jail, PGPASSWORD=password)
    return error if code else out.strip()


@pytest.fixture(scope="module")
def image() -> bytes:
    """Give a machine with a jail that has the packages, as bytes."""
    machine = make("ready")
    on_host(machine, "ifconfig", "bridge", "create", "name", "warden0")
    on_host(machine, "ifconfig", "warden0", "inet", "10.0.1.1/24", "up")
    on_host(machine, "ifconfig", "warden0", "alias", "10.0.2.1/24")
    made = on_host(machine, "bastille", "create", "-T", "-B", JAIL, "15.1-RELEASE", f"{ADDRESS}/24", "warden0")
    assert made[0] == 0
    call = Call(machine, ("pkg",), jail=JAIL)
    for name in packages.missing(call, [f"postgresql18-{part}" for part in ("server", "contrib", "pgvector")]):
        packages.install(call, name, "18.0")
    flags = f"--encoding=UTF8 --locale=C.UTF-8 --data-checksums --waldir={WAL} --auth-local=peer --auth-host=reject"
    for name, value in {
        "postgresql_enable": "YES",
        "postgresql_flags": f"-w -s -m fast -o '-c config_file={CONFIG}'",
        "postgresql_initdb_flags": flags,
    }.items():
        assert run(machine, "sysrc", f"{name}={value}")[0] == 0
    settings = f"include '{DATA}/postgresql.conf'\nlisten_addresses = '{ADDRESS}, 127.0.0.1'\nport = 5432\n"
    machine.files.write(CONFIG, f"{settings}hba_file = '/usr/local/etc/pg_hba.conf'\n".encode(), root=ROOT)
    rules = "local all postgres peer\nhost atlas_ops atlas 10.0.1.0/24 scram-sha-256\n"
    machine.files.write("/usr/local/etc/pg_hba.conf", rules.encode(), root=ROOT)
    return pickle.dumps(machine)


@pytest.fixture
def empty(image: bytes) -> Machine:
    """Give the machine before there is a cluster."""
    machine: Machine = pickle.loads(image)  # noqa: S301 - our own
    return machine


@pytest.fixture
def machine(empty: Machine) -> Machine:
    """Give the machine with a server that runs, and two agents' roles and databases."""
    assert run(empty, "service", "postgresql", "oneinitdb")[0] == 0
    assert run(empty, "service", "postgresql", "start") == (0, "start postgresql\n", "")
    assert sql(empty, CREATE, DB_PASSWORD=PASSWORD) == (0, "", "")
    return empty


def test_initdb_lays_out_a_cluster_in_empty_folders_only(empty: Machine) -> None:
    assert run(empty, "service", "postgresql", "oneinitdb")[0] == 0
    assert run(empty, "cat", f"{DATA}/PG_VERSION")[1] == "18\n"
    assert run(empty, "readlink", f"{DATA}/pg_wal")[1] == f"{WAL}\n"
    assert run(empty, "stat", "-f", "%Lp %u:%g", DATA, WAL)[1] == "700 770:770\n700 770:770\n"
    code, _, error = run(empty, "service", "postgresql", "oneinitdb")
    assert (code, error) == (1, f'initdb: error: directory "{DATA}" exists but is not empty\n')
    run(empty, "rm", "-rf", DATA)
    code, _, error = run(empty, "service", "postgresql", "oneinitdb")
    assert (code, error) == (1, f'initdb: error: WAL directory "{WAL}" exists but is not empty\n')


def test_initdb_wants_a_locale_that_is_there_and_understands_no_other_options(empty: Machine) -> None:
    argv = ("/usr/local/bin/initdb", "-D", "/tmp/x", "-U", "postgres")
    code, _, error = run(empty, *argv, "--locale=xx_YY.UTF-8", user="postgres")
    assert (code, error) == (1, 'initdb: error: invalid locale name "xx_YY.UTF-8"\n')
    assert run(empty, *argv)[2] == "initdb: error: cannot be run as root\n"
    with pytest.raises(UnsupportedError):
        run(empty, *argv, "--no-sync", user="postgres")


def test_the_rc_script_starts_tells_and_stops(machine: Machine) -> None:
    code, out, _ = run(machine, "service", "postgresql", "status")
    assert (code, "server is running" in out) == (0, True)
    assert run(machine, "pgrep", "-u", "postgres")[1].count("\n") == 1 + len(postgresql.HELPERS)
    # a second start is refused and harms nothing
    code, _, error = run(machine, "service", "postgresql", "start")
    assert (code, "could not start server" in error) == (1, True)
    assert login(machine) == "1"
    assert run(machine, "service", "postgresql", "stop")[0] == 0
    assert run(machine, "service", "postgresql", "status")[:2] == (1, "status postgresql\npg_ctl: no server running\n")
    assert run(machine, "pgrep", "-u", "postgres")[1] == ""
    assert not machine.files.exists(f"{DATA}/postmaster.pid", root=ROOT)
    assert "Connection refused" in login(machine)
    assert run(machine, "service", "postgresql", "stop")[0] == 1
    assert run(machine, "service", "postgresql", "restart")[0] == 0
    assert login(machine) == "1"


def test_it_listens_on_its_addresses(machine: Machine) -> None:
    table = run(machine, "sockstat", "-4l")[1]
    assert f"{ADDRESS}:5432" in table
    assert "127.0.0.1:5432" in table
    assert run(machine, "/usr/local/bin/pg_isready", "-q", "-p", "5432")[0] == 0
    assert run(machine, "/usr/local/bin/pg_isready", "-q", "-h", ADDRESS, "-p", "5433")[0] == 2


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (CONFIG, "port = many words\n"),
        (CONFIG, "prot = 5432\n"),
        (CONFIG, "include '/nowhere'\n"),
        ("/usr/local/etc/pg_hba.conf", "host all all 10.0.1.0/24 trust me\n"),
        ("/usr/local/etc/pg_hba.conf", "# nobody\n"),
        (CONFIG, f"include '{DATA}/postgresql.conf'\nlisten_addresses = '10.9.9.9'\n"),
    ],
)
def test_what_it_cannot_read_does_not_start(machine: Machine, path: str, text: str) -> None:
    run(machine, "service", "postgresql", "stop")
    machine.files.write(path, text.encode(), root=ROOT)
    assert run(machine, "service", "postgresql", "start")[0] == 1
    assert run(machine, "service", "postgresql", "status")[0] == 1


def test_data_without_its_wal_or_of_another_version_do_not_start(machine: Machine) -> None:
    run(machine, "service", "postgresql", "stop")
    run(machine, "mv", WAL, "/var/db/elsewhere")
    assert run(machine, "service", "postgresql", "start")[0] == 1
    run(machine, "mv", "/var/db/elsewhere", WAL)
    assert run(machine, "service", "postgresql", "start")[0] == 0
    run(machine, "service", "postgresql", "stop")
    machine.files.write(f"{DATA}/PG_VERSION", b"17\n", root=ROOT)
    assert run(machine, "service", "postgresql", "start")[0] == 1


def test_roles_and_databases_outlive_an_unclean_end(machine: Machine) -> None:
    before = machine.files.read(f"{DATA}/base/catalogue.json", root=ROOT)
    processes.kill_jail(machine, JAIL)
    assert machine.files.exists(f"{DATA}/postmaster.pid", root=ROOT)
    began = machine.clock
    assert run(machine, "service", "postgresql", "start")[0] == 0
    assert machine.clock - began == postgresql.RECOVERY
    assert login(machine) == "1"
    assert machine.files.read(f"{DATA}/base/catalogue.json", root=ROOT) == before
    again = from_json(Machine, to_json(machine))
    assert login(again) == "1"


def test_a_long_recovery_takes_no_connections_and_is_over_some_time(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "RECOVERY", 100)
    processes.kill_jail(machine, JAIL)
    code, _, error = run(machine, "service", "postgresql", "start")
    assert (code, error.splitlines()[-1]) == (1, "pg_ctl: server did not start in time")
    assert run(machine, "service", "postgresql", "status")[0] == 0
    assert run(machine, "/usr/local/bin/pg_isready", "-q", "-h", ADDRESS, "-p", "5432")[0] == 1
    assert "the database system is starting up" in login(machine)
    processes.advance(machine, 40)
    assert login(machine) == "1"


def test_who_may_log_in(machine: Machine) -> None:
    assert login(machine) == "1"
    assert "password authentication failed" in login(machine, password="it's")
    assert "no password supplied" in login(machine, password="")
    assert 'no pg_hba.conf entry for host "10.0.1.4"' in login(machine, database="borealis_ops")
    assert "no pg_hba.conf entry" in login(machine, role="borealis")
    assert "no pg_hba.conf entry" in login(machine, role="postgres", database="postgres")
    packages.install(Call(machine, ("pkg",)), "postgresql18-client", "18.0")
    assert login(machine, jail="") == "1"  # the host is at 10.0.1.1


def test_another_subnet_is_refused_until_the_rules_are_read_again(machine: Machine) -> None:
    rules = machine.files.text("/usr/local/etc/pg_hba.conf", root=ROOT)
    machine.files.write("/usr/local/etc/pg_hba.conf", rules.replace("10.0.1.0", "10.0.2.0").encode(), root=ROOT)
    assert login(machine) == "1"
    assert run(machine, "service", "postgresql", "reload")[0] == 0
    assert 'no pg_hba.conf entry for host "10.0.1.4"' in login(machine)
    machine.files.write("/usr/local/etc/pg_hba.conf", b"nonsense\n", root=ROOT)
    assert run(machine, "service", "postgresql", "reload")[0] == 0
    assert "no pg_hba.conf entry" in login(machine)


def test_a_role_opens_no_closed_database_of_another(machine: Machine) -> None:
    rules = b"local all postgres peer\nhost all all 10.0.1.0/24 scram-sha-256\n"
    machine.files.write("/usr/local/etc/pg_hba.conf", rules, root=ROOT)
    run(machine, "service", "postgresql", "reload")
    assert login(machine, database="borealis_ops") == "1"
    assert sql(machine, CLOSE) == (0, "", "")
    assert "permission denied for database" in login(machine, database="borealis_ops")
    assert login(machine) == "1"
    assert 'role "borealis" is not permitted to log in' in login(machine, "borealis", "borealis_ops") or (
        "password authentication failed" in login(machine, "borealis", "borealis_ops")
    )


def test_peers_are_the_user_of_the_same_name(machine: Machine) -> None:
    argv = (*PSQL, "-U", "postgres", "-d", "postgres", "-c", "SELECT 1")
    assert run(machine, *argv, user="postgres")[:2] == (0, "1\n")
    assert "Peer authentication failed" in run(machine, *argv, user="root")[2]


def test_a_password_is_stored_anew_each_time_and_nothing_else_changes(machine: Machine) -> None:
    def stored() -> str:
        return Cluster(machine, JAIL, DATA).catalogue().roles["atlas"].verifier

    first = stored()
    assert first.startswith("SCRAM-SHA-256$")
    assert "all" not in first
    assert sql(machine, CREATE, DB_PASSWORD=PASSWORD)[0] == 0
    assert stored() != first
    assert login(machine) == "1"


def test_scripts_branch_and_stop_at_an_error(machine: Machine) -> None:
    script = "\\if :yes\nSELECT 'item yes';\n\\else\nSELECT 'item no';\n\\endif\n"
    assert sql(machine, script, "-v", "yes=true")[1] == "item yes\n"
    assert sql(machine, script, "-v", "yes=false")[1] == "item no\n"
    failing = "CREATE EXTENSION IF NOT EXISTS \"postgis\";\nSELECT 'item after';\n"
    code, out, error = sql(machine, failing)
    assert (code, out, 'extension "postgis" is not available' in error) == (3, "", True)
    code, out, error = sql(machine, "\\connect nowhere\nSELECT 'item after';\n")
    assert (code, out, 'database "nowhere" does not exist' in error) == (3, "", True)


@pytest.mark.parametrize(
    "script",
    ["DROP DATABASE atlas_ops;", "SELECT 2;", "\\copy x from y", "ALTER ROLE atlas SUPERUSER;", "SET fsync = 'off';"],
)
def test_what_it_does_not_know_is_refused(machine: Machine, script: str) -> None:
    before = machine.files.read(f"{DATA}/base/catalogue.json", root=ROOT)
    with pytest.raises(UnsupportedError):
        sql(machine, f"{script}\n")
    assert machine.files.read(f"{DATA}/base/catalogue.json", root=ROOT) == before


@pytest.mark.parametrize(
    "argv",
    [
        ("/usr/local/bin/psql", "-l"),
        ("/usr/local/bin/psql", *PSQL[1:], "-U", "postgres", "-d", "postgres", "-f", "/tmp/x"),
        ("/usr/local/bin/pg_ctl", "-D", DATA, "promote"),
        ("/usr/local/bin/postgres", "-D", DATA),
        ("/usr/local/bin/pg_isready", "-p", "5432"),
    ],
)
def test_other_forms_are_refused(machine: Machine, argv: tuple[str, ...]) -> None:
    with pytest.raises(UnsupportedError):
        run(machine, *argv, user="postgres")


def test_the_programs_are_there_with_their_packages_only() -> None:
    assert run_program(Call(make("ready"), ("/usr/local/bin/psql", "-l"))).exit_code == 127
