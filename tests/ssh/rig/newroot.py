# SPDX-License-Identifier: BSD-2-Clause
"""The root directory of one host: FreeBSD's commands, which the fake answers, among the real system's libraries.

/real             the system that the rig runs on, read-only; mounted only for the processes inside
/lib, /usr/lib... symbolic links that lead there, so that real programs find what they need
/sbin, /bin...    a hard link to the client for every program of the fake; `env` and `timeout` are real
/libexec/real     the real programs that take a name back where sshd's own children call it (see client.c)
/root, /etc, /tmp, /var: the host's own, as far as sshd, sftp, Ansible and pyinfra see them
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

import warden.host.fake.programs  # noqa: F401 - importing it registers every program
from tests.ssh.rig.tools import compiled, find
from warden.host.fake.program import PROGRAMS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SOCKET = "var/run/fake.sock"
CONVERSATIONS = "var/run/conversations"

FOLDERS = (
    *("bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin", "usr/local/sbin", "libexec/real", "etc/ssh"),
    *("root/.ssh", "real", "proc", "tmp", "var/run", "var/tmp", "var/log", "var/empty/sshd", "run/sshd"),
)
SYSTEM = (
    *("lib", "lib32", "lib64", "libx32", "usr/lib", "usr/lib32", "usr/lib64", "usr/libexec", "usr/share"),
    *("usr/local/lib", "dev", "etc/ld.so.cache"),
)

REAL = ("env", "timeout")
"""Programs that the fake knows, and that are real here whoever calls: they only start others."""

ADDED = ("basename", "cut", "dd", "dirname", "gzip", "mkfifo", "sha1sum", "tr", "uniq", "whoami", "xargs")
"""Real programs that the fake does not know, for Ansible and pyinfra."""

BOTH = (
    *("[", "awk", "base64", "cat", "chgrp", "chmod", "chown", "cmp", "cp", "date", "df", "diff", "du", "echo"),
    *("false", "find", "getent", "grep", "head", "hostname", "id", "install", "kill", "ln", "locale", "ls"),
    *("mkdir", "mktemp", "mv", "nice", "pgrep", "pkill", "printenv", "printf", "ps", "readlink", "realpath"),
    *("rm", "rmdir", "sed", "sleep", "sort", "stat", "su", "tail", "tar", "tee", "test", "touch", "true"),
    *("truncate", "uname", "wc", "which"),
)
"""Programs of the fake that are the real ones for what sshd starts itself."""

PASSWD = """\
root:x:{uid}:{gid}:Charlie &:/root:/bin/sh
sshd:x:{sshd}:{sshd}:Secure Shell Daemon:/var/empty:/usr/sbin/nologin
nobody:x:65534:65534:Unprivileged user:/nonexistent:/usr/sbin/nologin
"""
GROUP = "wheel:x:{gid}:root\nsshd:x:{sshd}:\nnobody:x:65534:\n"
BECOME = '#!/libexec/sh\n[ "$1" = -n ] || exit 1\nshift\nexec "$@"\n'
"""sudo and doas, as far as Warden uses them; a test may write one that refuses."""


def make_newroot(root: Path) -> None:
    """Make the root directory of a host; what sshd needs besides is the rig's to add."""
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "root/.ssh").chmod(0o700)
    for folder in ("tmp", "var/tmp"):
        (root / folder).chmod(0o1777)
    for name in SYSTEM:
        (root / name).symlink_to(f"/real/{name}")
    _add_accounts(root)
    _add_fake_programs(root)
    for name in (*REAL, *ADDED):
        _add_real_program(root / "usr/bin" / name, name)
    for name in BOTH:
        _add_real_program(root / "libexec/real" / name, name)
    _add_real_program(root / "libexec/sh", "sh")
    _add_python(root)
    for name in ("sudo", "doas"):
        (root / "usr/local/bin" / name).write_text(BECOME, encoding="ascii")
        (root / "usr/local/bin" / name).chmod(0o755)


def inside(path: str) -> str:
    """Give where a file of the real system is for processes inside."""
    # Resolved here: an absolute link of the real system, as in /etc/alternatives, would lead elsewhere in there.
    return f"/real{os.path.realpath(path)}"


def _add_accounts(root: Path) -> None:
    """Write who there is. Where the rig does not run as root, its own user is the one that is called root inside."""
    numbers = {"uid": os.geteuid(), "gid": os.getegid(), "sshd": 22}
    _write(root / "etc/passwd", PASSWD.format(**numbers))
    _write(root / "etc/group", GROUP.format(**numbers))
    _write(root / "etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
    _write(root / "etc/hosts", "127.0.0.1 localhost\n")
    _write(root / "etc/shells", "/bin/sh\n")


def _add_fake_programs(root: Path) -> None:
    client = root / "libexec/client"
    shutil.copy(compiled("client"), client)
    for path in _without(REAL, (entry.path for entry in PROGRAMS.values())):
        (root / path.lstrip("/")).hardlink_to(client)


def _without(names: Iterable[str], paths: Iterable[str]) -> list[str]:
    return [path for path in paths if path.rpartition("/")[2] not in names]


def _add_real_program(link: Path, name: str) -> None:
    link.symlink_to(inside(find(name)))


def _add_python(root: Path) -> None:
    """Add the Python that runs the rig, and its prefix: its libraries are looked for where they were installed."""
    (root / "usr/local/bin/python3").symlink_to(inside(f"{sys.base_prefix}/bin/python3"))
    prefix = root / sys.base_prefix.lstrip("/")
    if not prefix.exists():
        prefix.parent.mkdir(parents=True, exist_ok=True)
        prefix.symlink_to(f"/real{sys.base_prefix}")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="ascii")
