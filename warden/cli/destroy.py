# SPDX-License-Identifier: BSD-2-Clause
"""`warden destroy`: the one way to lose an agent."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from warden.cli import selection
from warden.cli.questions import ask_for_name
from warden.cli.reading import find_agent, first_status
from warden.cli.selection import host_targets
from warden.cli.work import Job, change_hosts
from warden.engine.plan import make_destroy_plan, make_gone_plan
from warden.facts.probe import read_facts

if TYPE_CHECKING:
    from pathlib import Path

    from warden.cli.selection import Target
    from warden.engine.plan import Plan
    from warden.facts.model import Facts
    from warden.spec.model import NetworkSpec


@click.command()
@click.argument("agent")
@selection.file_option
@selection.env_file_option
@selection.host_option
@selection.yes_option
@selection.json_option
@selection.confirm_option
@click.option("--purge", is_flag=True, help="Keep nothing of what is in its jails.")
def destroy(
    agent: str,
    file: Path | None,
    env_file: Path | None,
    host: str | None,
    *,
    yes: bool,
    as_json: bool,
    confirm: bool,
    purge: bool,
) -> int:
    """Remove AGENT from its host: service, jails, addresses, registry entry.

    What is in its jails is kept, read-only and out of the way, unless --purge says otherwise.
    """
    targets, network = host_targets(file, env_file, host)
    found, statuses = find_agent(targets, agent)
    if found is None:
        return first_status(statuses)
    number, _ = found
    job = destroy_job(targets[number], network, agent, purge=purge)
    statuses[number] = change_hosts([job], ask=None if yes else ask_for_name(agent), as_json=as_json, confirm=confirm)
    return first_status(statuses)


def destroy_job(target: Target, network: NetworkSpec, agent: str, *, purge: bool) -> Job[Facts]:
    """Give what removes an agent from a host."""

    def make(facts: Facts) -> Plan:
        if agent in facts.registry:
            return make_destroy_plan(network, agent, facts, keep_data=not purge)
        return make_gone_plan(facts, agent)

    return Job(target=target, read=partial(read_facts, agents=[agent]), make=make, what=f"destroying {agent}")
