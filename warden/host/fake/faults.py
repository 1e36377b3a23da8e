# SPDX-License-Identifier: BSD-2-Clause
"""What the fake host was told to do wrong.

Faults belong to a process, not to the machine: they count its commands that may change state (`changes_state`) from
1, and the machine that is kept between processes knows nothing of them.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from warden.host.errors import AddressError
from warden.host.fake.changes import changes_state

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from warden.host.command import Command
    from warden.host.fake.machine import Machine

Mishap = Literal["", "fail", "drop-before", "drop-after", "hang"]


@dataclass(slots=True)
class Faults:
    """The faults of one process; 0 and '' are for none."""

    fail_nth: int = 0
    """This command exits 1 and has no effect."""
    fail_match: str = ""
    """So does every command whose words, joined by spaces, contain this."""
    drop_before: int = 0
    """The connection breaks before this command takes effect, or after it did."""
    drop_after: int = 0
    hang_nth: int = 0
    """This command never returns and has no effect."""
    disk_full_after: int = 0
    """From this command on there is no room for a file."""
    refuse_package: str = ""
    """The repository has no package of this name."""
    latency: float = 0.0
    """Seconds that every round trip takes."""
    counted: int = field(default=0, init=False)

    def next(self, command: Command) -> Mishap:
        """Count a command if it may change state, and give what happens to it."""
        if not changes_state(command.argv):
            return ""
        self.counted += 1
        if self.counted == self.drop_before:
            return "drop-before"
        if self.counted == self.drop_after:
            return "drop-after"
        if self.counted == self.hang_nth:
            return "hang"
        if self.counted == self.fail_nth or (self.fail_match and self.fail_match in " ".join(command.argv)):
            return "fail"
        return ""

    @contextmanager
    def imposed(self, machine: Machine) -> Iterator[None]:
        """Make the disk full and a package unknown while a command runs."""
        was_full, catalogue = machine.files.full, machine.catalogue
        if self.disk_full_after and self.counted >= self.disk_full_after:
            machine.files.full = True
        if self.refuse_package in catalogue:
            machine.catalogue = {name: version for name, version in catalogue.items() if name != self.refuse_package}
        try:
            yield
        finally:
            machine.files.full, machine.catalogue = was_full, catalogue


def parse_faults(words: Mapping[str, str]) -> Faults:
    """Read the faults of an address, `?fail-nth=7&latency=0.02`; raise AddressError for one that is not understood."""
    values: dict[str, Any] = {word.replace("-", "_"): _value(word, text) for word, text in words.items()}
    return Faults(**values)


def _value(word: str, text: str) -> int | float | str:
    if word in _COUNTS:
        if text.isascii() and text.isdigit() and int(text) > 0:
            return int(text)
        raise AddressError(f"{word}={text}: not a command's number", hint=f"write {word}=1 for the first, for example")
    if word in _TEXTS:
        if text:
            return text
        raise AddressError(f"{word}= says nothing", hint=f"write {word}={_TEXTS[word]}, for example")
    if word == "latency":
        return _seconds(text)
    known = ", ".join((*_COUNTS, *_TEXTS, "latency"))
    raise AddressError(f"a fake host has no fault {word!r}", hint=f"it has: {known}; and profile=NAME")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise AddressError(f"latency={text}: not a number of seconds", hint="write latency=0.02, for example")
    return seconds


_COUNTS = ("fail-nth", "drop-before", "drop-after", "hang-nth", "disk-full-after")
_TEXTS = {"fail-match": "bastille+create", "refuse-package": "git"}
