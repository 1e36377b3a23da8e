# SPDX-License-Identifier: BSD-2-Clause
"""The programs that the rig needs: sshd and gcc of the system, and two small ones that it compiles."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
COMPILE = ("gcc", "-O2", "-static", "-Wall", "-Wextra", "-Werror")
PACKAGES = {
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "scp": "openssh-client",
    "ssh-keygen": "openssh-client",
    "gcc": "gcc libc6-dev",
}


class RigUnavailableError(Exception):
    """This machine cannot have a rig; the message says what it lacks."""


def find(name: str) -> str:
    """Give the path of a program, which for sshd is in no ordinary user's PATH."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/local/sbin")
    if found is None:
        package = PACKAGES.get(name, name)
        raise RigUnavailableError(f"{name} is not installed: on Debian, apt-get install {package}")
    return found


def compiled(name: str) -> Path:
    """Give the program made from `name`.c beside this file; it is compiled once for every version of its source."""
    source = HERE / f"{name}.c"
    version = hashlib.sha256(" ".join(COMPILE).encode() + source.read_bytes()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"warden-rig-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise RigUnavailableError(f"{folder} belongs to somebody else")
    program = folder / f"{name}-{version}"
    if not program.exists():
        # Others may compile at the same time; whoever is last replaces a program by its equal.
        fresh = folder / f"{name}-{version}.{os.getpid()}.{os.urandom(4).hex()}"
        done = subprocess.run([find("gcc"), *COMPILE[1:], "-o", fresh, source], capture_output=True, check=False)
        if done.returncode != 0:
            raise RigUnavailableError(f"gcc cannot compile {source}: {done.stderr.decode(errors='replace')}")
        fresh.replace(program)
    return program
