# SPDX-License-Identifier: BSD-2-Clause
"""What `sysrc -ae` prints: every rc.conf variable that differs from its default, as `name="value"`."""

from __future__ import annotations

import re

from warden.facts.errors import FactsError

_START = re.compile(r'^([A-Za-z0-9_][A-Za-z0-9_-]*)="(.*)$')


def parse_sysrc(text: str) -> dict[str, str]:
    r"""Give the variables and their values.

    sysrc does not escape what it prints, so a value ends at the last quote of its last line; one with a newline
    goes on until a line that ends in a quote. Raises FactsError for a line outside any value.
    """
    variables: dict[str, str] = {}
    name = ""
    value: list[str] = []
    for line in text.splitlines():
        part = line
        if not name:
            start = _START.match(line)
            if start is None:
                raise FactsError(
                    f"sysrc -ae: a line that is not understood: {line!r}",
                    hint="see /etc/rc.conf on the host: rc(8) reads it as a script, and so must be able to do this",
                )
            name, part = start[1], start[2]
            value = []
        if part.endswith('"'):
            variables[name] = "\n".join([*value, part[:-1]])
            name = ""
        else:
            value.append(part)
    if name:
        raise FactsError(f"sysrc -ae: the value of {name} does not end")
    return variables
