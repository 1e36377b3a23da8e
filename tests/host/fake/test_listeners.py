# SPDX-License-Identifier: BSD-2-Clause
"""Who answers at an address: fetch, nc and sockstat, the keys of ssh, and commands in jails with a time limit."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from tests.host.fake.jail_box import ADDRESS, create, inside, run, with_jail, works
from warden.host.fake.boot import boot
from warden.host.fake.changes import changes_state
from warden.host.fake.listeners import ANY, LISTENERS, Listener
from warden.host.fake.processes import kill, spawn
from warden.host.fake.program import Call, UnsupportedError
from warden.host.fake.unrecorded.ssh_keygen import read_public

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.host.fake.machine import Machine, Process

URL = f"http://{ADDRESS}:8081/health"


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A host in whose jail a program listens that reads its port and address from its arguments."""

    def where(_machine: Machine, process: Process) -> list[tuple[str, int]]:
        address, port = process.argv[1:3] if len(process.argv) > 2 else ("", "0")
        return [(address, int(port))] if address else []

    def http(call: Call, process: Process, path: str) -> tuple[int, bytes]:
        known = {"/health": (200, b"ok\n"), "/busy": (503, b"")}
        return (
            (200, f"{process.jail} to {call.jail or 'host'}\n".encode())
            if path == "/who"
            else known.get(path, (404, b""))
        )

    machine = with_jail()
    create(machine, "other", "10.0.1.3")
    LISTENERS["webd"] = Listener(where=where, http=http, descriptor=6)
    LISTENERS["based"] = Listener(where=where)
    yield machine
    del LISTENERS["webd"], LISTENERS["based"]


def serve(machine: Machine, *argv: str, jail: str = "box") -> Process:
    return spawn(machine, [f"/usr/local/bin/{argv[0]}", *argv[1:]], user="www", jail=jail)


def test_what_listens_answers_from_everywhere(machine: Machine) -> None:
    process = serve(machine, "webd", ANY, "8081")
    assert works(machine, "fetch", "-T", "2", "-q", "-o", "-", URL) == "ok\n"
    who = f"http://{ADDRESS}:8081/who"
    assert works(machine, "fetch", "-qo", "-", who) == "box to host\n"
    assert inside(machine, "fetch", "-qo", "-", "http://127.0.0.1:8081/who").stdout == b"box to box\n"
    assert works(machine, "jexec", "-l", "other", "fetch", "-qo", "-", who) == "box to other\n"
    assert works(machine, "fetch", "-qo", "/dev/null", URL) == ""
    works(machine, "fetch", "-qo", "/tmp/health", URL)
    assert machine.files.text("/tmp/health") == "ok\n"
    kill(machine, process.pid)
    reply = run(machine, "fetch", "-T", "2", "-q", "-o", "-", URL)
    assert (reply.exit_code, reply.stderr) == (1, f"fetch: {URL}: Connection refused\n".encode())


@pytest.mark.parametrize(("path", "said"), [("nothing", "Not Found"), ("busy", "Service unavailable")])
def test_an_answer_that_is_an_error_is_one_of_fetch(machine: Machine, path: str, said: str) -> None:
    serve(machine, "webd", ANY, "8081")
    url = f"http://{ADDRESS}:8081/{path}"
    reply = run(machine, "fetch", "-T", "2", "-qo", "-", url)
    assert (reply.exit_code, reply.stdout, reply.stderr) == (1, b"", f"fetch: {url}: {said}\n".encode())


def test_an_address_that_is_not_listened_on_refuses(machine: Machine) -> None:
    serve(machine, "webd", "127.0.0.1", "8081")
    serve(machine, "webd")
    serve(machine, "webd", ANY, "8082", jail="other")
    assert run(machine, "fetch", "-T", "2", "-qo", "-", URL).exit_code == 1
    assert inside(machine, "fetch", "-qo", "-", "http://localhost:8081/health").stdout == b"ok\n"
    assert inside(machine, "fetch", "-T", "2", "-qo", "-", "http://localhost:8082/health").exit_code == 1


