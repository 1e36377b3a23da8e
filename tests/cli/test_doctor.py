# SPDX-License-Identifier: BSD-2-Clause
"""`warden doctor`: what it prints for people and for programs, and how it ends."""

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
subnet = "10.0.1.0/24"
services = ["git"]
command = ["/usr/local/bin/node", "a.js"]
[agents.atlas.env]
TOKEN = "c4n4ry-7f3a"
[agents.clawdie]
subnet = "192.168.72.0/24"
services = ["git"]
"""


@pytest.fixture
def applied(warden: Warden, tmp_path: Path) -> Warden:
    """Give `warden` in a folder with a spec that is applied to the host."""
    (tmp_path / "warden.toml").write_text(SPEC)
    assert warden("apply", "-y").status == 0
    return warden


def run(warden: Warden, *argv: str) -> None:
    assert warden("host", "run", "--", *argv).status == 0


def test_all_is_well(applied: Warden) -> None:
    ended = applied("doctor")
    assert (ended.status, ended.err) == (0, "")
    head, *lines = ended.out.splitlines()
    assert head.endswith(" ok")
    assert "failed" not in head
    assert "mend:" not in ended.out
    assert [line for line in lines if line and not line.startswith(" ")] == ["host", "atlas", "clawdie"]
    assert "nothing to do: the host has what the spec says" in ended.out


def test_what_is_wrong_stands_under_what_it_is_wrong_with(applied: Warden) -> None:
    run(applied, "ifconfig", "warden0", "down")
    run(applied, "bastille", "stop", "clawdiegit")
    ended = applied("doctor")
    assert ended.status == 1
    assert ended.out.splitlines()[0].split("  ")[-1].startswith("2 failed, 1 warning, ")
    lines = [" ".join(line.split()) for line in ended.out.splitlines()]
    down = next(number for number, line in enumerate(lines) if line.startswith("failed bridge warden0 is down"))
    assert lines[down + 1] == "mend: ifconfig warden0 up"
    jail = lines.index("failed jail clawdiegit is down")
    assert lines[jail + 1] == "mend: bastille start clawdiegit"
    assert lines.index("host") < down < lines.index("atlas") < lines.index("clawdie") < jail
    assert any(line.startswith("warning plan the plan says ") for line in lines)


def test_a_warning_is_no_failure(applied: Warden) -> None:
    run(applied, "touch", "/etc/.pf.conf.warden")
    ended = applied("doctor")
    assert ended.status == 0
    assert "1 warning" in ended.out.splitlines()[0]
    run(applied, "sh", "-c", "rm -f /etc/.pf.conf.warden")
    assert "warning" not in applied("doctor").out.splitlines()[0].split("  ")[-1]


def test_json(applied: Warden) -> None:
    run(applied, "sysctl", "net.inet.ip.forwarding=0")
    run(applied, "chmod", "644", "/usr/local/etc/warden/agents/atlas.env")
    ended = applied("doctor", "--json")
    assert ended.status == 1
    told = ended.json
    assert told.keys() == {"version", "host", "release", "healthy", "findings"}
    assert (told["version"], told["healthy"], told["release"]) == (1, False, "15.1-RELEASE-p1")
    failed = [one for one in told["findings"] if one["status"] == "failed"]
    assert failed == [
        {
            "status": "failed",
            "subject": "forwarding",
            "message": "off now: no jail reaches the outside",
            "mend": "sysctl net.inet.ip.forwarding=1",
            "agent": None,
        },
        {
            "status": "failed",
            "subject": "secrets",
            "message": "/usr/local/etc/warden/agents/atlas.env is open to others, mode 0644",
            "mend": "chmod 600 /usr/local/etc/warden/agents/atlas.env",
            "agent": "atlas",
        },
    ]
    assert "c4n4ry" not in ended.out


def test_only_some_agents(applied: Warden) -> None:
    run(applied, "bastille", "stop", "clawdiegit")
    ended = applied("doctor", "--agent", "atlas", "--json")
    assert {one["agent"] for one in ended.json["findings"]} == {None, "atlas"}
    assert ended.status == 0
    assert applied("doctor", "--agent", "atlas", "--agent", "clawdie").status == 1


def test_an_agent_that_nobody_has(applied: Warden) -> None:
    ended = applied("doctor", "--agent", "nobody")
    assert ended.status == 4
    assert "no agent nobody is registered on" in ended.err
    assert "hint: " in ended.err


def test_it_needs_no_spec(applied: Warden, tmp_path: Path) -> None:
    (tmp_path / "warden.toml").unlink()
    ended = applied("doctor")
    assert ended.status == 0
    assert "clawdiegit" in ended.out
    assert "  plan  " not in ended.out


def test_a_spec_that_the_host_cannot_have(applied: Warden, tmp_path: Path) -> None:
    spec = tmp_path / "warden.toml"
    spec.write_text(spec.read_text().replace("10.0.1.0", "10.0.7.0"))
    ended = applied("doctor")
    assert ended.status == 1
    assert "atlas has 10.0.1.0/24" in ended.out


def test_several_hosts_in_their_order_and_one_that_cannot_be_read(
    warden: Warden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WARDEN_HOST")
    hosts = {"omega": "fake:o.json", "gone": "fake:no/g.json", "alpha": "fake:a.json"}
    (tmp_path / "warden.toml").write_text(
        "".join(f'[hosts.{name}]\naddress = "{address}"\n' for name, address in hosts.items())
    )
    ended = warden("doctor")
    assert ended.status == 2
    heads = [line.split()[0] for line in ended.out.splitlines() if line.endswith(" ok") and "  FreeBSD " in line]
    assert heads == ["omega", "alpha"]
    assert "error: gone: " in ended.err


def test_a_bare_host_is_told_what_it_lacks(warden: Warden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDEN_HOST", f"fake:{tmp_path}/bare.json?profile=bare")
    ended = warden("doctor", "--json")
    assert ended.status == 1
    mends = {one["subject"]: one["mend"] for one in ended.json["findings"] if one["status"] == "failed"}
    assert mends["bastille"] == "pkg install -y bastille"
    assert "pf" in mends
