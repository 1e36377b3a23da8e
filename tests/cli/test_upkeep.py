# SPDX-License-Identifier: BSD-2-Clause
"""Services through the command line: status, doctor, `warden agent backup` and `upgrade`, on a fake host in a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ended

    Warden = Callable[..., Ended]

SPEC = """\
[agents.atlas]
services = ["git", "cms", "db", "llama-cpp"]
"""


@pytest.fixture
def settled(warden: Warden, tmp_path: Path) -> Warden:
    """Give the command line on a host where atlas has all services, and no model."""
    (tmp_path / "warden.toml").write_text(SPEC)
    ended = warden("apply", "-y")
    assert ended.status == 0, ended
    return warden


def snapshots(folder: Path) -> set[str]:
    machine = json.loads((folder / "host.json").read_text())["machine"]
    return {name for name in machine["datasets"] if "@warden-" in name}


def test_status_says_of_each_service_how_it_is(settled: Warden) -> None:
    [agent] = settled("status", "--json").json["agents"]
    assert agent["healthy"]
    states = {jail["service"]: (jail["state"], jail["why"]) for jail in agent["jails"]}
    assert states == {
        "git": ("healthy", ""),
        "cms": ("healthy", ""),
        "db": ("healthy", ""),
        "llama-cpp": ("warning", "no model"),
    }
    assert all(jail["version"] for jail in agent["jails"])
    shown = settled("status").out
    assert "atlasllm" in shown
    assert "warning: no model" in shown


def test_what_is_not_healthy_says_why_and_is_mended(settled: Warden) -> None:
    stop = ("host", "run", "--", "/usr/sbin/jexec", "atlascms", "/usr/sbin/service", "nginx", "stop")
    assert settled(*stop).status == 0
    shown = settled("status").out
    assert "not healthy: nginx does not answer" in shown
    assert "nginx does not answer" in settled("doctor").out
    plan = settled("plan").out
    assert "cms atlascms" in plan
    assert settled("apply", "-y").status == 0
    assert "not healthy" not in settled("status").out


def test_a_backup_is_taken_at_one_moment(settled: Warden, tmp_path: Path) -> None:
    ended = settled("agent", "backup", "atlas")
    assert ended.status == 0, ended
    taken = snapshots(tmp_path)
    assert len({name.partition("@")[2] for name in taken}) == 1
    assert {"zroot/warden/atlas/pgdata18", "zroot/warden/atlas/pgwal18"} <= {name.partition("@")[0] for name in taken}
    assert settled("agent", "backup", "nobody").status == 4


def test_an_upgrade_takes_a_backup_first_and_ends_healthy(settled: Warden, tmp_path: Path) -> None:
    ended = settled("agent", "upgrade", "atlas", "-y")
    assert ended.status == 0, ended
    assert snapshots(tmp_path)
    assert "not healthy" not in settled("status").out
    assert "nothing to do" in settled("plan").out


def test_an_agent_that_differs_from_its_spec_is_not_upgraded(settled: Warden, tmp_path: Path) -> None:
    assert settled("host", "run", "--", "/usr/sbin/jexec", "atlascms", "/usr/sbin/service", "nginx", "stop").status == 0
    ended = settled("agent", "upgrade", "atlas", "-y")
    assert ended.status == 4
    assert "is not as the spec says" in ended.err
    assert "warden apply first" in ended.err
    assert not snapshots(tmp_path)
