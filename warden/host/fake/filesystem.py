# SPDX-License-Identifier: BSD-2-Clause
"""The files of the fake machine: one tree, what is mounted over it, and jails that see a part of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from warden.host.fake.file_node import Node
from warden.host.fake.room import ENOSPC, Room

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LINKS = 32

ENOENT = "No such file or directory"
ENOTDIR = "Not a directory"
EISDIR = "Is a directory"
EEXIST = "File exists"
EROFS = "Read-only file system"
ELOOP = "Too many levels of symbolic links"
ENOTEMPTY = "Directory not empty"
EBUSY = "Device busy"


class FileError(Exception):
    """A file operation failed; `reason` is strerror(3)'s text and `path` what it was about."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


@dataclass(slots=True)
class Mount:
    """A file system mounted at a folder of the host, `source` as mount(8) shows it.

    A nullfs mount shows what the folder `source` holds; any other has files of its own, in `FileSystem.trees`.
    """

    source: str
    point: str
    fstype: str = "nullfs"
    options: str = "ro"
    tree: str = ""
    serial: int = 0
    """When it was mounted: mount(8) lists by it."""


@dataclass(slots=True)
class FileSystem:
    """The tree, seen from the host (`root="/"`) or from inside a jail (`root` is the jail's path).

    Every path is absolute. A symbolic link is followed inside `root`, as chroot(2) does; so a path that the host
    takes through a jail's tree follows the jail's links out of it (session 12).
    """

    root: Node = field(default_factory=lambda: Node(kind="dir", mode=0o755))
    mounts: dict[str, list[Mount]] = field(default_factory=dict)
    """By mount point; of several at one point the last covers the others."""
    trees: dict[str, Node] = field(default_factory=dict)
    """The files of ZFS datasets by name, mounted or not, and of devfs mounts by `devfs:POINT`."""
    next_mount: int = 1
    now: int = 0
    full: bool = False
    """Whether there is no room left at all."""
    room: Room = field(default_factory=Room)
    """What ZFS has room for."""

    def lookup(self, path: str, *, root: str = "/", follow: bool = True) -> Node | None:
        """Give the node at a path, or None where there is none."""
        try:
            return self.node(path, root=root, follow=follow)
        except FileError:
            return None

    def node(self, path: str, *, root: str = "/", follow: bool = True) -> Node:
        """Give the node at a path; raise FileError where there is none."""
        return self._walk(path, root, follow=follow)[0]

    def real_path(self, path: str, *, root: str = "/", follow: bool = True) -> str:
        """Give the path of the host at which `path` is really kept: links followed, nullfs mounts resolved."""
        return self._walk(path, root, follow=follow)[1]

    def exists(self, path: str, *, root: str = "/") -> bool:
        """Tell whether something is there, links followed."""
        return self.lookup(path, root=root) is not None

    def is_dir(self, path: str, *, root: str = "/") -> bool:
        """Tell whether a folder is there, links followed."""
        node = self.lookup(path, root=root)
        return node is not None and node.kind == "dir"

    def read(self, path: str, *, root: str = "/") -> bytes:
        """Give a file's content."""
        node = self.node(path, root=root)
        if node.kind == "dir":
            raise FileError(path, EISDIR)
        return node.data + bytes(node.hole) if node.hole else node.data

    def text(self, path: str, *, root: str = "/") -> str:
        """Give a file's content as text; bytes that are not UTF-8 survive as surrogates."""
        return self.read(path, root=root).decode("utf-8", "surrogateescape")

    def write(
        self,
        path: str,
        data: bytes,
        *,
        root: str = "/",
        mode: int = 0o644,
        uid: int = 0,
        gid: int | None = None,
        append: bool = False,
    ) -> Node:
        """Write a file as open(2) with O_CREAT does: mode and owner count only for a file that is new.

        The group is the folder's unless it is given. A link to nowhere is followed, and what it names is made
        (session 12).
        """
        node = self.lookup(path, root=root)
        self.refuse_full(path, root, len(data) if append or node is None else len(data) - len(node.data))
        if node is not None:
            if node.kind == "dir":
                raise FileError(path, EISDIR)
            self._refuse_read_only(path, root)
            node.data = node.data + bytes(node.hole) + data if append else data
            node.hole = 0
            node.mtime = self.now
            return node
        link = self.lookup(path, root=root, follow=False)
        if link is not None:
            self._refuse_circle(path, root)
            beside = "" if link.target.startswith("/") else path.rpartition("/")[0]
            return self.write(f"{beside}/{link.target}", data, root=root, mode=mode, uid=uid, gid=gid)
        folder, name = self._parent(path, root)
        group = folder.gid if gid is None else gid
        node = Node(kind="file", mode=mode, uid=uid, gid=group, mtime=self.now, data=data)
        folder.children[name] = node
        folder.mtime = self.now
        return node

    def make_dir(
        self,
        path: str,
        *,
        root: str = "/",
        mode: int = 0o755,
        uid: int = 0,
        gid: int | None = None,
        parents: bool = False,
    ) -> Node:
        """Make a folder; with `parents` also those on the way, and one that is there is no error."""
        existing = self.lookup(path, root=root)
        if existing is not None:
            if parents and existing.kind == "dir":
                return existing
            raise FileError(path, EEXIST)
        if parents:
            above = path.rstrip("/").rpartition("/")[0]
            if above and not self.exists(above, root=root):
                self.make_dir(above, root=root, uid=uid, gid=gid, parents=True)
        folder, name = self._parent(path, root)
        self.refuse_full(path, root, 1)
        group = folder.gid if gid is None else gid
        node = Node(kind="dir", mode=mode, uid=uid, gid=group, mtime=self.now)
        folder.children[name] = node
        folder.mtime = self.now
        return node

    def symlink(self, target: str, path: str, *, root: str = "/", uid: int = 0) -> None:
        """Make a symbolic link at `path`; its target need not exist."""
        folder, name = self._parent(path, root)
        if name in folder.children:
            raise FileError(path, EEXIST)
        folder.children[name] = Node(kind="link", mode=0o755, uid=uid, gid=folder.gid, mtime=self.now, target=target)

    def remove(self, path: str, *, root: str = "/", recursive: bool = False) -> None:
        """Remove a file, a link, or a folder; one that holds anything only with `recursive`."""
        node, real, _ = self._walk(path, root, follow=False)
        if node.kind == "dir" and node.children and not recursive:
            raise FileError(path, ENOTEMPTY)
        if node.kind == "dir" and self.mounts:
            self._leave_mounts(path, root, node, real)
        folder, name = self._parent(path, root)
        del folder.children[name]
        folder.mtime = self.now

    def rename(self, old: str, new: str, *, root: str = "/") -> None:
        """Move a node; a file that is there is replaced in one step."""
        node = self.node(old, root=root, follow=False)
        target = self.lookup(new, root=root, follow=False)
        if target is not None and target.kind == "dir" and node.kind != "dir":
            raise FileError(new, EISDIR)
        if target is not None and target.kind != "dir" and node.kind == "dir":
            raise FileError(new, ENOTDIR)
        if target is not None and target.children:
            raise FileError(new, ENOTEMPTY)
        into, name = self._parent(new, root)
        out_of, old_name = self._parent(old, root)
        del out_of.children[old_name]
        into.children[name] = node
        into.mtime = out_of.mtime = self.now

    def refuse_full(self, path: str, root: str, more: int) -> None:
        """Raise FileError where a file system has no room for so many bytes more."""
        if self.full:
            raise FileError(path, ENOSPC)
        if more <= 0 or not self.room.limited:
            return
        here = path if self.exists(path, root=root) else path.rstrip("/").rpartition("/")[0] or "/"
        mount = self.mount_under(here, root=root) if self.exists(here, root=root) else None
        reason = self.room.refusal(self.trees, mount.tree, more) if mount is not None and mount.tree else ""
        if reason:
            raise FileError(path, reason)

    def list_dir(self, path: str, *, root: str = "/") -> list[str]:
        """Give the names in a folder, sorted."""
        node = self.node(path, root=root)
        if node.kind != "dir":
            raise FileError(path, ENOTDIR)
        return sorted(node.children)

    def walk(self, path: str, *, root: str = "/") -> Iterator[tuple[str, Node]]:
        """Give a node and all below it, in the order of their names; links are not followed."""
        node = self.node(path, root=root, follow=False)
        yield path, node
        for name in sorted(node.children):
            yield from self.walk(f"{path.rstrip('/')}/{name}", root=root)

    def entries(self, path: str, *, root: str = "/") -> Iterator[tuple[str, Node]]:
        """Give the names in a folder, sorted, and what is seen there; links are not followed."""
        node, real, _ = self._walk(path, root, follow=True)
        inside, mounts = real.rstrip("/"), self.mounts
        for name in sorted(node.children):
            over = mounts.get(f"{inside}/{name}")
            if over is None:
                yield name, node.children[name]
            else:  # nearly always a dataset's own files, in a folder with many jails
                yield name, self.trees.get(over[-1].tree) or self._enter(over[-1], name)[0]

    def mount(self, source: str, point: str, *, fstype: str = "nullfs", options: str = "ro", tree: str = "") -> Mount:
        """Mount a folder, or the tree kept under the name `tree`, over a folder that exists."""
        shown = source if tree else self.real_path(source)
        mount = Mount(shown, self.real_path(point), fstype, options, tree, self.next_mount)
        self.next_mount += 1
        self.mounts.setdefault(mount.point, []).append(mount)
        return mount

    def unmount(self, point: str) -> bool:
        """Take away the newest mount at a folder; tell whether there was one."""
        stack = self.mounts.get(point)
        if not stack:
            return False
        mount = stack.pop()
        if not stack:
            del self.mounts[point]
        if mount.fstype == "devfs":
            del self.trees[mount.tree]
        return True

    def mount_under(self, path: str, *, root: str = "/") -> Mount | None:
        """Give the mount whose files a path is among, through nullfs to what lies below it; None for the root's."""
        mount = self._walk(path, root, follow=False)[2]
        while mount is not None and mount.fstype == "nullfs":
            mount = self._walk(mount.source, "/", follow=True)[2]
        return mount

    def mounted(self) -> list[Mount]:
        """Give all mounts, oldest first."""
        return sorted((mount for stack in self.mounts.values() for mount in stack), key=lambda mount: mount.serial)

    def _leave_mounts(self, path: str, root: str, node: Node, real: str) -> None:
        """Before a folder is removed: what is mounted in it stays, and is emptied as rm -r would."""
        below = real.rstrip("/") + "/"
        if real not in self.mounts and not (node.children and any(point.startswith(below) for point in self.mounts)):
            return
        failure = FileError(path, EBUSY) if real in self.mounts else None
        for name in sorted(node.children):
            try:
                self.remove(f"{path.rstrip('/')}/{name}", root=root, recursive=True)
            except FileError as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def _refuse_circle(self, path: str, root: str) -> None:
        """Raise FileError for a link that leads to nothing because it leads back to itself."""
        try:
            self.node(path, root=root)
        except FileError as failure:
            if failure.reason == ELOOP:
                raise

    def _parent(self, path: str, root: str) -> tuple[Node, str]:
        above, _, name = path.rstrip("/").rpartition("/")
        folder = self.node(above or "/", root=root)
        if folder.kind != "dir":
            raise FileError(path, ENOTDIR)
        self._refuse_read_only(path, root)
        return folder, name

    def _refuse_read_only(self, path: str, root: str) -> None:
        if not self.mounts:
            return
        above = path.rstrip("/").rpartition("/")[0] or "/"
        seen = self._walk(above, root, follow=True)[2]
        while seen is not None:
            if "ro" in seen.options.split(","):
                raise FileError(path, EROFS)
            seen = self._walk(seen.source, "/", follow=True)[2] if seen.fstype == "nullfs" else None

    def _walk(self, path: str, root: str, *, follow: bool) -> tuple[Node, str, Mount | None]:
        """Resolve a path to its node, its real path on the host, and the mount that it went through last."""
        straight = self._walk_straight(path, root)
        if straight is not None:
            return straight
        trail: list[tuple[Node, str, Mount | None]] = [(self.root, "", None)]
        for part in root.split("/"):
            if part:
                trail.append(self._step(trail[-1], part, path))
        floor = len(trail)
        pending = [part for part in reversed(path.split("/")) if part and part != "."]
        links = 0
        while pending:
            part = pending.pop()
            if part == "..":
                if len(trail) > floor:
                    trail.pop()
                continue
            node, real, mount = self._step(trail[-1], part, path)
            if node.kind == "link" and (follow or pending):
                links += 1
                if links > MAX_LINKS:
                    raise FileError(path, ELOOP)
                if node.target.startswith("/"):
                    del trail[floor:]
                pending += [step for step in reversed(node.target.split("/")) if step and step != "."]
                continue
            trail.append((node, real, mount))
        node, real, mount = trail[-1]
        return node, real or "/", mount

    def _walk_straight(self, path: str, root: str) -> tuple[Node, str, Mount | None] | None:
        """Resolve a path with no link and no `..` in it, as most are; None for any other."""
        node, real, mount, mounts = self.root, "", None, self.mounts
        for part in f"{root}/{path}".split("/"):
            if not part or part == ".":
                continue
            child = node.children.get(part)
            if child is None:
                if part == "..":
                    return None
                raise FileError(path, ENOENT if node.kind == "dir" else ENOTDIR)
            if child.kind == "link":
                return None
            node, real = child, f"{real}/{part}"
            if real in mounts:
                node, real, mount = self._enter(mounts[real][-1], real)
        return node, real or "/", mount

    def _enter(self, mount: Mount, point: str) -> tuple[Node, str, Mount | None]:
        """Give what is seen at a mount point."""
        if mount.tree:
            return self.trees[mount.tree], point, mount
        return self._walk(mount.source, "/", follow=True)[0], mount.source, mount

    def _step(self, here: tuple[Node, str, Mount | None], part: str, path: str) -> tuple[Node, str, Mount | None]:
        node, real, mount = here
        if node.kind != "dir":
            raise FileError(path, ENOTDIR)
        child = node.children.get(part)
        if child is None:
            raise FileError(path, ENOENT)
        below = f"{real}/{part}"
        if below not in self.mounts:
            return child, below, mount
        return self._enter(self.mounts[below][-1], below)
