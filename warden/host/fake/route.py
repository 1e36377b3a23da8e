# SPDX-License-Identifier: BSD-2-Clause
"""Routes: route(8)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from warden.host.fake.jls import find_jail
from warden.host.fake.program import Reply, program, say
from warden.host.fake.routes import EVERYWHERE, Route, lookup, table

if TYPE_CHECKING:
    from warden.host.fake.machine import NetStack
    from warden.host.fake.program import Call

NOT_FOUND = 255
FLAGS = {"U": "UP", "G": "GATEWAY", "H": "HOST"}


@program(
    "/sbin/route",
    "route [-j JAIL] -n get [-inet] default|ADDRESS",
    "route [-j JAIL] [-nq] add|delete|change [-inet] [-net|-host] default|ADDRESS|NETWORK [GATEWAY]",
    "route [-n] flush [-inet]",
)
def route(call: Call) -> Reply:
    """Look up, add and remove IPv4 routes."""
    words, letters, jail = list(call.args), "", ""
    while words and words[0].startswith("-"):
        option = words.pop(0)
        if option == "-j" and words:
            jail = words.pop(0)
        elif not set(option[1:]) - set("nqv"):
            letters += option[1:]
        else:
            raise call.unsupported()
    inside = find_jail(call.machine, jail) if jail and not call.jail else None
    if jail and inside is None:
        return say(error=f'route: jail "{jail}" not found\n', status=1)
    stack = call.machine.stack(inside.name) if inside is not None else call.net
    verb = words.pop(0) if words else ""
    words = [word for word in words if word not in ("-inet", "-4")]
    if verb == "get" and len(words) == 1 and not words[0].startswith("-"):
        return _get(call, stack, words[0])
    if verb == "flush" and not words:
        return _flush(stack, quiet="q" in letters)
    if verb in ("add", "delete", "del", "change"):
        return _change(
            call, stack, verb.replace("del", "delete") if verb == "del" else verb, words, quiet="q" in letters
        )
    raise call.unsupported()


def set_route(stack: NetStack, network: IPv4Network, gateway: str) -> str:
    """Add a route; give what speaks against it, '' for nothing."""
    through = lookup(table(stack), IPv4Address(gateway))
    if through is None or through.via:
        return "Network is unreachable"
    if network == EVERYWHERE:
        if stack.default_router:
            return "route already in table"
        stack.default_router = gateway
    elif str(network) in stack.routes or any(known.network == network for known in table(stack)):
        return "route already in table"
    else:
        stack.routes[str(network)] = gateway
    return ""


def _get(call: Call, stack: NetStack, word: str) -> Reply:
    address = _address(call, "0.0.0.0" if word == "default" else word)
    found = lookup(table(stack), address)
    if found is None:
        return say(error="route: route has not been found\n", status=NOT_FOUND)
    lines = [f"   route to: {'default' if word in ('default', '0.0.0.0') else word}", f"destination: {_name(found)}"]
    if "H" not in found.flags:
        lines.append(f"       mask: {found.network.netmask if found.network != EVERYWHERE else 'default'}")
    if found.via:
        lines.append(f"    gateway: {found.via}")
    flags = [FLAGS[flag] for flag in found.flags if flag in FLAGS] + ["DONE"]
    if "S" in found.flags:
        flags.append("STATIC")
    if not found.via:
        flags.append("PINNED")
    lines += [
        "        fib: 0",
        f"  interface: {found.interface}",
        f"      flags: <{','.join(flags)}>",
        " recvpipe  sendpipe  ssthresh  rtt,msec    mtu        weight    expire",
        f"       0         0         0         0  {found.mtu:>8}         1         0 ",
    ]
    return say("\n".join(lines) + "\n")


def _change(call: Call, stack: NetStack, verb: str, words: list[str], *, quiet: bool) -> Reply:
    kind = ""
    while words and words[0] in ("-net", "-host"):
        kind = words.pop(0)[1:]
    if not 1 <= len(words) <= 2 or words[0].startswith("-") or words[-1].startswith("-"):
        raise call.unsupported()
    network = _network(call, words[0])
    gateway = words[1] if len(words) == 2 else ""
    if gateway:
        _address(call, gateway)
    problem = _apply(call, stack, verb, network, gateway)
    if quiet and not problem:
        return Reply()
    kind = kind or ("host" if network.prefixlen == 32 else "net")
    said = f"{verb} {kind} {words[0]}" + (f": gateway {gateway}" if gateway else "")
    if problem:
        return say(error=f"{said} fib 0: {problem}\n", status=1)
    return say(f"{said}\n")


def _apply(call: Call, stack: NetStack, verb: str, network: IPv4Network, gateway: str) -> str:
    if verb == "add":
        if not gateway:
            raise call.unsupported()
        return set_route(stack, network, gateway)
    known = stack.default_router if network == EVERYWHERE else stack.routes.get(str(network), "")
    if not known or (verb == "delete" and gateway not in ("", known)):
        return "not in table"
    if network == EVERYWHERE:
        stack.default_router = ""
    else:
        del stack.routes[str(network)]
    return set_route(stack, network, gateway) if verb == "change" else ""


def _flush(stack: NetStack, *, quiet: bool) -> Reply:
    gone = [known for known in table(stack) if known.via]
    stack.default_router = ""
    stack.routes.clear()
    return Reply() if quiet else say("".join(f"{known.destination:20} {known.via:20} done\n" for known in gone))


def _name(found: Route) -> str:
    return found.destination if found.network == EVERYWHERE else str(found.network.network_address)


def _network(call: Call, word: str) -> IPv4Network:
    if word == "default":
        return EVERYWHERE
    try:
        return IPv4Network(word)
    except ValueError:
        raise call.unsupported() from None


def _address(call: Call, word: str) -> IPv4Address:
    try:
        return IPv4Address(word)
    except ValueError:
        raise call.unsupported() from None
