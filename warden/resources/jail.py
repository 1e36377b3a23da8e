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
from warden.resources.change import Change, Conflict, Note, Stage
from warden.resources.commands import bastille, command, sysrc_set

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.facts.model import Dataset, Facts, RegisteredJail
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
    datasets = {dataset.mountpoint: dataset for dataset in facts.datasets.values() if dataset.mountpoint != "none"}
    wanted = any(agent.jails for agent in desired.agents.values())
    if wanted and facts.rc_conf.get("bastille_enable", "NO").upper() != "YES":
        yield Change(
            kind="service",
            name="bastille",
            action="~",
            stage=Stage.FIRST,
            detail="bastille_enable",
            reason="starts the jails at boot",
            commands=(sysrc_set({"bastille_enable": "YES"}),),
        )
    for agent in desired.agents.values():
        registered = facts.registry.get(agent.name)
        for jail in agent.jails.values():
            dataset = datasets.get(f"{JAILS}/{jail.name}")
            allocated = registered is not None and jail.service in registered.jails
            yield from _jail(desired, agent, jail, dataset, facts, allocated=allocated)
        yield from (
            Note(agent=agent.name, message=f"the spec no longer names {service} of {agent.name}: its jail stays")
            for service in agent.kept
        )
    for leaving in desired.leaving.values():
        for registered_jail in leaving.jails.values():
            yield from _leave(leaving.name, registered_jail, datasets.get(f"{JAILS}/{registered_jail.name}"), facts)


def _jail(
    desired: Desired,
    agent: DesiredAgent,
    jail: DesiredJail,
    dataset: Dataset | None,
    facts: Facts,
    *,
    allocated: bool,
) -> Iterator[Finding]:
    defined = facts.bastille_jails.get(jail.name)
    if defined is None and dataset is None:
        yield _create(desired, agent, jail, dataset, facts)
        return
    if dataset is None or dataset.agent is None:
        if not allocated:
            yield Conflict(
                kind="jail",
                name=jail.name,
                agent=agent.name,
                message=f"there is a jail {jail.name} that is not Warden's",
                hint=f"write another name for {agent.name}'s {jail.service} jail, or destroy that one yourself",
            )
            return
        # the property is set last: without it a create was cut off, and the jail holds nothing yet
        yield _create(desired, agent, jail, dataset, facts)
        return
    if dataset.agent != agent.name:
        yield Conflict(
            kind="jail",
            name=jail.name,
            agent=agent.name,
            message=f"the jail {jail.name} belongs to the agent {dataset.agent}",
            hint=f"write another name for {agent.name}'s {jail.service} jail",
        )
        return
    yield from _mend(desired, agent, jail, facts)


def _create(desired: Desired, agent: DesiredAgent, jail: DesiredJail, dataset: Dataset | None, facts: Facts) -> Change:
    kind = "thick" if jail.thick else "thin"
    options = ("-T", "-B", "-M") if jail.thick else ("-B", "-M")
    address = f"{jail.address}/{agent.subnet.prefixlen}"
    gateway = str(agent.gateway)
    cut_off = dataset is not None or jail.name in facts.bastille_jails
    return Change(
        kind="jail",
        name=jail.name,
        agent=agent.name,
        action="~" if cut_off else "+",
        stage=Stage.AGENT,
        detail=f"{jail.address}  {kind}  {jail.release}",
        reason="; ".join(word for word in ("its create was cut off" if cut_off else "", jail.remark) if word),
        commands=(
            *_clear(jail.name, dataset, facts),
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


def _mend(desired: Desired, agent: DesiredAgent, jail: DesiredJail, facts: Facts) -> Iterator[Finding]:
    defined = facts.bastille_jails.get(jail.name)
    running = facts.running_jails.get(jail.name)
    address = f"{jail.address}/{agent.subnet.prefixlen}"
    if defined is None or defined.release != jail.release or defined.bridge not in (None, desired.bridge):
        has = "no jail.conf" if defined is None else f"{defined.release} on {defined.bridge}"
        yield Conflict(
            kind="jail",
            name=jail.name,
            agent=agent.name,
            message=f"the jail {jail.name} has {has}, and should have {jail.release} on {desired.bridge}",
            hint="write what it has, or destroy the agent first: a jail is never made anew to fit a spec",
        )
        return
    if running is not None and running.addresses and address not in {str(held) for held in running.addresses}:
        yield Conflict(
            kind="jail",
            name=jail.name,
            agent=agent.name,
            message=f"the jail {jail.name} has {', '.join(map(str, running.addresses))}, and should have {address}",
            hint=f"see its rc.conf: bastille sysrc {jail.name} ifconfig_{_OWN_STACK}",
        )
        return
    commands: list[Command] = []
    reasons: list[str] = []
    if defined.priority != jail.priority:
        commands.append(bastille("config", jail.name, "set", "priority", str(jail.priority)))
        reasons.append(f"priority {defined.priority} -> {jail.priority}")
    if defined.boot is not True:
        commands.append(bastille("config", jail.name, "set", "boot", "on"))
        reasons.append("boot off -> on")
    if running is None:
        commands += [
            *_clear_mounts(jail.name, facts),
            *_clear_epair(jail.name, defined.host_interface, facts),
            bastille("start", jail.name),
            command("/bin/sh", "-c", _IS_WHOLE, "sh", jail.name, address, str(agent.gateway)),
        ]
        reasons.append("it is down")
    elif address not in {str(held) for held in running.addresses} or running.default_router != agent.gateway:
        commands += [
            bastille("restart", jail.name),
            command("/bin/sh", "-c", _IS_WHOLE, "sh", jail.name, address, str(agent.gateway)),
        ]
        reasons.append("its address or default route is missing")
    elif _cut_off(desired.bridge, defined.host_interface, facts):
        commands.append(command("/sbin/ifconfig", desired.bridge, "addm", str(defined.host_interface)))
        reasons.append(f"its interface had fallen off {desired.bridge}")
    if commands:
        yield Change(
            kind="jail",
            name=jail.name,
            agent=agent.name,
            action="~",
            stage=Stage.AGENT,
            detail=f"{jail.address}  up, boot on",
            reason=", ".join(reasons),
            commands=tuple(commands),
        )


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


def _leave(agent: str, jail: RegisteredJail, dataset: Dataset | None, facts: Facts) -> Iterator[Finding]:
    if dataset is not None and dataset.agent not in (None, agent):
        yield Note(agent=agent, message=f"the jail {jail.name} belongs to the agent {dataset.agent}, and stays")
        return
    commands = tuple(_clear(jail.name, dataset, facts))
    if commands:
        yield Change(
            kind="jail",
            name=jail.name,
            agent=agent,
            action="-",
            stage=Stage.AGENT,
            detail=f"{jail.address}  with all that is in it",
            commands=commands,
        )
