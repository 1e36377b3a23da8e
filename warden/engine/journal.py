# SPDX-License-Identifier: BSD-2-Clause
"""What was done to a host, written down on the host: a line in a log, and a file for every apply in a journal.

Both are written in the batch that reads the host back, so they cost no round trip; what that reading finds is not in
them. Where the connection broke there is nobody who could write: such an apply is missing, and the next is there.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from warden import __version__
from warden.facts.errors import FactsError
from warden.host.command import Command
from warden.resources.change import Note

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from warden.engine.lock import Holder
    from warden.engine.plan import Plan
    from warden.engine.report import ChangeResult, Report
    from warden.host.command import Host, Result, Session

LOG = "/var/log/warden.log"
JOURNAL = "/var/db/warden/journal"
KEPT = 200
"""Files that the journal keeps; older ones go when a new one is written."""

VERSION = 1
_FIRST = 100_000
"""The journal's files are numbered, since the clock of a host may go back; with as many digits they sort as text."""

# The agents' datasets are mounted beside the journal, and they are not root's alone.
# What is no file of the journal's is no number either: then test(1) fails, and the file stays.
_WRITE = """\
umask 022; mkdir -p "${1%/*}" && chmod 0755 "${1%/*}" || exit 1
umask 077; mkdir -p "$1" && chmod 0700 "$1" && cd "$1" || exit 1
n=$5; for f in [0-9]*.json; do [ "${f%.json}" -gt "$n" ] && n=${f%.json}; done 2> /dev/null
n=$((n + 1)); cat > .new && mv -f .new "$n.json" || { rm -f .new; exit 1; }
printf '%s, journal %s\\n' "$3" "$n" >> "$2" && chmod 0640 "$2" || exit 1
for f in [0-9]*.json; do [ "${f%.json}" -le $((n - $4)) ] && rm -f "$f"; done 2> /dev/null
exit 0
"""
_READ = """\
[ -d "$1" ] || exit 0; cd "$1" || exit 1
for f in $(ls | grep '^[0-9]*\\.json$' | sort -rn | head -n "$2"); do
printf '%s ' "${f%.json}"; cat "$f" || exit 1
done
"""


def entry(report: Report, holder: Holder) -> dict[str, Any]:
    """Give what the journal keeps of an apply: who, from where, when, what, and what became of every change."""
    who, _, machine = holder.who.rpartition("@")
    return {
        "version": VERSION,
        "when": holder.since,
        "who": who,
        "from": machine,
        "what": holder.what,
        "warden": __version__,
        "plan": report.plan.digest,
        "facts": report.plan.facts_digest,
        "changes": [_change(result) for result in report.results],
    }


def _change(result: ChangeResult) -> dict[str, Any]:
    change = result.change
    value: dict[str, Any] = {
        "id": change.id,
        "agent": change.agent,
        "action": {"+": "create", "~": "change", "-": "remove"}[change.action],
        "detail": change.detail,
        "outcome": result.outcome.value,
    }
    if result.failed_at is not None:
        # what the command wrote is left out: it may have said a secret
        value |= {"command": str(result.failed_at.command), "exit": result.failed_at.exit_code}
    if result.why:
        value["why"] = result.why
    return value


def log_line(written: dict[str, Any]) -> str:
    """Give the line of the log: whatever its words hold, it is one line of printable ASCII."""
    outcomes = Counter(change["outcome"] for change in written["changes"])
    counts = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()))
    line = f"{written['when']} {written['who']} from {written['from']}: {written['what']}"
    return json.dumps(f"{line}: plan {written['plan'][:12]}, {counts}").replace("\x7f", "\\u007f")[1:-1]


def commands(written: dict[str, Any]) -> tuple[Command, ...]:
    """Give the command that writes an entry; the host's lock has to be held."""
    argv = ("/bin/sh", "-c", _WRITE, "sh", JOURNAL, LOG, log_line(written), str(KEPT), str(_FIRST))
    return (Command(argv=argv, stdin=f"{json.dumps(written)}\n".encode()),)


def read_journal(host: Host, most: int) -> list[dict[str, Any]]:
    """Read the latest entries of a host's journal, the newest first; none where nothing was ever written.

    Raises FactsError for an entry that is not understood, and where the journal cannot be read.
    """
    result = host.run([Command(argv=("/bin/sh", "-c", _READ, "sh", JOURNAL, str(most)))])[0]
    if not result.ok or result.stderr:
        said = result.stderr.decode("utf-8", "replace").strip()
        raise FactsError(f"cannot read {JOURNAL} on {host.address}: {said}", hint="only root can: doas, sudo")
    return [_entry(line) for line in result.stdout.decode("utf-8", "replace").splitlines()]


def _entry(line: str) -> dict[str, Any]:
    number, _, text = line.partition(" ")
    try:
        return {"number": int(number), **_checked(json.loads(text))}
    except (ValueError, TypeError, KeyError) as error:
        raise FactsError(
            f"{JOURNAL}/{number}.json: an entry that is not understood: {error}", hint="move that file away"
        ) from error


def _checked(value: dict[str, Any]) -> dict[str, Any]:
    if value["version"] != VERSION:
        raise ValueError(f"its version is not {VERSION}")
    words = [value[name] for name in ("when", "who", "from", "what", "plan")]
    words += [change[name] for change in value["changes"] for name in ("id", "outcome")]
    if not all(isinstance(word, str) for word in words):
        raise TypeError("a word that is no text")
    return value


class RidingAlong:
    """A host whose next batch takes some commands along; who asked for that batch sees nothing of them."""

    def __init__(self, host: Host, along: Sequence[Command]) -> None:
        self._host = host
        self._along = list(along)
        self._failed: Result | None = None

    def told(self, plan: Plan) -> Plan:
        """Give a plan with a remark where one of the commands failed."""
        if self._failed is None:
            return plan
        said = self._failed.stderr.decode("utf-8", "replace").strip() or f"exit {self._failed.exit_code}"
        note = Note(message=f"what was done could not be written down in {LOG} and {JOURNAL}: {said}")
        return replace(plan, notes=(*plan.notes, note))

    @property
    def address(self) -> str:
        """The host's."""
        return self._host.address

    def run(
        self,
        batch: Sequence[Command],
        *,
        stop_on_error: bool = True,
        on_result: Callable[[Result], None] | None = None,
    ) -> list[Result]:
        """Run a batch as `Host.run` does, behind the commands that ride along."""
        along, self._along = self._along, []
        if not along:
            return self._host.run(batch, stop_on_error=stop_on_error, on_result=on_result)
        results = self._host.run([*along, *batch], stop_on_error=False)
        self._failed = next((result for result in results[: len(along)] if not result.ok), None)
        return results[len(along) :]

    def run_lanes(
        self, lanes: Sequence[Sequence[Sequence[Command]]], *, on_result: Callable[[Result], None] | None = None
    ) -> list[list[list[Result]]]:
        """Run lanes as `Host.run_lanes` does."""
        return self._host.run_lanes(lanes, on_result=on_result)

    def open(self, command: Command) -> Session:
        """Start a command as `Host.open` does."""
        return self._host.open(command)

    def reopen(self) -> Host:
        """Give the host over a new connection."""
        return self._host.reopen()

    def close(self) -> None:
        """Let go of the host."""
        self._host.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
