# SPDX-License-Identifier: BSD-2-Clause
"""`warden host bootstrap`: from a bare FreeBSD installation to where agents can be applied."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from warden.cli import selection
from warden.cli.errors import FAILED, CommandLineError
from warden.cli.questions import ask_to_apply
from warden.cli.selection import NoSpecError, host_targets, read_spec, spec_path, spec_targets
from warden.cli.terminal import err
from warden.cli.work import Job, change_hosts
from warden.engine.bootstrap import make_base_plan, releases_of
from warden.facts.base_system import read_base_system
from warden.resources.base.wanted import is_release

if TYPE_CHECKING:
    from pathlib import Path

    from warden.cli.selection import Target

HINT = "pkg and bastille fetch from the network, and need room on the disk: docs/bootstrap.md has more on each command"


@click.command()
@selection.file_option
@selection.host_option
@click.option("--pool", help="The ZFS pool for jails, where there are several and none is zroot.")
@click.option("--release", "releases", multiple=True, help="A release to make jails from; may be repeated.")
@selection.json_option
@selection.yes_option
def bootstrap(
    file: Path | None,
    host: str | None,
    pool: str | None,
    releases: tuple[str, ...],
    *,
    as_json: bool,
    yes: bool,
) -> int:
    """Bring a bare FreeBSD host to where agents can be applied.

    Without --release, the releases of the spec's agents are bootstrapped; without a spec, the host's own.
    """
    wrong = [release for release in releases if not is_release(release)]
    if wrong:
        raise CommandLineError(f"{wrong[0]!r} is no release of FreeBSD", hint="write it as 15.1-RELEASE")
    jobs = [
        Job(
            target=target,
            read=read_base_system,
            make=partial(make_base_plan, pool=pool, releases=releases or needed),
            what="bootstrapping the host",
        )
        for target, needed in _targets(file, host)
    ]
    status = change_hosts(jobs, ask=None if yes else ask_to_apply, as_json=as_json)
    if status == FAILED:
        err().print(f"hint: {HINT}", style="cyan")
    return status


def _targets(file: Path | None, host: str | None) -> list[tuple[Target, tuple[str, ...]]]:
    """Give the hosts, each with the releases that the spec's agents need there; none where there is no spec."""
    try:
        spec = read_spec(spec_path(file, None))
    except NoSpecError:
        targets, _ = host_targets(None, None, host, network_needed=False)
        return [(target, ()) for target in targets]
    return [(target, releases_of(spec, target.agents)) for target in spec_targets(spec, host, ())]
