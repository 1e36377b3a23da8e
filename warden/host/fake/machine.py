# SPDX-License-Identifier: BSD-2-Clause
"""The state of the fake machine: plain values only, so that it can be saved, copied and compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from warden.host.fake.filesystem import FileSystem

EPOCH = 1795237200
"""The date of the clock's second 0, 2026-11-21 05:00 UTC."""

InterfaceKind = Literal["ether", "loop", "bridge", "epair", "vlan", "tap"]


@dataclass(slots=True)
class Numbers:
    """A kernel's numbers of one kind: units of a cloned interface, interface indexes. The lowest free one is next."""

    next: int = 0
    free: list[int] = field(default_factory=list)
    """Below `next` and not in use; a heap."""


@dataclass(slots=True)
class Inet:
    """An IPv4 address on an interface: `10.0.1.1` and 24."""

    address: str
    prefix: int


@dataclass(slots=True)
class Member:
    """A bridge's member: its port, its flags as if_bridgevar.h has them, and the VLANs that it is in."""

    port: int
    flags: int = 0x143
    cost: int = 2000
    priority: int = 128
    max_addresses: int = 0
    untagged: int = 0
    tagged: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Interface:
    """A network interface. `unit` is the name that the kernel gave it, `name` what it is called now."""

    name: str
    unit: str
    kind: InterfaceKind
    serial: int
    index: int
    ether: str = ""
    hwaddr: str = ""
    up: bool = False
    mtu: int = 1500
    description: str = ""
    inet: list[Inet] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    peer: str = ""
    """An epair's other end: what it is called now, and in which jail it is."""
    peer_jail: str = ""
    home: str = ""
    """The jail in which it was made, '' for the host: it goes back there from a jail that ends."""
    opened_by: int = 0
    """The process that holds a tap open; 0 for none."""
    bridge: str = ""
    """The bridge that it is a member of."""
    members: dict[str, Member] = field(default_factory=dict)
    """A bridge's members, the oldest first."""
    started: bool = False
    """Whether it was up at least once, which a bridge and lo0 show."""
    vlanfilter: bool = False
    default_vlan: int = 0
    static: dict[str, str] = field(default_factory=dict)
    """A bridge's static addresses, and the member that each is at."""
    vlan: int = 0
    vlandev: str = ""
    vlans: dict[int, str] = field(default_factory=dict)
    """The vlan interfaces that have this one as their parent, by tag."""


@dataclass(slots=True)
class Neighbour:
    """Who answered for an address on the wire, and until which second of the clock that is believed."""

    ether: str
    expires: int


@dataclass(slots=True)
class NetStack:
    """One network stack, the host's or that of the VNET jail `jail`; ifconfig lists interfaces by their serial."""

    jail: str = ""
    interfaces: dict[str, Interface] = field(default_factory=dict)
    units: dict[str, Numbers] = field(default_factory=dict)
    """The units of cloned interfaces by kind: `bridge`, `epair`."""
    default_router: str = ""
    routes: dict[str, str] = field(default_factory=dict)
    """Static routes, `10.9.0.0/16` to gateway."""
    neighbours: dict[str, dict[str, Neighbour]] = field(default_factory=dict)
    """What ARP learnt, by interface and address."""
    sysctls: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Jail:
    """A jail that runs. What one that does not run has stands in Bastille's files."""

    name: str
    jid: int
    path: str
    hostname: str
    net: NetStack | None = None
    parameters: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Supervision:
    """What daemon(8) was told: the command that it keeps, and what happens when that ends."""

    command: list[str]
    name: str = ""
    user: str = ""
    restart: int = 0
    """The seconds after which a command that ended is started again; 0 for not at all."""
    pidfile: str = ""
    child_pidfile: str = ""
    output: str = ""
    reopens: bool = False
    """Whether SIGHUP makes it open its output file anew."""
    starts_at: int = 0
    """The second of the clock at which the command is started again; 0 while it runs."""


@dataclass(slots=True)
class Process:
    """A process: argv as ps shows it, and the jail that it runs in ('' for the host)."""

    pid: int
    ppid: int
    user: str
    argv: list[str]
    jail: str = ""
    title: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    locks: list[str] = field(default_factory=list)
    """The files that it holds by lockf(1), by their paths on the host."""
    cwd: str = "/"
    """The folder that it stands in, which keeps the file system there busy."""
    ends_at: int = 0
    """The second of the machine's clock at which it ends by itself; 0 for never."""
    umask: int = 0o022
    awaits: int = 0
    """The child whose end it waits for; 0 for none."""
    then: str = ""
    """The script that it goes on with when that child has ended."""
    held_by: int = 0
    """The daemon(8) that reads what it writes."""
    supervision: Supervision | None = None


