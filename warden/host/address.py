# SPDX-License-Identifier: BSD-2-Clause
"""From an address to a host."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from warden.host.errors import AddressError
from warden.host.fake.faults import parse_faults
from warden.host.fake.host import FakeHost
from warden.host.fake.profiles import PROFILES
from warden.host.fake.store import FileStore, MemoryStore
from warden.host.local import LocalHost

if TYPE_CHECKING:
    from pathlib import Path

    from warden.host.command import Host

FORMS = "write local, or fake:PATH for a machine to rehearse on"


def open_host(address: str, *, folder: Path) -> Host:
    """Give the host that an address names: `local`, `fake:` or `fake:PATH[?profile=NAME&fault=N]`.

    A relative PATH is taken from `folder`. Raises AddressError for an address of no known form.
    """
    if address == "local":
        return LocalHost()
    scheme, colon, rest = address.partition(":")
    if scheme == "ssh" and colon:
        raise AddressError(f"{address}: hosts over SSH are not built yet", hint=FORMS)
    if scheme != "fake" or not colon:
        raise AddressError(f"{address!r} is no address of a host", hint=FORMS)
    path, _, query = rest.partition("?")
    words = dict(parse_qsl(query, keep_blank_values=True))
    profile = words.pop("profile", "ready")
    if profile not in PROFILES:
        known = ", ".join(sorted(PROFILES))
        raise AddressError(f"{address}: there is no profile {profile!r}", hint=f"profiles are: {known}")
    faults = parse_faults(words)
    store = FileStore(folder / path, profile) if path else MemoryStore(profile)
    return FakeHost(address, store, faults)
