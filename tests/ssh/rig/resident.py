# SPDX-License-Identifier: BSD-2-Clause
"""The fake FreeBSD host of a rig, as a process: `python -m tests.ssh.rig.resident SOCKET [--profile P] [--state FILE]`.

On the socket it answers the client program (client.c tells the frames); commands take effect one at a time. Standard
input has its control requests, one JSON line each, answered by one line: see `Resident.control`. When that ends the
process ends, and the machine is saved to FILE if one was named; from an existing FILE the machine is taken.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from warden.host.command import Command, Result
from warden.host.errors import ConnectionLostError, HostError
from warden.host.fake.faults import Faults
from warden.host.fake.host import FakeHost, FakeUnsupportedError
from warden.host.fake.machine import Machine
from warden.host.fake.persist import from_json, to_json
from warden.host.fake.shell import READERS
from warden.host.fake.store import FORMAT, MemoryStore

EX_SOFTWARE = 70
HEADER = struct.Struct("!cI")
MANY = 512


class ClientGoneError(Exception):
    """The client ended before it had sent what was asked of it."""


class KeptStore(MemoryStore):
    """A machine in memory that can come from a file and go to one, in the form that `fake:FILE` has."""

    def load(self, text: str) -> None:
        self._machine = from_json(Machine, json.loads(text)["machine"])

    def dump(self) -> str:
        locks, self._machine.locks = self._machine.locks, []  # they end with the process
        try:
            return json.dumps({"warden_fake_host": FORMAT, "machine": to_json(self._machine)})
        finally:
            self._machine.locks = locks


class Resident:
    """One host: its machine, what was done to it, and the clients that are connected."""

    def __init__(self, profile: str, state: Path | None) -> None:
        self._store = KeptStore(profile)
        if state is not None and state.exists():
            self._store.load(state.read_text(encoding="utf-8"))
        self._faults = Faults()
        self._host = FakeHost("fake:", self._store, self._faults, ages=True)
        self._turn = threading.Lock()
        self._log: list[dict[str, Any]] = []
        self._unsupported: list[str] = []
        self._server = 0
        """The process that ends with a fault that breaks the connection; 0 for none."""

    def dump(self) -> str:
        with self._turn:
            return self._store.dump()

    def control(self, request: str, arguments: dict[str, Any]) -> Any:
        """Answer a request of the rig."""
        if request == "machine":
            return self.dump()
        with self._turn:
            if request == "commands":
                return self._log
            if request == "unsupported":
                return self._unsupported
            if request == "faults":
                self._faults = Faults(**arguments)
                self._host = FakeHost("fake:", self._store, self._faults, ages=True)
                return None
            if request == "server":
                self._server = arguments["pid"]
                return None
        raise ValueError(request)

    def serve(self, connection: socket.socket) -> None:
        """Answer one client."""
        with connection, suppress(ClientGoneError, OSError):
            kind, data = receive(connection)
            if kind == b"P":  # the link asks, for somebody who comes
                with self._turn:
                    taken = self._host.takes_connections()
                send(connection, b"X", bytes([not taken]))
                return
            if kind != b"A":
                raise ValueError(kind)
            argv = tuple(os.fsdecode(word) for word in data.split(b"\0")[:-1])
            if stays(argv):
                self._hold(connection, argv)
                return
            reply = self._run(argv, read_input(connection) if reads_input(argv) else b"")
            if reply is None:
                wait_for_end(connection)
                return
            answer(connection, reply)

    def _run(self, argv: tuple[str, ...], stdin: bytes) -> Result | None:
        """Let a command take effect; None for one that never answers."""
        command = Command(argv=argv, stdin=stdin)
        with self._turn:
            began = time.perf_counter()
            try:
                result = self._host.run([command], stop_on_error=False)[0]
            except ConnectionLostError:
                if self._faults.counted == self._faults.drop_after:
                    self._note(command, None, began)
                if self._server:
                    os.kill(self._server, signal.SIGTERM)  # enter.c: it ends sshd and all of its children
                return None
            except HostError as error:
                if not isinstance(error, FakeUnsupportedError):
                    return None
                result = self._refuse(command, f"{error}; {error.hint}\n")
            except Exception:  # noqa: BLE001 - whatever it is, the test that meets it has to hear of it
                result = self._refuse(command, f"the fake host failed at {command}: {traceback.format_exc()}")
            self._note(command, result.exit_code, began)
        return result

    def _hold(self, connection: socket.socket, argv: tuple[str, ...]) -> None:
        """Hold a lock until the client's input ends, or the client does."""
        command = Command(argv=argv)
        with self._turn:
            began = time.perf_counter()
            try:
                session = self._host.open(command)
            except HostError as error:
                answer(connection, self._refuse(command, f"{error}; {error.hint}\n"))
                return
            # Nothing else says yet whether it was taken: a lock that is taken greets.
            result = session.close() if not session.greeting else None
            self._note(command, 0 if result is None else result.exit_code, began)
        if result is not None:
            answer(connection, result)
            return
        try:
            send(connection, b"O", session.greeting + b"\n")
            read_input(connection)
        finally:
            with self._turn:
                result = session.close()
        rest = result.stdout.partition(b"\n")[2]
        answer(connection, replace(result, stdout=rest))

    def _refuse(self, command: Command, message: str) -> Result:
        self._unsupported.append(message.rstrip("\n"))
        return Result(command=command, exit_code=EX_SOFTWARE, stderr=message.encode("utf-8", "surrogateescape"))

    def _note(self, command: Command, exit_code: int | None, began: float) -> None:
        seconds = time.perf_counter() - began
        self._log.append({"argv": list(command.argv), "exit_code": exit_code, "seconds": seconds})


