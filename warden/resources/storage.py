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
from warden.resources.commands import bastille, command
from warden.resources.jail_end import stop
from warden.resources.kept import AGENTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from warden.facts.model import Dataset, Facts
    from warden.host.command import Command
    from warden.resources.change import Finding
    from warden.resources.desired import Desired, DesiredAgent, DesiredDataset

_ZFS = "/sbin/zfs"
_OWN = 'chown "$1" "$3" && chmod "$2" "$3"'
_IS_MOUNTED = '[ "$(zfs get -H -o value mounted "$1")" = yes ] || zfs mount "$1"'
_IS_GONE = 'if zfs list -H "$1" > /dev/null 2>&1; then echo "$1 is still there" >&2; exit 1; fi'


def storage_of(pool: str, agent: str) -> str:
    """Give the name of the dataset that all of an agent's lie below."""
    return f"{pool}/warden/{agent}"


def _root(name: str, facts: Facts) -> Iterator[Finding]:
    """Give the change to the dataset that all agents' lie below, and get their mount points from; it is Warden's."""
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


def roots(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the change that makes the dataset that all agents' lie below, or what stands in its way."""
    agents = desired.agents.values()
    wanted = {agent.storage for agent in agents if agent.storage and (agent.datasets or agent.host_db is not None)}
    keep = {dataset.name for dataset in facts.datasets.values() if dataset.agent in desired.leaving}
    conflicts = list(kept.in_the_way({*wanted, *(keep if desired.keep_data else ())}, facts))
    yield from conflicts
    if not conflicts:
        for name in sorted({kept.root_of(storage) for storage in wanted}):
            yield from _root(name, facts)


def changes(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the changes that make the agents' datasets, that mount them, and that set their quotas."""
    mounted = frozenset(facts.mount_points)
    for agent in desired.agents.values():
        foreign = [conflict for dataset in agent.datasets if (conflict := _conflict(agent, dataset, facts))]
        if foreign:
            yield foreign[0]
        else:
            yield from _tree(agent, mounted, facts)


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


def _tree(agent: DesiredAgent, mounted: frozenset[str], facts: Facts) -> Iterator[Finding]:
    away = [one for one in agent.datasets if one.name in facts.datasets and one.mountpoint not in mounted]
    commands = list(_mount(agent, away, mounted, facts))
    reasons = [f"{_short(agent, dataset)} was not mounted" for dataset in away]
    new = False
    for dataset in agent.datasets:
        there = facts.datasets.get(dataset.name)
        if there is None or there.agent is None:
            new = new or there is None
            commands += _make(agent, dataset, there)
            reasons += [] if there is None else [f"{_short(agent, dataset)} was cut off"]
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


def _short(agent: DesiredAgent, dataset: DesiredDataset) -> str:
    return dataset.name.removeprefix(f"{agent.storage}/")


def _mount(agent: DesiredAgent, away: list[DesiredDataset], mounted: frozenset[str], facts: Facts) -> Iterator[Command]:
    """Give the commands that mount datasets which are there and are not where they belong.

    A jail that was started without one has the folder below it, and would go on with that; so would whatever is mounted
    in that folder.
    """
    above = tuple(f"{dataset.name}/" for dataset in away)
    names = {dataset.name for dataset in away}
    covered = [
        one
        for one in facts.datasets.values()
        if one.mountpoint in mounted and one.name.startswith(above) and one.name not in names
    ]
    folders = (*(dataset.mountpoint for dataset in away), *(dataset.mountpoint for dataset in covered))
    jails = _jails_with(folders, agent, facts) if away else []
    for jail in jails:
        yield from stop(jail)
    for below in sorted(covered, key=lambda one: one.name, reverse=True):
        yield command(_ZFS, "umount", below.name)
    for dataset in away:
        if facts.datasets[dataset.name].mountpoint == dataset.mountpoint:
            yield command(_ZFS, "mount", dataset.name)
        else:
            yield command(_ZFS, "inherit", "mountpoint", dataset.name)
            yield command("/bin/sh", "-c", _IS_MOUNTED, "sh", dataset.name)
    for below in sorted(covered, key=lambda one: one.name):
        yield command(_ZFS, "mount", below.name)
    for jail in jails:
        yield bastille("start", jail)
        yield command("/usr/sbin/jls", "-j", jail, "jid")


def _jails_with(folders: tuple[str, ...], agent: DesiredAgent, facts: Facts) -> list[str]:
    """Give the agent's jails that run and have one of these folders of the host's."""
    names = (*(jail.name for jail in agent.jails.values()), *(worker.name for worker in agent.workers.values()))
    return [
        name
        for name in names
        if name in facts.running_jails
        and name in facts.bastille_jails
        and any(line.startswith(tuple(f"{folder} " for folder in folders)) for line in _fstab(name, facts))
    ]


def _fstab(jail: str, facts: Facts) -> list[str]:
    return [" ".join(line.split()) for line in facts.bastille_jails[jail].mounts.values()]


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
        yield create(dataset.name, properties)
    yield hand_over(dataset)
    yield command(_ZFS, "set", f"{AGENT_PROPERTY}={agent.name}", dataset.name)


def create(name: str, properties: Mapping[str, str]) -> Command:
    """Give the command that makes a dataset with these properties."""
    options = [word for key, value in properties.items() for word in ("-o", f"{key}={value}")]
    return command(_ZFS, "create", *options, name)


def hand_over(dataset: DesiredDataset) -> Command:
    """Give the command that gives a dataset's folder to its owner, with its mode."""
    return command("/bin/sh", "-c", _OWN, "sh", dataset.owner, dataset.mode, dataset.mountpoint)


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
    for name, there in facts.datasets.items():
        root = facts.datasets.get(kept.root_of(name))
        ours = root is not None and kept.is_root(root, facts) and there.mountpoint == f"{AGENTS}/{agent}"
        begun = ours and there.agent is None and name == storage_of(name.partition("/")[0], agent)
        if begun and not any(other.startswith(f"{name}/") for other in facts.datasets):
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
