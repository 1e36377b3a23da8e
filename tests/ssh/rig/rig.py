# SPDX-License-Identifier: BSD-2-Clause
"""A real OpenSSH server on loopback, behind which a fake FreeBSD host answers.

    with Rig(tmp_path) as rig:
        subprocess.run(["ssh", "-F", rig.write_ssh_config("host"), "host", "/sbin/ifconfig -a"])
        assert [ran.argv for ran in rig.commands()] == [("/sbin/ifconfig", "-a")]
        assert rig.unsupported() == []

sshd, dash, env, timeout, python3 and sftp are the real ones; FreeBSD's commands go to one resident fake (resident.py)
that lives as long as the rig, whatever happens to sshd. What the fake has in its files is not in sshd's root directory
and the other way round: `cat` of Warden's reads the fake's, `scp` and Ansible's modules write beside it. In a command
that Warden sends (`env -i ... /bin/sh -s`) everything but that shell, `env` and `timeout` is the fake's.

Ansible finds its Python at /usr/local/bin/python3, the one that runs the rig, and takes the host for a Linux. In what
it or pyinfra runs (whatever has SSH_CONNECTION in its environment) the programs that newroot.py names are real.

Raises RigUnavailableError where the machine lacks what it takes; the message says what.
"""

from __future__ import annotations

import random
import socket
import subprocess
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from tests.ssh.rig.helper import PATIENCE, Helper, RigError
from tests.ssh.rig.newroot import CONVERSATIONS, SOCKET, inside, make_newroot
from tests.ssh.rig.tools import RigUnavailableError, compiled, find
from warden.host.fake.machine import Machine
from warden.host.fake.persist import from_json

if TYPE_CHECKING:
    from collections.abc import Sequence

import json

NO_NAMESPACE = 71
PORTS = range(20000, 32000)
"""Below those that the system gives to outgoing connections: a port stays free while its server is down."""

SSHD_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey /etc/ssh/host_key
AuthorizedKeysFile /root/.ssh/authorized_keys
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PidFile none
PrintLastLog no
StrictModes no
UseDNS no
UsePAM no
MaxStartups 200
SetEnv PATH=/sbin:/bin:/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin
Subsystem sftp internal-sftp
"""

SSH_CONFIG = """\
Host {alias}
    HostName 127.0.0.1
    Port {port}
    User root
    IdentityFile {key}
    IdentitiesOnly yes
    UserKnownHostsFile {known_hosts}
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
"""

How = Literal["reset", "silent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A command that took effect, the seconds it took in the fake, and its exit status, None if nobody heard it."""

    argv: tuple[str, ...]
    exit_code: int | None
    seconds: float


class Link:
    """The wire before an sshd; see link.py."""

    def __init__(self, server_port: int, resident: Path, latency: float, log: Path) -> None:
        self._helper = Helper("tests.ssh.rig.link", str(server_port), resident, log=log)
        self.pid = self._helper.pid
        self.port = int(self._helper.ask(""))
        self.set(latency=latency)

    def set(self, *, latency: float = 0.0, bytes_per_second: int = 0) -> None:
        """Set the round-trip time in seconds and, where not 0, a speed; for connections that are made from now on."""
        self._helper.ask("set", latency=latency, bytes_per_second=bytes_per_second)

    def counts(self) -> dict[str, int]:
        """Give `connections`, `turns`, and the bytes `to_server` and `to_client`."""
        counts: dict[str, int] = self._helper.ask("counts")
        return counts

    def reset_counts(self) -> None:
        """Count from 0 again."""
        self._helper.ask("reset_counts")

    def cut(self, how: How = "reset") -> None:
        """Cut all connections now: by RST, or so that nothing arrives any more on either side."""
        self._helper.ask("cut", how=how)

    def cut_after(self, length: int, how: How = "reset") -> None:
        """Cut all connections, once, when so many more bytes have been handed to clients."""
        self._helper.ask("cut_after", length=length, how=how)

    def close(self) -> None:
        self._helper.close()


