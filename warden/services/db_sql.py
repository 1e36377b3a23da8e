# SPDX-License-Identifier: BSD-2-Clause
"""What a PostgreSQL server is told about its agents: roles, databases, who may connect from where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from warden.facts.registry import REGISTRY
from warden.host.command import Command
from warden.network.names import rc_name
from warden.resources.templates import render

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv4Network

PURPOSES = ("ops", "brain", "skills")
"""What an agent has a database for, and the platform another; the ends of their names."""
SYSTEM = "system"
"""The platform's role. It cannot log in until an operator lets it; no agent can have this name."""
EXTENSIONS = ("vector", "pgcrypto", "uuid-ossp")
"""What every database of an agent can do; pgvector's own package has the first, -contrib the others."""
CLOSED = ("postgres", "template1")
"""The databases that come with a cluster, and that everyone could connect to."""
PASSWORD = "DB_PASSWORD"  # noqa: S105 - the name of a variable


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """An agent as a database server knows it: its name, its role's, and where it connects from."""

    agent: str
    subnet: IPv4Network

    @property
    def role(self) -> str:
        """The role that the agent logs in as, which owns its databases."""
        return rc_name(self.agent)

    @property
    def databases(self) -> tuple[str, ...]:
        """The agent's databases."""
        return databases_of(self.role)


def databases_of(role: str) -> tuple[str, ...]:
    """Give the names of the databases that a role owns."""
    return tuple(f"{role}_{purpose}" for purpose in PURPOSES)


def server_settings(
    title: str, *, data: str, hba: str, addresses: Sequence[IPv4Address | str], port: int, on_zfs: bool
) -> bytes:
    """Give the server's settings. They lie outside of its data, so nothing is changed of what initdb(1) makes."""
    return render(
        "db/postgresql.conf", title=title, data=data, hba=hba, addresses=addresses, port=port, on_zfs=on_zfs
    ).encode()


def who_may_connect(title: str, tenants: Sequence[Tenant]) -> bytes:
    """Give pg_hba.conf: an agent gets to its own databases, from its own subnet, with its password."""
    return render("db/pg_hba.conf", title=title, tenants=tenants).encode()


def statements(tenant: Tenant, extensions: Sequence[str] = EXTENSIONS) -> bytes:
    """Give the psql(1) script that makes an agent's role and databases; run again, it finds nothing to do."""
    owned = [(name, role) for role in (tenant.role, SYSTEM) for name in databases_of(role)]
    owners = ", ".join(f"('{name}', '{role}')" for name, role in owned)
    return render("db/agent.sql", tenant=tenant, system=SYSTEM, owners=owners, extensions=extensions).encode()


def items(tenant: Tenant, extensions: Sequence[str] = EXTENSIONS) -> frozenset[str]:
    """Give what the question about a server has to tell of an agent."""
    owned = [(name, role) for role in (tenant.role, SYSTEM) for name in databases_of(role)]
    found = {"login works", f"role {tenant.role}", f"role {SYSTEM}"}
    found |= {f"database {name} {owner}" for name, owner in [*owned, *((name, "postgres") for name in CLOSED)]}
    found |= {f"extension {name} {extension}" for name in tenant.databases for extension in extensions}
    return frozenset(found)


# Runs on the host and hands the password on as a variable: command lines can be read by everyone. The words behind
# the env file are the command that becomes the user postgres.
WITH_PASSWORD = f"""\
set -eu
file=$1
shift
{PASSWORD}=$(set +eu; . "$file" >/dev/null; printf %s "${{{PASSWORD}-}}")
[ -n "${PASSWORD}" ] || {{ echo "{PASSWORD} is not set in $file" >&2; exit 1; }}
export {PASSWORD}
exec "$@"
"""

# Runs as the user postgres, with the SQL on standard input. A server that has just been started may still be
# recovering from a crash. The password is set only where it does not work: its stored form would be another each time.
APPLY = f"""\
set -eu
address=$1 port=$2 role=$3
export PGPASSWORD="${PASSWORD}" PGCONNECT_TIMEOUT=5
tries=0
until /usr/local/bin/pg_isready -q -t 3 -p "$port" </dev/null; do
\ttries=$((tries + 1))
\t[ $tries -lt 60 ] || {{ echo "PostgreSQL takes no connections on port $port" >&2; exit 1; }}
\tsleep 1
done
works=false
! /usr/local/bin/psql -X -w -q -h "$address" -p "$port" -U "$role" -d "${{role}}_ops" -c 'SELECT 1' \\
\t</dev/null >/dev/null 2>&1 || works=true
exec /usr/local/bin/psql -X -w -q -v ON_ERROR_STOP=1 -v "login_works=$works" -p "$port" -U postgres -d postgres -f -
"""
APPLYING = ("/bin/sh", "-c", APPLY, "sh")
"""Behind it come address, port and role."""


def with_password(tenant: Tenant, *argv: str) -> Command:
    """Give the command that runs another with the agent's password in its environment, and the agent's SQL to read."""
    env_file = f"{REGISTRY}/{tenant.agent}.env"
    return Command(argv=("/bin/sh", "-c", WITH_PASSWORD, "sh", env_file, *argv), stdin=statements(tenant))
