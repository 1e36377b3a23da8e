# SPDX-License-Identifier: BSD-2-Clause
"""One apply at a time on a host: lockf(1), held by a channel for as long as the apply lasts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from warden.engine.errors import EngineError, LockedError
from warden.host.command import Command

if TYPE_CHECKING:
    from warden.host.command import Host, Session

LOCK = "/var/run/warden.lock"
ALREADY_LOCKED = 75  # EX_TEMPFAIL, lockf(1)
NOT_RUN = (126, 127)  # what a shell exits with where a program cannot be run, or is not there

_HOLD = 'printf "%s\\n" "$1" > "$2" && echo held && exec cat > /dev/null'


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who applies: user and machine, what, and since when (ISO 8601, with the offset)."""

    who: str
    what: str
    since: str


def take_lock(host: Host, holder: Holder) -> Session:
    """Take the host's lock, and give the session that holds it: closing it, or losing it, lets go.

    Raises LockedError, naming the holder, where another apply has it.
    """
    session = host.open(
        Command(
            argv=(
                *("/usr/bin/lockf", "-s", "-k", "-t", "0", LOCK),
                *("/bin/sh", "-c", _HOLD, "sh", json.dumps(asdict(holder)), LOCK),
            )
        )
    )
    if session.greeting == b"held":
        return session
    result = session.close()
    if result.exit_code != ALREADY_LOCKED:
        said = (result.stdout + result.stderr).decode("utf-8", "replace").strip()
        missing = result.exit_code in NOT_RUN
        raise EngineError(
            f"the lock {LOCK} on {host.address} cannot be taken: lockf exits {result.exit_code}: {said}",
            hint="lockf(1) is part of FreeBSD: see that the host has its /usr/bin/lockf"
            if missing
            else "Warden must be root on the host",
        )
    raise LockedError(f"another apply holds {host.address}: {_holder(host)}", hint="wait for it to end, then try again")


def _holder(host: Host) -> str:
    results = host.run([Command(argv=("/bin/cat", LOCK))], stop_on_error=False)
    try:
        held = Holder(**json.loads(results[0].stdout))
    except (ValueError, TypeError):
        return "it did not say who it is"
    return f"{held.who}, {held.what}, since {held.since}"
