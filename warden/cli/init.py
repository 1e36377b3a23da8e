# SPDX-License-Identifier: BSD-2-Clause
"""`warden init`: a spec to begin with."""

from __future__ import annotations

import re
from pathlib import Path

import click

from warden.cli.files import current_folder, is_there, write_new
from warden.cli.selection import ENV_NAME, TOML_NAME
from warden.cli.terminal import out
from warden.network.errors import NetworkError
from warden.network.names import AGENT_NAME_MAX, check_agent_name

_TOML = """\
# What should be on your hosts. See it as a plan with `warden plan`, carry it out with `warden apply`.

[hosts.alpha]
address = "local"                  # or "fake:alpha.json", a machine to rehearse on

[network]
bridge = "warden0"
# reserved = ["10.0.0.0/16"]       # ranges that no agent may get
# isolation = "routed"             # or "open": agents reach one another

[defaults]
release = "15.1-RELEASE"

[agents.atlas]
display_name = "Atlas"
services = ["git", "cms", "db"]    # git cms db llama-cpp ollama
# subnet = "10.0.1.0/24"           # else the first free /24
# command = ["/usr/local/bin/node", "dist/index.js"]
# locale = { display = "sl-SI", assistant = "sl-SI", system = "sl_SI.UTF-8" }
"""

_ENV = """\
# One agent. Every key that Warden does not know is handed on to the agent's service.
AGENT_NAME={name}
ASSISTANT_NAME={title}

# Its /24, and the gateway that the host has there. Without these Warden takes the first free one.
#AGENT_SUBNET_BASE=10.0.1
#WARDEN_GATEWAY=10.0.1.1
#WARDEN_SUBNET=10.0.1.0/24

# Which jails it has: git cms db llama-cpp ollama
AGENT_SERVICES=git,cms,db

# The locale of the service must be UTF-8, and one that `locale -a` lists on the host.
DISPLAY_LOCALE=en-US
ASSISTANT_LOCALE=en-US
SYSTEM_LOCALE=C.UTF-8
"""

_JUSTFILE = """\
# The recipes of the multi-agent guide, for the agent whose .env lies here.

set positional-arguments

[private]
default:
    @just --list

# set up one part: just setup -- --step llama-cpp
setup *args:
    @if [ "${1-}" = -- ]; then shift; fi; exec warden setup "$@"

setup-db: (setup "--step" "db")

setup-git: (setup "--step" "git")

setup-cms: (setup "--step" "cms")

plan *args:
    @exec warden plan "$@"

apply *args:
    @exec warden apply "$@"

status *args:
    @exec warden status "$@"
"""


@click.command()
@click.option("--env", "as_env", is_flag=True, help="Begin a .env for one agent, and a justfile beside it.")
def init(*, as_env: bool) -> int:
    """Write a first spec into this folder; a file that is there is left alone."""
    if not as_env:
        write_new(Path(TOML_NAME), _TOML)
        out().print(f"wrote {TOML_NAME}; see what it would do: warden plan")
        return 0
    name = _agent_name(current_folder().name)
    write_new(Path(ENV_NAME), _ENV.format(name=name, title=name.title()))
    written = [ENV_NAME]
    if not is_there(Path("justfile")):
        write_new(Path("justfile"), _JUSTFILE)
        written.append("justfile")
    out().print(f"wrote {' and '.join(written)}; see what it would do: warden plan")
    return 0


def _agent_name(folder: str) -> str:
    """Make an agent's name of a folder's: small letters, digits and single hyphens, a letter first."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-").lstrip("-0123456789")[:AGENT_NAME_MAX].rstrip("-")
    try:
        check_agent_name(name)
    except NetworkError:  # a folder may be called system
        return "agent"
    return name
