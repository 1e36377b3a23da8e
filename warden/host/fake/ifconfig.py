# SPDX-License-Identifier: BSD-2-Clause
"""Network interfaces: ifconfig(8) as FreeBSD 15.1 has it.

Words are taken one after the other and take effect at once; only addresses wait until the last word was read, so
`ifconfig X name Y inet nonsense` has renamed X before it fails (session 14).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from warden.host.fake import ifconfig_bridge, kld, network
from warden.host.fake.ifconfig_options import Options, parse_options
from warden.host.fake.ifconfig_show import show
from warden.host.fake.ifconfig_words import UNKNOWN_TO_US, Ending, parse_address, parse_mask, requires
from warden.host.fake.jls import find_jail
from warden.host.fake.network import NetworkError
from warden.host.fake.program import Reply, program, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from warden.host.fake.machine import Interface, NetStack
    from warden.host.fake.program import Call

FAMILIES = {"inet": "inet", "inet6": "inet6", "ether": "ether", "link": "ether", "lladdr": "ether"}
CLONE_WORDS = ("create", "plumb", "vlan", "vlandev", "vlanproto")
GROUP_LIMIT = 15


@dataclass(slots=True)
class Setting:
    """One interface being set: what was read so far, and what waits for the last word."""

    call: Call
    stack: NetStack
    interface: Interface
    family: str = "inet"
    lines: list[str] = field(default_factory=list)
    says_name: bool = False
    address: str = ""
    prefix: int | None = None
    alias: int = 0
    """1 for `alias`, -1 for `-alias`, 0 for neither: the first address is replaced."""


@program(
    "/sbin/ifconfig",
    "ifconfig [-a] [-ln] [-du] [-j JAIL] [-f inet:cidr|dotted|hex] [inet|inet6|ether]",
    "ifconfig -g GROUP",
    "ifconfig [-j JAIL] [-f FORM] IF [inet|ether]",
    "ifconfig IF create|destroy [...]",
    "ifconfig vlan create vlan TAG vlandev IF [...]",
    "ifconfig IF [inet] ADDRESS/PREFIX [netmask MASK] [alias|-alias]",
    "ifconfig IF ether MAC",
    "ifconfig IF up|down|name NAME|[-]group GROUP|[-]descr TEXT|mtu N|vnet JAIL|-vnet JAIL ...",
    "ifconfig BRIDGE addm IF [untagged N] [tagged SET]|deletem IF|[-]private IF|[-]ifuntagged IF N|[+-]iftagged IF SET"
    "|[-]vlanfilter|[-]defuntagged N|static IF MAC|deladdr MAC|addr ...",
)
def ifconfig(call: Call) -> Reply:
    """Show, make, set and destroy network interfaces."""
    lines: list[str] = []
    try:
        options, words = parse_options(call)
        stack = _stack(call, options)
        if options.group is not None:
            return say("".join(f"{one.name}\n" for one in _listed(stack, options, "") if options.group in one.groups))
        if options.everything or options.names or not words:
            return say(_list(call, stack, options, words))
        _one(call, stack, options, words, lines)
    except Ending as ending:
        return say("".join(lines), error=f"ifconfig: {ending}\n", status=1)
    return say("".join(lines))


def _one(call: Call, stack: NetStack, options: Options, words: list[str], lines: list[str]) -> None:
    """Do what is said of one interface."""
    name = words.pop(0)
    if options.load and not call.jail:
        kld.load(call.machine, "if_" + re.split(r"\d", name)[0])
    if words[:1] == ["-vnet"] and len(words) == 2:
        _reclaim(call, stack, name, words[1])
        return
    made = name not in stack.interfaces
    interface = _create(call, stack, name, words) if made else _existing(stack, name, words)
    family = FAMILIES.get(words[0], "") if words else ""
    if family:
        words.pop(0)
    if not words and not made:
        lines.append(show(stack, interface, family, options.form))
        return
    if family == "inet6" and words:
        raise call.unsupported()
    setting = Setting(call, stack, interface, family or "inet", lines, says_name=made and interface.name != name)
    try:
        _read(setting, words)
    finally:
        if setting.says_name:
            lines.append(f"{interface.name}\n")


def _existing(stack: NetStack, name: str, words: list[str]) -> Interface:
    """Give an interface that is there; `create` with more behind it is passed over (session 14)."""
    if words[:1] in (["create"], ["plumb"]):
        if len(words) == 1:
            raise Ending(f"interface {name} already exists")
        words.pop(0)
    return stack.interfaces[name]


def _read(setting: Setting, words: list[str]) -> None:
    while words:
        word = words.pop(0)
        command = COMMANDS.get(word)
        if command is None and word in ifconfig_bridge.COMMANDS:
            _bridge(setting, word, words)
        elif command is None and (word in UNKNOWN_TO_US or setting.address):
            raise setting.call.unsupported()
        elif command is None:
            _note_address(setting, word)
        elif command.argument:
            command.run(setting, requires(word, words, 1)[0])
        else:
            command.run(setting, "")
    _finish(setting)


def _bridge(setting: Setting, word: str, words: list[str]) -> None:
    if setting.interface.kind != "bridge":
        raise setting.call.unsupported()
    if word == "addr":
        setting.lines += ifconfig_bridge.addresses(setting.call, setting.stack, setting.interface)
    else:
        ifconfig_bridge.run(setting.stack, setting.interface, word, words)


def _finish(setting: Setting) -> None:
    """Do what waited for the last word."""
    stack, interface = setting.stack, setting.interface
    if setting.family == "ether":
        if setting.address:
            network.set_ether(stack, interface, setting.address)
        return
    if not setting.address:
        if setting.alias or setting.prefix is not None:
            raise setting.call.unsupported()
        return
    if setting.alias < 0:
        try:
            network.remove_address(stack, interface, setting.address)
        except NetworkError as error:
            raise Ending(f"ioctl (SIOCDIFADDR): {error}") from None
        return
    if setting.prefix is None:
        raise Ending("ERROR: setting interface address without mask is no longer supported.")
    if not setting.alias and interface.inet:
        network.remove_address(stack, interface, interface.inet[0].address)
    network.add_address(stack, interface, setting.address, setting.prefix)


def _note_address(setting: Setting, word: str) -> None:
    if setting.family == "ether":
        if not re.fullmatch(r"[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}", word):
            raise Ending("malformed link-level address")
        setting.address = ":".join(f"{int(octet, 16):02x}" for octet in word.split(":"))
        return
    setting.address, prefix = parse_address(word)
    setting.prefix = setting.prefix if prefix is None else prefix


def _create(call: Call, stack: NetStack, name: str, words: list[str]) -> Interface:
    """Make an interface, taking the words that go into its making off the list."""
    if words[:1] not in (["create"], ["plumb"]):
        raise Ending(f"interface {name} does not exist")
    parameters = {"vlan": "", "vlandev": ""}
    while words and words[0] in CLONE_WORDS:
        word = words.pop(0)
        if word == "vlanproto":
            raise call.unsupported()
        if word in parameters:
            parameters[word] = requires(word, words, 1)[0]
    if len(name) > network.NAME_LIMIT:
        raise Ending(f"{name}: cloning name too long")
    try:
        if re.match("vlan", name) or "." in name:
            parent, tag = _vlan_parameters(stack, name, parameters)
            if parent:
                return network.create_vlan(call.machine, stack, name, parent, tag)
        return network.create(call.machine, stack, name)
    except NetworkError as error:
        if error.reason == "File exists":
            raise Ending(f"interface {name} already exists") from None
        raise Ending(f"SIOCIFCREATE2 ({name}): {error}") from None


def _vlan_parameters(stack: NetStack, name: str, parameters: dict[str, str]) -> tuple[str, int]:
    """Give a new vlan interface's parent and tag, from `parent.tag` or from what was said; no parent for none."""
    parent, tag = parameters["vlandev"], -1
    if parameters["vlan"]:
        if not parameters["vlan"].isdigit():
            raise Ending("invalid value for vlan")
        tag = int(parameters["vlan"])
    if "." in name:
        named, _, vid = name.rpartition(".")
        if not re.fullmatch(r"[1-9]\d*", vid) or int(vid) >= 0xFFF:
            raise Ending("invalid vlan tag")
        if tag not in (-1, int(vid)) or parent not in ("", named):
            raise Ending("ambiguous vlan specification")
        if named not in stack.interfaces:
            raise NetworkError("Invalid argument")
        return named, int(vid)
    if parent and tag < 0:
        raise Ending("must specify a tag for vlan create")
    if tag >= 0 and not parent:
        raise Ending("must specify a parent device for vlan create")
    if parent and not 0 < tag < 0xFFF:
        raise NetworkError("Invalid argument")
    return parent, tag


