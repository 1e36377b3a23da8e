# SPDX-License-Identifier: BSD-2-Clause
"""What zfs(8)'s commands share in reading their arguments."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from warden.host.fake import datasets
from warden.host.fake.datasets import parent_of
from warden.host.fake.program import Reply, say
from warden.host.fake.zfs_properties import COLUMNS, PropertyError, canonical

if TYPE_CHECKING:
    from collections.abc import Sequence

    from warden.host.fake.program import Call

BAD_CHARACTER = re.compile(r"[^A-Za-z0-9_.: /@-]")


def settings_of(call: Call, texts: Sequence[str], refusal: str) -> dict[str, str] | Reply:
    """Read `PROPERTY=VALUE` texts, or give the refusal, which begins with `refusal`."""
    wanted: dict[str, str] = {}
    for text in texts:
        short, sign, value = text.partition("=")
        name = COLUMNS.get(short, short)
        if not sign:
            raise call.unsupported()
        try:
            wanted[name] = canonical(name, value)
        except PropertyError as error:
            return say(error=f"{refusal}: {error}\n", status=1)
    return wanted


def name_refusal(call: Call, name: str) -> str:
    """Say why a new dataset cannot have a name; '' for one that it can have."""
    bad = BAD_CHARACTER.search(name)
    if bad is not None:
        return f"invalid character '{bad[0]}' in name"
    if "@" in name or "" in name.split("/")[:-1]:
        return "empty component or misplaced '@' or '#' delimiter in name"
    if name.endswith("/"):
        return "trailing slash in name"
    if "/" not in name:
        return "missing dataset name"
    if name.partition("/")[0] not in call.machine.pools:
        return f"no such pool '{name.partition('/')[0]}'"
    return ""


def new_refusal(call: Call, name: str, *, parents: bool) -> str:
    """Make the filesystems above a new dataset where -p asks for it; say why it cannot be made, '' if it can."""
    reason = name_refusal(call, name)
    if not reason and name in call.machine.datasets:
        reason = "dataset already exists"
    if not reason and (call.files.full or name.partition("/")[0] in call.files.room.full_pools):
        reason = "out of space"
    if not reason and parents:
        make_parents(call, name)
    if not reason and parent_of(name) not in call.machine.datasets:
        reason = "parent does not exist"
    return reason


def make_parents(call: Call, name: str) -> None:
    """Make the filesystems above a dataset that are not there, as -p does."""
    above = parent_of(name)
    if above and above not in call.machine.datasets:
        make_parents(call, above)
        datasets.create(call.machine, above)
