# SPDX-License-Identifier: BSD-2-Clause
"""The bench compares the same work: every tool leaves the same on the host, and a second run of it changes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.ssh.bare import measure_bare
from bench.ssh.compare import BenchError, compare
from bench.ssh.many import measure_many
from bench.ssh.tools import TOOLS, WARDEN, Tool
from bench.ssh.work import make_agents, make_scripts
from tests.ssh.conftest import CI
from tests.ssh.rig.rig import Rig
from tests.ssh.rig.tools import RigUnavailableError

AGENTS = make_agents(1)


@pytest.fixture(scope="module", autouse=True)
def _a_rig_is_possible(tmp_path_factory: pytest.TempPathFactory) -> None:
    try:
        Rig(tmp_path_factory.mktemp("rig") / "host").close()
    except RigUnavailableError as reason:
        if CI:
            pytest.fail(f"no rig, and with CI=true no check may be left out: {reason}", pytrace=False)
        pytest.skip(f"no rig: {reason}")


@pytest.fixture(scope="module")
def scripts() -> dict[str, str]:
    return make_scripts(AGENTS)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_every_tool_leaves_the_same_and_a_second_run_changes_nothing(tool: Tool, scripts: dict[str, str]) -> None:
    if not tool.there():
        pytest.skip(f"{tool.name} is not installed: `just bench-ssh` does that")
    first, again = compare(tool, AGENTS, scripts, 0.0)  # raises BenchError where it is not so
    assert 0 < again.commands < first.commands
    assert 0 < again.turns < first.turns
    assert again.connections == 1


def test_a_tool_that_leaves_the_work_undone_is_found_out(scripts: dict[str, str]) -> None:
    lazy = replace(WARDEN, command=(*WARDEN.command[:-2], "plan"))
    with pytest.raises(BenchError, match="left something else than was wanted"):
        compare(lazy, AGENTS, scripts, 0.0)


def test_a_tool_that_fails_is_told_with_what_it_said(scripts: dict[str, str]) -> None:
    broken = replace(WARDEN, command=(*WARDEN.command[:-2], "nonsense"))
    with pytest.raises(BenchError, match=r"(?s)warden exits \d+: .*nonsense"):
        compare(broken, AGENTS, scripts, 0.0)


def test_a_bare_ssh_runs_the_same_probe() -> None:
    measured = measure_bare(AGENTS, 0.0, runs=1)
    assert measured["warden_seconds"] > 0
    assert measured["ssh_same_kex_seconds"] > 0


def test_many_hosts_are_measured_each_for_itself() -> None:
    first, again, plan = measure_many(2, 0.0)
    for row in (first, again, plan):
        assert 0 < row["own_seconds"] < 2 * row["seconds"]
        assert row["at_once"] <= 2
        assert row["peak_mib"] > 1
    assert first["connections"] == 2 * again["connections"] == 2 * plan["connections"] == 4
    assert first["conversation_seconds"] <= first["own_seconds"]
