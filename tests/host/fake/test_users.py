# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from warden.host.fake.profiles import make
from warden.host.fake.program import Call, Reply, run_program

if TYPE_CHECKING:
    from warden.host.fake.machine import Machine


@pytest.fixture
def machine() -> Machine:
    return make("bare")


def run(machine: Machine, *argv: str) -> Reply:
    return run_program(Call(machine, argv))


def test_a_user_stands_in_all_three_files(machine: Machine) -> None:
    assert run(machine, "pw", "useradd", "atlas", "-d", "/home/atlas", "-m", "-s", "/bin/sh", "-c", "x") == Reply()
    assert machine.files.text("/etc/passwd").endswith("atlas:*:1001:1001:x:/home/atlas:/bin/sh\n")
    assert machine.files.text("/etc/master.passwd").endswith("atlas:*:1001:1001::0:0:x:/home/atlas:/bin/sh\n")
    assert machine.files.text("/etc/group").endswith("atlas:*:1001:\n")
    assert machine.files.node("/home/atlas").uid == 1001
    assert machine.files.node("/etc/master.passwd").mode == 0o600


def test_removing_takes_the_home_and_the_empty_group(machine: Machine) -> None:
    run(machine, "pw", "useradd", "atlas", "-m")
    assert run(machine, "pw", "userdel", "atlas", "-r") == Reply()
    assert not machine.files.exists("/home/atlas")
    assert "atlas" not in machine.files.text("/etc/passwd") + machine.files.text("/etc/group")


def test_an_id_is_not_given_out_below_one_in_use(machine: Machine) -> None:
    run(machine, "pw", "useradd", "one")
    run(machine, "pw", "useradd", "two")
    run(machine, "pw", "userdel", "one")
    run(machine, "pw", "useradd", "three")
    assert run(machine, "id", "-u", "three").stdout == b"1003\n"


@pytest.mark.parametrize(
    ("argv", "status", "error"),
    [
        (("useradd", "root"), 65, "login name `root' already exists"),
        (("useradd", "a:b"), 65, "invalid character `:' at position 1 in userid/group name"),
        (("userdel", "nosuch"), 67, "no such user `nosuch'"),
        (("groupadd", "wheel"), 65, "group name `wheel' already exists"),
    ],
)
def test_refusals(machine: Machine, argv: tuple[str, ...], status: int, error: str) -> None:
    before = machine.files.text("/etc/master.passwd")
    reply = run(machine, "pw", *argv)
    assert (reply.exit_code, reply.stderr.decode()) == (status, f"pw: {error}\n")
    assert machine.files.text("/etc/master.passwd") == before


def test_another_root_has_other_users(machine: Machine) -> None:
    machine.files.make_dir("/j/etc", parents=True)
    machine.files.write("/j/etc/master.passwd", b"root:*:0:0::0:0::/root:/bin/sh\n")
    machine.files.write("/j/etc/group", b"wheel:*:0:root\n")
    assert run(machine, "pw", "-R", "/j", "useradd", "inside") == Reply()
    assert "inside" in machine.files.text("/j/etc/passwd")
    assert run(machine, "id", "inside").exit_code == 1


def test_a_command_runs_as_another_user(machine: Machine) -> None:
    run(machine, "pw", "useradd", "atlas", "-m", "-s", "/bin/sh")
    run(machine, "su", "-l", "atlas", "-c", "touch mine; echo $HOME $USER")
    assert machine.files.node("/home/atlas/mine").uid == 1001
