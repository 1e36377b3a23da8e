# SPDX-License-Identifier: BSD-2-Clause
"""`warden agent backup` and `warden agent upgrade`."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import click

from warden.cli import selection
from warden.cli.questions import ask_to_apply
from warden.cli.reading import find_agent, first_status
from warden.cli.selection import host_targets, read_spec, spec_path, spec_targets
from warden.cli.work import Job, change_hosts
from warden.engine.upkeep import make_backup_plan, make_upgrade_plan
from warden.facts.probe import read_facts

if TYPE_CHECKING:
    from pathlib import Path

    from warden.engine.plan import Plan
    from warden.facts.model import Facts


@click.command()
@click.argument("name")
@selection.file_option
@selection.env_file_option
@selection.host_option
@selection.json_option
def backup(name: str, file: Path | None, env_file: Path | None, host: str | None, *, as_json: bool) -> int:
    """Take one snapshot of all that the agent NAME has in its datasets, at one moment."""
    targets, _ = host_targets(file, env_file, host)
    found, statuses = find_agent(targets, name)
    if found is None:
        return first_status(statuses)
    number, _ = found
    stamp = _stamp()

    def make(facts: Facts) -> Plan:
        return make_backup_plan(name, facts, stamp)

    read = partial(read_facts, agents=[name], ask_jails=False)
    job = Job(target=targets[number], read=read, make=make, what=f"backing up {name}")
    statuses[number] = change_hosts([job], ask=None, as_json=as_json)
    return first_status(statuses)


@click.command()
@click.argument("name")
@selection.file_option
@selection.env_file_option
@selection.host_option
@selection.json_option
@selection.yes_option
def upgrade(name: str, file: Path | None, env_file: Path | None, host: str | None, *, as_json: bool, yes: bool) -> int:
    """Back up the agent NAME, and give its services the newest packages; each is started again."""
    spec = read_spec(spec_path(file, env_file))
    stamp = _stamp()
    jobs = [
        Job(
            target=target,
            read=partial(read_facts, agents=[name]),
            make=partial(make_upgrade_plan, spec, name, stamp=stamp),
            what=f"upgrading {name}",
        )
        for target in spec_targets(spec, host, [name])
    ]
    return change_hosts(jobs, ask=None if yes else ask_to_apply, as_json=as_json)


def _stamp() -> str:
    """Give this moment as the end of a snapshot's name."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
