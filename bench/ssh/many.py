# SPDX-License-Identifier: BSD-2-Clause
"""Fifty hosts from one controller: how long, how much of it is the hosts' own time, and how much memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.ssh.compare import BenchError
from bench.ssh.tools import environment
from tests.ssh.rig.rig import Rig
from warden.cli.crew import AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Sequence

RUNS = (("first", "apply", "-y"), ("no-op", "apply", "-y"), ("plan", "plan"))


def measure_many(number: int, latency: float) -> list[dict[str, Any]]:
    """Apply one agent each to so many hosts, and again, and plan.

    A host's own time is that in which Warden works on it. `conversation_seconds` is what the hosts themselves saw of
    that: from each one's first input to the end of its last shell, without the time that connecting took.
    """
    with (
        tempfile.TemporaryDirectory(prefix="warden-bench-") as name,
        ExitStack() as ending,
        ThreadPoolExecutor(os.cpu_count()) as threads,
    ):
        folder = Path(name)

        def start(index: int) -> Rig:
            return ending.enter_context(Rig(folder / f"host{index:02d}", latency=latency))

        rigs = list(threads.map(start, range(number)))
        home = _make_home(folder / "home", rigs)
        rows = [_measure(label, words, home, rigs) for label, *words in RUNS]
        refused = [refusal for rig in rigs for refusal in rig.unsupported()]
        if refused:
            raise BenchError(f"a fake host was asked what it does not know: {refused[0]}")
    return rows


def _make_home(home: Path, rigs: Sequence[Rig]) -> Path:
    (home / ".ssh").mkdir(parents=True)
    names = [f"host{index:02d}" for index in range(len(rigs))]
    sections = [rig.ssh_config_text(name, through_link=True) for name, rig in zip(names, rigs, strict=True)]
    (home / ".ssh" / "config").write_text("\n".join(sections), encoding="ascii")
    hosts = [f'[hosts.{name}]\naddress = "ssh://{name}"\n' for name in names]
    agents = [
        f'[agents.on-{name}]\nhost = "{name}"\nservices = []\ncommand = ["/usr/local/bin/node"]\n' for name in names
    ]
    (home / "warden.toml").write_text("\n".join((*hosts, *agents)), encoding="utf-8")
    return home


def _measure(label: str, words: Sequence[str], home: Path, rigs: Sequence[Rig]) -> dict[str, Any]:
    record = home / "record.json"
    already = [len(rig.conversations()) for rig in rigs]
    for rig in rigs:
        rig.link.reset_counts()
    said = home / "said"
    began = time.monotonic()
    with said.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.ssh.timed", record, *words],
            cwd=home,
            env=environment(home),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise BenchError(f"warden exits {process.returncode}: {said.read_text()[-2000:]}")
    spans: list[tuple[float, float]] = json.loads(record.read_text(encoding="ascii"))
    own = sum(end - begin for begin, end in spans)
    seen = [_span(rig, before) for rig, before in zip(rigs, already, strict=True)]
    share = own / AT_ONCE
    return {
        "run": label,
        "hosts": len(rigs),
        "seconds": round(wall, 3),
        "own_seconds": round(own, 3),
        "own_seconds_by_16": round(share, 3),
        "wall_to_own": round(wall / share, 3),
        "conversation_seconds": round(sum(seen), 3),
        "wall_to_conversations": round(wall / (sum(seen) / AT_ONCE), 3),
        "at_once": _at_once(spans),
        "connections": sum(rig.link.counts()["connections"] for rig in rigs),
        "controller_cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
        "peak_mib": round(usage.ru_maxrss / 1024, 1),
    }


def _span(rig: Rig, before: int) -> float:
    """Give the time from a host's first input to the end of its last shell."""
    ours = rig.conversations()[before:]
    ends = [end for _, end in ours if end is not None]
    return max(ends) - min(begin for begin, _ in ours) if ends else 0.0


def _at_once(spans: Sequence[tuple[float, float]]) -> int:
    """Give how many hosts were worked on at most at a time."""
    moments = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    most = now = 0
    for _, step in moments:
        now += step
        most = max(most, now)
    return most
