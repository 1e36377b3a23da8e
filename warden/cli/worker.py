# SPDX-License-Identifier: BSD-2-Clause
"""`warden worker`: jails for passing work, made and destroyed at request."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from warden.cli import selection
from warden.cli.errors import CommandLineError
from warden.cli.questions import ask_to_apply
from warden.cli.reading import find_agent, first_status, for_each
from warden.cli.selection import NoSpecError, host_targets, read_spec, spec_path
from warden.cli.terminal import out
from warden.cli.work import Job, change_hosts
from warden.engine.plan import dump_json
from warden.engine.worker import (
    MOST,
    Order,
    check_names,
    make_create_plan,
    make_worker_destroy_plan,
    read_workers,
    workers_to_json,
)
from warden.facts.probe import read_facts
from warden.resources.worker import said
from warden.spec.errors import RefusedValueError
from warden.spec.model import Limits
from warden.spec.values import size

if TYPE_CHECKING:
    from pathlib import Path

    from warden.cli.selection import Target
    from warden.engine.worker import WorkerStatus
    from warden.facts.model import Facts
    from warden.spec.model import AgentSpec

_ALL = "all"


class _Size(click.ParamType[int]):
    """A number of bytes, as the spec has it: 512M, 4G."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Give the bytes, or fail as click's own types do."""
        try:
            return size(value)
        except RefusedValueError as error:
            self.fail(f"{error}: {error.hint}", param, ctx)


@click.group()
def worker() -> None:
    """Make, list and destroy workers: jails of an agent for passing work, of which nothing is kept."""


@worker.command()
@click.argument("agent")
@click.option("--count", type=click.IntRange(1, MOST), default=1, show_default=True, help="How many.")
@click.option("--memory", type=_Size(), help="The memory of each: 2G. Without this, what the spec has for AGENT.")
@click.option("--processes", type=click.IntRange(min=1), help="The processes of each; otherwise as for --memory.")
@click.option("--cpu", type=click.IntRange(min=1), help="Percent of one CPU for each; otherwise as for --memory.")
@click.option("--quota", type=_Size(), help="The storage of each: 5G; otherwise as for --memory.")
@selection.file_option
@selection.env_file_option
@selection.host_option
@selection.json_option
@selection.yes_option
def create(
    agent: str,
    count: int,
    file: Path | None,
    env_file: Path | None,
    host: str | None,
    *,
    as_json: bool,
    yes: bool,
    **limits: int | None,
) -> int:
    """Make workers for AGENT, after finishing those whose create was cut off."""
    targets, network = host_targets(file, env_file, host)
    asked = _in_spec(agent, file, env_file)
    order = Order(
        count=count,
        limits=replace(
            asked.limits if asked is not None else Limits(),
            **{name: amount for name, amount in limits.items() if amount is not None},
        ),
        created=datetime.now(UTC).isoformat(),
        release=asked.release if asked is not None else None,
    )
    found, statuses = find_agent(targets, agent)
    if found is None:
        return first_status(statuses)
    number, _ = found
    job = Job(
        target=targets[number],
        read=partial(read_facts, agents=[agent], ask_jails=False),
        make=partial(make_create_plan, network.bridge, agent, order),
        what=f"making workers of {agent}",
    )
    statuses[number] = change_hosts([job], ask=None if yes else ask_to_apply, as_json=as_json)
    return first_status(statuses)


def _in_spec(agent: str, file: Path | None, env_file: Path | None) -> AgentSpec | None:
    try:
        return read_spec(spec_path(file, env_file)).agents.get(agent)
    except NoSpecError:
        return None


@worker.command(name="list")
@click.argument("agent")
@selection.file_option
@selection.env_file_option
@selection.host_option
@selection.json_option
def list_workers(agent: str, file: Path | None, env_file: Path | None, host: str | None, *, as_json: bool) -> int:
    """List the workers of AGENT, or those of `all` agents."""
    targets, _ = host_targets(file, env_file, host)
    if agent == _ALL:

        def show(target: Target, facts: Facts) -> int:
            _show(target, facts, None, as_json=as_json)
            return 0

        return for_each(targets, partial(read_facts, agents=(), ask_jails=False), show)
    found, statuses = find_agent(targets, agent)
    if found is not None:
        number, facts = found
        _show(targets[number], facts, agent, as_json=as_json)
    return first_status(statuses)


def _show(target: Target, facts: Facts, agent: str | None, *, as_json: bool) -> None:
    workers = read_workers(facts, agent)
    if as_json:
        out().print(dump_json(workers_to_json(target.label, facts, workers)))
    elif not workers:
        out().print(f"{agent or 'no agent'} has {'no' if agent else 'any'} worker on {target.label}")
    else:
        out().print(_table(target, workers))


def _table(target: Target, workers: tuple[WorkerStatus, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("worker", "agent", "host", "address", "release", "state", "limits"):
        table.add_column(heading, no_wrap=True)
    states = {"down": "down, and a boot does not start it", "unfinished": "unfinished: its create was cut off"}
    for one in workers:
        state = states.get(one.state, one.state)
        table.add_row(one.name, one.agent, target.label, one.address, one.release, state, said(one.limits) or "none")
    return table


@worker.command()
@click.argument("agent")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "everyone", is_flag=True, help="All workers of AGENT.")
@selection.file_option
@selection.env_file_option
@selection.host_option
@selection.json_option
@selection.yes_option
def destroy(
    agent: str,
    names: tuple[str, ...],
    file: Path | None,
    env_file: Path | None,
    host: str | None,
    *,
    everyone: bool,
    as_json: bool,
    yes: bool,
) -> int:
    """Destroy workers of AGENT with all that is in them; its workspace stays.

    NAME is a worker's name, or its number: w01.
    """
    if everyone == bool(names):
        raise CommandLineError(
            f"which workers of {agent} are to go?", hint=f"name them, or write --all: warden worker list {agent}"
        )
    targets, network = host_targets(file, env_file, host)
    found, statuses = find_agent(targets, agent)
    if found is None:
        return first_status(statuses)
    number, facts = found
    check_names(agent, names, facts)
    job = Job(
        target=targets[number],
        read=partial(read_facts, agents=[agent], ask_jails=False),
        make=partial(make_worker_destroy_plan, network.bridge, agent, None if everyone else names),
        what=f"destroying workers of {agent}",
    )
    statuses[number] = change_hosts([job], ask=None if yes else ask_to_apply, as_json=as_json)
    return first_status(statuses)
