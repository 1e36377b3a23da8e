# SPDX-License-Identifier: BSD-2-Clause
"""The checks that an operator would make by hand, and what they found on a host."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from warden.engine.doctor_agent import check_agent
from warden.engine.doctor_finding import APPLY, GC, Trouble, findings
from warden.engine.doctor_host import check_host
from warden.engine.doctor_pf import check_pf
from warden.engine.gc import find_orphans
from warden.engine.lock import LOCK
from warden.engine.plan import make_plan
from warden.facts.doctor import read_vitals
from warden.facts.probe import read_facts
from warden.network.errors import NetworkError
from warden.resources.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from warden.engine.doctor_finding import Finding
    from warden.facts.doctor import Vitals
    from warden.facts.model import Facts
    from warden.host.command import Host
    from warden.spec.model import NetworkSpec, Spec

JSON_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What a doctor read of a host: the facts of a plan, and how it is beyond them."""

    facts: Facts
    vitals: Vitals


def read_host(host: Host, agents: Collection[str], clock: Callable[[], float] | None) -> Examined:
    """Read a host in two batches that change nothing: who is asked for an answer stands in the host's registry.

    `agents` are those of the spec, if there is one; `clock` gives this machine's time, None where the host's is not
    to be compared with it.
    """
    facts = read_facts(host, agents)
    return Examined(facts=facts, vitals=read_vitals(host, facts, lock=LOCK, clock=clock))


def examine(seen: Examined, network: NetworkSpec) -> tuple[Finding, ...]:
    """Give what is well with a host and its registered agents, and what is not. Pure."""
    facts, vitals = seen.facts, seen.vitals
    found = [*check_host(facts, vitals, network.bridge), *check_pf(facts, network)]
    found += findings("orphans", "nothing of Warden's that is no agent's", _orphans(facts, vitals))
    for name in sorted(facts.registry):
        found += check_agent(facts.registry[name], facts, vitals, network.bridge)
    return tuple(found)


def _orphans(facts: Facts, vitals: Vitals) -> Iterator[Trouble]:
    if vitals.lock_holder is not None:
        return  # what is being made, or taken away, may be nobody's for a moment
    for change in find_orphans(facts):
        if change.kind == "pf table" and facts.registry:
            continue  # said of the anchor
        yield Trouble(
            message=f"{change.kind} {change.name} is Warden's, and no registered agent's", mend=GC, status="warning"
        )


def compare(spec: Spec, agents: Collection[str], facts: Facts) -> tuple[Finding, ...]:
    """Give one finding: whether the host has what the spec says."""
    return tuple(findings("plan", "nothing to do: the host has what the spec says", _plan(spec, agents, facts)))


def _plan(spec: Spec, agents: Collection[str], facts: Facts) -> Iterator[Trouble]:
    try:
        plan = make_plan(spec, agents, facts)
    except (RefusedError, NetworkError) as error:
        yield Trouble(message=str(error), mend=error.hint)
        return
    for conflict in plan.conflicts:
        yield Trouble(message=conflict.message, mend=conflict.hint)
    if plan.changes:
        number = len(plan.changes)
        words = "1 change" if number == 1 else f"{number} changes"
        yield Trouble(message=f"the plan says {words}", mend=APPLY, status="warning")


def of_agents(found: tuple[Finding, ...], agents: Collection[str]) -> tuple[Finding, ...]:
    """Give the findings that are about the host or one of these agents; all of them where none is named."""
    return tuple(one for one in found if one.agent is None or not agents or one.agent in agents)


def healthy(found: tuple[Finding, ...]) -> bool:
    """Tell whether no check failed; a warning is no failure."""
    return all(one.status != "failed" for one in found)


def doctor_to_json(label: str, release: str, found: tuple[Finding, ...]) -> dict[str, Any]:
    """Give what was found as docs/json.md describes it."""
    return {
        "version": JSON_VERSION,
        "host": label,
        "release": release,
        "healthy": healthy(found),
        "findings": [asdict(one) for one in found],
    }
