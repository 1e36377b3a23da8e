# SPDX-License-Identifier: BSD-2-Clause
"""A host with one jail that reaches the world, for what is tested inside of jails."""

from __future__ import annotations

import pickle
from functools import cache
from typing import TYPE_CHECKING

from warden.host.fake.boot import boot
from warden.host.fake.profiles import make
from warden.host.fake.program import Call, Reply, run_program

if TYPE_CHECKING:
    from warden.host.fake.machine import Machine

PF = b"nat on vtnet0 inet from 10.0.1.0/24 to any -> (vtnet0:0)\n"
BOX = "/usr/local/bastille/jails/box"
ADDRESS = "10.0.1.2"


def run(machine: Machine, *argv: str, stdin: bytes = b"") -> Reply:
    """Run a command on the host."""
    return run_program(Call(machine, argv, stdin))


def inside(machine: Machine, *argv: str, stdin: bytes = b"") -> Reply:
    """Run a command in the jail."""
    return run(machine, "jexec", "-l", "box", *argv, stdin=stdin)


def works(machine: Machine, *argv: str) -> str:
    """Run a command on the host that has to work; give what it says."""
    reply = run(machine, *argv)
    assert reply.exit_code == 0, (argv, reply.stderr)
    return reply.stdout.decode()


def create(machine: Machine, name: str, address: str) -> None:
    """Make a jail."""
    options = ("-B", "-M", "-g", "10.0.1.1")
    works(machine, "bastille", "create", *options, name, "15.1-RELEASE", f"{address}/24", "warden0")


@cache
def _pickled(*, jail: bool) -> bytes:
    machine = make("ready")
    machine.files.write("/etc/pf.conf", PF)
    works(machine, "sysrc", "cloned_interfaces=bridge0", "ifconfig_bridge0_name=warden0", "gateway_enable=YES")
    works(machine, "sysrc", "ifconfig_warden0=inet 10.0.1.1/24", "bastille_enable=YES")
    boot(machine)
    if jail:
        create(machine, "box", ADDRESS)
    return pickle.dumps(machine)


def with_bridge() -> Machine:
    """Give a host whose jails, once there are any, reach the world."""
    found: Machine = pickle.loads(_pickled(jail=False))  # noqa: S301 - made a moment ago
    return found


def with_jail() -> Machine:
    """Give such a host with the jail `box`."""
    found: Machine = pickle.loads(_pickled(jail=True))  # noqa: S301 - made a moment ago
    return found
