# SPDX-License-Identifier: BSD-2-Clause
"""PostgreSQL on the host itself, for the agents whose db has `runtime = "host"`: one server, one cluster, shared.

An agent has no jail db then. It reaches the server at its gateway's address, from its own subnet, with its own role,
and gets into its own databases only. What the running server has read changes with the agents, so it is reloaded: an
agent that comes or goes ends no other one's connections. Only an address that is not listened on yet takes a restart.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from warden.host.command import Command
from warden.resources.errors import RefusedError
from warden.services import db, db_sql
from warden.services.shape import Needs, Setup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from warden.facts.model import RegisteredAgent
    from warden.resources.desired import DesiredAgent, DesiredDataset

_TITLE = "the agents of this host"

# A folder of the host's, and what is in it would be covered by a dataset that is mounted there.
IS_FREE = """\
for folder; do
	[ -n "$(ls -A "$folder" 2> /dev/null)" ] || continue
	echo "$folder is not empty, and a dataset for the agents' databases would cover it: the host has a PostgreSQL" \\
		"that is not Warden's. Once its server is stopped: mv $folder $folder.old;" \\
		"or write runtime = \\"jail\\" for the db of these agents" >&2
	exit 1
done
"""
# The packages of two versions exclude each other: pkg(8) would take away the programs of the one that runs.
IS_ALONE = """\
for pid in "${1%/*}"/data*/postmaster.pid; do
	[ -e "$pid" ] && [ "$pid" != "$1/postmaster.pid" ] && kill -0 "$(head -n 1 "$pid")" 2> /dev/null || continue
	echo "a PostgreSQL of another version runs on the host, with its data in ${pid%/*}: it is left as it is." \\
		"If nobody needs it, stop it and take it out of rc.conf;" \\
		"or write runtime = \\"jail\\" for the db of these agents" >&2
	exit 1
done
"""

# A server listens on the addresses that were there when it started. One that is recovering (1) is left to that.
LISTEN = """\
port=$1
shift
for address; do
	/usr/local/bin/pg_isready -q -t 3 -h "$address" -p "$port"
	if [ $? -eq 2 ]; then
		service postgresql restart
		exit
	fi
done
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostTenant:
    """An agent whose databases are on the host's server, and what it asks of that."""

    agent: DesiredAgent | RegisteredAgent
    version: int
    port: int

    @property
    def tenant(self) -> db_sql.Tenant:
        """The agent as the server knows it."""
        return db_sql.Tenant(agent=self.agent.name, subnet=self.agent.subnet)


def refusal(rc_conf: Mapping[str, str], tenants: Sequence[HostTenant]) -> str:
    """Say why the host's PostgreSQL is not Warden's to set up; '' where it is, or where there is none."""
    version, _ = _shared(tenants)
    if "postgresql_enable" not in rc_conf:
        return ""
    ours = db.variables_of(version, "")
    if rc_conf.get("postgresql_flags") != ours["postgresql_flags"]:
        return "the host has a PostgreSQL that is not Warden's: postgresql_enable is in its rc.conf"
    if rc_conf.get("postgresql_data") != ours["postgresql_data"]:
        there = rc_conf.get("postgresql_data", "another folder")
        return f"the host's PostgreSQL has its data in {there}, not those of version {version}: see docs/services/db.md"
    return ""


def datasets(tenants: Sequence[HostTenant], pool: str | None) -> tuple[DesiredDataset, ...]:
    """Give the datasets of the shared cluster: none on a host without a pool for them."""
    version, _ = _shared(tenants)
    if pool is None:
        return ()
    # beside the agents' own: no agent's name has an underscore
    return (
        db.dataset(f"{pool}/warden/pgdata_{version}", db.data_folder(version), db.DATA_PROPERTIES),
        db.dataset(f"{pool}/warden/pgwal_{version}", db.wal_folder(version), db.WAL_PROPERTIES),
    )


def needs(tenant: HostTenant) -> Needs:
    """Give what one agent needs: its password, and to be told where its databases are."""
    return Needs(
        secrets=(db_sql.PASSWORD,),
        environment={
            "DB_HOST": str(tenant.agent.gateway),
            "DB_PORT": str(tenant.port),
            "DB_USER": tenant.tenant.role,
        },
    )


def items(tenant: HostTenant) -> frozenset[str]:
    """Give what the question has to tell for one agent."""
    return db_sql.items(tenant.tenant)


def setup(tenants: Sequence[HostTenant], pool: str | None) -> Setup:
    """Give how the shared server is set up on the host. What each agent's answer has to tell is in `items(tenant)`."""
    version, port = _shared(tenants)
    known = sorted(tenants, key=lambda one: one.agent.subnet)
    gateways = [str(one.agent.gateway) for one in known]
    data, wal = db.data_folder(version), db.wal_folder(version)
    settings = db_sql.server_settings(
        _TITLE,
        data=data,
        hba=db.HBA,
        addresses=(*gateways, "127.0.0.1"),
        port=port,
        on_zfs=pool is not None,
    )
    rules = db_sql.who_may_connect(_TITLE, [one.tenant for one in known])
    return Setup(
        title=f"PostgreSQL {version} on the host for {', '.join(one.agent.name for one in known)}",
        packages=db.packages_of(version),
        # a cluster has one locale, and these agents share it
        variables=db.variables_of(version, "C.UTF-8"),
        files=db.config_files(settings, rules),
        prepare=(Command(argv=("/bin/sh", "-c", db.MAKE_CLUSTER, "sh", data, wal, str(version))),),
        check=(Command(argv=("/usr/bin/su", "-m", "postgres", "-c", shlex.join(db.reads_them(data)))),),
        daemon="postgresql",
        how="reload",
        finish=(Command(argv=("/bin/sh", "-c", LISTEN, "sh", str(port), *gateways)),),
    )


def databases(one: HostTenant) -> Command:
    """Give the command that makes an agent's role and databases."""
    # chroot(8) becomes the user without a shell of root's in between
    words = (str(one.agent.gateway), str(one.port), one.tenant.role)
    return db_sql.with_password(
        one.tenant, "/usr/sbin/chroot", "-u", "postgres", "-g", "postgres", "/", *db_sql.APPLYING, *words
    )


def _shared(tenants: Sequence[HostTenant]) -> tuple[int, int]:
    """Give the version and the port, which all agents have to agree on."""
    asked = {(one.version, one.port) for one in tenants}
    if len(asked) != 1:
        names = ", ".join(sorted(one.agent.name for one in tenants))
        said = " and ".join(f"version {version} at port {port}" for version, port in sorted(asked))
        raise RefusedError(
            f"{names} share one PostgreSQL on the host, and it cannot be {said or 'there for nobody'}",
            hint='give them the same version and port of db, or runtime = "jail"',
        )
    return asked.pop()
