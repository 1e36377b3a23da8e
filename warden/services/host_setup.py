# SPDX-License-Identifier: BSD-2-Clause
"""The host's own PostgreSQL: set up once for all agents that share it, and each agent's databases in its own lane."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.facts.inside.ask import ON_HOST, QUESTIONS, WAIT
from warden.facts.model import Inside
from warden.resources import environment, storage
from warden.resources.change import Change, Conflict, Note, Stage
from warden.resources.commands import command, remove_file, sysrc_remove
from warden.resources.jail import jails_dataset
from warden.services import db, host_db
from warden.services.difference import difference, mend
from warden.services.host_db import HostTenant
from warden.services.shape import Place, Setup

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from warden.facts.model import Facts, RegisteredAgent
    from warden.host.command import Command
    from warden.resources.change import Finding
    from warden.resources.desired import Desired, DesiredAgent

_ZFS = "/sbin/zfs"
_PATIENCE = 60
HOST = Place(jail=None)


def tenants_of(agents: Iterable[DesiredAgent | RegisteredAgent]) -> list[HostTenant]:
    """Give those of some agents that have their databases on the host."""
    return [
        HostTenant(agent=agent, version=agent.host_db.version, port=agent.host_db.port)
        for agent in agents
        if agent.host_db is not None
    ]


def pool_of(facts: Facts) -> str | None:
    """Give the pool for the datasets of the host's server: that of the jails."""
    dataset = jails_dataset(facts)
    return dataset.partition("/")[0] if dataset else None


def changes(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the change to the host's server, where agents share it."""
    tenants = tenants_of(desired.everyone.values())
    if tenants and not desired.leaving:
        yield from _server(tenants, None, facts)


def departures(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the change to the host's server where agents leave it, after their own services; or its end."""
    tenants = tenants_of(desired.everyone.values())
    leaving = tenants_of(desired.leaving.values())
    if not leaving:
        return
    names = ", ".join(name for one in leaving for name in one.tenant.databases)
    yield Note(agent=leaving[0].agent.name, message=f"what stays: {names} in the host's PostgreSQL")
    if tenants:
        yield from _server(tenants, leaving[0].agent.name, facts)
    else:
        yield from _end(leaving, facts)


def _server(tenants: list[HostTenant], leaving: str | None, facts: Facts) -> Iterator[Finding]:
    why = host_db.refusal(facts.rc_conf, tenants)
    if why:
        yield Conflict(kind="db", name="host", message=why, hint="see docs/services/db.md, On the host")
        return
    pool = pool_of(facts)
    setup = host_db.setup(tenants, pool)
    told = [facts.inside[key] for one in tenants if (key := f"{ON_HOST}{one.agent.name}") in facts.inside]
    lack = difference(setup, told[0] if told else Inside())
    if not lack:
        return
    datasets = list(_datasets(tenants, pool, facts))
    if lack.packages:
        # before all else: what is anybody's is looked at before anything is changed
        datasets.insert(0, command("/bin/sh", "-c", host_db.IS_ALONE, "sh", setup.variables["postgresql_data"]))
    yield Change(
        kind="db",
        name="host",
        agent=leaving,
        action="+" if not told else "~",
        stage=Stage.AGENT if leaving else Stage.FIRST,
        detail=setup.title,
        reason=lack.words() if told else "",
        commands=(*datasets, *mend(HOST, setup, lack)),
    )


def _datasets(tenants: list[HostTenant], pool: str | None, facts: Facts) -> Iterator[Command]:
    datasets = host_db.datasets(tenants, pool)
    mounted = frozenset(facts.mount_points)
    away = [dataset for dataset in datasets if dataset.name not in facts.datasets or dataset.mountpoint not in mounted]
    if away:
        yield command("/bin/sh", "-c", host_db.IS_FREE, "sh", *(dataset.mountpoint for dataset in away))
    for dataset in datasets:
        if dataset.name not in facts.datasets:
            yield storage.create(dataset.name, {"mountpoint": dataset.mountpoint, **dataset.properties})
        elif dataset in away:
            yield command(_ZFS, "mount", dataset.name)
        yield storage.hand_over(dataset)


def shared_datasets(agent: RegisteredAgent, facts: Facts) -> list[str]:
    """Give the names of the datasets that an agent's databases on the host lie in, with those of others."""
    tenants = tenants_of([agent])
    wanted = host_db.datasets(tenants, pool_of(facts)) if tenants else ()
    return [dataset.name for dataset in wanted if dataset.name in facts.datasets]


def databases(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the changes to the agents' own roles and databases on the host's server."""
    for agent in desired.agents.values():
        for tenant in tenants_of([agent]):
            yield from _databases(agent, tenant, facts)


def _databases(agent: DesiredAgent, tenant: HostTenant, facts: Facts) -> Iterator[Finding]:
    setup = Setup(title="", items=host_db.items(tenant), daemon="postgresql")
    told = facts.inside.get(f"{ON_HOST}{agent.name}")
    renewed = set(host_db.needs(tenant).secrets) & set(environment.different(agent, facts))
    lack = difference(setup, told or Inside(), sorted(renewed))
    if not lack:
        return
    words = (str(agent.gateway), str(tenant.port), str(tenant.version), "host", agent.name)
    yield Change(
        kind="db",
        name=f"{agent.name} on the host",
        agent=agent.name,
        action="~" if told else "+",
        stage=Stage.AGENT,
        detail=f"{', '.join(tenant.tenant.databases)} at {agent.gateway}:{tenant.port}",
        reason=lack.words() if told else "",
        commands=(
            host_db.databases(tenant),
            command("/bin/sh", "-c", WAIT, "sh", str(_PATIENCE), "", QUESTIONS["db"], *words),
        ),
    )


def _end(leaving: list[HostTenant], facts: Facts) -> Iterator[Finding]:
    """Give the end of the host's server: the data stay, as nobody knows whose else they have become."""
    if "postgresql_enable" not in facts.rc_conf or host_db.refusal(facts.rc_conf, leaving):
        return
    version, agent = leaving[0].version, leaving[0].agent.name
    ours = [name for name in db.variables_of(version, "") if name in facts.rc_conf]
    stay = [dataset.name for dataset in host_db.datasets(leaving, pool_of(facts)) if dataset.name in facts.datasets]
    if stay:
        yield Note(agent=agent, message=f"what stays of the host's PostgreSQL: {', '.join(stay)}, and its packages")
    yield Change(
        kind="db",
        name="host",
        agent=agent,
        action="-",
        stage=Stage.AGENT,
        detail="its server stops; its data stay",
        commands=(
            command("/usr/sbin/service", "postgresql", "onestop"),
            remove_file(db.SETTINGS),
            remove_file(db.HBA),
            sysrc_remove(ours),
        ),
    )
