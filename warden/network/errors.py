# SPDX-License-Identifier: BSD-2-Clause
"""What can be wrong with subnets, addresses and names."""

from __future__ import annotations


class NetworkError(Exception):
    """A name, an address or a subnet that cannot be; `hint` says what to write instead."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
