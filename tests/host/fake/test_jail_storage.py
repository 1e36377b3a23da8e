# SPDX-License-Identifier: BSD-2-Clause
"""What jails have of the host's storage: datasets mounted into them, quotas, limits; and what ends with a jail."""

from __future__ import annotations

import pytest

from tests.host.fake.jail_box import BOX, create, inside, run, with_jail, works
from warden.host.fake.boot import boot
from warden.host.fake.machine import Machine
from warden.host.fake.persist import from_json, to_json
from warden.host.fake.profiles import make

REPOS = "/var/db/warden/atlas/repos"
MOUNTS = f"{REPOS} {BOX}/root/srv/git nullfs rw 0 0\n/opt/shared {BOX}/root/srv/shared nullfs ro 0 0\n"

SCRIPT = """\
#!/bin/sh
# PROVIDE: toy
# REQUIRE: LOGIN
# KEYWORD: shutdown
. /etc/rc.subr
name=toy
rcvar=toy_enable
load_rc_config $name
: ${toy_enable:="NO"}
pidfile=/var/run/toy.pid
procname=/bin/sleep
command=/usr/sbin/daemon
command_args="-f -p $pidfile /bin/sleep 100000"
stop_postcmd=toy_stopped
toy_stopped()
{
	echo stopped >> /var/log/toy
}
run_rc_command "$1"
"""


@pytest.fixture
def machine() -> Machine:
    """A host whose jail has a dataset and a folder mounted."""
    machine = with_jail()
    works(machine, "zfs", "create", "-o", "mountpoint=/var/db/warden/atlas", "zroot/warden")
    works(machine, "zfs", "create", "zroot/warden/repos")
    machine.files.make_dir("/opt/shared", parents=True)
    machine.files.write("/opt/shared/model", b"weights\n")
    assert inside(machine, "mkdir", "-p", "/srv/git", "/srv/shared").exit_code == 0
    machine.files.write(f"{BOX}/fstab", MOUNTS.encode(), append=True)
    works(machine, "bastille", "restart", "box")
    return machine


def mounted(machine: Machine) -> list[str]:
    return [line.split()[2] for line in works(machine, "mount").splitlines() if "/srv/" in line]


def test_what_a_jail_writes_is_in_the_dataset(machine: Machine) -> None:
    assert mounted(machine) == [f"{BOX}/root/srv/git", f"{BOX}/root/srv/shared"]
    assert inside(machine, "touch", "/srv/git/mine").exit_code == 0
    assert "mine" in machine.files.trees["zroot/warden/repos"].children
    assert works(machine, "ls", REPOS) == "mine\n"
    assert inside(machine, "cat", "/srv/shared/model").stdout == b"weights\n"


def test_what_is_mounted_read_only_cannot_be_written(machine: Machine) -> None:
    for argv in (("touch", "/srv/shared/x"), ("rm", "/srv/shared/model"), ("sh", "-c", "echo x > /srv/shared/model")):
        reply = inside(machine, *argv)
        assert reply.exit_code != 0
        assert b"Read-only file system" in reply.stderr
    assert machine.files.text("/opt/shared/model") == "weights\n"


def test_a_dataset_that_is_read_only_is_so_through_a_mount(machine: Machine) -> None:
    works(machine, "zfs", "set", "readonly=on", "zroot/warden/repos")
    assert b"Read-only file system" in inside(machine, "touch", "/srv/git/x").stderr


def test_mounts_come_and_go_with_the_jail_and_the_host(machine: Machine) -> None:
    inside(machine, "touch", "/srv/git/mine")
    works(machine, "bastille", "stop", "box")
    assert mounted(machine) == []
    assert works(machine, "ls", f"{BOX}/root/srv/git") == ""
    works(machine, "bastille", "start", "box")
    assert len(mounted(machine)) == 2
    boot(machine)
    assert len(mounted(machine)) == 2
    again = from_json(Machine, to_json(machine))
    assert inside(again, "ls", "/srv/git").stdout == b"mine\n"


def test_a_jail_that_is_destroyed_takes_nothing_of_the_hosts_along(machine: Machine) -> None:
    inside(machine, "touch", "/srv/git/mine")
    works(machine, "bastille", "destroy", "-afy", "box")
    assert not machine.files.exists(BOX)
    assert works(machine, "ls", REPOS) == "mine\n"
    assert machine.files.exists("/opt/shared/model")
    assert mounted(machine) == []


def test_a_jail_whose_mount_stayed_is_not_destroyed(machine: Machine) -> None:
    """As after an entry was taken from the fstab while the jail ran."""
    machine.files.write(f"{BOX}/fstab", machine.files.read(f"{BOX}/fstab").replace(MOUNTS.encode(), b""))
    reply = run(machine, "bastille", "destroy", "-afy", "box")
    assert b"Jail has mounted filesystems" in reply.stdout + reply.stderr
    assert machine.files.exists(f"{BOX}/jail.conf")
    for name in ("git", "shared"):
        works(machine, "umount", f"{BOX}/root/srv/{name}")
    works(machine, "bastille", "destroy", "-afy", "box")
    assert machine.files.exists("/opt/shared/model")


