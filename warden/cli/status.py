# SPDX-License-Identifier: BSD-2-Clause
"""`warden status`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click
from rich.text import Text

from warden.cli import selection
from warden.cli.reading import for_each
from warden.cli.selection import host_targets
from warden.cli.terminal import out
from warden.engine.plan import dump_json
from warden.engine.status import read_status, status_to_json
from warden.facts.probe import read_facts

if TYPE_CHECKING:
    from pathlib import Path

    from warden.cli.selection import Target
    from warden.engine.status import AgentStatus
    from warden.facts.model import Facts


_STATES = {"warning": "warning", "ill": "not healthy", "down": "down"}
_COLOURS = {"healthy": "green", "warning": "yellow", "ill": "red", "down": "red"}


@click.command()
@selection.file_option
@selection.env_file_option
@selection.host_option
@selection.json_option
def status(file: Path | None, env_file: Path | None, host: str | None, *, as_json: bool) -> int:
    """Show the agents of a host, and how each is."""
    targets, network = host_targets(file, env_file, host)

    def show(target: Target, facts: Facts) -> int:
        agents = read_status(facts, network.bridge)
        if as_json:
            out().print(dump_json(status_to_json(target.label, facts, agents)))
        else:
            print_status(target.label, facts, agents)
        return 0

    return for_each(targets, partial(read_facts, agents=()), show)


def print_status(label: str, facts: Facts, agents: tuple[AgentStatus, ...]) -> None:
    """Print the state of a host for people."""
    console = out()
    console.print(Text(f"{label}  FreeBSD {facts.release}", style="bold"))
    if not agents:
        console.print("no agent is registered on this host")
    for agent in agents:
        console.print()
        head = Text(f"{agent.name}  {agent.subnet}  ", style="bold")
        console.print(head.append("healthy" if agent.healthy else "not healthy", style=_style(good=agent.healthy)))
        pairs = [
            *((jail.name, jail.address) for jail in agent.jails),
            *((one.name, one.address) for one in agent.workers),
        ]
        names = max(len(name) for name in (agent.name, *(name for name, _ in pairs)))
        addresses = max(len(address) for address in (agent.gateway, *(address for _, address in pairs)))
        console.print(f"  gateway  {'':{names}}  {agent.gateway:{addresses}}  {_gateway(agent)}")
        services = max((len(jail.service) for jail in agent.jails), default=0)
        for jail in agent.jails:
            line = Text(f"  jail     {jail.name:{names}}  {jail.address:{addresses}}  {jail.service:{services}}  ")
            line.append("up" if jail.up else "down", style=_style(good=jail.up))
            line.append(f"  {jail.version or 'not installed'}  ")
            words = jail.state if not jail.why else f"{_STATES[jail.state]}: {jail.why}"
            console.print(line.append(words, style=_COLOURS[jail.state]))
        for worker in agent.workers:
            console.print(f"  worker   {worker.name:{names}}  {worker.address:{addresses}}  {worker.state}")
        if agent.service != "none":
            boot = "starts at boot" if agent.enabled else "does not start at boot"
            line = Text(f"  service  {agent.name:{names}}  {'':{addresses}}  ")
            line.append(agent.service, style=_style(good=agent.service == "running"))
            console.print(line.append(f", {boot}, {agent.locale}"))


def _style(*, good: bool) -> str:
    return "green" if good else "red"


def _gateway(agent: AgentStatus) -> str:
    words = ["live" if agent.gateway_live else "not live", "at boot" if agent.gateway_at_boot else "not at boot"]
    return ", ".join([*words, "in pf's table" if agent.nat else "not in pf's table"])
