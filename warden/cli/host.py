# SPDX-License-Identifier: BSD-2-Clause
"""`warden host`: a host itself."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
from rich.table import Table

from warden.cli import selection
from warden.cli.bootstrap import bootstrap
from warden.cli.errors import REFUSED, UNREACHABLE, CommandLineError
from warden.cli.probe import probe
from warden.cli.render import print_error
from warden.cli.selection import host_targets, read_spec, spec_path, targets_of
from warden.cli.terminal import ask_secret, out, piped_input
from warden.cli.trust import trust
from warden.engine.plan import dump_json
from warden.host.command import Command
from warden.host.errors import AddressError, ConnectionLostError, HostError, HostUnreachableError

if TYPE_CHECKING:
    from pathlib import Path

JSON_VERSION = 1


@click.group()
def host() -> None:
    """List hosts, look at one itself, and get it ready."""


@host.command(context_settings={"ignore_unknown_options": True})
@selection.file_option
@selection.env_file_option
@selection.host_option
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED)
def run(argv: tuple[str, ...], file: Path | None, env_file: Path | None, host: str | None) -> int:
    """Run one command on a host: its output and its exit status pass through as they are.

    What comes in on standard input, where it is no terminal, goes to the command.
    """
    if not argv[0]:
        raise CommandLineError("the command has an empty name", hint="write it after --: warden host run -- uname -a")
    targets, _ = host_targets(file, env_file, host, network_needed=False)
    if len(targets) != 1:
        names = ", ".join(target.label for target in targets)
        raise CommandLineError(f"there are several hosts: {names}", hint="name one with --host")
    stdin = piped_input()
    try:
        with targets[0].open(ask_secret) as reached:
            result = reached.run([Command(argv=argv, stdin=stdin)])[0]
    except AddressError:
        raise
    except HostError as error:
        print_error(error)
        return UNREACHABLE if isinstance(error, (HostUnreachableError, ConnectionLostError)) else REFUSED
    sys.stdout.buffer.write(result.stdout)
    sys.stderr.buffer.write(result.stderr)
    return result.exit_code


@host.command(name="list")
@selection.file_option
@selection.env_file_option
@selection.json_option
def list_hosts(file: Path | None, env_file: Path | None, *, as_json: bool) -> int:
    """List the hosts of the spec, and which agents belong there; none of them is asked."""
    spec = read_spec(spec_path(file, env_file))
    targets = targets_of(spec, tuple(spec.agents))
    if as_json:
        hosts = [
            {"name": one.label, "address": one.address, "become": one.become, "agents": list(one.agents)}
            for one in targets
        ]
        out().print(dump_json({"version": JSON_VERSION, "hosts": hosts}))
        return 0
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("host", "address", "become", "agents"):
        table.add_column(heading, no_wrap=True)
    for one in targets:
        table.add_row(one.label, one.address, one.become, ", ".join(one.agents) or "none")
    out().print(table)
    return 0


for command in (bootstrap, probe, trust):
    host.add_command(command)