def test_nc_tells_a_port_that_is_open(machine: Machine) -> None:
    serve(machine, "based", ADDRESS, "5432")
    opened = run(machine, "nc", "-z", "-w", "1", ADDRESS, "5432")
    assert opened.stderr == f"Connection to {ADDRESS} 5432 port [tcp/postgresql] succeeded!\n".encode()
    assert opened.exit_code == 0
    assert run(machine, "nc", "-z", "-w", "1", ADDRESS, "5433").exit_code == 1
    assert inside(machine, "nc", "-z", "-w", "1", "127.0.0.1", "5432").exit_code == 1
    said = run(machine, "nc", "-zv", "-w", "1", ADDRESS, "5433").stderr
    assert said == f"nc: connect to {ADDRESS} port 5433 (tcp) failed: Connection refused\n".encode()


def test_what_pf_blocks_is_waited_for(machine: Machine) -> None:
    serve(machine, "webd", ANY, "8081")
    machine.files.write("/etc/pf.conf", b"block out on warden0 proto tcp to port 8081\n")
    works(machine, "pfctl", "-f", "/etc/pf.conf")
    began = machine.clock
    assert b"Operation timed out" in run(machine, "fetch", "-T", "2", "-qo", "-", URL).stderr
    assert run(machine, "nc", "-z", "-w", "3", ADDRESS, "8081").exit_code == 1
    assert machine.clock == began + 5
    assert run(machine, "nc", "-z", "-w", "1", "10.0.1.77", "8081").exit_code == 1


def test_sockstat_shows_what_listens_here(machine: Machine) -> None:
    serve(machine, "webd", ADDRESS, "8081")
    shown = inside(machine, "sockstat", "-4l").stdout.decode().splitlines()
    assert [line.split()[:2] + line.split()[3:6] for line in shown[1:]] == [
        ["www", "webd", "6", "tcp4", f"{ADDRESS}:8081"]
    ]
    assert "webd" not in works(machine, "sockstat", "-4l")


@pytest.mark.parametrize(
    "line",
    [
        "fetch -qo - http://198.51.100.7/",
        "fetch -qo - http://example.org/",
        f"fetch -qo - https://{ADDRESS}:8081/",
        f"fetch -o - {URL}",
        f"fetch -qo - http://{ADDRESS}:5432/",
        f"nc -w 1 {ADDRESS} 8081",
        f"fetch -qo - --method=POST {URL}",
    ],
)
def test_what_nobody_here_can_answer_is_refused(machine: Machine, line: str) -> None:
    serve(machine, "webd", ANY, "8081")
    serve(machine, "based", ANY, "5432")
    with pytest.raises(UnsupportedError):
        run(machine, *line.split())


@pytest.mark.parametrize(
    ("script", "status", "said", "seconds"),
    [
        ("echo a; sleep 1; echo $x$1", 0, b"a\nb\n", 1),
        ("echo a; sleep 9; echo b", 124, b"a\n", 3),
        ("sleep 9", 124, b"", 3),
        ("exit 5", 5, b"", 0),
    ],
)
def test_a_time_limit_holds_in_a_jail(machine: Machine, script: str, status: int, said: bytes, seconds: int) -> None:
    began = machine.clock
    reply = run(machine, "timeout", "3", "jexec", "-l", "box", "/bin/sh", "-c", script, "sh", "b")
    assert (reply.exit_code, reply.stdout, machine.clock - began) == (status, said, seconds)


def test_what_a_command_with_a_time_limit_starts_is_a_child_of_init(machine: Machine) -> None:
    works(machine, "timeout", "3", "jexec", "box", "daemon", "-p", "/var/run/x.pid", "sleep", "99")
    assert all(one.ppid >= 0 for one in machine.processes.values())


