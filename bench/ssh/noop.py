# SPDX-License-Identifier: BSD-2-Clause
"""A no-op apply beside a bare `ssh host sh -s` that runs the same probe: `python -m bench.ssh.noop RUNS`.

It runs in the folder of a warden.toml whose host has all that it wants, with that folder as HOME. They take turns, in
one process that has loaded all of Warden: the figures are without the start of an interpreter. Prints one JSON object.
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import warden.host.ssh  # noqa: F401 - it would be loaded in the first run
from bench.ssh.work import HOST
from tests.ssh.rig.tools import find
from warden.cli.main import main as run_warden
from warden.engine.plan import make_plan
from warden.facts.probe import read_facts
from warden.host.address import open_host
from warden.host.command import ENVIRONMENT
from warden.host.script import Batch, make_script, new_boundary
from warden.spec.toml_spec import read_toml

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from warden.host.command import Command, Host, Result

SHELL = " ".join(("/usr/bin/env -i", *(f"{name}={value}" for name, value in ENVIRONMENT.items()), "/bin/sh -s"))

KEX = "curve25519-sha256@libssh.org"
"""What Warden and sshd agree on. Two of OpenSSH agree on one that takes longer: Warden is not to gain by that."""


class Recorder:
    """Takes note of the commands that a host is sent."""

    def __init__(self, host: Host) -> None:
        self.address = host.address
        self.sent: list[Command] = []
        self._host = host

    def run(
        self,
        batch: Sequence[Command],
        *,
        stop_on_error: bool = True,
        on_result: Callable[[Result], None] | None = None,
    ) -> list[Result]:
        """Hand the commands on."""
        self.sent += batch
        return self._host.run(batch, stop_on_error=stop_on_error, on_result=on_result)

    def __getattr__(self, name: str) -> object:
        return getattr(self._host, name)


def probe_script() -> bytes:
    """Give the script that Warden sends to read the host."""
    spec = read_toml(Path("warden.toml"), Path("warden.toml").read_text(encoding="utf-8"))
    host = open_host(f"ssh://{HOST}", folder=Path())
    recorder = Recorder(host)
    plan = make_plan(spec, tuple(spec.agents), read_facts(recorder, spec.agents))  # type: ignore[arg-type]
    host.close()
    if not plan.empty:
        sys.exit("the host does not have all that warden.toml wants")
    return b"".join(make_script([Batch(commands=recorder.sent, stops=False)], new_boundary()))


def clock(work: Callable[[], None]) -> float:
    """Give the seconds that something takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def apply() -> None:
    """Do all that `warden apply -y` does once it is loaded: read the spec, connect, read the host, plan, close."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        status = run_warden(["apply", "-y"])
    if status != 0 or "nothing to do" not in said.getvalue():
        sys.exit(f"this is no no-op: exit {status}, {said.getvalue()}")


def main() -> None:
    """Measure all, in turns."""
    script = probe_script()

    def ssh(*options: str) -> None:
        command = [find("ssh"), "-F", str(Path.home() / ".ssh" / "config"), *options, HOST, SHELL]
        subprocess.run(command, input=script, capture_output=True, check=True)

    contenders: dict[str, Callable[[], None]] = {
        "warden": apply,
        "ssh": ssh,
        "ssh_same_kex": partial(ssh, "-o", f"KexAlgorithms={KEX}"),
    }
    for work in contenders.values():
        work()
    rounds = [{name: clock(work) for name, work in contenders.items()} for _ in range(int(sys.argv[1]))]
    print(json.dumps({name: [times[name] for times in rounds] for name in contenders}))


if __name__ == "__main__":
    main()
