# SPDX-License-Identifier: BSD-2-Clause
"""From a target to a connection: the way there, whose machine it is, and who we are."""

from __future__ import annotations

import base64
import logging
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from paramiko.pkey import UnknownKeyType

from warden.host.errors import HostError, HostUnreachableError
from warden.host.known_hosts import check_host_key, known_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from warden.host.known_hosts import KnownKey
    from warden.host.ssh_target import SshTarget

    Ask = Callable[[str], str | None]

_LOGIN_TIMEOUT = 30.0
"""Seconds for each step of a login: a server that looks up names is slow, but not slower."""

_NOWHERE = ("127.0.0.1", 0)
"""Where a connection through another host says that it comes from; RFC 4254, 7.2."""

# what goes wrong is raised, and told once, by us
logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)


def connect(target: SshTarget, ask: Ask | None = None) -> list[paramiko.Transport]:
    """Connect and log in; gives the connection to the target, behind it those that it goes through.

    `ask` asks a person for the passphrase of a key. Raises HostUnreachableError where there is no way, or no way in,
    and HostKeyError where the host key is not the one that is known.
    """
    way = connect(target.jump, ask) if target.jump is not None else []
    try:
        known = known_keys(target)
        transport = _shake_hands(target, way, known)
        try:
            check_host_key(target, transport.get_remote_server_key(), known)
            _log_in(target, transport, ask)
        except BaseException:
            transport.close()
            raise
    except BaseException:
        close(way)
        raise
    return [transport, *way]


def host_key(target: SshTarget, ask: Ask | None = None) -> paramiko.PKey:
    """Give the key that a server shows, known or not; nothing more is sent to it."""
    way = connect(target.jump, ask) if target.jump is not None else []
    try:
        transport = _shake_hands(target, way, known_keys(target))
        try:
            return transport.get_remote_server_key()
        finally:
            transport.close()
    finally:
        close(way)


def close(transports: list[paramiko.Transport]) -> None:
    """Close connections, the farthest first."""
    for transport in transports:
        transport.close()


def _shake_hands(target: SshTarget, way: list[paramiko.Transport], known: list[KnownKey]) -> paramiko.Transport:
    stream = _stream(target, way)
    try:
        transport = paramiko.Transport(stream)
        transport.banner_timeout = transport.auth_timeout = transport.handshake_timeout = _LOGIN_TIMEOUT
        _prefer(transport, known)
        transport.start_client(timeout=_LOGIN_TIMEOUT)
        if not transport.is_active() or not transport.initial_kex_done:
            transport.close()
            raise HostUnreachableError(f"{target}: the server did not answer in {_LOGIN_TIMEOUT:g} s")
    except (paramiko.SSHException, EOFError, OSError) as error:
        with suppress(OSError):
            stream.close()
        raise HostUnreachableError(
            f"{target}: no SSH connection: {str(error) or 'the server hung up'}", hint=_TRY_SSH.format(target.host)
        ) from error
    return transport


_TRY_SSH = "`ssh -v {}` shows more"


def _stream(target: SshTarget, way: list[paramiko.Transport]) -> socket.socket | paramiko.Channel:
    try:
        if way:
            return way[0].open_channel("direct-tcpip", (target.host, target.port), _NOWHERE, timeout=_LOGIN_TIMEOUT)
        stream = socket.create_connection((target.host, target.port), timeout=target.connect_timeout)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a batch is one question: nothing to wait for
    except (paramiko.SSHException, OSError) as error:
        through = f" through {target.jump}" if target.jump is not None else ""
        raise HostUnreachableError(
            f"{target}: no connection{through}: {_reason(error)}",
            hint="is the host up, its name right, and sshd running there?",
        ) from error
    return stream


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "nobody answered in time"
    return getattr(error, "strerror", None) or str(error)


def _prefer(transport: paramiko.Transport, known: list[KnownKey]) -> None:
    """Ask for a kind of host key that is known, as ssh(1) does: a server that has several is not taken for changed."""
    kinds = {one.key.get_name() for one in known if not one.revoked}
    if "ssh-rsa" in kinds:
        kinds |= {"rsa-sha2-512", "rsa-sha2-256"}
    options = transport.get_security_options()
    # a false first: the sort keeps the order of those that are alike
    options.key_types = tuple(sorted(options.key_types, key=lambda kind: kind not in kinds))


def _log_in(target: SshTarget, transport: paramiko.Transport, ask: Ask | None) -> None:
    tried = []
    for name, key in _keys(target, ask):
        tried.append(name)
        try:
            if not transport.auth_publickey(target.user, key):
                return
            tried[-1] += " (accepted, but the server wants more than a key)"
        except (paramiko.SSHException, EOFError, OSError) as error:
            if not transport.is_active() or isinstance(error, paramiko.BadAuthenticationType):
                tried[-1] += f" ({str(error) or 'then the server hung up'})"
                break
    raise HostUnreachableError(
        f"{target}: login refused; keys tried: {', '.join(tried) or 'none, there is none'}",
        hint=f"a key of yours must be in ~{target.user}/.ssh/authorized_keys there; {_TRY_SSH.format(target.host)}",
    )


def _keys(target: SshTarget, ask: Ask | None) -> Iterator[tuple[str, paramiko.PKey]]:
    """Give the keys to try, each with its name: the agent's, then those in files, then those that need a passphrase."""
    wanted = {blob for path in target.key_files if (blob := _public_blob(path)) is not None}
    agents_own = paramiko.Agent().get_keys()
    for key in agents_own:
        if not target.only_key_files or key.asbytes() in wanted:
            yield f"agent {key.comment or key.get_name()}", key
    from_agent = {key.asbytes() for key in agents_own}
    locked = []
    for path in target.key_files:
        if _public_blob(path) in from_agent:
            continue
        try:
            yield str(path), paramiko.PKey.from_path(path)
        except FileNotFoundError:
            continue
        except (TypeError, paramiko.PasswordRequiredException):
            locked.append(path)
        except (OSError, ValueError, paramiko.SSHException, UnknownKeyType, UnsupportedAlgorithm) as error:
            raise HostError(f"{path}: this key cannot be used: {error}", hint=f"ssh-keygen -yf {path}") from error
    for path in locked:
        yield str(path), _unlock(path, ask)


def _unlock(path: Path, ask: Ask | None) -> paramiko.PKey:
    passphrase = ask(f"passphrase for {path}") if ask is not None else None
    if passphrase is None:
        raise HostError(f"{path} needs a passphrase, and nobody can be asked", hint=f"ssh-add {path}")
    try:
        return paramiko.PKey.from_path(path, passphrase.encode())  # type: ignore[arg-type]  # it takes bytes only
    except (OSError, ValueError, paramiko.SSHException) as error:
        raise HostError(f"{path}: the passphrase is wrong", hint=f"ssh-add {path}") from error


def _public_blob(path: Path) -> bytes | None:
    """Give the public half of a key as it travels, from the file beside it; None where there is none."""
    try:
        words = Path(f"{path}.pub").read_text(encoding="utf-8").split()
        return base64.b64decode(words[1])
    except (OSError, ValueError, IndexError):
        return None
