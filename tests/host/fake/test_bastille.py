# SPDX-License-Identifier: BSD-2-Clause
"""bastille(8) beyond what the recorded sessions show."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from warden.host.fake.boot import boot
from warden.host.fake.profiles import make
from warden.host.fake.program import Call, UnsupportedError, run_program

if TYPE_CHECKING:
    from warden.host.fake.machine import Machine

JAILS = "/usr/local/bastille/jails"


@pytest.fixture
def machine() -> Machine:
    machine = make("recorded")
    run(machine, "ifconfig bridge create name warden0 group warden")
    run(machine, "ifconfig warden0 inet 10.0.1.1/24 alias")
    return machine


def run(machine: Machine, line: str) -> tuple[int, str, str]:
    reply = run_program(Call(machine, tuple(line.split())))
    return reply.exit_code, reply.stdout.decode(), reply.stderr.decode()


def create(machine: Machine, name: str, number: int = 2, options: str = "-B -M") -> None:
    line = f"bastille create {options} -g 10.0.1.1 {name} 15.1-RELEASE 10.0.1.{number}/24 warden0"
    assert run(machine, line)[0] == 0


def make_half(machine: Machine, name: str) -> None:
    """Leave what a `bastille create` leaves that is killed early (session 13)."""
    for dataset in (name, f"{name}/root"):
        run(machine, f"zfs create zroot/bastille/jails/{dataset}")
    folder = f"{JAILS}/{name}"
    for path in (".bastille", "dev"):
        machine.files.make_dir(f"{folder}/root/{path}")
    create(machine, "model", 99)
    text = machine.files.text(f"{JAILS}/model/jail.conf").replace("model", name)
    machine.files.write(f"{folder}/jail.conf", text.encode())
    line = f"/usr/local/bastille/releases/15.1-RELEASE {folder}/root/.bastille nullfs ro 0 0\n"
    machine.files.write(f"{folder}/fstab", line.encode())
    run(machine, "bastille destroy -afy model")


def test_a_target_is_a_name_a_beginning_a_tag_or_a_pattern(machine: Machine) -> None:
    for number, name in enumerate(("git", "gitea", "web"), start=2):
        create(machine, name, number)
    run(machine, "bastille tags web add front")
    assert run(machine, "bastille cmd git hostname")[1] == "git\n"
    assert run(machine, "bastille cmd gite hostname")[1] == "gitea\n"
    assert run(machine, "bastille cmd front hostname")[1] == "web\n"
    assert run(machine, "bastille cmd g.*e hostname")[1] == "gitea\n"
    assert run(machine, "bastille cmd 2 hostname")[1] == "git\n"
    assert run(machine, "bastille cmd gi hostname") == (1, "", "Multiple jails found for gi:\ngit\ngitea\n")
    assert run(machine, "bastille cmd nosuch hostname") == (1, "", 'Jail not found "nosuch"\n')


def test_jails_that_depend_go_first_and_come_last(machine: Machine) -> None:
    create(machine, "db", 2)
    create(machine, "web", 3)
    run(machine, "bastille config web set depend db")
    assert run(machine, "bastille stop db")[1] == "web: removed\ndb: removed\n"
    run(machine, "bastille start web")
    assert set(machine.jails) == {"db", "web"}


def test_what_a_killed_create_leaves(machine: Machine) -> None:
    make_half(machine, "half")
    status, out, error = run(machine, "bastille list -j")
    assert status == 0
    assert '"Name":"half","Boot":"-","Prio":"-","State":"Down","Type":"thin","IP Address":"-"' in out
    assert error.count("root/etc/rc.conf: No such file or directory") == 2
    assert run(machine, "bastille create -B -g 10.0.1.1 half 15.1-RELEASE 10.0.1.9 warden0")[0] == 1
    assert run(machine, "bastille start half")[1].endswith("half: created\nhalf: removed\n")
    assert "e0b_half" in machine.net.interfaces
    assert run(machine, "bastille destroy -afy half")[0] == 0
    assert "zroot/bastille/jails/half" not in machine.datasets
    assert "e0a_half" in machine.net.interfaces


def test_a_start_that_was_killed_leaves_mounts_that_refuse_both(machine: Machine) -> None:
    create(machine, "git")
    run(machine, "bastille stop git")
    run(machine, f"mount -t nullfs -o ro /usr/local/bastille/releases/15.1-RELEASE {JAILS}/git/root/.bastille")
    assert "Resource deadlock avoided" in run(machine, "bastille start git")[2]
    status, _, error = run(machine, "bastille destroy -afy git")
    assert status == 0
    assert error.endswith(f"Jail has mounted filesystems:\n{JAILS}/git/root/.bastille\n")
    assert "zroot/bastille/jails/git" in machine.datasets


def test_destroy_asks_and_nobody_answers(machine: Machine) -> None:
    create(machine, "git")
    run(machine, "bastille stop git")
    status, _, error = run(machine, "bastille destroy git")
    assert status == 1
    assert error.endswith("[ERROR]: Invalid input. Please answer 'y' or 'n'.\n")


@pytest.mark.parametrize(("options", "kind"), [("-B -M", "thin"), ("-B -T", "thick"), ("-B -C", "clone")])
def test_the_types_of_jails(machine: Machine, options: str, kind: str) -> None:
    create(machine, "git", 2, options)
    assert f"  {kind} " in run(machine, "bastille list git")[1]
    assert machine.files.exists("/bin/sh", root=f"{JAILS}/git/root")
    passwd = machine.files.read("/usr/local/bastille/releases/15.1-RELEASE/etc/passwd")
    machine.files.write("/etc/passwd", b"", root=f"{JAILS}/git/root")
    assert machine.files.read("/usr/local/bastille/releases/15.1-RELEASE/etc/passwd") == passwd
    assert run(machine, "bastille destroy -afy git")[0] == 0


def test_a_thin_jail_cannot_change_its_release(machine: Machine) -> None:
    create(machine, "git")
    reply = run_program(Call(machine, ("jexec", "git", "sh", "-c", "echo x > /bin/new")))
    assert reply.stderr == b"sh: cannot create /bin/new: Read-only file system\n"


def test_config_writes_one_line_of_jail_conf(machine: Machine) -> None:
    create(machine, "git")
    before = machine.files.text(f"{JAILS}/git/jail.conf")
    run(machine, "bastille config git set allow.raw_sockets 1")
    after = machine.files.text(f"{JAILS}/git/jail.conf")
    assert after == before.removesuffix("}\n") + "  allow.raw_sockets = 1;\n}\n"
    assert machine.files.node(f"{JAILS}/git/jail.conf").mode == 0o600
    assert run(machine, "bastille config git get allow.raw_sockets")[1] == "1\n"
    run(machine, "bastille config git remove allow.raw_sockets")
    assert machine.files.text(f"{JAILS}/git/jail.conf") == before


def test_a_reboot_brings_back_what_boots(machine: Machine) -> None:
    create(machine, "git", 2)
    create(machine, "web", 3, "-B --no-boot")
    run(machine, "sysrc bastille_enable=YES cloned_interfaces=bridge0 ifconfig_bridge0_name=warden0")
    boot(machine)
    assert list(machine.jails) == ["git"]
    assert [key for key in machine.files.trees if key.startswith("devfs:")] == [
        mount.tree for mount in machine.files.mounted() if mount.fstype == "devfs"
    ]


def test_the_time_of_a_create_does_not_grow(machine: Machine) -> None:
    create(machine, "first")
    start = time.process_time()
    for number in range(20):
        create(machine, f"early{number}")
    early = time.process_time() - start
    for number in range(40):
        create(machine, f"between{number}")
    start = time.process_time()
    for number in range(20):
        create(machine, f"late{number}")
    assert time.process_time() - start < 3 * early


def test_what_it_does_not_know_it_refuses(machine: Machine) -> None:
    for line in ("bastille", "bastille console x", "bastille create -V x 15.1-RELEASE 10.0.1.2 vtnet0"):
        with pytest.raises(UnsupportedError):
            run(machine, line)


def test_jails_that_depend_in_a_circle_are_refused(machine: Machine) -> None:
    create(machine, "db", 2)
    create(machine, "web", 3)
    run(machine, "bastille config web set depend db")
    run(machine, "bastille config db set depend web")
    for verb in ("start", "stop"):
        with pytest.raises(UnsupportedError, match="in a circle"):
            run(machine, f"bastille {verb} db")
