# SPDX-License-Identifier: BSD-2-Clause
"""What a host has, as plain values. `None` is absent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address, IPv4Interface, IPv4Network

    from warden.host.secret import Secret
    from warden.spec.model import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """One interface of the host, or of a jail's own network stack."""

    name: str
    up: bool = False
    addresses: tuple[IPv4Interface, ...] = ()
    groups: frozenset[str] = frozenset()
    members: frozenset[str] = frozenset()
    ether: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One IPv4 route: to a network (0.0.0.0/0 is the default), over a gateway, or None where it ends on a link."""

    destination: IPv4Network
    gateway: IPv4Address | None
    interface: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketFilter:
    """The state of pf(4): None in `enabled` where pf is not there at all.

    `filter_rules` and `nat_rules` are the main ruleset's, `anchor_filter` and `anchor_nat` those of the anchor
    `warden`, each line as pfctl prints it. `tables` are those of the anchor that exist, by name.
    """

    enabled: bool | None
    filter_rules: tuple[str, ...] = ()
    nat_rules: tuple[str, ...] = ()
    anchor_filter: tuple[str, ...] = ()
    anchor_nat: tuple[str, ...] = ()
    tables: Mapping[str, tuple[IPv4Network, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file of the host: content, permission bits (0o644), owner and group by name."""

    content: bytes
    mode: int
    owner: str
    group: str

    @property
    def text(self) -> str:
        """The content as text; bytes that are not UTF-8 survive as surrogates."""
        return self.content.decode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningJail:
    """A jail that runs, with what its own network stack has: read by the host's tools, not by the jail's."""

    name: str
    jid: int
    path: str
    devfs_ruleset: int
    addresses: tuple[IPv4Interface, ...] = ()
    default_router: IPv4Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BastilleJail:
    """A jail of Bastille's, from the files in its folder; `host_interface` is `e0a_NAME`.

    `parameters` are its sysvmsg, sysvsem and sysvshm; `mounts` the lines of its fstab(5) by mount point, but for the
    release's; `limits` the lines of its rctl.conf.
    """

    name: str
    release: str | None = None
    host_interface: str | None = None
    bridge: str | None = None
    thin: bool = False
    boot: bool | None = None
    priority: int | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    mounts: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class InsideFile:
    """A file inside a jail: permission bits, `user:group`, and the SHA-256 of what it holds, in hex."""

    mode: int
    owner: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """What a jail's own inside tells of its service: it may lie, but of itself only.

    `packages` has the versions of those that the service needs and the jail has; `files` those of Warden's that are
    there, `variables` those of its rc.conf; `items` whatever else the service asks about, a line each. `ill` says why
    the service does not answer as it should; '' where it does.
    """

    packages: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, InsideFile] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    items: frozenset[str] = frozenset()
    ill: str = "not asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A ZFS filesystem, its mount point, and the agent that `warden:agent` was set to on it, here and not above.

    `quota` is in bytes, None for none; `backup` is the stamp of the newest backup of an agent's.
    """

    name: str
    mountpoint: str
    agent: str | None = None
    quota: int | None = None
    backup: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An agent's SSH key pair on the host: whose the private half is, and the line of the public one.

    `known_hosts` tells whether the host key of its git jail was written down for it.
    """

    agent: str
    owner: str
    public: str
    known_hosts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """An account of the host."""

    name: str
    uid: int
    comment: str
    home: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervised:
    """A service that daemon(8) supervises on the host: the supervisor's pid, and the child's or None."""

    title: str
    pid: int
    child: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredJail:
    """A jail that was allocated to an agent."""

    service: str
    name: str
    address: IPv4Address
    release: str
    port: int | None = None
    version: int | None = None
    runtime: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredWorker:
    """A worker that was allocated to an agent. `created` is the moment, and tells who it was made for."""

    name: str
    address: IPv4Address
    release: str
    created: str
    limits: Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class HostDatabase:
    """An agent's databases on the host's own PostgreSQL: its major version, and the port that it listens on."""

    version: int
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredAgent:
    """An agent as the host's registry has it: `/usr/local/etc/warden/agents/NAME.toml`.

    `workers` are by their numbers: `w01`.
    """

    name: str
    display_name: str
    subnet: IPv4Network
    gateway: IPv4Address
    jails: Mapping[str, RegisteredJail]
    user: str | None = None
    command: tuple[str, ...] = ()
    workdir: str | None = None
    system_locale: str | None = None
    shares_llm_of: str | None = None
    protected: bool = False
    host_db: HostDatabase | None = None
    workers: Mapping[str, RegisteredWorker] = field(default_factory=dict)

    @property
    def every_jail(self) -> tuple[RegisteredJail | RegisteredWorker, ...]:
        """All of its jails: those of its services, and its workers."""
        return (*self.jails.values(), *self.workers.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRecord:
    """What Warden changed on the host for all agents, and what stood there before: `host.toml`.

    `rc_conf_before` has a key for each variable that Warden set; None where there was none. `isolation` is what
    the anchor's rules were made for.
    """

    isolation: str | None = None
    rc_conf_before: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that one probe read from a host."""

    address: str
    release: str
    interfaces: Mapping[str, Interface]
    routes: tuple[Route, ...]
    forwarding: bool
    rc_conf: Mapping[str, str]
    pf: PacketFilter
    bastille: str | None
    releases: frozenset[str]
    running_jails: Mapping[str, RunningJail]
    bastille_jails: Mapping[str, BastilleJail]
    datasets: Mapping[str, Dataset]
    pools: frozenset[str]
    mount_points: tuple[str, ...]
    devfs_ruleset_13: tuple[str, ...]
    rc_scripts: frozenset[str]
    users: Mapping[str, User]
    locales: frozenset[str]
    supervised: Mapping[str, Supervised]
    files: Mapping[str, File]
    registry: Mapping[str, RegisteredAgent]
    host_record: HostRecord
    environments: Mapping[str, Mapping[str, Secret]]
    digest: str
    inside: Mapping[str, Inside] = field(default_factory=dict)
    """What the insides of the registered jails tell that run, by the jails' names."""
    keys: Mapping[str, Key] = field(default_factory=dict)
    """The SSH keys of the agents, by the agents' names."""
    rctl: frozenset[str] | None = None
    """The rules of rctl(8) that hold now; None where the kernel has no resource limits."""
    releases_with_pkg: frozenset[str] = frozenset()
    """The releases whose jails can install packages: those that bring pkg(8) along."""
    marked_scripts: frozenset[str] = frozenset()
    """The local rc.d scripts that say of themselves that they are Warden's, of whichever agent."""

    @property
    def external_interface(self) -> str | None:
        """The interface of the default route; None where there is none."""
        for route in self.routes:
            if route.destination.prefixlen == 0:
                return route.interface
        return None
