# SPDX-License-Identifier: BSD-2-Clause
"""What carries Warden's mark and belongs to no registered agent: left by a run that was cut off, or by a lost registry.

What carries no mark is somebody else's, however much it looks like Warden's: a jail whose dataset has no property, an
address of the bridge that never was a gateway's. Nothing of that is named here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from warden.engine.plan import Plan, plan_of
from warden.facts.registry import REGISTRY
from warden.facts.zfs import AGENT_PROPERTY
from warden.network.names import rc_name
from warden.resources import devfs, gateway, hosts, jail_end, kept, keys, last_agent, limits, pf, service, storage, user
from warden.resources.change import Change, Note, Stage
from warden.resources.commands import WARDEN, command
from warden.resources.gateway import Aliases, parse_value
from warden.resources.marks import INTERFACE_GROUP, USER_COMMENT
from warden.resources.pf_conf import without_hooks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Address

    from warden.facts.model import Facts, User
    from warden.resources.change import Finding

_BRIDGE = "warden0"
_EPAIR_PREFIX = "e0a_"
_PF_SERVICE = "warden_pf"


def find_orphans(facts: Facts) -> tuple[Change, ...]:
    """Name what is Warden's and nobody's: each as the change that removes it, in the order in which that works."""
    return tuple(finding for finding in _findings(facts) if isinstance(finding, Change))


def make_gc_plan(facts: Facts) -> Plan:
    """Work out what removes the orphans of a host; nothing of a registered agent's is in it."""
    return plan_of(facts, (), list(_findings(facts)))


def _findings(facts: Facts) -> Iterator[Finding]:
    jails = _orphan_jails(facts)
    gateways = _orphan_gateways(facts)
    findings: list[Finding] = [
        *_services(facts),
        *_jails(jails, facts),
        *_storage(facts),
        *_keys(facts),
        *_other_marks(facts),
        *_epairs(facts),
        *_aliases(gateways, facts),
        *_tables(facts),
        *hosts.orphans(facts),
        *limits.orphans(facts),  # before their users: a rule of one that is gone could not be taken away any more
        *_users(facts),
    ]
    yield from _in_the_way(jails, facts)
    # one after the other, and none of it any agent's
    yield from (
        replace(finding, agent=None, stage=Stage.FIRST) if isinstance(finding, Change) else replace(finding, agent=None)
        for finding in findings
        if isinstance(finding, Change | Note)
    )
    if not facts.registry and _is_on(facts):
        yield from last_agent.take_off(bridge_of(facts), facts, set(gateways), set(jails))


def bridge_of(facts: Facts) -> str:
    """Give the bridge that carries Warden's mark, live or in rc.conf; what it would be called if there is none."""
    marked = [
        interface.name for interface in facts.interfaces.values() if {INTERFACE_GROUP, "bridge"} <= interface.groups
    ]
    units = [
        name.removeprefix("create_args_")
        for name, value in facts.rc_conf.items()
        if name.startswith("create_args_") and value == f"group {INTERFACE_GROUP}"
    ]
    named = [facts.rc_conf[f"ifconfig_{unit}_name"] for unit in units if f"ifconfig_{unit}_name" in facts.rc_conf]
    return next(iter([*marked, *named]), _BRIDGE)


def _is_on(facts: Facts) -> bool:
    """Tell whether anything is there that Warden sets for all agents."""
    pf_conf = facts.files.get(pf.PF_CONF)
    rules = facts.files.get(devfs.RULES)
    return (
        any(path.startswith(f"{WARDEN}/") for path in facts.files)
        or any({INTERFACE_GROUP, "bridge"} <= interface.groups for interface in facts.interfaces.values())
        or any('label "warden ' in rule for rule in facts.pf.anchor_filter)
        or _PF_SERVICE in facts.marked_scripts
        or (pf_conf is not None and without_hooks(pf_conf.text) != pf_conf.text)
        or (rules is not None and devfs.SECTION in rules.text)
    )


def _names(facts: Facts) -> list[str]:
    """Give the agents that left a mark, and are not registered."""
    made = {account.comment.removeprefix(f"{USER_COMMENT} ") for account in _accounts(facts)}
    datasets = {dataset.agent for dataset in facts.datasets.values() if dataset.agent is not None}
    names = (facts.marked_scripts - {_PF_SERVICE}) | set(facts.environments) | datasets | made
    return sorted(names - facts.registry.keys())


def _services(facts: Facts) -> Iterator[Change]:
    for name in _names(facts):
        has_environment = f"{REGISTRY}/{name}.env" in facts.files
        if name in facts.rc_scripts and name not in facts.marked_scripts:
            if has_environment:
                yield service.environment_removal(name)
            continue
        at_boot = f"{rc_name(name)}_enable" in facts.rc_conf
        if name in facts.marked_scripts or name in facts.supervised or at_boot or has_environment:
            yield service.removal(name, facts)


def _storage(facts: Facts) -> Iterator[Finding]:
    for name in _names(facts):
        own = storage.own_of(name, facts)
        if own is not None:
            yield from storage.removal(own, name, facts, keep_data=True)


def _in_the_way(jails: dict[str, str], facts: Facts) -> Iterator[Finding]:
    """Give what stands where that would be kept which is put aside."""
    datasets = kept.jail_datasets(facts)
    storages = [own.name for name in _names(facts) if (own := storage.own_of(name, facts)) is not None]
    return kept.in_the_way([*(datasets[name].name for name in jails), *storages], facts)


