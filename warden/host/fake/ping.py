# SPDX-License-Identifier: BSD-2-Clause
"""Echo requests: ping(8). Times are made up; whether an answer comes is not (see `reach`)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from warden.host.fake.options import options_of
from warden.host.fake.program import Reply, program, say
from warden.host.fake.reach import Packet, SendError, round_trip

if TYPE_CHECKING:
    from warden.host.fake.program import Call

HEADERS = 28
ICMP_HEADER = 8
NO_ANSWER = 2
LAST_WAIT = 10
"""How many seconds ping waits for an answer to its last packet, unless -t ends it."""


@dataclass(slots=True)
class Options:
    """What ping was told."""

    count: int = 0
    timeout: int = 0
    source: str = ""
    size: int = 56
    whole: bool = False
    quiet: bool = False
    one: bool = False
    target: str = ""


@program("/sbin/ping", "ping -c COUNT [-t TIMEOUT] [-DnoqQ] [-s SIZE] [-S SOURCE] [-W MS] ADDRESS")
def ping(call: Call) -> Reply:
    """Send echo requests, and say what came back."""
    options = _options(call)
    target = _resolve(call, options.target)
    if options.source and not _is_here(call, options.source):
        return say(error="ping: bind: Can't assign requested address\n", status=71)
    said = f" from {options.source}" if options.source else ""
    lines, errors = [f"PING {options.target} ({target}){said}: {options.size} data bytes\n"], ""
    packet = Packet(options.source, target, size=options.size + HEADERS, whole=options.whole)
    times: list[float] = []
    sent = 0
    while sent < options.count and not (options.timeout and sent >= options.timeout):
        try:
            ttl = round_trip(call.machine, call.net, packet)
        except SendError as error:
            errors += f"ping: sendto: {error}\n"
            ttl = 0
        sent += 1
        if ttl:
            times.append(0.061 + 0.012 * len(times))
            size = options.size + ICMP_HEADER
            line = f"{size} bytes from {target}: icmp_seq={sent - 1} ttl={ttl} time={times[-1]:.3f} ms\n"
            lines += [] if options.quiet else [line]
            if options.one:
                break
    lost = len(times) < sent
    call.machine.wait((options.timeout or sent - 1 + LAST_WAIT) if lost else sent - 1)
    return say(
        "".join(lines) + _statistics(options.target, sent, times), error=errors, status=0 if times else NO_ANSWER
    )


def _statistics(target: str, sent: int, times: list[float]) -> str:
    loss = 100 * (sent - len(times)) / sent
    text = f"\n--- {target} ping statistics ---\n"
    text += f"{sent} packets transmitted, {len(times)} packets received, {loss:.1f}% packet loss\n"
    if not times:
        return text
    mean = sum(times) / len(times)
    deviation = (sum((time - mean) ** 2 for time in times) / len(times)) ** 0.5
    numbers = f"{min(times):.3f}/{mean:.3f}/{max(times):.3f}/{deviation:.3f}"
    return f"{text}round-trip min/avg/max/stddev = {numbers} ms\n"


def _options(call: Call) -> Options:
    given, valued, words = options_of(call, call.args, "DqonQ4", "ctsSWi")
    options = Options(whole="D" in given, quiet="q" in given, one="o" in given)
    for letter, value in valued:
        _valued(call, options, letter, value)
    options.count = options.count or options.timeout
    if len(words) != 1 or not options.count:
        raise call.unsupported()  # without an end it would go on for ever
    options.target = words[0]
    return options


def _valued(call: Call, options: Options, letter: str, value: str) -> None:
    if letter == "S":
        options.source = _resolve(call, value)
    elif not value.isdigit():
        raise call.unsupported()
    elif letter == "c":
        options.count = int(value)
    elif letter == "t":
        options.timeout = int(value)
    elif letter == "s":
        options.size = int(value)


def _resolve(call: Call, word: str) -> str:
    """Give the address of a host by /etc/hosts; there is no DNS here."""
    try:
        return str(IPv4Address(word))
    except ValueError:
        pass
    node = call.files.lookup("/etc/hosts", root=call.root)
    for line in (node.data.decode() if node is not None else "").splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if word in names and ":" not in address:
            return address
    raise call.unsupported(f"ping of the name {word}")


def _is_here(call: Call, address: str) -> bool:
    return any(inet.address == address for one in call.net.interfaces.values() for inet in one.inet)
