# SPDX-License-Identifier: BSD-2-Clause
"""The rc.conf variables that Warden sets once for all agents, and what they were before."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from warden.resources.marks import INTERFACE_GROUP

if TYPE_CHECKING:
    from warden.facts.model import Facts
    from warden.resources.desired import Desired

_CREATE_ARGS = f"group {INTERFACE_GROUP}"
_BRIDGE_UNIT = re.compile(r"^create_args_(bridge\d+)$")
_BRIDGE_NAME = re.compile(r"^ifconfig_(bridge\d+)_name$")


def bridge_unit(bridge: str, facts: Facts) -> str:
    """Give the `bridgeN` that is renamed to the bridge at boot: the one in rc.conf, or the lowest that is free.

    Where its name is missing from rc.conf, the host's record or the mark in `create_args` still tells which it was.
    """
    for name, value in facts.rc_conf.items():
        found = _BRIDGE_NAME.match(name)
        if found and value == bridge:
            return found[1]
    marked = [name for name, value in facts.rc_conf.items() if value == _CREATE_ARGS]
    for name in (*facts.host_record.rc_conf_before, *marked):
        found = _BRIDGE_UNIT.match(name)
        if found and f"ifconfig_{found[1]}_name" not in facts.rc_conf:
            return found[1]
    used = set(facts.rc_conf.get("cloned_interfaces", "").split()) | set(facts.interfaces)
    number = 0
    while f"bridge{number}" in used or any(name.startswith(f"ifconfig_bridge{number}") for name in facts.rc_conf):
        number += 1
    return f"bridge{number}"


def bridge_variables(bridge: str, facts: Facts) -> dict[str, str]:
    """Give the variables that bring the bridge back at boot.

    Without `create_args` the interface group, which is the bridge's mark, would be gone after a reboot.
    """
    unit = bridge_unit(bridge, facts)
    cloned = facts.rc_conf.get("cloned_interfaces", "").split()
    return {
        "cloned_interfaces": " ".join(cloned if unit in cloned else [*cloned, unit]),
        f"create_args_{unit}": _CREATE_ARGS,
        f"ifconfig_{unit}_name": bridge,
    }


def wanted(desired: Desired, facts: Facts) -> dict[str, str]:
    """Give all host-wide variables with the values that they have once they are needed."""
    return {
        "gateway_enable": "YES",
        **bridge_variables(desired.bridge, facts),
        "bastille_enable": "YES",
        "warden_pf_enable": "YES",
        "rctl_enable": "YES",
    }


def rc_conf_before(desired: Desired, facts: Facts) -> dict[str, str | None]:
    """Give what the host-wide variables were before Warden first set them; what is recorded already stands.

    Where the record was lost, what only Warden sets is taken for its own, and not for what was there before.
    """
    before: dict[str, str | None] = {name: facts.rc_conf.get(name) for name in wanted(desired, facts)}
    own = {**bridge_variables(desired.bridge, facts), "warden_pf_enable": "YES"}
    before.update({name: None for name, value in own.items() if before[name] == value})
    before["cloned_interfaces"] = without_bridge(desired.bridge, facts)
    return {**before, **facts.host_record.rc_conf_before}


def without_bridge(bridge: str, facts: Facts) -> str | None:
    """Give `cloned_interfaces` without the bridge, None where nothing is left: others may have theirs in that list."""
    unit = bridge_unit(bridge, facts)
    return " ".join(word for word in facts.rc_conf.get("cloned_interfaces", "").split() if word != unit) or None
