# SPDX-License-Identifier: BSD-2-Clause
"""pkg itself, and the packages that agents need on the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.facts.base_system import PROGRAMS
from warden.resources.change import Change, Stage
from warden.resources.commands import command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.facts.base_system import BaseSystem
    from warden.resources.base.wanted import Wanted
    from warden.resources.change import Finding

_PKG = "/usr/sbin/pkg"
_REASONS = {
    "bastille": "Bastille makes and runs the jails",
    "tmux": "an agent's session lives in tmux",
    "git": "agents and templates come by git",
}


def changes(_wanted: Wanted, base: BaseSystem) -> Iterator[Finding]:
    """Give the changes that install pkg, and what is missing.

    A program that is there without its package was put there by the operator, and does as well.
    """
    missing = [name for name in PROGRAMS if name not in base.programs and name not in (base.packages or ())]
    if missing and base.packages is None:
        yield Change(
            kind="bootstrap",
            name="pkg",
            action="+",
            stage=Stage.FIRST,
            detail="fetched from the host's package repository",
            reason="FreeBSD comes with no more than its bootstrap",
            commands=(command(_PKG, "bootstrap", "-y"),),
        )
    if missing:
        yield Change(
            kind="packages",
            name=" ".join(missing),
            action="+",
            stage=Stage.FIRST,
            detail="newest in the repository",
            reason="; ".join(_REASONS[name] for name in missing),
            commands=(command(_PKG, "install", "-y", *missing),),
        )
