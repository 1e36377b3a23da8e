# SPDX-License-Identifier: BSD-2-Clause
"""Who answers at an address and port: what the clients here, fetch, nc and sockstat, ask.

A daemon that listens is registered by the name of its program, `LISTENERS["nginx"] = Listener(where=..., http=...)`.
A process counts whose `argv[0]` has this name. `where(machine, process)` gives the addresses and ports that it listens
on, read from its arguments or from the files that it has read (`process.jail` says where they are); "*" is every
address; nothing for a process that does not listen, such as a worker. `http(call, process, path)` answers a request
`GET path` with status and body; without it nothing comes back but the connection. `call` is the client's.

`connect(call, address, port)` is for other clients: it gives the process that takes the connection, or raises
ConnectError with strerror(3)'s text. Packets go the way that they go to a ping, past the host's pf.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Protocol

from warden.host.fake import reach
from warden.host.fake.routes import lookup, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from warden.host.fake.machine import Machine, NetStack, Process
    from warden.host.fake.program import Call

ANY = "*"
REFUSED, TIMED_OUT = "Connection refused", "Operation timed out"
PORT_NAMES = {22: "ssh", 80: "http", 443: "https", 5432: "postgresql", 8080: "http-alt"}
"""What services(5) calls a port, as far as anybody here asks."""


class Where(Protocol):
    """Tells where a process listens."""

    def __call__(self, machine: Machine, process: Process, /) -> Iterable[tuple[str, int]]:
        """Give addresses and ports."""
        ...


class Http(Protocol):
    """Answers HTTP requests."""

    def __call__(self, call: Call, process: Process, path: str, /) -> tuple[int, bytes]:
        """Give the status and the body."""
        ...


@dataclass(frozen=True, slots=True)
class Listener:
    """How a program listens; `descriptor` is what sockstat shows."""

    where: Where
    http: Http | None = None
    descriptor: int = 5


LISTENERS: dict[str, Listener] = {"sshd": Listener(lambda _machine, _process: [(ANY, 22)], descriptor=7)}


class ConnectError(Exception):
    """No connection was made; the text says why as strerror(3) does."""


class OutsideError(Exception):
    """The address is none of the machine's, and nothing is known of what is beyond it."""


@dataclass(frozen=True, slots=True)
class Socket:
    """A TCP socket that a process listens on."""

    process: Process
    program: str
    address: str
    port: int

    @property
    def listener(self) -> Listener:
        """How its program listens."""
        return LISTENERS[self.program]


def sockets(machine: Machine, stack: NetStack) -> Iterator[Socket]:
    """Give the sockets that programs listen on in a network stack."""
    for process in machine.processes.values():
        if stack.jail and process.jail != stack.jail:
            continue
        name = process.argv[0].rpartition("/")[2].partition(":")[0] if process.argv else ""
        if name in LISTENERS and machine.stack(process.jail) is stack:
            for address, port in LISTENERS[name].where(machine, process):
                yield Socket(process, name, address, port)


def connect(call: Call, address: str, port: int) -> Socket:
    """Connect to an address; raises ConnectError, or OutsideError where only the world could tell."""
    try:
        arrived = reach.delivers(call.machine, call.net, reach.Packet("", address, "tcp", port))
    except reach.SendError as failure:
        raise ConnectError(str(failure)) from None
    if arrived is None:
        raise OutsideError if _is_outside(call.machine, address) else ConnectError(TIMED_OUT)
    for socket in sockets(call.machine, arrived[0]):
        if socket.port == port and socket.address in (ANY, "0.0.0.0", address):
            return socket
    raise ConnectError(REFUSED)


def resolve(call: Call, host: str) -> str:
    """Give the IPv4 address of a name of /etc/hosts, or of what is one already; '' for a name that is not there."""
    try:
        return str(IPv4Address(host))
    except ValueError:
        node = call.files.lookup("/etc/hosts", root=call.root)
    for line in node.data.decode("utf-8", "replace").splitlines() if node is not None else ():
        address, *names = line.partition("#")[0].split() or [""]
        if host in names and ":" not in address:
            return address
    return ""


def _is_outside(machine: Machine, address: str) -> bool:
    """Tell whether the way to an address leaves the machine: by a router, or by its network card."""
    route = lookup(table(machine.net), IPv4Address(address))
    out = machine.net.interfaces.get(route.interface) if route is not None else None
    return route is not None and (bool(route.via) or (out is not None and out.kind == "ether"))
