# SPDX-License-Identifier: BSD-2-Clause
"""The two lines by which the operator's own pf.conf names the anchor `warden`. Pure text."""

from __future__ import annotations

import re
from typing import Literal

from warden.facts.probe import ANCHOR

NAT_HOOK = f'nat-anchor "{ANCHOR}"'
FILTER_HOOK = f'anchor "{ANCHOR}"'

_Section = Literal["translation", "filtering"]

_TRANSLATION = {"nat", "rdr", "binat", "nat-anchor", "rdr-anchor", "binat-anchor"}
_FILTERING = {"block", "pass", "match", "anchor", "antispoof", "load"}


def with_hooks(text: str) -> str:
    """Give pf.conf with the anchor's two lines, each where pf's order of sections allows it.

    The NAT line comes before the first rule of translation, the other before the first rule of filtering, where
    the file has such rules; else at the latest place that its section may have. Lines that are there are left.
    """
    lines = text.splitlines(keepends=True)
    if not has_line(text, NAT_HOOK):
        place = _first(lines, ("translation", "filtering"))
        lines = _insert(lines, place, NAT_HOOK)
    if not has_line(text, FILTER_HOOK):
        lines = _insert(lines, _first(lines, ("filtering",)), FILTER_HOOK)
    return "".join(lines)


def without_hooks(text: str) -> str:
    """Give pf.conf without the anchor's two lines, and otherwise as it is."""
    return "".join(line for line in text.splitlines(keepends=True) if line.strip() not in (NAT_HOOK, FILTER_HOOK))


def has_line(text: str, hook: str) -> bool:
    """Tell whether a line of pf.conf is the hook, whatever blanks or remark it has."""
    name = hook.partition('"')[0].strip()
    pattern = re.compile(rf'^\s*{name}\s+"?{ANCHOR}"?\s*(#.*)?$', re.MULTILINE)
    return pattern.search(text) is not None


def loads_anchor(text: str) -> bool:
    """Tell whether pf.conf loads the anchor itself, which at boot would stake all of pf on Warden's file."""
    return re.search(rf'^\s*load\s+anchor\s+"?{ANCHOR}"?\s', text, re.MULTILINE) is not None


def skips(text: str, bridge: str) -> bool:
    """Tell whether pf.conf turns filtering off on the bridge, by its name or by the group that all bridges have."""
    for found in re.finditer(r"^\s*set\s+skip\s+on\s+(.*)$", text, re.MULTILINE):
        names = re.sub(r"[{},]", " ", found[1].partition("#")[0]).split()
        if bridge in names or "bridge" in names:
            return True
    return False


def _first(lines: list[str], sections: tuple[_Section, ...]) -> int:
    continued = False
    for number, line in enumerate(lines):
        if not continued and _section(line) in sections:
            return number
        continued = line.rstrip("\n").endswith("\\")
    return len(lines)


def _section(line: str) -> _Section | None:
    words = line.split()
    if not words or words[0].startswith("#"):
        return None
    first = words[1] if words[0] == "no" and len(words) > 1 else words[0]
    if first in _TRANSLATION:
        return "translation"
    return "filtering" if first in _FILTERING else None


def _insert(lines: list[str], place: int, hook: str) -> list[str]:
    before = lines[:place]
    if before and not before[-1].endswith("\n"):
        before = [*before[:-1], before[-1] + "\n"]
    return [*before, hook + "\n", *lines[place:]]
