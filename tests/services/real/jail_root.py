# SPDX-License-Identifier: BSD-2-Clause
"""A root directory laid out as a jail of FreeBSD's is, in which this machine's sshd, git and nginx run.

What Warden generates has FreeBSD's paths in it, and is tried here as it is. The programs are the real ones of the
system; those that FreeBSD only has (jexec, stat -f, sha256, fetch, nc -z) are played by a few lines of sh each.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Self

from tests.ssh.rig.newroot import SYSTEM, inside
from tests.ssh.rig.tools import RigUnavailableError, compiled, find
from warden.facts.inside.common import HEAD

if TYPE_CHECKING:
    from pathlib import Path

    from warden.host.command import Command
    from warden.services.shape import Setup

NO_NAMESPACE = 71
ENVIRONMENT = {"PATH": "/sbin:/bin:/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin", "HOME": "/root"}
FOLDERS = (
    *("bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin", "usr/local/sbin", "usr/local/libexec/git-core", "real"),
    *("usr/local/etc/nginx", "usr/local/etc/warden-keys", "usr/local/www", "etc/ssh", "etc/newsyslog.conf.d", "proc"),
    *("root", "srv/git", "tmp", "var/run", "var/log", "var/lib/nginx", "var/empty", "run/sshd"),
)
PROGRAMS = {
    **{f"bin/{name}": name for name in ("sh", "cat", "mkdir", "chmod", "ln", "mv", "rm")},
    **{f"usr/bin/{name}": name for name in ("head", "sed", "chown", "setpriv", "sha256sum", "ssh-keygen", "timeout")},
    "usr/sbin/sshd": "sshd",
    "usr/local/bin/git": "git",
    "usr/local/libexec/git-core/git-shell": "git-shell",
}
PLAYED = {
    "usr/bin/stat": '[ "$1 $2" = "-f %Lp %Su:%Sg" ] || exit 64\nexec /real/usr/bin/stat -c "%a %U:%G" "$3"\n',
    "usr/bin/sha256": '[ "$1" = -q ] || exit 64\nsha256sum ${2:+"$2"} | { read -r sum _; echo "$sum"; }\n',
    "usr/bin/nc": '[ "$1 $2 $3" = "-z -w 3" ] || exit 64\nexec busybox nc -w 3 "$4" "$5" </dev/null\n',
    "usr/bin/fetch": '[ "$1 $2 $3 $4 $5" = "-q -T 3 -o -" ] || exit 64\nplace=${6#http://}; host=${place%%/*}\n'
    'printf \'GET /%s HTTP/1.0\\r\\nHost: %s\\r\\n\\r\\n\' "${place#*/}" "$host" |'
    ' busybox nc -w 3 "${host%:*}" "${host#*:}" | { read -r _ status _; sed "1,/^.$/d"; [ "$status" = 200 ]; }\n',
    # the only jail is this one, and users are changed by Jail.run
    "usr/sbin/jexec": '[ "$1 $2 $3" = "-l -U root" ] || exit 64\nshift 4\nexec "$@"\n',
    # who there is stands in passwd already
    "usr/sbin/pw": "exit 0\n",
    "usr/sbin/service": '[ "$1 $2" = "sshd keygen" ] || exit 64\nkey=/etc/ssh/ssh_host_ed25519_key\n'
    "[ -f $key ] || exec ssh-keygen -q -t ed25519 -N '' -f $key\n",
}
USERS = (("root", 0, "wheel", "/root", "/bin/sh"), ("www", 80, "www", "/nonexistent", "/usr/sbin/nologin"))
GIT = ("git", 211, "git", "/srv/git", "/usr/local/libexec/git-core/git-shell")
SSHD = ("sshd", 22, "sshd", "/var/empty", "/usr/sbin/nologin")


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class JailRoot:
    """One root directory, and the daemons that were started in it; all end with it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._enter = compiled("enter")
        for folder in FOLDERS:
            (root / folder).mkdir(parents=True, exist_ok=True)
        (root / "tmp").chmod(0o1777)
        for name in SYSTEM:
            (root / name).symlink_to(f"/real/{name}")
        for path, name in {**PROGRAMS, "usr/bin/busybox": "busybox"}.items():
            (root / path).symlink_to(inside(find(name)))
        for path, text in PLAYED.items():
            self.write(f"/{path}", f"#!/bin/sh\n{text}".encode(), 0o755)
        self._add_users()
        self._daemons: list[subprocess.Popen[bytes]] = []
        refused = self.run("/bin/sh", "-c", "exit 0")
        if refused.returncode == NO_NAMESPACE:
            raise RigUnavailableError(f"no root directory of its own: {refused.stderr.decode()}")

    def _add_users(self) -> None:
        """Write who there is; whoever is not root is everybody, the user that logs in first."""
        own = os.geteuid()
        rows = (*USERS, GIT, SSHD) if own == 0 else (GIT, *USERS, SSHD)
        numbered = [
            (name, number if own == 0 else own, group, home, shell) for name, number, group, home, shell in rows
        ]
        passwd = "".join(f"{name}:x:{uid}:{uid}::{home}:{shell}\n" for name, uid, _, home, shell in numbered)
        self.write("/etc/passwd", passwd.encode())
        self.write("/etc/group", "".join(f"{group}:x:{gid}:\n" for _, gid, group, *_ in numbered).encode())
        self.write("/etc/nsswitch.conf", b"passwd: files\ngroup: files\nhosts: files\n")
        self.write("/etc/hosts", b"127.0.0.1 localhost\n")

    def write(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Write a file."""
        place = self.root / path.lstrip("/")
        place.write_bytes(content)
        place.chmod(mode)

    def run(self, *argv: str, user: str = "root") -> subprocess.CompletedProcess[bytes]:
        """Run a program in there, and wait for its end."""
        words = argv
        if user != "root" and os.geteuid() == 0:
            words = ("/usr/bin/setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *argv)
        end, hold = os.pipe()  # `enter` ends with its standard input
        try:
            return subprocess.run(
                [self._enter, self.root, *words],
                stdin=end,
                capture_output=True,
                check=False,
                timeout=60,
                env=ENVIRONMENT,
            )
        finally:
            os.close(end)
            os.close(hold)

    def carry_out(self, command: Command) -> subprocess.CompletedProcess[bytes]:
        """Run a command of a service's, in the jail or on the host: here they are the same."""
        if command.argv[:3] == ("/usr/sbin/jexec", "-l", "-U"):
            return self.run(*command.argv[5:], user=command.argv[3])
        return self.run(*command.argv)

    def set_up(self, setup: Setup) -> None:
        """Write the files of a set-up, and run what comes before the daemon."""
        for file in setup.files:
            self.write(file.path, file.content, int(file.mode, 8))
        for command in (*setup.prepare, *setup.check):
            done = self.carry_out(command)
            assert done.returncode == 0, (command, done.stderr.decode())

    def ask(self, question: str, *words: str) -> list[str]:
        """Put a service's question, and give the lines of the answer."""
        done = self.run("/bin/sh", "-c", f"{HEAD}{question}", "sh", *words)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().splitlines()

    def start(self, port: int, *argv: str) -> None:
        """Start a daemon that stays in the foreground, and wait until it listens."""
        log = self.root / "daemon.log"
        with log.open("ab") as output:
            daemon = subprocess.Popen(
                [self._enter, self.root, *argv], stdin=subprocess.PIPE, stdout=output, stderr=output, env=ENVIRONMENT
            )
        self._daemons.append(daemon)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and daemon.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError(f"{argv[0]} does not answer: {log.read_text()}")

    def log(self) -> str:
        """Give what the daemons wrote."""
        return (self.root / "daemon.log").read_text(errors="replace")

    def stop(self) -> None:
        """End the daemons."""
        for daemon in self._daemons:
            assert daemon.stdin is not None
            daemon.stdin.close()
            daemon.wait(20)
        self._daemons.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
