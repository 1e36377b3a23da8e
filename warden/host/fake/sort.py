# SPDX-License-Identifier: BSD-2-Clause
"""sort(1)."""

from __future__ import annotations

from getopt import GetoptError, getopt

from warden.host.fake.filesystem import FileError
from warden.host.fake.program import Call, Reply, program, say


@program("/usr/bin/sort", "sort [-nru] [FILE...]")
def sort(call: Call) -> Reply:
    """Sort lines: by bytes, with -n by the number that they begin with."""
    try:
        found, names = getopt(list(call.args), "nru")
    except GetoptError:
        raise call.unsupported() from None
    options = {name for name, _ in found}
    data = b"" if names else call.stdin
    for name in names:
        try:
            data += call.files.read(call.path(name), root=call.root)
        except FileError as failure:
            return say(error=f"sort: cannot read: {name}: {failure.reason}\n", status=2)
    lines = data.decode("utf-8", "surrogateescape").splitlines()
    if "-u" in options:
        lines = list(dict.fromkeys(lines))
    lines.sort()
    if "-n" in options:
        lines.sort(key=leading_number)
    if "-r" in options:
        lines.reverse()
    return say("".join(f"{line}\n" for line in lines))


def leading_number(line: str) -> int:
    """Give the whole number that a line begins with, 0 for none."""
    text = line.strip()
    digits = text.lstrip("-")
    length = next((place for place, char in enumerate(digits) if not char.isdigit()), len(digits))
    return int(text[: len(text) - len(digits) + length]) if length else 0
