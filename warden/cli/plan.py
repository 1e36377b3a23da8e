# SPDX-License-Identifier: BSD-2-Clause
"""`warden plan` and `warden apply`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from warden.cli import selection
from warden.cli.errors import CHANGES
from warden.cli.placed import jobs_for
from warden.cli.questions import ask_to_apply
from warden.cli.selection import read_spec, spec_path, spec_targets
from warden.cli.work import change_hosts, show_plans

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@selection.file_option
@selection.env_file_option
@selection.host_option
@selection.agent_option
@selection.json_option
@click.option("--exit-code", is_flag=True, help=f"Exit {CHANGES} where there are changes.")
def plan(
    file: Path | None,
    env_file: Path | None,
    host: str | None,
    agents: tuple[str, ...],
    *,
    as_json: bool,
    exit_code: bool,
) -> int:
    """Show what would change, and why; change nothing."""
    spec = read_spec(spec_path(file, env_file))
    jobs = jobs_for(spec, spec_targets(spec, host, agents), what="planning")
    return show_plans(jobs, as_json=as_json, exit_code=exit_code)


@click.command()
@selection.file_option
@selection.env_file_option
@selection.host_option
@selection.agent_option
@selection.json_option
@selection.yes_option
def apply(
    file: Path | None, env_file: Path | None, host: str | None, agents: tuple[str, ...], *, as_json: bool, yes: bool
) -> int:
    """Carry the plan out, and read the hosts back."""
    spec = read_spec(spec_path(file, env_file))
    jobs = jobs_for(spec, spec_targets(spec, host, agents), what=f"applying {spec.path.name}")
    return change_hosts(jobs, ask=None if yes else ask_to_apply, as_json=as_json)
