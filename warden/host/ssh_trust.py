# SPDX-License-Identifier: BSD-2-Clause
"""The host key that a server shows, for a person who decides whether to trust it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from warden.host.errors import HostKeyError
from warden.host.known_hosts import check_host_key, fingerprint, known_hosts_line, known_keys
from warden.host.ssh_connect import host_key
from warden.host.ssh_target import find_target

if TYPE_CHECKING:
    from warden.host.ssh_connect import Ask


@dataclass(frozen=True, slots=True, kw_only=True)
class HostKey:
    """A server's key: `name` is what known_hosts calls the server, `line` and `file` are what to add and where.

    `objection` says what is wrong where the state is `changed` (another key is known, or this one is revoked).
    """

    name: str
    algorithm: str
    fingerprint: str
    line: str
    file: Path
    state: Literal["known", "unknown", "changed"]
    objection: str = ""


def read_host_key(address: str, ask: Ask | None = None) -> HostKey:
    """Connect, take the server's key, and log in nowhere but on the way there.

    Raises AddressError for an address that is no `ssh://`, HostUnreachableError where nobody answers.
    """
    target = find_target(address)
    key = host_key(target, ask)
    known = known_keys(target)
    state: Literal["known", "unknown", "changed"] = "known"
    objection = ""
    try:
        check_host_key(target, key, known)
    except HostKeyError as error:
        state, objection = ("changed", str(error)) if known else ("unknown", "")
    return HostKey(
        name=target.name,
        algorithm=key.get_name(),
        fingerprint=fingerprint(key),
        line=known_hosts_line(target.name, key),
        file=next(iter(target.user_known_hosts), Path.home() / ".ssh" / "known_hosts"),
        state=state,
        objection=objection,
    )
