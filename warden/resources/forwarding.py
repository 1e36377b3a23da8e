# SPDX-License-Identifier: BSD-2-Clause
"""Forwarding between interfaces: now by sysctl, and at boot by `gateway_enable`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.resources.change import Change, Stage
from warden.resources.commands import command, sysrc_set

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.facts.model import Facts
    from warden.host.command import Command
    from warden.resources.change import Finding
    from warden.resources.desired import Desired

_OID = "net.inet.ip.forwarding"


def changes(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the change that turns forwarding on, for now, for boot, or for both."""
    if not desired.inhabited:
        return
    persisted = facts.rc_conf.get("gateway_enable", "NO").upper() == "YES"
    if facts.forwarding and persisted:
        return
    commands: list[Command] = []
    if not facts.forwarding:
        commands.append(command("/sbin/sysctl", f"{_OID}=1"))
    if not persisted:
        commands.append(sysrc_set({"gateway_enable": "YES"}))
    yield Change(
        kind="forwarding",
        name="ipv4",
        action="~",
        stage=Stage.FIRST,
        detail=", ".join(_drift(facts, persisted=persisted)),
        reason="jails reach the outside through this host",
        commands=tuple(commands),
    )


def _drift(facts: Facts, *, persisted: bool) -> Iterator[str]:
    if not facts.forwarding:
        yield f"{_OID} 0 -> 1"
    if not persisted:
        yield f"gateway_enable {facts.rc_conf.get('gateway_enable', 'absent')} -> YES"
