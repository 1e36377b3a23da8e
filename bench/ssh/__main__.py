# SPDX-License-Identifier: BSD-2-Clause
"""The same work over SSH by Warden, ansible-core and pyinfra: `just bench-ssh`; docs/bench.md says how to read it.

The last line is one JSON object with every figure.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from bench.ssh.bare import measure_bare
from bench.ssh.compare import BenchError, Run, compare, measure_start, to_json
from bench.ssh.many import measure_many
from bench.ssh.tables import show
from bench.ssh.tools import ANSIBLE, PYINFRA, TOOLS, WARDEN, install_others, versions
from bench.ssh.work import make_agents, make_scripts
from tests.ssh.rig.helper import RigError
from tests.ssh.rig.tools import RigUnavailableError
from warden import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.ssh.work import Agent

AGENTS = 20
HOSTS = 50
"""With other numbers nothing is to be shown: the start of an interpreter would count for more, or less."""

LATENCIES = (0.0, 0.02)
WARDEN_ROUNDS = 3
"""Warden's runs are short and stand below every ratio: the median of so many is taken. The others run once."""


def main() -> None:
    """Measure everything, print tables, and then everything as one JSON line."""
    parser = argparse.ArgumentParser(prog="just bench-ssh", description="Measure Warden beside other tools over SSH.")
    parser.add_argument("--agents", type=int, default=AGENTS, help="agents on the one host, at most 250 (default: 20)")
    parser.add_argument("--hosts", type=int, default=HOSTS, help="hosts for one controller (default: 50)")
    parser.add_argument("--runs", type=int, default=15, help="runs beside a bare ssh (default: 15)")
    parser.add_argument("--quick", action="store_true", help="2 agents, 3 hosts, 3 runs: see that it works")
    options = parser.parse_args()
    if options.quick:
        options.agents, options.hosts, options.runs = 2, 3, 3
    try:
        install_others()
        result = measure(make_agents(options.agents), options.hosts, options.runs)
    except (BenchError, RigError, RigUnavailableError) as error:
        sys.exit(f"error: {error}")
    print(json.dumps(result))


def measure(agents: Sequence[Agent], hosts: int, runs: int) -> dict[str, Any]:
    """Measure everything, and print a table of each part as soon as it is there."""
    found = {"warden": __version__, **versions()}
    print(", ".join(f"{name} {version}" for name, version in found.items()))
    scripts = make_scripts(agents)

    start = [{"tool": tool.name, "start_seconds": round(measure_start(tool), 3)} for tool in TOOLS]
    show("before the work begins", start)

    rows = [row for latency in LATENCIES for row in _rows(agents, scripts, latency)]
    show(f"the same work for {len(agents)} agents", rows, leave=("bytes_to_host", "bytes_from_host"))
    ratios = _ratios(rows)
    show("how many times as long as Warden", ratios)

    bare = [measure_bare(agents, latency, runs) for latency in LATENCIES]
    show("Warden's no-op beside a bare ssh that runs the same probe, without the interpreter's start", bare)

    many = measure_many(hosts, LATENCIES[-1])
    show("one agent each on many hosts", many)

    targets = _targets(ratios, bare, many) if (len(agents), hosts) == (AGENTS, HOSTS) else []
    if targets:
        show("what is to be shown", targets)
    return {
        "bench": "ssh",
        "agents": len(agents),
        "versions": found,
        "start": start,
        "runs": rows,
        "ratios": ratios,
        "bare": bare,
        "many": many,
        "targets": targets,
    }


def _rows(agents: Sequence[Agent], scripts: dict[str, str], latency: float) -> list[dict[str, Any]]:
    rows = []
    for tool in TOOLS:
        rounds = WARDEN_ROUNDS if tool is WARDEN else 1
        pairs = [compare(tool, agents, scripts, latency) for _ in range(rounds)]
        for label, some in zip(("first", "no-op"), zip(*pairs, strict=True), strict=True):
            rows.append(
                {"tool": tool.name, "latency_ms": round(latency * 1000), "run": label, **to_json(_middle(some))}
            )
    return rows


def _middle(runs: Sequence[Run]) -> Run:
    return sorted(runs, key=lambda run: run.seconds)[len(runs) // 2]


def _ratios(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    seconds = {(row["latency_ms"], row["run"], row["tool"]): row["seconds"] for row in rows}
    return [
        {
            "latency_ms": latency,
            "run": run,
            **{other.name: round(seconds[latency, run, other.name] / took, 1) for other in (ANSIBLE, PYINFRA)},
        }
        for (latency, run, tool), took in seconds.items()
        if tool == WARDEN.name
    ]


def _targets(
    ratios: Sequence[dict[str, Any]], bare: Sequence[dict[str, Any]], many: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Give what is to be shown, at the longer latency."""
    latency = round(LATENCIES[-1] * 1000)
    rows: list[tuple[str, str, float, float]] = []
    for ratio in ratios:
        if ratio["latency_ms"] == latency:
            rows += [
                (f"{other.name} / Warden, {ratio['run']}", ">=", wanted, ratio[other.name])
                for other, wanted in ((ANSIBLE, 20), (PYINFRA, 5))
            ]
    rows += [
        ("no-op / bare ssh", "<=", 1.3, bare[-1]["warden_to_ssh"]),
        ("no-op / bare ssh with the same key exchange", "<=", 1.3, bare[-1]["warden_to_ssh_same_kex"]),
    ]
    first = many[0]
    rows += [
        (f"{first['hosts']} hosts: wall / (own times / 16)", "<=", 1.5, first["wall_to_own"]),
        (f"{first['hosts']} hosts: memory in MiB", "<=", 300, max(row["peak_mib"] for row in many)),
    ]
    return [
        {
            "what": what,
            "wanted": f"{sign} {wanted:g}",
            "measured": measured,
            "met": measured >= wanted if sign == ">=" else measured <= wanted,
        }
        for what, sign, wanted, measured in rows
    ]


if __name__ == "__main__":
    main()
