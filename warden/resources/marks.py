# SPDX-License-Identifier: BSD-2-Clause
"""How Warden knows its own things on a host: a line in files, a group, a property, a comment."""

from __future__ import annotations

FILE_MARK = "managed by warden"
"""Stands in the head of every file that is wholly Warden's."""

INTERFACE_GROUP = "warden"
"""The interface group of the bridge; ifconfig(8) allows no digit at its end."""

USER_COMMENT = "warden agent"
"""The beginning of the comment of the accounts that Warden made."""


def is_ours(text: str) -> bool:
    """Tell whether a file's head carries the mark."""
    return any(FILE_MARK in line for line in text.splitlines()[:5])
