# SPDX-License-Identifier: BSD-2-Clause
"""The plan: what leads from what a host has to what is wanted, as a value."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from warden.engine.kinds import KINDS
from warden.resources.change import Change, Conflict, Note
from warden.resources.errors import RefusedError
from warden.resources.kept import how_to_lose, kept_of
from warden.resources.resolve import WHOLE, Scope, resolve, resolve_leaving
from warden.resources.service import log_path
from warden.services.equip import equip

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from warden.facts.model import Facts
    from warden.host.command import Command
    from warden.resources.change import Finding
    from warden.resources.desired import Desired
    from warden.spec.model import NetworkSpec, Spec

JSON_VERSION = 1

_KEY = secrets.token_bytes(32)
"""Known to this process only: a digest that is keyed with it tells nobody else whether he guessed a secret."""


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
        """A digest of all that would be done but for secret values: those are put in when the plan is carried out.

        It is shown and kept, and whoever guessed a secret that were in it could tell that he was right.
        """
        return hashlib.sha256(self._written(with_secrets=False)).hexdigest()

    @property
    def fingerprint(self) -> str:
        """A digest of all that would be done, secret values as well; it says nothing outside of this process."""
        return hmac.new(_KEY, self._written(with_secrets=True), "sha256").hexdigest()

    def _written(self, *, with_secrets: bool) -> bytes:
        lines = []
        for change in self.changes:
            guard = change.guard
            commands = (*change.commands, *((*guard.settle, *guard.rollback) if guard is not None else ()))
            said = [
                (command.argv, command.stdin) if with_secrets or not command.secret else (command.argv[0], "secret")
                for command in commands
            ]
            lines.append(repr((change.id, change.agent, change.stage.name, said)))
        return "\n".join(lines).encode("utf-8", "surrogateescape")


def make_plan(
    spec: Spec, agents: Collection[str], facts: Facts, scope: Scope = WHOLE, replaces: Collection[str] = ()
) -> Plan:
    """Work out what the spec's agents that are named in `agents` need on a host.

    `replaces` has the ids of conflicts; what stands there is given up. Pure: the same spec and facts give the same
    plan. Raises RefusedError where the host cannot have it.
    """
    desired = equip(resolve(spec, agents, facts, scope, replaces), facts)
    about = tuple(
        PlannedAgent(name=name, subnet=str(agent.subnet), new=name not in facts.registry)
        for name, agent in desired.agents.items()
    )
    notes = [Note(agent=agent.name, message=note) for agent in desired.agents.values() for note in agent.notes]
    notes += [
        Note(
            message=f"agent {name} is registered here, and not in {spec.path.name}: it stays; apply --prune removes it"
        )
        for name in unnamed(spec, facts)
    ]
    return _plan(desired, about, notes, facts)


def unnamed(spec: Spec, facts: Facts) -> list[str]:
    """Give the agents of a host that a warden.toml does not name; a `.env` says nothing of other agents.

    Those that share another's local model come before its owner: in this order they can be destroyed.
    """
    if spec.path.suffix != ".toml":
        return []
    names = sorted(set(facts.registry) - set(spec.agents))
    return sorted(names, key=lambda name: facts.registry[name].shares_llm_of is None)


def check_replaces(spec: Spec, agents: Collection[str], facts: Facts, replaces: Collection[str]) -> None:
    """Raise RefusedError where `--replace` names what is no conflict there, or none that can be settled so."""
    conflicts = make_plan(spec, agents, facts).conflicts
    there = ", ".join(conflict.id for conflict in conflicts if conflict.replaceable) or "none"
    for wanted in replaces:
        found = [conflict for conflict in conflicts if conflict.id == wanted]
        if found and not any(conflict.replaceable for conflict in found):
            raise RefusedError(f"{wanted} on {facts.address} is not Warden's to replace", hint=found[0].hint)
        if not found:
            raise RefusedError(
                f"--replace {wanted}: nothing of that name stands in the way on {facts.address}",
                hint=f"what can be replaced there: {there}",
            )


def make_destroy_plan(network: NetworkSpec, agent: str, facts: Facts, *, keep_data: bool = False) -> Plan:
    """Work out what removes an agent from a host, and leaves the rest as it is.

    With `keep_data` the datasets of its jails are put aside. Raises RefusedError where the host has no such agent,
    it is protected, or others depend on it.
    """
    desired = resolve_leaving(network, agent, facts, keep_data=keep_data)
    leaving = desired.leaving[agent]
    about = (PlannedAgent(name=agent, subnet=str(leaving.subnet), new=False, leaving=True),)
    account = facts.users.get(leaving.user or "")
    stays = [f"the folder {account.home}, the log {log_path(agent)}"] if account is not None else []
    return _plan(desired, about, [Note(agent=agent, message=f"what stays: {words}") for words in stays], facts)


def make_gone_plan(facts: Facts, agent: str | None = None) -> Plan:
    """Give the plan for an agent that a host does not have any more: there is nothing left to do.

    Its notes say what of the agent is kept.
    """
    names = kept_of(agent, facts) if agent is not None else []
    notes = [Note(agent=agent, message=f"data of {agent} are kept: {how_to_lose(name)}") for name in names]
    return plan_of(facts, (), notes)


def _plan(desired: Desired, about: tuple[PlannedAgent, ...], notes: Iterable[Note], facts: Facts) -> Plan:
    return plan_of(facts, about, [*notes, *(finding for kind in KINDS for finding in kind(desired, facts))])


def plan_of(facts: Facts, about: tuple[PlannedAgent, ...], findings: Sequence[Finding]) -> Plan:
    """Make a plan of what was found: the changes in the order of their stages."""
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
                "replaceable": conflict.replaceable,
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
