# SPDX-License-Identifier: BSD-2-Clause
"""What can go wrong at the door."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from warden.host.command import Command, Result


class HostError(Exception):
    """A host could not do what it was asked; `hint` says what to do next."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class AddressError(HostError):
    """An address that names no host Warden knows how to reach."""


class HostUnreachableError(HostError):
    """No connection to the host could be made."""


class HostKeyError(HostError):
    """A host's SSH key is not the one that is known for it, or none is known; nothing was sent to it."""


class CommandTimeoutError(HostError):
    """A command ran longer than its limit and was ended."""


class ConnectionLostError(HostError):
    """The connection broke inside a batch.

    `ran` holds the results that arrived; `unknown` the commands that may or may not have taken effect: those that the
    host had been sent and of which no result arrived; `not_run` those that were never started.
    """

    def __init__(
        self, message: str, *, ran: Sequence[Result], unknown: Sequence[Command], not_run: Sequence[Command]
    ) -> None:
        super().__init__(message, hint="apply again: Warden reads the host and goes on from what it finds")
        self.ran = tuple(ran)
        self.unknown = tuple(unknown)
        self.not_run = tuple(not_run)
