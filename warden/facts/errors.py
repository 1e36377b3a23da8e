# SPDX-License-Identifier: BSD-2-Clause
"""When a host's answers cannot be read."""

from __future__ import annotations


class FactsError(Exception):
    """What a host answered was not understood, or it could not answer; `hint` says what to do next.

    Nothing is guessed: what cannot be read is never taken for what is not there.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UnfitHostError(FactsError):
    """The host is no FreeBSD machine, or Warden is not root on it."""
