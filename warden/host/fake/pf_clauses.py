# SPDX-License-Identifier: BSD-2-Clause
"""The parts of which pf's rules are made: interfaces, protocols, hosts, ports, flags, states (pf.conf(5))."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from warden.host.fake.pf_hosts import HostError, host
from warden.host.fake.pf_lexer import NUMBER, STRING
from warden.host.fake.pf_names import (
    ICMP6_CODES,
    ICMP6_TYPES,
    ICMP_CODES,
    ICMP_TYPES,
    protocol_number,
    service_port,
)
from warden.host.fake.pf_rules import Address, Port
from warden.host.fake.pf_states import state_option

if TYPE_CHECKING:
    from warden.host.fake.pf_reader import Reader

MAX_INTERFACE_NAME = 15
MAX_TABLE_NAME = 31
MAX_LABELS = 5
TCP_FLAGS = "FSRPAUEW"


@dataclass(slots=True)
class FromTo:
    """The from and to parts of a rule; an empty list stands for any."""

    sources: list[Address] = field(default_factory=list)
    source_ports: list[Port] = field(default_factory=list)
    destinations: list[Address] = field(default_factory=list)
    destination_ports: list[Port] = field(default_factory=list)


@dataclass(slots=True)
class FilterOptions:
    """What may stand behind the addresses of a filter rule, each part at most once where pf says so."""

    flags: tuple[str, str] | None = None
    icmp: list[tuple[int, int | None, int]] = field(default_factory=list)
    """ICMP type, code, and 4 or 6."""
    state: str | None = None
    state_options: dict[str, str] = field(default_factory=dict)
    fragment: bool = False
    allow_options: bool = False
    labels: list[str] = field(default_factory=list)
    tag: str = ""
    tagged: str = ""
    tagged_not: bool = False


def direction(read: Reader) -> str:
    """Take `in` or `out`, if one stands here."""
    return read.take().kind if read.at("in", "out") else ""


def log_and_quick(read: Reader) -> tuple[str, bool]:
    """Take `log` and `quick` in either order; give log's text and whether quick was there."""
    log = _log(read)
    quick = read.accept("quick")
    return (log or _log(read), True) if quick else (log, False)


def _log(read: Reader) -> str:
    if not read.accept("log"):
        return ""
    if not read.accept("("):
        return "log"
    options: set[str] = set()
    while not read.accept(")"):
        if read.accept("to"):
            name = read.string()
            if not name.startswith("pflog"):
                read.refuse(f"{name}: should be a pflog interface")
            options.add(f"to {name}")
        else:
            options.add(read.expect("all", "user", "group").replace("group", "user"))
        read.accept(",")
    shown = [option for option in sorted(options) if option != "to pflog0"]
    return f"log ({', '.join(shown)})" if shown else "log"


def interfaces(read: Reader) -> list[tuple[str, bool]]:
    """Take `on [!] interface` or a list of them; give names and whether they are negated."""
    if not read.accept("on"):
        return []

    def item() -> list[tuple[str, bool]]:
        negated = read.accept("!")
        return [(interface_name(read), negated)]

    return read.one_or_braced(item)


def interface_name(read: Reader) -> str:
    """Take the name of an interface or a group."""
    name = read.string()
    if len(name) > MAX_INTERFACE_NAME:
        read.refuse("interface name too long")
    return name


def family(read: Reader) -> int:
    """Take `inet` or `inet6`; give 4, 6, or 0 for none."""
    if read.accept("inet"):
        return 4
    return 6 if read.accept("inet6") else 0


def protocols(read: Reader) -> list[int]:
    """Take `proto name`, by name or number, or a list of them."""
    if not read.accept("proto"):
        return []

    def item() -> list[int]:
        token = read.peek()
        value = read.expect(STRING, NUMBER)
        number = int(value) if token.kind == NUMBER else protocol_number(value)
        if number is None:
            read.refuse(f"unknown protocol {value}")
        if not 0 <= number <= 255:
            read.refuse("protocol outside range")
        if number == 0:
            read.refuse("proto 0 cannot be used")
        return [number]

    return read.one_or_braced(item)


