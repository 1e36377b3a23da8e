# SPDX-License-Identifier: BSD-2-Clause
"""What a host is and has, for a person who looks around, and whether agents could live there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from warden.resources.errors import RefusedError
from warden.resources.fitness import check_host, external_interface

if TYPE_CHECKING:
    from warden.facts.model import Facts
    from warden.spec.model import NetworkSpec

JSON_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfit:
    """What keeps agents from living on a host, and what to do about it."""

    message: str
    hint: str


def find_unfit(facts: Facts, network: NetworkSpec) -> tuple[Unfit, ...]:
    """Give what an apply would be refused for on this host, whatever the agent."""
    found = []
    try:
        check_host(facts)
    except RefusedError as error:
        found.append(Unfit(message=str(error), hint=error.hint))
    try:
        external_interface(network.external_interface, facts, network.bridge)
    except RefusedError as error:
        found.append(Unfit(message=str(error), hint=error.hint))
    return tuple(found)


def probe_to_json(label: str, facts: Facts, unfit: tuple[Unfit, ...]) -> dict[str, Any]:
    """Give what a host is and has as docs/json.md describes it."""
    return {
        "version": JSON_VERSION,
        "host": label,
        "release": facts.release,
        "facts": facts.digest,
        "fit": not unfit,
        "unfit": [{"message": item.message, "hint": item.hint} for item in unfit],
        "external_interface": facts.external_interface,
        "forwarding": facts.forwarding,
        "pf": {"enabled": facts.pf.enabled, "rules": list(facts.pf.filter_rules), "nat": list(facts.pf.nat_rules)},
        "bastille": facts.bastille,
        "releases": sorted(facts.releases),
        "pools": sorted(facts.pools),
        "interfaces": [
            {
                "name": interface.name,
                "up": interface.up,
                "addresses": [str(address) for address in interface.addresses],
                "groups": sorted(interface.groups),
            }
            for interface in facts.interfaces.values()
        ],
        "jails": [
            {
                "name": name,
                "release": jail.release,
                "boot": jail.boot,
                "up": name in facts.running_jails,
                "addresses": [str(address) for address in facts.running_jails[name].addresses]
                if name in facts.running_jails
                else [],
            }
            for name, jail in sorted(facts.bastille_jails.items())
        ],
        "agents": sorted(facts.registry),
    }
