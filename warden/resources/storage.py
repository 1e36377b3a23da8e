# SPDX-License-Identifier: BSD-2-Clause
"""The datasets of an agent: a tree of its own in the pool of the jails, below `<pool>/warden/AGENT`.

A dataset is made, its folder given to its owner, and only then marked: one without a mark was cut off, and is done
again. The folders are mounted into the jails by nullfs(5); no dataset is ever two agents'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.facts.zfs import AGENT_PROPERTY
from warden.resources import kept
from warden.resources.change import Change, Conflict, Note, Stage
from warden.resources.commands import command
from warden.resources.kept import AGENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.facts.model import Dataset, Facts
    from warden.host.command import Command
    from warden.resources.change import Finding
    from warden.resources.desired import Desired, DesiredAgent, DesiredDataset

_ZFS = "/sbin/zfs"
_OWN = 'chown "$1" "$3" && chmod "$2" "$3"'
_IS_GONE = 'if zfs list -H "$1" > /dev/null 2>&1; then echo "$1 is still there" >&2; exit 1; fi'


def storage_of(pool: str, agent: str) -> str:
    """Give the name of the dataset that all of an agent's lie below."""
    return f"{pool}/warden/{agent}"


def _root(name: str, facts: Facts) -> Iterator[Finding]:
    """Give the change to the dataset that all agents' lie below, and get their mount points from."""
    there = facts.datasets.get(name)
    if there is not None and there.mountpoint == AGENTS:
        return
    if there is None:
        make = command(_ZFS, "create", "-o", f"mountpoint={AGENTS}", "-o", "canmount=off", name)
    else:
        make = command(_ZFS, "set", "canmount=off", f"mountpoint={AGENTS}", name)
    yield Change(
        kind="storage",
        name=name,
        action="~" if there else "+",
        stage=Stage.FIRST,
        detail=f"{AGENTS}, itself not mounted",
        reason="the agents' datasets lie below it",
        commands=(make,),
    )


def is_root(dataset: str) -> bool:
    """Tell whether a dataset is the one in a pool that all agents' lie below, and what was kept of them."""
    pool, _, rest = dataset.partition("/")
    return bool(pool) and rest == "warden"


def roots(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the change that makes the dataset that all agents' lie below."""
    wanted = {agent.storage.rpartition("/")[0] for agent in desired.agents.values() if agent.storage and agent.datasets}
    for name in sorted(wanted):
        yield from _root(name, facts)


def changes(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the changes that make the agents' datasets, and that set their quotas."""
    for agent in desired.agents.values():
        foreign = [conflict for dataset in agent.datasets if (conflict := _conflict(agent, dataset, facts))]
        if foreign:
            yield foreign[0]
        else:
            yield from _tree(agent, facts)


def _conflict(agent: DesiredAgent, dataset: DesiredDataset, facts: Facts) -> Conflict | None:
    there = facts.datasets.get(dataset.name)
    if there is None or there.agent == agent.name or (there.agent is None and agent.name in facts.registry):
        return None
    whose = f"belongs to the agent {there.agent}" if there.agent else "is not Warden's"
    return Conflict(
        kind="dataset",
        name=dataset.name,
        agent=agent.name,
        message=f"the dataset {dataset.name} {whose}",
        hint=f"move it away (zfs rename), or give {agent.name} another name",
    )


def _tree(agent: DesiredAgent, facts: Facts) -> Iterator[Finding]:
    commands: list[Command] = []
    reasons: list[str] = []
    new = False
    for dataset in agent.datasets:
        there = facts.datasets.get(dataset.name)
        short = dataset.name.removeprefix(f"{agent.storage}/")
        if there is None or there.agent is None:
            new = new or there is None
            commands += _make(agent, dataset, there)
            reasons += [] if there is None else [f"{short} was cut off"]
        elif there.quota != dataset.quota:
            commands.append(command(_ZFS, "set", f"quota={dataset.quota or 'none'}", dataset.name))
            reasons.append(f"quota {there.quota or 'none'} -> {dataset.quota or 'none'}")
    if commands:
        yield Change(
            kind="storage",
            name=agent.name,
            agent=agent.name,
            action="+" if new and agent.storage not in facts.datasets else "~",
            stage=Stage.AGENT,
            detail=f"{agent.storage} on {AGENTS}/{agent.name}",
            reason=", ".join(reasons) or _what(agent, facts),
            commands=tuple(commands),
        )


def _what(agent: DesiredAgent, facts: Facts) -> str:
    return ", ".join(
        dataset.name.rpartition("/")[2]
        for dataset in agent.datasets
        if dataset.name not in facts.datasets and dataset.name != agent.storage
    )


def _make(agent: DesiredAgent, dataset: DesiredDataset, there: Dataset | None) -> Iterator[Command]:
    if there is None:
        properties = dict(dataset.properties)
        if dataset.quota:
            properties["quota"] = str(dataset.quota)
        options = [word for name, value in properties.items() for word in ("-o", f"{name}={value}")]
        yield command(_ZFS, "create", *options, dataset.name)
    yield command("/bin/sh", "-c", _OWN, "sh", dataset.owner, dataset.mode, dataset.mountpoint)
    yield command(_ZFS, "set", f"{AGENT_PROPERTY}={agent.name}", dataset.name)


def departures(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the end of the datasets of agents that leave, after that of the jails that have them mounted."""
    for name in desired.leaving:
        own = own_of(name, facts)
        if own is not None:
            yield from removal(own, name, facts, keep_data=desired.keep_data)
        else:
            yield from _begun(name, facts)


def _begun(agent: str, facts: Facts) -> Iterator[Finding]:
    """Give the end of a storage whose create was cut off before it was marked: there is nothing in it."""
    for name in facts.datasets:
        is_there = name == storage_of(name.partition("/")[0], agent) and facts.datasets[name].agent is None
        if is_there and not any(other.startswith(f"{name}/") for other in facts.datasets):
            yield Change(
                kind="storage",
                name=agent,
                agent=agent,
                action="-",
                stage=Stage.AGENT,
                detail=f"{name}, whose create was cut off",
                commands=(command(_ZFS, "destroy", name),),
            )


def own_of(agent: str, facts: Facts) -> Dataset | None:
    """Give the dataset that is an agent's storage, if the host has it and it is the agent's."""
    return next(
        (
            dataset
            for dataset in facts.datasets.values()
            if dataset.agent == agent and dataset.name == storage_of(dataset.name.partition("/")[0], agent)
        ),
        None,
    )


def is_below(dataset: Dataset) -> bool:
    """Tell whether a dataset lies where those of the agent do whose mark it has."""
    own = storage_of(dataset.name.partition("/")[0], dataset.agent or "")
    return dataset.name == own or dataset.name.startswith(f"{own}/")


def removal(own: Dataset, agent: str, facts: Facts, *, keep_data: bool) -> Iterator[Finding]:
    """Give the end of an agent's storage: put aside with a snapshot of all in it, or destroyed."""
    if keep_data:
        keeps = kept.free_name(own.name, agent, "data", facts)
        yield Note(agent=agent, message=f"the data of {agent} are kept: {kept.how_to_lose(keeps)}")
        commands = tuple(kept.put_aside(own, keeps, agent, facts))
        detail = f"its data become {keeps}"
    else:
        commands = (command(_ZFS, "destroy", "-rf", own.name), command("/bin/sh", "-c", _IS_GONE, "sh", own.name))
        detail = f"{own.name} with all that is in it"
    yield Change(
        kind="storage", name=agent, agent=agent, action="-", stage=Stage.AGENT, detail=detail, commands=commands
    )
