# SPDX-License-Identifier: BSD-2-Clause
"""The plan that brings a bare FreeBSD host to where agents can be applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.engine.plan import Plan
from warden.resources.base.kinds import KINDS
from warden.resources.base.wanted import decide
from warden.resources.change import Change, Conflict, Note

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from warden.facts.base_system import BaseSystem
    from warden.spec.model import Spec


def make_base_plan(base: BaseSystem, *, pool: str | None = None, releases: Sequence[str] = ()) -> Plan:
    """Work out what a host lacks; without `pool` and `releases` the host itself says which.

    Pure: the same facts give the same plan. Raises RefusedError where the host cannot have agents.
    """
    wanted = decide(base, pool=pool, releases=releases)
    findings = [finding for kind in KINDS for finding in kind(wanted, base)]
    changes = [finding for finding in findings if isinstance(finding, Change)]
    return Plan(
        address=base.address,
        release=base.release,
        agents=(),
        changes=tuple(sorted(changes, key=lambda change: change.stage)),
        conflicts=tuple(finding for finding in findings if isinstance(finding, Conflict)),
        notes=tuple(finding for finding in findings if isinstance(finding, Note)),
        facts_digest=base.digest,
    )


def releases_of(spec: Spec, agents: Collection[str]) -> tuple[str, ...]:
    """Give the releases that the jails of a spec's agents are made from, each once."""
    found: dict[str, None] = {}
    for agent in (spec.agents[name] for name in agents):
        # what services a directory's agent has may stand on the host only: then its own release counts
        services = agent.services if agent.services is not None else tuple(agent.jails)
        for service in services:
            found[agent.jails[service].release or agent.release] = None
    return tuple(found)
