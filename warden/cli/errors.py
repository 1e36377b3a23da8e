# SPDX-License-Identifier: BSD-2-Clause
"""From errors to what a person reads and a script tests: the message, the hint, the exit status."""

from __future__ import annotations

import re

from warden.engine.errors import ConflictsError, EngineError, LockedError
from warden.facts.errors import FactsError, UnfitHostError
from warden.host.errors import AddressError, ConnectionLostError, HostError, HostKeyError, HostUnreachableError
from warden.network.errors import NetworkError
from warden.resources.errors import RefusedError
from warden.spec.errors import SpecError

FAILED = 1
USAGE = 2
CHANGES = 3
REFUSED = 4
UNREACHABLE = 69
LOCKED = 75


class CommandLineError(Exception):
    """The words of the command line do not fit together, or a file that they name cannot be used."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


# the first that fits counts: kinds before what they are kinds of
_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (CommandLineError, USAGE),
    (SpecError, USAGE),
    (AddressError, USAGE),
    (LockedError, LOCKED),
    (EngineError, REFUSED),
    (RefusedError, REFUSED),
    (NetworkError, REFUSED),
    (UnfitHostError, REFUSED),
    (FactsError, FAILED),
    (HostKeyError, REFUSED),
    (HostUnreachableError, UNREACHABLE),
    (ConnectionLostError, UNREACHABLE),  # one that broke in the middle of an apply is told in its report
    (HostError, FAILED),
)

KNOWN = tuple(kind for kind, _ in _STATUS)
"""The errors that are Warden's own words to the operator; any other is a bug."""


def exit_status(error: Exception) -> int:
    """Give the exit status for an error, as docs/exit-codes.md lists them."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), FAILED)


def has_word(text: str, word: str) -> bool:
    """Tell whether a text has a word in it that is not only a part of another one."""
    return re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w-])", text) is not None


def describe(error: Exception) -> list[tuple[str, str]]:
    """Give an error's messages, each with its hint or ''."""
    if isinstance(error, SpecError):
        return [(str(problem), problem.hint) for problem in error.problems]
    if isinstance(error, ConflictsError):
        return [(conflict.message, conflict.hint) for conflict in error.conflicts]
    if not isinstance(error, KNOWN):
        told = f"this is a bug in Warden: {type(error).__name__}: {error}"
        return [(told, "run it again with --debug before the command, and report what it prints")]
    return [(str(error), getattr(error, "hint", ""))]
