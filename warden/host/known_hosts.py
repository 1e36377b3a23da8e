# SPDX-License-Identifier: BSD-2-Clause
"""Whether a server is the one that it was: known_hosts, as sshd(8) describes its format."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from fnmatch import translate
from re import match
from typing import TYPE_CHECKING

from paramiko.hostkeys import HostKeyEntry, HostKeys, InvalidHostKey
from paramiko.ssh_exception import SSHException

from warden.host.errors import HostKeyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from paramiko import PKey

    from warden.host.ssh_target import SshTarget

_REVOKED = "@revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownKey:
    """A key that a known_hosts file has for a name, and where it stands there."""

    key: PKey
    path: Path
    line: int
    revoked: bool = False


def known_keys(target: SshTarget) -> list[KnownKey]:
    """Give all keys that are known for a server."""
    return [known for path in target.known_hosts for known in _read(path, target.name)]


def check_host_key(target: SshTarget, key: PKey, known: Sequence[KnownKey]) -> None:
    """Raise HostKeyError unless this is the key that is known for the server."""
    said = f"{key.get_name()} {fingerprint(key)}"
    for one in known:
        if one.revoked and one.key == key:
            raise HostKeyError(
                f"the host key of {target.name} is revoked by {one.path}:{one.line}: {said}",
                hint="somebody may be in the middle; ask whoever runs that host",
            )
    valid = [one for one in known if not one.revoked]
    if any(one.key == key for one in valid):
        return
    if valid:
        other = next((one for one in valid if one.key.get_name() == key.get_name()), valid[0])
        raise HostKeyError(
            f"the host key of {target.name} is not the one that {other.path}:{other.line} has: it is now {said}",
            hint="the host was installed anew, or somebody is in the middle: compare with the host's console, then: "
            f"ssh-keygen -R '{target.name}' -f {other.path}, and warden host trust",
        )
    raise HostKeyError(
        f"the host key of {target.name} is not known: it says {said}",
        hint="compare with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host's console, then: "
        "warden host trust NAME",
    )


def fingerprint(key: PKey) -> str:
    """Give a key's fingerprint as ssh-keygen(1) prints it: SHA256:..."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")


def known_hosts_line(name: str, key: PKey) -> str:
    """Give the line for a known_hosts file, without its newline."""
    return f"{name} {key.get_name()} {key.get_base64()}"


def _read(path: Path, name: str) -> Iterator[KnownKey]:
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return  # a file that is not there, or not ours to read, knows nobody
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if not words or words[0].startswith("#") or marker not in ("", _REVOKED):
            continue
        try:
            entry = HostKeyEntry.from_line(" ".join(words), number)
        except (InvalidHostKey, SSHException):
            continue
        if entry is not None and _names(entry.hostnames, name):
            yield KnownKey(key=entry.key, path=path, line=number, revoked=marker == _REVOKED)


def _names(patterns: Sequence[str], name: str) -> bool:
    """Tell whether the names of a line mean this one: plain, hashed, or a pattern; `!` takes one out."""
    if any(pattern.startswith("!") and _fits(pattern[1:], name) for pattern in patterns):
        return False
    return any(_fits(pattern, name) for pattern in patterns if not pattern.startswith("!"))


def _fits(pattern: str, name: str) -> bool:
    if pattern.startswith("|1|"):
        return HostKeys.hash_host(name, pattern) == pattern
    # `[` begins no set here, but a name with a port
    return match(translate(pattern.lower().replace("[", "[[]")), name) is not None
