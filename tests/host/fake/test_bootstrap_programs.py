# SPDX-License-Identifier: BSD-2-Clause
"""What a bare machine becomes another by: pkg, kld_list, bastille bootstrap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from warden.host.fake.boot import boot
from warden.host.fake.profiles import make
from warden.host.fake.program import Call, Reply, UnsupportedError, run_program

if TYPE_CHECKING:
    from warden.host.fake.machine import Machine

CONF = "/usr/local/etc/bastille/bastille.conf"
RELEASE = "/usr/local/bastille/releases/15.1-RELEASE"


@pytest.fixture
def machine() -> Machine:
    return make("bare")


def run(machine: Machine, *argv: str) -> Reply:
    return run_program(Call(machine, argv))


def with_bastille(machine: Machine) -> Machine:
    for argv in (("pkg", "bootstrap", "-y"), ("pkg", "install", "-y", "bastille")):
        assert run(machine, *argv).exit_code == 0
    assert run(machine, "sysrc", "-f", CONF, "bastille_zfs_enable=YES", "bastille_zfs_zpool=zroot").exit_code == 0
    return machine


def test_pkg_is_there_after_its_bootstrap_only(machine: Machine) -> None:
    assert run(machine, "pkg", "-N").exit_code == 1
    assert run(machine, "pkg", "install", "-y", "tmux").exit_code == 1
    assert b"Installing pkg-" in run(machine, "pkg", "bootstrap", "-y").stdout
    assert run(machine, "pkg", "-N").exit_code == 0
    assert run(machine, "pkg", "install", "-y", "tmux").exit_code == 0
    assert run(machine, "pkg", "query", "%n").stdout == b"pkg\ntmux\n"
    assert machine.files.exists("/usr/local/bin/tmux")


def test_pkg_that_cannot_be_fetched_says_so(machine: Machine) -> None:
    machine.catalogue.clear()
    reply = run(machine, "pkg", "bootstrap", "-y")
    assert reply.exit_code == 1
    assert b"could not be found for your system" in reply.stderr
    assert not machine.packages


def test_a_package_that_finds_no_room_is_not_installed(machine: Machine) -> None:
    run(machine, "pkg", "bootstrap", "-y")
    machine.files.full = True
    reply = run(machine, "pkg", "install", "-y", "bastille", "tmux")
    assert reply.exit_code == 1
    assert b"No space left on device" in reply.stderr
    machine.files.full = False
    assert run(machine, "pkg", "query", "%n").stdout == b"pkg\n"
    assert run(machine, "pkg", "install", "-y", "bastille", "tmux").exit_code == 0


def test_the_package_of_bastille_brings_its_configuration_and_keeps_an_own_one(machine: Machine) -> None:
    machine.files.make_dir(CONF.rpartition("/")[0], parents=True)
    machine.files.write(CONF, b'bastille_prefix="/mine"\n')
    run(machine, "pkg", "bootstrap", "-y")
    run(machine, "pkg", "install", "-y", "bastille")
    assert machine.files.text(CONF) == 'bastille_prefix="/mine"\n'
    assert 'bastille_zfs_enable="NO"' in machine.files.text(f"{CONF}.sample")


def test_bootstrap_without_its_zfs_settings_is_refused_as_bastille_does(machine: Machine) -> None:
    with_bastille(machine)
    run(machine, "sysrc", "-f", CONF, "bastille_zfs_enable=NO")
    reply = run(machine, "bastille", "bootstrap", "15.1-RELEASE")
    assert reply.exit_code == 1
    assert b"Missing ZFS parameters. See bastille_zfs_enable." in reply.stderr
    run(machine, "sysrc", "-f", CONF, "bastille_zfs_enable=YES", "bastille_zfs_zpool=tank")
    assert b"tank is not a ZFS pool" in run(machine, "bastille", "bootstrap", "15.1-RELEASE").stderr


def test_bootstrap_makes_what_the_recorded_host_has(machine: Machine) -> None:
    with_bastille(machine)
    assert run(machine, "bastille", "bootstrap", "15.1-RELEASE").exit_code == 0
    listed = run(machine, "zfs", "list", "-Hp", "-o", "name,mountpoint", "-t", "filesystem").stdout
    assert listed == run(make("recorded"), "zfs", "list", "-Hp", "-o", "name,mountpoint", "-t", "filesystem").stdout
    assert run(machine, "bastille", "list", "release").stdout == b"15.1-RELEASE\n"
    assert machine.files.node("/usr/local/bastille").mode == 0o750
    again = run(machine, "bastille", "bootstrap", "15.1-RELEASE")
    assert again.exit_code == 0
    assert b"appears complete" in again.stderr


def test_a_release_that_only_looks_whole_is_taken_for_whole(machine: Machine) -> None:
    """Why Warden marks what it has begun."""
    with_bastille(machine)
    run(machine, "bastille", "bootstrap", "15.1-RELEASE")
    run(machine, "rm", "-rf", f"{RELEASE}/usr")
    assert run(machine, "bastille", "bootstrap", "15.1-RELEASE").exit_code == 0
    assert not machine.files.exists(f"{RELEASE}/usr")


@pytest.mark.parametrize("trouble", ["unknown", "no route", "no room"])
def test_a_bootstrap_that_fails_leaves_no_release(machine: Machine, trouble: str) -> None:
    with_bastille(machine)
    release = "14.1-RELEASE" if trouble == "unknown" else "15.1-RELEASE"
    if trouble == "no route":
        run(machine, "route", "delete", "default")
    machine.files.full = trouble == "no room"
    reply = run(machine, "bastille", "bootstrap", release)
    machine.files.full = False
    assert reply.exit_code == 1
    assert not machine.files.exists(f"/usr/local/bastille/releases/{release}")
    assert not any(release in name for name in machine.datasets)


def test_options_of_bootstrap_are_refused(machine: Machine) -> None:
    with_bastille(machine)
    with pytest.raises(UnsupportedError):
        run(machine, "bastille", "bootstrap", "-p", "15.1-RELEASE")
    with pytest.raises(UnsupportedError):
        run(machine, "bastille", "bootstrap", "https://example.org/me/template")


def test_what_kld_list_names_is_loaded_at_boot(machine: Machine) -> None:
    run(machine, "sysrc", "kld_list=pf if_bridge.ko /boot/kernel/nullfs.ko")
    boot(machine)
    loaded = run(machine, "kldstat").stdout.decode()
    assert all(f" {name}.ko\n" in loaded for name in ("pf", "if_bridge", "bridgestp", "nullfs"))
    assert "if_epair" not in loaded


def test_rules_are_checked_without_the_module_and_loaded_with_it(machine: Machine) -> None:
    machine.files.write("/etc/pf.conf", b"pass all\n")
    assert run(machine, "pfctl", "-nf", "/etc/pf.conf").exit_code == 0
    assert run(machine, "pfctl", "-f", "/etc/pf.conf").exit_code == 1
    machine.files.write("/etc/pf.conf", b"pass everything\n")
    assert b"/etc/pf.conf:1: syntax error" in run(machine, "pfctl", "-nf", "/etc/pf.conf").stderr
