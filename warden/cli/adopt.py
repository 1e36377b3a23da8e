# SPDX-License-Identifier: BSD-2-Clause
"""`warden adopt`: an agent that was set up by hand becomes Warden's, and nothing is made anew."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from warden.cli import selection
from warden.cli.questions import ask_to_apply
from warden.cli.selection import read_spec, spec_path, spec_targets
from warden.cli.work import Job, change_hosts
from warden.engine.adopt import make_adopt_plan
from warden.facts.probe import read_facts

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.argument("agent")
@selection.file_option
@selection.env_file_option
@selection.host_option
@selection.json_option
@selection.yes_option
def adopt(agent: str, file: Path | None, env_file: Path | None, host: str | None, *, as_json: bool, yes: bool) -> int:
    """Take over AGENT, which stands on its host already, as its spec has it.

    What fits is marked and registered; what differs is shown and left alone, and is for the next plan.
    """
    spec = read_spec(spec_path(file, env_file))
    jobs = [
        Job(
            target=target,
            read=partial(read_facts, agents=[agent]),
            make=partial(make_adopt_plan, spec, agent),
            what=f"adopting {agent}",
        )
        for target in spec_targets(spec, host, [agent])
    ]
    return change_hosts(jobs, ask=None if yes else ask_to_apply, as_json=as_json)
