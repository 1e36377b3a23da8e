# SPDX-License-Identifier: BSD-2-Clause
"""The VNET jails of an agent, through Bastille.

Bastille's exit status proves little (`create`, `start` and `destroy` can fail with 0), and its names are patterns:
so each step here is followed by a command that fails unless the step's effect is there, and nothing is destroyed
that is not, by its exact name, a jail of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from warden.facts.jails import JAILS
from warden.facts.zfs import AGENT_PROPERTY
from warden.resources import mac
from warden.resources.change import Change, Conflict, Note, Stage
from warden.resources.commands import bastille, command, sysrc_set
from warden.resources.jail_end import clear, clear_epair, clear_mounts, departures
from warden.resources.jail_equipment import differs, equip, is_whole, lacks, set_mount, unmounted
from warden.resources.kept import jail_datasets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from warden.facts.model import BastilleJail, Dataset, Facts, RegisteredAgent, RegisteredWorker, RunningJail
    from warden.host.command import Command
    from warden.resources.change import Finding
    from warden.resources.desired import Desired, DesiredAgent, DesiredJail, VnetJail

_STARTS = tuple(bastille(verb).argv for verb in ("create", "start", "restart"))


def changes(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the changes to the jails: to make, to mend, to start; and those of agents that leave."""
    seen = _look(desired, facts)
    wanted = any(agent.jails for agent in desired.agents.values())
    at_boot = facts.rc_conf.get("bastille_enable", "absent")
    if wanted and at_boot.upper() != "YES":
        yield Change(
            kind="service",
            name="bastille",
            action="~",
            stage=Stage.FIRST,
            detail=f"bastille_enable {at_boot} -> YES",
            reason="starts the jails at boot",
            commands=(sysrc_set({"bastille_enable": "YES"}),),
        )
    for agent in desired.agents.values():
        for jail in agent.jails.values():
            yield from _jail(desired, agent, jail, seen)
        yield from (
            Note(agent=agent.name, message=f"the spec no longer names {service} of {agent.name}: its jail stays")
            for service in agent.kept
        )
    for leaving in desired.leaving.values():
        yield from departures(leaving.name, leaving.jails.values(), facts, keep_data=desired.keep_data)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What is looked up for every jail: the facts, and what of them is looked through once."""

    facts: Facts
    datasets: Mapping[str, Dataset]
    twins: Mapping[str, str]
    mounted: frozenset[str]


def _look(desired: Desired, facts: Facts) -> _Seen:
    ours = {jail.name for agent in desired.agents.values() for jail in agent.jails.values()}
    return _Seen(
        facts=facts,
        datasets=jail_datasets(facts),
        twins=mac.twins(desired.bridge, facts, ours),
        mounted=frozenset(facts.mount_points),
    )


def _jail(desired: Desired, agent: DesiredAgent, jail: DesiredJail, seen: _Seen) -> Iterator[Finding]:
    facts, dataset = seen.facts, seen.datasets.get(jail.name)
    cleared = tuple(clear(jail.name, dataset, facts))
    running = facts.running_jails.get(jail.name)
    if running is not None and running.path != f"{JAILS}/{jail.name}/root":
        yield Conflict(
            kind="jail",
            name=jail.name,
            agent=agent.name,
            message=f"there is a jail {jail.name} in {running.path} that is neither Warden's nor Bastille's",
            hint=f"write another name for {agent.name}'s {jail.service} jail",
        )
        return
    if jail.name not in facts.bastille_jails and dataset is None:
        yield _create(desired, agent, jail, facts, cleared)
        return
    conflict = _conflict(desired, agent, jail, dataset, facts)
    if conflict is not None and conflict.replaceable and conflict.id in desired.replace:
        defined = facts.bastille_jails.get(jail.name)
        yield Change(
            kind="replaced jail",
            name=jail.name,
            agent=agent.name,
            action="-",
            stage=Stage.AGENT,
            detail=", ".join(_what_it_is(defined, running)),
            reason="given up by --replace, with all that is in it",
            commands=cleared,
        )
        yield _create(desired, agent, jail, facts)
    elif conflict is not None:
        yield conflict
    elif dataset is None or (dataset.agent is None and not _was_finished(jail, dataset, facts)):
        # the property is set last: without it a create was cut off, and the jail holds nothing yet
        yield _create(desired, agent, jail, facts, cleared, cut_off=True)
    else:
        yield from _mend(desired, agent, jail, dataset, seen)


def _was_finished(jail: DesiredJail, dataset: Dataset, facts: Facts) -> bool:
    """Tell whether a jail without a mark had been made to its end, and lost it: by a restore, for example.

    Bastille makes jails with another priority, and ours is set once the jail has been found whole. One that was being
    destroyed may have lost its root.
    """
    defined = facts.bastille_jails.get(jail.name)
    set_up = defined is not None and defined.boot is True and defined.priority == jail.priority
    return set_up and f"{dataset.name}/root" in facts.datasets


def _conflict(
    desired: Desired, agent: DesiredAgent, jail: DesiredJail, dataset: Dataset | None, facts: Facts
) -> Conflict | None:
    """Give what keeps Warden from taking a jail of that name for the agent's own."""
    registered = facts.registry.get(agent.name)
    begun = registered is not None and jail.service in registered.jails and (dataset is None or dataset.agent is None)
    has = misfit(desired.bridge, jail, dataset, facts, begun=begun)
    hint = f"write another name for {agent.name}'s {jail.service} jail"
    replaceable = True
    if dataset is not None and dataset.agent not in (None, agent.name):
        message = f"the jail {jail.name} belongs to the agent {dataset.agent}"
        replaceable = dataset.agent not in facts.registry
    elif dataset is None or dataset.agent is None:
        if begun and not has:
            return None
        message = f"there is a jail {jail.name} that is not Warden's" + (f": it has {has}" if has else "")
        hint += f", or destroy that one yourself; was it set up for {agent.name} by hand: warden adopt {agent.name}"
    else:
        if not has:
            return None
        should = f"{jail.address}, {jail.release}, on {desired.bridge}"
        message = f"the jail {jail.name} has {has}, and should have {should}"
        hint = "write what it has; a jail is never made anew to fit a spec"
    if replaceable:
        hint += f"; to lose that jail with all in it: apply --replace jail:{jail.name}"
    return Conflict(kind="jail", name=jail.name, agent=agent.name, message=message, hint=hint, replaceable=replaceable)