class Rig:
    """One host. `folder` is its own, and is left for whoever wants to see sshd.log or the root directory."""

    def __init__(
        self,
        folder: Path,
        profile: str = "ready",
        sshd_options: Sequence[str] = (),
        latency: float = 0.0,
        state: Path | None = None,
    ) -> None:
        self._folder = folder
        self._latency = latency
        self.root = folder / "root"
        """sshd's root directory, as seen from outside."""
        self.client_key = folder / "client_key"
        self._server: subprocess.Popen[bytes] | None = None
        self._commands = (find("sshd"), compiled("enter"))
        (self.root / SOCKET).parent.mkdir(parents=True)
        saved = () if state is None else ("--state", state.absolute())
        self._resident = Helper(
            *("tests.ssh.rig.resident", self.root / SOCKET, "--profile", profile, *saved), log=folder / "resident.log"
        )
        try:
            make_newroot(self.root)
            self._make_keys()
            self._choose_port(sshd_options)
            self._resident.ask("")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process of the rig, and with them its mounts; harmless when done twice."""
        self._end_server()
        if "link" in self.__dict__:
            self.link.close()
        self._resident.close()

    # ---- how it is reached

    @cached_property
    def link(self) -> Link:
        """The wire before sshd; it is there from its first use."""
        link = Link(self.host_port, self.root / SOCKET, self._latency, self._folder / "link.log")
        self._write_known_hosts(link.port)
        return link

    @property
    def link_port(self) -> int:
        """The port of the wire."""
        return self.link.port

    @property
    def known_hosts(self) -> str:
        """The host's key as ~/.ssh/known_hosts has it, for its own port and, where that is there, the wire's."""
        return (self._folder / "known_hosts").read_text(encoding="ascii")

    def ssh_config_text(self, alias: str, *, through_link: bool = False) -> str:
        """Give a section for ~/.ssh/config."""
        return SSH_CONFIG.format(
            alias=alias,
            port=self.link_port if through_link else self.host_port,
            key=self.client_key,
            known_hosts=self._folder / "known_hosts",
        )

    def write_ssh_config(self, alias: str, *, through_link: bool = False) -> Path:
        """Write that section into a file of the rig's own."""
        path = self._folder / f"ssh_config.{alias}"
        path.write_text(self.ssh_config_text(alias, through_link=through_link), encoding="ascii")
        return path

    # ---- what became of it

    def commands(self) -> list[Ran]:
        """Give the commands that took effect, in order."""
        return [
            Ran(argv=tuple(entry["argv"]), exit_code=entry["exit_code"], seconds=entry["seconds"])
            for entry in self._resident.ask("commands")
        ]

    def unsupported(self) -> list[str]:
        """Give what the fake was asked and does not know, or failed at: none in a test that can be trusted."""
        refused: list[str] = self._resident.ask("unsupported")
        return refused

    def machine(self) -> Machine:
        """Give a copy of the machine as it is now."""
        machine: Machine = from_json(Machine, json.loads(self._resident.ask("machine"))["machine"])
        return machine

    def conversations(self) -> list[tuple[float, float | None]]:
        """Give when every `sh -s` had its first input and when it ended, by time.monotonic(); None if it has not."""
        try:
            text = (self.root / CONVERSATIONS).read_text(encoding="ascii")
        except FileNotFoundError:
            return []
        spans: dict[str, str] = {}
        for line in text.splitlines():
            began, _, ended = line.partition(" ")
            spans[began] = ended
        return [(int(began) / 1e9, int(ended) / 1e9 if ended else None) for began, ended in spans.items()]

    def sshd_log(self) -> str:
        """Give what sshd has written."""
        return (self._folder / "sshd.log").read_text(encoding="utf-8", errors="replace")

    # ---- what can be done to it

    def set_faults(self, **faults: Any) -> None:
        """Have the fake go wrong as `Faults` says, counting from here; none without arguments.

        A command that hangs never answers; one at which the connection drops takes sshd with it, as `kill_server`.
        """
        self._resident.ask("faults", **faults)

    def kill_server(self) -> None:
        """End sshd and all that it started, at once and by kill -9; a command that the fake has begun it finishes."""
        self._end_server()
        self._resident.ask("server", pid=0)

    def _end_server(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        assert server.stdin is not None
        server.stdin.close()
        try:
            server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()

    def start_server(self) -> None:
        """Start sshd, again, on its port; an sshd that still runs is killed."""
        self.kill_server()
        sshd, enter = self._commands
        log = self._folder / "sshd.log"
        with log.open("ab") as output:
            start = output.tell()
            self._server = subprocess.Popen(
                [enter, self.root, inside(sshd), "-D", "-e", "-f", "/etc/ssh/sshd_config"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
            )
        self._await_server(self._server, log, start)
        self._resident.ask("server", pid=self._server.pid)

    def _await_server(self, server: subprocess.Popen[bytes], log: Path, start: int) -> None:
        deadline = time.monotonic() + 3 * PATIENCE
        while True:
            ended = server.poll()
            said = log.read_bytes()[start:].decode(errors="replace")
            if "Server listening on" in said:
                return
            if ended == NO_NAMESPACE:
                raise RigUnavailableError(f"this machine allows no root directory of its own for sshd: {said}")
            if ended is not None or time.monotonic() > deadline:
                raise RigError(f"sshd does not start: {said}")
            time.sleep(0.002)

    def _choose_port(self, sshd_options: Sequence[str]) -> None:
        """Start sshd on a port that is free; one that somebody else takes first is given up."""
        for attempt in range(10):
            self.host_port = _free_port()
            # sshd keeps to the first value that it reads
            lines = [*sshd_options, SSHD_CONFIG.format(port=self.host_port), *self._penalties()]
            (self.root / "etc/ssh/sshd_config").write_text("\n".join(lines), encoding="utf-8")
            try:
                self.start_server()
            except RigError:
                if attempt == 9 or "Address already in use" not in self.sshd_log():
                    raise
            else:
                self._write_known_hosts(self.host_port)
                return

    def _penalties(self) -> list[str]:
        """Have an sshd that knows of penalties (OpenSSH 9.8) forgive who logs in wrongly: all come from one address."""
        known = b"persourcepenalties" in Path(self._commands[0]).read_bytes()
        return ["PerSourcePenalties no"] if known else []

    def _make_keys(self) -> None:
        keys = [self.client_key, self.root / "etc/ssh/host_key"]
        makers = [
            subprocess.Popen(
                [find("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key], stdin=subprocess.DEVNULL
            )
            for key in keys
        ]
        failed = [maker.wait() for maker in makers]
        if any(failed):
            raise RigError("ssh-keygen makes no keys")
        authorized = self.root / "root/.ssh/authorized_keys"
        authorized.write_bytes(self.client_key.with_suffix(".pub").read_bytes())

    def _write_known_hosts(self, port: int) -> None:
        key = (self.root / "etc/ssh/host_key.pub").read_text(encoding="ascii").strip()
        with (self._folder / "known_hosts").open("a", encoding="ascii") as file:
            file.write(f"[127.0.0.1]:{port} {key}\n")


def _free_port() -> int:
    choose = random.SystemRandom()  # not the tests' own generator, whose next number somebody may rely on
    while True:
        with socket.socket() as candidate:
            port = choose.choice(PORTS)
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
