# SPDX-License-Identifier: BSD-2-Clause
"""`warden plan` and `warden apply`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from warden.cli import selection
from warden.cli.errors import CHANGES, CommandLineError
from warden.cli.kept import kept_jobs, plan_and_keep
from warden.cli.placed import jobs_for
from warden.cli.prune import prune_around
from warden.cli.questions import ask_to_apply
from warden.cli.selection import read_spec, spec_path, spec_targets
from warden.cli.work import change_hosts, show_plans

if TYPE_CHECKING:
    from collections.abc import Sequence

    from warden.cli.selection import Target
    from warden.spec.model import Spec

replace_option = click.option(
    "--replace",
    "replaces",
    multiple=True,
    metavar="KIND:NAME",
    help="Give up what stands in the way and is not Warden's: jail:, script:, alias:, anchor:. May be repeated.",
)


@click.command()
@selection.file_option
@selection.env_file_option
@selection.host_option
@selection.agent_option
@selection.json_option
@replace_option
@click.option("--exit-code", is_flag=True, help=f"Exit {CHANGES} where there are changes.")
@click.option("-o", "keep_in", type=click.Path(path_type=Path), help="Keep the plan in a file, for `apply PLANFILE`.")
def plan(
    file: Path | None,
    env_file: Path | None,
    host: str | None,
    *,
    agents: tuple[str, ...],
    replaces: tuple[str, ...],
    as_json: bool,
    exit_code: bool,
    keep_in: Path | None,
) -> int:
    """Show what would change, and why; change nothing."""
    spec = read_spec(spec_path(file, env_file))
    targets = spec_targets(spec, host, agents)
    _check_one_host(replaces, targets)
    jobs = jobs_for(spec, targets, what="planning", replaces=replaces)
    if keep_in is not None:
        return plan_and_keep(keep_in, spec, jobs, replaces, as_json=as_json, exit_code=exit_code)
    return show_plans(jobs, as_json=as_json, exit_code=exit_code)


@click.command()
@click.argument("planfile", required=False, type=click.Path(path_type=Path))
@selection.file_option
@selection.env_file_option
@selection.host_option
@selection.agent_option
@selection.json_option
@selection.yes_option
@selection.confirm_option
@replace_option
@click.option("--prune", is_flag=True, help="Destroy the agents of these hosts that the warden.toml does not name.")
def apply(
    planfile: Path | None,
    file: Path | None,
    env_file: Path | None,
    host: str | None,
    *,
    agents: tuple[str, ...],
    replaces: tuple[str, ...],
    as_json: bool,
    yes: bool,
    confirm: bool,
    prune: bool,
) -> int:
    """Carry the plan out, and read the hosts back.

    PLANFILE is what `warden plan -o` kept: exactly that is carried out, or nothing where a host has changed since.
    """
    ask = None if yes else ask_to_apply
    if planfile is not None:
        _check_alone(planfile, any((file, env_file, host, agents, replaces, prune)))
        return change_hosts(kept_jobs(planfile), ask=ask, as_json=as_json, confirm=confirm)
    spec = read_spec(spec_path(file, env_file))
    targets = spec_targets(spec, host, agents)
    _check_one_host(replaces, targets)
    jobs = jobs_for(spec, targets, what=f"applying {spec.path.name}", replaces=replaces)
    if not prune:
        return change_hosts(jobs, ask=ask, as_json=as_json, confirm=confirm)
    _check_whole(spec, agents)
    return prune_around(
        spec,
        targets,
        yes=yes,
        as_json=as_json,
        apply=lambda: change_hosts(jobs, ask=ask, as_json=as_json, confirm=confirm),
    )


def _check_one_host(replaces: tuple[str, ...], targets: Sequence[Target]) -> None:
    if replaces and len(targets) > 1:
        raise CommandLineError(
            "--replace is about what stands on one host", hint="name that host with --host, or its agent with --agent"
        )


def _check_alone(planfile: Path, more: bool) -> None:  # noqa: FBT001 - whether anything else was named
    if more:
        raise CommandLineError(
            f"{planfile} says by itself for which spec, hosts and agents it is",
            hint="a spec is named with -f or --env-file; a plan that was kept is named alone",
        )


def _check_whole(spec: Spec, agents: tuple[str, ...]) -> None:
    if agents or spec.path.suffix != ".toml":
        raise CommandLineError(
            "--prune is about a whole warden.toml", hint="to remove one agent from its host: warden destroy AGENT"
        )
