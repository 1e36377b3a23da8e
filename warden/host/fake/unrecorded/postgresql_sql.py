# SPDX-License-Identifier: BSD-2-Clause
r"""The statements that the fake PostgreSQL understands: those that Warden sends, word for word, and no others.

From PostgreSQL's manual, part VI. A statement that ends with \gexec builds others, which run at once; here both are
one. What is not in STATEMENTS is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from warden.host.fake.unrecorded.postgresql_cluster import Catalogue, Database, Role, default_extensions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from warden.host.fake.unrecorded.postgresql_cluster import Cluster

FORBIDDEN = ("superuser", "createdb", "createrole", "replication", "bypassrls")
_PAIRS = r"((?:\('\w+', '\w+'\)(?:, )?)+)"
_WANTED = rf"FROM \(VALUES {_PAIRS}\) AS wanted \(name, owner\)"
_SETTABLE = "log_statement|log_min_duration_statement|log_min_error_statement|password_encryption|client_min_messages"


class StatementError(Exception):
    """The server answers a statement with an error."""


@dataclass(slots=True)
class Session:
    """A connection to a database as a role; what it changes is kept at the end of each statement."""

    cluster: Cluster
    role: str
    database: str
    catalogue: Catalogue

    @property
    def is_superuser(self) -> bool:
        """Whether the role may do everything."""
        return "superuser" in self.catalogue.roles[self.role].rights

    def must_be_superuser(self, what: str) -> None:
        """Raise StatementError for a role that may not do this."""
        if not self.is_superuser:
            raise StatementError(f"permission denied to {what}")


class Statement(Protocol):
    """Does what a statement says; gives the rows of its answer."""

    def __call__(self, session: Session, match: re.Match[str], /) -> list[str]:
        """Do it."""
        ...


STATEMENTS: dict[str, Statement] = {}


def statement(pattern: str) -> Callable[[Statement], Statement]:
    """Register what a statement does; spaces and line ends are one space each."""

    def register(run: Statement) -> Statement:
        STATEMENTS[pattern] = run
        return run

    return register


def execute(session: Session, text: str) -> list[str] | None:
    """Run a statement; give its rows, None for one that nobody here understands."""
    words = " ".join(text.split())
    for pattern, run in STATEMENTS.items():
        match = re.fullmatch(pattern, words)
        if match is not None:
            session.catalogue = session.cluster.catalogue()
            rows = run(session, match)
            session.cluster.keep(session.catalogue)
            return rows
    return None


def _pairs(text: str) -> Mapping[str, str]:
    return dict(re.findall(r"\('(\w+)', '(\w+)'\)", text))


@statement("SELECT 1")
def one(_session: Session, _match: re.Match[str]) -> list[str]:
    """Answer."""
    return ["1"]


@statement(r"SELECT '([\w ]+)'")
def word(_session: Session, match: re.Match[str]) -> list[str]:
    """Answer with the words."""
    return [match[1]]


@statement(rf"SET (?:{_SETTABLE}) = (?:'[\w-]+'|-1)")
def set_setting(session: Session, match: re.Match[str]) -> list[str]:
    """Set something for the session; what the log holds is not for everyone."""
    if " log_" in match[0]:
        session.must_be_superuser("set parameter")
    return []


@statement(
    r"SELECT format\('CREATE ROLE %I NOLOGIN', name\) FROM \(VALUES ((?:\('\w+'\)(?:, )?)+)\) AS wanted \(name\)"
    r" WHERE NOT EXISTS \(SELECT FROM pg_roles WHERE rolname = name\) \\gexec"
)
def create_roles(session: Session, match: re.Match[str]) -> list[str]:
    """Make the roles that are missing."""
    session.must_be_superuser("create role")
    for name in re.findall(r"\w+", match[1]):
        session.catalogue.roles.setdefault(name, Role())
    return []


@statement(
    r"SELECT format\('ALTER ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS', rolname\)"
    r" FROM pg_roles WHERE rolname IN \(((?:'\w+'(?:, )?)+)\)"
    r" AND \(rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls\) \\gexec"
)
def take_rights(session: Session, match: re.Match[str]) -> list[str]:
    """Take from roles what they should not be able to do."""
    session.must_be_superuser("alter role")
    for name in re.findall(r"\w+", match[1]):
        session.catalogue.roles[name].rights = []
    return []


@statement(r"ALTER ROLE \"(\w+)\" LOGIN PASSWORD '((?:[^']|'')*)'")
def set_password(session: Session, match: re.Match[str]) -> list[str]:
    """Let a role log in with a password."""
    session.must_be_superuser("alter role")
    if match[1] not in session.catalogue.roles:
        raise StatementError(f'role "{match[1]}" does not exist')
    session.catalogue.roles[match[1]].login = True
    session.catalogue.set_password(match[1], match[2].replace("''", "'"))
    return []


@statement(
    rf"SELECT format\('CREATE DATABASE %I OWNER %I TEMPLATE template0 ENCODING ''UTF8''', name, owner\) {_WANTED}"  # noqa: S608
    r" WHERE NOT EXISTS \(SELECT FROM pg_database WHERE datname = name\) \\gexec"
)
def create_databases(session: Session, match: re.Match[str]) -> list[str]:
    """Make the databases that are missing; everyone may connect to a new one."""
    session.must_be_superuser("create database")
    for name, owner in _pairs(match[1]).items():
        session.catalogue.databases.setdefault(name, Database(owner))
    return []


@statement(
    rf"SELECT format\('ALTER DATABASE %I OWNER TO %I', name, owner\) {_WANTED} JOIN pg_database ON datname = name"
    r" WHERE pg_get_userbyid\(datdba\) <> owner \\gexec"
)
def give_databases(session: Session, match: re.Match[str]) -> list[str]:
    """Give databases to whom they belong."""
    session.must_be_superuser("alter database")
    for name, owner in _pairs(match[1]).items():
        session.catalogue.databases[name].owner = owner
    return []


@statement(
    r"SELECT format\('REVOKE ALL ON DATABASE %I FROM PUBLIC', datname\) FROM pg_database"  # noqa: S608
    rf" WHERE \(datname, pg_get_userbyid\(datdba\)\) IN \({_PAIRS}\)"
    r" AND EXISTS \(SELECT FROM aclexplode\(coalesce\(datacl, acldefault\('d', datdba\)\)\) WHERE grantee = 0\) \\gexec"
)
def close_databases(session: Session, match: re.Match[str]) -> list[str]:
    """Let nobody connect to databases but their owners."""
    session.must_be_superuser("revoke")
    for name, owner in _pairs(match[1]).items():
        if session.catalogue.databases[name].owner == owner:
            session.catalogue.databases[name].public = False
    return []


@statement(r'CREATE EXTENSION IF NOT EXISTS "([\w-]+)"')
def create_extension(session: Session, match: re.Match[str]) -> list[str]:
    """Make an extension of the installed packages' in this database."""
    session.must_be_superuser("create extension")
    available = default_extensions(session.cluster.machine, session.cluster.jail)
    if match[1] not in available:
        raise StatementError(f'extension "{match[1]}" is not available')
    session.catalogue.databases[session.database].extensions.setdefault(match[1], available[match[1]])
    return []


