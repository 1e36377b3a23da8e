# SPDX-License-Identifier: BSD-2-Clause
"""The one shape that every service has: what it needs of the host, and how it is set up in its jail.

Everything else follows from these two in `warden.services`, the same for all of them: the difference to what a jail
has, the wait for its health, its upgrade, its backup, and its end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from warden.host.command import Command
from warden.host.files import write_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from warden.resources.desired import DesiredAgent, DesiredDataset, DesiredJail, Mount
    from warden.spec.model import Service

_IN_ITS_FOLDER = 'mkdir -p "${1%/*}" && shift && exec "$@"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a service needs of the host before it can be set up.

    `parameters` are jail(8)'s, `mounts` what its jail gets of the host, `datasets` what is made for it, `secrets`
    the variables of the agent's env file whose values are made once, `environment` what the agent is told of it.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    datasets: tuple[DesiredDataset, ...] = ()
    secrets: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class JailFile:
    """A file that is Warden's inside a jail; `owner` is `user:group` there."""

    path: str
    content: bytes
    mode: str = "0644"
    owner: str = "root:wheel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How a service is set up in its jail, in this order; every command may be run again.

    1. `packages` that are missing are installed.
    2. `variables` go into the jail's rc.conf, `files` are written, each whole or not at all.
    3. `prepare` makes what has to be there before the first start: users, folders, a cluster. It finds out by itself
       what is there already.
    4. `check` has to exit 0 before anything is started or restarted.
    5. `daemon`, an rc.d script of the jail, is started; it is restarted (by `how`) where files or variables changed.
       None: nothing is started, and `warning` says why.
    6. `finish` makes what needs the running service: roles, databases.
    7. `items` are what the service's question has to tell afterwards, and it has to say `healthy` within `patience`
       seconds.

    `title` is what the plan says the service will be.
    """

    title: str
    packages: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    files: tuple[JailFile, ...] = ()
    prepare: tuple[Command, ...] = ()
    check: tuple[Command, ...] = ()
    daemon: str | None = None
    how: str = "restart"
    finish: tuple[Command, ...] = ()
    items: frozenset[str] = frozenset()
    patience: int = 60
    warning: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceModule:
    """One service: its name, what it needs, and how it is set up; all pure."""

    service: Service
    needs: Callable[[DesiredAgent, DesiredJail], Needs]
    setup: Callable[[DesiredAgent, DesiredJail], Setup]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a service runs: in a jail, or where that is None on the host itself."""

    jail: str | None

    def run(self, *argv: str, stdin: bytes = b"") -> Command:
        """Give a command that runs there, as root."""
        return inside(self.jail, *argv, stdin=stdin) if self.jail else Command(argv=argv, stdin=stdin)

    def write(self, file: JailFile) -> Command:
        """Give the command that writes a file there; in a jail from inside, as its path could lead anywhere else."""
        write = write_file(file.path, file.content, mode=file.mode, owner=file.owner)
        return self.run("/bin/sh", "-c", _IN_ITS_FOLDER, "sh", file.path, *write.argv, stdin=write.stdin)


def inside(jail: str, *argv: str, stdin: bytes = b"", user: str = "root") -> Command:
    """Give a command that runs inside a jail, as a user of the jail's, with that user's login environment."""
    return Command(argv=("/usr/sbin/jexec", "-l", "-U", user, jail, *argv), stdin=stdin)
