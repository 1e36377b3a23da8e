# SPDX-License-Identifier: BSD-2-Clause
"""ls, stat, find and du: what files there are."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from warden.host.fake import file_facts
from warden.host.fake.filesystem import FileError
from warden.host.fake.options import getopt
from warden.host.fake.program import Call, Reply, program, say
from warden.host.fake.users import group_name, user_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.host.fake.file_node import Node


_KINDS = {
    "file": ("Regular File", 0o100000),
    "dir": ("Directory", 0o040000),
    "link": ("Symbolic Link", 0o120000),
    "char": ("Character Device", 0o020000),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A file to list: the name to show, its node, and where it is."""

    shown: str
    node: Node
    path: str
    fstype: str


@program("/bin/ls", "ls [-1AadlnRrt] [FILE...]")
def ls(call: Call) -> Reply:
    """List files; root sees names that begin with a dot, but for `.` and `..`."""
    flags, names, wrong = getopt(call.args, "1AadlnrRt")
    if wrong:
        raise call.unsupported()
    reply = Reply()
    files: list[Entry] = []
    folders: list[str] = []
    for name in sorted(names or ["."]):
        try:
            entry = _entry(call, name, call.path(name), follow=not flags.keys() & {"l", "n", "d"})
        except FileError as failure:
            reply += say(error=f"ls: {name}: {failure.reason}\n", status=1)
            continue
        if entry.node.kind == "dir" and "d" not in flags:
            folders.append(name)
        else:
            files.append(entry)
    text = _listing(call, files, flags, total=False)
    several = len(folders) + len(files) + len(reply.stderr.splitlines()) > 1
    while folders:
        name = folders.pop(0)
        entries = list(_inside(call, name, flags))
        text += ("\n" if text else "") + (f"{name}:\n" if several or "R" in flags else "")
        text += _listing(call, entries, flags, total=True)
        if "R" in flags:
            below = [entry for entry in entries if entry.node.kind == "dir" and entry.shown not in (".", "..")]
            folders[:0] = [f"{name.rstrip('/')}/{entry.shown}" for entry in _ordered(below, flags)]
    return Reply(reply.exit_code, text.encode("utf-8", "surrogateescape"), reply.stderr)


def _entry(call: Call, shown: str, path: str, *, follow: bool) -> Entry:
    node = call.files.lookup(path, root=call.root) if follow else None
    node = node or call.files.node(path, root=call.root, follow=False)
    return Entry(shown, node, path, file_facts.file_system(call, path))


def _inside(call: Call, name: str, flags: dict[str, list[str]]) -> Iterator[Entry]:
    path = call.path(name).rstrip("/")
    if "a" in flags:
        yield _entry(call, ".", path or "/", follow=True)
        yield _entry(call, "..", f"{path}/..", follow=True)
    for child, _ in call.files.entries(path or "/", root=call.root):
        if not child.startswith(".") or "a" in flags or "A" in flags or call.user == "root":
            yield _entry(call, child, f"{path}/{child}", follow=False)


def _ordered(entries: list[Entry], flags: dict[str, list[str]]) -> list[Entry]:
    entries = sorted(entries, key=lambda entry: entry.shown)
    if "t" in flags:
        entries.sort(key=lambda entry: entry.node.mtime, reverse=True)
    return entries[::-1] if "r" in flags else entries


def _listing(call: Call, entries: list[Entry], flags: dict[str, list[str]], *, total: bool) -> str:
    entries = _ordered(entries, flags)
    if not flags.keys() & {"l", "n"}:
        return "".join(f"{entry.shown}\n" for entry in entries)
    rows = [
        [
            file_facts.mode_string(entry.node) + " ",
            str(file_facts.link_count(entry.node)),
            str(entry.node.uid) if "n" in flags else user_name(call.files, call.root, entry.node.uid),
            str(entry.node.gid) if "n" in flags else group_name(call.files, call.root, entry.node.gid),
            _device(entry) if entry.node.kind == "char" else str(file_facts.size(entry.node, entry.fstype)),
            file_facts.list_date(entry.node.mtime, call.machine.clock),
            entry.shown + (f" -> {entry.node.target}" if entry.node.kind == "link" else ""),
        ]
        for entry in entries
    ]
    links, users, groups, sizes = (max((len(row[column]) for row in rows), default=0) for column in range(1, 5))
    text = "".join(
        f"{row[0]} {row[1]:>{links}} {row[2]:<{users}} {row[3]:<{groups}} {row[4]:>{sizes}} {row[5]} {row[6]}\n"
        for row in rows
    )
    if not total:
        return text
    used = sum(file_facts.blocks(entry.node, entry.fstype) for entry in entries)
    return f"total {-(-used // (block_size(call) // 512))}\n{text}"


def _device(entry: Entry) -> str:
    """Give a device's number, which says nothing and differs from boot to boot."""
    return f"0x{zlib.crc32(entry.shown.encode()) % 240 + 16:x}"


def block_size(call: Call) -> int:
    """Give the size of the blocks in which ls, du and df count: BLOCKSIZE, or 512."""
    text = call.environment.get("BLOCKSIZE", "512")
    units = {"K": 1024, "M": 1024**2, "G": 1024**3}
    number = text[:-1] if text[-1:].upper() in units else text
    scale = units.get(text[-1:].upper(), 1)
    return max(512, int(number or 1) * scale) if (number or "1").isdigit() else 512


