# SPDX-License-Identifier: BSD-2-Clause
"""The bridge that all agents' jails are on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.resources.change import Change, Conflict, Stage
from warden.resources.commands import command, sysrc_set
from warden.resources.host_rc_conf import bridge_unit, bridge_variables
from warden.resources.marks import INTERFACE_GROUP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.facts.model import Facts
    from warden.host.command import Command
    from warden.resources.change import Finding
    from warden.resources.desired import Desired


def changes(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the change that makes the bridge, marks it, brings it up or persists it."""
    if not desired.inhabited:
        return
    name = desired.bridge
    live = facts.interfaces.get(name)
    if live is not None and "bridge" not in live.groups:
        yield Conflict(
            kind="bridge",
            name=name,
            message=f"{name} is an interface of the host, and no bridge",
            hint="write another `bridge` in [network]",
        )
        return
    if live is not None and INTERFACE_GROUP not in live.groups and not _recorded(name, facts):
        yield Conflict(
            kind="bridge",
            name=name,
            message=f"there is a bridge {name} that is not Warden's: it is not in the group {INTERFACE_GROUP}",
            hint=f"if it may become Warden's: ifconfig {name} group {INTERFACE_GROUP}; else write another `bridge`;"
            " an agent that was set up on it by hand: warden adopt AGENT",
        )
        return
    commands: list[Command] = []
    found: list[str] = []
    if live is None:
        # while it exists, the same command would leave a stray bridge behind
        commands.append(command("/sbin/ifconfig", "bridge", "create", "name", name, "group", INTERFACE_GROUP))
    elif INTERFACE_GROUP not in live.groups:
        commands.append(command("/sbin/ifconfig", name, "group", INTERFACE_GROUP))
        found.append(f"no group -> group {INTERFACE_GROUP}")
    if live is not None and live.addresses and not live.up:
        commands.append(command("/sbin/ifconfig", name, "up"))
        found.append("down -> up")
    missing = {key: value for key, value in bridge_variables(name, facts).items() if facts.rc_conf.get(key) != value}
    if missing:
        commands.append(sysrc_set(missing))
        found += [f"{key} {facts.rc_conf.get(key, 'absent')} -> {value}" for key, value in missing.items()]
    if commands:
        yield Change(
            kind="bridge",
            name=name,
            action="~" if live is not None else "+",
            stage=Stage.FIRST,
            detail=f"group {INTERFACE_GROUP}, at boot from {bridge_unit(name, facts)}",
            reason="carries the gateways and the jails of all agents" if live is None else ", ".join(found),
            commands=tuple(commands),
        )


def _recorded(bridge: str, facts: Facts) -> bool:
    return f"ifconfig_{bridge_unit(bridge, facts)}_name" in facts.host_record.rc_conf_before
