# SPDX-License-Identifier: BSD-2-Clause
"""devfs ruleset 13, which Bastille gives to VNET jails and nobody else defines.

Where it is missing, such a jail starts without a word and sees the whole of /dev: mem, kmem and the disks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from warden.host.files import write_file
from warden.resources.change import Change, Conflict, Stage
from warden.resources.commands import command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.facts.model import Facts
    from warden.resources.change import Finding
    from warden.resources.desired import Desired

RULES = "/etc/devfs.rules"
RULESET = 13
HEAD = f"[warden_vnet={RULESET}]"
SECTION = f"""{HEAD}
add include $devfsrules_hide_all
add include $devfsrules_unhide_basic
add include $devfsrules_unhide_login
add include $devfsrules_jail
add path 'bpf*' unhide
"""
HIDE_ALL = "include 1"


def changes(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the change that defines the ruleset and loads it, where an agent has jails."""
    if any(agent.jails or agent.workers for agent in desired.everyone.values()):
        yield from ruleset(facts)


def ruleset(facts: Facts) -> Iterator[Finding]:
    """Give the change that defines the ruleset for VNET jails, and loads it."""
    there = facts.files.get(RULES)
    text = there.text if there else ""
    defined = defines(text)
    loaded = HIDE_ALL in facts.devfs_ruleset_13
    if defined and HEAD not in text and not loaded:
        yield Conflict(
            kind="devfs ruleset",
            name=str(RULESET),
            message=f"{RULES} has a ruleset {RULESET} that does not hide the host's devices: VNET jails would see them",
            hint="let it begin with `add include $devfsrules_hide_all`, then: service devfs restart",
        )
        return
    if defined and loaded:
        return
    commands = [command("/usr/sbin/service", "devfs", "restart")]
    if not defined:
        if text and not text.endswith("\n"):
            text += "\n"
        commands.insert(0, write_file(RULES, (text + SECTION).encode("utf-8", "surrogateescape")))
    yield Change(
        kind="devfs ruleset",
        name=str(RULESET),
        action="~" if there else "+",
        stage=Stage.FIRST,
        detail="defined, not loaded -> loaded" if defined else "absent -> warden_vnet",
        reason="VNET jails would see all of /dev",
        commands=tuple(commands),
    )


def without_section(text: str) -> str:
    """Give devfs.rules without Warden's section."""
    return text.replace(SECTION, "")


def defines(text: str) -> bool:
    """Tell whether devfs.rules has a ruleset of this number, whoever wrote it."""
    return re.search(rf"^\[\s*\w+\s*=\s*{RULESET}\s*\]", text, re.MULTILINE) is not None