def _keys(facts: Facts) -> Iterator[Change]:
    yield from (keys.removal(name) for name in sorted(facts.keys.keys() - facts.registry.keys()))


def _allocated(facts: Facts) -> dict[str, str]:
    """Give the jails that stand in the registry, workers as well, each with its agent."""
    return {one.name: agent.name for agent in facts.registry.values() for one in agent.every_jail}


def _orphan_jails(facts: Facts) -> dict[str, str]:
    """Give the jails that carry the mark of an agent that does not have them, each with that agent."""
    allocated = _allocated(facts)
    return {
        name: dataset.agent
        for name, dataset in kept.jail_datasets(facts).items()
        if dataset.agent is not None and allocated.get(name) != dataset.agent
    }


def _jails(jails: dict[str, str], facts: Facts) -> Iterator[Finding]:
    datasets = kept.jail_datasets(facts)
    for name, agent in jails.items():
        yield from jail_end.put_aside(agent, name, name, datasets[name], facts)
    for moved in kept.unfinished(facts):
        yield Change(
            kind="kept data",
            name=moved.name,
            action="~",
            stage=Stage.FIRST,
            detail="its move was cut off",
            commands=tuple(kept.finish(moved.name, moved.agent or "")),
        )


def _other_marks(facts: Facts) -> Iterator[Change]:
    """Give the datasets that are no jail's, and were sent or cloned with the mark: they only lose it."""
    known = {dataset.name for dataset in kept.jail_datasets(facts).values()}
    for dataset in facts.datasets.values():
        if dataset.agent is None or dataset.name in known or kept.is_kept(dataset.name):
            continue
        if not storage.is_below(dataset):
            yield Change(
                kind="mark",
                name=dataset.name,
                action="-",
                stage=Stage.FIRST,
                detail=f"{AGENT_PROPERTY}={dataset.agent}; the dataset stays",
                commands=(command("/sbin/zfs", "inherit", AGENT_PROPERTY, dataset.name),),
            )


def _epairs(facts: Facts) -> Iterator[Change]:
    """Give what jail(8) leaves behind of jails that are gone: on a bridge of ours nobody else has such a name."""
    live = facts.interfaces.get(bridge_of(facts))
    if live is None or INTERFACE_GROUP not in live.groups:
        return
    there = {*facts.bastille_jails, *facts.running_jails, *kept.jail_datasets(facts), *_allocated(facts)}
    for name in sorted(live.members):
        if name.startswith(_EPAIR_PREFIX) and name.removeprefix(_EPAIR_PREFIX) not in there:
            yield Change(
                kind="epair",
                name=name,
                action="-",
                stage=Stage.FIRST,
                detail=f"on {live.name}, and its jail is gone",
                commands=(command("/sbin/ifconfig", name, "destroy"),),
            )


def _orphan_gateways(facts: Facts) -> list[IPv4Address]:
    """Give the gateways that Warden wrote down and no registered agent has."""
    registered = {agent.gateway for agent in facts.registry.values()}
    file = facts.files.get(pf.GATEWAYS)
    lines = file.text.splitlines() if file is not None else []
    written = [entry for line in lines if (entry := parse_value(f"inet {line}")) is not None]
    live = [network.network_address for network in facts.pf.tables.get("warden_gateways", ())]
    return sorted({*(entry.ip for entry in written), *live} - registered)


def _aliases(gateways: list[IPv4Address], facts: Facts) -> Iterator[Change]:
    bridge = bridge_of(facts)
    live = facts.interfaces.get(bridge)
    aliases = Aliases.read(bridge, facts.rc_conf)
    for address in gateways:
        is_live = live is not None and address in {held.ip for held in live.addresses}
        yield from gateway.removal(bridge, address, aliases, live=is_live)
    if gateways:
        yield from gateway.tidy(bridge, {agent.gateway for agent in facts.registry.values()}, aliases)


def _tables(facts: Facts) -> Iterator[Change]:
    """Give the change that takes subnets and gateways out that are nobody's; the last agent's go with the anchor."""
    if not facts.registry:
        return
    subnets = sorted(agent.subnet for agent in facts.registry.values())
    gateways = sorted(agent.gateway for agent in facts.registry.values())
    surplus = sorted(set(facts.pf.tables.get("warden_net", ())) - set(subnets))
    lost = _orphan_gateways(facts)
    file = facts.files.get(pf.SUBNETS)
    written = set(file.text.split()) - {str(subnet) for subnet in subnets} if file else set()
    if surplus or lost or written:
        yield Change(
            kind="pf table",
            name="warden_net",
            action="-",
            stage=Stage.FIRST,
            detail=", ".join(f"- {entry}" for entry in sorted({*map(str, surplus), *map(str, lost), *written})),
            reason="no rule is reloaded",
            commands=tuple(pf.table_commands(subnets, gateways, surplus, facts)),
        )


def _users(facts: Facts) -> Iterator[Change]:
    needed = {agent.user for agent in facts.registry.values()}
    for account in _accounts(facts):
        agent = account.comment.removeprefix(f"{USER_COMMENT} ")
        if agent not in facts.registry and account.name not in needed:
            yield user.removal(account, agent, stage=Stage.FIRST)


def _accounts(facts: Facts) -> list[User]:
    return [account for account in facts.users.values() if account.comment.startswith(f"{USER_COMMENT} ")]