def misfit(
    bridge: str, jail: VnetJail | RegisteredWorker, dataset: Dataset | None, facts: Facts, *, begun: bool = False
) -> str:
    """Say what a jail has that it was never made with for this agent, '' where there is nothing of that kind.

    What was cut off while it was made has no address yet, and may have no jail.conf; and where it was `begun`, the
    spec may have had another release then.
    """
    defined = facts.bastille_jails.get(jail.name)
    running = facts.running_jails.get(jail.name)
    if defined is None:
        return "no jail.conf" if dataset is not None and dataset.agent is not None else ""
    if not begun and defined.release not in (None, jail.release):
        return f"{defined.release}"
    if defined.bridge not in (None, bridge):
        return f"its interface on {defined.bridge}"
    if running is not None and running.addresses and jail.address not in {held.ip for held in running.addresses}:
        return f"the address {', '.join(map(str, running.addresses))}"
    return ""


def _what_it_is(defined: BastilleJail | None, running: RunningJail | None) -> Iterator[str]:
    if running is not None:
        yield from map(str, running.addresses)
    if defined is not None:
        yield from (word for word in (defined.release, f"on {defined.bridge}" if defined.bridge else None) if word)
    yield "up" if running is not None else "down"


def _create(
    desired: Desired,
    agent: DesiredAgent,
    jail: DesiredJail,
    facts: Facts,
    cleared: tuple[Command, ...] = (),
    *,
    cut_off: bool = False,
) -> Change:
    """Give the change that makes a jail, after what removes everything that is left of one of its name."""
    kind = "thick" if jail.thick else "thin"
    return Change(
        kind="jail",
        name=jail.name,
        agent=agent.name,
        action="~" if cut_off else "+",
        stage=Stage.AGENT,
        detail=f"{jail.address}  {kind}  {jail.release}",
        reason="; ".join(word for word in ("its create was cut off" if cut_off else "", jail.remark) if word),
        commands=(
            *cleared,
            *build(desired.bridge, agent, jail),
            bastille("config", jail.name, "set", "boot", "on"),
            mark(agent.name, jail.name, facts),
        ),
    )


def build(
    bridge: str, agent: DesiredAgent | RegisteredAgent, jail: VnetJail, while_down: Sequence[Command] = ()
) -> Iterator[Command]:
    """Give the commands that make a jail and leave it running with all that it has; but not yet marked as finished.

    Those of `while_down` are run once it has been stopped, before its last start.
    """
    options = ("-T", "-B", "-M") if jail.thick else ("-B", "-M")
    address = f"{jail.address}/{agent.subnet.prefixlen}"
    yield bastille("create", *options, "-g", str(agent.gateway), jail.name, jail.release, address, bridge)
    yield is_whole(agent, jail)
    if jail.parameters or jail.mounts or while_down:
        yield from equip(agent, jail, while_down=while_down)
    yield bastille("config", jail.name, "set", "priority", str(jail.priority))


