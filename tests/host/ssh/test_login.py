# SPDX-License-Identifier: BSD-2-Clause
"""The way to a host: whose machine it is, who we are, and what ~/.ssh/config says of both."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.host.ssh.server import free_port, new_key
from warden.host.address import open_host
from warden.host.command import Command
from warden.host.errors import AddressError, HostError, HostKeyError, HostUnreachableError
from warden.host.ssh import SshHost
from warden.host.ssh_target import find_target
from warden.host.ssh_trust import read_host_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.host.ssh.conftest import Serve
    from tests.host.ssh.server import Server

HERE = "ssh://here"


def works(address: str = HERE, **options: object) -> bool:
    with SshHost(address, **options) as host:  # type: ignore[arg-type]
        return host.run([Command(argv=("/bin/echo", "hello"))])[0].stdout == b"hello\n"


def known_hosts(server: Server) -> Path:
    return server.ssh / "known_hosts"


def fingerprint(key: Path) -> str:
    return subprocess.run(["ssh-keygen", "-lf", key], capture_output=True, text=True, check=True).stdout.split()[1]


def test_an_address_opens_a_host(serve: Serve) -> None:
    server = serve()
    with open_host(f"ssh://{getpass.getuser()}@here:{server.port}", folder=Path()) as host:
        assert host.address == f"ssh://{getpass.getuser()}@here:{server.port}"
        assert host.run([Command(argv=("/bin/echo", "x"))])[0].stdout == b"x\n"


def test_an_unknown_host_key_is_refused_with_its_fingerprint(serve: Serve) -> None:
    server = serve()
    known_hosts(server).unlink()
    with pytest.raises(HostKeyError) as refused:
        works()
    assert f"[127.0.0.1]:{server.port} is not known" in str(refused.value)
    assert fingerprint(server.host_key) in str(refused.value)
    assert "warden host trust" in refused.value.hint
    assert not known_hosts(server).exists()


def test_a_changed_host_key_is_refused_and_says_where_the_old_one_stands(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    server.trust(new_key(tmp_path / "former"))
    with pytest.raises(HostKeyError, match=r"is not the one that .*known_hosts:1 has") as refused:
        works()
    assert fingerprint(server.host_key) in str(refused.value)
    assert "ssh-keygen -R" in refused.value.hint


def test_a_revoked_host_key_is_refused_although_it_is_known(serve: Serve) -> None:
    server = serve()
    with known_hosts(server).open("a") as file:
        file.write("@revoked * " + Path(f"{server.host_key}.pub").read_text())
    with pytest.raises(HostKeyError, match=r"revoked by .*known_hosts:2"):
        works()


def test_hashed_names_and_patterns_are_understood(serve: Serve) -> None:
    server = serve()
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", known_hosts(server)], check=True, capture_output=True)
    assert known_hosts(server).read_text().startswith("|1|")
    assert works()
    key = " ".join(Path(f"{server.host_key}.pub").read_text().split()[:2])
    known_hosts(server).write_text(f"[127.0.0.*]:{server.port} {key}\n")
    assert works()
    known_hosts(server).write_text(f"[127.0.0.*]:{server.port},![127.0.0.1]:* {key}\n")
    with pytest.raises(HostKeyError, match="is not known"):
        works()


def test_lines_that_are_no_keys_are_passed_over(serve: Serve) -> None:
    server = serve()
    right = known_hosts(server).read_text()
    known_hosts(server).write_text(f"# mine\n\nnonsense\nhost ssh-ed25519 !!!\n@cert-authority * {right}{right}")
    assert works()


def test_of_a_servers_keys_the_one_that_is_known_is_asked_for(serve: Serve, tmp_path: Path) -> None:
    """A server with several keys is not taken for changed; nor is one whose other key is in the file."""
    rsa = new_key(tmp_path / "rsa", kind="rsa")
    server = serve(f"HostKey {rsa}")
    assert works()
    server.trust(rsa)
    assert works()


def test_user_known_hosts_file_and_host_key_alias(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    elsewhere = tmp_path / "my hosts"
    elsewhere.write_text(known_hosts(server).read_text().replace(f"[127.0.0.1]:{server.port}", "alpha"))
    known_hosts(server).unlink()
    server.configure(f'UserKnownHostsFile /nonexistent "{elsewhere}"', "HostKeyAlias alpha")
    assert works()


def test_a_key_that_the_server_does_not_know_is_refused(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    server.configure(key=new_key(tmp_path / "stranger"))
    with pytest.raises(HostUnreachableError, match=r"login refused; keys tried: .*stranger") as refused:
        works()
    assert "authorized_keys" in refused.value.hint


def test_the_default_keys_are_tried(serve: Serve) -> None:
    server = serve()
    config = (server.ssh / "config").read_text()
    (server.ssh / "config").write_text("\n".join(x for x in config.splitlines() if "IdentityFile" not in x))
    with pytest.raises(HostUnreachableError, match="none, there is none"):
        works()
    server.key.rename(server.ssh / "id_ed25519")
    assert works()


def test_a_key_with_a_passphrase_is_asked_for_last(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    locked = new_key(tmp_path / "locked", passphrase="sesam")
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return "sesam"

    server.configure(f"IdentityFile {locked}")
    assert works(ask=ask)
    assert asked == [], "a key that needs no passphrase opened the door"
    server.authorized.write_text(Path(f"{locked}.pub").read_text())
    assert works(ask=ask)
    assert asked == [f"passphrase for {locked}"]
    with pytest.raises(HostError, match="the passphrase is wrong"):
        works(ask=lambda _: "simsalabim")
    with pytest.raises(HostError, match="needs a passphrase, and nobody can be asked") as refused:
        works()
    assert refused.value.hint == f"ssh-add {locked}"


def test_a_file_that_is_no_key_is_named(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    broken = tmp_path / "broken"
    broken.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nno\n-----END OPENSSH PRIVATE KEY-----\n")
    server.configure(key=broken)
    with pytest.raises(HostError, match="broken: this key cannot be used"):
        works()


@pytest.fixture
def agent(operator: pytest.MonkeyPatch, tmp_path: Path, require_tool: Callable[[str], str]) -> Iterator[None]:
    """An ssh-agent of the test's own."""
    path = tmp_path / "agent"
    running = subprocess.Popen([require_tool("ssh-agent"), "-D", "-a", path], stdout=subprocess.DEVNULL)
    operator.setenv("SSH_AUTH_SOCK", str(path))
    while not path.exists():
        assert running.poll() is None
    yield
    running.terminate()
    running.wait()


