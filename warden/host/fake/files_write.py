# SPDX-License-Identifier: BSD-2-Clause
"""mkdir, rm, mv, cp, ln, touch, tee, truncate, install, mktemp: files made and taken away."""

from __future__ import annotations

import posixpath
import re
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING

from warden.host.fake import file_facts
from warden.host.fake.file_modes import ModeError, apply_mode, identify
from warden.host.fake.filesystem import FileError
from warden.host.fake.options import complaint, getopt
from warden.host.fake.program import Call, Reply, program, say
from warden.host.fake.users import uid_of

if TYPE_CHECKING:
    from warden.host.fake.file_node import Node

EX_NOUSER, EX_OSERR = 67, 71
_OWNERS = (("user", "o"), ("group", "g"))
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom a file is given to; None leaves it as it is."""

    uid: int | None
    gid: int | None

    def give(self, node: Node) -> None:
        node.uid = node.uid if self.uid is None else self.uid
        node.gid = node.gid if self.gid is None else self.gid


@program("/bin/mkdir", "mkdir [-p] [-v] [-m MODE] FOLDER...")
def mkdir(call: Call) -> Reply:
    """Make folders."""
    flags, names, wrong = getopt(call.args, "pvm:")
    if wrong or not names:
        raise call.unsupported()
    try:
        mode = apply_mode(flags["m"][-1], 0o777) if "m" in flags else 0o777 & ~call.umask
    except ModeError:
        return say(error=f"mkdir: invalid file mode: {flags['m'][-1]}\n", status=1)

    def make(name: str) -> bytes:
        path = call.path(name)
        new = not call.files.exists(path, root=call.root)
        if not new and ("p" not in flags or not call.files.is_dir(path, root=call.root)):
            raise FileError(name, "File exists")
        if new:
            parents = "p" in flags
            node = call.files.make_dir(path, root=call.root, mode=mode, uid=uid_of(call), parents=parents)
            node.mode = mode
        return f"{name}\n".encode() if "v" in flags and new else b""

    return file_facts.each(call, names, make)


@program("/bin/rmdir", "rmdir [-p] FOLDER...")
def rmdir(call: Call) -> Reply:
    """Remove empty folders."""
    flags, names, wrong = getopt(call.args, "p")
    if wrong or not names:
        raise call.unsupported()

    def remove(name: str) -> None:
        while name and name != "/":
            node = call.files.node(call.path(name), root=call.root, follow=False)
            if node.kind != "dir":
                raise FileError(name, "Not a directory")
            call.files.remove(call.path(name), root=call.root)
            name = posixpath.dirname(name) if "p" in flags else ""

    return file_facts.each(call, names, remove)


@program("/bin/rm", "rm [-dfRrvx] FILE...")
def rm(call: Call) -> Reply:
    """Remove files, folders with `-r`; with `-f` what is not there is no error."""
    flags, names, wrong = getopt(call.args, "dfRrvPx")
    if wrong:
        raise call.unsupported()
    recursive = bool(flags.keys() & {"r", "R"})
    if not names:
        return Reply() if "f" in flags else say(error="usage: rm [-f | -i] [-dIPRrvWx] file ...\n", status=64)

    def remove(name: str) -> bytes:
        last = name.rstrip("/").rpartition("/")[2]
        if last in (".", ".."):
            raise FileError(name, '"." and ".." may not be removed')
        path = call.path(name)
        node = call.files.lookup(path, root=call.root, follow=False)
        if node is None and "f" in flags:
            return b""
        if node is not None and node.kind == "dir" and not recursive and "d" not in flags:
            raise FileError(name, "is a directory")
        call.files.remove(path, root=call.root, recursive=recursive)
        return f"{name}\n".encode() if "v" in flags else b""

    return file_facts.each(call, names, remove)


@program("/bin/mv", "mv [-f] [-n] [-v] SOURCE... TARGET")
def mv(call: Call) -> Reply:
    """Rename files, or move them into a folder."""
    flags, names, wrong = getopt(call.args, "fnvh")
    if wrong or len(names) < 2:
        raise call.unsupported()
    *sources, target = names
    into = call.files.is_dir(call.path(target), root=call.root) and "h" not in flags
    if len(sources) > 1 and not into:
        return say(error=f"mv: {target} is not a directory\n", status=1)
    reply = Reply()
    for source in sources:
        goal = f"{target.rstrip('/')}/{source.rstrip('/').rpartition('/')[2]}" if into else target
        if "n" in flags and call.files.lookup(call.path(goal), root=call.root, follow=False) is not None:
            continue
        try:
            _rename(call, call.path(source), call.path(goal))
        except FileError as failure:
            missing = failure.path == call.path(source)
            what = source if missing else f"rename {source} to {goal}"
            reply += say(error=f"mv: {what}: {failure.reason}\n", status=1)
            continue
        reply += say(f"{source} -> {goal}\n" if "v" in flags else "", status=reply.exit_code)
    return reply


def _rename(call: Call, old: str, new: str) -> None:
    if f"{new}/".startswith(f"{old.rstrip('/')}/") and new != old:
        raise FileError(new, "Invalid argument")
    call.files.rename(old, new, root=call.root)


@program("/bin/cp", "cp [-R | -r | -a] [-f] [-n] [-p] [-v] SOURCE... TARGET")
def cp(call: Call) -> Reply:
    """Copy files, folders with `-R`; `-p` keeps owners, modes and dates."""
    flags, names, wrong = getopt(call.args, "RrafnpvPH")
    if wrong or len(names) < 2:
        raise call.unsupported()
    *sources, target = names
    recursive = bool(flags.keys() & {"R", "r", "a"})
    keep = bool(flags.keys() & {"p", "a"})
    into = call.files.is_dir(call.path(target), root=call.root)
    if len(sources) > 1 and not into:
        return say(error=f"cp: {target} is not a directory\n", status=1)

    def copy(source: str) -> None:
        node = call.files.node(call.path(source), root=call.root, follow=not recursive)
        if node.kind == "dir" and not recursive:
            raise FileError(source, "is a directory (not copied).")
        goal = _goal(call, source, target, node, into=into)
        if "n" not in flags or not call.files.exists(goal, root=call.root):
            try:
                _copy(call, call.path(source), node, goal, keep=keep)
            except FileError as failure:  # of what is written, cp names what it would have become
                refused.append(f"cp: {failure.path if node.kind == 'dir' else goal}: {failure.reason}\n")
                return
            if "v" in flags and node.kind == "dir":
                raise call.unsupported()
            copied.append(f"{source} -> {goal}\n")

    copied: list[str] = []
    refused: list[str] = []
    reply = file_facts.each(call, sources, copy)
    if refused:
        reply += say(error="".join(refused), status=1)
    if "v" in flags:
        reply.stdout += "".join(copied).encode()
    # cp alone says of a folder what is wrong with it without a colon
    return Reply(reply.exit_code, reply.stdout, reply.stderr.replace(b": is a directory (", b" is a directory ("))


def _goal(call: Call, source: str, target: str, node: Node, *, into: bool) -> str:
    """Give the path that a copy gets."""
    goal = call.path(target)
    # a source that ends in a slash is its content, as BSD's cp has it
    if into and not (node.kind == "dir" and source.endswith("/")):
        goal = f"{goal.rstrip('/')}/{source.rstrip('/').rpartition('/')[2]}"
    if node.kind == "dir" and f"{goal}/".startswith(f"{call.path(source).rstrip('/')}/"):
        raise call.unsupported("cp of a folder into itself")
    return goal


def _copy(call: Call, path: str, node: Node, goal: str, *, keep: bool) -> None:
    files, root, uid = call.files, call.root, uid_of(call)
    mode = node.mode if keep else node.mode & ~call.umask & 0o777
    existing = files.lookup(goal, root=root, follow=node.kind != "link")
    if node.kind == "dir":
        new = existing or files.make_dir(goal, root=root, mode=mode, uid=uid)
        for name, child in files.entries(path, root=root):
            _copy(call, f"{path.rstrip('/')}/{name}", child, f"{goal.rstrip('/')}/{name}", keep=keep)
    elif node.kind == "link":
        if existing is not None:
            files.remove(goal, root=root)
        files.symlink(node.target, goal, root=root, uid=uid)
        new = files.node(goal, root=root, follow=False)
    else:
        new = files.write(goal, node.data, root=root, mode=mode, uid=uid)
        new.hole = node.hole
    if keep:
        new.mode, new.uid, new.gid, new.mtime = node.mode, node.uid, node.gid, node.mtime


@program("/bin/ln", "ln -s [-f] [-h | -n] [-v] TARGET... [LINK]")
def ln(call: Call) -> Reply:
    """Make symbolic links; hard links are not supported."""
    flags, names, wrong = getopt(call.args, "sfhnvF")
    if wrong or not names or "s" not in flags:
        raise call.unsupported()
    *targets, link = names if len(names) > 1 else (*names, ".")
    follow = not flags.keys() & {"h", "n"}
    node = call.files.lookup(call.path(link), root=call.root, follow=follow)
    into = node is not None and node.kind == "dir"

    def make(target: str) -> None:
        goal = f"{link.rstrip('/')}/{target.rstrip('/').rpartition('/')[2]}" if into else link
        existing = call.files.lookup(call.path(goal), root=call.root, follow=False)
        if existing is not None and "f" in flags and existing.kind != "dir":
            call.files.remove(call.path(goal), root=call.root)
        try:
            call.files.symlink(target, call.path(goal), root=call.root, uid=uid_of(call))
        except FileError as failure:
            raise FileError(goal, failure.reason) from failure

    reply = Reply()
    for target in targets:
        try:
            make(target)
        except FileError as failure:
            reply += say(error=f"ln: {failure}\n", status=1)
    return reply


@program("/usr/bin/touch", "touch [-c] FILE...")
def touch(call: Call) -> Reply:
    """Make empty files, or set the date of those that are there."""
    flags, names, wrong = getopt(call.args, "cam")
    if wrong or not names:
        raise call.unsupported()

    def stamp(name: str) -> None:
        node = call.files.lookup(call.path(name), root=call.root)
        if node is not None:
            node.mtime = call.files.now
        elif "c" not in flags:
            call.files.write(call.path(name), b"", root=call.root, mode=0o666 & ~call.umask, uid=uid_of(call))

    return file_facts.each(call, names, stamp)


@program("/usr/bin/tee", "tee [-a] [FILE...]")
def tee(call: Call) -> Reply:
    """Write standard input to files and to standard output."""
    flags, names, wrong = getopt(call.args, "ai")
    if wrong:
        raise call.unsupported()

    def write(name: str) -> None:
        mode, append = 0o666 & ~call.umask, "a" in flags
        call.files.write(call.path(name), call.stdin, root=call.root, mode=mode, uid=uid_of(call), append=append)

    reply = file_facts.each(call, names, write)
    return Reply(reply.exit_code, call.stdin, reply.stderr)


@program("/usr/bin/truncate", "truncate [-c] -s [+|-]SIZE[K|M|G|T] FILE...")
def truncate(call: Call) -> Reply:
    """Set the size of files; what is added are zeros that take no room."""
    flags, names, wrong = getopt(call.args, "cs:")
    match = re.fullmatch(r"([+-]?)(\d+)([kmgtKMGT]?)", flags.get("s", [""])[-1])
    if wrong or not names or match is None:
        raise call.unsupported()
    amount = int(match[2]) * _UNITS[match[3].lower()]

    def resize(name: str) -> None:
        path = call.path(name)
        node = call.files.lookup(path, root=call.root)
        if node is None and "c" in flags:
            return
        if node is None:
            node = call.files.write(path, b"", root=call.root, mode=0o666 & ~call.umask, uid=uid_of(call))
        if node.kind == "dir":
            raise FileError(name, "Is a directory")
        wanted = {"": amount, "+": node.length + amount, "-": max(0, node.length - amount)}[match[1]]
        node.data = node.data[:wanted]
        node.hole = wanted - len(node.data)
        node.mtime = call.files.now

    return file_facts.each(call, names, resize)


@program("/usr/bin/install", "install [-CcpS] [-m MODE] [-o OWNER] [-g GROUP] FILE... TARGET", "install -d FOLDER...")
def install(call: Call) -> Reply:
    """Copy files with a mode and an owner, or make folders with them."""
    flags, names, wrong = getopt(call.args, "CcdpSvm:o:g:")
    if wrong or not names or (len(names) < 2 and "d" not in flags):
        raise call.unsupported()
    try:
        mode = apply_mode(flags.get("m", ["755"])[-1], 0)
    except ModeError:
        return say(error=f"install: invalid file mode: {flags['m'][-1]}\n", status=64)
    owner = Owner(*(identify(call, kind, flags[letter][-1]) if letter in flags else None for kind, letter in _OWNERS))
    for kind, letter, found in (("user", "o", owner.uid), ("group", "g", owner.gid)):
        if letter in flags and found is None:
            return say(error=f"install: unknown {kind} {flags[letter][-1]}\n", status=EX_NOUSER)
    if "d" in flags:
        return file_facts.each(call, names, lambda name: _install_folder(call, name, mode, owner))
    *sources, target = names
    into = call.files.is_dir(call.path(target), root=call.root)
    if len(sources) > 1 and not into:
        return say(error=f"install: {target}: Not a directory\n", status=EX_OSERR)
    for source in sources:
        goal = f"{target.rstrip('/')}/{source.rpartition('/')[2]}" if into else target
        try:
            _install_file(call, source, goal, mode, owner)
        except FileError as failure:
            return say(error=f"install: {failure}\n", status=EX_OSERR)
    return Reply()


def _install_folder(call: Call, name: str, mode: int, owner: Owner) -> None:
    node = call.files.make_dir(call.path(name), root=call.root, mode=mode, uid=uid_of(call), parents=True)
    node.mode = mode
    owner.give(node)


def _install_file(call: Call, source: str, goal: str, mode: int, owner: Owner) -> None:
    node = call.files.lookup(call.path(source), root=call.root)
    if source == "/dev/stdin" or (node is not None and node.kind != "file"):
        raise FileError(source, "Inappropriate file type or format")
    if node is None:
        raise FileError(source, "No such file or directory")
    made = call.files.write(call.path(goal), node.data, root=call.root, mode=mode, uid=uid_of(call))
    made.hole, made.mode = node.hole, mode
    owner.give(made)


@program("/usr/bin/mktemp", "mktemp [-d] [-q] [-u] [-t PREFIX] [TEMPLATE...]")
def mktemp(call: Call) -> Reply:
    """Make files with names that nobody has, readable by their owner only."""
    flags, names, wrong = getopt(call.args, "dqut:p:")
    if wrong.startswith("missing"):
        return say(error=complaint("mktemp", wrong), status=1)
    if wrong or "p" in flags:
        raise call.unsupported()
    folder = call.environment.get("TMPDIR", "/tmp").rstrip("/")
    if not names:
        names = [f"{folder}/{flags.get('t', ['tmp'])[-1]}.XXXXXXXXXX"]
    reply = Reply()
    for template in names:
        stem = template.rstrip("X")
        letters = string.ascii_letters + string.digits
        name = stem + "".join(letters[call.machine.pick(len(letters))] for _ in range(len(template) - len(stem)))
        try:
            if "u" not in flags and "d" in flags:
                call.files.make_dir(call.path(name), root=call.root, mode=0o700, uid=uid_of(call))
            elif "u" not in flags:
                call.files.write(call.path(name), b"", root=call.root, mode=0o600, uid=uid_of(call))
        except FileError as failure:
            kind = "mkdtemp" if "d" in flags else "mkstemp"
            error = "" if "q" in flags else f"mktemp: {kind} failed on {template}: {failure.reason}\n"
            reply += say(error=error, status=1)
            continue
        reply += say(f"{name}\n", status=reply.exit_code)
    return reply
