# SPDX-License-Identifier: BSD-2-Clause
"""One apply at a time on a host: lockf(1), held by a channel for as long as the apply lasts, and lives."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Self

from warden.engine.errors import EngineError, LockedError
from warden.host.command import Command
from warden.host.script import RUNNING

if TYPE_CHECKING:
    from warden.host.command import Host, Session

LOCK = "/var/run/warden.lock"
LOCKF = "/usr/bin/lockf"
BEAT = 10.0
"""Seconds between two signs of life."""
SILENCE = 30
"""Seconds without one after which the host lets go of the lock."""

ALREADY_LOCKED = 75  # EX_TEMPFAIL, lockf(1)
NOT_RUN = (126, 127)  # what a shell exits with where a program cannot be run, or is not there

# An apply that ends says so. Else its batches are waited for, half an hour at most: a number may be another's by then.
# Each sign of life calls off the alarm of the one before. `quiet` waits for batches that run although nobody listens
# any more: $3 has the process ids of their shells. read(1) has a -t, but not in every sh.
_HOLD = """\
: > "$3"; printf '%s\\n' "$1" > "$2" && echo held || exit 1
busy() { while read -r p; do kill -0 "$p" && return 0; done < "$3"; return 1; }
quiet() { n=0; while [ $n -lt 1800 ] && busy "$@"; do n=$((n + 1)); sleep 1; done 2> /dev/null; }
alarm() { (sleep "$4"; quiet "$@"; kill $$) > /dev/null 2>&1 & a=$!; }
alarm "$@"
while read -r beat; do kill $a; [ "$beat" != over ] || exit 0; alarm "$@"; done
kill $a; quiet "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who applies: user and machine, what, and since when (ISO 8601, with the offset)."""

    who: str
    what: str
    since: str


class Lock:
    """The lock of a host, as long as it is held."""

    def __init__(self, session: Session, address: str) -> None:
        self._session = session
        self._address = address
        self._over = threading.Event()
        threading.Thread(target=self._beat, name="warden-lock", daemon=True).start()

    def _beat(self) -> None:
        while not self._over.wait(BEAT):
            self._session.send(b"\n")

    def check(self) -> None:
        """Raise LockLostError where the host has let go of the lock: somebody else may hold it by now."""
        if self._session.ended:
            raise LockLostError(
                f"the lock on {self._address} is lost: nothing was heard of this apply for {SILENCE} s",
                hint="apply again: Warden reads the host and goes on from what it finds",
            )

    def close(self) -> None:
        """Let go of it."""
        self._over.set()
        self._session.send(b"over\n")
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class LockLostError(EngineError):
    """The host has let go of the lock while the apply went on."""


def take_lock(host: Host, holder: Holder) -> Lock:
    """Take the host's lock: closing it, losing the connection, or silence lets go of it.

    Raises LockedError, naming the holder, where another apply has it.
    """
    session = host.open(
        Command(
            argv=(
                *(LOCKF, "-s", "-k", "-t", "0", LOCK),
                *("/bin/sh", "-c", _HOLD, "sh", json.dumps(asdict(holder)), LOCK, RUNNING, str(SILENCE)),
            )
        )
    )
    if session.greeting == b"held":
        return Lock(session, host.address)
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
