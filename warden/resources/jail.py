# SPDX-License-Identifier: BSD-2-Clause
"""The VNET jails of an agent, through Bastille.

Bastille's exit status proves little (`create`, `start` and `destroy` can fail with 0), and its names are patterns:
so each step here is followed by a command that fails unless the step's effect is there, and nothing is destroyed
that is not, by its exact name, a jail of ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.facts.jails import JAILS
from warden.facts.zfs import AGENT_PROPERTY
from warden.resources import kept, mac
from warden.resources.change import Change, Conflict, Note, Stage
from warden.resources.commands import bastille, command, sysrc_set
from warden.resources.kept import jail_datasets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from warden.facts.model import BastilleJail, Dataset, Facts, RegisteredJail, RunningJail
    from warden.host.command import Command
    from warden.resources.change import Finding
    from warden.resources.desired import Desired, DesiredAgent, DesiredJail

_IS_WHOLE = (
    'ifconfig -j "$1" -f inet:cidr | grep -qF "inet $2 " && route -j "$1" -n get default | grep -q "gateway: $3\\$"'
    ' || { echo "$1 has no address $2 or no default route by $3" >&2; exit 1; }'
)
_IS_GONE = 'test ! -e "$1" || { echo "$1 is still there" >&2; exit 1; }'
_IS_STOPPED = 'if jls -j "$1" jid > /dev/null 2>&1; then echo "$1 still runs" >&2; exit 1; fi'
_OWN_STACK = "vnet0"


def changes(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the changes to the jails: to make, to mend, to start; and those of agents that leave."""
    datasets = jail_datasets(facts)
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
            yield from _jail(desired, agent, jail, datasets.get(jail.name), facts)
        yield from (
            Note(agent=agent.name, message=f"the spec no longer names {service} of {agent.name}: its jail stays")
            for service in agent.kept
        )
    for leaving in desired.leaving.values():
        yield from departures(leaving.name, leaving.jails.values(), facts, keep_data=desired.keep_data)


def _jail(
    desired: Desired, agent: DesiredAgent, jail: DesiredJail, dataset: Dataset | None, facts: Facts
) -> Iterator[Finding]:
    clear = tuple(_clear(jail.name, dataset, facts))
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
        yield _create(desired, agent, jail, facts, clear)
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
            commands=clear,
        )
        yield _create(desired, agent, jail, facts)
    elif conflict is not None:
        yield conflict
    elif dataset is None or (dataset.agent is None and not _was_finished(jail, dataset, facts)):
        # the property is set last: without it a create was cut off, and the jail holds nothing yet
        yield _create(desired, agent, jail, facts, clear, cut_off=True)
    else:
        yield from _mend(desired, agent, jail, dataset, facts)


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


def misfit(bridge: str, jail: DesiredJail, dataset: Dataset | None, facts: Facts, *, begun: bool = False) -> str:
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
    clear: tuple[Command, ...] = (),
    *,
    cut_off: bool = False,
) -> Change:
    """Give the change that makes a jail, after what removes everything that is left of one of its name."""
    kind = "thick" if jail.thick else "thin"
    options = ("-T", "-B", "-M") if jail.thick else ("-B", "-M")
    address = f"{jail.address}/{agent.subnet.prefixlen}"
    gateway = str(agent.gateway)
    return Change(
        kind="jail",
        name=jail.name,
        agent=agent.name,
        action="~" if cut_off else "+",
        stage=Stage.AGENT,
        detail=f"{jail.address}  {kind}  {jail.release}",
        reason="; ".join(word for word in ("its create was cut off" if cut_off else "", jail.remark) if word),
        commands=(
            *clear,
            bastille("create", *options, "-g", gateway, jail.name, jail.release, address, desired.bridge),
            command("/bin/sh", "-c", _IS_WHOLE, "sh", jail.name, address, gateway),
            bastille("config", jail.name, "set", "priority", str(jail.priority)),
            bastille("config", jail.name, "set", "boot", "on"),
            command("/sbin/zfs", "set", f"{AGENT_PROPERTY}={agent.name}", f"{jails_dataset(facts)}/{jail.name}"),
        ),
    )


def jails_dataset(facts: Facts) -> str | None:
    """Give the dataset that Bastille keeps its jails below; None where it keeps them in plain folders."""
    return next((dataset.name for dataset in facts.datasets.values() if dataset.mountpoint == JAILS), None)


def _mend(
    desired: Desired, agent: DesiredAgent, jail: DesiredJail, dataset: Dataset, facts: Facts
) -> Iterator[Finding]:
    defined = facts.bastille_jails[jail.name]
    running = facts.running_jails.get(jail.name)
    address = f"{jail.address}/{agent.subnet.prefixlen}"
    commands: list[Command] = []
    reasons: list[str] = []
    ours = {one.name for other in desired.agents.values() for one in other.jails.values()}
    twin = mac.twin(desired.bridge, jail.name, facts, ours)
    if twin is not None:
        address_of_its_own, write = mac.change(jail.name, facts)
        commands.append(write)
        reasons.append(f"MAC address of {twin} too -> {address_of_its_own}")
    if defined.priority != jail.priority:
        commands.append(bastille("config", jail.name, "set", "priority", str(jail.priority)))
        reasons.append(f"priority {defined.priority} -> {jail.priority}")
    if defined.boot is not True:
        commands.append(bastille("config", jail.name, "set", "boot", "on"))
        reasons.append(f"boot {'off' if defined.boot is False else 'not set'} -> on")
    if running is None:
        commands += [
            *_clear_mounts(jail.name, facts),
            *_clear_epair(jail.name, defined.host_interface, facts),
            bastille("start", jail.name),
            command("/bin/sh", "-c", _IS_WHOLE, "sh", jail.name, address, str(agent.gateway)),
        ]
        reasons.append("down -> up")
    elif (unreachable := _unreachable(running, address, agent)) or twin:
        commands += [
            bastille("restart", jail.name),
            command("/bin/sh", "-c", _IS_WHOLE, "sh", jail.name, address, str(agent.gateway)),
        ]
        reasons += unreachable
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