def stays(argv: tuple[str, ...]) -> bool:
    """Tell whether this is lockf(1) around a shell that keeps the lock for as long as its input is open."""
    words = list(argv)
    if not is_named(words.pop(0), "lockf"):
        return False
    waits = True
    while words and words[0].startswith("-"):
        if words.pop(0) == "-t" and words:
            waits = words.pop(0) != "0"
    return not waits and len(words) > 2 and is_named(words[1], "sh") and words[2] == "-c"


def is_named(word: str, name: str) -> bool:
    return word.rpartition("/")[2] == name


def reads_input(argv: tuple[str, ...]) -> bool:
    """Tell whether a command may read standard input: only where it, or a script in its words, names a reader.

    A command that reads none must leave it to those after it, and answers although it is open.
    """
    return any(word in READERS for argument in argv for word in re.split(r"[^\w.-]+", argument))


def receive(connection: socket.socket) -> tuple[bytes, bytes]:
    """Receive a frame: its kind and its content."""
    kind, length = HEADER.unpack(receive_exactly(connection, HEADER.size))
    return kind, receive_exactly(connection, length)


def receive_exactly(connection: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            raise ClientGoneError
        data += part
    return bytes(data)


def read_input(connection: socket.socket) -> bytes:
    """Ask for the command's input, and give all of it."""
    send(connection, b"W")
    parts: list[bytes] = []
    while True:
        kind, data = receive(connection)
        if kind == b"E":
            return b"".join(parts)
        parts.append(data)


def wait_for_end(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def send(connection: socket.socket, kind: bytes, data: bytes = b"") -> None:
    connection.sendall(HEADER.pack(kind, len(data)) + data)


def answer(connection: socket.socket, result: Result) -> None:
    frames = [(b"O", result.stdout), (b"R", result.stderr), (b"X", bytes([result.exit_code & 0xFF]))]
    connection.sendall(b"".join(HEADER.pack(kind, len(data)) + data for kind, data in frames if data))


def listen(path: Path) -> socket.socket:
    """Listen on a unix socket, by its name only: the whole path may be longer than such an address can be."""
    os.chdir(path.parent)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path.name)
    listener.listen(MANY)
    return listener


def accept(listener: socket.socket, resident: Resident) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=resident.serve, args=(connection,), daemon=True).start()


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description="The fake FreeBSD host of a rig")
    parser.add_argument("socket", type=Path)
    parser.add_argument("--profile", default="ready")
    parser.add_argument("--state", type=Path)
    options = parser.parse_args()
    state = options.state and options.state.absolute()
    resident = Resident(options.profile, state)
    listener = listen(options.socket)
    threading.Thread(target=accept, args=(listener, resident), daemon=True).start()
    say("ready")
    for line in sys.stdin:
        say(resident.control(*json.loads(line)))
    if state is not None:
        state.write_text(resident.dump(), encoding="utf-8")


def say(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