def _reclaim(call: Call, stack: NetStack, name: str, jail: str) -> None:
    """Take an interface back from a jail."""
    inside = call.machine.stack(_jail(call, jail))
    if stack.jail or name not in inside.interfaces:
        raise call.unsupported()
    network.move(call.machine, inside, stack, name)


def _list(call: Call, stack: NetStack, options: Options, words: list[str]) -> str:
    family = FAMILIES.get(words[0]) if words else ""
    if family is None or len(words) > 1:
        raise call.unsupported()
    listed = _listed(stack, options, family)
    if options.names:
        return " ".join(interface.name for interface in listed) + "\n"
    return "".join(show(stack, interface, family, options.form) for interface in listed)


def _listed(stack: NetStack, options: Options, family: str) -> list[Interface]:
    listed = network.in_order(stack)
    if options.only:
        listed = [interface for interface in listed if interface.up == (options.only == "up")]
    if options.names and family == "inet":
        listed = [interface for interface in listed if interface.inet]
    if options.names and family == "ether":
        listed = [interface for interface in listed if interface.kind != "loop"]
    return listed


def _stack(call: Call, options: Options) -> NetStack:
    return call.net if options.jail is None else call.machine.stack(_jail(call, options.jail))


def _jail(call: Call, wanted: str) -> str:
    """Give the name of a running jail, found by name or number."""
    jail = None if call.jail else find_jail(call.machine, wanted)
    if jail is None:
        raise Ending(f'jail "{wanted}" not found')
    return jail.name


