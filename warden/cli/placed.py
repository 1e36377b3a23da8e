# SPDX-License-Identifier: BSD-2-Clause
"""Plans for a target, whose refusals say where in the spec the thing stands that the host cannot have."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from warden.cli.errors import has_word
from warden.cli.work import Job
from warden.engine.plan import check_replaces, make_plan
from warden.facts.probe import read_facts
from warden.resources.errors import RefusedError
from warden.resources.resolve import WHOLE, Scope
from warden.spec.errors import dotted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from warden.cli.selection import Target
    from warden.engine.plan import Plan
    from warden.facts.model import Facts
    from warden.spec.model import AgentSpec, Spec


def jobs_for(
    spec: Spec, targets: Sequence[Target], *, what: str, scope: Scope = WHOLE, replaces: tuple[str, ...] = ()
) -> list[Job[Facts]]:
    """Give what is to be made of each target: all, or some, of what the spec has for it."""
    return [
        Job(
            target=target,
            read=partial(read_facts, agents=target.agents),
            make=partial(plan_for, spec, target, scope=scope, replaces=replaces),
            what=what,
            check=partial(_check_replaces, spec, target, replaces) if replaces else None,
        )
        for target in targets
    ]


def _check_replaces(spec: Spec, target: Target, replaces: tuple[str, ...], facts: Facts, _plan: Plan) -> None:
    # only before the first plan: once they were replaced, nothing stands in the way any more
    check_replaces(spec, target.agents, facts, replaces)


def plan_for(spec: Spec, target: Target, facts: Facts, scope: Scope = WHOLE, replaces: tuple[str, ...] = ()) -> Plan:
    """Plan as `make_plan` does; a RefusedError begins with the host, and with file, line and column."""
    try:
        return make_plan(spec, target.agents, facts, scope, replaces)
    except RefusedError as error:
        message = str(error)
        place = _place(spec, target, message)
        host = "" if has_word(message, target.label) else f"{target.label}: "
        raise RefusedError(f"{place}{host}{message}", hint=error.hint) from error


def _place(spec: Spec, target: Target, message: str) -> str:
    """Give `FILE:LINE:COLUMN: ` of the value that a refusal names, else of the agent that it names, else ''."""
    for name in target.agents:
        if not has_word(message, name):
            continue
        written = (key for value, key in _values(spec.agents[name]) if value and has_word(message, value))
        for key in (*written, dotted(("agents", name))):
            if key in spec.positions:
                line, column = spec.positions[key]
                return f"{spec.path}:{line}:{column}: "
    if has_word(message, "external_interface") and "network.external_interface" in spec.positions:
        line, column = spec.positions["network.external_interface"]
        return f"{spec.path}:{line}:{column}: "
    return ""


def _values(agent: AgentSpec) -> Iterator[tuple[str | None, str]]:
    """Give the values of an agent that a host can stand against, each with its key; the most telling ones first."""
    table = dotted(("agents", agent.name))
    for service, jail in agent.jails.items():
        yield jail.name, f"{table}.jails.{service}.name"
        yield _text(jail.address), f"{table}.jails.{service}.address"
        yield jail.release, f"{table}.jails.{service}.release"
        yield jail.release, f"defaults.jails.{service}.release"
    yield agent.release, "defaults.release"
    yield agent.locale.system, f"{table}.locale.system"
    yield _text(agent.gateway), f"{table}.gateway"
    yield _text(agent.subnet), f"{table}.subnet"
    yield agent.llm_shared_with, f"{table}.llm.shared_with"
    yield agent.workdir, f"{table}.workdir"


def _text(value: object) -> str | None:
    return None if value is None else str(value)
