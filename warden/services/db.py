# SPDX-License-Identifier: BSD-2-Clause
"""The service db: PostgreSQL in a jail of its own, with its data and its WAL on datasets of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.resources.desired import DesiredDataset, Mount
from warden.services.db_sql import (
    APPLYING,
    PASSWORD,
    Tenant,
    items,
    server_settings,
    who_may_connect,
    with_password,
)
from warden.services.shape import JailFile, Needs, ServiceModule, Setup, inside
from warden.spec.model import POSTGRESQL_VERSIONS

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from warden.resources.desired import DesiredAgent, DesiredJail

HOME = "/var/db/postgres"
OWNER = "770:770"
"""The user and group postgres of FreeBSD's ports, by number: the host need not have them."""
SETTINGS = "/usr/local/etc/postgresql.conf"
HBA = "/usr/local/etc/pg_hba.conf"
SYSTEM_V_IPC = {"sysvmsg": "new", "sysvsem": "new", "sysvshm": "new"}
"""PostgreSQL guards its data by System V shared memory, whose keys have to be the jail's own."""

# A record of two pages: small enough that the change of a page does not rewrite much else, large enough to compress
# well. lz4 costs less than the reads that it saves. Access times would be a write for every read. logbias stays at
# latency: with throughput every synchronous write goes into the pool where it scatters the data, and there are few.
DATA_PROPERTIES: Mapping[str, str] = {
    "recordsize": "16K",
    "compression": "lz4",
    "atime": "off",
    "logbias": "latency",
}
# The WAL is written from its beginning to its end and is read the same way, so the records are large; commits wait
# for it, so logbias is latency, which is what a log device is for.
WAL_PROPERTIES: Mapping[str, str] = {
    "recordsize": "128K",
    "compression": "lz4",
    "atime": "off",
    "logbias": "latency",
}

# After a change of the version, the server of the old one may run and hold the port; it is stopped, and its data stay.
# In a jail only: on the host it could be anybody's.
STOP_OTHERS = """\
for other in "${1%/*}"/data*/postmaster.pid; do
	other=${other%/*}
	[ "$other" != "$1" ] && [ -e "$other/postmaster.pid" ] || continue
	su -m postgres -c "/usr/local/bin/pg_ctl -D $other -s -m fast stop" || true
done
"""

# An initdb(1) that was cut off leaves folders that neither it nor the server takes. `unfinished` stands beside them
# from before it begins, in empty folders only, until it is done; postmaster.opts is in every cluster that ever ran.
# So what is removed here is never anything that somebody could have put into a database.
MAKE_CLUSTER = """\
set -eu
data=$1 wal=$2 version=$3
unfinished=$data.unfinished
install -d -o postgres -g postgres -m 0700 "$data" "$wal"
if [ -e "$data/postmaster.opts" ]; then
	rm -f "$unfinished"
fi
if [ -e "$unfinished" ]; then
	rm -rf "${data:?}"/* "${wal:?}"/*
fi
if [ -e "$data/PG_VERSION" ]; then
	found=$(cat "$data/PG_VERSION")
	[ "$found" != "$version" ] || exit 0
	echo "the cluster in $data is version $found of PostgreSQL, not $version; it is left as it is" >&2
	exit 1
fi
if [ -z "$(find "$data" "$wal" -mindepth 1)" ]; then
	touch "$unfinished"
fi
service postgresql oneinitdb
rm -f "$unfinished"
"""


def data_folder(version: int) -> str:
    """Give the folder of a major version's data."""
    return f"{HOME}/data{version}"


def wal_folder(version: int) -> str:
    """Give the folder of a major version's write-ahead log."""
    return f"{HOME}/wal{version}"


def packages_of(version: int) -> tuple[str, ...]:
    """Give the packages of a major version: pgcrypto and uuid-ossp are in -contrib."""
    return tuple(f"postgresql{version}-{part}" for part in ("server", "client", "contrib", "pgvector"))


def variables_of(version: int, locale: str) -> dict[str, str]:
    """Give what rc.conf says about the server, and about how its cluster is made.

    Text is sorted by code points as PostgreSQL itself has them (since 17; by C before): with a sort order of the
    system's, every change to its locales would leave broken indexes behind. An agent's own order is one COLLATE
    away; dates, numbers and money are its locale's anyway.
    """
    order = "--locale-provider=builtin --builtin-locale=C.UTF-8" if version >= 17 else "--lc-collate=C"
    return {
        "postgresql_enable": "YES",
        "postgresql_data": data_folder(version),
        "postgresql_flags": f"-w -s -m fast -o '-c config_file={SETTINGS}'",
        "postgresql_initdb_flags": (
            f"--encoding=UTF8 --locale={locale} {order} --data-checksums --waldir={wal_folder(version)}"
            " --auth-local=peer --auth-host=reject"
        ),
    }


