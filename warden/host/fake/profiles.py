# SPDX-License-Identifier: BSD-2-Clause
"""The machines that a fake host can start as."""

from __future__ import annotations

import warden.host.fake.programs  # noqa: F401 - a machine has a file for every program that there is
from warden.host.fake import bastille_bootstrap, datasets, network, pkg, rcconf
from warden.host.fake.base_files import LOCALES, install_base
from warden.host.fake.boot import start
from warden.host.fake.machine import Dataset, Machine, Pool
from warden.host.fake.program import PROGRAMS

GIB = 1024**3

RECORDED_RC_CONF = """\
hostname="warden15"
ifconfig_vtnet0="DHCP"
sshd_enable="YES"
zfs_enable="YES"
dumpdev="NO"
syslogd_flags="-ss"
pf_enable="YES"
background_fsck="NO"
defaultroute_delay="0"
"""

RECORDED_LOADER_CONF = """\
console="comconsole"
autoboot_delay="1"
beastie_disable="YES"
kern.racct.enable="1"
kern.geom.label.disk_ident.enable="0"
vm.pmap.pti="0"
"""

RECORDED_PF_CONF = """\
# minimal host policy
ext_if = "vtnet0"
jail_net = "10.0.1.0/24"
set skip on lo0
scrub in all fragment reassemble
nat on $ext_if inet from $jail_net to any -> ($ext_if:0)
pass all
"""

READY_RC_CONF = """\
hostname="host.example.org"
ifconfig_vtnet0="inet 203.0.113.10/24"
defaultrouter="203.0.113.1"
sshd_enable="YES"
zfs_enable="YES"
pf_enable="YES"
dumpdev="NO"
syslogd_flags="-ss"
vm_enable="YES"
vm_dir="zfs:zroot/vm"
"""

READY_PF_CONF = """\
# the operator's own policy
ext_if = "vtnet0"
set skip on lo0
scrub in all fragment reassemble
block in all
pass out all keep state
pass in on $ext_if inet proto icmp all keep state
pass in on $ext_if proto tcp to port 22 keep state
"""

BARE_RC_CONF = """\
hostname="freebsd"
ifconfig_vtnet0="inet 203.0.113.10/24"
defaultrouter="203.0.113.1"
sshd_enable="YES"
zfs_enable="YES"
dumpdev="NO"
"""

CATALOGUE = {
    "bastille": "1.4.4",
    "chromium": "141.0.7390.54",
    "forgejo": "13.0.1",
    "git": "2.51.0",
    "gitea": "1.24.6",
    "htop": "3.4.1",
    "jq": "1.8.1",
    "llama-cpp": "6679",
    "nginx": "1.28.0_3,3",
    "node22": "22.20.0",
    "node24": "24.9.0",
    "npm-node22": "11.6.1",
    "npm-node24": "11.6.1",
    "ollama": "0.12.3",
    "pftop": "0.12",
    "pkg": "2.2.2",
    "postgresql17-client": "17.6",
    "postgresql17-contrib": "17.6",
    "postgresql17-pgvector": "0.8.1",
    "postgresql17-server": "17.6",
    "postgresql18-client": "18.0",
    "postgresql18-contrib": "18.0",
    "postgresql18-pgvector": "0.8.1",
    "postgresql18-server": "18.0",
    "py311-pip": "25.1.1",
    "python311": "3.11.13_1",
    "python312": "3.12.11",
    "rsync": "3.4.1_4",
    "sudo": "1.9.17p2",
    "tmux": "3.5a_1",
    "uv": "0.8.22",
    "vm-bhyve": "1.7.5",
}
"""What the package repository of `ready` and `bare` has: what the services and the operator's guide ask for.

None of it was recorded but for the versions of bastille, tmux and vm-bhyve.
"""

BASTILLE_CONF = """\
bastille_prefix="/usr/local/bastille"
bastille_zfs_enable="YES"
bastille_zfs_zpool="zroot"
"""

BASTILLE_OPTIONS = {"compression": "on", "atime": "off"}
"""What Bastille sets on every dataset that it makes: bastille_zfs_options."""

BASTILLE_DATASETS = {
    "": ("/usr/local/bastille", 0o750, 25600),
    "/backups": ("/usr/local/bastille/backups", 0o750, datasets.EMPTY),
    "/cache": ("/usr/local/bastille/cache", 0o755, datasets.EMPTY),
    "/cache/15.1-RELEASE": ("/usr/local/bastille/cache/15.1-RELEASE", 0o755, 29150720),
    "/jails": ("/usr/local/bastille/jails", 0o755, datasets.EMPTY),
    "/logs": ("/var/log/bastille", 0o755, datasets.EMPTY),
    "/releases": ("/usr/local/bastille/releases", 0o755, datasets.EMPTY),
    "/releases/15.1-RELEASE": ("/usr/local/bastille/releases/15.1-RELEASE", 0o755, 62026240),
    "/templates": ("/usr/local/bastille/templates", 0o755, datasets.EMPTY),
}
"""Bastille's datasets below zroot/bastille: mountpoint, mode, and what each takes up (session 00)."""


def make(profile: str) -> Machine:
    """Give a new machine: `ready`, `bare` or `recorded`; raises ValueError for a name that is none of them."""
    if profile not in PROFILES:
        raise ValueError(f"no profile {profile!r}: there are {', '.join(PROFILES)}")
    return PROFILES[profile]()


