# SPDX-License-Identifier: BSD-2-Clause
"""Keeping an agent's services well: a snapshot of all its data at one moment, and newer packages after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.engine.plan import PlannedAgent, make_plan, plan_of
from warden.facts.zfs import BACKUP_PROPERTY
from warden.resources import kept
from warden.resources.change import Change, Note, Stage
from warden.resources.commands import command
from warden.resources.errors import RefusedError
from warden.resources.resolve import resolve
from warden.resources.storage import own_of
from warden.services.equip import equip
from warden.services.host_setup import shared_datasets
from warden.services.setup import upgrades

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.engine.plan import Plan
    from warden.facts.model import Facts
    from warden.resources.change import Finding
    from warden.spec.model import Spec


def make_backup_plan(agent: str, facts: Facts, stamp: str) -> Plan:
    """Work out the snapshot of all datasets of an agent, which is one and at one moment: `zfs snapshot -r`.

    `stamp` is the end of its name. Raises RefusedError where the host has no such agent, or no dataset of it.
    """
    if agent not in facts.registry:
        raise RefusedError(f"{facts.address} has no agent {agent}", hint="warden status shows those that it has")
    about = (PlannedAgent(name=agent, subnet=str(facts.registry[agent].subnet), new=False),)
    return plan_of(facts, about, list(_backup(agent, facts, stamp)))


def _backup(agent: str, facts: Facts, stamp: str) -> Iterator[Finding]:
    own = own_of(agent, facts)
    if own is None:
        raise RefusedError(
            f"{agent} has no dataset on {facts.address}", hint="warden apply makes them, in the jails' pool"
        )
    snapshot = f"{own.name}@warden-{stamp}"
    shared = shared_datasets(facts.registry[agent], facts)
    yield Note(agent=agent, message=f"all of {agent} at one moment: {snapshot}, and the same name on all below it")
    if own.backup != stamp:
        yield Change(
            kind="backup",
            name=agent,
            agent=agent,
            action="+",
            stage=Stage.FIRST,
            detail=snapshot,
            reason="one snapshot of all datasets: databases and their logs fit together",
            commands=(
                kept.snapshot(snapshot, *(f"{name}@warden-{stamp}" for name in shared)),
                command("/sbin/zfs", "set", f"{BACKUP_PROPERTY}={stamp}", own.name),
            ),
        )


def make_upgrade_plan(spec: Spec, agent: str, facts: Facts, stamp: str) -> Plan:
    """Work out a backup, and then newer packages in each of an agent's service jails, started again and healthy.

    `stamp` tells this upgrade from others. Raises RefusedError where the agent is not there yet, or differs from the
    spec: what is not as it should be is not upgraded.
    """
    plan = make_plan(spec, [agent], facts)
    desired = equip(resolve(spec, [agent], facts), facts)
    found = list(upgrades(desired, facts, stamp))
    if found and (plan.changes or plan.conflicts or agent not in facts.registry):
        raise RefusedError(f"{agent} on {facts.address} is not as the spec says", hint="warden apply first")
    backup = list(_backup(agent, facts, stamp)) if found else []
    return plan_of(facts, plan.agents, [*plan.notes, *plan.conflicts, *plan.changes, *backup, *found])
