# SPDX-License-Identifier: BSD-2-Clause
"""What the trees of the fake machine's files are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["file", "dir", "link", "char"]


@dataclass(slots=True)
class Node:
    """One file, folder, symbolic link or device node."""

    kind: Kind
    mode: int
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    data: bytes = b""
    target: str = ""
    children: dict[str, Node] = field(default_factory=dict)
    hole: int = 0
    """Zeros behind the data that take no room: a sparse disk image, or a stand-in for what nobody reads."""

    @property
    def length(self) -> int:
        """The size in bytes that stat(2) gives for a file or a link."""
        if self.kind == "link":
            return len(self.target.encode("utf-8", "surrogateescape"))
        return len(self.data) + self.hole

    def copy(self) -> Node:
        """Copy it with all below it; what cannot change is shared: the bytes, and that a file has no children."""
        children = self.children
        if self.kind == "dir":
            children = {name: child.copy() for name, child in children.items()}
        return Node(self.kind, self.mode, self.uid, self.gid, self.mtime, self.data, self.target, children, self.hole)
