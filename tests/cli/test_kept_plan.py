# SPDX-License-Identifier: BSD-2-Clause
"""`plan -o FILE` and `apply FILE`: exactly what was kept is carried out, or nothing."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ended

    Warden = Callable[..., Ended]

SPEC = """\
[hosts.alpha]
address = "fake:alpha.json"
[hosts.beta]
address = "fake:beta.json"
[agents.atlas]
host = "alpha"
subnet = "10.0.1.0/24"
services = ["git"]
command = ["/usr/bin/true"]
[agents.atlas.env]
TOKEN = "s3cr3t-c4n4ry"
[agents.vera]
host = "beta"
services = []
"""


@pytest.fixture
def kept(warden: Warden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a plan for two hosts that was kept."""
    monkeypatch.delenv("WARDEN_HOST")
    (tmp_path / "warden.toml").write_text(SPEC)
    planned = warden("plan", "-o", "two.plan")
    assert planned.status == 0, planned.err
    assert "warden apply two.plan" in planned.err
    return tmp_path / "two.plan"


def sh(warden: Warden, host: str, *argv: str) -> str:
    ended = warden("host", "run", "--host", host, "--", *argv)
    assert ended.status == 0, ended.err
    return ended.out


def agents(warden: Warden, host: str) -> list[str]:
    return [agent["name"] for agent in warden("status", "--host", f"fake:{host}.json", "--json").json["agents"]]


def test_what_was_kept_is_carried_out_once(warden: Warden, tmp_path: Path, kept: Path) -> None:
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "s3cr3t" not in kept.read_text()
    value = json.loads(kept.read_text())
    assert [host["label"] for host in value["hosts"]] == ["alpha", "beta"]
    assert value["hosts"][0]["plan"] == json.loads(warden("plan", "--json", "--host", "alpha").out)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    applied = warden("apply", "-y", str(kept), folder=elsewhere)
    assert applied.status == 0, applied.err
    assert "2 hosts: 2 done" in applied.out
    assert agents(warden, "alpha") == ["atlas"]
    again = warden("apply", "-y", "two.plan")
    assert again.status == 4
    assert "alpha has changed since this plan was made" in again.err
    assert "warden plan -o FILE" in again.err


def test_the_environment_does_not_send_a_kept_plan_elsewhere(
    warden: Warden, tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARDEN_HOST", f"fake:{tmp_path}/other.json")
    assert warden("apply", "-y", kept.name).status == 0
    assert not (tmp_path / "other.json").exists()
    assert agents(warden, "alpha") == ["atlas"]


def test_a_host_that_moved_is_left_alone_and_what_moved_is_named(warden: Warden, kept: Path) -> None:
    sh(warden, "alpha", "sysrc", "mine=1")
    sh(warden, "alpha", "pw", "useradd", "mine")
    applied = warden("apply", "-y", kept.name)
    assert applied.status == 4
    assert "alpha has changed since this plan was made: rc.conf, users" in applied.err
    assert agents(warden, "alpha") == []
    assert agents(warden, "beta") == ["vera"], "no host keeps another from being done"


def test_json_and_a_moved_host(warden: Warden, kept: Path) -> None:
    sh(warden, "alpha", "sysrc", "mine=1")
    applied = warden("apply", "-y", "--json", kept.name)
    assert applied.status == 4
    events = [json.loads(line) for line in applied.out.splitlines()]
    assert {event["host"] for event in events} == {"beta"}
    assert events[-1] | {"ok": True, "event": "report"} == events[-1]


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (('"10.0.1.0/24"', '"10.0.2.0/24"'), "agent atlas"),
        (("TOKEN", "OTHER"), "agent atlas"),
        (("fake:beta.json", "fake:gamma.json"), "hosts"),
        (("[agents.vera]", '[network]\nisolation = "open"\n[agents.vera]'), "network"),
    ],
)
def test_a_spec_that_was_edited(warden: Warden, tmp_path: Path, kept: Path, edit: tuple[str, str], what: str) -> None:
    (tmp_path / "warden.toml").write_text(SPEC.replace(*edit))
    applied = warden("apply", "-y", kept.name)
    assert applied.status == 4
    assert f"warden.toml has changed since this plan was made: {what}" in applied.err
    assert agents(warden, "alpha") == []


def test_comments_and_secret_values_are_no_part_of_a_plan(warden: Warden, tmp_path: Path, kept: Path) -> None:
    (tmp_path / "warden.toml").write_text("# a comment\n" + SPEC.replace("s3cr3t-c4n4ry", "an0ther"))
    assert warden("apply", "-y", kept.name).status == 0
    assert "an0ther" in sh(warden, "alpha", "cat", "/usr/local/etc/warden/agents/atlas.env")


