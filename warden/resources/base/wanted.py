# SPDX-License-Identifier: BSD-2-Clause
"""What a host should be made into, with everything decided: the pool, the releases."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from warden.facts.base_system import BASTILLE_CONF, parse_bastille_conf
from warden.resources.base.switches import is_yes
from warden.resources.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from warden.facts.base_system import BaseSystem

OLDEST = 14
"""The oldest release of FreeBSD, by its first number, that Warden manages."""

_USUAL_POOL = "zroot"
_RELEASE = re.compile(r"^(\d+)\.(\d)-(RELEASE|RC[1-9]|BETA[1-9])$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The pool that Bastille's datasets are in, and the releases that jails are made from."""

    pool: str
    releases: tuple[str, ...]


def is_release(text: str) -> bool:
    """Tell whether a word is the name of a release as `bastille bootstrap` takes it."""
    return _RELEASE.match(text) is not None


def decide(base: BaseSystem, *, pool: str | None, releases: Sequence[str]) -> Wanted:
    """Decide what is left open: `pool` None and `releases` empty where the operator says nothing.

    Raises RefusedError where the host is too old, has no pool, or leaves a choice.
    """
    if base.version[0] < OLDEST:
        raise RefusedError(
            f"{base.address} has FreeBSD {base.release}: Warden manages FreeBSD {OLDEST} and later",
            hint="upgrade the host first: freebsd-update(8)",
        )
    wanted = tuple(dict.fromkeys(releases)) or (_own_release(base),)
    for release in wanted:
        _check_release(base, release)
    return Wanted(pool=_pool(base, pool), releases=wanted)


def _pool(base: BaseSystem, asked: str | None) -> str:
    if not base.pools:
        raise RefusedError(
            f"{base.address} has no ZFS pool: jails and their marks live on one",
            hint="make one first, Warden never takes a disk: zpool create zroot DEVICE",
        )
    there = ", ".join(base.pools)
    if asked is not None and asked not in base.pools:
        raise RefusedError(f"{base.address} has no pool {asked}", hint=f"it has: {there}")
    configured = _configured_pool(base)
    if configured:
        if configured not in base.pools:
            raise RefusedError(
                f"Bastille on {base.address} is set to the pool {configured}, which is not there",
                hint=f"import the pool, or correct bastille_zfs_zpool in {BASTILLE_CONF}; there: {there}",
            )
        if asked not in (None, configured):
            raise RefusedError(
                f"Bastille on {base.address} has its datasets on {configured}, not on {asked}",
                hint="leave --pool out: what is there is not moved",
            )
        return configured
    if asked is not None:
        return asked
    if _USUAL_POOL in base.pools:
        return _USUAL_POOL
    if len(base.pools) > 1:
        raise RefusedError(f"{base.address} has several pools: {there}", hint="name one: --pool NAME")
    return base.pools[0]


def _configured_pool(base: BaseSystem) -> str:
    file = base.files.get(BASTILLE_CONF)
    settings = parse_bastille_conf(file.text) if file else {}
    return settings.get("bastille_zfs_zpool", "") if is_yes(settings.get("bastille_zfs_enable", "NO")) else ""


def _own_release(base: BaseSystem) -> str:
    release = re.sub(r"-p\d+$", "", base.release)
    if not is_release(release):
        raise RefusedError(
            f"{base.address} has FreeBSD {base.release}, of which there are no files to make jails from",
            hint="name a release: --release 15.1-RELEASE",
        )
    return release


def _check_release(base: BaseSystem, release: str) -> None:
    found = _RELEASE.match(release)
    if found is None:
        raise RefusedError(f"{release!r} is no release of FreeBSD that Bastille knows", hint="write 15.1-RELEASE")
    if (int(found[1]), int(found[2])) > base.version:
        raise RefusedError(
            f"{release} is newer than {base.address}, which has FreeBSD {base.release}: its jails would not run there",
            hint="upgrade the host first, or take a release that is no newer than it",
        )
