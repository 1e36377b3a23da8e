# SPDX-License-Identifier: BSD-2-Clause
"""Warden's no-op beside OpenSSH's client, each without the start of an interpreter."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.ssh.compare import TIMEOUT, BenchError
from bench.ssh.tools import WARDEN, environment, make_home
from tests.ssh.rig.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.ssh.work import Agent


def measure_bare(agents: Sequence[Agent], latency: float, runs: int) -> dict[str, Any]:
    """Bring a host to what the agents need, and measure both there."""
    with tempfile.TemporaryDirectory(prefix="warden-bench-") as name:
        folder = Path(name)
        with Rig(folder / "rig", latency=latency) as rig:
            home = make_home(folder, rig)
            WARDEN.prepare(home, agents, {})
            _do(WARDEN.command, home)
            measured = json.loads(_do((sys.executable, "-m", "bench.ssh.noop", str(runs)), home))
    times = {who: statistics.median(seconds) for who, seconds in measured.items()}
    return {
        "latency_ms": round(latency * 1000),
        "runs": runs,
        "warden_seconds": round(times["warden"], 4),
        "ssh_seconds": round(times["ssh"], 4),
        "ssh_same_kex_seconds": round(times["ssh_same_kex"], 4),
        "warden_to_ssh": round(times["warden"] / times["ssh"], 3),
        "warden_to_ssh_same_kex": round(times["warden"] / times["ssh_same_kex"], 3),
    }


def _do(command: Sequence[str], home: Path) -> bytes:
    done = subprocess.run(command, cwd=home, env=environment(home), capture_output=True, timeout=TIMEOUT, check=False)
    if done.returncode != 0:
        raise BenchError(f"{' '.join(command[:4])} exits {done.returncode}: {done.stderr[-2000:].decode()}")
    return done.stdout
