# SPDX-License-Identifier: BSD-2-Clause
"""cat, head, tail, wc, digests, cmp, diff, readlink, realpath, base64 and tar: what files hold."""

from __future__ import annotations

import base64
import binascii
import difflib
import hashlib
import io
import tarfile
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from warden.host.fake import file_facts
from warden.host.fake.filesystem import FileError
from warden.host.fake.machine import EPOCH
from warden.host.fake.options import complaint, getopt
from warden.host.fake.program import Call, Reply, program, say
from warden.host.fake.users import group_name, user_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from warden.host.fake.file_node import Node


@program("/bin/cat", "cat [FILE...]")
def cat(call: Call) -> Reply:
    """Write files one after the other."""
    _, names, wrong = getopt(call.args, "u")
    if wrong:
        raise call.unsupported()
    return file_facts.each(call, names or ["-"], lambda name: file_facts.read_input(call, name))


@program("/usr/bin/head", "head [-n LINES | -c BYTES] [FILE...]")
def head(call: Call) -> Reply:
    """Write the beginning of files."""
    return _part(call, lambda data, count: data[:count], lambda lines, count: lines[:count])


@program("/usr/bin/tail", "tail [-n LINES | -c BYTES] [FILE...]")
def tail(call: Call) -> Reply:
    """Write the end of files; a number with `+` counts from the beginning."""
    return _part(
        call,
        lambda data, count: data[max(0, len(data) - count) :],
        lambda lines, count: lines[max(0, len(lines) - count) :],
    )


def _part(
    call: Call, of_bytes: Callable[[bytes, int], bytes], of_lines: Callable[[list[bytes], int], list[bytes]]
) -> Reply:
    args = [f"-n{word[1:]}" if word[:1] == "-" and word[1:].isdigit() else word for word in call.args]
    flags, names, wrong = getopt(args, "n:c:q")
    count = flags.get("n", flags.get("c", ["10"]))[-1]
    from_start = call.name == "tail" and count.startswith("+")
    if wrong or not count.lstrip("+-").isdigit() or ("n" in flags and "c" in flags):
        raise call.unsupported()
    number = abs(int(count))

    def cut(name: str) -> bytes:
        data = file_facts.read_input(call, name)
        title = f"==> {name} <==\n".encode() if len(names) > 1 and "q" not in flags else b""
        if "c" in flags:
            return title + (data[max(0, number - 1) :] if from_start else of_bytes(data, number))
        lines = data.splitlines(keepends=True)
        return title + b"".join(lines[max(0, number - 1) :] if from_start else of_lines(lines, number))

    return file_facts.each(call, names or ["-"], cut)


@program("/usr/bin/wc", "wc [-l] [-w] [-c | -m] [FILE...]")
def wc(call: Call) -> Reply:
    """Count lines, words and bytes."""
    flags, names, wrong = getopt(call.args, "lwcm")
    if wrong:
        raise call.unsupported()
    wanted = [letter for letter in "lwcm" if letter in flags] or ["l", "w", "c"]
    totals = dict.fromkeys(wanted, 0)

    def count(name: str) -> bytes:
        data = file_facts.read_input(call, name)
        text = data.decode("utf-8", "replace")
        counts = {"l": data.count(b"\n"), "w": len(data.split()), "c": len(data), "m": len(text)}
        for letter in wanted:
            totals[letter] += counts[letter]
        shown = f" {name}" if names else ""
        return ("".join(f" {counts[letter]:7}" for letter in wanted) + f"{shown}\n").encode()

    reply = file_facts.each(call, names or ["-"], count)
    if len(names) > 1:
        reply += say("".join(f" {totals[letter]:7}" for letter in wanted) + " total\n", status=reply.exit_code)
    return reply


@program("/sbin/sha256", "sha256 [-q | -r] [-s STRING] [FILE...]")
def sha256(call: Call) -> Reply:
    """Give SHA-256 sums."""
    return _digest(call, "sha256")


@program("/sbin/sha512", "sha512 [-q | -r] [-s STRING] [FILE...]")
def sha512(call: Call) -> Reply:
    """Give SHA-512 sums."""
    return _digest(call, "sha512")


@program("/sbin/md5", "md5 [-q | -r] [-s STRING] [FILE...]")
def md5(call: Call) -> Reply:
    """Give MD5 sums."""
    return _digest(call, "md5")


