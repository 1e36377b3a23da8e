# SPDX-License-Identifier: BSD-2-Clause
"""What a host has, as plain values. `None` is absent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address, IPv4Interface, IPv4Network

    from warden.host.secret import Secret


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
    """A jail of Bastille's, from its jail.conf, settings.conf and fstab; `host_interface` is `e0a_NAME`."""

    name: str
    release: str | None = None
    host_interface: str | None = None
    bridge: str | None = None
    thin: bool = False
    boot: bool | None = None
    priority: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A ZFS filesystem, its mount point, and the agent that `warden:agent` was set to on it, here and not above."""

    name: str
    mountpoint: str
    agent: str | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredAgent:
    """An agent as the host's registry has it: `/usr/local/etc/warden/agents/NAME.toml`."""

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
    marked_scripts: frozenset[str] = frozenset()
    """The local rc.d scripts that say of themselves that they are Warden's, of whichever agent."""

    @property
    def external_interface(self) -> str | None:
        """The interface of the default route; None where there is none."""
        for route in self.routes:
            if route.destination.prefixlen == 0:
                return route.interface
        return None
