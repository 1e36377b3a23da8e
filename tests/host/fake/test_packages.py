# SPDX-License-Identifier: BSD-2-Clause
"""Packages in jails: pkg's bootstrap, what it installs and where, and what it leaves when it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.host.fake.jail_box import PF, run, with_jail
from warden.host.fake import packages
from warden.host.fake.boot import boot
from warden.host.fake.changes import changes_state
from warden.host.fake.machine import Machine
from warden.host.fake.packages import PACKAGES, Package
from warden.host.fake.persist import from_json, to_json
from warden.host.fake.profiles import make
from warden.host.fake.program import PROGRAMS, Call, Reply, UnsupportedError, program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.host.fake.file_node import Node

JAIL = ("jexec", "-l", "box")
YES = (*JAIL, "env", "ASSUME_ALWAYS_YES=yes")
README = "read me\n" * 500


@pytest.fixture
def machine() -> Machine:
    return with_jail()


@pytest.fixture
def toy() -> Iterator[Package]:
    """A package with everything that a package can have."""

    @program("/usr/local/bin/toy", "toy", package="toy")
    def run_toy(call: Call) -> Reply:
        return Reply(0, f"toy of {call.user}\n".encode())

    PACKAGES["toy"] = Package(
        {
            "/usr/local/bin/toy": "",
            "/usr/local/etc/toy.conf.sample": "a = 1\n",
            "/usr/local/etc/rc.d/toy": "#!/bin/sh\n",
            "/usr/local/share/toy/README": README,
        },
        users=(("toy", 907, "/var/db/toy", "/usr/sbin/nologin"),),
        folders=(("/var/db/toy", "toy:toy", 0o700),),
        depends=("jq",),
    )
    yield PACKAGES["toy"]
    del PACKAGES["toy"], PROGRAMS["toy"]


def _size(node: Node) -> int:
    return len(node.data) + sum(_size(child) for child in node.children.values())


def stocked(machine: Machine) -> Machine:
    machine.catalogue["toy"] = "1.0"
    return machine


def test_the_base_brings_the_bootstrap_and_nothing_else(machine: Machine) -> None:
    assert run(machine, *JAIL, "test", "-x", "/usr/sbin/pkg").exit_code == 0
    assert run(machine, *JAIL, "test", "-x", "/usr/local/sbin/pkg").exit_code == 1
    assert run(machine, *JAIL, "pkg", "-N").exit_code == 1
    assert b"not yet installed" in run(machine, *JAIL, "pkg", "install", "-y", "jq").stderr
    assert not packages.installed(machine, "box")


def test_a_bare_host_gets_a_release_with_it_and_the_recorded_one_has_none() -> None:
    folder = "/usr/local/bastille/releases/15.1-RELEASE/usr/sbin/pkg"
    assert make("ready").files.exists(folder)
    assert not make("recorded").files.exists(folder)
    bare = make("bare")
    for line in ("pkg bootstrap -y", "pkg install -y bastille"):
        assert run(bare, *line.split()).exit_code == 0
    run(bare, "sysrc", "-f", "/usr/local/etc/bastille/bastille.conf", "bastille_zfs_enable=YES")
    run(bare, "sysrc", "-f", "/usr/local/etc/bastille/bastille.conf", "bastille_zfs_zpool=zroot")
    assert run(bare, "bastille", "bootstrap", "15.1-RELEASE").exit_code == 0
    assert bare.files.exists(folder)


def test_packages_of_a_jail_are_its_own(machine: Machine, toy: Package) -> None:
    del toy
    reply = run(stocked(machine), *YES, "pkg", "install", "-y", "toy")
    assert reply.exit_code == 0
    assert b"Bootstrapping pkg" in reply.stdout
    assert b"[1/2] Installing jq-1.8.1" in reply.stdout
    assert run(machine, *JAIL, "toy").stdout == b"toy of root\n"
    assert run(machine, "toy").exit_code == 127
    assert b"toy" not in run(machine, "pkg", "query", "%n").stdout
    shown = run(machine, *JAIL, "/usr/local/sbin/pkg", "query", "package %n %v", "toy", "git", "jq")
    assert (shown.exit_code, shown.stdout) == (0, b"package toy 1.0\npackage jq 1.8.1\n")
    assert run(machine, *JAIL, "pkg", "query", "%n %v", "git").exit_code == 1
    assert run(machine, *JAIL, "pkg", "info", "-e", "toy").exit_code == 0
    assert run(machine, *JAIL, "pkg", "info", "-e", "git").exit_code == 1
    boot(machine)
    assert run(machine, *JAIL, "pkg", "info").stdout == b"jq-1.8.1\npkg-2.2.2\ntoy-1.0\n"


def test_users_folders_and_sample_files_come_along(machine: Machine, toy: Package) -> None:
    del toy
    run(stocked(machine), *YES, "pkg", "install", "-y", "toy")
    assert run(machine, *JAIL, "id", "-u", "toy").stdout == b"907\n"
    assert run(machine, "id", "-u", "toy").exit_code == 1
    assert run(machine, *JAIL, "stat", "-f", "%Lp %Su:%Sg", "/var/db/toy").stdout == b"700 toy:toy\n"
    assert run(machine, *JAIL, "stat", "-f", "%Lp", "/usr/local/etc/rc.d/toy").stdout == b"555\n"
    assert run(machine, *JAIL, "cat", "/usr/local/etc/toy.conf").stdout == b"a = 1\n"
    run(machine, *JAIL, "sh", "-c", "echo a = 2 > /usr/local/etc/toy.conf")
    assert run(machine, *JAIL, "pkg", "delete", "-y", "toy").exit_code == 0
    assert run(machine, *JAIL, "cat", "/usr/local/etc/toy.conf").stdout == b"a = 2\n"
    assert run(machine, *JAIL, "toy").exit_code == 1
    assert run(machine, *JAIL, "test", "-e", "/usr/local/share/toy/README").exit_code == 1
    assert run(machine, *JAIL, "id", "-u", "toy").exit_code == 0
    run(machine, *JAIL, "pkg", "install", "-y", "toy")
    assert run(machine, *JAIL, "cat", "/usr/local/etc/toy.conf").stdout == b"a = 2\n"


def test_what_needs_a_package_goes_with_it(machine: Machine, toy: Package) -> None:
    del toy
    run(stocked(machine), *YES, "pkg", "install", "-y", "toy")
    assert run(machine, *JAIL, "pkg", "delete", "-y", "jq").exit_code == 0
    assert list(packages.installed(machine, "box")) == ["pkg"]


def test_an_upgrade_brings_the_version_of_the_repository(machine: Machine, toy: Package) -> None:
    del toy
    run(stocked(machine), *YES, "pkg", "install", "-y", "toy")
    assert run(machine, *JAIL, "pkg", "upgrade", "-y", "toy").stdout == b"Your packages are up to date.\n"
    machine.catalogue |= {"toy": "2.0", "jq": "1.9"}
    assert b"Upgrading toy from 1.0 to 2.0" in run(machine, *JAIL, "pkg", "upgrade", "-y", "toy").stdout
    assert packages.installed(machine, "box")["jq"] == "1.8.1"
    assert run(machine, *JAIL, "pkg", "upgrade", "-y").exit_code == 0
    assert packages.installed(machine, "box") == {"pkg": "2.2.2", "jq": "1.9", "toy": "2.0"}
    assert run(machine, *JAIL, "pkg", "upgrade", "-y", "git").exit_code == 1


@pytest.mark.parametrize("trouble", ["full", "quota"])
def test_what_finds_no_room_is_not_installed(machine: Machine, toy: Package, trouble: str) -> None:
    del toy
    assert run(stocked(machine), *YES, "pkg", "install", "-y", "jq").exit_code == 0
    before = to_json(machine.files)
    room = machine.files.room
    if trouble == "full":
        room.full_pools.append("zroot")
    else:
        room.refquotas["zroot/bastille/jails/box/root"] = 0
    reply = run(machine, *JAIL, "pkg", "install", "-y", "toy")
    assert reply.exit_code == 1
    said = {"full": b"No space left on device", "quota": b"Disc quota exceeded"}
    assert said[trouble] in reply.stderr
    room.full_pools.clear()
    room.refquotas.clear()
    assert to_json(machine.files) == before
    assert run(machine, *JAIL, "pkg", "install", "-y", "toy").exit_code == 0


def test_a_package_that_fits_in_part_only_leaves_nothing(machine: Machine, toy: Package) -> None:
    run(stocked(machine), *YES, "pkg", "install", "-y", "jq")
    dataset = "zroot/bastille/jails/box/root"
    # the users find room, and the first files
    machine.files.room.refquotas[dataset] = _size(machine.files.trees[dataset]) + len(README) - 1
    assert run(machine, *JAIL, "pkg", "install", "-y", "toy").exit_code == 1
    assert not any(machine.files.exists(path, root=machine.root_of("box")) for path in toy.files)
    assert "toy" not in packages.installed(machine, "box")


@pytest.mark.parametrize("trouble", ["no route", "no forwarding", "pf"])
def test_nothing_is_installed_from_where_the_repository_cannot_be_reached(machine: Machine, trouble: str) -> None:
    run(machine, *YES, "pkg", "bootstrap", "-y")
    if trouble == "no route":
        run(machine, *JAIL, "route", "delete", "default")
    elif trouble == "no forwarding":
        run(machine, "sysctl", "net.inet.ip.forwarding=0")
    else:
        machine.files.write("/etc/pf.conf", PF + b"block in on warden0\n")
        assert run(machine, "pfctl", "-f", "/etc/pf.conf").exit_code == 0
    reply = run(machine, *JAIL, "pkg", "install", "-y", "jq")
    assert reply.exit_code == 1
    assert b"Unable to update repository" in reply.stderr
    assert list(packages.installed(machine, "box")) == ["pkg"]


def test_the_list_goes_where_the_jails_files_go(machine: Machine) -> None:
    dataset = "zroot/bastille/jails/box/root"
    run(machine, "zfs", "snapshot", f"{dataset}@before")
    run(machine, *YES, "pkg", "install", "-y", "git")
    again = from_json(Machine, to_json(machine))
    assert "git" in packages.installed(again, "box")
    run(again, "zfs", "rollback", f"{dataset}@before")
    assert not packages.installed(again, "box")
    assert run(again, *JAIL, "git", "--version").exit_code == 1
    assert run(again, *JAIL, "pkg", "-N").exit_code == 1


@pytest.mark.parametrize(
    "line",
    [
        "install jq",
        "install -yn jq",
        "upgrade",
        "query %dn jq",
        "query",
        "info jq",
        "autoremove -y",
        "update -f",
        "set",
    ],
)
def test_what_pkg_here_does_not_know_is_refused(machine: Machine, line: str) -> None:
    run(machine, *YES, "pkg", "install", "-y", "jq")
    with pytest.raises(UnsupportedError):
        run(machine, *JAIL, "pkg", *line.split())


def test_questions_change_nothing() -> None:
    for verb in (("query", "%n"), ("info", "-e", "git"), ("-N",)):
        assert not changes_state((*JAIL, "pkg", *verb))
    assert changes_state((*YES, "pkg", "install", "-y", "git"))
