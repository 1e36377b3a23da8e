# SPDX-License-Identifier: BSD-2-Clause
"""From `fake:PATH[?profile=NAME&fault=N]` to a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from warden.host.errors import AddressError
from warden.host.fake.faults import parse_faults
from warden.host.fake.host import FakeHost
from warden.host.fake.profiles import PROFILES
from warden.host.fake.store import FileStore, MemoryStore

if TYPE_CHECKING:
    from pathlib import Path


def open_fake(address: str, rest: str, folder: Path) -> FakeHost:
    """Give the machine of an address, of which `rest` is what follows `fake:`; a relative PATH is taken from `folder`.

    Raises AddressError for a profile or a fault that there is not.
    """
    path, _, query = rest.partition("?")
    words = dict(parse_qsl(query, keep_blank_values=True))
    profile = words.pop("profile", "ready")
    if profile not in PROFILES:
        known = ", ".join(sorted(PROFILES))
        raise AddressError(f"{address}: there is no profile {profile!r}", hint=f"profiles are: {known}")
    faults = parse_faults(words)
    store = FileStore(folder / path, profile) if path else MemoryStore(profile)
    return FakeHost(address, store, faults, ages=bool(path))
