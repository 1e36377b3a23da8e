# SPDX-License-Identifier: BSD-2-Clause
"""What all agents of a host depend on: forwarding, bridge, devfs, Bastille, disks, clock, files, left-overs."""

from __future__ import annotations

import json
import shlex
from ipaddress import IPv4Interface
from typing import TYPE_CHECKING

from warden.engine.doctor_finding import APPLY, Trouble, by_hand, findings
from warden.engine.lock import Holder
from warden.facts.base_system import BEGUN
from warden.facts.doctor import GUARDS, WARDEN
from warden.facts.registry import HOST_RECORD
from warden.resources import devfs
from warden.resources.commands import sysrc_set
from warden.resources.gateway import Aliases
from warden.resources.host_rc_conf import bridge_variables
from warden.resources.marks import INTERFACE_GROUP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.engine.doctor_finding import Finding
    from warden.facts.doctor import Vitals
    from warden.facts.model import Facts, RegisteredAgent

KNOWN_BASTILLE = "1.4.4"
KNOWN_RELEASES = ("14", "15")
FULL, TOO_FULL = 80, 95
"""From so many percent on a pool is a warning, and fails."""
LITTLE_SPACE, NO_SPACE = 1 << 30, 128 << 20
"""Under so many bytes that are free on / it is a warning, and fails."""
CLOCK_TOLERANCE = 5
"""Seconds by which two clocks that are kept right may differ, and what the network adds."""

_YES = {"YES", "TRUE", "ON", "1"}


def is_on(facts: Facts, variable: str) -> bool:
    """Tell whether an rc.conf variable says yes, as rc.subr(8) reads it."""
    return facts.rc_conf.get(variable, "NO").upper() in _YES


def gateway_address(agent: RegisteredAgent) -> IPv4Interface:
    """Give an agent's gateway as an address of the bridge."""
    return IPv4Interface(f"{agent.gateway}/{agent.subnet.prefixlen}")


def check_host(facts: Facts, vitals: Vitals, bridge: str) -> Iterator[Finding]:
    """Look at what is the host's own, but for pf."""
    yield from findings("release", f"FreeBSD {facts.release}, and Warden is root", _release(facts))
    yield from findings("bastille", f"{facts.bastille}, starts its jails at boot", _bastille(facts))
    if facts.registry:
        yield from findings("forwarding", "on, now and at boot", _forwarding(facts))
        yield from findings(
            f"bridge {bridge}", f"up, in the group {INTERFACE_GROUP}, now and at boot", _bridge(facts, bridge)
        )
        yield from findings("aliases", "each gateway once in rc.conf, without a gap", _aliases(facts, bridge))
        yield from findings("devfs ruleset", f"{devfs.RULESET} hides the host's devices from jails", _devfs(facts))
        yield from findings(
            "files", f"those in {WARDEN} are root's, and nobody else writes them", _files(facts, vitals)
        )
    yield from findings("pools", _pools_words(vitals), _pools(vitals))
    yield from findings("free space", f"{_size(vitals.free_space)} on /", _space(vitals))
    yield from findings("clock", _clock_words(vitals), _clock(facts, vitals))
    yield from findings("lock", "free", _lock(vitals))
    yield from findings("left-overs", "none of an apply that was cut off", _left(vitals))


def _release(facts: Facts) -> Iterator[Trouble]:
    if facts.release.partition(".")[0] not in KNOWN_RELEASES:
        yield Trouble(
            message=f"FreeBSD {facts.release}: Warden knows {' and '.join(KNOWN_RELEASES)}",
            mend="see https://www.freebsd.org/releases/ and freebsd-update(8)",
            status="warning",
        )


