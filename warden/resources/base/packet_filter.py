# SPDX-License-Identifier: BSD-2-Clause
"""pf: rules that lock nobody out where there are none, and pf itself, last and by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.facts.base_system import PF_CONF
from warden.host.files import write_file
from warden.resources.base.switches import is_yes, link_conflict
from warden.resources.change import Change, Conflict, Guard, Stage
from warden.resources.commands import command, sysrc_set
from warden.resources.templates import render

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.facts.base_system import BaseSystem
    from warden.resources.base.wanted import Wanted
    from warden.resources.change import Finding

_PFCTL = "/sbin/pfctl"


def changes(_wanted: Wanted, base: BaseSystem) -> Iterator[Finding]:
    """Give the changes that write /etc/pf.conf where there is none, and then enable pf."""
    conflict = link_conflict(base, "pf", PF_CONF) or _conflict(base)
    if conflict is not None:
        yield conflict
        return
    own = render("pf/pf.conf")
    file = base.files.get(PF_CONF)
    if file is None:
        yield Change(
            kind="pf.conf",
            name=PF_CONF,
            action="+",
            stage=Stage.FIRST,
            detail="passes everything, as a host without pf does",
            reason="pf needs rules to start with, and these lock nobody out; they are yours to change",
            commands=(write_file(PF_CONF, own.encode(), check=(_PFCTL, "-nf")),),
        )
    yield from _enable(base)


def _enable(base: BaseSystem) -> Iterator[Finding]:
    """Give the change that enables pf: checked, started under guard, and only then for the next boot too.

    So a host that the rules lock out turns pf off again by itself, and comes back without it when it is restarted.
    """
    live, boot = bool(base.pf_enabled), is_yes(base.rc_conf.get("pf_enable", "NO"))
    if live and boot:
        return
    persist = () if boot else (sysrc_set({"pf_enable": "YES"}),)
    start = () if live else (command("/usr/sbin/service", "pf", "onestart"),)
    yield Change(
        kind="pf enable",
        name=PF_CONF,
        action="~",
        stage=Stage.LAST,
        detail="at boot, pf_enable" if live else "now" if boot else "now, and at boot, pf_enable",
        reason="agents get NAT and isolation from it",
        commands=(command(_PFCTL, "-nf", PF_CONF), *start),
        # where pf runs already, that may be the work of a bootstrap that is gone: this guard calls off the one of that
        guard=Guard(settle=persist, rollback=() if live else (command(_PFCTL, "-d"),)),
    )


def _conflict(base: BaseSystem) -> Conflict | None:
    boot_file = base.rc_conf.get("pf_rules", PF_CONF)
    if boot_file != PF_CONF:
        return Conflict(
            kind="pf",
            name=boot_file,
            message=f"pf's rules at boot come from {boot_file}, and Warden hooks its own into {PF_CONF}",
            hint=f"keep the rules in {PF_CONF}, then: sysrc -x pf_rules",
        )
    if PF_CONF not in base.files:
        if base.pf_enabled and base.pf_rules:
            return Conflict(
                kind="pf",
                name=PF_CONF,
                message=f"pf runs with rules that are in no {PF_CONF}: they would be gone after a restart",
                hint=f"write them into {PF_CONF}: pfctl -sr shows them",
            )
        return None
    if base.pf_complaint:
        return Conflict(
            kind="pf",
            name=PF_CONF,
            message=f"{PF_CONF} is broken: {base.pf_complaint.splitlines()[0]}",
            hint=f"mend it, and check it with: pfctl -nf {PF_CONF}",
        )
    if not base.pf_enabled and base.files[PF_CONF].text != render("pf/pf.conf"):
        # a connection that is older than pf has no state, and rules that let in new ones only would cut it off
        return Conflict(
            kind="pf",
            name=PF_CONF,
            message=f"{PF_CONF} has rules that pf does not run yet: to start it could cut off whoever does so over SSH",
            hint="at the host's console: sysrc pf_enable=YES && service pf start; then bootstrap again",
        )
    return None
