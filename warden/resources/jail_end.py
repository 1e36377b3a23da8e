# SPDX-License-Identifier: BSD-2-Clause
"""The end of an agent's jails: nothing is destroyed that is not, by its exact name, a jail of ours.

Whatever of the host is mounted into a jail is out of it before anything is destroyed: what is removed below its
root must not be an agent's data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.facts.jails import JAILS
from warden.facts.zfs import AGENT_PROPERTY
from warden.resources import kept
from warden.resources.change import Change, Note, Stage
from warden.resources.commands import bastille, command
from warden.resources.kept import jail_datasets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from warden.facts.model import Dataset, Facts, RegisteredJail
    from warden.host.command import Command
    from warden.resources.change import Finding

_IS_GONE = 'test ! -e "$1" || { echo "$1 is still there" >&2; exit 1; }'
_IS_STOPPED = 'if jls -j "$1" jid > /dev/null 2>&1; then echo "$1 still runs" >&2; exit 1; fi'
_IS_BARE = """\
mount -p | while read -r _source point _rest; do case "$point" in "$1"/*) umount -f "$point";; esac; done
left=$(mount -p | while read -r _source point _rest; do case "$point" in "$1"/*) echo "$point";; esac; done)
if [ -n "$left" ]; then echo "still mounted:" $left >&2; exit 1; fi
"""


def clear_epair(name: str, host_interface: str | None, facts: Facts) -> Iterator[Command]:
    """Give the command that removes what is left of a jail's interface."""
    # jail(8) leaves the epair behind when a start fails, and the next start fails on its name
    host_interface = host_interface or f"e0a_{name}"
    if host_interface in facts.interfaces:
        yield command("/sbin/ifconfig", host_interface, "destroy")


def clear_mounts(name: str, facts: Facts) -> Iterator[Command]:
    """Give the commands that take away what is still mounted in a jail that does not run."""
    # of a jail that was killed while it started the mounts stay: start fails on them, destroy refuses with 0
    below = [point for point in facts.mount_points if point.startswith(f"{JAILS}/{name}/root/")]
    yield from (command("/sbin/umount", "-f", point) for point in reversed(below))


def clear(name: str, dataset: Dataset | None, facts: Facts) -> Iterator[Command]:
    """Give the commands that leave nothing of a jail: each exists only for what is there."""
    defined = facts.bastille_jails.get(name)
    running = name in facts.running_jails
    if running and defined is None:
        yield command("/usr/sbin/jail", "-R", name)
    if not running or defined is None:
        yield from clear_mounts(name, facts)
    if dataset is not None and dataset.agent is not None:
        # a destroy that is cut off leaves something that is not whole: so it must not be taken for that either
        yield command("/sbin/zfs", "inherit", AGENT_PROPERTY, dataset.name)
    if defined is not None:
        if defined.mounts:
            yield from stop(name) if running else ()
            yield _bare(name)
        yield bastille("destroy", "-afy", name)
        yield command("/bin/sh", "-c", _IS_STOPPED, "sh", name)
    elif dataset is not None:
        yield command("/sbin/zfs", "destroy", "-rf", dataset.name)
    if defined is not None or dataset is not None:
        yield command("/bin/sh", "-c", _IS_GONE, "sh", f"{JAILS}/{name}/jail.conf")
    if not running or defined is None:
        yield from clear_epair(name, defined.host_interface if defined else None, facts)


def _leave_the_dataset(name: str, facts: Facts) -> Iterator[Command]:
    """Give the commands that leave nothing of a jail but its dataset: each exists only for what is there."""
    defined = facts.bastille_jails.get(name)
    running = name in facts.running_jails
    if running and defined is not None:
        yield from stop(name)
        if defined.mounts:
            yield _bare(name)
        return
    if running:
        yield command("/usr/sbin/jail", "-R", name)
    yield from clear_mounts(name, facts)
    yield from clear_epair(name, defined.host_interface if defined else None, facts)


def stop(name: str) -> Iterator[Command]:
    """Give the commands that stop a jail that runs."""
    yield bastille("stop", name)
    yield command("/bin/sh", "-c", _IS_STOPPED, "sh", name)


def _bare(name: str) -> Command:
    return command("/bin/sh", "-c", _IS_BARE, "sh", f"{JAILS}/{name}/root")


def departures(agent: str, jails: Iterable[RegisteredJail], facts: Facts, *, keep_data: bool) -> Iterator[Finding]:
    """Give the end of an agent's jails; with `keep_data`, what is in those that were whole is put aside."""
    datasets = jail_datasets(facts)
    for jail in jails:
        yield from _leave(agent, jail, datasets.get(jail.name), facts, keep_data=keep_data)
    for moved in kept.unfinished(facts):
        if moved.agent == agent:
            yield Change(
                kind="kept data",
                name=moved.name,
                agent=agent,
                action="~",
                stage=Stage.AGENT,
                detail="its move was cut off",
                commands=tuple(kept.finish(moved.name, agent)),
            )


def _leave(
    agent: str, jail: RegisteredJail, dataset: Dataset | None, facts: Facts, *, keep_data: bool
) -> Iterator[Finding]:
    if dataset is not None and dataset.agent not in (None, agent):
        yield Note(agent=agent, message=f"the jail {jail.name} belongs to the agent {dataset.agent}, and stays")
    elif keep_data and dataset is not None and dataset.agent == agent:
        yield from put_aside(agent, jail.name, jail.service, dataset, facts)
    else:
        commands = tuple(clear(jail.name, dataset, facts))
        if commands:
            yield _gone(agent, jail.name, f"{jail.address}  with all that is in it", commands)


def put_aside(agent: str, name: str, service: str, dataset: Dataset, facts: Facts) -> Iterator[Finding]:
    """Give the end of a jail whose data are kept, and the remark that says where."""
    keeps = kept.free_name(dataset.name, agent, service, facts)
    commands = (*_leave_the_dataset(name, facts), *kept.put_aside(dataset, keeps, agent, facts))
    yield Note(agent=agent, message=f"the data of {name} are kept: {kept.how_to_lose(keeps)}")
    yield _gone(agent, name, f"its data become {keeps}", commands)


def _gone(agent: str, name: str, detail: str, commands: tuple[Command, ...]) -> Change:
    return Change(kind="jail", name=name, agent=agent, action="-", stage=Stage.AGENT, detail=detail, commands=commands)
