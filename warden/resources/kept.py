# SPDX-License-Identifier: BSD-2-Clause
"""What is kept of a jail that goes: its dataset with a snapshot, moved out of Bastille's tree, read-only, not mounted.

`bastille destroy` takes the dataset with it, its snapshots included. A rename does not: it is done at once or not at
all, whatever the size.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from warden.facts.jails import JAILS
from warden.facts.zfs import AGENT_PROPERTY
from warden.resources.change import Conflict
from warden.resources.commands import BASTILLE_LOCK, command, one_at_a_time
from warden.spec.model import SERVICES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from warden.facts.model import Dataset, Facts
    from warden.host.command import Command

KEPT_PROPERTY = "warden:kept"
AGENTS = "/var/db/warden"
"""Where the datasets of agents are mounted."""
_ZFS = "/sbin/zfs"
# the folder that it was mounted on would look to Bastille like a jail
_MOVE = '/sbin/zfs rename -f "$1" "$2" || exit 1; test ! -d "$3" || rmdir "$3"'
# taken once: a run after a cut-off finds that it is there
_SNAPSHOT = '/sbin/zfs list -H -t snapshot "$1" > /dev/null 2>&1 || /sbin/zfs snapshot -r "$@"'
_NAME = rf"({'|'.join((*SERVICES, 'data'))})-\d+"


def root_of(dataset: str) -> str:
    """Give the dataset that all agents' lie below, and what is kept of them, in the pool of another."""
    return f"{dataset.partition('/')[0]}/warden"


def is_root(dataset: Dataset, facts: Facts) -> bool:
    """Tell whether a dataset is such a one, and Warden's: its mount point says so.

    Earlier versions gave it none, when they made it for what they kept.
    """
    if dataset.name != root_of(dataset.name):
        return False
    return dataset.mountpoint == AGENTS or (dataset.mountpoint == "none" and folder_of(dataset.name) in facts.datasets)


def in_the_way(datasets: Iterable[str], facts: Facts) -> Iterator[Conflict]:
    """Give what stands where all agents' datasets would lie below, in the pools of these."""
    for root in sorted({root_of(dataset) for dataset in datasets}):
        there = facts.datasets.get(root)
        if there is not None and not is_root(there, facts):
            yield Conflict(
                kind="dataset",
                name=root,
                message=f"the dataset {root} is not Warden's: its mount point is {there.mountpoint}, not {AGENTS}",
                hint=_how_to_make_room(root, facts),
            )


def _how_to_make_room(root: str, facts: Facts) -> str:
    below = [dataset for dataset in facts.datasets.values() if dataset.name.startswith(f"{root}/")]
    if any(dataset.name == f"{root}/{dataset.agent}" for dataset in below):
        return f"agents' datasets lie below it; was it Warden's: zfs set canmount=off mountpoint={AGENTS} {root}"
    also = ""
    if any(dataset.mountpoint == JAILS for dataset in below):
        also = ", and write that for bastille_zfs_prefix in bastille.conf"
    return f"agents' datasets need that name: give it another (zfs rename {root} {root.partition('/')[0]}/NAME){also}"


def folder_of(dataset: str) -> str:
    """Give the dataset that kept ones lie below, in the pool of a jail's."""
    return f"{root_of(dataset)}/kept"


def free_name(dataset: str, agent: str, service: str, facts: Facts) -> str:
    """Give the name for the dataset of a jail that is to be kept: one that no other has."""
    number = 1
    while (name := f"{folder_of(dataset)}/{agent}-{service}-{number}") in facts.datasets:
        number += 1
    return name


def put_aside(dataset: Dataset, name: str, agent: str, facts: Facts) -> Iterator[Command]:
    """Give the commands that move a jail's dataset to where it is kept; the jail must be stopped."""
    folder = folder_of(dataset.name)
    above = root_of(dataset.name)
    if above not in facts.datasets:
        yield command(_ZFS, "create", "-p", "-o", f"mountpoint={AGENTS}", "-o", "canmount=off", above)
    if folder not in facts.datasets:
        yield command(_ZFS, "create", "-p", "-o", "mountpoint=none", "-o", "readonly=on", folder)
    # a folder without a dataset would be a jail to another call of Bastille's, for a moment
    yield one_at_a_time(BASTILLE_LOCK, "/bin/sh", "-c", _MOVE, "sh", dataset.name, name, dataset.mountpoint)
    yield from finish(name, agent)


def finish(name: str, agent: str) -> Iterator[Command]:
    """Give the commands for a dataset that was moved already: it is no jail's any more."""
    yield command(_ZFS, "inherit", "-r", "mountpoint", name)
    yield command(_ZFS, "set", f"{KEPT_PROPERTY}={agent}", name)
    yield snapshot(f"{name}@destroyed")
    # last: as long as it has this mark, a run after a cut-off finds that it is not finished
    yield command(_ZFS, "inherit", "-r", AGENT_PROPERTY, name)


def snapshot(*names: str) -> Command:
    """Give the command that takes snapshots with all below them, at one moment: zfs-snapshot(8)."""
    return command("/bin/sh", "-c", _SNAPSHOT, "sh", *names)


def is_kept(dataset: str) -> bool:
    """Tell whether a dataset lies where kept ones do."""
    return dataset.startswith(f"{folder_of(dataset)}/")


def kept_of(agent: str, facts: Facts) -> list[str]:
    """Give the names of the datasets that were kept of an agent's jails."""
    pattern = re.compile(rf"{re.escape(agent)}-{_NAME}")
    return sorted(
        name for name in facts.datasets if is_kept(name) and pattern.fullmatch(name.removeprefix(f"{folder_of(name)}/"))
    )


def unfinished(facts: Facts) -> list[Dataset]:
    """Give the datasets that were moved, and still carry the mark of a jail's."""
    return [
        dataset
        for dataset in facts.datasets.values()
        # what lies below one goes with it
        if dataset.agent is not None and dataset.name.rpartition("/")[0] == folder_of(dataset.name)
    ]


def how_to_lose(name: str) -> str:
    """Say where kept data are, and how to get rid of them."""
    return f"{name}, read-only; when nobody needs it: zfs destroy -r {name}"


def jail_datasets(facts: Facts) -> dict[str, Dataset]:
    """Give the datasets of Bastille's jails, by the jails' names."""
    prefix = f"{JAILS}/"
    return {
        dataset.mountpoint.removeprefix(prefix): dataset
        for dataset in facts.datasets.values()
        if dataset.mountpoint.startswith(prefix) and "/" not in dataset.mountpoint.removeprefix(prefix)
    }
