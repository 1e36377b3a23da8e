# SPDX-License-Identifier: BSD-2-Clause
"""A long wire to an sshd, as a process: `python -m tests.ssh.rig.link SERVER_PORT SOCKET`.

It relays TCP with a latency, may be slow, counts what passes, and can be cut. Bytes are never reordered, and unless the
link is told to be slow there is no limit to how many are on their way. Standard input has the requests, a JSON line
each, answered by one line; the first line that it writes is the port on which it listens. A new connection is let
through where the fake host's pf does so: the resident on SOCKET is asked.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CHUNK = 65536
ON_THEIR_WAY = 4096
ON_THEIR_WAY_SLOWLY = 4
"""Chunks that are taken from a sender before they are delivered."""


@dataclass(slots=True)
class Counts:
    """What has passed. A turn is when the client sends after it was sent something since it sent last."""

    connections: int = 0
    to_server: int = 0
    to_client: int = 0
    turns: int = 0


@dataclass(slots=True, eq=False)
class Line:
    """One connection: both ends, and who carries bytes between them."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    tasks: list[asyncio.Task[None]]
    answered: bool = False
    """The client was sent something, and has not sent anything since."""


class Link:
    """All connections that go over one wire."""

    def __init__(self, server_port: int, resident: str) -> None:
        self._server_port = server_port
        self._resident = resident
        self._latency = 0.0
        self._bytes_per_second = 0
        self._counts = Counts()
        self._lines: list[Line] = []
        self._silent: list[Line] = []
        self._cut_after = -1
        self._cut_how = ""

    def control(self, request: str, arguments: dict[str, Any]) -> Any:
        """Answer a request of the rig."""
        if request == "counts":
            return asdict(self._counts)
        if request == "reset_counts":
            self._counts = Counts()
        elif request == "set":
            self._latency = arguments["latency"]
            self._bytes_per_second = arguments["bytes_per_second"]
        elif request == "cut":
            self._cut(arguments["how"])
        elif request == "cut_after":
            self._cut_after, self._cut_how = arguments["length"], arguments["how"]
        else:
            raise ValueError(request)
        return None

    async def relay(self, from_client: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        """Carry one connection until both sides have ended it."""
        self._counts.connections += 1
        if not await self._passes():
            _reset(client)
            return
        try:
            from_server, server = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            _reset(client)
            return
        for end in (client, server):
            end.transport.set_write_buffer_limits(high=0)  # what was handed over has left when `drain` returns
        line = Line(client, server, [])
        line.tasks = [
            asyncio.create_task(self._carry(line, from_client, server)),
            asyncio.create_task(self._carry(line, from_server, client)),
        ]
        self._lines.append(line)
        await asyncio.gather(*line.tasks, return_exceptions=True)
        if line in self._lines:  # neither cut nor silent
            self._lines.remove(line)
            client.close()
            server.close()

    async def _passes(self) -> bool:
        """Ask the fake host whether its pf lets a new connection in."""
        reader, writer = await asyncio.open_unix_connection(self._resident)
        writer.write(struct.pack("!cI", b"P", 0))
        answer = await reader.readexactly(6)
        writer.close()
        return answer[-1] == 0

    async def _carry(self, line: Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one direction."""
        limit = ON_THEIR_WAY_SLOWLY if self._bytes_per_second else ON_THEIR_WAY
        on_its_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(limit)
        delivering = asyncio.create_task(self._deliver(line, on_its_way, writer))
        try:
            while True:
                data = await reader.read(CHUNK)
                if writer is line.server and data:
                    self._counts.to_server += len(data)
                    self._counts.turns += line.answered
                    line.answered = False
                await on_its_way.put((asyncio.get_running_loop().time() + self._latency / 2, data))
                if not data:
                    break
            await delivering
        except OSError:
            _reset(line.client)
            _reset(line.server)
        finally:
            delivering.cancel()

    async def _deliver(
        self, line: Line, on_its_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        """Hand over what is on its way when its time has come."""
        clock = asyncio.get_running_loop().time
        free = 0.0
        with suppress(OSError):
            while True:
                due, data = await on_its_way.get()
                if self._bytes_per_second:
                    free = due = max(due, free) + len(data) / self._bytes_per_second
                if due > clock():
                    await asyncio.sleep(due - clock())
                if not data:
                    writer.write_eof()
                    return
                await self._hand_over(line, data, writer)

    async def _hand_over(self, line: Line, data: bytes, writer: asyncio.StreamWriter) -> None:
        if line not in self._lines:
            return  # cut, and not yet told
        if writer is line.client:
            if 0 <= self._cut_after <= len(data):
                data = data[: self._cut_after]
            self._counts.to_client += len(data)
            line.answered = True
        writer.write(data)
        await writer.drain()
        if writer is line.client and self._cut_after >= 0:
            self._cut_after -= len(data)
            if self._cut_after == 0:
                self._cut_after = -1
                self._cut(self._cut_how)

    def _cut(self, how: str) -> None:
        """Cut all connections: by a reset, or so that nothing is heard of the other side any more."""
        lines, self._lines = self._lines, []
        if how == "silent":
            self._silent += lines
        for line in lines:
            for task in line.tasks:
                task.cancel()
            for end in (line.client, line.server):
                if how == "reset":
                    _reset(end)
                else:
                    _ignore(end)


def _reset(end: asyncio.StreamWriter) -> None:
    """Close a connection by RST."""
    with suppress(OSError):
        end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.transport.abort()


def _ignore(end: asyncio.StreamWriter) -> None:
    """Read no more of a connection, and keep it open."""
    with suppress(RuntimeError):
        end.transport.pause_reading()  # type: ignore[attr-defined]


async def main() -> None:
    """Relay until standard input ends."""
    socket_file = Path(sys.argv[2])
    os.chdir(socket_file.parent)  # the whole path may be longer than the address of a socket can be
    link = Link(int(sys.argv[1]), socket_file.name)
    listener = await asyncio.start_server(link.relay, "127.0.0.1", 0, limit=CHUNK)
    requests = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(requests), sys.stdin)
    say(listener.sockets[0].getsockname()[1])
    while line := await requests.readline():
        say(link.control(*json.loads(line)))
    os._exit(0)  # nothing is left to be said to anybody


def say(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