@program("/usr/bin/stat", "stat -f FORMAT [-nLq] FILE...")
def stat(call: Call) -> Reply:
    """Show what is known of files, in a given form."""
    flags, names, wrong = getopt(call.args, "f:nLq")
    if wrong or "f" not in flags or not names:
        raise call.unsupported()
    end = "" if "n" in flags else "\n"

    def show(name: str) -> bytes:
        entry = _entry(call, name, call.path(name), follow=False)
        if "L" in flags:
            entry = Entry(name, call.files.node(call.path(name), root=call.root), entry.path, entry.fstype)
        return (_formatted(call, flags["f"][-1], entry) + end).encode("utf-8", "surrogateescape")

    reply = file_facts.each(call, names, show)
    return Reply(reply.exit_code, reply.stdout, b"" if "q" in flags else reply.stderr)


def _formatted(call: Call, form: str, entry: Entry) -> str:
    node = entry.node
    kind, bits = _KINDS[node.kind]
    values = {
        "%Sp": file_facts.mode_string(node),
        "%Lp": f"{node.mode & 0o777:o}",
        "%OLp": f"{node.mode & 0o777:o}",
        "%Mp": f"{node.mode >> 9:o}",
        "%OMp": f"{node.mode >> 9:o}",
        "%p": f"{bits | node.mode:o}",
        "%Op": f"{bits | node.mode:o}",
        "%#Lp": f"0{node.mode & 0o777:o}",
        "%Su": user_name(call.files, call.root, node.uid),
        "%u": str(node.uid),
        "%Sg": group_name(call.files, call.root, node.gid),
        "%g": str(node.gid),
        "%z": str(file_facts.size(node, entry.fstype)),
        "%b": str(file_facts.blocks(node, entry.fstype)),
        "%l": str(file_facts.link_count(node)),
        "%N": entry.shown,
        "%R": call.files.real_path(entry.path, root=call.root),
        "%Y": node.target,
        "%SY": f" -> {node.target}" if node.kind == "link" else "",
        "%HT": kind,
        "%m": str(int(file_facts.date(node.mtime).timestamp())),
        "%Sm": f"{file_facts.date(node.mtime):%b %e %H:%M:%S %Y}",
        "%n": "\n",
        "%t": "\t",
        "%%": "%",
    }

    def replace(match: re.Match[str]) -> str:
        if match[0] not in values:
            raise call.unsupported(f"stat -f {match[0]}")
        return values[match[0]]

    return re.sub(r"%(?:#?[A-Z]{0,2}[a-zNRTY]|%)", replace, form)


@program(
    "/usr/bin/find",
    "find FOLDER... [-maxdepth N] [-mindepth N] [-type f|d|l|c] [-name PATTERN] [-path PATTERN] [-user NAME] [-print]",
)
def find(call: Call) -> Reply:
    """Walk through folders. A real UFS gives names as they stand in a folder, here they come sorted."""
    args = list(call.args)
    starts: list[str] = []
    while args and not args[0].startswith(("-", "(", "!")):
        starts.append(args.pop(0))
    tests: dict[str, str] = {}
    while args:
        word = args.pop(0)
        if word == "-print":
            continue
        if word not in ("-maxdepth", "-mindepth", "-type", "-name", "-path", "-user") or not args or word in tests:
            raise call.unsupported()
        tests[word] = args.pop(0)
    if not starts:
        return say(error="usage: find [-H | -L | -P] [-EXdsx] [-f path] path ... [expression]\n", status=1)
    kind = {"f": "file", "d": "dir", "l": "link", "c": "char"}.get(tests.get("-type", ""), "")

    def walk(name: str) -> bytes:
        found = ""
        top = call.path(name)
        deepest = int(tests.get("-maxdepth", "1000"))
        for path, node, depth in _descend(call, top, deepest):
            shown = name + path[len(top) :] if not name.endswith("/") else name + path[len(top) :].lstrip("/")
            wanted = (
                depth >= int(tests.get("-mindepth", "0"))
                and (not kind or node.kind == kind)
                and fnmatchcase(path.rpartition("/")[2], tests.get("-name", "*"))
                and fnmatchcase(shown, tests.get("-path", "*"))
                and tests.get("-user", "") in ("", str(node.uid), user_name(call.files, call.root, node.uid))
            )
            found += f"{shown}\n" if wanted else ""
        return found.encode("utf-8", "surrogateescape")

    return file_facts.each(call, starts, walk)


def _descend(call: Call, path: str, deepest: int, depth: int = 0) -> Iterator[tuple[str, Node, int]]:
    node = call.files.node(path, root=call.root, follow=False)
    yield path, node, depth
    if node.kind == "dir" and depth < deepest:
        for name, _ in call.files.entries(path, root=call.root):
            yield from _descend(call, f"{path.rstrip('/')}/{name}", deepest, depth + 1)


@program("/usr/bin/du", "du [-k | -m | -h] [-s | -a] [FILE...]")
def du(call: Call) -> Reply:
    """Tell what files take up on the disk."""
    flags, names, wrong = getopt(call.args, "kmhsax")
    if wrong or "h" in flags:
        raise call.unsupported()
    unit = 1024 if "k" in flags else 1024**2 if "m" in flags else block_size(call)

    def measure(name: str) -> bytes:
        rows: list[str] = []

        def add(path: str, shown: str, depth: int) -> int:
            entry = _entry(call, shown, path, follow=False)
            used = file_facts.blocks(entry.node, entry.fstype)
            for child, _ in call.files.entries(path, root=call.root) if entry.node.kind == "dir" else ():
                used += add(f"{path.rstrip('/')}/{child}", f"{shown.rstrip('/')}/{child}", depth + 1)
            if depth == 0 or ("s" not in flags and (entry.node.kind == "dir" or "a" in flags)):
                rows.append(f"{-(-used * 512 // unit)}\t{shown}\n")
            return used

        add(call.path(name), name, 0)
        return "".join(rows).encode("utf-8", "surrogateescape")

    return file_facts.each(call, names or ["."], measure)
