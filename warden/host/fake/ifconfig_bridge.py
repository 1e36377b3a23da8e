# SPDX-License-Identifier: BSD-2-Clause
"""What ifconfig(8) does with bridges and their members: if_bridge(4) with VLAN filtering."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from warden.host.fake import network
from warden.host.fake.ifconfig_words import Ending, parse_vlan, parse_vlans, requires
from warden.host.fake.network import NetworkError

if TYPE_CHECKING:
    from collections.abc import Callable

    from warden.host.fake.machine import Interface, Member, NetStack
    from warden.host.fake.program import Call

NOT_A_MEMBER = "No such file or directory (Interface is not a bridge member)"
MEMBER_FLAGS = {
    "learn": 0x1,
    "discover": 0x2,
    "sticky": 0x10,
    "edge": 0x20,
    "autoedge": 0x40,
    "ptp": 0x80,
    "autoptp": 0x100,
    "private": 0x800,
}
PRIVATE = MEMBER_FLAGS["private"]


class Command(NamedTuple):
    """A word about bridges: what it does with the bridge and its arguments, and how many of them there are."""

    run: Callable[[NetStack, Interface, list[str]], None]
    arguments: int = 1


def run(stack: NetStack, bridge: Interface, word: str, words: list[str]) -> None:
    """Do what a word says, taking its arguments off the list."""
    if word == "addm":
        _add(stack, bridge, words)
    else:
        command = COMMANDS[word]
        command.run(stack, bridge, requires(word, words, command.arguments) if command.arguments else [])


def addresses(call: Call, stack: NetStack, bridge: Interface) -> list[str]:
    """Give the lines of `addr`: the static addresses; what a bridge would have learnt, the fake one does not know."""
    if any(stack.interfaces[name].peer_jail for name in bridge.members):
        raise call.unsupported("ifconfig BRIDGE addr with members whose addresses it would have learnt")
    return [f"{ether} Vlan0 {name} 0 flags=1<STATIC>\n" for ether, name in bridge.static.items()]


def _add(stack: NetStack, bridge: Interface, words: list[str]) -> None:
    if not words:
        raise Ending("usage: addm <interface> [opts ...]")
    name, untagged, tagged = words.pop(0), 0, None
    while words[:1] in (["untagged"], ["tagged"]):
        option = words.pop(0)
        if not words:
            raise Ending(f"usage: {option} <vlan {'id' if option == 'untagged' else 'set'}>")
        value = words.pop(0)
        if option == "tagged":
            tagged = parse_vlans(value)
            continue
        untagged = parse_vlan(value)
        if not untagged:
            raise Ending(f"invalid VLAN identifier: {value}")
    try:
        network.add_member(stack, bridge, name)
    except NetworkError as error:
        raise Ending(f"BRDGADD {name}: {error}") from None
    member = bridge.members[name]
    member.untagged = untagged or member.untagged
    member.tagged = member.tagged if tagged is None else tagged


def _delete(stack: NetStack, bridge: Interface, arguments: list[str]) -> None:
    try:
        network.remove_member(stack, bridge, arguments[0])
    except NetworkError as error:
        raise Ending(f"BRDGDEL {arguments[0]}: {error}") from None


def _member(bridge: Interface, name: str, failing: str) -> Member:
    if name not in bridge.members:
        raise Ending(f"{failing}: {NOT_A_MEMBER}")
    return bridge.members[name]


def _flag(bit: int, *, on: bool) -> Command:
    def set_flag(_stack: NetStack, bridge: Interface, arguments: list[str]) -> None:
        member = _member(bridge, arguments[0], "unable to get bridge flags")
        member.flags = member.flags | bit if on else member.flags & ~bit

    return Command(set_flag)


def _untagged(_stack: NetStack, bridge: Interface, arguments: list[str]) -> None:
    name, vlan = arguments[0], parse_vlan(arguments[1])
    if not vlan:
        raise Ending(f"invalid VLAN identifier: {arguments[1]}")
    if name not in bridge.members:
        # the kernel gives this error no words, only where it comes from (session 14)
        where = "errno 2 category 7 (src sys/net/if_bridge.c:1975) p1 0 p2 0"
        raise Ending(f"BRDGSIFPVID {vlan}: No such file or directory ({where})")
    bridge.members[name].untagged = vlan


def _not_untagged(_stack: NetStack, bridge: Interface, arguments: list[str]) -> None:
    _member(bridge, arguments[0], "BRDGSIFPVID").untagged = 0


def _tagged(_stack: NetStack, bridge: Interface, arguments: list[str]) -> None:
    vlans = parse_vlans(arguments[1])
    _member(bridge, arguments[0], f"BRDGSIFVLANSET {arguments[1]}").tagged = vlans


def _more_tagged(_stack: NetStack, bridge: Interface, arguments: list[str]) -> None:
    vlans = parse_vlans(arguments[1])
    member = _member(bridge, arguments[0], f"BRDGSIFVLANSET {arguments[1]}")
    member.tagged = sorted({*member.tagged, *vlans})


def _less_tagged(_stack: NetStack, bridge: Interface, arguments: list[str]) -> None:
    vlans = parse_vlans(arguments[1])
    member = _member(bridge, arguments[0], f"BRDGSIFVLANSET {arguments[1]}")
    member.tagged = sorted({*member.tagged} - {*vlans})


def _limit(_stack: NetStack, bridge: Interface, arguments: list[str]) -> None:
    if not arguments[1].isdigit():
        raise Ending(f"invalid value: {arguments[1]}")
    _member(bridge, arguments[0], f"BRDGSIFAMAX {arguments[1]}").max_addresses = int(arguments[1])


def _filter(_stack: NetStack, bridge: Interface, _: list[str]) -> None:
    bridge.vlanfilter = True


def _no_filter(_stack: NetStack, bridge: Interface, _: list[str]) -> None:
    bridge.vlanfilter = False


def _default(_stack: NetStack, bridge: Interface, arguments: list[str]) -> None:
    bridge.default_vlan = parse_vlan(arguments[0])
    if not bridge.default_vlan:
        raise Ending(f"invalid vlan id: {arguments[0]}")


def _no_default(_stack: NetStack, bridge: Interface, _: list[str]) -> None:
    bridge.default_vlan = 0


def _static(_stack: NetStack, bridge: Interface, arguments: list[str]) -> None:
    name, ether = arguments
    if not re.fullmatch(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", ether):
        raise Ending(f"invalid address: {ether}")
    _member(bridge, name, "BRDGSADDR")
    bridge.static[ether.lower()] = name


def _forget(_stack: NetStack, bridge: Interface, arguments: list[str]) -> None:
    if bridge.static.pop(arguments[0].lower(), None) is None:
        raise Ending("BRDGDADDR: No such file or directory")


COMMANDS: dict[str, Command] = {
    "addm": Command(_add),
    "addr": Command(_forget, arguments=0),
    "deletem": Command(_delete),
    "static": Command(_static, arguments=2),
    "deladdr": Command(_forget),
    "ifuntagged": Command(_untagged, arguments=2),
    "-ifuntagged": Command(_not_untagged),
    "iftagged": Command(_tagged, arguments=2),
    "+iftagged": Command(_more_tagged, arguments=2),
    "-iftagged": Command(_less_tagged, arguments=2),
    "ifmaxaddr": Command(_limit, arguments=2),
    "vlanfilter": Command(_filter, arguments=0),
    "-vlanfilter": Command(_no_filter, arguments=0),
    "defuntagged": Command(_default),
    "-defuntagged": Command(_no_default, arguments=0),
    **{word: _flag(bit, on=True) for word, bit in MEMBER_FLAGS.items()},
    **{f"-{word}": _flag(bit, on=False) for word, bit in MEMBER_FLAGS.items()},
}
