# SPDX-License-Identifier: BSD-2-Clause
"""The end and the start of the machine: what the kernel knew is gone, and rc brings back what files say."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from warden.host.fake import datasets, kld, network, rcconf, sysctl
from warden.host.fake.filesystem import FileError
from warden.host.fake.machine import Pf
from warden.host.fake.processes import spawn
from warden.host.fake.program import Call, Reply, program, run_program, say
from warden.host.fake.service import BASE, run_at_boot, scripts_in_order, stop_services, variable_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from warden.host.fake.machine import Machine

SECONDS_DOWN = 30
FIRST_PID = 400
"""Where the pids are when rc is through with the first scripts."""
RUN_FILES = [
    "clean_var",
    "devd.pipe",
    "devd.seqpacket.pipe",
    "dmesg.boot",
    "ld-elf.so.hints",
    "ld-elf32.so.hints",
    "log",
    "logpriv",
    "motd",
    "os-release",
    "syslogd.sockets",
    "utx.active",
]
"""What a boot leaves in /var/run besides pid files (session 11)."""


def boot(machine: Machine) -> None:
    """Reboot: stop the services, forget what only the kernel knew, and start again by what the files say."""
    stop_services(machine)
    forget(machine)
    machine.wait(SECONDS_DOWN)
    start(machine)


def forget(machine: Machine) -> None:
    """Lose everything that is not in a file or on a disk."""
    network.attach_hardware(machine)
    machine.jails.clear()
    machine.processes.clear()
    machine.files.mounts.clear()
    machine.pf = Pf()
    machine.rctl.clear()
    machine.sysctls.clear()
    machine.devfs_rulesets.clear()
    machine.modules.clear()
    machine.locks.clear()
    machine.next_jid = 1


def start(machine: Machine) -> None:
    """Bring the machine up: the kernel, then /etc/rc with its scripts in their order."""
    machine.booted_at = machine.clock
    machine.next_pid = 1
    spawn(machine, ["/sbin/init"], ppid=0)
    machine.next_pid = FIRST_PID
    sysctl.load_tunables(machine)
    load_modules(machine)
    for script in scripts_in_order(machine):
        folder, _, name = script.path.rpartition("/")
        step = STEPS.get(name) if folder == BASE else None
        if step is not None:
            with suppress(FileError):  # rc goes on with the next script
                step(machine)
        else:
            variable = variable_of(machine, script, "")
            if not variable or rcconf.is_yes(rcconf.read_rc_conf(machine).get(variable, "")):
                run_at_boot(machine, script.path)


def load_modules(machine: Machine) -> None:
    """Load what /boot/loader.conf names: `vmm_load="YES"`."""
    node = machine.files.lookup("/boot/loader.conf")
    for name, value in re.findall(r'(?m)^(\w+)_load="?(\w+)"?', node.data.decode() if node is not None else ""):
        if rcconf.is_yes(value):
            kld.load(machine, name)


def load_listed(machine: Machine) -> None:
    """Load the modules that rc.conf lists in kld_list, with or without `.ko`."""
    for name in rcconf.read_rc_conf(machine).get("kld_list", "").split():
        kld.load(machine, name.rpartition("/")[2].removesuffix(".ko"))


def mount_zfs(machine: Machine) -> None:
    """Load ZFS and mount its filesystems, if rc.conf says so."""
    if rcconf.is_yes(rcconf.read_rc_conf(machine).get("zfs_enable", "")):
        kld.load(machine, "zfs")
        datasets.mount_all(machine)


def clean_run(machine: Machine) -> None:
    """Empty /var/run of files; folders stay."""
    files = machine.files
    for name in files.list_dir("/var/run"):
        if not files.is_dir(f"/var/run/{name}"):
            files.remove(f"/var/run/{name}")
    for name in RUN_FILES:
        if not files.exists(f"/var/run/{name}"):
            files.write(f"/var/run/{name}", b"")


def set_sysctls(machine: Machine) -> None:
    """Set what /etc/sysctl.conf says."""
    if machine.files.exists("/etc/sysctl.conf"):
        run_program(Call(machine, ("sysctl", "-i", "-q", "-f", "/etc/sysctl.conf"), cwd="/"))


def set_hostname(machine: Machine) -> None:
    """Take the name from rc.conf."""
    machine.hostname = rcconf.read_rc_conf(machine).get("hostname") or machine.hostname


STEPS: dict[str, Callable[[Machine], None]] = {
    "kld": load_listed,
    "zfs": mount_zfs,
    "cleanvar": clean_run,
    "sysctl": set_sysctls,
    "hostname": set_hostname,
}
"""What scripts do that are no services here."""


@program("/sbin/shutdown", "shutdown -r now")
def shutdown(call: Call) -> Reply:
    """Restart the machine; whoever asked sees the connection go."""
    if call.args != ("-r", "now") or call.jail:
        raise call.unsupported()
    boot(call.machine)
    return say("Shutdown NOW!\n")


@program("/sbin/reboot", "reboot")
def reboot(call: Call) -> Reply:
    """Restart the machine at once."""
    if call.args or call.jail:
        raise call.unsupported()
    boot(call.machine)
    return Reply()
