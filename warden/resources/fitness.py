# SPDX-License-Identifier: BSD-2-Clause
"""What a host must have before an agent can live there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.facts.base_system import BEGUN
from warden.facts.jails import JAILS
from warden.network.names import rc_name
from warden.resources.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Collection

    from warden.facts.model import Facts, RegisteredAgent
    from warden.spec.model import AgentSpec

FIRST_ACCOUNT = 1000
"""pw(8) gives accounts of people this uid or a higher one; those below belong to the system and its packages."""

_AUTO = "auto"
_YES = {"YES", "TRUE", "ON", "1"}
_VIRTUAL_GROUPS = {"lo", "bridge", "epair", "tap", "vlan", "pflog", "wg", "tun"}


def check_host(facts: Facts) -> None:
    """Raise RefusedError unless the host has ZFS, pf and Bastille, now and after a reboot."""
    if not facts.pools:
        raise RefusedError(
            f"{facts.address} has no ZFS pool: jails and their marks live on one",
            hint="make a pool, or take a host that was installed on ZFS",
        )
    if facts.pf.enabled is None:
        raise RefusedError(
            f"{facts.address} has no pf: /dev/pf is not there",
            hint="warden host bootstrap; or: kldload pf, write /etc/pf.conf, sysrc pf_enable=YES, service pf start",
        )
    if not facts.pf.enabled or facts.rc_conf.get("pf_enable", "NO").upper() not in _YES:
        when = "now" if not facts.pf.enabled else "at boot"
        raise RefusedError(
            f"pf is not enabled {when} on {facts.address}: agents would have neither NAT nor isolation",
            hint="warden host bootstrap; or write /etc/pf.conf, then: sysrc pf_enable=YES && service pf start",
        )
    if facts.bastille is None:
        raise RefusedError(f"{facts.address} has no Bastille", hint="warden host bootstrap; or: pkg install bastille")


def external_interface(wanted: str, facts: Facts, bridge: str) -> str:
    """Give the interface that agents leave through: the named one, or the default route's.

    On a host without a default route it is the only interface of hardware that has an address. Raises
    RefusedError where that leaves a choice.
    """
    if wanted != _AUTO:
        if wanted not in facts.interfaces:
            raise RefusedError(
                f"external_interface = {wanted}: {facts.address} has no such interface",
                hint=f"it has: {', '.join(sorted(facts.interfaces))}",
            )
        return wanted
    if facts.external_interface is not None:
        return facts.external_interface
    candidates = [
        interface.name
        for interface in facts.interfaces.values()
        if interface.addresses and not interface.groups & _VIRTUAL_GROUPS and interface.name != bridge
    ]
    if len(candidates) != 1:
        raise RefusedError(
            f"{facts.address} has no default route, so its external interface is not known",
            hint="write external_interface in [network]" + (f": {' or '.join(candidates)}" if candidates else ""),
        )
    return candidates[0]


def check_agent_on_host(agent: AgentSpec, releases: Collection[str], facts: Facts) -> None:
    """Raise RefusedError where the host lacks what the agent needs, or has something else of its name."""
    check_releases(agent.name, releases, facts)
    if agent.locale.system not in facts.locales:
        language = agent.locale.system.partition("_")[0]
        alike = sorted(name for name in facts.locales if name.startswith(language) and name.endswith("UTF-8"))
        raise RefusedError(
            f"{agent.name}: {facts.address} has no locale {agent.locale.system}",
            hint="locale -a on the host lists those that it has" + _there(alike),
        )
    # two scripts whose names differ by `-` and `_` would share their variables in rc.conf
    twin = (rc_name(agent.name) if "-" in agent.name else "") in facts.rc_scripts
    # one in /usr/local may have been set up for the agent by hand: that is a conflict, and can be settled
    of_system = agent.name in facts.rc_scripts and f"/usr/local/etc/rc.d/{agent.name}" not in facts.files
    if twin or of_system:
        raise RefusedError(
            f"{facts.address} has a service {agent.name} that is not Warden's: an agent cannot have its name",
            hint="give the agent another name",
        )
    user = facts.users.get(agent.name)
    if user is not None and (user.uid < FIRST_ACCOUNT or user.name == "nobody"):
        raise RefusedError(
            f"{facts.address} has a system user {agent.name}: an agent cannot have its name",
            hint="give the agent another name",
        )


def registered_agent(agent: str, facts: Facts) -> RegisteredAgent:
    """Give an agent of the host's registry; raises RefusedError, naming those that there are, for any other."""
    if agent not in facts.registry:
        known = ", ".join(sorted(facts.registry)) or "none"
        raise RefusedError(f"{facts.address} has no agent {agent}", hint=f"registered there: {known}")
    return facts.registry[agent]


def check_releases(agent: str, releases: Collection[str], facts: Facts) -> None:
    """Raise RefusedError where no jail of these releases can be made for an agent."""
    if releases and not any(dataset.mountpoint == JAILS for dataset in facts.datasets.values()):
        raise RefusedError(
            f"Bastille on {facts.address} keeps its jails in no ZFS dataset: {agent}'s could carry no mark",
            hint="set bastille_zfs_enable and bastille_zfs_zpool in bastille.conf, then: bastille setup storage",
        )
    for release in sorted(releases):
        if release not in facts.releases:
            raise RefusedError(
                f"{agent} needs {release}, which is not bootstrapped on {facts.address}",
                hint=f"bastille bootstrap {release}" + _there(sorted(facts.releases)),
            )
        if f"{BEGUN}{release}" in facts.files:
            raise RefusedError(
                f"{agent} needs {release}, which was not bootstrapped to its end on {facts.address}",
                hint=f"warden host bootstrap --release {release}",
            )


def _there(names: list[str]) -> str:
    return f"; there: {', '.join(names)}" if names else ""
