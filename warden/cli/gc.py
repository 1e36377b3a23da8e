# SPDX-License-Identifier: BSD-2-Clause
"""`warden gc`: what was left behind, and is nobody's any more."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from warden.cli import selection
from warden.cli.questions import ask_to_apply
from warden.cli.selection import host_targets
from warden.cli.work import Job, change_hosts
from warden.engine.gc import make_gc_plan
from warden.facts.probe import read_facts

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@selection.file_option
@selection.env_file_option
@selection.host_option
@selection.json_option
@selection.yes_option
def gc(file: Path | None, env_file: Path | None, host: str | None, *, as_json: bool, yes: bool) -> int:
    """Remove what carries Warden's mark and belongs to no registered agent.

    What is in jails is kept, as `destroy` keeps it. What carries no mark is not touched.
    """
    targets, _ = host_targets(file, env_file, host)
    jobs = [
        Job(target=target, read=partial(read_facts, agents=(), ask_jails=False), make=make_gc_plan, what="sweeping up")
        for target in targets
    ]
    return change_hosts(jobs, ask=None if yes else ask_to_apply, as_json=as_json)
