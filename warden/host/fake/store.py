# SPDX-License-Identifier: BSD-2-Clause
"""Where a fake machine is kept between commands: in memory, or in a JSON file that processes share."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from warden.host.errors import AddressError
from warden.host.fake.machine import Machine
from warden.host.fake.persist import from_json, to_json
from warden.host.fake.profiles import make

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

FORMAT = 1


class Grip(Protocol):
    """A lock on a path of the machine, held until it is let go of, or until the process that holds it is gone."""

    def release(self) -> None: ...


class Store(Protocol):
    """Keeps one machine, and the locks that sessions hold on it."""

    def machine(self) -> AbstractContextManager[Machine]:
        """Lend the machine to one batch at a time; what the batch made of it is kept."""

    def grip(self, path: str) -> Grip | None:
        """Take the lock on a path of the machine; None where another session has it."""


class MemoryStore:
    """A machine that ends with the process."""

    def __init__(self, profile: str = "ready") -> None:
        self._machine = make(profile)

    @contextmanager
    def machine(self) -> Iterator[Machine]:
        """Lend the machine itself."""
        yield self._machine

    def grip(self, path: str) -> Grip | None:
        """Take the lock on a path of the machine."""
        if path in self._machine.locks:
            return None
        self._machine.locks.append(path)
        return _MemoryGrip(self._machine, path)


class _MemoryGrip:
    def __init__(self, machine: Machine, path: str) -> None:
        self._machine = machine
        self._path = path

    def release(self) -> None:
        if self._path in self._machine.locks:
            self._machine.locks.remove(self._path)


class FileStore:
    """A machine in a JSON file. Processes take turns by flock(2), and a lock dies with the process that holds it."""

    def __init__(self, path: Path, profile: str = "ready") -> None:
        self._path = path
        self._profile = profile
        if not path.name or path.is_dir():
            raise AddressError(f"fake:{path}: is a folder, and no file for a machine", hint="name a file in it")
        if not path.parent.is_dir():
            raise AddressError(
                f"fake:{path}: the folder {path.parent} does not exist",
                hint="make the folder, or name a file in one that is there",
            )

    @contextmanager
    def machine(self) -> Iterator[Machine]:
        """Lend the machine as the file has it, and write back what became of it."""
        with _locked(self._path.with_name(self._path.name + ".lock")):
            before = self._read()
            machine = from_json(Machine, json.loads(before)["machine"]) if before else make(self._profile)
            machine.locks = self._held()
            try:
                yield machine
            finally:
                self._write(machine, before)

    def grip(self, path: str) -> Grip | None:
        """Take the lock on a path of the machine."""
        return _FileGrip.take(self._lock_file(path), path)

    def _lock_file(self, path: str) -> Path:
        digest = hashlib.sha256(path.encode()).hexdigest()[:12]
        return self._path.with_name(f"{self._path.name}.held-{digest}")

    def _held(self) -> list[str]:
        held = []
        for candidate in sorted(self._path.parent.glob(f"{self._path.name}.held-*")):
            with candidate.open("r", encoding="utf-8") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    held.append(file.read())
        return held

    def _read(self) -> str:
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise AddressError(f"fake:{self._path}: cannot be read: {error}", hint="name another file") from error
        if not text.startswith(f'{{"warden_fake_host": {FORMAT},'):
            raise AddressError(
                f"fake:{self._path}: is not a fake host's file of this version",
                hint="name another file, or remove this one and a new machine is made",
            )
        return text

    def _write(self, machine: Machine, before: str) -> None:
        machine.locks = []
        text = json.dumps({"warden_fake_host": FORMAT, "machine": to_json(machine)})
        if text == before:
            return
        temporary = self._path.with_name(self._path.name + ".new")
        temporary.touch(mode=0o600)  # a rehearsal has the operator's real secrets in it
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self._path)


class _FileGrip:
    def __init__(self, descriptor: int, lock_file: Path) -> None:
        self._descriptor = descriptor
        self._lock_file = lock_file

    @classmethod
    def take(cls, lock_file: Path, path: str) -> _FileGrip | None:
        descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        os.truncate(descriptor, 0)
        os.write(descriptor, path.encode())
        return cls(descriptor, lock_file)

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@contextmanager
def _locked(lock_file: Path) -> Iterator[None]:
    try:
        descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise AddressError(
            f"fake:{lock_file.with_suffix('')}: cannot be written: {error.strerror}",
            hint="name a file in a folder of yours",
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