def recorded() -> Machine:
    """Give the machine of session 00, on which every recorded session starts."""
    machine = Machine(hostname="warden15", leases={"vtnet0": "10.0.2.15/24"})
    # jails made from its release have no pkg, not even its bootstrap (session 05)
    machine.base_lacks = ["/usr/sbin/pkg"]
    machine.locales = list(LOCALES)
    _install(machine, RECORDED_RC_CONF, RECORDED_LOADER_CONF, "52:54:00:12:34:56")
    _write(machine, "/etc/pf.conf", RECORDED_PF_CONF)
    _write(machine, "/etc/resolv.conf", "nameserver 10.0.2.3\n")
    _make_pool(machine, Pool("zroot", size=8053063680, allocated=273408))
    _bootstrap_bastille(machine)
    for package in ("tmux", "vm-bhyve"):
        pkg.add(machine, package, CATALOGUE[package])
    # vm-bhyve was put in place by hand there, without its rc.d script
    machine.files.remove("/usr/local/etc/rc.d/vm")
    start(machine)
    machine.wait(10)
    return machine


def ready() -> Machine:
    """Give FreeBSD 15.1 as an operator has it before Warden."""
    machine = Machine(hostname="host.example.org", ncpu=16, physmem=64 * GIB, vmx=True)
    machine.locales = list(LOCALES)
    machine.catalogue = dict(CATALOGUE)
    loader = 'zfs_load="YES"\nvmm_load="YES"\nkern.racct.enable="1"\n'
    _install(machine, READY_RC_CONF, loader, "58:9c:fc:00:00:10")
    _write(machine, "/etc/pf.conf", READY_PF_CONF)
    _write(machine, "/etc/resolv.conf", "nameserver 203.0.113.53\n")
    _write(machine, "/var/tmp/tiny.gguf", "GGUF\x03\0\0\0")
    _write(machine, "/var/tmp/freebsd-15.1-cloudinit.raw", "")
    machine.files.node("/var/tmp/freebsd-15.1-cloudinit.raw").hole = 5 * GIB
    _make_pool(machine, Pool("zroot", size=1024 * GIB, allocated=273408, device="vtbd0p4"))
    _bootstrap_bastille(machine)
    machine.datasets["zroot/vm"] = Dataset("zroot/vm", properties={"mountpoint": "/vm"})
    for package in ("pkg", "vm-bhyve", "tmux", "git", "node24", "npm-node24"):
        pkg.add(machine, package, CATALOGUE[package])
    start(machine)
    machine.wait(3600)
    return machine


def bare() -> Machine:
    """Give a FreeBSD installation with nothing added."""
    machine = Machine(ncpu=4, physmem=16 * GIB, locales=list(LOCALES))
    machine.catalogue = dict(CATALOGUE)
    _install(machine, BARE_RC_CONF, 'zfs_load="YES"\n', "58:9c:fc:00:00:11")
    _write(machine, "/etc/resolv.conf", "nameserver 203.0.113.53\n")
    _make_pool(machine, Pool("zroot", size=100 * GIB, allocated=273408, device="vtbd0p4"))
    start(machine)
    return machine


PROFILES = {"ready": ready, "bare": bare, "recorded": recorded}


def _install(machine: Machine, rc_conf: str, loader_conf: str, ether: str) -> None:
    """Install FreeBSD on the machine: its files, and the hardware that it finds."""
    files = machine.files
    install_base(files)
    for name in ("bin", "etc", "include", "lib", "libexec", "sbin", "share"):
        files.make_dir(f"/usr/local/{name}")
    files.make_dir("/usr/local/etc/rc.d")
    for name in (".ICE-unix", ".X11-unix", ".XIM-unix", ".font-unix"):
        files.make_dir(f"/tmp/{name}", mode=0o1777)
    _write(machine, "/etc/defaults/rc.conf", rcconf.DEFAULTS_TEXT)
    _write(machine, "/etc/rc.conf", rc_conf)
    _write(machine, "/boot/loader.conf", loader_conf)
    _write(machine, "/etc/fstab", "/dev/gpt/rootfs\t/\tufs\trw\t1\t1\n/dev/gpt/swap\tnone\tswap\tsw\t0\t0\n")
    for entry in PROGRAMS.values():
        if not entry.package:
            _write(machine, entry.path, "", mode=0o555)
    network.attach_hardware(machine, {"vtnet0": ether})


def _make_pool(machine: Machine, pool: Pool) -> None:
    machine.pools[pool.name] = pool
    properties = {"compression": "lz4", "atime": "off"}
    machine.datasets[pool.name] = Dataset(pool.name, properties=properties, used=datasets.EMPTY)


def _bootstrap_bastille(machine: Machine) -> None:
    """Install Bastille with 15.1-RELEASE bootstrapped."""
    files = machine.files
    pkg.add(machine, "bastille", CATALOGUE["bastille"])
    _write(machine, "/usr/local/etc/bastille/bastille.conf", BASTILLE_CONF)
    used = 0
    for name, (mountpoint, mode, size) in BASTILLE_DATASETS.items():
        files.make_dir(mountpoint, parents=True, mode=mode).mode = mode
        dataset = Dataset(f"zroot/bastille{name}", properties=BASTILLE_OPTIONS | {"mountpoint": mountpoint}, used=size)
        machine.datasets[dataset.name] = dataset
        used += size
    machine.pools["zroot"].allocated += used
    bastille_bootstrap.install_release(machine, "/usr/local/bastille/releases/15.1-RELEASE")
    for name in ("MANIFEST", "base.txz"):
        _write(machine, f"/usr/local/bastille/cache/15.1-RELEASE/{name}", "")


def _write(machine: Machine, path: str, text: str, *, mode: int = 0o644) -> None:
    machine.files.make_dir(path.rpartition("/")[0], parents=True)
    machine.files.write(path, text.encode("latin-1"), mode=mode)
