# SPDX-License-Identifier: BSD-2-Clause
"""What stat(2) tells of a file: owners by name, sizes, blocks, dates, and how they are written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from warden.host.fake.filesystem import FileError
from warden.host.fake.machine import EPOCH
from warden.host.fake.program import Reply, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from warden.host.fake.file_node import Node
    from warden.host.fake.program import Call

HALF_YEAR = 182 * 86400
UFS_FRAGMENT, UFS_BLOCK, UFS_DIRECT = 4096, 32768, 12
_TYPES = {"file": "-", "dir": "d", "link": "l", "char": "c"}


def mode_string(node: Node) -> str:
    """Give the type and the permissions as ls does: `drwxr-x---`."""
    letters = ""
    for shift, special in ((6, 0o4000), (3, 0o2000), (0, 0o1000)):
        bits = node.mode >> shift & 7
        execute = "x" if bits & 1 else "-"
        if node.mode & special:
            small = "t" if special == 0o1000 else "s"
            execute = small if bits & 1 else small.upper()
        letters += ("r" if bits & 4 else "-") + ("w" if bits & 2 else "-") + execute
    return _TYPES[node.kind] + letters


def link_count(node: Node) -> int:
    """Give the number of names: a folder has one more for each folder in it."""
    if node.kind != "dir":
        return 1
    return 2 + sum(child.kind == "dir" for child in node.children.values())


def file_system(call: Call, path: str) -> str:
    """Give the type of the file system that a path is on: ufs, zfs, devfs."""
    mount = call.files.mount_under(path, root=call.root)
    if mount is not None:
        return mount.fstype
    return "devfs" if call.files.real_path(path, root=call.root, follow=False).startswith("/dev") else "ufs"


def size(node: Node, fstype: str) -> int:
    """Give the size in bytes; a folder's is the number of its entries on ZFS, of 512 at least on UFS."""
    if node.kind != "dir":
        return node.length
    if fstype == "zfs":
        return len(node.children) + 2
    used = 24 + sum((8 + len(name.encode("utf-8", "surrogateescape")) + 4) // 4 * 4 for name in node.children)
    return -(-used // 512) * 512


def blocks(node: Node, fstype: str) -> int:
    """Give the blocks of 512 bytes that a file takes.

    UFS gives whole fragments. ZFS keeps very little in the block pointer itself and compresses the rest: an estimate
    that fits what sessions 00, 05 and 10 show.
    """
    if fstype == "devfs" or node.kind == "char":
        return int(node.kind == "dir")
    if fstype == "zfs":
        if node.kind == "dir":
            entries = len(node.children) + 2
            return 1 if entries <= 6 else 1 + 2 * -(-entries * 27 // 1024)
        return 1 if len(node.data) <= 150 else 1 + -(-len(node.data) * 3 // 5 // 512)
    if node.kind == "link":
        return 0
    length = size(node, fstype)
    if length <= UFS_BLOCK * UFS_DIRECT:
        return -(-length // UFS_FRAGMENT) * UFS_FRAGMENT // 512
    whole = -(-len(node.data) // UFS_BLOCK)
    if node.hole:
        whole += 1  # a file that ends in a hole still has its last block
    return (whole + 1) * UFS_BLOCK // 512


def date(seconds: int) -> datetime:
    """Give the date of a second of the machine's clock."""
    return datetime.fromtimestamp(EPOCH + seconds, UTC)


def list_date(seconds: int, now: int) -> str:
    """Give a date as ls -l does: the time of day, or the year of what is half a year away."""
    when = date(seconds)
    if abs(now - seconds) < HALF_YEAR:
        return f"{when:%b} {when.day:>2} {when:%H:%M}"
    return f"{when:%b} {when.day:>2}  {when.year}"


def each(call: Call, names: Iterable[str], action: Callable[[str], bytes | None], *, status: int = 1) -> Reply:
    """Do something with every file named; one that fails is said and does not stop the rest."""
    reply = Reply()
    for name in names:
        try:
            reply += Reply(reply.exit_code, action(name) or b"")
        except FileError as failure:
            reply += say(error=f"{call.name}: {name}: {failure.reason}\n", status=status)
    return reply


def read_input(call: Call, name: str) -> bytes:
    """Give what a program reads from a file named on its command line; `-` and /dev/stdin are its standard input."""
    if name in ("-", "/dev/stdin"):
        return call.stdin
    return call.files.read(call.path(name), root=call.root)
