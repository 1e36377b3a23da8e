# SPDX-License-Identifier: BSD-2-Clause
"""`warden apply --prune`: agents that the spec no longer names go, one after the other, as `destroy` would have it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from warden.cli.destroy import destroy_job
from warden.cli.errors import exit_status
from warden.cli.questions import ask_for_name
from warden.cli.reading import first_status, read_all, tell_error
from warden.cli.terminal import err
from warden.cli.work import change_hosts
from warden.engine.plan import unnamed
from warden.facts.probe import read_facts
from warden.resources.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from warden.cli.selection import Target
    from warden.facts.model import Facts
    from warden.spec.model import Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leaving:
    """An agent that is to go; `needed` tells that one that stays shares its local model as yet."""

    target: Target
    agent: str
    needed: bool


def prune_around(spec: Spec, targets: Sequence[Target], *, yes: bool, as_json: bool, apply: Callable[[], int]) -> int:
    """Destroy what the spec does not name, and apply it; gives the exit status of the first step that has not 0.

    What goes frees subnets and names that the spec may want: so it goes first, but for an agent whose local model
    others share until the spec was applied.
    """
    leaving = _all_leaving(spec, targets)
    if isinstance(leaving, int):
        return leaving

    def steps(*, needed: bool) -> list[Callable[[], int]]:
        return [partial(_destroy, spec, one, yes=yes, as_json=as_json) for one in leaving if one.needed is needed]

    for step in (*steps(needed=False), apply, *steps(needed=True)):
        status = step()
        if status:
            return status
    return 0


def _all_leaving(spec: Spec, targets: Sequence[Target]) -> list[_Leaving] | int:
    """Read all hosts, and give who leaves; or an exit status where a host was not read."""
    leaving: list[_Leaving] = []
    statuses: list[int] = []

    def tell(target: Target, seen: Facts | Exception) -> None:
        if isinstance(seen, Exception):
            tell_error(target, seen, alone=len(targets) == 1)
            statuses.append(exit_status(seen))
            return
        names = unnamed(spec, seen)
        protected = [name for name in names if seen.registry[name].protected]
        if protected:
            raise RefusedError(
                f"{', '.join(protected)} on {target.label} is protected, and not in {spec.path.name}: nothing was done",
                hint="write it into the spec with `protected = false`, and apply that before",
            )
        shared = {entry.shares_llm_of for name, entry in seen.registry.items() if name not in names}
        leaving.extend(_Leaving(target=target, agent=name, needed=name in shared) for name in names)

    read_all([(target, partial(read_facts, agents=target.agents)) for target in targets], tell)
    return first_status(statuses) or leaving


def _destroy(spec: Spec, one: _Leaving, *, yes: bool, as_json: bool) -> int:
    err().print(f"{one.target.label}: agent {one.agent} is not in {spec.path.name}, and goes")
    job = destroy_job(one.target, spec.network, one.agent, purge=False)
    return change_hosts([job], ask=None if yes else ask_for_name(one.agent), as_json=as_json)
