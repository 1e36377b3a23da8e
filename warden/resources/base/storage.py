# SPDX-License-Identifier: BSD-2-Clause
"""Where Bastille keeps its jails, and that they and their datasets come back after a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.facts.base_system import BASTILLE, BASTILLE_CONF, parse_bastille_conf
from warden.facts.jails import JAILS
from warden.resources.base.switches import is_yes, link_conflict
from warden.resources.change import Change, Conflict, Stage
from warden.resources.commands import command, sysrc_set

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.facts.base_system import BaseSystem
    from warden.resources.base.wanted import Wanted
    from warden.resources.change import Finding

_COPY = 'test -e "$2" || cp -p "$1" "$2"'


def at_boot(_wanted: Wanted, base: BaseSystem) -> Iterator[Finding]:
    """Give the changes to rc.conf that mount datasets and start jails at boot."""
    for name, reason in (
        ("zfs_enable", "the pool's datasets are mounted at boot"),
        ("bastille_enable", "jails that are to start at boot do"),
    ):
        if not is_yes(base.rc_conf.get(name, "NO")):
            yield Change(
                kind="rc.conf",
                name=name,
                action="~" if name in base.rc_conf else "+",
                stage=Stage.FIRST,
                detail=f"{base.rc_conf.get(name, 'absent')} -> YES",
                reason=reason,
                commands=(sysrc_set({name: "YES"}),),
            )


def bastille_conf(wanted: Wanted, base: BaseSystem) -> Iterator[Finding]:
    """Give the change to bastille.conf that puts jails into datasets; `bastille bootstrap` then makes these."""
    file = base.files.get(BASTILLE_CONF)
    settings = parse_bastille_conf(file.text) if file else {}
    conflict = link_conflict(base, "bastille", BASTILLE_CONF) or _conflict(settings, base)
    if conflict is not None:
        yield conflict
        return
    values = {"bastille_zfs_enable": "YES", "bastille_zfs_zpool": wanted.pool}
    if is_yes(settings.get("bastille_zfs_enable", "NO")) and settings.get("bastille_zfs_zpool") == wanted.pool:
        return
    # Bastille's package puts the file there; a Bastille that was installed otherwise may have the sample only
    copy = command("/bin/sh", "-c", _COPY, "sh", f"{BASTILLE_CONF}.sample", BASTILLE_CONF)
    edit = command("/usr/sbin/sysrc", "-f", BASTILLE_CONF, *(f"{name}={value}" for name, value in values.items()))
    yield Change(
        kind="storage",
        name=f"{wanted.pool}/{settings.get('bastille_zfs_prefix') or 'bastille'}",
        action="~" if settings else "+",
        stage=Stage.FIRST,
        detail="bastille_zfs_enable, bastille_zfs_zpool in bastille.conf",
        reason="a jail is a dataset, which carries its mark and its quota",
        commands=(edit,) if file else (copy, edit),
    )


def _conflict(settings: dict[str, str], base: BaseSystem) -> Conflict | None:
    prefix = settings.get("bastille_prefix", BASTILLE)
    if prefix != BASTILLE:
        return Conflict(
            kind="bastille",
            name=BASTILLE_CONF,
            message=f"Bastille has its jails below {prefix}: Warden looks for them below {BASTILLE}",
            hint=f"set bastille_prefix={BASTILLE} where no jail stands in the way of it",
        )
    in_use = base.bastille_jails or base.releases - base.begun
    if in_use and not any(dataset.mountpoint == JAILS for dataset in base.datasets.values()):
        return Conflict(
            kind="bastille",
            name=JAILS,
            message=f"Bastille is in use, and keeps its jails in no dataset: {JAILS} is an ordinary folder",
            hint=f"export the jails, remove {BASTILLE}, and bootstrap again: bastille export, bastille import",
        )
    return None
