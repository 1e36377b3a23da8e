# SPDX-License-Identifier: BSD-2-Clause
"""A value that nobody should read by accident."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Secret:
    """Text that prints as stars wherever it is formatted; `reveal()` is the one way to the text itself."""

    _text: str

    def reveal(self) -> str:
        """Give the text itself."""
        return self._text

    def __str__(self) -> str:
        return "******"

    __repr__ = __str__
