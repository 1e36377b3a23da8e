# SPDX-License-Identifier: BSD-2-Clause
"""Switches in rc.conf and files like it, and files that are not what they should be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.resources.change import Conflict

if TYPE_CHECKING:
    from warden.facts.base_system import BaseSystem

_YES = frozenset({"YES", "TRUE", "ON", "1"})


def is_yes(value: str) -> bool:
    """Tell whether a switch is on, as checkyesno of rc.subr(8) reads it."""
    return value.upper() in _YES


def link_conflict(base: BaseSystem, kind: str, path: str) -> Conflict | None:
    """Give the conflict where a file that is to be written is a symbolic link, which writing would replace."""
    if path not in base.links:
        return None
    return Conflict(
        kind=kind,
        name=path,
        message=f"{path} is a symbolic link, and what it leads to is not read",
        hint="put the file itself there",
    )
