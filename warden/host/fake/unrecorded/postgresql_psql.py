# SPDX-License-Identifier: BSD-2-Clause
"""psql(1): it logs in, reads a script, and hands the statements to the server. From PostgreSQL's manual, part II."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from warden.host.fake import reach
from warden.host.fake.listeners import ConnectError, OutsideError, connect, resolve
from warden.host.fake.options import getopt
from warden.host.fake.program import Call, Reply, program, say
from warden.host.fake.unrecorded.postgresql import BIN, find_server
from warden.host.fake.unrecorded.postgresql_cluster import is_password, method_for
from warden.host.fake.unrecorded.postgresql_sql import Session, StatementError, execute

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.host.fake.unrecorded.postgresql_cluster import Cluster

FAILED, LOST, STOPPED = 1, 2, 3
"""What psql exits with: its own failure, no connection, and an error in a script with ON_ERROR_STOP."""


class RefusedError(Exception):
    """The server lets nobody in; the text is what psql says of it."""


@program(
    f"{BIN}/psql",
    "psql -X -w [-q] [-A] [-t] [-v NAME=VALUE]... [-h ADDRESS] -p PORT -U ROLE -d DATABASE -c STATEMENT|-f -",
    package="postgresql18-client",
)
def psql(call: Call) -> Reply:
    """Log in and run one statement, or the script on standard input."""
    flags, words, wrong = getopt(call.args, "XwqAtv:h:p:U:d:c:f:")
    if wrong or words or not flags.keys() >= {"X", "w", "p", "U", "d"} or ("c" in flags) == ("f" in flags):
        raise call.unsupported()
    if flags.get("f", ["-"]) != ["-"]:
        raise call.unsupported()
    run = Run(call, {name: values[-1] for name, values in flags.items()})
    run.variables = dict(value.split("=", 1) for value in flags.get("v", []))
    try:
        run.log_in(flags["d"][-1])
    except RefusedError as refused:
        return say(error=f"psql: error: {refused}\n", status=LOST)
    text = call.stdin.decode("utf-8", "surrogateescape") if "f" in flags else f"{flags['c'][-1]};"
    return run.script(text)


@dataclass(slots=True)
class Run:
    """One psql: its options, its variables, and the connection that it has."""

    call: Call
    options: dict[str, str]
    variables: dict[str, str] = field(default_factory=dict)
    session: Session | None = None

    def log_in(self, database: str) -> None:
        """Connect as the server's rules and the database's rights allow it; raises RefusedError."""
        role, port, host = self.options["U"], int(self.options["p"]), self.options.get("h", "")
        where = f'connection to server on socket "/tmp/.s.PGSQL.{port}" failed'
        source = ""
        if host:
            where = f'connection to server at "{host}", port {port} failed'
            source = self._source(host, port, where)
        cluster = find_server(self.call, host, port)
        if cluster is None:
            raise RefusedError(f"{where}: No such file or directory\n\tIs the server running locally?")
        if self.call.machine.clock < cluster.loaded().ready:
            raise RefusedError(f"{where}: FATAL:  the database system is starting up")
        self._authenticate(cluster, source, role, database, where)
        self.session = Session(cluster, role, database, cluster.catalogue())

    def _source(self, host: str, port: int, where: str) -> str:
        """Give the address that the server sees the client come from."""
        call, address = self.call, resolve(self.call, host) or host
        try:
            connect(call, address, port)
            arrived = reach.delivers(call.machine, call.net, reach.Packet("", address, "tcp", port))
        except ConnectError as error:
            raise RefusedError(f"{where}: {error}") from None
        except OutsideError:
            raise RefusedError(f"{where}: Operation timed out") from None
        return arrived[1].source if arrived is not None else ""

    def _authenticate(self, cluster: Cluster, source: str, role: str, database: str, where: str) -> None:
        rules, catalogue = cluster.loaded().rules, cluster.catalogue()
        method = method_for(rules, source=source, role=role, database=database)
        known = catalogue.roles.get(role)
        if method in ("", "reject"):
            come = f'host "{source}"' if source else 'host "[local]"'
            raise RefusedError(
                f'{where}: FATAL:  no pg_hba.conf entry for {come}, user "{role}", database "{database}", no encryption'
            )
        if method == "peer" and self.call.user != role:
            raise RefusedError(f'{where}: FATAL:  Peer authentication failed for user "{role}"')
        if method == "scram-sha-256":
            password = self.call.environment.get("PGPASSWORD", "")
            if not password:
                raise RefusedError(f"{where}: fe_sendauth: no password supplied")
            if known is None or not is_password(known, password):
                raise RefusedError(f'{where}: FATAL:  password authentication failed for user "{role}"')
        if known is None or not known.login:
            raise RefusedError(f'{where}: FATAL:  role "{role}" is not permitted to log in')
        found = catalogue.databases.get(database)
        if found is None or database == "template0":
            raise RefusedError(f'{where}: FATAL:  database "{database}" does not exist')
        if not (found.public or found.owner == role or "superuser" in known.rights):
            raise RefusedError(f'{where}: FATAL:  permission denied for database "{database}"')

    def script(self, text: str) -> Reply:
        """Run a script; a failure ends it with ON_ERROR_STOP, and one to connect always."""
        reply, skipping = Reply(), False
        for command in split(text):
            name, _, rest = command[1:].partition(" ") if command.startswith("\\") else ("", "", "")
            if name in ("else", "endif"):
                skipping = name == "else" and not skipping
            elif name == "if":
                skipping = {"true": False, "false": True}[self._value(rest)]
            elif skipping:
                continue
            elif name == "connect":
                try:
                    self.log_in(rest.strip('"'))
                except RefusedError as refused:
                    stopped = STOPPED if "ON_ERROR_STOP" in self.variables else LOST
                    return reply + say(error=f"psql:<stdin>: error: {refused}\n", status=stopped)
            elif name == "getenv":
                variable, source = rest.split()
                if source in self.call.environment:
                    self.variables[variable] = self.call.environment[source]
            else:
                done = self._statement(command)
                reply += done
                if done.exit_code and ("ON_ERROR_STOP" in self.variables or "c" in self.options):
                    reply.exit_code = FAILED if "c" in self.options else STOPPED
                    return reply
                reply.exit_code = 0
        return reply

    def _value(self, word: str) -> str:
        if not word.startswith(":") or word[1:] not in self.variables:
            raise self.call.unsupported(f"psql's {word}")
        return self.variables[word[1:]]

    def _statement(self, text: str) -> Reply:
        if self.session is None:
            return say(status=FAILED)
        filled = re.sub(r":'(\w+)'", lambda found: "'" + self._value(f":{found[1]}").replace("'", "''") + "'", text)
        try:
            rows = execute(self.session, filled)
        except StatementError as error:
            return say(error=f"psql:<stdin>: ERROR:  {error}\n", status=FAILED)
        if rows is None:
            raise self.call.unsupported(f"psql: {' '.join(text.split())}")
        # without -A and -t there are headings, which nobody here reads
        if rows and not {"A", "t"} <= self.options.keys() and "c" not in self.options:
            raise self.call.unsupported("psql's table with a heading")
        return say("".join(f"{row}\n" for row in rows))


def split(text: str) -> Iterator[str]:
    """Split a script into statements without their `;`, and psql's own commands, each with its backslash."""
    statement = ""
    for line in text.splitlines():
        bare = line.strip()
        if not statement and (not bare or bare.startswith("--")):
            continue
        if not statement and bare.startswith("\\"):
            yield bare
            continue
        statement += f"{bare}\n"
        if bare.endswith((";", "\\gexec")):
            yield statement.strip().removesuffix(";")
            statement = ""
    if statement:
        yield statement.strip()
