# SPDX-License-Identifier: BSD-2-Clause
"""zfs(8), zpool(8), mount(8) and df(1): what datasets do with files, and what refuses."""

from __future__ import annotations

import json

import pytest

from warden.host.fake.datasets import mount_all
from warden.host.fake.machine import Machine
from warden.host.fake.persist import from_json, to_json
from warden.host.fake.profiles import make
from warden.host.fake.program import Call, UnsupportedError, run_program
from warden.host.fake.zfs_properties import PropertyError, canonical, nice_number


@pytest.fixture
def machine() -> Machine:
    return make("recorded")


def run(machine: Machine, line: str) -> tuple[int, str, str]:
    reply = run_program(Call(machine, tuple(line.split()), environment={"BLOCKSIZE": "K"}))
    return reply.exit_code, reply.stdout.decode(), reply.stderr.decode()


def test_a_dataset_takes_its_files_along(machine: Machine) -> None:
    assert run(machine, "zfs create -o mountpoint=/data zroot/data") == (0, "", "")
    machine.files.write("/data/file", b"one")
    assert run(machine, "zfs set mountpoint=/elsewhere zroot/data") == (0, "", "")
    assert machine.files.read("/elsewhere/file") == b"one"
    assert machine.files.list_dir("/data") == []
    assert run(machine, "zfs destroy zroot/data") == (0, "", "")
    assert not machine.files.exists("/elsewhere/file")


def test_an_unmounted_dataset_shows_what_it_covered(machine: Machine) -> None:
    machine.files.make_dir("/data")
    machine.files.write("/data/under", b"")
    run(machine, "zfs create -o mountpoint=/data zroot/data")
    machine.files.write("/data/over", b"")
    assert machine.files.list_dir("/data") == ["over"]
    assert run(machine, "zfs umount zroot/data") == (0, "", "")
    assert machine.files.list_dir("/data") == ["under"]
    assert run(machine, "zfs umount zroot/data")[2] == "cannot unmount 'zroot/data': not currently mounted\n"
    assert run(machine, "zfs mount zroot/data") == (0, "", "")
    assert machine.files.list_dir("/data") == ["over"]


def test_a_clone_starts_as_its_snapshot_was(machine: Machine) -> None:
    run(machine, "zfs create zroot/data")
    machine.files.write("/zroot/data/file", b"then")
    run(machine, "zfs snapshot zroot/data@then")
    machine.files.write("/zroot/data/file", b"now")
    assert run(machine, "zfs clone zroot/data@then zroot/copy") == (0, "", "")
    assert machine.files.read("/zroot/copy/file") == b"then"
    machine.files.write("/zroot/copy/file", b"changed")
    assert run(machine, "zfs rollback zroot/data@then") == (0, "", "")
    assert machine.files.read("/zroot/data/file") == b"then"
    assert "snapshot has dependent clones" in run(machine, "zfs destroy zroot/data@then")[2]
    assert run(machine, "zfs destroy -R zroot/data") == (0, "", "")
    assert not machine.files.exists("/zroot/copy")


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        ("zfs create zroot/a/b", "cannot create 'zroot/a/b': parent does not exist\n"),
        ("zfs create tank/a", "cannot create 'tank/a': no such pool 'tank'\n"),
        ("zfs create zroot/a%b", "cannot create 'zroot/a%b': invalid character '%' in name\n"),
        (
            "zfs create -o mountpoint=a zroot/a",
            "cannot create 'zroot/a': 'mountpoint' must be an absolute path, 'none', or 'legacy'\n",
        ),
        (
            "zfs rename zroot/bastille zroot/bastille/x",
            "cannot rename to 'zroot/bastille/x': New dataset name cannot be a descendant of current dataset name\n",
        ),
        ("zfs destroy zroot/bastille@x", "could not find any snapshots to destroy; check snapshot names.\n"),
        ("zfs mount zroot/bastille", "cannot mount 'zroot/bastille': filesystem already mounted\n"),
        (
            "zfs inherit quota zroot/bastille",
            "'quota' property cannot be inherited\nuse 'zfs set quota=none' to clear\n",
        ),
        ("umount /nosuch", "umount: /nosuch: statfs: No such file or directory\n"),
    ],
)
def test_refusals(machine: Machine, line: str, refusal: str) -> None:
    assert run(machine, line) == (1, "", refusal)


def test_what_it_does_not_know_it_refuses(machine: Machine) -> None:
    for line in ("zfs send zroot@x", "zfs create -x zroot/a", "zfs list -o nosuch", "zfs get all zroot"):
        with pytest.raises(UnsupportedError):
            run(machine, line)


def test_an_agent_is_found_by_its_mark(machine: Machine) -> None:
    run(machine, "zfs create -o mountpoint=/var/warden/atlas zroot/atlas")
    run(machine, "zfs create zroot/atlas/repos")
    run(machine, "zfs set warden:agent=atlas zroot/atlas")
    line = "zfs get -Hp -t filesystem -o name,property,value,source mountpoint,warden:agent"
    rows = [row.split("\t") for row in run(machine, line)[1].splitlines()]
    assert ["zroot/atlas", "warden:agent", "atlas", "local"] in rows
    assert ["zroot/atlas/repos", "mountpoint", "/var/warden/atlas/repos", "inherited from zroot/atlas"] in rows
    assert ["zroot/atlas/repos", "warden:agent", "atlas", "inherited from zroot/atlas"] in rows
    assert ["zroot", "warden:agent", "-", "-"] in rows


def test_a_quota_limits_what_is_left(machine: Machine) -> None:
    run(machine, "zfs create -o quota=1G zroot/data")
    assert run(machine, "zfs list -Hp -o used,avail zroot/data")[1] == f"24576\t{1024**3 - 24576}\n"
    assert run(machine, "zfs list -H -o quota,avail zroot/data")[1] == "1G\t1024M\n"


def test_a_mount_point_cannot_be_removed(machine: Machine) -> None:
    run(machine, "zfs create -o mountpoint=/data zroot/data")
    machine.files.write("/data/file", b"")
    assert run(machine, "rm -rf /data")[0] == 1
    assert machine.files.list_dir("/data") == []


def test_datasets_are_mounted_again_after_a_boot(machine: Machine) -> None:
    run(machine, "zfs create -o mountpoint=/data zroot/data")
    machine.files.write("/data/file", b"x")
    machine.files.mounts.clear()
    assert not machine.files.exists("/data/file")
    mount_all(machine)
    assert machine.files.read("/data/file") == b"x"
    assert from_json(Machine, json.loads(json.dumps(to_json(machine)))) == machine


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0B"), (24576, "24K"), (1073668096, "1024M"), (91623424, "87.4M"), (7709782016, "7.18G")]
)
def test_sizes_have_five_characters(number: int, text: str) -> None:
    assert nice_number(number) == text


def test_values_are_checked() -> None:
    assert canonical("quota", "1.5G") == str(1536 * 1024**2)
    assert canonical("compression", "zstd-19") == "zstd-19"
    for name, value in (("compression", "zstd-20"), ("recordsize", "3K"), ("atime", "maybe"), ("used", "1")):
        with pytest.raises(PropertyError):
            canonical(name, value)
