# SPDX-License-Identifier: BSD-2-Clause
"""ssh-keygen(1): keys in OpenSSH's format, their public halves and their fingerprints, as its manual page says.

The numbers in the keys are the machine's own randomness, and no keys that anything could be signed with.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING

from warden.host.fake.filesystem import FileError
from warden.host.fake.options import getopt
from warden.host.fake.program import Call, Reply, program, say
from warden.host.fake.users import uid_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.host.fake.machine import Machine

MAGIC = b"openssh-key-v1\0"
BEGIN, END = "-----BEGIN OPENSSH PRIVATE KEY-----", "-----END OPENSSH PRIVATE KEY-----"
BLOCK = 8
TOO_OPEN = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@         WARNING: UNPROTECTED PRIVATE KEY FILE!          @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
Permissions {mode:04o} for '{path}' are too open.
It is required that your private key files are NOT accessible by others.
This private key will be ignored.
Load key "{path}": bad permissions
"""
KINDS = {
    "ssh-ed25519": ("ED25519", 256),
    "ecdsa-sha2-nistp256": ("ECDSA", 256),
    "ssh-rsa": ("RSA", 3072),
}
"""What a fingerprint calls a kind of key, and its bits."""


@dataclass(frozen=True, slots=True)
class Key:
    """A public key: its kind, its bytes as base64 has them, and its comment."""

    kind: str
    blob: bytes
    comment: str

    def line(self) -> str:
        """Give the line that a .pub file holds."""
        return f"{self.kind} {b64encode(self.blob).decode()}{f' {self.comment}' if self.comment else ''}\n"

    def fingerprint(self) -> str:
        """Give the line that -l shows."""
        name, bits = KINDS[self.kind]
        digest = b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")
        return f"{bits} SHA256:{digest} {self.comment or 'no comment'} ({name})\n"


@program(
    "/usr/bin/ssh-keygen",
    "ssh-keygen -q -t ed25519|ecdsa|rsa -N '' [-C COMMENT] -f FILE",
    "ssh-keygen -y -f FILE",
    "ssh-keygen -l -f FILE",
)
def ssh_keygen(call: Call) -> Reply:
    """Make a key, or show one."""
    flags, words, wrong = getopt(call.args, "qt:N:C:f:yl")
    if wrong or words or "f" not in flags:
        raise call.unsupported()
    path, letters = flags["f"][-1], flags.keys() - {"f"}
    if letters == {"y"}:
        return _show(call, path)
    if letters == {"l"}:
        return _fingerprint(call, path)
    if letters - {"C"} != {"q", "t", "N"} or flags["N"][-1]:
        raise call.unsupported()  # without -q it draws the key
    kind = next((name for name, (short, _) in KINDS.items() if short.lower() == flags["t"][-1]), "")
    if not kind:
        raise call.unsupported()
    host = call.machine.jails[call.jail].hostname if call.jail else call.machine.hostname
    return _make(call, path, kind, flags.get("C", [f"{call.user}@{host}"])[-1])


def _make(call: Call, path: str, kind: str, comment: str) -> Reply:
    files, real, uid = call.files, call.path(path), uid_of(call)
    if files.exists(real, root=call.root):
        asked = f"{path} already exists.\nOverwrite (y/n)? "
        if call.stdin[:1].lower() != b"y":
            return say(asked, status=1)
        files.remove(real, root=call.root)
    public, secret = _numbers(call.machine, kind)
    key = Key(kind, public, comment)
    try:
        files.write(real, _private(call.machine, key, secret).encode(), root=call.root, mode=0o600, uid=uid)
        files.write(f"{real}.pub", key.line().encode(), root=call.root, mode=0o644, uid=uid)
    except FileError as failure:
        return say(error=f'Saving key "{failure.path}" failed: {failure.reason}\n', status=1)
    return Reply()


def _show(call: Call, path: str) -> Reply:
    """Give the public half of a private key."""
    node = call.files.lookup(call.path(path), root=call.root)
    if node is None:
        return say(error=f'Load key "{path}": No such file or directory\n', status=255)
    if node.mode & 0o077 and node.uid == uid_of(call):
        return say(error=TOO_OPEN.format(mode=node.mode, path=path), status=255)
    key = _read_private(node.data)
    if key is None:
        return say(error=f'Load key "{path}": invalid format\n', status=255)
    return say(key.line())


