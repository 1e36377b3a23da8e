# SPDX-License-Identifier: BSD-2-Clause
"""Workers of an agent: which numbers new ones get, what makes and removes them, and how they are."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from warden.engine.plan import PlannedAgent, plan_of
from warden.facts.model import RegisteredWorker
from warden.network.errors import NetworkError
from warden.network.names import check_jail_names, default_jail_name
from warden.network.slots import WORKER_SLOTS
from warden.resources import devfs, limits, worker
from warden.resources.change import Note, Stage
from warden.resources.errors import RefusedError
from warden.resources.fitness import check_host, check_releases, registered_agent
from warden.resources.kept import jail_datasets
from warden.resources.resolve import named_jails

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from warden.engine.plan import Plan
    from warden.facts.model import Facts, RegisteredAgent
    from warden.spec.model import Limits

JSON_VERSION = 1
MOST = len(WORKER_SLOTS)
"""So many workers an agent can have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What one `worker create` asks for.

    `created` is its moment: it stands in the registry with each of its workers, and tells them from all others, so
    that the same order can be planned again and again. `release` is None where the agent's own is meant.
    """

    count: int
    limits: Limits
    created: str
    release: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """One worker: `state` is `up`, `down` (a boot does not start it), or `unfinished` (its create was cut off)."""

    agent: str
    name: str
    address: str
    release: str
    state: str
    created: str
    limits: Limits


def make_create_plan(bridge: str, agent: str, order: Order, facts: Facts) -> Plan:
    """Work out what gives an agent the workers of an order; without changes once they are there.

    Those that were begun for an earlier order and not finished are made anew, and count. Raises RefusedError where
    the host has no such agent or not what its workers need, or where no number is free.
    """
    registered = registered_agent(agent, facts)
    check_host(facts)
    live = facts.interfaces.get(bridge)
    if live is None or registered.gateway not in {held.ip for held in live.addresses}:
        raise RefusedError(
            f"{agent} has no network on {facts.address}: {registered.gateway} is not on {bridge}",
            hint="warden apply first",
        )
    limits.check_agent(agent, [order.limits], facts)
    ordered = _ordered(registered, order, facts)
    check_releases(agent, {one.release for one in ordered.values()}, facts)
    workers = {**registered.workers, **ordered}
    everyone = {**facts.registry, agent: replace(registered, workers=workers)}
    try:
        check_jail_names(named_jails(everyone.values()))
    except NetworkError as error:
        raise RefusedError(str(error), hint=error.hint) from error
    findings = [
        *worker.registration(registered, workers, facts, Stage.FIRST, f"{', '.join(sorted(ordered))} taken"),
        *devfs.ruleset(facts),
        *worker.creations(bridge, registered, ordered, facts),
        *_remarks(registered, order, facts),
    ]
    return plan_of(facts, (_about(registered),), findings)


def _ordered(agent: RegisteredAgent, order: Order, facts: Facts) -> dict[str, RegisteredWorker]:
    """Give the workers of an order, by their numbers: those that it has already, those begun, and new ones."""
    datasets = jail_datasets(facts)
    ordered = {number: one for number, one in agent.workers.items() if one.created == order.created}
    begun = [
        number
        for number, one in agent.workers.items()
        if number not in ordered and not worker.is_whole(agent.name, one, datasets)
    ]
    numbers = [*begun, *_free_numbers(agent, facts)][: order.count - len(ordered)]
    if len(numbers) < order.count - len(ordered):
        lacking = order.count - len(ordered) - len(numbers)
        raise RefusedError(
            f"{agent.name} has no number free for {lacking} of {order.count} workers on {facts.address}: "
            f"{len(agent.workers)} of {MOST} are taken",
            hint=f"warden worker list {agent.name} shows them; warden worker destroy {agent.name} NAME frees one",
        )
    release = order.release or _release(agent, facts)
    for number in numbers:
        ordered[number] = RegisteredWorker(
            name=default_jail_name(agent.name, number),
            address=agent.subnet[WORKER_SLOTS[int(number[1:]) - 1]],
            release=release,
            created=order.created,
            limits=order.limits,
        )
    return ordered


def _free_numbers(agent: RegisteredAgent, facts: Facts) -> Iterator[str]:
    """Give the numbers whose name and address nobody has, on this host and in the agent's subnet."""
    datasets = jail_datasets(facts)
    addresses = {agent.gateway, *(one.address for one in agent.every_jail)}
    addresses |= {held.ip for running in facts.running_jails.values() for held in running.addresses}
    for place, slot in enumerate(WORKER_SLOTS, start=1):
        name = default_jail_name(agent.name, f"w{place:02}")
        there = name in facts.bastille_jails or name in facts.running_jails or name in datasets
        if not there and agent.subnet[slot] not in addresses and f"w{place:02}" not in agent.workers:
            yield f"w{place:02}"


