# SPDX-License-Identifier: BSD-2-Clause
"""Kernel modules, now and at boot, and the tunable that limits of jails need.

Modules go into rc.conf's kld_list, not into loader.conf: rc.conf(5) says that it is faster, and a module that does not
load there cannot keep the machine from booting. A tunable is read by the kernel before rc.conf is, so it goes into
loader.conf.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from warden.facts.base_system import LOADER_CONF, MODULES, parse_loader_conf
from warden.host.files import write_file
from warden.resources.base.switches import is_yes, link_conflict
from warden.resources.change import Change, Conflict, Note, Stage
from warden.resources.commands import command, sysrc_set

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.facts.base_system import BaseSystem
    from warden.resources.base.wanted import Wanted
    from warden.resources.change import Finding

RACCT = "kern.racct.enable"

_REASONS = {
    "pf": "NAT and isolation of the agents",
    "if_bridge": "the bridge that the agents' jails are on",
    "if_epair": "what joins a VNET jail to the bridge",
    "nullfs": "a thin jail mounts its release by it",
}
_LATER_FILES = re.compile(r"^/boot/loader\.conf\.d/[^/]+\.conf$|^/boot/loader\.conf\.local$")


def modules(_wanted: Wanted, base: BaseSystem) -> Iterator[Finding]:
    """Give a change for every module that is not loaded, or will not be after a restart."""
    at_boot = _at_boot(base)
    for module in MODULES:
        live, boot = module in base.modules, module in at_boot
        if live and boot:
            continue
        commands = []
        if not live:
            commands.append(command("/sbin/kldload", "-n", module))
        if not boot:
            commands.append(sysrc_set({"kld_list+": module}))  # adds the word where it is not there yet
        yield Change(
            kind="module",
            name=module,
            action="~" if live or boot else "+",
            stage=Stage.FIRST,
            detail="now" if boot else "at boot, kld_list" if live else "now, and at boot, kld_list",
            reason=_REASONS[module],
            commands=tuple(commands),
        )


def racct(_wanted: Wanted, base: BaseSystem) -> Iterator[Finding]:
    """Give the change to loader.conf that turns resource accounting on, and say when it needs a restart."""
    if base.racct is None:
        yield Note(message="this kernel has no RACCT: limits of agents will do nothing")
        return
    yield from _tunable(base)
    if not base.racct:
        yield Note(message=f"{RACCT} is read at boot: limits of agents do nothing before the host is restarted")


def _tunable(base: BaseSystem) -> Iterator[Finding]:
    for path in sorted(base.files):
        # what these set counts more than loader.conf, and they are the operator's own
        if _LATER_FILES.match(path) and parse_loader_conf(base.files[path].text).get(RACCT, "1") != "1":
            yield Conflict(
                kind="loader",
                name=RACCT,
                message=f"{path} turns {RACCT} off: limits of agents would do nothing",
                hint="take that line out",
            )
            return
    there = base.files.get(LOADER_CONF)
    text = there.text if there else ""
    before = parse_loader_conf(text).get(RACCT)
    if before == "1" or any(RACCT in parse_loader_conf(base.files[path].text) for path in _later(base)):
        return
    conflict = link_conflict(base, "loader", LOADER_CONF)
    if conflict is not None:
        yield conflict
        return
    content = with_tunable(text, RACCT, "1").encode("utf-8", "surrogateescape")
    mode, owner = (f"{there.mode:04o}", f"{there.owner}:{there.group}") if there else ("0644", "root:wheel")
    yield Change(
        kind="loader",
        name=RACCT,
        action="~" if before is not None else "+",
        stage=Stage.FIRST,
        detail=f"{'absent' if before is None else before} -> 1, {LOADER_CONF}",
        reason="rctl(8) holds agents to their limits, from the next restart on",
        commands=(write_file(LOADER_CONF, content, mode=mode, owner=owner),),
    )


def with_tunable(text: str, name: str, value: str) -> str:
    """Give a loader.conf in which a tunable has a value; every other line stays byte for byte."""
    line = re.compile(rf"^[ \t]*{re.escape(name)}[ \t]*=.*$", re.MULTILINE)
    if line.search(text):
        return line.sub(f'{name}="{value}"', text)
    return text + ("\n" if text and not text.endswith("\n") else "") + f'{name}="{value}"\n'


def _later(base: BaseSystem) -> list[str]:
    return [path for path in base.files if _LATER_FILES.match(path)]


def _at_boot(base: BaseSystem) -> set[str]:
    """Give the modules that rc.conf or the loader loads: kld_list takes names, file names and paths."""
    listed = base.rc_conf.get("kld_list", "").split()
    found = {name.rpartition("/")[2].removesuffix(".ko") for name in listed}
    for path in (LOADER_CONF, *_later(base)):
        settings = parse_loader_conf(base.files[path].text) if path in base.files else {}
        found |= {name.removesuffix("_load") for name, value in settings.items() if is_yes(value)}
    return found
