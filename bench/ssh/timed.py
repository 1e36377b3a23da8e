# SPDX-License-Identifier: BSD-2-Clause
"""The command `warden`, with a clock beside every host that is worked on: `python -m bench.ssh.timed RECORD WORD...`.

RECORD gets a JSON list: when each piece of work on a host began and when it ended. A host that waits for its turn is
not worked on.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from warden.cli.crew import Crew
from warden.cli.main import main as run_warden

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Item = TypeVar("Item")
Gain = TypeVar("Gain")


class TimedCrew(Crew):
    """Works as a crew does, and takes note of when."""

    spans: list[tuple[float, float]] = []  # noqa: RUF012 - one record for all crews of this process

    def each(
        self, items: Sequence[Item], work: Callable[[Item], Gain], ended: Callable[[int, Gain | Exception], None]
    ) -> None:
        """Do the work on every item."""

        def timed(item: Item) -> Gain:
            began = time.monotonic()
            try:
                return work(item)
            finally:
                self.spans.append((began, time.monotonic()))

        super().each(items, timed, ended)


def main() -> int:
    """Run Warden, and write the record."""
    record, *words = sys.argv[1:]
    for name in ("warden.cli.work", "warden.cli.reading"):
        setattr(sys.modules[name], "Crew", TimedCrew)  # noqa: B010 - the commands make their crew by this name
    status = run_warden(words)
    Path(record).write_text(json.dumps(TimedCrew.spans), encoding="ascii")
    return status


if __name__ == "__main__":
    sys.exit(main())