def from_to(read: Reader) -> FromTo:
    """Take `all`, or `from ... to ...` with either half left out."""
    parts = FromTo()
    if read.accept("all"):
        return parts
    if read.accept("from"):
        parts.sources, parts.source_ports = _hosts_and_ports(read)
    if read.at("os"):
        read.wrong()
    if read.accept("to"):
        parts.destinations, parts.destination_ports = _hosts_and_ports(read)
        if any(address.kind == "urpf-failed" for address in parts.destinations):
            read.refuse('"urpf-failed" is not permitted in a destination address')
    return parts


def _hosts_and_ports(read: Reader) -> tuple[list[Address], list[Port]]:
    found = [] if read.at("port") else hosts(read)
    return found, ports(read) if read.accept("port") else []


def hosts(read: Reader) -> list[Address]:
    """Take a host specification, negated or in a list; `any` gives nothing."""
    if read.accept("any"):
        return []
    if read.accept("{"):
        return read.braced(lambda: hosts(read))
    negated = read.accept("!")
    for word in ("no-route", "urpf-failed"):
        if read.accept(word):
            return [Address("no-route" if word == "no-route" else "urpf-failed", negated=negated)]
    return [replace(address, negated=negated) for address in one_host(read)]


def one_host(read: Reader) -> list[Address]:
    """Take one host: an address, a network, a range, `(interface)` or `<table>`."""
    if read.accept("<"):
        name = read.string()
        read.expect(">")
        if len(name) > MAX_TABLE_NAME:
            read.refuse(f"table name '{name}' too long")
        return [Address("table", name)]
    if read.accept("("):
        return [_dynamic(read)]
    first = read.expect(STRING, NUMBER) if read.at(STRING) else _short_network(read)
    if read.accept("-"):
        return [_range(read, first, read.string())]
    if read.accept("/"):
        first += f"/{read.number()}"
    return _look_up(read, first)


def _short_network(read: Reader) -> str:
    # A number by itself is no host; 10/8 is.
    number = read.expect(NUMBER)
    if not read.at("/"):
        read.wrong()
    return number


def _look_up(read: Reader, text: str) -> list[Address]:
    try:
        return host(read.where, text)
    except HostError as failure:
        read.messages += failure.lines
        read.refuse("could not parse host specification")


def _range(read: Reader, first: str, last: str) -> Address:
    low, high = _look_up(read, first), _look_up(read, last)
    both = [*low, *high]
    if len(both) != 2 or "/" in first + last or both[0].family != both[1].family:
        read.refuse("invalid address range")
    return Address("range", f"{both[0].text} - {both[1].text}", both[0].family)


def _dynamic(read: Reader) -> Address:
    name = read.string()
    read.expect(")")
    if not name[:1].isalpha():
        read.refuse(f"invalid interface name '{name}'")
    base, *modifiers = name.split(":")
    if any(modifier not in {"network", "broadcast", "peer", "0"} for modifier in modifiers):
        read.refuse(f"interface {name} has bad modifier")
    modes = [mode for mode in ("network", "broadcast", "peer") if mode in modifiers]
    if len(modes) > 1:
        read.refuse("illegal combination of interface modifiers")
    if len(base) > MAX_INTERFACE_NAME:
        read.refuse("interface name too long")
    text = ":".join([base, *modes, *(["0"] if "0" in modifiers else [])])
    prefix = None
    if read.accept("/"):
        prefix = read.number()
        if not 0 <= prefix <= 128:
            read.refuse("bit number too big")
    return Address("dynamic", text, prefix=prefix)


def ports(read: Reader) -> list[Port]:
    """Take a port condition or a list of them; `port` has been taken."""
    return read.one_or_braced(lambda: [_port(read)])


def _port(read: Reader) -> Port:
    operator = _operator(read)
    low, high = port_range(read, read.expect(STRING, NUMBER))
    if operator:
        if high is not None:
            read.refuse("':' cannot be used with an other port operator")
        return Port(operator, low)
    if read.at("<>", "><"):
        operator = read.take().kind
        last, last_high = port_range(read, read.expect(STRING, NUMBER))
        if high is not None or last_high is not None:
            read.refuse("':' cannot be used with an other port operator")
        return Port(operator, low, last)
    return Port("=", low) if high is None else Port(":", low, high)


