# SPDX-License-Identifier: BSD-2-Clause
"""Releases that jails are made from.

`bastille bootstrap` that is cut off leaves a release that looks whole: a later one says that it is complete, or goes on
with half an archive. So a file says that it has begun, from before its first step to after its last; where that
file stands, what is there is taken away and fetched anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.facts.base_system import BASTILLE, BEGUN
from warden.host.files import write_file
from warden.resources.change import Change, Conflict, Stage
from warden.resources.commands import WARDEN, bastille, command, remove_file
from warden.resources.marks import FILE_MARK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.facts.base_system import BaseSystem
    from warden.host.command import Command
    from warden.resources.base.wanted import Wanted
    from warden.resources.change import Finding

_CHECK = 'test -e "$1/COPYRIGHT" || { echo "bastille bootstrap left no release in $1" >&2; exit 1; }'


def changes(wanted: Wanted, base: BaseSystem) -> Iterator[Finding]:
    """Give the change that bootstraps every release that is missing, or was begun and not finished."""
    for release in wanted.releases:
        begun = release in base.begun
        if release in base.releases and not begun:
            continue
        users = sorted(name for name, jail in base.bastille_jails.items() if jail.release == release)
        if begun and users:
            yield Conflict(
                kind="release",
                name=release,
                message=f"{release} was not bootstrapped to its end, and the jail {users[0]} is made from it",
                hint=f"destroy that jail, or if the release is whole: rm {BEGUN}{release}",
            )
            continue
        yield Change(
            kind="release",
            name=release,
            action="~" if begun else "+",
            stage=Stage.FIRST,
            detail="bastille bootstrap, takes minutes",
            reason="it was begun and not finished" if begun else "jails are made from it",
            commands=(*_clear(release, base), *_bootstrap(release)),
        )


def _clear(release: str, base: BaseSystem) -> Iterator[Command]:
    """Give the commands that take away what a bootstrap left that was cut off: files, and archives half fetched."""
    if release not in base.begun:
        return
    folder, cache = f"{BASTILLE}/releases/{release}", f"{BASTILLE}/cache/{release}"
    if any(dataset.mountpoint == folder for dataset in base.datasets.values()):
        yield bastille("destroy", "-afy", release)
    yield command("/bin/rm", "-f", f"{cache}/MANIFEST", f"{cache}/base.txz")


def _bootstrap(release: str) -> tuple[Command, ...]:
    mark = f"# {FILE_MARK}: {release} is being bootstrapped; where this stays, that was cut off\n"
    return (
        command("/bin/mkdir", "-p", WARDEN),
        write_file(f"{BEGUN}{release}", mark.encode()),
        bastille("bootstrap", release),
        # its exit status is a hint only
        command("/bin/sh", "-c", _CHECK, "sh", f"{BASTILLE}/releases/{release}"),
        remove_file(f"{BEGUN}{release}"),
    )