@pytest.mark.usefixtures("agent")
def test_a_key_in_the_agent_opens_the_door(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    subprocess.run(["ssh-add", "-q", server.key], check=True)
    server.key.unlink()
    assert works()
    Path(f"{server.key}.pub").rename(tmp_path / "elsewhere.pub")
    server.configure("IdentitiesOnly yes")
    with pytest.raises(HostUnreachableError, match="login refused"):
        works()


def test_through_another_host(serve: Serve) -> None:
    inner = serve()
    outer = serve()
    with (outer.ssh / "config").open("a") as config:
        config.write(
            f"Host inner\n  HostName 127.0.0.1\n  Port {inner.port}\n  User {getpass.getuser()}\n"
            f"  IdentityFile {inner.key}\n  ProxyJump here\n"
        )
    with pytest.raises(HostKeyError, match=rf"\[127.0.0.1\]:{inner.port} is not known"):
        works("ssh://inner")
    with known_hosts(outer).open("a") as file:
        file.write(known_hosts(inner).read_text())
    assert works("ssh://inner")
    assert len(inner.accepted()) == 1
    assert len(outer.accepted()) >= 1
    known_hosts(outer).write_text(known_hosts(inner).read_text())
    with pytest.raises(HostKeyError, match=rf"\[127.0.0.1\]:{outer.port} is not known"):
        works("ssh://inner")


def test_a_jump_that_leads_nowhere_names_both_hosts(serve: Serve) -> None:
    outer = serve("AllowTcpForwarding no")
    with (outer.ssh / "config").open("a") as config:
        config.write("Host inner\n  HostName 127.0.0.1\n  User root\n  ProxyJump here\n")
    with pytest.raises(HostUnreachableError, match=r"root@127.0.0.1: no connection through .*@127.0.0.1"):
        works("ssh://inner")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("ProxyCommand nc %h %p", "has a ProxyCommand for here"),
        ("ProxyJump here", "does a ProxyJump lead back to itself"),
        ("Port many", "invalid literal"),
        ("what", "Unparsable line"),
    ],
)
def test_a_configuration_that_cannot_be_followed_says_why(serve: Serve, lines: str, message: str) -> None:
    server = serve()
    (server.ssh / "config").write_text(f"Host here\n  {lines}\n")
    with pytest.raises(HostError, match=message):
        works()


