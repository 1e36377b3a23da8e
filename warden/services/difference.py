# SPDX-License-Identifier: BSD-2-Clause
"""What a place lacks of a service's set-up, and the commands that make it good.

Before anything that the running service has read is changed, a mark is put beside it, and it goes when the service has
been started again: cut off in between, the next plan sees that it runs with what it had. The mark lies where a start of
the jail, or of the host, clears it away (cleanvar_enable, rc.conf(5)).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from warden.facts.model import Inside
    from warden.host.command import Command
    from warden.services.shape import JailFile, Place, Setup

STALE = "/var/run/warden.stale"
PKG = ("/usr/bin/env", "ASSUME_ALWAYS_YES=yes", "/usr/sbin/pkg")
_SHOWN = 4
"""Of what a service lacks, as many things are shown in a plan."""
_RUN = """\
if ! service "$1" onestatus > /dev/null 2>&1; then service "$1" start || exit 1
elif [ -e "$3" ]; then service "$1" "$2" || exit 1
fi
rm -f "$3"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What a place lacks of a set-up. `renewed` is what it was asked with, and becomes another one."""

    packages: tuple[str, ...]
    variables: Mapping[str, str]
    files: tuple[JailFile, ...]
    items: tuple[str, ...]
    stale: bool
    ill: str
    renewed: tuple[str, ...]

    def __bool__(self) -> bool:
        """Tell whether there is any."""
        lacks = self.packages or self.variables or self.files or self.items or self.renewed
        return bool(lacks or self.stale or self.ill)

    def words(self) -> str:
        """Say what it is, the most telling things first."""
        words = [
            *([self.ill] if self.ill else ()),
            *(["its set-up was cut off"] if self.stale else ()),
            *(f"{name} not installed" for name in self.packages),
            *(f"{name} in its rc.conf" for name in self.variables),
            *(f"{file.path} differs" for file in self.files),
            # what is ill may not have told all that it has
            *(f"no {item}" for item in self.items if not self.ill),
            *(f"{name} is another" for name in self.renewed),
        ]
        more = len(words) - _SHOWN
        return ", ".join(words if more <= 1 else [*words[:_SHOWN], f"and {more} more"])


def difference(setup: Setup, found: Inside, renewed: Sequence[str] = ()) -> Difference:
    """Compare what is wanted with what a place tells of itself."""
    return Difference(
        packages=tuple(name for name in setup.packages if name not in found.packages),
        variables={name: value for name, value in setup.variables.items() if found.variables.get(name) != value},
        files=tuple(file for file in setup.files if not _is_there(file, found)),
        items=tuple(sorted(setup.items - found.items)),
        stale="stale" in found.items and setup.daemon is not None,
        ill=found.ill if setup.daemon is not None else "",
        renewed=tuple(renewed),
    )


def mend(place: Place, setup: Setup, lack: Difference) -> Iterator[Command]:
    """Give the commands that make good what is lacking; the wait for its health is the caller's."""
    if setup.daemon is not None and (lack.packages or lack.variables or lack.files):
        yield place.run("/usr/bin/touch", STALE)
    if lack.packages:
        yield place.run(*PKG, "install", "-y", *lack.packages)
    if lack.variables:
        yield place.run("/usr/sbin/sysrc", *(f"{name}={value}" for name, value in lack.variables.items()))
    yield from (place.write(file) for file in lack.files)
    yield from start(place, setup)


def start(place: Place, setup: Setup) -> Iterator[Command]:
    """Give the commands that prepare, check and start a service, and finish what needs it running."""
    yield from setup.prepare
    yield from setup.check
    if setup.daemon is not None:
        yield place.run("/bin/sh", "-c", _RUN, "sh", setup.daemon, setup.how, STALE)
        yield from setup.finish


def _is_there(file: JailFile, found: Inside) -> bool:
    there = found.files.get(file.path)
    digest = hashlib.sha256(file.content).hexdigest()
    return there is not None and (there.mode, there.owner, there.sha256) == (int(file.mode, 8), file.owner, digest)