def _operator(read: Reader) -> str:
    for sign in ("!", "<", ">"):
        if read.accept(sign):
            if read.accept("="):
                return f"{sign}="
            if sign == "!":
                read.wrong()
            return sign
    return "=" if read.accept("=") else ""


def port_range(read: Reader, text: str) -> tuple[int, int | None]:
    """Give what `80` or `80:90` names; None for the end of a range that is none."""
    first, colon, last = text.partition(":")
    low = port_number(read, first)
    if not colon:
        return low, None
    high = port_number(read, last)
    return low, None if high == low else high


def port_number(read: Reader, text: str) -> int:
    """Give the number of a port that stands as number or name."""
    if text.isascii() and text.isdigit():
        if int(text) > 65535:
            read.refuse(f"illegal port value {int(text)}")
        return int(text)
    number = service_port(text)
    if number is None:
        read.refuse(f"unknown port {text}")
    return number


def filter_options(read: Reader) -> FilterOptions:
    """Take what stands behind the addresses of a filter rule."""
    options = FilterOptions()
    while _filter_option(read, options):
        pass
    return options


def _filter_option(read: Reader, options: FilterOptions) -> bool:
    if read.at("no", "keep", "modulate", "synproxy"):
        _state(read, options)
    elif read.accept("flags"):
        if options.flags is not None:
            read.refuse("flags cannot be redefined")
        options.flags = _flags(read)
    elif read.at("icmp-type", "icmp6-type"):
        if options.icmp:
            read.refuse("icmp-type cannot be redefined")
        six = read.take().kind == "icmp6-type"
        options.icmp = read.one_or_braced(lambda: [_icmp(read, six=six)])
    elif read.at("!", "tagged"):
        options.tagged, options.tagged_not = tagged(read)
    else:
        return _plain_option(read, options)
    return True


def _plain_option(read: Reader, options: FilterOptions) -> bool:
    if read.accept("label"):
        if len(options.labels) == MAX_LABELS:
            read.refuse(f"label can only be used {MAX_LABELS} times")
        options.labels.append(read.string())
    elif read.accept("fragment"):
        options.fragment = True
    elif read.accept("allow-opts"):
        options.allow_options = True
    elif read.accept("tag"):
        options.tag = read.string()
    else:
        return False
    return True


def tagged(read: Reader) -> tuple[str, bool]:
    """Take `[!] tagged name`, if it stands here."""
    negated = read.accept("!")
    if not negated and not read.at("tagged"):
        return "", False
    read.expect("tagged")
    return read.string(), negated


def _flags(read: Reader) -> tuple[str, str]:
    if read.accept("any"):
        return "", ""
    first = "" if read.at("/") else _flag(read)
    read.expect("/")
    return first, _flag(read)


def _flag(read: Reader) -> str:
    text = read.string()
    if any(letter not in TCP_FLAGS for letter in text):
        read.refuse(f"bad flags {text}")
    return "".join(letter for letter in TCP_FLAGS if letter in text)


def _icmp(read: Reader, *, six: bool) -> tuple[int, int | None, int]:
    types, codes, what = (ICMP6_TYPES, ICMP6_CODES, "icmp6") if six else (ICMP_TYPES, ICMP_CODES, "icmp")
    numeric = read.at(NUMBER)
    word = read.expect(STRING, NUMBER)
    kind = int(word) if numeric else types.get(word)
    if kind is None:
        read.refuse(f"unknown {what}-type {word}")
    if not 0 <= kind <= 255:
        read.refuse(f"illegal {what}-type {kind}")
    if not read.accept("code"):
        return kind, None, 6 if six else 4
    numeric = read.at(NUMBER)
    word = read.expect(STRING, NUMBER)
    code = int(word) if numeric else codes.get((kind, word))
    if code is None:
        read.refuse(f"unknown {what}-code {word}")
    return kind, code, 6 if six else 4


def _state(read: Reader, options: FilterOptions) -> None:
    state = read.take().kind
    read.expect("state")
    found: dict[str, str] = {}
    if state != "no" and read.accept("("):
        while True:
            state_option(read, found)
            if read.accept(")"):
                break
            read.accept(",")
    if options.state is not None:
        read.refuse("modulate or keep cannot be redefined")
    options.state = "" if state == "no" else state
    options.state_options = found
