# SPDX-License-Identifier: BSD-2-Clause
"""Where `ssh://[user@]host[:port]` leads, once ~/.ssh/config has had its say; see ssh_config(5)."""

from __future__ import annotations

import getpass
import glob
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from paramiko import SSHConfig
from paramiko.ssh_exception import ConfigParseError, SSHException

from warden.host.errors import AddressError, HostError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from paramiko.config import SSHConfigDict

FORM = "write ssh://[user@]host[:port]"
DEFAULT_PORT = 22
DEFAULT_CONNECT_TIMEOUT = 10.0
_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
_DEFAULT_KNOWN_HOSTS = ("known_hosts", "known_hosts2")
_SYSTEM_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")
_MOST_JUMPS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SshTarget:
    """One SSH server, and how to get there.

    `name` is what known_hosts calls it; `key_files` are tried in their order, `only_key_files` leaves the agent's
    other keys out; `user_known_hosts` are the operator's own files, `known_hosts` all that are read. `connect_timeout`
    is in seconds. `jump` is the server that the connection goes through.
    """

    host: str
    port: int
    user: str
    name: str
    key_files: tuple[Path, ...]
    only_key_files: bool
    user_known_hosts: tuple[Path, ...]
    known_hosts: tuple[Path, ...]
    connect_timeout: float
    jump: SshTarget | None = None

    def __str__(self) -> str:
        return f"{self.user}@{self.host}" + (f":{self.port}" if self.port != DEFAULT_PORT else "")


def find_target(address: str) -> SshTarget:
    """Give what an address leads to. Raises AddressError for a form that is none, HostError for a bad configuration."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise AddressError(f"{address}: {error}", hint=FORM) from error
    if parts.scheme != "ssh" or not parts.hostname or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise AddressError(f"{address!r} is no address of an SSH server", hint=FORM)
    if parts.password is not None:
        raise AddressError(
            "an address holds no password: it would stand in files and process lists",
            hint="use a key; ssh-copy-id brings yours to the host",
        )
    if port == 0 or unquote(parts.hostname).startswith("-"):
        raise AddressError(f"{address!r} is no address of an SSH server", hint=FORM)
    user = unquote(parts.username) if parts.username else None
    config = _read_config()
    try:
        return _look_up(unquote(parts.hostname), user, port, config, jumps=0)
    except (ValueError, KeyError, SSHException) as error:
        raise HostError(
            f"{address}: ~/.ssh/config: {error}", hint="`ssh -G HOST` shows what the OpenSSH client makes of it"
        ) from error


def _look_up(alias: str, user: str | None, port: int | None, config: SSHConfig, *, jumps: int) -> SshTarget:
    found = config.lookup(alias)
    if found.get("proxycommand"):
        raise HostError(
            f"~/.ssh/config has a ProxyCommand for {alias}, which Warden does not run", hint="write it as a ProxyJump"
        )
    host = found.get("hostname", alias)
    at = port or int(found.get("port", DEFAULT_PORT))
    named = found.get("hostkeyalias")
    mine = _files(found.get("userknownhostsfile"), _DEFAULT_KNOWN_HOSTS)
    return SshTarget(
        host=host,
        port=at,
        user=user or found.get("user") or getpass.getuser(),
        name=named or known_as(host, at),
        key_files=_keys(found),
        only_key_files=found.get("identitiesonly", "no").lower() == "yes",
        user_known_hosts=mine,
        known_hosts=(*mine, _SYSTEM_KNOWN_HOSTS),
        connect_timeout=float(found.get("connecttimeout", DEFAULT_CONNECT_TIMEOUT)),
        jump=_jump(found.get("proxyjump", "none"), config, jumps),
    )


def known_as(host: str, port: int) -> str:
    """Give the name that a server has in known_hosts; see sshd(8), SSH_KNOWN_HOSTS FILE FORMAT."""
    return host.lower() if port == DEFAULT_PORT else f"[{host.lower()}]:{port}"


def _jump(proxy_jump: str, config: SSHConfig, jumps: int) -> SshTarget | None:
    """Follow `ProxyJump first,second`: the last one is next to the target, and reached through those before it."""
    if proxy_jump.lower() == "none":
        return None
    if jumps == _MOST_JUMPS:
        raise ValueError(f"more than {_MOST_JUMPS} jumps: does a ProxyJump lead back to itself?")
    before, _, last = proxy_jump.rpartition(",")
    parts = urlsplit(last if last.startswith("ssh://") else f"ssh://{last}")
    if not parts.hostname:
        raise ValueError(f"ProxyJump {proxy_jump}: names no host")
    user = unquote(parts.username) if parts.username else None
    target = _look_up(unquote(parts.hostname), user, parts.port, config, jumps=jumps + 1)
    if not before:
        return target
    return replace(target, jump=_jump(before, config, jumps + 1))


def _keys(found: SSHConfigDict) -> tuple[Path, ...]:
    named = found.get("identityfile")
    if named is None:
        return tuple(Path.home() / ".ssh" / name for name in _DEFAULT_KEYS)
    return tuple(Path(name).expanduser() for name in named if name.lower() != "none")


def _files(named: str | None, defaults: tuple[str, ...]) -> tuple[Path, ...]:
    if named is None:
        return tuple(Path.home() / ".ssh" / name for name in defaults)
    return tuple(Path(name).expanduser() for name in shlex.split(named) if name.lower() != "none")


def _read_config() -> SSHConfig:
    path = Path.home() / ".ssh" / "config"
    try:
        return SSHConfig.from_text("".join(_lines(path, depth=0)))
    except (ConfigParseError, UnicodeDecodeError, OSError) as error:
        raise HostError(f"{path} cannot be read: {error}", hint="`ssh -G HOST` shows where it is wrong") from error


def _lines(path: Path, *, depth: int) -> Iterator[str]:
    """Give the lines of a configuration, those of the files that it includes in their place."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        if word.lower() != "include" or depth == _MOST_JUMPS:
            yield line + "\n"
            continue
        for pattern in shlex.split(rest):
            for name in sorted(glob.glob(str(Path.home() / ".ssh" / Path(pattern).expanduser()))):  # noqa: PTH207
                yield from _lines(Path(name), depth=depth + 1)
