# SPDX-License-Identifier: BSD-2-Clause
"""When something cannot be planned."""

from __future__ import annotations


class RefusedError(Exception):
    """What is asked for cannot be had on this host, and nothing was done; `hint` says what to do instead."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
