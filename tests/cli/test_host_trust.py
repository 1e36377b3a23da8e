# SPDX-License-Identifier: BSD-2-Clause
"""`warden host list`, and `warden host trust` against a real sshd: a key is written only where somebody said yes."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.host.ssh.server import Server, new_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.conftest import Ended

    Warden = Callable[..., Ended]

SPEC = """\
[hosts.alpha]
address = "{address}"
become = "doas"
[hosts.beta]
address = "fake:no/such/folder.json"
[agents.one]
host = "alpha"
[agents.two]
host = "alpha"
"""


@pytest.fixture
def server(tmp_path: Path, require_tool: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Give a server whose key nobody knows yet, and whose operator has no ~/.ssh."""
    require_tool("ssh-keygen")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with Server(require_tool("sshd"), tmp_path / "server") as server:
        monkeypatch.setenv("HOME", str(tmp_path / "new"))
        (tmp_path / "new").mkdir()
        (tmp_path / "warden.toml").write_text(SPEC.format(address=f"ssh://127.0.0.1:{server.port}"))
        yield server


def fingerprint(server: Server) -> str:
    listed = subprocess.run(["ssh-keygen", "-lf", server.host_key], capture_output=True, text=True, check=True)
    return listed.stdout.split()[1]


def test_a_key_is_added_once_and_nothing_else_is_touched(warden: Warden, tmp_path: Path, server: Server) -> None:
    known = tmp_path / "new" / ".ssh" / "known_hosts"
    ended = warden("host", "trust", "alpha")
    assert (ended.status, known.parent.exists()) == (2, False), ended
    assert fingerprint(server) in ended.out
    assert "add -y" in ended.err

    ended = warden("host", "trust", "alpha", "-y")
    assert ended.status == 0, ended
    assert "ssh-ed25519" in ended.out
    assert fingerprint(server) in ended.out
    assert (known.parent.stat().st_mode & 0o777, known.stat().st_mode & 0o777) == (0o700, 0o600)
    written = known.read_bytes()
    found = subprocess.run(
        ["ssh-keygen", "-F", f"[127.0.0.1]:{server.port}", "-f", known], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, "OpenSSH itself finds it there"

    ended = warden("host", "trust", f"ssh://127.0.0.1:{server.port}", "-y")
    assert (ended.status, "known already" in ended.out) == (0, True), ended
    assert known.read_bytes() == written


def test_what_is_in_the_file_stays_as_it_is(warden: Warden, tmp_path: Path, server: Server) -> None:
    known = tmp_path / "new" / ".ssh" / "known_hosts"
    known.parent.mkdir()
    known.write_bytes(b"# mine\nother.example ssh-ed25519 AAAA")  # and no newline at the end
    known.chmod(0o644)
    assert warden("host", "trust", "alpha", "-y").status == 0
    lines = known.read_bytes().split(b"\n")
    assert lines[:2] == [b"# mine", b"other.example ssh-ed25519 AAAA"]
    assert lines[2].startswith(f"[127.0.0.1]:{server.port} ssh-ed25519 ".encode())
    assert lines[3:] == [b""]
    assert known.stat().st_mode & 0o777 == 0o644


def test_a_key_that_changed_is_refused(warden: Warden, tmp_path: Path, server: Server) -> None:
    known = tmp_path / "new" / ".ssh" / "known_hosts"
    known.parent.mkdir()
    kind, blob = (new_key(tmp_path / "other").with_suffix(".pub")).read_text().split()[:2]
    known.write_text(f"[127.0.0.1]:{server.port} {kind} {blob}\n")
    before = known.read_bytes()
    ended = warden("host", "trust", "alpha", "-y")
    assert ended.status == 4, ended
    assert fingerprint(server) in ended.err
    assert f"ssh-keygen -R '[127.0.0.1]:{server.port}' -f {known}" in ended.err
    assert known.read_bytes() == before


def test_an_unknown_key_keeps_everything_from_being_done(warden: Warden, tmp_path: Path, server: Server) -> None:
    for verb, rest in (("plan", ()), ("apply", ("-y",)), ("status", ()), ("host run", ("--", "true"))):
        ended = warden(*verb.split(), "--host", "alpha", *rest)
        assert ended.status == 4, ended
        assert fingerprint(server) in ended.err
        assert "warden host trust" in ended.err
    assert not (tmp_path / "new" / ".ssh").exists()


def test_nobody_answers(warden: Warden) -> None:
    ended = warden("host", "trust", "ssh://127.0.0.1:1", "-y")
    assert ended.status == 69, ended


def test_hosts_are_listed_without_being_asked(warden: Warden, tmp_path: Path) -> None:
    (tmp_path / "warden.toml").write_text(SPEC.format(address="ssh://root@alpha.example"))
    ended = warden("host", "list")
    assert ended.status == 0, ended
    rows = [line.split() for line in ended.out.splitlines()]
    assert rows == [
        ["host", "address", "become", "agents"],
        ["alpha", "ssh://root@alpha.example", "doas", "one,", "two"],
        ["beta", "fake:no/such/folder.json", "none", "none"],
    ]
    assert warden("host", "list", "--json").json == {
        "version": 1,
        "hosts": [
            {"name": "alpha", "address": "ssh://root@alpha.example", "become": "doas", "agents": ["one", "two"]},
            {"name": "beta", "address": "fake:no/such/folder.json", "become": "none", "agents": []},
        ],
    }
    (tmp_path / "warden.toml").write_text("[agents.atlas]\n")
    assert warden("host", "list", "--json").json["hosts"] == [
        {"name": "local", "address": "local", "become": "none", "agents": ["atlas"]}
    ]
