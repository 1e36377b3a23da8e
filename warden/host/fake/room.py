# SPDX-License-Identifier: BSD-2-Clause
"""How much room ZFS leaves to files: quotas of datasets, and pools that are full.

Counted is what the files hold, beside what a dataset takes up by itself; zfs list does not show it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warden.host.fake.file_node import Node

ENOSPC = "No space left on device"
EDQUOT = "Disc quota exceeded"


@dataclass(slots=True)
class Room:
    """What may be written to datasets; their trees are looked into only where there is a limit."""

    quotas: dict[str, int] = field(default_factory=dict)
    """Bytes that are left, by dataset: for its own files and those of all below it."""
    refquotas: dict[str, int] = field(default_factory=dict)
    """The same for its own files alone."""
    full_pools: list[str] = field(default_factory=list)

    @property
    def limited(self) -> bool:
        """Whether there is any limit."""
        return bool(self.quotas or self.refquotas or self.full_pools)

    def refusal(self, trees: dict[str, Node], dataset: str, more: int) -> str:
        """Give what strerror(3) says of a write to a dataset for which there is no room, else ''."""
        if dataset.partition("/")[0] in self.full_pools:
            return ENOSPC
        if dataset in self.refquotas and _size(trees[dataset]) + more > self.refquotas[dataset]:
            return EDQUOT
        for name, limit in self.quotas.items():
            if not f"{dataset}/".startswith(f"{name}/"):
                continue
            inside = [tree for tree in trees if f"{tree}/".startswith(f"{name}/")]
            if sum(_size(trees[tree]) for tree in inside) + more > limit:
                return EDQUOT
        return ""


def _size(node: Node) -> int:
    return len(node.data) + sum(_size(child) for child in node.children.values())