def _bastille(facts: Facts) -> Iterator[Trouble]:
    if facts.bastille is None:
        yield Trouble(message="is not installed", mend="pkg install -y bastille")
        return
    if facts.bastille != KNOWN_BASTILLE:
        older = _number(facts.bastille) < _number(KNOWN_BASTILLE)
        yield Trouble(
            message=f"{facts.bastille} is {'older' if older else 'newer'} than {KNOWN_BASTILLE},"
            " which Warden is known to work with",
            mend="pkg upgrade -y bastille" if older else "look at what it makes of a first jail",
            status="warning",
        )
    if facts.registry and not is_on(facts, "bastille_enable"):
        yield Trouble(message="does not start its jails at boot", mend="sysrc bastille_enable=YES")


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _forwarding(facts: Facts) -> Iterator[Trouble]:
    if not facts.forwarding:
        yield Trouble(message="off now: no jail reaches the outside", mend="sysctl net.inet.ip.forwarding=1")
    if not is_on(facts, "gateway_enable"):
        yield Trouble(message="off after the next boot", mend="sysrc gateway_enable=YES")


def _bridge(facts: Facts, bridge: str) -> Iterator[Trouble]:
    live = facts.interfaces.get(bridge)
    if live is None:
        yield Trouble(message="is not there: all agents are cut off", mend=APPLY)
    else:
        if INTERFACE_GROUP not in live.groups:
            yield Trouble(
                message=f"is not in the group {INTERFACE_GROUP}, by which Warden knows it",
                mend=f"ifconfig {bridge} group {INTERFACE_GROUP}",
            )
        if not live.up:
            yield Trouble(message="is down: all agents are cut off", mend=f"ifconfig {bridge} up")
    missing = {key: value for key, value in bridge_variables(bridge, facts).items() if facts.rc_conf.get(key) != value}
    if missing:
        yield Trouble(
            message=f"does not come back at boot as it is: {', '.join(missing)} in rc.conf",
            mend=by_hand([sysrc_set(missing)]),
        )


def _aliases(facts: Facts, bridge: str) -> Iterator[Trouble]:
    aliases = Aliases.read(bridge, facts.rc_conf)
    ours = {agent.gateway for agent in facts.registry.values()}
    for agent in facts.registry.values():
        if aliases.holder(agent.gateway) is None:
            aliases.add(
                IPv4Interface(f"{agent.gateway}/{agent.subnet.prefixlen}")
            )  # it is named with its agent, and fills a gap
    surplus = aliases.drop_surplus(ours)
    if surplus:
        yield Trouble(
            message=f"{', '.join(surplus)} in rc.conf: empty, or a gateway that stands there twice",
            mend=f"sysrc -x {shlex.join(surplus)}",
        )
    for old, new, value in aliases.close_gaps(ours):
        yield Trouble(
            message=f"{new} is missing in rc.conf, and {old} is there: rc.conf(5) says that rc stops at a gap",
            mend=f"sysrc {shlex.quote(f'{new}={value}')} && sysrc -x {old}",
        )


def _devfs(facts: Facts) -> Iterator[Trouble]:
    if devfs.HIDE_ALL in facts.devfs_ruleset_13:
        return
    file = facts.files.get(devfs.RULES)
    defined = file is not None and devfs.HEAD in file.text
    yield Trouble(
        message=f"{devfs.RULESET} is not loaded: a VNET jail that starts sees all of /dev",
        mend="service devfs restart" if defined else APPLY,
    )


def _files(facts: Facts, vitals: Vitals) -> Iterator[Trouble]:
    if HOST_RECORD not in facts.files:
        yield Trouble(message=f"{HOST_RECORD} is missing: what rc.conf said before Warden", mend=APPLY)
    for path, file in facts.files.items():
        in_registry = path.startswith(f"{WARDEN}/agents/")
        if path.startswith(f"{WARDEN}/") and (not in_registry or path.endswith(".toml")):
            yield from _writers(path, file.mode, file.owner, "644")
    for folder in vitals.folders:
        yield from _writers(folder.path, folder.mode, folder.owner, "755")


