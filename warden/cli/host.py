# SPDX-License-Identifier: BSD-2-Clause
"""`warden host`: a host itself."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from warden.cli import selection
from warden.cli.errors import REFUSED, UNREACHABLE, CommandLineError
from warden.cli.probe import probe
from warden.cli.selection import host_targets
from warden.cli.terminal import piped_input
from warden.cli.work import print_error
from warden.host.command import Command
from warden.host.errors import AddressError, ConnectionLostError, HostError, HostUnreachableError

if TYPE_CHECKING:
    from pathlib import Path


@click.group()
def host() -> None:
    """Look at a host itself."""


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
        with targets[0].open() as reached:
            result = reached.run([Command(argv=argv, stdin=stdin)])[0]
    except AddressError:
        raise
    except HostError as error:
        print_error(error)
        return UNREACHABLE if isinstance(error, (HostUnreachableError, ConnectionLostError)) else REFUSED
    sys.stdout.buffer.write(result.stdout)
    sys.stderr.buffer.write(result.stderr)
    return result.exit_code


host.add_command(probe)
