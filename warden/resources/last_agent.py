# SPDX-License-Identifier: BSD-2-Clause
"""What goes when no agent is left: everything that Warden set for all of them, as it was before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from warden.facts.keys import FOLDER as KEYS
from warden.facts.probe import ANCHOR
from warden.host.files import write_file
from warden.resources import devfs, pf
from warden.resources.change import Change, Guard, Note, Stage
from warden.resources.commands import WARDEN, command, remove_file, sysrc_remove, sysrc_set
from warden.resources.gateway import Aliases
from warden.resources.host_rc_conf import bridge_variables, without_bridge
from warden.resources.kept import AGENTS, is_root
from warden.resources.marks import INTERFACE_GROUP
from warden.resources.pf_conf import without_hooks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Address

    from warden.facts.model import Facts
    from warden.host.command import Command
    from warden.resources.change import Finding
    from warden.resources.desired import Desired


# What was kept of agents lies in there, and a snapshot may be somebody else's. One that is mounted can hold files.
_TIDY = """\
for folder in "$1" "$2"; do [ ! -d "$folder" ] || rmdir "$folder" 2> /dev/null; done; agents=$1; shift 2
for dataset; do
	all=$(zfs list -Hr -t all -o name,mountpoint,canmount,mounted "$dataset")
	[ "$all" != "$dataset	$agents	off	no" ] || zfs destroy "$dataset" || exit 1
done
"""


def changes(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the changes that take Warden off a host, in the order in which nothing is left half done."""
    if desired.inhabited or not desired.leaving:
        return
    gateways = {agent.gateway for agent in facts.registry.values()}
    jails = {jail.name for agent in facts.registry.values() for jail in agent.every_jail}
    yield from take_off(desired.bridge, facts, gateways, jails)


def take_off(bridge: str, facts: Facts, gateways: set[IPv4Address], jails: set[str]) -> Iterator[Finding]:
    """Give the changes that undo what was set for all agents; these gateways and jails are Warden's, and go as well."""
    yield from _pf(facts)
    yield from _devfs(facts)
    foreign = _foreign(bridge, facts, gateways, jails)
    if foreign:
        yield Note(message=f"{bridge} stays: it has {', '.join(foreign)}, which Warden did not give it")
    else:
        yield from _bridge(bridge, facts)
    yield from _rc_conf(bridge, facts, bridge_stays=bool(foreign))
    yield from _storage(facts)
    yield _change("record", WARDEN, "the registry of an empty host", (command("/bin/rm", "-rf", WARDEN),))


def _change(kind: str, name: str, detail: str, commands: tuple[Command, ...]) -> Change:
    return Change(kind=kind, name=name, action="-", stage=Stage.LAST, detail=detail, commands=commands)


def _pf(facts: Facts) -> Iterator[Finding]:
    if facts.pf.enabled is None:
        return
    after: list[Command] = []
    for subnet in facts.pf.tables.get("warden_net", ()):
        after += pf.kill_states(subnet)
    # only what is there: pfctl fails on the tables of an anchor that has nothing left
    there = {"rules": facts.pf.anchor_filter, "nat": facts.pf.anchor_nat, "Tables": facts.pf.tables}
    after += [command(pf.PFCTL, "-a", ANCHOR, "-F", what) for what, held in there.items() if held]
    if pf.SERVICE in facts.files:
        after.append(remove_file(pf.SERVICE))
    detail = f"its hooks in {pf.PF_CONF}, its rules, its service"
    text = facts.files[pf.PF_CONF].text if pf.PF_CONF in facts.files else ""
    wanted = without_hooks(text)
    # the file may be right already, and what was loaded from it not
    if text and (wanted != text or any(pf.hooked(facts))):
        settle = (*pf.settle_pf_conf(facts, wanted), *after)
        guard = Guard(settle=settle, rollback=(pf.bring_pf_back(),))
        yield replace(_change("pf anchor", ANCHOR, detail, pf.load_pf_conf(facts, wanted)), guard=guard)
    elif after:
        yield _change("pf anchor", ANCHOR, detail, tuple(after))


def _storage(facts: Facts) -> Iterator[Finding]:
    folders = [dataset.name for dataset in facts.datasets.values() if is_root(dataset, facts)]
    if folders or facts.keys:
        tidy = (command("/bin/sh", "-c", _TIDY, "sh", AGENTS, KEYS, *folders),)
        yield _change("storage", AGENTS, "the folders of agents' datasets and keys, as far as they are empty", tidy)


def _devfs(facts: Facts) -> Iterator[Finding]:
    file = facts.files.get(devfs.RULES)
    text = file.text if file else ""
    commands: list[Command] = []
    if devfs.SECTION in text:
        left = devfs.without_section(text)
        content = left.encode("utf-8", "surrogateescape")
        commands.append(write_file(devfs.RULES, content) if left else remove_file(devfs.RULES))
    elif devfs.defines(text) or devfs.HIDE_ALL not in facts.devfs_ruleset_13:
        return
    commands.append(command("/usr/sbin/service", "devfs", "restart"))
    yield _change("devfs ruleset", str(devfs.RULESET), devfs.RULES, tuple(commands))


def _foreign(bridge: str, facts: Facts, ours: set[IPv4Address], jails: set[str]) -> list[str]:
    """Give what of others is on the bridge: addresses, now or at boot, interfaces and jails."""
    live = facts.interfaces.get(bridge)
    found: list[str] = []
    if live is not None:
        found += [str(address) for address in live.addresses if address.ip not in ours]
        found += [name for name in sorted(live.members) if "epair" not in facts.interfaces[name].groups]
    at_boot = Aliases.read(bridge, facts.rc_conf).all
    found += [str(address) for address in at_boot if address.ip not in ours and str(address) not in found]
    found += [name for name, jail in facts.bastille_jails.items() if jail.bridge == bridge and name not in jails]
    return found


def _bridge(bridge: str, facts: Facts) -> Iterator[Finding]:
    live = facts.interfaces.get(bridge)
    if live is not None and INTERFACE_GROUP in live.groups:
        yield _change("bridge", bridge, "no agent is left on it", (command("/sbin/ifconfig", bridge, "destroy"),))


def _rc_conf(bridge: str, facts: Facts, *, bridge_stays: bool) -> Iterator[Finding]:
    before = dict(facts.host_record.rc_conf_before)
    if bridge_stays:
        before = {name: value for name, value in before.items() if name not in bridge_variables(bridge, facts)}
    elif "cloned_interfaces" in before:
        before["cloned_interfaces"] = without_bridge(bridge, facts)
    restore = {name: value for name, value in before.items() if value is not None and facts.rc_conf.get(name) != value}
    remove = [name for name, value in before.items() if value is None and name in facts.rc_conf]
    commands: list[Command] = []
    # removed last: by the name of the bridge's unit a run after a cut-off knows which word of the list is ours
    if restore:
        commands.append(sysrc_set(restore))
    if remove:
        commands.append(sysrc_remove(remove))
    if "gateway_enable" in before and (before["gateway_enable"] or "NO").upper() != "YES" and facts.forwarding:
        commands.append(command("/sbin/sysctl", "net.inet.ip.forwarding=0"))
    if commands:
        yield _change("rc.conf", "host", f"as it was before: {', '.join([*restore, *remove])}", tuple(commands))