def _digest(call: Call, algorithm: str) -> Reply:
    flags, names, wrong = getopt(call.args, "qrs:")
    if wrong:
        raise call.unsupported()

    def line(data: bytes, name: str) -> bytes:
        digest = hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()
        if "q" in flags or not name:
            return f"{digest}\n".encode()
        return f"{digest} {name}\n".encode() if "r" in flags else f"{algorithm.upper()} ({name}) = {digest}\n".encode()

    if "s" in flags:
        text = flags["s"][-1]
        return Reply(0, line(text.encode("utf-8", "surrogateescape"), f'"{text}"'))
    if not names:
        return Reply(0, line(call.stdin, ""))
    return file_facts.each(call, names, lambda name: line(file_facts.read_input(call, name), name))


@program("/usr/bin/cmp", "cmp [-s] FILE FILE")
def cmp_(call: Call) -> Reply:
    """Compare two files byte by byte: 0 the same, 1 different, 2 trouble."""
    flags, names, wrong = getopt(call.args, "s")
    if wrong or len(names) != 2:
        raise call.unsupported()
    silent = "s" in flags
    contents: list[bytes] = []
    for name in names:
        try:
            contents.append(file_facts.read_input(call, name))
        except FileError as failure:
            return say(error="" if silent else f"cmp: {name}: {failure.reason}\n", status=2)
    one, two = contents
    if one == two:
        return Reply()
    for position, (left, right) in enumerate(zip(one, two, strict=False)):
        if left != right:
            line = one[:position].count(b"\n") + 1
            return say("" if silent else f"{names[0]} {names[1]} differ: char {position + 1}, line {line}\n", status=1)
    shorter = names[0] if len(one) < len(two) else names[1]
    return say(error="" if silent else f"cmp: EOF on {shorter}\n", status=1)


@program("/usr/bin/diff", "diff -u | -q FILE FILE", "diff FILE FILE (of equal files)")
def diff(call: Call) -> Reply:
    """Compare two files line by line: 0 the same, 1 different, 2 trouble."""
    flags, names, wrong = getopt(call.args, "uq")
    if wrong or len(names) != 2:
        raise call.unsupported()
    contents: list[bytes] = []
    for name in names:
        try:
            contents.append(file_facts.read_input(call, name))
        except FileError as failure:
            return say(error=f"diff: {name}: {failure.reason}\n", status=2)
    if contents[0] == contents[1]:
        return Reply()
    if "q" in flags:
        return say(f"Files {names[0]} and {names[1]} differ\n", status=1)
    if "u" not in flags:
        raise call.unsupported("diff of files that differ, without -u")
    dates = [_diff_date(call, name) for name in names]
    lines = [content.decode("utf-8", "surrogateescape").splitlines(keepends=True) for content in contents]
    text = ""
    for line in difflib.unified_diff(lines[0], lines[1], names[0], names[1], dates[0], dates[1]):
        text += line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
    return say(text, status=1)


def _diff_date(call: Call, name: str) -> str:
    node = call.files.lookup(call.path(name), root=call.root)
    when = file_facts.date(node.mtime if node is not None else call.machine.clock)
    return f"{when:%Y-%m-%d %H:%M:%S}.000000000 +0000"


@program("/usr/bin/readlink", "readlink [-f] [-n] FILE...")
def readlink(call: Call) -> Reply:
    """Tell where a link points, or with `-f` where a path ends up; the last part need not exist then."""
    flags, names, wrong = getopt(call.args, "fn")
    if wrong or not names:
        raise call.unsupported()
    reply = Reply()
    for name in names:
        node = call.files.lookup(call.path(name), root=call.root, follow=False)
        target = node.target if node is not None else ""
        if "f" in flags:
            target = _resolved(call, name)
        elif node is None or node.kind != "link":
            target = ""
        end = "" if "n" in flags or not target else "\n"
        reply += say(target + end, status=reply.exit_code or int(not target))
    return reply


def _resolved(call: Call, name: str) -> str:
    path = call.path(name)
    try:
        return resolve(call, path)
    except FileError:
        above, _, last = path.rstrip("/").rpartition("/")
    try:
        return f"{resolve(call, above or '/').rstrip('/')}/{last}"
    except FileError:
        return ""


def resolve(call: Call, path: str) -> str:
    """Give a path without links, as the program sees it; raises FileError where it leads nowhere."""
    files, root = call.files, call.root
    files.node(path, root=root)
    done: list[str] = []
    pending = [part for part in path.split("/") if part and part != "."][::-1]
    while pending:
        part = pending.pop()
        if part == "..":
            del done[-1:]
            continue
        node = files.node("/".join(["", *done, part]), root=root, follow=False)
        if node.kind != "link":
            done.append(part)
            continue
        if node.target.startswith("/"):
            done = []
        pending += [step for step in reversed(node.target.split("/")) if step and step != "."]
    return "/" + "/".join(done)


