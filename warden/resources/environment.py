# SPDX-License-Identifier: BSD-2-Clause
"""An agent's env file on the host: what stands in it, and what of it is made only when a plan is carried out.

A value that is there stays, and so does its place in the file: the spec's own variables win, what is missing is
appended. A secret that nobody gave stands in a plan as a mark with its name, and `fill` puts its value there.
"""

from __future__ import annotations

import re
import secrets
import shlex
from typing import TYPE_CHECKING

from warden.facts.registry import REGISTRY
from warden.host.files import write_file
from warden.resources.marks import FILE_MARK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warden.facts.model import Facts
    from warden.host.command import Command
    from warden.resources.desired import DesiredAgent

_MODE = 0o600
_SECRET_BYTES = 24
# no env file can hold a NUL byte: so nothing that an operator wrote is ever taken for a mark
_MARK = re.compile(rb"\0([A-Z_]+)\0")


def env_path(agent: str) -> str:
    """Give the path of an agent's env file."""
    return f"{REGISTRY}/{agent}.env"


def wanted(agent: DesiredAgent, facts: Facts) -> dict[str, str]:
    """Give the variables of an agent's env file in their order, with a mark for each secret that is to be made."""
    return {**_known(agent, facts), **{name: f"\0{name}\0" for name in to_make(agent, facts)}}


def to_make(agent: DesiredAgent, facts: Facts) -> list[str]:
    """Give the names of the secrets that the next apply makes for an agent."""
    known = _known(agent, facts)
    return [name for name in agent.secrets if not known.get(name)]


def _known(agent: DesiredAgent, facts: Facts) -> dict[str, str]:
    there = {name: secret.reveal() for name, secret in facts.environments.get(agent.name, {}).items()}
    return {**there, **agent.environment}


def drift(agent: DesiredAgent, facts: Facts) -> str:
    """Say what of an env file differs: names of variables, its mode and owner, never a value; '' for nothing."""
    file = facts.files.get(env_path(agent.name))
    if file is None:
        return "environment absent -> there"
    names = different(agent, facts)
    if names:
        return f"environment: {', '.join(names)} differ{'s' if len(names) == 1 else ''}"
    if (file.mode, file.owner) != (_MODE, "root"):
        return f"environment: {file.mode:04o} {file.owner} -> {_MODE:04o} root"
    return ""


def different(agent: DesiredAgent, facts: Facts) -> list[str]:
    """Give the names of the variables whose values are to become others, in the order of their names."""
    there = facts.environments.get(agent.name, {})
    return sorted(
        name for name, value in wanted(agent, facts).items() if name not in there or there[name].reveal() != value
    )


def write(agent: str, environment: Mapping[str, str]) -> Command:
    """Give the command that writes an agent's env file, which only root can read."""
    lines = [f"# {FILE_MARK}: the environment of {agent}; rc.subr(8) reads it as sh does"]
    lines += [f"{name}={_quoted(value)}" for name, value in environment.items()]
    content = "\n".join(lines) + "\n"
    return write_file(env_path(agent), content.encode("utf-8", "surrogateescape"), mode="0600", secret=True)


def _quoted(value: str) -> str:
    # what is made needs no quotes: see fill
    return value if _MARK.fullmatch(value.encode("utf-8", "surrogateescape")) else shlex.quote(value)


def fill(stdin: bytes) -> bytes:
    """Give a command's input with a new value in the place of each mark: letters, digits, `-` and `_`."""
    return _MARK.sub(lambda _mark: secrets.token_urlsafe(_SECRET_BYTES).encode(), stdin)