def test_a_mount_point_that_the_jail_made_a_link_is_refused(machine: Machine) -> None:
    works(machine, "bastille", "stop", "box")
    works(machine, "rmdir", f"{BOX}/root/srv/git")
    machine.files.symlink("/etc", "/srv/git", root=f"{BOX}/root")
    reply = run(machine, "bastille", "start", "box")
    assert f"mount.fstab: {BOX}/root/srv/git is a symbolic link".encode() in reply.stdout + reply.stderr
    assert "box" not in machine.jails
    assert mounted(machine) == []


def test_what_is_mounted_in_a_jail_is_in_use(machine: Machine) -> None:
    for argv in (
        ("zfs", "rename", "zroot/warden/repos", "zroot/warden/other"),
        ("zfs", "destroy", "zroot/warden/repos"),
        ("umount", REPOS),
    ):
        reply = run(machine, *argv)
        assert reply.exit_code == 1
        assert b"busy" in reply.stderr
    works(machine, "bastille", "stop", "box")
    works(machine, "zfs", "rename", "zroot/warden/repos", "zroot/warden/other")


def test_snapshots_are_taken_together_and_a_rollback_is_seen_in_the_jail(machine: Machine) -> None:
    inside(machine, "touch", "/srv/git/mine")
    works(machine, "zfs", "snapshot", "zroot/warden@one", "zroot/warden/repos@one")
    assert works(machine, "zfs", "list", "-H", "-t", "snapshot", "-o", "name").split() == [
        "zroot/warden@one",
        "zroot/warden/repos@one",
    ]
    inside(machine, "rm", "/srv/git/mine")
    works(machine, "zfs", "rollback", "zroot/warden/repos@one")
    assert inside(machine, "ls", "/srv/git").stdout == b"mine\n"


@pytest.mark.parametrize("other", ["zroot/warden/repos@one", "zroot/nothing@two", "full"])
def test_of_snapshots_that_cannot_all_be_taken_none_is(machine: Machine, other: str) -> None:
    works(machine, "zfs", "snapshot", "zroot/warden/repos@one")
    if other == "full":
        machine.files.room.full_pools.append("zroot")
    second = "zroot/warden/repos@two" if other == "full" else other
    assert run(machine, "zfs", "snapshot", "zroot/warden@two", second).exit_code != 0
    assert "zroot/warden@two" not in machine.datasets


def test_a_quota_ends_what_can_be_written_until_there_is_room_again(machine: Machine) -> None:
    used = int(works(machine, "zfs", "get", "-Hp", "-o", "value", "used", "zroot/warden"))
    refused = run(machine, "zfs", "set", f"quota={used - 1}", "zroot/warden")
    assert b"size is less than current used or reserved space" in refused.stderr
    works(machine, "zfs", "set", f"quota={used + 1000}", "zroot/warden")
    assert inside(machine, "sh", "-c", "printf '%0900d' 1 > /srv/git/big").exit_code == 0
    for argv in (
        ("sh", "-c", "printf '%0200d' 1 > /srv/git/more"),
        ("sh", "-c", "cat /srv/git/big > /srv/git/more"),
        ("cp", "/srv/git/big", "/srv/git/more"),
    ):
        reply = inside(machine, *argv)
        assert reply.exit_code != 0, argv
        assert b"Disc quota exceeded" in reply.stderr or b"write error" in reply.stderr
    assert inside(machine, "sh", "-c", "printf '%0200d' 1 > /root/elsewhere").exit_code == 0
    again = from_json(Machine, to_json(machine))
    assert inside(again, "cp", "/srv/git/big", "/srv/git/more").exit_code == 1
    inside(machine, "rm", "/srv/git/big")
    assert inside(machine, "sh", "-c", "printf '%0200d' 1 > /srv/git/more").exit_code == 0
    works(machine, "zfs", "set", "quota=none", "zroot/warden")
    assert not machine.files.room.limited


def test_a_full_pool_has_no_room_for_jails_but_the_host_has(machine: Machine) -> None:
    machine.files.room.full_pools.append("zroot")
    for argv in (
        ("mkdir", "/srv/git/x"),
        ("sh", "-c", "echo x > /root/x"),
        ("touch", "/srv/git/x"),
        ("cp", "/etc/hosts", "/x"),
    ):
        reply = inside(machine, *argv)
        if argv[0] != "touch":  # an empty file needs none
            assert b"No space left on device" in reply.stderr or b"write error" in reply.stderr, argv
    assert inside(machine, "rm", "/etc/rc.conf").exit_code == 0
    works(machine, "sh", "-c", "echo x > /root/x")