@dataclass(slots=True)
class Dataset:
    """A ZFS filesystem, volume or snapshot; `properties` are the ones set here, inheritance is worked out."""

    name: str
    kind: Literal["filesystem", "volume", "snapshot"] = "filesystem"
    properties: dict[str, str] = field(default_factory=dict)
    used: int = 24576
    origin: str = ""
    holds: list[str] = field(default_factory=list)
    mounted: bool = True
    createtxg: int = 1
    """The transaction that made it: snapshots of a dataset are listed by it."""
    created_at: int = 0


@dataclass(slots=True)
class Pool:
    """A ZFS pool, sizes in bytes."""

    name: str
    size: int
    allocated: int
    health: str = "ONLINE"
    device: str = "vtbd1"
    txg: int = 37


@dataclass(slots=True)
class PfRules:
    """What is loaded in one anchor; '' is the main ruleset. Rules stand as pfctl prints them."""

    options: list[str] = field(default_factory=list)
    scrub: list[str] = field(default_factory=list)
    nat: list[str] = field(default_factory=list)
    filter: list[str] = field(default_factory=list)
    ether: list[str] = field(default_factory=list)
    tables: dict[str, list[str]] = field(default_factory=dict)
    table_flags: dict[str, str] = field(default_factory=dict)
    """`persist`, `const`, `counters`, by table."""


@dataclass(slots=True)
class Pf:
    """The packet filter: enabled since a second of the clock, and its anchors."""

    enabled: bool = False
    changed_at: int = 0
    anchors: dict[str, PfRules] = field(default_factory=lambda: {"": PfRules()})


@dataclass(slots=True)
class Machine:
    """A FreeBSD machine, whole."""

    hostname: str = "freebsd"
    release: str = "15.1-RELEASE-p1"
    arch: str = "amd64"
    ncpu: int = 2
    physmem: int = 4271198208
    hostuuid: str = "4edafcfc-c426-4bf2-8282-e6fc271b7713"
    root_filesystem: str = "/dev/gpt/rootfs"
    clock: int = 0
    """Seconds since the machine was made; a command takes as long as it says, most of them none."""
    awaited_since: float = 0.0
    """When somebody last looked (seconds since the epoch), while a process waits for its time; 0 where none does."""
    booted_at: int = 0
    random: int = 1
    """The seed of everything that is random on a real machine: addresses, pids, temporary names."""
    files: FileSystem = field(default_factory=FileSystem)
    vmx: bool = False
    """Whether the processor can run bhyve guests."""
    net: NetStack = field(default_factory=NetStack)
    indexes: Numbers = field(default_factory=lambda: Numbers(next=1))
    next_serial: int = 1
    next_jid: int = 1
    next_pid: int = 1000
    jails: dict[str, Jail] = field(default_factory=dict)
    processes: dict[int, Process] = field(default_factory=dict)
    pf: Pf = field(default_factory=Pf)
    pools: dict[str, Pool] = field(default_factory=dict)
    datasets: dict[str, Dataset] = field(default_factory=dict)
    sysctls: dict[str, str] = field(default_factory=dict)
    modules: list[str] = field(default_factory=list)
    """The kernel modules that are loaded, by file name: `pf.ko`."""
    leases: dict[str, str] = field(default_factory=dict)
    """What the network's DHCP server gives an interface: `10.0.2.15/24`; it names no router."""
    devfs_rulesets: dict[int, list[str]] = field(default_factory=dict)
    rctl: list[str] = field(default_factory=list)
    packages: dict[str, str] = field(default_factory=dict)
    catalogue: dict[str, str] = field(default_factory=dict)
    """The versions of what the package repository has, by name."""
    base_lacks: list[str] = field(default_factory=list)
    """Programs of FreeBSD's own that the base.txz of its releases does not bring."""
    locales: list[str] = field(default_factory=list)
    locks: list[str] = field(default_factory=list)
    """The files that sessions hold by lockf(1) right now."""
    lockers: dict[str, int] = field(default_factory=dict)
    """The process that took the lock on a file last, and has it as long as its own `locks` say so."""

    def stack(self, jail: str = "") -> NetStack:
        """Give the network stack that a jail sees: its own where it is a VNET jail, else the host's."""
        inside = self.jails.get(jail)
        return inside.net if inside is not None and inside.net is not None else self.net

    def root_of(self, jail: str = "") -> str:
        """Give the folder that a jail sees as '/'."""
        return self.jails[jail].path if jail else "/"

    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.clock += seconds
        self.files.now = self.clock

    def pick(self, bound: int) -> int:
        """Give the next number below `bound` of the machine's own reproducible randomness."""
        self.random = (self.random * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.random >> 33) % bound
