# SPDX-License-Identifier: BSD-2-Clause
"""`warden host bootstrap` as an operator runs it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ended

    Warden = Callable[..., Ended]

TWO_HOSTS = """\
[hosts.alpha]
address = "fake:alpha.json?profile=bare"

[hosts.beta]
address = "fake:beta.json?profile=bare"

[defaults]
services = ["git"]

[agents.one]
host = "alpha"

[agents.two]
host = "beta"

[agents.two.jails.git]
release = "14.3-RELEASE"
"""

WHAT_IS_THERE = (
    ("cat", "/etc/rc.conf", "/boot/loader.conf"),
    ("kldstat",),
    ("find", "/usr/local", "/etc"),
    ("zfs", "list", "-H", "-o", "name"),
)


@pytest.fixture
def bare(tmp_path: Path) -> str:
    """Give the address of a bare host that stays between commands."""
    return f"fake:{tmp_path}/bare.json?profile=bare"


def on_host(warden: Warden, address: str, *argv: str) -> str:
    ended = warden("host", "run", "--host", address, "--", *argv)
    assert ended.status == 0, (argv, ended)
    return ended.out


def test_from_a_bare_host_to_the_agent_of_the_guide(
    warden: Warden, bare: str, examples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARDEN_HOST", bare)
    folder = examples / "clawdie"
    assert warden("apply", "-y", folder=folder).status == 4
    ended = warden("host", "bootstrap", "-y")
    assert ended.status == 0, ended
    assert "read back and found as it should be" in ended.out
    ended = warden("apply", "-y", folder=folder)
    assert ended.status == 0, ended
    for _ in range(2):
        assert warden("plan", "--exit-code", folder=folder).status == 0
        again = warden("host", "bootstrap", "-y")
        assert again.status == 0
        assert "nothing to do" in again.out
        on_host(warden, bare, "shutdown", "-r", "now")


def test_the_plan_is_shown_and_asked_about(warden: Warden, bare: str) -> None:
    ended = warden("host", "bootstrap", "--host", bare)
    assert ended.status == 2
    assert "packages bastille tmux git" in ended.out
    assert "look at the plan, then add -y" in ended.err
    assert "pf_enable" not in on_host(warden, bare, "cat", "/etc/rc.conf")


def test_as_json_it_is_a_plan_like_any_other(warden: Warden, bare: str) -> None:
    ended = warden("host", "bootstrap", "--host", bare, "-y", "--json")
    assert ended.status == 0
    events: list[dict[str, Any]] = [json.loads(line) for line in ended.out.splitlines()]
    assert [event["event"] for event in events[:2]] == ["plan", "change"]
    assert events[0]["plan"]["changes"][-1]["kind"] == "pf enable"
    assert events[-1]["event"] == "report"
    assert events[-1]["ok"] is True


def test_without_a_spec_the_release_of_the_host_and_else_the_named_ones(warden: Warden, bare: str) -> None:
    assert warden("host", "bootstrap", "--host", bare, "--release", "14.3-RELEASE", "-y").status == 0
    assert on_host(warden, bare, "bastille", "list", "release") == "14.3-RELEASE\n"
    assert warden("host", "bootstrap", "--host", bare, "-y").status == 0
    assert on_host(warden, bare, "bastille", "list", "release") == "14.3-RELEASE\n15.1-RELEASE\n"


def test_every_host_of_a_spec_gets_the_releases_of_its_agents(
    warden: Warden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WARDEN_HOST")
    (tmp_path / "warden.toml").write_text(TWO_HOSTS)
    ended = warden("host", "bootstrap", "-y")
    assert ended.status == 0, ended
    for host, release in (("alpha", "15.1-RELEASE"), ("beta", "14.3-RELEASE")):
        assert on_host(warden, host, "bastille", "list", "release") == f"{release}\n"
    assert warden("apply", "-y").status == 0
    assert warden("host", "bootstrap", "--host", "beta", "-f", "warden.toml", "-y").status == 0


@pytest.mark.parametrize(
    ("fault", "command"),
    [
        ("refuse-package=bastille", "/usr/sbin/pkg install -y bastille tmux git"),
        ("refuse-package=pkg", "/usr/sbin/pkg bootstrap -y"),
        ("fail-match=bastille+bootstrap", "/usr/local/bin/bastille bootstrap 15.1-RELEASE"),
        ("disk-full-after=10", "/usr/sbin/pkg bootstrap -y"),
    ],
)
def test_what_fails_is_named_with_what_to_do_and_the_next_time_goes_on(
    warden: Warden, bare: str, fault: str, command: str
) -> None:
    ended = warden("host", "bootstrap", "--host", f"{bare}&{fault}", "-y")
    assert ended.status == 1
    assert f"from: {command}" in ended.err or f"lock {command}" in ended.err
    assert "docs/bootstrap.md" in ended.err
    assert "Traceback" not in ended.err
    assert warden("host", "bootstrap", "--host", bare, "-y").status == 0


def test_broken_rules_of_the_operator_are_refused_and_nothing_is_changed(warden: Warden, bare: str) -> None:
    on_host(warden, bare, "sh", "-c", "echo 'pass everything' > /etc/pf.conf")
    before = [on_host(warden, bare, *argv) for argv in WHAT_IS_THERE]
    ended = warden("host", "bootstrap", "--host", bare, "-y")
    assert ended.status == 4
    assert "/etc/pf.conf is broken: /etc/pf.conf:1: syntax error" in ended.err
    assert "pfctl -nf /etc/pf.conf" in ended.err
    assert [on_host(warden, bare, *argv) for argv in WHAT_IS_THERE] == before


@pytest.mark.parametrize(
    ("args", "status", "said"),
    [
        (("--pool", "tank"), 4, "has no pool tank"),
        (("--release", "16.0-RELEASE"), 4, "16.0-RELEASE is newer than"),
        (("--release", "fifteen"), 2, "'fifteen' is no release"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_done(
    warden: Warden, bare: str, args: tuple[str, ...], status: int, said: str
) -> None:
    ended = warden("host", "bootstrap", "--host", bare, "-y", *args)
    assert ended.status == status
    assert said in ended.err
    assert "hint: " in ended.err


def test_a_machine_that_is_no_freebsd_is_refused(warden: Warden) -> None:
    ended = warden("host", "bootstrap", "--host", "local", "-y")
    assert ended.status == 4
    assert "no FreeBSD" in ended.err