def mark(agent: str, jail: str, facts: Facts) -> Command:
    """Give the command that marks a jail as finished, and an agent's."""
    return command("/sbin/zfs", "set", f"{AGENT_PROPERTY}={agent}", f"{jails_dataset(facts)}/{jail}")


def jails_dataset(facts: Facts) -> str | None:
    """Give the dataset that Bastille keeps its jails below; None where it keeps them in plain folders."""
    return next((dataset.name for dataset in facts.datasets.values() if dataset.mountpoint == JAILS), None)


def _mend(desired: Desired, agent: DesiredAgent, jail: DesiredJail, dataset: Dataset, seen: _Seen) -> Iterator[Finding]:
    facts = seen.facts
    defined = facts.bastille_jails[jail.name]
    running = facts.running_jails.get(jail.name)
    address = f"{jail.address}/{agent.subnet.prefixlen}"
    commands: list[Command] = []
    reasons: list[str] = []
    twin = seen.twins.get(jail.name)
    if twin is not None:
        address_of_its_own, write = mac.change(jail.name, facts)
        commands.append(write)
        reasons.append(f"MAC address of {twin} too -> {address_of_its_own}")
    for name, was, wanted in _settings(jail, defined):
        commands.append(bastille("config", jail.name, "set", name, wanted))
        reasons.append(f"{name} {was} -> {wanted}")
    lacking = list(lacks(jail, defined))
    reasons += lacking
    if running is None:
        # a jail does not start while its fstab(5) names what is gone
        commands += [set_mount(jail, mount, "") for mount in jail.mounts if differs(jail, mount, defined)]
        commands += [
            *clear_mounts(jail.name, facts),
            *clear_epair(jail.name, defined.host_interface, facts),
            bastille("start", jail.name),
            is_whole(agent, jail),
        ]
        reasons.append("down -> up")
    if lacking:
        commands += equip(agent, jail, defined)
    elif running is not None:
        unreachable = [*_unreachable(running, address, agent), *unmounted(jail, seen.mounted)]
        reasons += unreachable
        if unreachable or twin:
            commands += [bastille("restart", jail.name), is_whole(agent, jail)]
        elif _cut_off(desired.bridge, defined.host_interface, facts):
            commands.append(command("/sbin/ifconfig", desired.bridge, "addm", str(defined.host_interface)))
            reasons.append(f"{defined.host_interface} on no bridge -> on {desired.bridge}")
    if dataset.agent is None:
        commands.append(command("/sbin/zfs", "set", f"{AGENT_PROPERTY}={agent.name}", dataset.name))
        reasons.append(f"no mark -> {AGENT_PROPERTY}={agent.name}")
    if commands:
        yield Change(
            kind="jail",
            name=jail.name,
            agent=agent.name,
            action="~",
            stage=Stage.AGENT,
            detail=", ".join(reasons),
            commands=tuple(commands),
        )


def _settings(jail: DesiredJail, defined: BastilleJail) -> Iterator[tuple[str, str, str]]:
    """Give what of a jail's settings.conf differs: its name, what it is, and what it should be."""
    if defined.priority != jail.priority:
        yield "priority", str(defined.priority), str(jail.priority)
    if defined.boot is not True:
        yield "boot", "off" if defined.boot is False else "not set", "on"


def staying(desired: Desired, facts: Facts) -> frozenset[str]:
    """Name the jails that run as they should, so that no change of this module's starts them again or makes them."""
    seen = _look(desired, facts)
    return frozenset(
        jail.name
        for agent in desired.agents.values()
        for jail in agent.jails.values()
        if jail.name in facts.running_jails
        and not any(_ends_it(finding) for finding in _jail(desired, agent, jail, seen))
    )


def _ends_it(finding: Finding) -> bool:
    """Tell whether a jail that runs does not run on: a setting, a mark or a place on the bridge leave it alone."""
    if isinstance(finding, Change):
        return any(one.argv[: len(start)] == start for one in finding.commands for start in _STARTS)
    return isinstance(finding, Conflict)


def _unreachable(running: RunningJail, address: str, agent: DesiredAgent) -> list[str]:
    held = [str(one) for one in running.addresses]
    if address in held and running.default_router == agent.gateway:
        return []
    has = f"{', '.join(held) or 'no address'} by {running.default_router or 'no router'}"
    return [f"{has} -> {address} by {agent.gateway}"]


def _cut_off(bridge: str, host_interface: str | None, facts: Facts) -> bool:
    live = facts.interfaces.get(bridge)
    # a bridge that is gone is made again before this, without the members that it had
    members = live.members if live is not None else frozenset[str]()
    return host_interface is not None and host_interface in facts.interfaces and host_interface not in members
