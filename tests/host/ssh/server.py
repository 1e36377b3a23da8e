# SPDX-License-Identifier: BSD-2-Clause
"""A real OpenSSH server on loopback for this very user and machine: what a batch does there can be compared."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

_SEPARATION = Path("/run/sshd")  # where Debian's sshd wants an empty folder, if it is root


def new_key(path: Path, passphrase: str = "", kind: str = "ed25519") -> Path:
    """Make a key pair."""
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", path], check=True)
    return path


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Server:
    """One sshd, and the home folder of an operator whose ~/.ssh/config calls it `here`."""

    def __init__(self, sshd: str, folder: Path, options: Sequence[str] = ()) -> None:
        self._sshd = sshd
        self.folder = folder
        self.port = free_port()
        self.home = folder / "home"
        self.ssh = self.home / ".ssh"
        self.ssh.mkdir(parents=True)
        self.host_key = new_key(folder / "host_key")
        self.key = new_key(folder / "key")
        self.authorized = folder / "authorized_keys"
        shutil.copy(f"{self.key}.pub", self.authorized)
        self.config = folder / "sshd_config"
        self.config.write_text(
            "\n".join(
                (
                    *options,  # the first value of a keyword counts
                    f"ListenAddress 127.0.0.1:{self.port}",
                    f"HostKey {self.host_key}",
                    f"AuthorizedKeysFile {self.authorized}",
                    *("StrictModes no", "UsePAM no", "PidFile none", "UseDNS no", "MaxStartups 100", ""),
                )
            )
        )
        self.trust(self.host_key)
        self.configure()
        self._process: subprocess.Popen[bytes] | None = None
        self._ending = threading.Lock()

    def trust(self, key: Path) -> None:
        """Write a key into known_hosts as this server's."""
        kind, blob = Path(f"{key}.pub").read_text().split()[:2]
        (self.ssh / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {kind} {blob}\n")

    def configure(self, *lines: str, key: Path | None = None) -> None:
        """Write ~/.ssh/config."""
        (self.ssh / "config").write_text(
            f"Host here\n  HostName 127.0.0.1\n  Port {self.port}\n  User {getpass.getuser()}\n"
            f"  IdentityFile {key or self.key}\n" + "".join(f"  {line}\n" for line in lines)
        )

    def start(self) -> None:
        """Start sshd, and wait until it listens."""
        if os.getuid() == 0:
            _SEPARATION.mkdir(exist_ok=True)
        log = (self.folder / "sshd.log").open("ab")
        self._process = subprocess.Popen(
            [self._sshd, "-D", "-e", "-f", self.config], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError((self.folder / "sshd.log").read_text())

    def accepted(self) -> list[str]:
        """Give by which method each login was made, from the server's log."""
        log = (self.folder / "sshd.log").read_text()
        return [line.split()[1] for line in log.splitlines() if line.startswith("Accepted ")]

    def signal(self, name: str) -> None:
        """Send a signal to sshd and every session of it."""
        assert self._process is not None
        for pid in (self._process.pid, *children(self._process.pid)):
            os.kill(pid, getattr(signal, f"SIG{name}"))

    def kill(self) -> None:
        """End sshd and every session of it, as a host that loses its power does."""
        with self._ending:  # by a timer of the test's, and by its end
            if self._process is None:
                return
            for pid in (self._process.pid, *children(self._process.pid)):
                with_no_mercy(pid)
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()


def children(pid: int) -> list[int]:
    """Give the processes below one that are sshd's own."""
    found = []
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid=,comm="], capture_output=True, text=True, check=True)
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
    for child, parent, name in rows:
        if int(parent) == pid and name.startswith("sshd"):
            found += [int(child), *children(int(child))]
    return found


def with_no_mercy(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, 9)
