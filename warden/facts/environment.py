# SPDX-License-Identifier: BSD-2-Clause
"""An agent's env file on the host: `KEY=value` lines, quoted as sh does, since rc.subr sources them."""

from __future__ import annotations

import re
import shlex

from warden.facts.errors import FactsError
from warden.host.secret import Secret

_ASSIGNMENT = re.compile(r"^([A-Za-z_][A-Za-z0-9_]*)=", re.MULTILINE)


def parse_environment(path: str, text: str) -> dict[str, Secret]:
    """Give the variables of an env file; their values are secrets from here on.

    Raises FactsError, naming the file but no value, where a line assigns nothing.
    """
    try:
        words = shlex.split(text, comments=True, posix=True)
    except ValueError as error:
        raise FactsError(f"{path}: a quote that does not end", hint="mend the file on the host") from error
    variables = {}
    for number, word in enumerate(words, start=1):
        found = _ASSIGNMENT.match(word)
        if found is None:
            raise FactsError(f"{path}: entry {number} is no NAME=value", hint="mend the file on the host")
        variables[found[1]] = Secret(word[found.end() :])
    return variables