def _writers(path: str, mode: int, owner: str, right: str) -> Iterator[Trouble]:
    if owner != "root":
        yield Trouble(message=f"{path} belongs to {owner}", mend=f"chown root:wheel {shlex.quote(path)}")
    if mode & 0o022:
        yield Trouble(
            message=f"{path} can be written by others, mode {mode:04o}", mend=f"chmod {right} {shlex.quote(path)}"
        )


def _pools_words(vitals: Vitals) -> str:
    return ", ".join(f"{pool.name} {pool.health.lower()}, {pool.capacity} % full" for pool in vitals.pools)


def _pools(vitals: Vitals) -> Iterator[Trouble]:
    if not vitals.pools:
        yield Trouble(message="there is none: jails and their marks live on ZFS", mend="see zpool-create(8)")
    for pool in vitals.pools:
        if pool.health != "ONLINE":
            said = f": {vitals.pool_trouble}" if vitals.pool_trouble else ""
            yield Trouble(message=f"{pool.name} is {pool.health}{said}", mend=f"zpool status -v {pool.name}")
        if pool.capacity >= FULL:
            yield Trouble(
                message=f"{pool.name} is {pool.capacity} % full",
                mend="zfs list -o space -s used",
                status="failed" if pool.capacity >= TOO_FULL else "warning",
            )
    if vitals.pool_trouble and all(pool.health == "ONLINE" for pool in vitals.pools):
        # errors that were met, or a pool that wants an upgrade or a clear: it goes on
        yield Trouble(message=vitals.pool_trouble, mend="zpool status -x", status="warning")


def _space(vitals: Vitals) -> Iterator[Trouble]:
    if vitals.free_space < LITTLE_SPACE:
        yield Trouble(
            message=f"{_size(vitals.free_space)} left on /",
            mend="du -xhd 1 / | sort -h",
            status="failed" if vitals.free_space < NO_SPACE else "warning",
        )


def _size(number: int) -> str:
    return f"{number / (1 << 30):.1f} GiB" if number >= 1 << 30 else f"{number // (1 << 20)} MiB"


def _clock_words(vitals: Vitals) -> str:
    if vitals.clock_ahead is None:
        return "not compared: a host that is not there has a time of its own"
    return "as this machine's"


def _clock(facts: Facts, vitals: Vitals) -> Iterator[Trouble]:
    ahead = vitals.clock_ahead
    if ahead is not None and abs(ahead) > CLOCK_TOLERANCE:
        enable = "" if is_on(facts, "ntpd_enable") else "sysrc ntpd_enable=YES ntpd_sync_on_start=YES && "
        yield Trouble(
            message=f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this machine's",
            mend=f"{enable}service ntpd restart",
            status="warning",
        )


def _lock(vitals: Vitals) -> Iterator[Trouble]:
    if vitals.lock_holder is None:
        return
    try:
        holder = Holder(**json.loads(vitals.lock_holder))
        who = f"{holder.who}, {holder.what}, since {holder.since}"
    except (ValueError, TypeError):
        who = "it did not say who it is"
    yield Trouble(message=f"held by an apply that goes on: {who}", mend="wait for it to end", status="warning")


def _left(vitals: Vitals) -> Iterator[Trouble]:
    if vitals.lock_holder is not None:
        return  # they are in use
    for path in vitals.left:
        if path.startswith(GUARDS):
            yield Trouble(
                message=f"{path}: the guard of an apply that was cut off is armed, and will take its pf rules back",
                mend=f"sh {shlex.quote(path)}",
                status="warning",
            )
        elif path.startswith(BEGUN):
            yield Trouble(
                message=f"the bootstrap of {path.removeprefix(BEGUN)} was cut off",
                mend="warden host bootstrap",
                status="warning",
            )
        else:
            yield Trouble(
                message=f"{path}: half a file, of an apply that was cut off",
                mend=f"rm -f {shlex.quote(path)}",
                status="warning",
            )
