# SPDX-License-Identifier: BSD-2-Clause
"""The plan: what leads from what a host has to what is wanted, as a value."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from warden.resources.change import Change, Conflict, Note
from warden.resources.kinds import KINDS
from warden.resources.resolve import WHOLE, Scope, resolve, resolve_leaving

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from warden.facts.model import Facts
    from warden.host.command import Command
    from warden.resources.change import Finding
    from warden.resources.desired import Desired
    from warden.spec.model import NetworkSpec, Spec

JSON_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedAgent:
    """An agent that a plan is about: its subnet, and whether the host has it already."""

    name: str
    subnet: str
    new: bool
    leaving: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The changes in their order, what stands in their way, and remarks.

    `facts_digest` tells the state of the host that it was worked out from. A plan without changes and conflicts is
    that of a converged host.
    """

    address: str
    release: str
    agents: tuple[PlannedAgent, ...]
    changes: tuple[Change, ...]
    conflicts: tuple[Conflict, ...]
    notes: tuple[Note, ...]
    facts_digest: str

    @property
    def empty(self) -> bool:
        """Tell whether there is nothing to do and nothing in the way."""
        return not self.changes and not self.conflicts

    @property
    def digest(self) -> str:
        """A digest of all that would be done: two plans with the same one do the same."""
        digest = hashlib.sha256()
        for change in self.changes:
            digest.update(f"{change.id} {change.stage}\n".encode())
            for command in change.commands:
                # a secret is left out: whoever guessed it could tell from the digest that he was right
                digest.update(repr((command.argv, b"" if command.secret else command.stdin)).encode())
        return digest.hexdigest()


def make_plan(spec: Spec, agents: Collection[str], facts: Facts, scope: Scope = WHOLE) -> Plan:
    """Work out what the spec's agents that are named in `agents` need on a host.

    Pure: the same spec and facts give the same plan. Raises RefusedError where the host cannot have it.
    """
    desired = resolve(spec, agents, facts, scope)
    about = tuple(
        PlannedAgent(name=name, subnet=str(agent.subnet), new=name not in facts.registry)
        for name, agent in desired.agents.items()
    )
    notes = [Note(agent=agent.name, message=note) for agent in desired.agents.values() for note in agent.notes]
    return _plan(desired, about, notes, facts)


def make_destroy_plan(network: NetworkSpec, agent: str, facts: Facts) -> Plan:
    """Work out what removes an agent from a host, and leaves the rest as it is.

    Raises RefusedError where the host has no such agent, or others depend on it.
    """
    desired = resolve_leaving(network, agent, facts)
    leaving = desired.leaving[agent]
    about = (PlannedAgent(name=agent, subnet=str(leaving.subnet), new=False, leaving=True),)
    return _plan(desired, about, [], facts)


def make_gone_plan(facts: Facts) -> Plan:
    """Give the plan for an agent that a host does not have any more: there is nothing left to do."""
    return Plan(
        address=facts.address,
        release=facts.release,
        agents=(),
        changes=(),
        conflicts=(),
        notes=(),
        facts_digest=facts.digest,
    )


def _plan(desired: Desired, about: tuple[PlannedAgent, ...], notes: Iterable[Note], facts: Facts) -> Plan:
    findings: list[Finding] = [*notes, *(finding for kind in KINDS for finding in kind(desired, facts))]
    changes = [finding for finding in findings if isinstance(finding, Change)]
    return Plan(
        address=facts.address,
        release=facts.release,
        agents=about,
        changes=tuple(sorted(changes, key=lambda change: change.stage)),
        conflicts=tuple(finding for finding in findings if isinstance(finding, Conflict)),
        notes=tuple(finding for finding in findings if isinstance(finding, Note)),
        facts_digest=facts.digest,
    )


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """Give a plan as docs/json.md describes it: stable keys, no secret."""
    return {
        "version": JSON_VERSION,
        "host": plan.address,
        "release": plan.release,
        "facts": plan.facts_digest,
        "plan": plan.digest,
        "agents": [
            {"name": agent.name, "subnet": agent.subnet, "new": agent.new, "leaving": agent.leaving}
            for agent in plan.agents
        ],
        "changes": [
            {
                "id": change.id,
                "kind": change.kind,
                "name": change.name,
                "agent": change.agent,
                "action": {"+": "create", "~": "change", "-": "remove"}[change.action],
                "stage": change.stage.name.lower(),
                "detail": change.detail,
                "reason": change.reason,
                "commands": [_command_to_json(command) for command in change.commands],
            }
            for change in plan.changes
        ],
        "conflicts": [
            {
                "kind": conflict.kind,
                "name": conflict.name,
                "agent": conflict.agent,
                "message": conflict.message,
                "hint": conflict.hint,
            }
            for conflict in plan.conflicts
        ],
        "notes": [{"agent": note.agent, "message": note.message} for note in plan.notes],
    }


def _command_to_json(command: Command) -> dict[str, Any]:
    if command.secret:
        return {"secret": True, "command": str(command)}
    return {"secret": False, "argv": list(command.argv), "stdin": command.stdin.decode("utf-8", "replace")}


def dump_json(value: object) -> str:
    """Give a value as the JSON text that every `--json` prints."""
    return json.dumps(value, indent=2, ensure_ascii=False)
