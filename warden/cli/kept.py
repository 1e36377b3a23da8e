# SPDX-License-Identifier: BSD-2-Clause
"""Plans that are kept in a file: `warden plan -o FILE`, and `warden apply FILE`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from warden import __version__
from warden.cli.errors import CommandLineError
from warden.cli.files import check_replaceable, read_text, write_private
from warden.cli.placed import jobs_for
from warden.cli.selection import Target, holder, read_spec
from warden.cli.terminal import err
from warden.cli.work import Job, show_plans
from warden.engine.kept_plan import (
    KeptHost,
    KeptPlan,
    NoPlanError,
    check_host_stands,
    check_spec_stands,
    dump_kept,
    load_kept,
    spec_parts,
)
from warden.engine.plan import plan_to_json
from warden.facts.digest import facts_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from warden.engine.plan import Plan
    from warden.facts.model import Facts
    from warden.host.address import Become
    from warden.spec.model import Spec


def plan_and_keep(
    path: Path, spec: Spec, jobs: Sequence[Job[Facts]], replaces: Sequence[str], *, as_json: bool, exit_code: bool
) -> int:
    """Plan for all hosts, show the plans, and keep them in a file: all of them, or none."""
    check_replaceable(path, _is_plan)
    hosts: list[KeptHost] = []

    def keep(target: Target, facts: Facts, plan: Plan) -> None:
        hosts.append(
            KeptHost(
                label=target.label,
                address=target.address,
                become=target.become,
                folder=str(target.folder),
                agents=target.agents,
                facts=facts_parts(facts),
                plan=plan_to_json(plan),
            )
        )

    status = show_plans(jobs, as_json=as_json, exit_code=exit_code, keep=keep)
    if len(hosts) != len(jobs):
        err().print(f"{path} was not written: not every host has a plan that can be carried out")
        return status
    me = holder("planning")
    kept = KeptPlan(
        made=me.since,
        by=me.who,
        version=__version__,
        spec_path=str(spec.path.absolute()),
        spec=spec_parts(spec),
        replaces=tuple(replaces),
        hosts=tuple(hosts),
    )
    write_private(path, dump_kept(kept), _is_plan)
    err().print(f"kept in {path}; carry it out with: warden apply {path}")
    return status


def kept_jobs(path: Path) -> list[Job[Facts]]:
    """Give what is to be made of the hosts of a plan that was kept; raises MovedError where its spec has changed."""
    try:
        kept = load_kept(read_text(path))
    except NoPlanError as error:
        raise CommandLineError(
            f"{path} {error}", hint="make one with: warden plan -o FILE; a spec is named with -f"
        ) from error
    spec = read_spec(Path(kept.spec_path))
    check_spec_stands(kept, spec)
    what = f"applying {path.name}"
    return [
        replace(job, check=partial(check_host_stands, kept, host))
        for host in kept.hosts
        for job in jobs_for(spec, [_target(host)], what=what, replaces=kept.replaces)
    ]


def _target(host: KeptHost) -> Target:
    return Target(
        label=host.label,
        address=host.address,
        folder=Path(host.folder),
        agents=host.agents,
        become=cast("Become", host.become),
    )


def _is_plan(text: str) -> bool:
    try:
        load_kept(text)
    except NoPlanError:
        return False
    return True
