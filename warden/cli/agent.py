# SPDX-License-Identifier: BSD-2-Clause
"""`warden agent`: the agents of a spec and of its hosts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, get_args

import click
import tomlkit
from rich.table import Table
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import InlineTable

from warden.cli import selection
from warden.cli.errors import CommandLineError
from warden.cli.files import read_text, replace_text
from warden.cli.reading import find_agent, first_status, for_each
from warden.cli.selection import host_targets, spec_path
from warden.cli.status import print_status
from warden.cli.terminal import out
from warden.cli.upkeep import backup, upgrade
from warden.engine.plan import dump_json
from warden.engine.status import read_status, status_to_json
from warden.facts.probe import read_facts
from warden.network.errors import NetworkError
from warden.network.names import check_agent_name
from warden.resources.spec_check import check_spec
from warden.spec.errors import Problem, SpecError
from warden.spec.model import Service, Spec
from warden.spec.toml_spec import read_toml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from warden.cli.selection import Target
    from warden.facts.model import Facts


@click.group()
def agent() -> None:
    """List, show and add agents, and keep them well."""


for command in (backup, upgrade):
    agent.add_command(command)


@agent.command(name="list")
@selection.file_option
@selection.env_file_option
@selection.host_option
@selection.json_option
def list_agents(file: Path | None, env_file: Path | None, host: str | None, *, as_json: bool) -> int:
    """List the agents that the hosts have."""
    targets, network = host_targets(file, env_file, host)

    def show(target: Target, facts: Facts) -> int:
        agents = read_status(facts, network.bridge)
        if as_json:
            out().print(dump_json(status_to_json(target.label, facts, agents)))
            return 0
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("agent", "host", "subnet", "jails", "service", "state"):
            table.add_column(heading, no_wrap=True)
        for entry in agents:
            up = sum(jail.up for jail in entry.jails)
            state = "healthy" if entry.healthy else "not healthy"
            table.add_row(entry.name, target.label, entry.subnet, f"{up}/{len(entry.jails)} up", entry.service, state)
        out().print(table if agents else f"no agent is registered on {target.label}")
        return 0

    return for_each(targets, partial(read_facts, agents=()), show)


@agent.command()
@click.argument("name")
@selection.file_option
@selection.env_file_option
@selection.host_option
@selection.json_option
def show(name: str, file: Path | None, env_file: Path | None, host: str | None, *, as_json: bool) -> int:
    """Show one agent, and how it is."""
    targets, network = host_targets(file, env_file, host)
    found, statuses = find_agent(targets, name)
    if found is None:
        return first_status(statuses)
    number, facts = found
    target = targets[number]
    agents = tuple(entry for entry in read_status(facts, network.bridge) if entry.name == name)
    if as_json:
        out().print(dump_json(status_to_json(target.label, facts, agents)))
    else:
        print_status(target.label, facts, agents)
    return first_status(statuses)


@agent.command()
@click.argument("name")
@selection.file_option
@click.option("--on", "host", help="The host of the spec that it goes to, where there are several.")
@click.option("--subnet", help="Its /24; without it the first free one.")
@click.option("--service", "services", multiple=True, type=click.Choice(get_args(Service)), help="May be repeated.")
def add(name: str, file: Path | None, host: str | None, subnet: str | None, services: tuple[str, ...]) -> int:
    """Add an agent to warden.toml; what is written there, comments included, stays as it is."""
    try:
        check_agent_name(name)
    except NetworkError as error:
        raise CommandLineError(str(error), hint=error.hint) from error
    path = spec_path(file, None)
    if path.suffix != ".toml":
        raise CommandLineError(f"{path} is the .env of one agent", hint="begin a warden.toml with: warden init")
    text = read_text(path)
    there = _checked(path, text)
    if name in there.agents:
        raise CommandLineError(f"{path} has an agent {name} already", hint=f"edit its table [agents.{name}]")
    values: dict[str, object] = {"host": host, "subnet": subnet, "services": list(services)}
    # without services those of [defaults] are the agent's
    added = _with_agent(path, text, name, {key: value for key, value in values.items() if value})
    try:
        spec = _checked(path, added)  # an agent that makes the spec invalid is refused before the file is touched
    except SpecError as error:
        # the lines of what was never written would lead nowhere
        raise SpecError(Problem(path=path, message=each.message, hint=each.hint) for each in error.problems) from None
    if {other: agent for other, agent in spec.agents.items() if other != name} != dict(there.agents):
        raise CommandLineError(
            f"{path}: {name} cannot be added without changing its other agents",
            hint=f"write the table [agents.{name}] into it yourself",
        )
    replace_text(path, added)
    out().print(f"added {name} to {path}; see what it would do: warden plan")
    return 0


def _checked(path: Path, text: str) -> Spec:
    spec = read_toml(path, text, directory=path.absolute().parent)
    check_spec(spec)
    return spec


def _with_agent(path: Path, text: str, name: str, values: Mapping[str, object]) -> str:
    try:
        document = tomlkit.parse(text)
        if "agents" not in document:
            document["agents"] = tomlkit.table(is_super_table=True)
        agents = document["agents"]
        table = tomlkit.inline_table() if isinstance(agents, InlineTable) else tomlkit.table()
        table.update(values)
        agents[name] = table
        return tomlkit.dumps(document)
    except (TOMLKitError, ValueError, TypeError) as error:
        raise CommandLineError(
            f"{path}: {name} cannot be added: {error}", hint=f"write the table [agents.{name}] into it yourself"
        ) from error
