# SPDX-License-Identifier: BSD-2-Clause
"""Where the commands of a shell script read from and write to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from warden.host.fake.filesystem import EISDIR, ENOENT, FileError

if TYPE_CHECKING:
    from warden.host.fake.file_node import Node
    from warden.host.fake.filesystem import FileSystem
    from warden.host.fake.program import Call

EACCES = "Permission denied"
CONSOLES = ("/dev/null", "/dev/console", "/dev/tty")


@dataclass(slots=True)
class Input:
    """Bytes to be read, and how far they have been."""

    data: bytes = b""
    pos: int = 0

    def line(self) -> bytes:
        """Read one line with its newline; empty at the end."""
        end = self.data.find(b"\n", self.pos) + 1 or len(self.data)
        line, self.pos = self.data[self.pos : end], end
        return line

    def rest(self) -> bytes:
        """Give what has not been read, without reading it."""
        return self.data[self.pos :]


@dataclass(slots=True)
class Output:
    """Bytes that were written."""

    data: bytearray = field(default_factory=bytearray)
    failed: str = ""
    """Why the last write failed; '' where it did not."""

    def write(self, data: bytes) -> None:
        """Write."""
        self.data += data


class Discard(Output):
    """/dev/null."""

    def write(self, data: bytes) -> None:
        """Drop what is written."""


@dataclass(slots=True)
class FileOutput(Output):
    """A file that is open for writing: it stays the same file when it is renamed or removed."""

    node: Node | None = None
    files: FileSystem | None = None
    path: str = ""
    root: str = "/"

    def write(self, data: bytes) -> None:
        """Add to the file's end."""
        if self.node is not None and self.files is not None and data:
            try:
                self.files.refuse_full(self.path, self.root, len(data))
            except FileError as failure:
                self.failed = failure.reason
                return
            self.node.data += data
            self.node.mtime = self.files.now


def ids_of(call: Call, user: str) -> tuple[int, int]:
    """Give a user's uid and gid by /etc/passwd of where `call` runs; (0, 0) for root."""
    if user == "root":
        return 0, 0
    node = call.files.lookup("/etc/passwd", root=call.root)
    for line in node.data.decode("utf-8", "replace").splitlines() if node else []:
        fields = line.split(":")
        if fields[0] == user:
            return int(fields[2]), int(fields[3])
    raise FileError(user, ENOENT)


def may(call: Call, node: Node, wish: int) -> bool:
    """Tell whether a call's user may read (4), write (2) or execute (1) a node; root may all that some bit allows."""
    if call.user == "root":
        return wish != 1 or node.kind == "dir" or bool(node.mode & 0o111)
    uid, gid = ids_of(call, call.user)
    shift = 6 if node.uid == uid else 3 if node.gid == gid else 0
    return bool(node.mode >> shift & wish)


def open_output(call: Call, name: str, *, append: bool, mode: int = 0o666) -> Output:
    """Open a file for writing as a redirection does, making it with the call's umask and owner; raise FileError."""
    if name in CONSOLES:
        return Discard()
    path = call.path(name)
    node = call.files.lookup(path, root=call.root)
    above = call.files.lookup(path.rpartition("/")[0] or "/", root=call.root)
    if node is not None and node.kind == "dir":
        raise FileError(name, EISDIR)
    if node is not None and not may(call, node, 2):
        raise FileError(name, EACCES)
    if node is None and above is not None and not may(call, above, 2):
        raise FileError(name, EACCES)
    uid, gid = ids_of(call, call.user)[0], above.gid if above is not None else 0  # BSD: the folder's group
    try:
        node = call.files.write(path, b"", root=call.root, mode=mode & ~call.umask, uid=uid, gid=gid, append=append)
    except FileError as failure:
        raise FileError(name, failure.reason) from None
    return FileOutput(node=node, files=call.files, path=path, root=call.root)


def open_input(call: Call, name: str) -> Input:
    """Open a file for reading; raise FileError."""
    if name in CONSOLES:
        return Input()
    path = call.path(name)
    node = call.files.lookup(path, root=call.root)
    if node is None:
        raise FileError(name, ENOENT)
    if not may(call, node, 4):
        raise FileError(name, EACCES)
    return Input(call.files.read(path, root=call.root))
