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
from warden.resources.errors import RefusedError

if TYPE_CHECKING:
    from pathlib import Path

    from warden.engine.plan import Plan
    from warden.facts.model import Facts


@click.command()
@click.argument("agent")
@selection.file_option
@selection.env_file_option
@selection.host_option
@selection.yes_option
def destroy(agent: str, file: Path | None, env_file: Path | None, host: str | None, *, yes: bool) -> int:
    """Remove AGENT from its host: service, jails with all in them, addresses, registry entry."""
    targets, network = host_targets(file, env_file, host)
    found, statuses = find_agent(targets, agent)
    if found is None:
        return first_status(statuses)
    number, seen = found
    target = targets[number]
    if seen.registry[agent].protected:
        raise RefusedError(
            f"{agent} is protected on {target.label}", hint="take `protected = true` out of its spec, and apply"
        )

    def make(facts: Facts) -> Plan:
        if agent in facts.registry:
            return make_destroy_plan(network, agent, facts)
        return make_gone_plan(facts)

    job = Job(target=target, read=partial(read_facts, agents=[agent]), make=make, what=f"destroying {agent}")
    statuses[number] = change_hosts([job], ask=None if yes else ask_for_name(agent))
    return first_status(statuses)