def _release(agent: RegisteredAgent, facts: Facts) -> str:
    releases = sorted({one.release for one in agent.jails.values()}) or sorted(facts.releases)
    if len(releases) != 1:
        raise RefusedError(
            f"it is not known which release the workers of {agent.name} on {facts.address} should have: "
            f"{', '.join(releases) or 'there is none'}",
            hint="name the spec that has the agent's: -f warden.toml",
        )
    return releases[0]


def _remarks(agent: RegisteredAgent, order: Order, facts: Facts) -> Iterator[Note]:
    datasets = jail_datasets(facts)
    if not worker.mounts(agent.name, facts):
        yield Note(agent=agent.name, message=f"{agent.name} has no workspace here: its workers get none")
    for one in agent.workers.values():
        if one.created == order.created and worker.is_whole(agent.name, one, datasets):
            yield Note(agent=agent.name, message=f"{one.name} is at {one.address}")


def make_worker_destroy_plan(bridge: str, agent: str, names: Collection[str] | None, facts: Facts) -> Plan:
    """Work out what removes workers of an agent without a trace; None for all of them.

    Names that it does not have, by now or ever, are nothing to do: `check_names` is for those that never were.
    """
    registered = facts.registry.get(agent)
    if registered is None:
        return plan_of(facts, (), [])
    gone = {number: one for number, one in registered.workers.items() if names is None or {number, one.name} & {*names}}
    stay = {number: one for number, one in registered.workers.items() if number not in gone}
    findings = [
        *(worker.removal(bridge, agent, one, facts) for one in gone.values()),
        # with it a cut-off is found again: so its end comes last
        *worker.registration(registered, stay, facts, Stage.LAST, f"{', '.join(sorted(gone))} free again"),
    ]
    return plan_of(facts, (_about(registered),), findings)


def check_names(agent: str, names: Collection[str], facts: Facts) -> None:
    """Raise RefusedError where an agent has no worker of one of these names, or numbers."""
    workers = registered_agent(agent, facts).workers
    known = {*workers, *(one.name for one in workers.values())}
    for name in names:
        if name not in known:
            there = ", ".join(sorted(one.name for one in workers.values())) or "none"
            raise RefusedError(f"{agent} has no worker {name} on {facts.address}", hint=f"its workers: {there}")


def read_workers(facts: Facts, agent: str | None = None) -> tuple[WorkerStatus, ...]:
    """Give the workers of an agent, or of all, in the order of their agents and numbers."""
    names = sorted(facts.registry) if agent is None else [agent]
    if not any(facts.registry[name].workers for name in names):
        return ()
    datasets = jail_datasets(facts)
    return tuple(
        WorkerStatus(
            agent=name,
            name=one.name,
            address=str(one.address),
            release=one.release,
            state=_state(one, facts) if worker.is_whole(name, one, datasets) else "unfinished",
            created=one.created,
            limits=one.limits,
        )
        for name in names
        for _, one in sorted(facts.registry[name].workers.items())
    )


def _state(one: RegisteredWorker, facts: Facts) -> str:
    running = facts.running_jails.get(one.name)
    return "up" if running is not None and one.address in {held.ip for held in running.addresses} else "down"


def workers_to_json(label: str, facts: Facts, workers: tuple[WorkerStatus, ...]) -> dict[str, Any]:
    """Give workers as docs/json.md describes them."""
    return {
        "version": JSON_VERSION,
        "host": label,
        "release": facts.release,
        "workers": [asdict(one) for one in workers],
    }


def _about(agent: RegisteredAgent) -> PlannedAgent:
    return PlannedAgent(name=agent.name, subnet=str(agent.subnet), new=False)
