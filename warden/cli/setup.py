# SPDX-License-Identifier: BSD-2-Clause
"""`warden setup --step`: one part of an agent, as the guide's recipes have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import click

from warden.cli import selection
from warden.cli.placed import jobs_for
from warden.cli.selection import read_spec, spec_path, spec_targets
from warden.cli.work import change_hosts
from warden.resources.resolve import Scope
from warden.spec.model import Service

if TYPE_CHECKING:
    from pathlib import Path

SERVICES: tuple[Service, ...] = get_args(Service)
STEPS = ("network", "pf", *SERVICES, "service")


@click.command()
@click.option("--step", type=click.Choice(STEPS), required=True, help="Which part to set up.")
@selection.file_option
@selection.env_file_option
@selection.host_option
@selection.agent_option
@selection.confirm_option
def setup(
    step: str, file: Path | None, env_file: Path | None, host: str | None, agents: tuple[str, ...], *, confirm: bool
) -> int:
    """Set up one part of the agent whose .env is here, and what that part stands on.

    A jail stands on the agent's network, and that on the bridge and pf. It may be repeated.
    """
    spec = read_spec(spec_path(file, env_file))
    services = tuple(service for service in SERVICES if service == step)
    scope = Scope(services=services, service=step == "service")
    targets = spec_targets(spec, host, agents)
    jobs = jobs_for(spec, targets, what=f"setting up {step} from {spec.path.name}", scope=scope)
    return change_hosts(jobs, ask=None, confirm=confirm)
