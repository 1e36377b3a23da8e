# SPDX-License-Identifier: BSD-2-Clause
"""Every kind of thing that a host needs before agents come to it, in the order in which they are carried out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.resources.base import kernel, packages, packet_filter, release, storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from warden.facts.base_system import BaseSystem
    from warden.resources.base.wanted import Wanted
    from warden.resources.change import Finding

    Kind = Callable[[Wanted, BaseSystem], Iterator[Finding]]

KINDS: tuple[Kind, ...] = (
    kernel.modules,
    kernel.racct,
    packages.changes,
    storage.at_boot,
    storage.bastille_conf,  # before the first dataset is made
    release.changes,
    packet_filter.changes,  # the only one that could lock somebody out
)
