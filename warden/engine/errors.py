# SPDX-License-Identifier: BSD-2-Clause
"""When a plan cannot be carried out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from warden.resources.change import Conflict


class EngineError(Exception):
    """An apply did not begin; nothing was changed. `hint` says what to do next."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class LockedError(EngineError):
    """Another apply holds the host's lock."""


class MovedError(EngineError):
    """The host is no longer as it was when the plan was shown."""


class ConflictsError(EngineError):
    """What Warden does not own stands in the way of a plan."""

    def __init__(self, conflicts: Sequence[Conflict]) -> None:
        first = conflicts[0]
        more = f" (and {len(conflicts) - 1} more conflicts)" if len(conflicts) > 1 else ""
        super().__init__(f"{first.message}{more}", hint=first.hint)
        self.conflicts = tuple(conflicts)
