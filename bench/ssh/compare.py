# SPDX-License-Identifier: BSD-2-Clause
"""The same work by every tool: a first run on a fresh host, and one that finds everything done."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.ssh.tools import environment, make_home, make_room
from bench.ssh.work import found, wanted
from tests.ssh.rig.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.ssh.tools import Tool
    from bench.ssh.work import Agent

TIMEOUT = 1200


class BenchError(Exception):
    """A tool did not do the work, or not the same work: there is nothing to compare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a tool, as seen from outside.

    A turn is when the controller sends after it was sent something. `sessions` are the programs that sshd started,
    `commands` those of FreeBSD that took effect, and `host_seconds` the time that the fake host took for them.
    """

    seconds: float
    turns: int
    connections: int
    sessions: int
    commands: int
    host_seconds: float
    bytes_to_host: int
    bytes_from_host: int


def compare(tool: Tool, agents: Sequence[Agent], scripts: dict[str, str], latency: float) -> tuple[Run, Run]:
    """Let a tool do the work on a fresh host, twice; raises BenchError where that is not what is there then."""
    with tempfile.TemporaryDirectory(prefix="warden-bench-") as name:
        folder = Path(name)
        with Rig(folder / "rig", sshd_options=["LogLevel VERBOSE"], latency=latency) as rig:
            home = make_home(folder, rig)
            make_room(rig)
            tool.prepare(home, agents, scripts)
            first = _run(tool, rig, home)
            _check(tool, rig, agents, scripts)
            before = rig.machine()
            again = _run(tool, rig, home)
            _check(tool, rig, agents, scripts)
            if (before.net, before.pf.anchors) != (rig.machine().net, rig.machine().pf.anchors):
                raise BenchError(f"{tool.name}: the second run changed something")
            if rig.unsupported():
                raise BenchError(f"{tool.name}: the fake host was asked what it does not know: {rig.unsupported()[0]}")
    return first, again


def measure_start(tool: Tool, times: int = 5) -> float:
    """Measure how long a tool takes before it begins."""
    return statistics.median(_time(tool.start) for _ in range(times))


def to_json(run: Run) -> dict[str, Any]:
    """Give a run as figures with few digits, and beside them the host's share of the time."""
    figures = {key: round(value, 3) for key, value in asdict(run).items()}
    return figures | {"host_share": round(run.host_seconds / run.seconds, 4)}


def _time(command: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT)
    return time.perf_counter() - began


def _run(tool: Tool, rig: Rig, home: Path) -> Run:
    rig.link.reset_counts()
    commands, sessions = len(rig.commands()), _sessions(rig)
    began = time.perf_counter()
    done = subprocess.run(
        tool.command, cwd=home, env=environment(home), capture_output=True, timeout=TIMEOUT, check=False
    )
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        raise BenchError(f"{tool.name} exits {done.returncode}: {(done.stdout + done.stderr)[-2000:].decode()}")
    counts = rig.link.counts()
    tool.after(home)
    ran = rig.commands()[commands:]
    return Run(
        seconds=seconds,
        turns=counts["turns"],
        connections=counts["connections"],
        sessions=_sessions(rig) - sessions,
        commands=len(ran),
        host_seconds=sum(command.seconds for command in ran),
        bytes_to_host=counts["to_server"],
        bytes_from_host=counts["to_client"],
    )


def _sessions(rig: Rig) -> int:
    return rig.sshd_log().count("Starting session: ")


def _check(tool: Tool, rig: Rig, agents: Sequence[Agent], scripts: dict[str, str]) -> None:
    left = found(rig, agents, table_file=tool.table_file, beside=tool.beside)
    if left != wanted(agents, scripts):
        raise BenchError(f"{tool.name} left something else than was wanted: {left}")