def test_a_key_its_public_half_and_its_fingerprint(machine: Machine) -> None:
    works(machine, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "atlas on alpha", "-f", "/root/key")
    assert works(machine, "stat", "-f", "%Lp", "/root/key", "/root/key.pub").split() == ["600", "644"]
    public = machine.files.text("/root/key.pub")
    assert public.startswith("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI")
    assert public.endswith(" atlas on alpha\n")
    assert works(machine, "ssh-keygen", "-y", "-f", "/root/key") == public
    assert works(machine, "ssh-keygen", "-lf", "/root/key").endswith(" atlas on alpha (ED25519)\n")
    assert run(machine, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/root/key").exit_code == 1
    assert machine.files.text("/root/key.pub") == public
    works(machine, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/root/other")
    assert machine.files.text("/root/other.pub").split()[1] != public.split()[1]
    assert machine.files.text("/root/other.pub").endswith(" root@host.example.org\n")


@pytest.mark.parametrize("damage", ["open", "cut", "gone", "text"])
def test_a_key_that_cannot_be_read_is_told(machine: Machine, damage: str) -> None:
    works(machine, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/root/key")
    node = machine.files.node("/root/key")
    if damage == "open":
        node.mode = 0o644
    elif damage == "gone":
        machine.files.remove("/root/key")
    else:
        node.data = node.data[: len(node.data) // 2] if damage == "cut" else b"hello\n"
    reply = run(machine, "ssh-keygen", "-y", "-f", "/root/key")
    assert (reply.exit_code, reply.stdout) == (255, b"")
    assert reply.stderr.endswith(
        {
            "open": b'Load key "/root/key": bad permissions\n',
            "gone": b'Load key "/root/key": No such file or directory\n',
        }.get(damage, b'Load key "/root/key": invalid format\n')
    )


def test_lines_of_authorized_keys_are_keys_too() -> None:
    blob = "AAAAC3NzaC1lZDI1NTE5AAAAINZZzOZa85r2Kbr78nwgugwaH9Q1a43eYj2wJKBRoJ8S"
    for line in (f"ssh-ed25519 {blob}", f'restrict,command="x" ssh-ed25519 {blob} me'):
        key = read_public(line)
        assert key is not None
        assert key.kind == "ssh-ed25519"
    for line in ("", "ssh-ed25519", "ssh-ed25519 !!!", f"ssh-rsa {blob}", f"ssh-ed25519 {blob[:-3]}"):
        assert read_public(line) is None


def test_sshd_of_a_jail_makes_its_keys_and_answers(machine: Machine) -> None:
    inside(machine, "sysrc", "sshd_enable=YES", "sshd_rsa_enable=NO", "sshd_ecdsa_enable=NO")
    said = inside(machine, "service", "sshd", "keygen").stdout.decode()
    assert said.startswith("Generating ED25519 host key.\n256 SHA256:")
    keys = inside(machine, "ls", "/etc/ssh").stdout.split()
    assert keys == [b"ssh_host_ed25519_key", b"ssh_host_ed25519_key.pub"]
    public = inside(machine, "cat", "/etc/ssh/ssh_host_ed25519_key.pub").stdout
    works(machine, "bastille", "restart", "box")
    assert run(machine, "nc", "-z", "-w", "1", ADDRESS, "22").exit_code == 0
    boot(machine)
    assert inside(machine, "cat", "/etc/ssh/ssh_host_ed25519_key.pub").stdout == public
    works(machine, "bastille", "stop", "box")
    assert run(machine, "nc", "-z", "-w", "1", ADDRESS, "22").exit_code == 1


def test_questions_change_nothing() -> None:
    for line in (
        f"fetch -T 2 -q -o - {URL}",
        f"fetch -qo /dev/null {URL}",
        "ssh-keygen -y -f k",
        "ssh-keygen -lf k.pub",
    ):
        assert not changes_state(tuple(line.split()))
    for line in (f"fetch -q {URL}", f"fetch -qo x {URL}", "ssh-keygen -q -t ed25519 -N '' -f k"):
        assert changes_state(tuple(shlex.split(line)))
