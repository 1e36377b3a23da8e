# SPDX-License-Identifier: BSD-2-Clause
"""What the smaller tools print: users, processes, mounts, devfs rules."""

from __future__ import annotations

import re

from warden.facts.errors import FactsError
from warden.facts.model import Supervised, User

_SUPERVISOR = re.compile(r"^daemon: ([^\[\s]+)\[(\d+)\] \(daemon\)$")


def parse_passwd(text: str) -> dict[str, User]:
    """Give the accounts of `getent passwd`, by name."""
    users = {}
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) != 7 or not fields[2].isdigit():  # passwd(5): seven fields
            raise FactsError(f"getent passwd: a line that is not understood: {line!r}")
        users[fields[0]] = User(name=fields[0], uid=int(fields[2]), comment=fields[4], home=fields[5])
    return users


def parse_supervised(text: str) -> dict[str, Supervised]:
    """Give what daemon(8) supervises on the host, by title, from `ps -o pid,ppid,user,command`.

    daemon(8) shows `daemon: TITLE[PID] (daemon)` for itself; PID is the child's. Only root's own supervisors count.
    """
    children: dict[int, int] = {}
    supervisors: list[tuple[str, int, int]] = []
    for line in text.splitlines()[1:]:
        fields = line.split(None, 3)
        if len(fields) != 4 or not (fields[0].isdigit() and fields[1].isdigit()):  # pid, ppid, user, command
            raise FactsError(f"ps: a line that is not understood: {line!r}")
        pid, parent, user, command = int(fields[0]), int(fields[1]), fields[2], fields[3]
        children[pid] = parent
        found = _SUPERVISOR.match(command)
        if found and user == "root":
            supervisors.append((found[1], pid, int(found[2])))
    return {
        title: Supervised(title=title, pid=pid, child=child if children.get(child) == pid else None)
        for title, pid, child in supervisors
    }


def parse_mount_points(text: str) -> tuple[str, ...]:
    """Give the mount points of `mount -p`, in the order in which they were mounted."""
    points = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 6:  # fstab(5): six fields
            raise FactsError(f"mount -p: a line that is not understood: {line!r}")
        points.append(fields[1])
    return tuple(points)


def parse_devfs_rules(text: str) -> tuple[str, ...]:
    """Give the rules of `devfs rule -s N show`, without their numbers."""
    return tuple(line.partition(" ")[2] for line in text.splitlines() if line.strip())