def dataset(name: str, mountpoint: str, properties: Mapping[str, str]) -> DesiredDataset:
    """Give a dataset that belongs to PostgreSQL alone."""
    return DesiredDataset(name=name, mountpoint=mountpoint, properties=properties, owner=OWNER, mode="0700")


def other_versions(agent: DesiredAgent, version: int, names: Container[str]) -> tuple[int, ...]:
    """Give the major versions, besides this, that the agent has data of, by the names of the host's datasets."""
    if agent.storage is None:
        return ()
    return tuple(
        other for other in POSTGRESQL_VERSIONS if other != version and f"{agent.storage}/pgdata{other}" in names
    )


def needs(agent: DesiredAgent, jail: DesiredJail) -> Needs:
    """Give what PostgreSQL needs of the host."""
    version = jail.settings.version
    own: tuple[DesiredDataset, ...] = ()
    mounts: tuple[Mount, ...] = ()
    if agent.storage is not None:
        # a major version has its own: another never finds the data of this one, and they stay where they are
        folder = f"/var/db/warden/{agent.name}"
        data = dataset(f"{agent.storage}/pgdata{version}", f"{folder}/pgdata{version}", DATA_PROPERTIES)
        wal = dataset(f"{agent.storage}/pgwal{version}", f"{folder}/pgwal{version}", WAL_PROPERTIES)
        own = (data, wal)
        mounts = (
            Mount(source=data.mountpoint, target=data_folder(version)),
            Mount(source=wal.mountpoint, target=wal_folder(version)),
        )
    return Needs(
        parameters=SYSTEM_V_IPC,
        mounts=mounts,
        datasets=own,
        secrets=(PASSWORD,),
        environment={
            "DB_HOST": str(jail.address),
            "DB_PORT": str(jail.port),
            "DB_USER": Tenant(agent=agent.name, subnet=agent.subnet).role,
        },
    )


def config_files(settings: bytes, rules: bytes) -> tuple[JailFile, ...]:
    """Give the two files that the server is told by: its settings, and who may connect."""
    return tuple(
        JailFile(path=path, content=content, mode="0640", owner="root:postgres")
        for path, content in ((SETTINGS, settings), (HBA, rules))
    )


def reads_them(data: str) -> tuple[str, ...]:
    """Give the words of the command by which the server reads these files, and ends; to be run as postgres."""
    return ("/usr/local/bin/postgres", "-D", data, "-c", f"config_file={SETTINGS}", "-C", "hba_file")


def setup(agent: DesiredAgent, jail: DesiredJail) -> Setup:
    """Give how PostgreSQL is set up in the agent's jail."""
    version = jail.settings.version
    data, wal = data_folder(version), wal_folder(version)
    tenant = Tenant(agent=agent.name, subnet=agent.subnet)
    settings = server_settings(
        f"agent {agent.name}",
        data=data,
        hba=HBA,
        addresses=(jail.address, "127.0.0.1"),
        port=jail.port,
        on_zfs=agent.storage is not None,
    )
    script = ("/bin/sh", "-c", f"{STOP_OTHERS}{MAKE_CLUSTER}", "sh", data, wal, str(version))
    into = ("/usr/sbin/jexec", "-U", "postgres", jail.name)  # without -l, which would take the password away
    return Setup(
        title=f"PostgreSQL {version} at {jail.address}:{jail.port}, databases {', '.join(tenant.databases)}",
        packages=packages_of(version),
        variables=variables_of(version, agent.system_locale),
        files=config_files(settings, who_may_connect(f"agent {agent.name}", (tenant,))),
        prepare=(inside(jail.name, *script),),
        check=(inside(jail.name, *reads_them(data), user="postgres"),),
        daemon="postgresql",
        finish=(with_password(tenant, *into, *APPLYING, str(jail.address), str(jail.port), tenant.role),),
        items=items(tenant),
    )


MODULE = ServiceModule(service="db", needs=needs, setup=setup)
