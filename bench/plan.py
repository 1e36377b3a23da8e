# SPDX-License-Identifier: BSD-2-Clause
"""How planning and applying grow with the number of agents: `just bench-plan`.

Every agent has three jails and a service. The host is a fake one in memory, so the figures tell Warden's own time and
the fake's; what a host and a network take comes on top. The last line is one JSON object with every figure.
"""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from pathlib import Path

from warden.engine.apply import carry_out
from warden.engine.lock import Holder
from warden.engine.plan import make_plan
from warden.facts.probe import read_facts
from warden.host.fake.host import FakeHost
from warden.host.fake.store import MemoryStore
from warden.spec.toml_spec import read_toml

SIZES = (20, 200)


def spec_text(agents: int) -> str:
    """Give a spec of so many agents, with three jails each and a service."""
    blocks = [
        f'[agents.agent{number:03d}]\nservices = ["git", "cms", "db"]\ncommand = ["/usr/local/bin/node"]\n'
        for number in range(agents)
    ]
    return "\n".join(blocks)


def measure(agents: int) -> dict[str, float]:
    """Plan and apply so many agents on a fresh host, then plan again: seconds, round trips and commands."""
    host = FakeHost("fake:", MemoryStore())
    spec = read_toml(Path("warden.toml"), spec_text(agents))
    names = tuple(spec.agents)
    began = time.perf_counter()
    plan = make_plan(spec, names, read_facts(host, names))
    planned = time.perf_counter()
    host.batches = 0
    holder = Holder(who="bench", what="measuring", since="now")
    report = carry_out(host, partial(read_facts, agents=names), lambda facts: make_plan(spec, names, facts), holder)
    applied = time.perf_counter()
    if not report.ok:
        sys.exit(f"the apply of {agents} agents failed: {report.failures[:1]}")
    batches = host.batches
    host.batches = 0
    again = make_plan(spec, names, read_facts(host, names))
    replanned = time.perf_counter()
    if not again.empty:
        sys.exit(f"the second plan of {agents} agents is not empty")
    return {
        "agents": agents,
        "changes": len(plan.changes),
        "commands": sum(
            len(change.commands) + (len(change.guard.settle) if change.guard else 0) for change in plan.changes
        ),
        "plan_seconds": round(planned - began, 3),
        "apply_seconds": round(applied - planned, 3),
        "apply_round_trips": batches,
        "replan_seconds": round(replanned - applied, 3),
        "replan_round_trips": host.batches,
    }


def main() -> None:
    """Measure every size, print a table, and then everything as one JSON line."""
    rows = [measure(size) for size in SIZES]
    columns = list(rows[0])
    print("  ".join(column.rjust(len(column)) for column in columns))
    for row in rows:
        print("  ".join(str(row[column]).rjust(len(column)) for column in columns))
    growth = {
        f"{part}_growth": round(rows[-1][f"{part}_seconds"] / max(rows[0][f"{part}_seconds"], 0.001), 2)
        for part in ("plan", "apply", "replan")
    }
    total = [row["plan_seconds"] + row["apply_seconds"] for row in rows]
    growth["plan_and_apply_growth"] = round(total[-1] / total[0], 2)
    print(f"from {SIZES[0]} to {SIZES[-1]} agents, times: " + ", ".join(f"{k} {v}" for k, v in growth.items()))
    print(json.dumps({"bench": "plan", "rows": rows, **growth}))


if __name__ == "__main__":
    main()
