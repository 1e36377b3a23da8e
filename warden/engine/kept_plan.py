# SPDX-License-Identifier: BSD-2-Clause
"""A plan that is kept: what is needed to make it again, and to tell whether it still is the same one.

No command of it is ever run: whoever edits the file can make it refused, and nothing else. Secret values are not in
it, not even hashed: like any plan it has them by name, and they are those of the spec on the day when it is applied.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from warden import __version__
from warden.engine.errors import MovedError
from warden.engine.plan import plan_to_json
from warden.facts.digest import digest_of, facts_parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warden.engine.plan import Plan
    from warden.facts.model import Facts
    from warden.spec.model import AgentSpec, Spec

FORMAT = 1
KEY = "warden_plan"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptHost:
    """What was planned for one host: how it is reached, whose plan it is, and what that plan was."""

    label: str
    address: str
    become: str
    folder: str
    agents: tuple[str, ...]
    facts: Mapping[str, str]
    """A digest of each part of what was read of the host."""
    plan: Mapping[str, Any]
    """As `plan --json` prints it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPlan:
    """The plans that one `warden plan` made. `spec` has a digest of each part of the spec."""

    made: str
    by: str
    version: str
    spec_path: str
    spec: Mapping[str, str]
    replaces: tuple[str, ...]
    """What was named with --replace: what may be given up that is not Warden's."""
    hosts: tuple[KeptHost, ...]


class NoPlanError(ValueError):
    """A text that is no plan which was kept, or one of another format."""


def spec_parts(spec: Spec) -> dict[str, str]:
    """Give a digest of each part of a spec that plans are made of; comments and order are none."""
    parts: dict[str, object] = {"hosts": spec.hosts, "network": spec.network}
    parts |= {f"agent {name}": _without_secrets(agent) for name, agent in spec.agents.items()}
    return {name: digest_of(part) for name, part in parts.items()}


def _without_secrets(agent: AgentSpec) -> object:
    return replace(agent, env={}), sorted(agent.env)


def dump_kept(kept: KeptPlan) -> str:
    """Give the text of a file that keeps plans."""
    value: dict[str, Any] = {KEY: FORMAT}
    value |= {field.name: getattr(kept, field.name) for field in fields(kept) if field.name != "hosts"}
    value["hosts"] = [{field.name: getattr(host, field.name) for field in fields(host)} for host in kept.hosts]
    return json.dumps(value, indent=2) + "\n"


def load_kept(text: str) -> KeptPlan:
    """Read what `dump_kept` wrote; raises NoPlanError where it did not."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NoPlanError("is no plan that `warden plan -o` kept") from error
    if not isinstance(value, dict) or KEY not in value:
        raise NoPlanError("is no plan that `warden plan -o` kept")
    if value[KEY] != FORMAT:
        raise NoPlanError(f"is a plan of another format than {FORMAT}, which is what Warden {__version__} reads")
    try:
        return KeptPlan(
            made=_text(value["made"]),
            by=_text(value["by"]),
            version=_text(value["version"]),
            spec_path=_text(value["spec_path"]),
            spec=_digests(value["spec"]),
            replaces=_texts(value["replaces"]),
            hosts=tuple(_host(host) for host in value["hosts"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise NoPlanError(f"is a plan that was damaged: {error}") from error


def _host(value: Mapping[str, Any]) -> KeptHost:
    plan = value["plan"]
    for change in plan["changes"]:
        _text(change["id"])
    _text(plan["plan"])
    if value["become"] not in ("none", "sudo", "doas"):
        raise TypeError("`become` is none of those that there are")
    return KeptHost(
        label=_text(value["label"]),
        address=_text(value["address"]),
        become=_text(value["become"]),
        folder=_text(value["folder"]),
        agents=_texts(value["agents"]),
        facts=_digests(value["facts"]),
        plan=plan,
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("something in it is no text")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError("something in it is no list")
    return tuple(_text(word) for word in value)


def _digests(value: Mapping[str, object]) -> dict[str, str]:
    return {name: _text(digest) for name, digest in value.items()}


def check_spec_stands(kept: KeptPlan, spec: Spec) -> None:
    """Raise MovedError, saying what is another, where the spec is no longer the one that the plan was made from."""
    moved = _differing(kept.spec, spec_parts(spec))
    if moved:
        raise MovedError(f"{spec.path} has changed since this plan was made: {', '.join(moved)}", hint=_hint())


def check_host_stands(kept: KeptPlan, host: KeptHost, facts: Facts, plan: Plan) -> None:
    """Raise MovedError, saying what is another, where a host, or the plan for it, is no longer as it was."""
    if plan.digest == host.plan["plan"] and facts_parts(facts) == host.facts:
        return
    moved = _differing(host.facts, facts_parts(facts))
    if moved:
        raise MovedError(f"{host.label} has changed since this plan was made: {', '.join(moved)}", hint=_hint())
    made_by = f"Warden {kept.version} made it, and this is {__version__}"
    before = {change["id"]: change for change in host.plan["changes"]}
    now = {change["id"]: change for change in plan_to_json(plan)["changes"]}
    changes = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    raise MovedError(
        f"the plan for {host.label} would be another one today ({made_by}): {', '.join(changes) or 'its order'}",
        hint=_hint(),
    )


def _differing(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def _hint() -> str:
    return "nothing was done; make a new plan, and look at it: warden plan -o FILE"
