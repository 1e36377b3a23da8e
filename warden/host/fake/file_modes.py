# SPDX-License-Identifier: BSD-2-Clause
"""chmod, chown and chgrp."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from warden.host.fake import file_facts
from warden.host.fake.filesystem import EROFS, FileError
from warden.host.fake.options import getopt
from warden.host.fake.program import Call, Reply, program, say
from warden.host.fake.users import groups, uid_of, users

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from warden.host.fake.file_node import Node

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=][rwxXstugo]*)+)")
_BITS = {"r": 4, "w": 2, "x": 1}
_SHIFTS = {"u": 6, "g": 3, "o": 0}


class ModeError(Exception):
    """A mode that nobody understands."""


def apply_mode(text: str, mode: int, *, folder: bool = False, umask: int = 0o022) -> int:
    """Give what a mode as in chmod(1), `0640` or `u+x,go=`, makes of the permissions that a file has."""
    if text.isdigit():
        if not re.fullmatch(r"[0-7]{1,5}", text) or int(text, 8) > 0o7777:
            raise ModeError(text)
        return int(text, 8)
    for clause in text.split(","):
        match = _CLAUSE.fullmatch(clause)
        if match is None:
            raise ModeError(text)
        who = match[1].replace("a", "ugo") or "ugo"
        limit = 0o7777 if match[1] else 0o7777 & ~umask
        for operator, letters in re.findall(r"([-+=])([rwxXstugo]*)", match[2]):
            mode = _change(mode, who, operator, _wanted(mode, who, letters, folder=folder) & limit)
    return mode


def _wanted(mode: int, who: str, letters: str, *, folder: bool) -> int:
    bits = 0
    for letter in letters:
        for one in who:
            shift = _SHIFTS[one]
            if letter in _BITS:
                bits |= _BITS[letter] << shift
            elif letter == "X" and (folder or mode & 0o111):
                bits |= 1 << shift
            elif letter in _SHIFTS:
                bits |= (mode >> _SHIFTS[letter] & 7) << shift
            elif letter == "s":
                bits |= {"u": 0o4000, "g": 0o2000, "o": 0}[one]
        if letter == "t":
            bits |= 0o1000
    return bits


def _change(mode: int, who: str, operator: str, bits: int) -> int:
    if operator == "+":
        return mode | bits
    if operator == "-":
        return mode & ~bits
    special = {"u": 0o4700, "g": 0o2070, "o": 0o0007}
    return (mode & ~sum(special[one] for one in set(who))) | bits


def identify(call: Call, kind: str, name: str) -> int | None:
    """Give the id of a user or group by name or number, None for neither."""
    if kind == "user":
        user = users(call.files, call.root).get(name)
        if user is not None:
            return user.uid
    else:
        group = groups(call.files, call.root).get(name)
        if group is not None:
            return group.gid
    return int(name) if name.isdigit() else None


@program("/bin/chmod", "chmod [-R] [-h] MODE FILE...")
def chmod(call: Call) -> Reply:
    """Change permissions."""
    args = list(call.args)
    flags, names, wrong = getopt([word for word in args if not re.fullmatch(r"-[rwxXst]+", word)], "RhfvHLP")
    if wrong or len(names) < 2:
        raise call.unsupported()
    mode, *files = names
    try:
        apply_mode(mode, 0)
    except ModeError:
        return say(error=f"chmod: invalid file mode: {mode}\n", status=1)

    def change(node: Node) -> None:
        if uid_of(call) not in (0, node.uid):
            raise FileError("", "Operation not permitted")
        node.mode = apply_mode(mode, node.mode, folder=node.kind == "dir", umask=call.umask)

    return _over(call, flags, files, change)


@program("/usr/sbin/chown", "chown [-R] [-h] OWNER[:GROUP] FILE...", "chown [-R] [-h] :GROUP FILE...")
def chown(call: Call) -> Reply:
    """Change owners; `nosuch` and `:nosuch` are refused before anything is changed."""
    flags, names, wrong = getopt(call.args, "RhfvHLPx")
    if wrong or len(names) < 2:
        raise call.unsupported()
    owner, *files = names
    user, colon, group = owner.partition(":")
    return _give(call, flags, files, user, group if colon else "")


@program("/usr/bin/chgrp", "chgrp [-R] [-h] GROUP FILE...")
def chgrp(call: Call) -> Reply:
    """Change groups."""
    flags, names, wrong = getopt(call.args, "RhfvHLPx")
    if wrong or len(names) < 2:
        raise call.unsupported()
    return _give(call, flags, names[1:], "", names[0])


def _give(call: Call, flags: dict[str, list[str]], files: list[str], user: str, group: str) -> Reply:
    uid = identify(call, "user", user) if user else None
    gid = identify(call, "group", group) if group else None
    if group and gid is None:
        return say(error=f"{call.name}: {group}: illegal group name\n", status=1)
    if user and uid is None:
        return say(error=f"{call.name}: {user}: illegal user name\n", status=1)

    def change(node: Node) -> None:
        if uid_of(call) != 0:
            raise FileError("", "Operation not permitted")
        node.uid = node.uid if uid is None else uid
        node.gid = node.gid if gid is None else gid

    return _over(call, flags, files, change)


def _over(call: Call, flags: dict[str, list[str]], names: list[str], change: Callable[[Node], None]) -> Reply:
    """Change files, with `-R` all that is below them; links themselves only with `-h` or on the way down."""

    def one(name: str) -> None:
        path = call.path(name)
        mount = call.files.mount_under(path, root=call.root)
        if mount is not None and "ro" in mount.options.split(","):
            raise FileError(name, EROFS)
        if "R" not in flags:
            change(call.files.node(path, root=call.root, follow="h" not in flags))
            return
        for node in _below(call, path):
            change(node)

    reply = file_facts.each(call, names, one)
    return Reply(0, reply.stdout) if "f" in flags else reply


def _below(call: Call, path: str) -> Iterator[Node]:
    for _, node in call.files.walk(path, root=call.root):
        yield node
