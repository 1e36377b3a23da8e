# SPDX-License-Identifier: BSD-2-Clause
"""`warden plan` and `warden apply`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from warden.cli import selection
from warden.cli.errors import CHANGES, REFUSED
from warden.cli.placed import plan_for
from warden.cli.selection import read_spec, spec_path, spec_targets
from warden.cli.work import ask_to_apply, change_host, for_each, show_plan

if TYPE_CHECKING:
    from pathlib import Path

    from warden.cli.selection import Target


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

    def act(target: Target) -> int:
        shown = show_plan(target, lambda facts: plan_for(spec, target, facts), target.agents, as_json=as_json)
        if shown.conflicts:
            return REFUSED
        return CHANGES if exit_code and shown.changes else 0

    return for_each(spec_targets(spec, host, agents), act)


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

    def act(target: Target) -> int:
        return change_host(
            target,
            lambda facts: plan_for(spec, target, facts),
            target.agents,
            what=f"applying {spec.path.name}",
            ask=None if yes else ask_to_apply,
            as_json=as_json,
        )

    return for_each(spec_targets(spec, host, agents), act)
