# SPDX-License-Identifier: BSD-2-Clause
"""The workers of an agent: thin jails for work that passes. An apply neither makes nor mends one.

A worker stands in the registry before it is made, and is marked once all of it is there: one without the mark was cut
off, holds nothing, and is made anew or destroyed. Nothing of a worker is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.facts.jails import JAILS
from warden.resources import jail, limits, mac
from warden.resources.change import Change, Conflict, Note, Stage
from warden.resources.commands import bastille, command
from warden.resources.desired import Mount, VnetJail
from warden.resources.jail_end import clear
from warden.resources.kept import jail_datasets
from warden.resources.registry import path_of, with_workers, write_entry
from warden.resources.storage import own_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from warden.facts.model import Dataset, Facts, RegisteredAgent, RegisteredWorker
    from warden.resources.change import Finding
    from warden.resources.desired import Desired
    from warden.spec.model import Limits

WORKSPACE = "/workspace"
"""Where a worker has its agent's workspace."""

_PRIORITY = 90
# Bastille keeps the log of a jail that it destroyed, under a name with the day in it
_REMOVE_LOGS = 'rm -f "/var/log/bastille/$1_console.log" "/var/log/bastille/$1_console.log-"*'


def is_whole(agent: str, worker: RegisteredWorker, datasets: Mapping[str, Dataset]) -> bool:
    """Tell whether a worker was made to its end; `datasets` are those of Bastille's jails."""
    dataset = datasets.get(worker.name)
    return dataset is not None and dataset.agent == agent


def creations(
    bridge: str, agent: RegisteredAgent, workers: Mapping[str, RegisteredWorker], facts: Facts
) -> Iterator[Finding]:
    """Give the changes that make those of these workers that are not whole, whatever there is of them."""
    datasets = jail_datasets(facts)
    taken = mac.taken(facts)
    for worker in workers.values():
        if is_whole(agent.name, worker, datasets):
            continue
        foreign = _foreign(bridge, agent.name, worker, datasets.get(worker.name), facts)
        if foreign:
            yield Conflict(
                kind="worker",
                name=worker.name,
                agent=agent.name,
                message=foreign,
                hint=f"warden worker destroy {agent.name} {worker.name} leaves that one, and gives the number up",
            )
            continue
        address = mac.free(worker.name, taken)
        taken.add(address)
        yield _creation(bridge, agent, worker, address, facts)


def _creation(bridge: str, agent: RegisteredAgent, worker: RegisteredWorker, mac_address: str, facts: Facts) -> Change:
    name = worker.name
    cleared = (*clear(name, jail_datasets(facts).get(name), facts), *limits.lift(name, facts))
    wanted = VnetJail(
        name=name,
        address=worker.address,
        release=worker.release,
        thick=False,
        priority=_PRIORITY,
        limits=worker.limits,
        mounts=mounts(agent.name, facts),
    )
    quota = worker.limits.quota
    dataset = f"{jail.jails_dataset(facts)}/{name}"
    return Change(
        kind="worker",
        name=name,
        agent=agent.name,
        action="~" if cleared else "+",
        stage=Stage.AGENT,
        detail=f"{worker.address}  thin  {worker.release}",
        reason="; ".join(
            words for words in ("its create was cut off" if cleared else "", said(worker.limits)) if words
        ),
        commands=(
            *cleared,
            *jail.build(bridge, agent, wanted, while_down=(mac.write(name, mac_address),)),
            *limits.of_new_jail(name, worker.limits),
            *((command("/sbin/zfs", "set", f"quota={quota}", dataset),) if quota is not None else ()),
            # passing work is not taken up again by a boot
            bastille("config", name, "set", "boot", "off"),
            jail.mark(agent.name, name, facts),
        ),
    )


def mounts(agent: str, facts: Facts) -> tuple[Mount, ...]:
    """Give what of its agent a worker has: the workspace, where the agent has one."""
    own = own_of(agent, facts)
    workspace = facts.datasets.get(f"{own.name}/workspace") if own is not None else None
    if workspace is None or workspace.agent != agent:
        return ()
    return (Mount(source=workspace.mountpoint, target=WORKSPACE),)


def removal(bridge: str, agent: str, worker: RegisteredWorker, facts: Facts) -> Finding:
    """Give the change after which nothing of a worker is left but its entry in the registry."""
    dataset = jail_datasets(facts).get(worker.name)
    foreign = _foreign(bridge, agent, worker, dataset, facts)
    if foreign:
        return Note(agent=agent, message=f"{foreign}: it stays")
    return Change(
        kind="worker",
        name=worker.name,
        agent=agent,
        action="-",
        stage=Stage.AGENT,
        detail=f"{worker.address}  with all that is in it",
        commands=(
            *clear(worker.name, dataset, facts),
            *limits.lift(worker.name, facts),
            command("/bin/sh", "-c", _REMOVE_LOGS, "sh", worker.name),
        ),
    )


def departures(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the end of the workers of agents that leave."""
    for agent in desired.leaving.values():
        yield from (removal(desired.bridge, agent.name, worker, facts) for worker in agent.workers.values())


def registration(
    agent: RegisteredAgent, workers: Mapping[str, RegisteredWorker], facts: Facts, stage: Stage, detail: str
) -> Iterator[Change]:
    """Give the change after which just these workers stand in the registry for an agent."""
    path = path_of(agent.name)
    there = facts.files[path].text
    text = with_workers(there, workers)
    if text != there:
        yield Change(
            kind="registry",
            name=agent.name,
            agent=agent.name,
            action="~",
            stage=stage,
            detail=detail,
            commands=write_entry(path, text),
        )


def said(wanted: Limits) -> str:
    """Say limits in a few words; '' where there are none."""
    words = (
        f"memory {_size(wanted.memory)}" if wanted.memory is not None else "",
        f"processes {wanted.processes}" if wanted.processes is not None else "",
        f"cpu {wanted.cpu}%" if wanted.cpu is not None else "",
        f"quota {_size(wanted.quota)}" if wanted.quota is not None else "",
    )
    return ", ".join(word for word in words if word)


def _size(amount: int) -> str:
    units = "KMGT"
    power = max((power for power in range(len(units) + 1) if amount % (1 << 10 * power) == 0), default=0)
    return f"{amount >> 10 * power}{units[power - 1] if power else ''}"


def _foreign(bridge: str, agent: str, worker: RegisteredWorker, dataset: Dataset | None, facts: Facts) -> str:
    """Say why a jail of a worker's name is not that worker; '' where it is, or where there is none."""
    name = worker.name
    running = facts.running_jails.get(name)
    if running is not None and running.path != f"{JAILS}/{name}/root":
        return f"there is a jail {name} in {running.path} that is neither Warden's nor Bastille's"
    if dataset is not None and dataset.agent is not None:
        return f"the jail {name} belongs to the agent {dataset.agent}" if dataset.agent != agent else ""
    has = jail.misfit(bridge, worker, dataset, facts, begun=True)
    return f"there is a jail {name} that is not Warden's: it has {has}" if has else ""
