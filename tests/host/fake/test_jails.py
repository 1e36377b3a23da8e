# SPDX-License-Identifier: BSD-2-Clause
"""jail(8), jls(8), jexec(8), devfs(8) and rctl(8)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from warden.host.fake.jail_conf import JailConfError, parse
from warden.host.fake.profiles import make
from warden.host.fake.program import Call, run_program

if TYPE_CHECKING:
    from warden.host.fake.machine import Machine

CONF = """
# for all
exec.clean;
path = "/jails/$name";
* { securelevel = 2; }
web {
    host.hostname = "${name}.example.org";   // its name
    exec.prestart += "echo \\$HOME; ls /";
    exec.prestart += 'echo $HOME';
    ip4.addr = lo0|10.0.0.1, lo0|10.0.0.2;
    persist;
}
"""


@pytest.fixture
def machine() -> Machine:
    machine = make("recorded")
    machine.files.make_dir("/jails/web/dev", parents=True)
    machine.files.make_dir("/jails/web/etc")
    machine.files.write("/jails/web/etc/passwd", b"root:*:0:0:Charlie &:/root:/bin/sh\n")
    return machine


def run(machine: Machine, *argv: str) -> tuple[int, str, str]:
    reply = run_program(Call(machine, argv))
    return reply.exit_code, reply.stdout.decode(), reply.stderr.decode()


def write_conf(machine: Machine, *lines: str) -> None:
    body = "\n".join(["path = /jails/web;", "host.hostname = web;", "persist;", *lines])
    machine.files.write("/etc/jail.conf", f"web {{\n{body}\n}}\n".encode())


def test_a_jail_conf_is_read_as_jail_reads_it() -> None:
    found = parse(CONF).parameters("web")
    assert found["path"] == ["/jails/web"]
    assert found["host.hostname"] == ["web.example.org"]
    assert found["exec.prestart"] == ["echo $HOME; ls /", "echo $HOME"]
    assert found["ip4.addr"] == ["lo0|10.0.0.1", "lo0|10.0.0.2"]
    assert found["persist"] == []
    assert found["securelevel"] == ["2"]


@pytest.mark.parametrize("text", ["web {", "web { a = ; }", "web { a = b }", "a b;", '"unfinished'])
def test_a_broken_jail_conf_is_refused(text: str) -> None:
    with pytest.raises(JailConfError):
        parse(text)


def test_a_jail_starts_and_stops(machine: Machine) -> None:
    write_conf(machine, "mount.devfs;", "devfs_ruleset = 4;", 'exec.prestart = "echo before";',
               'exec.poststop = "echo after";')  # fmt: skip
    assert run(machine, "jail", "-c", "web") == (0, "before\nweb: created\n", "")
    assert run(machine, "jls", "name", "path", "vnet")[1] == "web /jails/web inherit\n"
    assert machine.files.list_dir("/dev", root="/jails/web") == [
        "fd", "null", "random", "stderr", "stdin", "stdout", "urandom", "zero", "zfs",
    ]  # fmt: skip
    assert run(machine, "jail", "-r", "web") == (0, "web: removed\nafter\n", "")
    assert machine.files.list_dir("/jails/web/dev") == []


def test_a_start_that_fails_undoes_its_mounts_only(machine: Machine) -> None:
    machine.files.make_dir("/jails/web/src")
    machine.files.write("/etc/fstab.web", b"/boot /jails/web/src nullfs ro 0 0\n")
    write_conf(machine, "mount.fstab = /etc/fstab.web;", 'exec.prestart = "ifconfig epair create";',
               'exec.prestart += "ifconfig nosuch0 addm epair0a";')  # fmt: skip
    status, out, error = run(machine, "jail", "-c", "web")
    assert (status, out) == (1, "epair0a\n")
    assert error.endswith("jail: web: ifconfig nosuch0 addm epair0a: failed\n")
    assert "/jails/web/src" not in machine.files.mounts
    assert "epair0a" in machine.net.interfaces


def test_a_jail_without_users_cannot_run_its_start(machine: Machine) -> None:
    machine.files.remove("/jails/web/etc/passwd")
    write_conf(machine, "exec.clean;", 'exec.start = "/bin/sh /etc/rc";')
    status, out, error = run(machine, "jail", "-c", "web")
    assert (status, out) == (1, "web: created\nweb: removed\n")
    assert error == "jail: web: getpwnam: No such file or directory\njail: web: /bin/sh /etc/rc: failed\n"
    assert machine.jails == {}


def test_what_a_ruleset_that_is_missing_hides(machine: Machine) -> None:
    write_conf(machine, "mount.devfs;", "devfs_ruleset = 13;")
    run(machine, "jail", "-c", "web")
    assert "mem" in machine.files.list_dir("/dev", root="/jails/web")
    run(machine, "jail", "-r", "web")
    machine.files.write("/etc/devfs.rules", b"[warden=13]\nadd include $devfsrules_jail\nadd path 'bpf*' unhide\n")
    run(machine, "service", "devfs", "restart")
    assert run(machine, "devfs", "rule", "-s", "13", "show")[1] == "100 include 4\n200 path bpf* unhide\n"
    run(machine, "jail", "-c", "web")
    assert "mem" not in machine.files.list_dir("/dev", root="/jails/web")
    assert "bpf" in machine.files.list_dir("/dev", root="/jails/web")


def test_jls_as_json(machine: Machine) -> None:
    write_conf(machine)
    run(machine, "jail", "-c", "web")
    reply = json.loads(run(machine, "jls", "--libxo", "json", "name", "path", "vnet")[1])
    assert reply["jail-information"]["jail"] == [{"name": "web", "path": "/jails/web", "vnet": "inherit"}]
    reply = json.loads(run(machine, "jls", "--libxo", "json")[1])
    assert reply["jail-information"]["jail"][0]["jid"] == 1


def test_rctl_rules_are_matched_by_their_beginning(machine: Machine) -> None:
    assert run(machine, "rctl", "-a", "jail:web:memoryuse:deny=1G/jail", "jail:web:maxproc:deny=9")[0] == 0
    assert run(machine, "rctl")[1] == "jail:web:maxproc:deny=9\njail:web:memoryuse:deny=1073741824\n"
    assert run(machine, "rctl", "-h", "jail:web:memoryuse")[1] == "jail:web:memoryuse:deny=1024M\n"
    assert run(machine, "rctl", "-r", "jail:web")[0] == 0
    assert machine.rctl == []
    assert run(machine, "rctl", "-a", "jail:web:beer:deny=1")[0] == 1