@statement(
    r"SELECT format\('ALTER EXTENSION %I UPDATE', name\) FROM pg_available_extensions"
    r" WHERE installed_version <> default_version \\gexec"
)
def update_extensions(session: Session, _match: re.Match[str]) -> list[str]:
    """Bring the extensions of this database to the installed packages' versions."""
    session.must_be_superuser("alter extension")
    available = default_extensions(session.cluster.machine, session.cluster.jail)
    extensions = session.catalogue.databases[session.database].extensions
    extensions.update({name: available[name] for name in extensions if name in available})
    return []


@statement(
    r"SELECT 'item role ' \|\| rolname FROM pg_roles"
    r" WHERE NOT \(rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls\)"
)
def tell_roles(session: Session, _match: re.Match[str]) -> list[str]:
    """Tell the roles that can do nothing special."""
    return [f"item role {name}" for name, role in session.catalogue.roles.items() if not role.rights]


@statement(
    r"SELECT 'item database ' \|\| datname \|\| ' ' \|\| pg_get_userbyid\(datdba\) FROM pg_database WHERE NOT EXISTS"
    r" \(SELECT FROM aclexplode\(coalesce\(datacl, acldefault\('d', datdba\)\)\) WHERE grantee = 0\)"
)
def tell_databases(session: Session, _match: re.Match[str]) -> list[str]:
    """Tell the databases that not everyone may connect to."""
    found = session.catalogue.databases.items()
    return [f"item database {name} {database.owner}" for name, database in found if not database.public]


@statement(
    r"SELECT 'item extension ' \|\| current_database\(\) \|\| ' ' \|\| name FROM pg_available_extensions"
    r" WHERE installed_version = default_version"
)
def tell_extensions(session: Session, _match: re.Match[str]) -> list[str]:
    """Tell the extensions of this database that are of the installed packages' versions."""
    available = default_extensions(session.cluster.machine, session.cluster.jail)
    found = session.catalogue.databases[session.database].extensions.items()
    return [f"item extension {session.database} {name}" for name, have in found if available.get(name) == have]
