# SPDX-License-Identifier: BSD-2-Clause
"""What a reboot takes away and what rc brings back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.host.fake.boot import boot
from warden.host.fake.profiles import make
from warden.host.fake.program import Call, run_program

if TYPE_CHECKING:
    from warden.host.fake.machine import Machine

SERVICE = b"""#!/bin/sh
# PROVIDE: first
# REQUIRE: pf
# BEFORE: LOGIN
. /etc/rc.subr
name=first
rcvar=first_enable
start_cmd="echo $name >> /var/order"
load_rc_config $name
run_rc_command "$1"
"""


def run(machine: Machine, *argv: str) -> int:
    return run_program(Call(machine, argv)).exit_code


def test_what_only_the_kernel_knew_is_gone() -> None:
    machine = make("recorded")
    run(machine, "ifconfig", "bridge", "create", "name", "warden0")
    run(machine, "sh", "-c", "sleep 1000 &")
    run(machine, "sysctl", "net.inet.ip.forwarding=1")
    boot(machine)
    assert list(machine.net.interfaces) == ["vtnet0", "lo0"]
    assert run(machine, "pgrep", "-x", "sleep") == 1
    assert run_program(Call(machine, ("sysctl", "-n", "net.inet.ip.forwarding"))).stdout == b"0\n"
    assert run(machine, "ps", "-p", "1") == 0


def test_enabled_services_start_in_their_order() -> None:
    machine = make("recorded")
    files = machine.files
    files.write("/usr/local/etc/rc.d/first", SERVICE, mode=0o555)
    files.write("/usr/local/etc/rc.d/later", SERVICE.replace(b"first", b"later").replace(b"BEFORE: LOGIN", b""))
    files.node("/usr/local/etc/rc.d/later").mode = 0o555
    second = SERVICE.replace(b"first", b"second").replace(b"REQUIRE: pf\n# BEFORE: LOGIN", b"REQUIRE: LOGIN")
    files.write("/usr/local/etc/rc.d/second", second, mode=0o555)
    off = SERVICE.replace(b"first", b"off")
    files.write("/usr/local/etc/rc.d/off", off, mode=0o555)
    run(machine, "sysrc", "first_enable=YES", "second_enable=YES")
    boot(machine)
    assert files.text("/var/order") == "first\nsecond\n"


def test_pid_files_of_before_are_gone() -> None:
    machine = make("recorded")
    machine.files.write("/var/run/old.pid", b"1234")
    boot(machine)
    assert not machine.files.exists("/var/run/old.pid")
    assert machine.files.exists("/var/run/cron.pid")


def test_shutdown_reboots() -> None:
    machine = make("recorded")
    began = machine.booted_at
    assert run(machine, "shutdown", "-r", "now") == 0
    assert machine.booted_at > began


def test_a_bridge_gets_its_members_back() -> None:
    machine = make("ready")
    run(machine, "sysrc", "cloned_interfaces=bridge0 tap0", "autobridge_interfaces=bridge0", "autobridge_bridge0=tap*")
    boot(machine)
    assert list(machine.net.interfaces["bridge0"].members) == ["tap0"]