def test_a_plan_that_would_be_another_one(warden: Warden, kept: Path) -> None:
    value = json.loads(kept.read_text())
    value["version"] = "0.0.1"
    value["hosts"][0]["plan"]["plan"] = "0" * 64
    value["hosts"][0]["plan"]["changes"][0]["reason"] = "another"
    name = value["hosts"][0]["plan"]["changes"][0]["id"]
    kept.write_text(json.dumps(value))
    applied = warden("apply", "-y", kept.name)
    assert applied.status == 4
    assert "Warden 0.0.1 made it" in applied.err
    assert name in applied.err


def test_a_command_written_into_the_file_is_never_run(warden: Warden, kept: Path) -> None:
    value = json.loads(kept.read_text())
    value["hosts"][0]["plan"]["changes"][0]["commands"] = [
        {"secret": False, "argv": ["/usr/bin/touch", "/root/pwned"], "stdin": ""}
    ]
    kept.write_text(json.dumps(value))
    warden("apply", "-y", kept.name)
    assert warden("host", "run", "--host", "alpha", "--", "ls", "/root/pwned").status != 0


def test_only_a_plan_is_overwritten(warden: Warden, tmp_path: Path, kept: Path) -> None:
    sh(warden, "alpha", "sysrc", "mine=1")
    assert warden("plan", "-o", kept.name).status == 0
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    before = (tmp_path / "warden.toml").read_text()
    refused = warden("plan", "-o", "warden.toml")
    assert refused.status == 2
    assert "is something else" in refused.err
    assert (tmp_path / "warden.toml").read_text() == before
    assert not [path.name for path in tmp_path.iterdir() if path.name.endswith(".warden")]


def test_a_plan_with_a_conflict_or_a_host_that_is_away_is_not_kept(warden: Warden, tmp_path: Path) -> None:
    (tmp_path / "warden.toml").write_text(SPEC.replace("fake:beta.json", "fake:nowhere/beta.json"))
    planned = warden("plan", "-o", "new.plan", "--host", "beta")
    assert planned.status != 0
    assert "new.plan was not written" in planned.err
    assert not (tmp_path / "new.plan").exists()


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", "{}", '{"warden_plan": 2}', '{"warden_plan": 1}', "[agents.atlas]\n", "[" * 100_000),
        '{"warden_plan": 1, "made": 1, "by": "", "version": "", "spec_path": "", "spec": {}, "hosts": []}',
        '{"warden_plan": 1, "made": "", "by": "", "version": "", "spec_path": "x", "spec": [], "hosts": []}',
        '{"warden_plan": 1, "made": "", "by": "", "version": "", "spec_path": "x", "spec": {}, "replaces": [1]}',
        '{"warden_plan": 1, "made": "", "by": "", "version": "", "spec_path": "x", "spec": {}, "hosts": [1]}',
    ],
)
def test_what_is_no_plan(warden: Warden, tmp_path: Path, text: str) -> None:
    (tmp_path / "some.plan").write_text(text)
    applied = warden("apply", "-y", "some.plan")
    assert applied.status == 2
    assert "some.plan is" in applied.err
    assert "hint: " in applied.err
    assert "bug" not in applied.err


def test_what_is_given_up_is_kept_too(warden: Warden, tmp_path: Path, kept: Path) -> None:
    script = "/usr/local/etc/rc.d/atlas"
    sh(warden, "alpha", "/bin/sh", "-c", f'printf "#!/bin/sh\\n# PROVIDE: atlas\\n" > {script}; chmod 555 {script}')
    refused = warden("plan", "-o", "other.plan", "--host", "alpha")
    assert refused.status == 4
    assert not (tmp_path / "other.plan").exists()
    planned = warden("plan", "-o", kept.name, "--host", "alpha", "--replace", "script:atlas")
    assert planned.status == 0, planned.err
    applied = warden("apply", "-y", kept.name)
    assert applied.status == 0, applied.err
    assert agents(warden, "alpha") == ["atlas"]
    both = warden("plan", "-o", kept.name, "--replace", "script:atlas")
    assert both.status == 2
    assert "on one host" in both.err


def test_a_plan_is_named_alone(warden: Warden, kept: Path) -> None:
    for option in (("-f", "warden.toml"), ("--agent", "atlas"), ("--host", "alpha"), ("--env-file", ".env")):
        assert warden("apply", "-y", kept.name, *option).status == 2
    assert warden("apply", "-y", "missing.plan").status == 2
    assert "no terminal" in warden("apply", kept.name).err
