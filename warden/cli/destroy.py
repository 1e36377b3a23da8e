# SPDX-License-Identifier: BSD-2-Clause
"""`warden destroy`: the one way to lose an agent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from warden.cli import selection
from warden.cli.selection import host_targets
from warden.cli.work import ask_for_name, change_host
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
    for target in targets:
        with target.open() as reached:
            registered = read_facts(reached, [agent]).registry.get(agent)
        if registered is None:
            continue
        if registered.protected:
            raise RefusedError(
                f"{agent} is protected on {target.label}", hint="take `protected = true` out of its spec, and apply"
            )

        def make(facts: Facts) -> Plan:
            if agent in facts.registry:
                return make_destroy_plan(network, agent, facts)
            return make_gone_plan(facts)

        return change_host(
            replace(target, agents=(agent,)),
            make,
            [agent],
            what=f"destroying {agent}",
            ask=None if yes else ask_for_name(agent),
        )
    where = ", ".join(target.label for target in targets)
    raise RefusedError(f"no agent {agent} is registered on {where}", hint="see: warden agent list")