def _up(setting: Setting, _: str) -> None:
    network.set_up(setting.stack, setting.interface, up=True)


def _down(setting: Setting, _: str) -> None:
    network.set_up(setting.stack, setting.interface, up=False)


def _alias(setting: Setting, _: str) -> None:
    setting.alias = 1


def _remove_alias(setting: Setting, _: str) -> None:
    setting.alias = -1


def _netmask(setting: Setting, mask: str) -> None:
    setting.prefix = parse_mask(mask)


def _describe(setting: Setting, text: str) -> None:
    setting.interface.description = text


def _destroy(setting: Setting, _: str) -> None:
    try:
        network.destroy(setting.call.machine, setting.stack, setting.interface.name)
    except NetworkError as error:
        raise Ending(f"SIOCIFDESTROY: {error}") from None


def _name(setting: Setting, name: str) -> None:
    try:
        network.rename(setting.call.machine, setting.stack, setting.interface, name)
    except NetworkError as error:
        raise Ending(f"ioctl SIOCSIFNAME (set name): {error}") from None
    setting.says_name = True


def _group(setting: Setting, group: str) -> None:
    if group[-1:].isdigit():
        raise Ending("setifgroup: group names may not end in a digit")
    if len(group) > GROUP_LIMIT:
        raise Ending("setifgroup: group name too long")
    if group not in setting.interface.groups:
        setting.interface.groups.append(group)


def _leave_group(setting: Setting, group: str) -> None:
    if group[-1:].isdigit():
        raise Ending("unsetifgroup: group names may not end in a digit")
    if len(group) > GROUP_LIMIT:
        raise Ending("unsetifgroup: group name too long")
    if group in setting.interface.groups:  # exits 0 also for a group that it is not in (session 01)
        setting.interface.groups.remove(group)


def _mtu(setting: Setting, mtu: str) -> None:
    try:
        network.set_mtu(setting.stack, setting.interface, int(mtu) if mtu.isdigit() else 0)
    except NetworkError as error:
        raise Ending(f"ioctl SIOCSIFMTU (set mtu): {error}") from None


def _vnet(setting: Setting, wanted: str) -> None:
    jail = _jail(setting.call, wanted)
    if not setting.call.machine.stack(jail).jail:
        raise setting.call.unsupported()
    network.move(setting.call.machine, setting.stack, setting.call.machine.stack(jail), setting.interface.name)


class Keyword(NamedTuple):
    """A word that ifconfig knows: what it does, and whether a value follows it."""

    run: Callable[[Setting, str], None]
    argument: bool = False


COMMANDS = {
    "up": Keyword(_up),
    "down": Keyword(_down),
    "alias": Keyword(_alias),
    "add": Keyword(_alias),
    "-alias": Keyword(_remove_alias),
    "delete": Keyword(_remove_alias),
    "remove": Keyword(_remove_alias),
    "netmask": Keyword(_netmask, argument=True),
    "description": Keyword(_describe, argument=True),
    "descr": Keyword(_describe, argument=True),
    "-description": Keyword(_describe),
    "-descr": Keyword(_describe),
    "destroy": Keyword(_destroy),
    "unplumb": Keyword(_destroy),
    "name": Keyword(_name, argument=True),
    "group": Keyword(_group, argument=True),
    "-group": Keyword(_leave_group, argument=True),
    "mtu": Keyword(_mtu, argument=True),
    "vnet": Keyword(_vnet, argument=True),
}
