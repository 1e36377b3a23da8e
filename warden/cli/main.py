# SPDX-License-Identifier: BSD-2-Clause
"""The command `warden`: what it understands, and how it ends."""

from __future__ import annotations

import contextlib
import io
import os
import sys

import click

from warden import __version__
from warden.cli.adopt import adopt
from warden.cli.agent import agent
from warden.cli.demo import demo
from warden.cli.destroy import destroy
from warden.cli.doctor import doctor
from warden.cli.errors import FAILED, KNOWN, USAGE, exit_status
from warden.cli.gc import gc
from warden.cli.host import host
from warden.cli.init import init
from warden.cli.log import log
from warden.cli.plan import apply, plan
from warden.cli.render import print_error
from warden.cli.setup import setup
from warden.cli.status import status
from warden.cli.terminal import err, is_set
from warden.cli.worker import worker

_INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="warden", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show where in Warden an error comes from.")
def cli(*, debug: bool) -> None:
    """Agents on FreeBSD hosts: read a host, show the difference to a spec as a plan, apply it."""
    if debug:
        os.environ["WARDEN_DEBUG"] = "1"


for command in (init, demo, plan, apply, status, log, doctor, destroy, adopt, gc, setup, agent, worker, host):
    cli.add_command(command)


def run() -> None:
    """Run the command line of this process, and exit with its status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name of any bytes can be shown, on any terminal
    sys.exit(main(sys.argv[1:]))


def main(args: list[str]) -> int:  # noqa: PLR0911 - one way out a kind of ending
    """Run a command line, and give its exit status; no traceback reaches a user unless asked for."""
    try:
        status_code = cli.main(args=args, prog_name="warden", standalone_mode=False)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.Abort:
        err().print("error: interrupted: nothing more is done", style="red")
        return _INTERRUPTED
    except click.ClickException as error:
        err().print(f"error: {error.format_message()}", style="red")
        err().print("hint: warden --help", style="cyan")
        return USAGE
    except KNOWN as error:
        if _debugging():
            raise
        print_error(error)
        return exit_status(error)
    except BrokenPipeError:
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.close()  # else it would be tried again, and fail again, when Python exits
        return FAILED
    except Exception as error:
        if _debugging():
            raise
        print_error(error)
        return FAILED
    return int(status_code or 0)


def _debugging() -> bool:
    return is_set("WARDEN_DEBUG")