def _fingerprint(call: Call, path: str) -> Reply:
    """Give the fingerprints of the keys in a file; of a private key that has a .pub beside it, of that."""
    node = call.files.lookup(call.path(path), root=call.root)
    if node is None:
        return say(error=f"ssh-keygen: {path}: No such file or directory\n", status=255)
    beside = call.files.lookup(f"{call.path(path)}.pub", root=call.root)
    private = _read_private(node.data)
    lines = (beside or node).data.decode("utf-8", "replace").splitlines()
    keys = [private] if private is not None and beside is None else [read_public(line) for line in lines]
    found = [key.fingerprint() for key in keys if key is not None]
    if not found:
        return say(error=f"{path} is not a public key file.\n", status=255)
    return say("".join(found))


def read_public(line: str) -> Key | None:
    """Read a line of a .pub file, or of authorized_keys with its options in front; None for what is no key."""
    words = line.split()
    at = next((place for place, word in enumerate(words) if word in KINDS), None)
    if at is None or len(words) < at + 2:
        return None
    try:
        blob = b64decode(words[at + 1], validate=True)
    except Base64Error:
        return None
    kind = next(_strings(blob), b"")
    return Key(words[at], blob, " ".join(words[at + 2 :])) if kind == words[at].encode() else None


def _numbers(machine: Machine, kind: str) -> tuple[bytes, bytes]:
    """Give a new key's public bytes, and what its private half has behind the kind."""

    def some(count: int) -> bytes:
        return bytes(machine.pick(256) for _ in range(count))

    name = _string(kind.encode())
    if kind == "ssh-rsa":
        modulus = _string(b"\0" + bytes([128 + machine.pick(128)]) + some(383))
        exponent, half = _string(b"\1\0\1"), [_string(b"\0" + some(192)) for _ in range(3)]
        return name + exponent + modulus, modulus + exponent + _string(some(384)) + b"".join(half)
    if kind == "ssh-ed25519":
        point = some(32)
        return name + _string(point), _string(point) + _string(some(32) + point)
    curve, point = _string(b"nistp256"), _string(b"\4" + some(64))
    return name + curve + point, curve + point + _string(some(32))


def _private(machine: Machine, key: Key, secret: bytes) -> str:
    """Give the file of a private key: PROTOCOL.key of OpenSSH says how it is built."""
    check = machine.pick(2**31).to_bytes(4, "big") * 2
    inner = check + _string(key.kind.encode()) + secret + _string(key.comment.encode("utf-8", "surrogateescape"))
    inner += bytes(range(1, BLOCK - (len(inner) - 1) % BLOCK))
    whole = MAGIC + _string(b"none") * 2 + _string(b"") + (1).to_bytes(4, "big") + _string(key.blob) + _string(inner)
    return "\n".join([BEGIN, *wrap(b64encode(whole).decode(), 70), END, ""])


def _read_private(data: bytes) -> Key | None:
    lines = data.decode("utf-8", "replace").splitlines()
    if lines[:1] != [BEGIN] or lines[-1:] != [END]:
        return None
    try:
        whole = b64decode("".join(lines[1:-1]), validate=True)
    except Base64Error:
        return None
    start = len(MAGIC) + len(_string(b"none") * 2 + _string(b"")) + 4
    blob, inner = [*_strings(whole[start:]), b"", b""][:2]
    fields = list(_strings(inner[8:]))
    if not whole.startswith(MAGIC) or not fields:
        return None
    comments = {"ssh-ed25519": 3, "ecdsa-sha2-nistp256": 4, "ssh-rsa": 7}
    kind = fields[0].decode("ascii", "replace")
    place = comments.get(kind, len(fields))
    return Key(kind, blob, fields[place].decode("utf-8", "surrogateescape")) if place < len(fields) else None


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _strings(data: bytes) -> Iterator[bytes]:
    """Take apart what `_string` put together, as far as it goes."""
    while len(data) >= 4:
        length = int.from_bytes(data[:4], "big")
        if len(data) < 4 + length:
            return
        yield data[4 : 4 + length]
        data = data[4 + length :]