def _clear_epair(name: str, host_interface: str | None, facts: Facts) -> Iterator[Command]:
    # jail(8) leaves the epair behind when a start fails, and the next start fails on its name
    host_interface = host_interface or f"e0a_{name}"
    if host_interface in facts.interfaces:
        yield command("/sbin/ifconfig", host_interface, "destroy")


def _clear_mounts(name: str, facts: Facts) -> Iterator[Command]:
    # of a jail that was killed while it started the mounts stay: start fails on them, destroy refuses with 0
    below = [point for point in facts.mount_points if point.startswith(f"{JAILS}/{name}/root/")]
    yield from (command("/sbin/umount", "-f", point) for point in reversed(below))


def _clear(name: str, dataset: Dataset | None, facts: Facts) -> Iterator[Command]:
    """Give the commands that leave nothing of a jail: each exists only for what is there."""
    defined = facts.bastille_jails.get(name)
    running = name in facts.running_jails
    if running and defined is None:
        yield command("/usr/sbin/jail", "-R", name)
    if not running or defined is None:
        yield from _clear_mounts(name, facts)
    if dataset is not None and dataset.agent is not None:
        # a destroy that is cut off leaves something that is not whole: so it must not be taken for that either
        yield command("/sbin/zfs", "inherit", AGENT_PROPERTY, dataset.name)
    if defined is not None:
        yield bastille("destroy", "-afy", name)
        yield command("/bin/sh", "-c", _IS_STOPPED, "sh", name)
    elif dataset is not None:
        yield command("/sbin/zfs", "destroy", "-rf", dataset.name)
    if defined is not None or dataset is not None:
        yield command("/bin/sh", "-c", _IS_GONE, "sh", f"{JAILS}/{name}/jail.conf")
    if not running or defined is None:
        yield from _clear_epair(name, defined.host_interface if defined else None, facts)


def _stop(name: str, facts: Facts) -> Iterator[Command]:
    """Give the commands that leave nothing of a jail but its dataset: each exists only for what is there."""
    defined = facts.bastille_jails.get(name)
    running = name in facts.running_jails
    if running and defined is not None:
        yield bastille("stop", name)
        yield command("/bin/sh", "-c", _IS_STOPPED, "sh", name)
        return
    if running:
        yield command("/usr/sbin/jail", "-R", name)
    yield from _clear_mounts(name, facts)
    yield from _clear_epair(name, defined.host_interface if defined else None, facts)


def departures(agent: str, jails: Iterable[RegisteredJail], facts: Facts, *, keep_data: bool) -> Iterator[Finding]:
    """Give the end of an agent's jails; with `keep_data`, what is in those that were whole is put aside."""
    datasets = jail_datasets(facts)
    for jail in jails:
        yield from _leave(agent, jail, datasets.get(jail.name), facts, keep_data=keep_data)
    for moved in kept.unfinished(facts):
        if moved.agent == agent:
            yield Change(
                kind="kept data",
                name=moved.name,
                agent=agent,
                action="~",
                stage=Stage.AGENT,
                detail="its move was cut off",
                commands=tuple(kept.finish(moved.name, agent)),
            )


def _leave(
    agent: str, jail: RegisteredJail, dataset: Dataset | None, facts: Facts, *, keep_data: bool
) -> Iterator[Finding]:
    if dataset is not None and dataset.agent not in (None, agent):
        yield Note(agent=agent, message=f"the jail {jail.name} belongs to the agent {dataset.agent}, and stays")
    elif keep_data and dataset is not None and dataset.agent == agent:
        yield from put_aside(agent, jail.name, jail.service, dataset, facts)
    else:
        commands = tuple(_clear(jail.name, dataset, facts))
        if commands:
            yield _gone(agent, jail.name, f"{jail.address}  with all that is in it", commands)


def put_aside(agent: str, name: str, service: str, dataset: Dataset, facts: Facts) -> Iterator[Finding]:
    """Give the end of a jail whose data are kept, and the remark that says where."""
    keeps = kept.free_name(dataset.name, agent, service, facts)
    commands = (*_stop(name, facts), *kept.put_aside(dataset, keeps, agent, facts))
    yield Note(agent=agent, message=f"the data of {name} are kept: {kept.how_to_lose(keeps)}")
    yield _gone(agent, name, f"its data become {keeps}", commands)


def _gone(agent: str, name: str, detail: str, commands: tuple[Command, ...]) -> Change:
    return Change(kind="jail", name=name, agent=agent, action="-", stage=Stage.AGENT, detail=detail, commands=commands)