@program("/bin/realpath", "realpath [-q] [FILE...]")
def realpath(call: Call) -> Reply:
    """Give paths without links."""
    flags, names, wrong = getopt(call.args, "q")
    if wrong:
        raise call.unsupported()
    reply = file_facts.each(call, names or ["."], lambda name: f"{resolve(call, call.path(name))}\n".encode())
    return Reply(reply.exit_code, reply.stdout, b"" if "q" in flags else reply.stderr)


@program("/usr/bin/base64", "base64 [-d] [FILE]")
def base64_(call: Call) -> Reply:
    """Encode to base64, 76 characters a line, or decode."""
    flags, names, wrong = getopt([word.replace("--decode", "-d") for word in call.args], "dDi")
    if wrong or len(names) > 1:
        raise call.unsupported()
    data = file_facts.read_input(call, names[0] if names else "-")
    if flags:
        try:
            return Reply(0, base64.b64decode(data))
        except binascii.Error:
            return say(error="base64: stdin: error decoding base64 input stream\n", status=1)
    return Reply(0, base64.encodebytes(data))


@program("/usr/bin/b64encode", "b64encode [-r] [FILE] NAME")
def b64encode(call: Call) -> Reply:
    """Encode to base64 as uuencode(1) frames it; with `-r` without the frame."""
    flags, names, wrong = getopt(call.args, "r")
    if wrong or not 1 <= len(names) <= 2:
        raise call.unsupported()
    data = file_facts.read_input(call, names[0] if len(names) == 2 else "-")
    body = base64.encodebytes(data)
    return Reply(0, body if "r" in flags else f"begin-base64 644 {names[-1]}\n".encode() + body + b"====\n")


@program("/usr/bin/tar", "tar -cf - [-C FOLDER] [--exclude PATTERN]... PATH...")
def tar(call: Call) -> Reply:
    """Write an archive; what is missing is said, and the rest is in it (exit 1 then)."""
    args, excluded = _tar_arguments(call.args)
    flags, names, wrong = getopt(args, "cf:C:p")
    if wrong.startswith("missing"):
        return say(error=complaint("tar", wrong), status=1)
    if wrong or "c" not in flags or flags.get("f") != ["-"] or not names:
        raise call.unsupported()
    folder = call.path(flags.get("C", [call.cwd])[-1])
    if not call.files.is_dir(folder, root=call.root):
        return say(error=f"tar: could not chdir to '{flags['C'][-1]}'\n\n", status=1)
    output = io.BytesIO()
    errors = ""
    with tarfile.TarFile(fileobj=output, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in names:
            path = name if name.startswith("/") else f"{folder.rstrip('/')}/{name}"
            if call.files.lookup(path, root=call.root, follow=False) is None:
                errors += f"tar: {name}: Cannot stat: No such file or directory\n"
                continue
            if name.startswith("/"):
                errors += "" if "Removing" in errors else "tar: Removing leading '/' from member names\n"
            _add(call, archive, path, name.lstrip("/") or ".", excluded)
    failed = "Cannot stat" in errors
    errors += "tar: Error exit delayed from previous errors.\n" if failed else ""
    return Reply(int(failed), output.getvalue(), errors.encode("utf-8", "surrogateescape"))


def _tar_arguments(words: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Give the arguments as getopt reads them, and the patterns of --exclude."""
    args: list[str] = []
    excluded: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--exclude" and rest:
            excluded.append(rest.pop(0))
        elif word.startswith("--exclude="):
            excluded.append(word.partition("=")[2])
        else:
            args.append(word)
    if args and not args[0].startswith("-"):
        args[0] = f"-{args[0]}"
    return args, excluded


def _add(call: Call, archive: tarfile.TarFile, path: str, name: str, excluded: list[str]) -> None:
    """Put a file or a folder with all in it into an archive, but for what a pattern excludes by name or path."""
    parts = name.split("/")
    if any(fnmatchcase("/".join(parts[start:]), pattern) for pattern in excluded for start in range(len(parts))):
        return
    node = call.files.node(path, root=call.root, follow=False)
    if node.kind == "char":
        return
    info = _member(call, node, name)
    archive.addfile(info, io.BytesIO(call.files.read(path, root=call.root)) if node.kind == "file" else None)
    if node.kind == "dir":
        for child, _ in call.files.entries(path, root=call.root):
            _add(call, archive, f"{path.rstrip('/')}/{child}", f"{name}/{child}", excluded)


def _member(call: Call, node: Node, name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = {"dir": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}.get(node.kind, tarfile.REGTYPE)
    info.mode, info.uid, info.gid, info.mtime = node.mode, node.uid, node.gid, EPOCH + node.mtime
    info.uname = user_name(call.files, call.root, node.uid)
    info.gname = group_name(call.files, call.root, node.gid)
    info.linkname = node.target
    info.size = node.length if node.kind == "file" else 0
    return info
