# SPDX-License-Identifier: BSD-2-Clause
"""Servers for the tests of the SSH transport."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.host.ssh.server import Server
from warden.host.ssh import SshHost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Serve = Callable[..., Server]


@pytest.fixture(scope="session")
def sshd(require_tool: Callable[[str], str]) -> str:
    """The server's program; its client's ssh-keygen makes the keys."""
    require_tool("ssh-keygen")
    return require_tool("sshd")


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An operator without an agent, whose home the test sets."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return monkeypatch


@pytest.fixture
def serve(sshd: str, tmp_path: Path, operator: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Give what starts a server with some options of sshd_config(5); the operator lives in the last one's home."""
    servers: list[Server] = []

    def start(*options: str) -> Server:
        server = Server(sshd, tmp_path / f"server{len(servers)}", options)
        servers.append(server)
        server.start()
        operator.setenv("HOME", str(server.home))
        return server

    yield start
    for server in servers:
        server.kill()


@pytest.fixture(scope="module")
def host(sshd: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHost]:
    """A connection for the tests of a module that leave it as it is."""
    with Server(sshd, tmp_path_factory.mktemp("sshd")) as server:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HOME", str(server.home))
            patch.delenv("SSH_AUTH_SOCK", raising=False)
            connected = SshHost("ssh://here")
        with connected:
            yield connected
