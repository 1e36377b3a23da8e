# SPDX-License-Identifier: BSD-2-Clause
"""`warden worker`: made, listed and destroyed through the command line, on a fake host in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ended

    Warden = Callable[..., Ended]

SPEC = """\
[agents.atlas]
services = ["git"]
limits = { memory = "1G", processes = 200, quota = "20G" }
"""


@pytest.fixture
def settled(warden: Warden, tmp_path: Path) -> Warden:
    """Give the command line on a host that has the agent atlas, and its spec in the folder."""
    (tmp_path / "warden.toml").write_text(SPEC)
    ended = warden("apply", "-y")
    assert ended.status == 0, ended
    return warden


def listed(warden: Warden, agent: str = "atlas") -> list[tuple[str, str, str]]:
    ended = warden("worker", "list", agent, "--json")
    assert (ended.status, ended.err) == (0, "")
    return [(one["name"], one["address"], one["state"]) for one in ended.json["workers"]]


def test_workers_come_and_go(settled: Warden) -> None:
    assert settled("worker", "list", "atlas").out.startswith("atlas has no worker on fake:")
    assert settled("worker", "list", "all").out.startswith("no agent has any worker on fake:")
    ended = settled("worker", "create", "atlas", "--count", "2", "-y")
    assert ended.status == 0, ended
    assert "atlasw02 is at 10.0.0.102" in ended.out
    assert listed(settled) == [("atlasw01", "10.0.0.101", "up"), ("atlasw02", "10.0.0.102", "up")]
    assert listed(settled, "all") == listed(settled)
    assert "atlasw01" in settled("status").out
    assert "nothing to do" in settled("plan").out
    ended = settled("worker", "destroy", "atlas", "w01", "-y")
    assert ended.status == 0, ended
    assert listed(settled) == [("atlasw02", "10.0.0.102", "up")]
    assert settled("worker", "destroy", "atlas", "--all", "-y").status == 0
    assert listed(settled) == []
    assert settled("worker", "destroy", "atlas", "--all", "-y").status == 0, "none is all that there are"


def test_limits_are_the_specs_unless_an_option_says_otherwise(settled: Warden) -> None:
    options = ("--memory", "512M", "--cpu", "50")
    ended = settled("worker", "create", "atlas", *options, "-y")
    assert ended.status == 0, ended
    assert "memory 512M, processes 200, cpu 50%, quota 20G" in ended.out
    [one] = settled("worker", "list", "atlas", "--json").json["workers"]
    assert one["limits"] == {"memory": 512 << 20, "processes": 200, "cpu": 50, "quota": 20 << 30}
    assert one["release"] == "15.1-RELEASE"
    assert "memory 512M, processes 200, cpu 50%, quota 20G" in settled("worker", "list", "atlas").out
    rules = settled("host", "run", "--", "rctl", "jail:atlasw01").out.split()
    assert "jail:atlasw01:memoryuse:deny=536870912" in rules


def test_without_a_spec_the_options_alone_count(settled: Warden, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    assert settled("worker", "create", "atlas", "--quota", "5G", "-y", folder=folder).status == 0
    [one] = settled("worker", "list", "atlas", "--json", folder=folder).json["workers"]
    assert one["limits"] == {"memory": None, "processes": None, "cpu": None, "quota": 5 << 30}


def test_events_are_printed_as_json(settled: Warden) -> None:
    ended = settled("worker", "create", "atlas", "-y", "--json")
    assert ended.status == 0
    assert '"event": "change"' in ended.out
    assert '"worker:atlasw01"' in ended.out
    assert '"ok": true' in ended.out.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("create", "rook", "-y"), 4, ("no agent rook is registered", "warden agent list")),
        (("create", "atlas", "--count", "50", "-y"), 2, ("50 is not in the range 1<=x<=49",)),
        (("create", "atlas", "--memory", "much", "-y"), 2, ("is no size", "512M, 4G")),
        (("create", "atlas"), 2, ("no terminal to ask at", "-y")),
        (("list", "rook"), 4, ("no agent rook",)),
        (("destroy", "atlas", "-y"), 2, ("which workers of atlas", "--all")),
        (("destroy", "atlas", "w01", "--all", "-y"), 2, ("which workers of atlas",)),
        (("destroy", "atlas", "w07", "-y"), 4, ("atlas has no worker w07", "its workers: atlasw01")),
        (("destroy", "rook", "--all", "-y"), 4, ("no agent rook",)),
    ],
)
def test_what_cannot_be_is_said(settled: Warden, words: tuple[str, ...], status: int, said: tuple[str, ...]) -> None:
    assert settled("worker", "create", "atlas", "-y").status == 0
    ended = settled("worker", *words)
    assert ended.status == status, ended
    for each in said:
        assert each in ended.err
    assert listed(settled) == [("atlasw01", "10.0.0.101", "up")]


def test_no_more_than_the_numbers_there_are(settled: Warden) -> None:
    assert settled("worker", "create", "atlas", "-y").status == 0
    ended = settled("worker", "create", "atlas", "--count", "49", "-y")
    assert ended.status == 4
    assert "no number free for 1 of 49 workers" in ended.err
    assert "1 of 49 are taken" in ended.err
    assert "hint: warden worker list atlas" in ended.err