def test_limits_hold_while_the_jail_runs(machine: Machine) -> None:
    works(machine, "bastille", "limits", "box", "add", "memoryuse", "1G")
    works(machine, "bastille", "stop", "box")
    assert works(machine, "rctl") == ""
    works(machine, "bastille", "start", "box")
    assert works(machine, "rctl", "jail:box") == "jail:box:memoryuse:deny=1073741824\n"
    works(machine, "bastille", "restart", "box")
    assert works(machine, "rctl") == "jail:box:memoryuse:deny=1073741824\n"
    boot(machine)
    assert works(machine, "rctl") == "jail:box:memoryuse:deny=1073741824\n"
    works(machine, "rctl", "-r", "jail:box")
    assert works(machine, "rctl") == ""


def test_limits_of_users_are_set_at_boot(machine: Machine) -> None:
    works(machine, "pw", "useradd", "atlas", "-u", "1500")
    rules = b"# of users\nuser:atlas:maxproc:deny=100\nuser:nobody:memoryuse:deny=1G  # little\n\n"
    machine.files.write("/etc/rctl.conf", rules)
    boot(machine)
    assert works(machine, "rctl") == "user:nobody:memoryuse:deny=1073741824\nuser:atlas:maxproc:deny=100\n"
    assert works(machine, "rctl", "user:1500") == "user:atlas:maxproc:deny=100\n"
    works(machine, "rctl", "-r", "user:atlas:maxproc")
    assert works(machine, "rctl", "-h") == "user:nobody:memoryuse:deny=1024M\n"
    works(machine, "service", "rctl", "stop")
    assert works(machine, "rctl") == ""


def test_a_rule_for_nobody_is_refused_and_the_others_are_not(machine: Machine) -> None:
    reply = run(machine, "rctl", "-a", "user:who:maxproc:deny=1", "user:nobody:maxproc:deny=1")
    assert (reply.exit_code, reply.stderr) == (
        1,
        b"rctl: malformed rule 'user:who:maxproc:deny=1': unknown user 'who'\n",
    )
    assert works(machine, "rctl") == "user:nobody:maxproc:deny=1\n"


def test_without_racct_there_are_no_limits() -> None:
    reply = run(make("bare"), "rctl", "-a", "user:nobody:maxproc:deny=1")
    assert reply.exit_code == 1
    assert b"kern.racct.enable=1" in reply.stderr


@pytest.fixture
def toy(machine: Machine) -> Machine:
    """The host with a service of the jail's own that is enabled and runs."""
    path = f"{BOX}/root/usr/local/etc/rc.d"
    machine.files.make_dir(path, parents=True)
    machine.files.write(f"{path}/toy", SCRIPT.encode(), mode=0o555)
    assert inside(machine, "sysrc", "toy_enable=YES").exit_code == 0
    assert inside(machine, "service", "toy", "start").exit_code == 0
    return machine


def _pids(machine: Machine) -> list[int]:
    return [one.pid for one in machine.processes.values() if one.jail == "box" and one.argv[0] == "/bin/sleep"]


def test_a_service_of_the_jails_own_comes_back_with_it(toy: Machine) -> None:
    seen = []
    for step in (None, ("bastille", "restart", "box"), ("shutdown", "-r", "now")):
        if step is not None:
            works(toy, *step)
        seen += _pids(toy)
        assert inside(toy, "service", "toy", "status").stdout == f"toy is running as pid {seen[-1]}.\n".encode()
    assert len(seen) == 3
    assert inside(toy, "cat", "/var/log/toy").stdout == b"stopped\n" * 2


def test_nothing_of_a_jail_lives_on_after_it(toy: Machine) -> None:
    create(toy, "other", "10.0.1.3")
    works(toy, "bastille", "stop", "box")
    assert {one.jail for one in toy.processes.values()} == {"", "other"}


def test_a_service_that_is_not_enabled_stays_away(toy: Machine) -> None:
    inside(toy, "sysrc", "toy_enable=NO")
    works(toy, "bastille", "restart", "box")
    assert _pids(toy) == []
    assert inside(toy, "service", "toy", "onestatus").exit_code == 1


def test_a_pid_file_of_an_earlier_run_is_gone_with_it(toy: Machine) -> None:
    works(toy, "jail", "-f", f"{BOX}/jail.conf", "-R", "box")
    assert toy.files.exists(f"{BOX}/root/var/run/toy.pid")
    inside_run = f"{BOX}/root/var/run"
    works(toy, "umount", "-a", "-F", f"{BOX}/fstab")
    toy.files.write(f"{BOX}/root/etc/rc.conf", b'toy_enable="NO"\n', append=True)
    boot(toy)
    assert "box" in toy.jails
    assert not toy.files.exists(f"{inside_run}/toy.pid")
    assert toy.files.exists(f"{inside_run}/clean_var")