def test_include_and_wildcards_of_the_configuration(serve: Serve) -> None:
    server = serve()
    (server.ssh / "conf.d").mkdir()
    (server.ssh / "config").rename(server.ssh / "conf.d" / "here.conf")
    (server.ssh / "config").write_text("Include conf.d/*.conf\nHost *\n  User nobody\n")
    assert works()
    assert find_target("ssh://other").user == "nobody"
    assert find_target("ssh://me@other").user == "me"


@pytest.mark.parametrize(
    "address",
    ["ssh:", "ssh://", "ssh://:22", "ssh://host:0", "ssh://host:99999", "ssh://host:x", "ssh://host/path", "ssh://-oX"],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(AddressError):
        open_host(address, folder=Path())


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(AddressError) as refused:
        open_host("ssh://root:sesam@host", folder=Path())
    assert "sesam" not in str(refused.value)


def test_a_port_where_nobody_listens(serve: Serve) -> None:
    server = serve()
    with pytest.raises(HostUnreachableError, match="no connection: Connection refused"):
        works(f"ssh://here:{free_port()}")
    server.kill()
    with pytest.raises(HostUnreachableError, match="no connection"):
        works()


def test_a_name_that_does_not_exist(serve: Serve) -> None:
    serve()
    with pytest.raises(HostUnreachableError, match=r"no-such-host\.invalid"):
        works("ssh://no-such-host.invalid")


def test_a_server_that_speaks_something_else(serve: Serve) -> None:
    serve()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n" * 200)
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(HostUnreachableError, match="no SSH connection"):
            works(f"ssh://here:{listener.getsockname()[1]}")


@pytest.mark.parametrize(
    ("become", "said"), [("sudo", "sudo gives no root shell"), ("doas", "doas gives no root shell")]
)
def test_becoming_root_where_that_is_not_allowed(serve: Serve, tmp_path: Path, become: str, said: str) -> None:
    refusing = tmp_path / become
    refusing.write_text(f"#!/bin/sh\necho '{become}: a password is required' >&2\nexit 1\n")
    refusing.chmod(0o755)
    serve(f"SetEnv PATH={tmp_path}:{os.environ['PATH']}")
    with pytest.raises(HostError, match=f"{said}: exit 1: {become}: a password is required") as refused:
        works(become=become)
    assert f"{become} -n" in refused.value.hint


@pytest.mark.parametrize("become", ["sudo", "doas"])
def test_becoming_root(serve: Serve, tmp_path: Path, become: str) -> None:
    log = tmp_path / "log"
    allowing = tmp_path / become
    allowing.write_text(f'#!/bin/sh\n[ "$1" = -n ] || exit 1\nshift\necho "$@" >> {log}\nexec "$@"\n')
    allowing.chmod(0o755)
    serve(f"SetEnv PATH={tmp_path}:{os.environ['PATH']}")
    assert works(become=become)
    assert log.read_text().startswith("/usr/bin/env -i PATH=")
    assert log.read_text().endswith("/bin/sh -s\n")


def test_the_key_of_a_server_can_be_looked_at_before_it_is_trusted(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    assert read_host_key(HERE).state == "known"
    known_hosts(server).unlink()
    key = read_host_key(HERE)
    assert (key.state, key.name, key.algorithm) == ("unknown", f"[127.0.0.1]:{server.port}", "ssh-ed25519")
    assert key.fingerprint == fingerprint(server.host_key)
    assert key.file == known_hosts(server)
    key.file.write_text(key.line + "\n")
    assert works()
    server.trust(new_key(tmp_path / "former"))
    changed = read_host_key(HERE)
    assert changed.state == "changed"
    assert "known_hosts:1" in changed.objection
    assert server.accepted() == ["publickey"], "nobody logs in to look at a key"
