# SPDX-License-Identifier: BSD-2-Clause
"""What can go wrong on the way and at the far end, and the command line over a real connection."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.engine.conftest import TWO, agent_spec, spec_of
from tests.ssh.test_apply import ALPHA, apply
from warden.engine.errors import LockedError
from warden.engine.report import Outcome
from warden.host.command import Command
from warden.host.errors import ConnectionLostError
from warden.host.ssh import SshHost

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.ssh.rig.rig import Rig
    from warden.engine.report import ChangeResult
    from warden.host.address import Become

ONE = spec_of(agent_spec("atlas", "10.0.1.0/24", services=("git",)))


def warden(*arguments: str, cwd: Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "warden", *arguments], cwd=cwd, input=stdin, capture_output=True, check=False
    )


def test_a_full_disk_is_told_and_once_there_is_room_the_next_apply_goes_through(
    rig: Rig, reach: Callable[..., None]
) -> None:
    reach(rig)
    rig.set_faults(disk_full_after=1)
    with SshHost(ALPHA) as host:
        report = apply(host, ONE)
        assert not report.ok
        failed = [one.failed_at for one in report.failures if one.failed_at is not None]
        assert any(b"No space left" in one.stderr + one.stdout for one in failed)
        rig.set_faults()
        assert apply(host, ONE).ok


def test_a_slow_line_takes_longer_and_changes_nothing(rig: Rig, reach: Callable[..., None]) -> None:
    reach(rig, through_link=True)
    rig.link.set(latency=0.05, bytes_per_second=200_000)
    with SshHost(ALPHA) as host:
        assert apply(host, ONE).ok
        data = bytes(range(256)) * 400
        assert host.run([Command(argv=("/bin/cat",), stdin=data)])[0].stdout == data


def test_a_line_that_is_cut_in_the_middle_of_the_answers(rig: Rig, reach: Callable[..., None]) -> None:
    """Whole answers count, the half one and those behind it are unknown."""
    reach(rig, through_link=True)
    with SshHost(ALPHA) as host:
        rig.link.cut_after(20_000)
        with pytest.raises(ConnectionLostError) as lost:
            host.run([Command(argv=("/bin/cat",), stdin=bytes([n]) * 4000) for n in range(20)])
    ran = [result.stdout[0] for result in lost.value.ran]
    assert ran == list(range(len(ran)))
    assert 0 < len(ran) < 6
    assert len(lost.value.ran) + len(lost.value.unknown) + len(lost.value.not_run) == 20


def test_a_line_that_falls_silent_in_mid_apply(
    rig: Rig, reach: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("warden.host.ssh_channels._ASK_EVERY", 0.1)
    monkeypatch.setattr("warden.host.ssh_channels._SILENCE", 0.6)
    reach(rig, through_link=True)
    told: list[str] = []
    with SshHost(ALPHA) as host:
        report = apply(host, TWO, on_change=lambda one: _cut_at_the_third(rig, told, one))
    assert report.connection_lost
    assert {Outcome.DONE, Outcome.SKIPPED} & {one.outcome for one in report.results}
    with SshHost(ALPHA) as host, pytest.raises(LockedError):
        apply(host, TWO)  # the far end has noticed nothing yet: it would, after 30 s without a sign of life
    rig.kill_server()
    rig.start_server()
    with SshHost(ALPHA) as host:
        again = apply(host, TWO)
    assert again.ok, [one.failed_at or one.why for one in again.failures]


def _cut_at_the_third(rig: Rig, told: list[str], result: ChangeResult) -> None:
    told.append(result.change.id)
    if len(told) == 3:
        rig.link.cut("silent")


def test_sudo_and_doas_on_the_way_to_root(rig: Rig, reach: Callable[..., None]) -> None:
    reach(rig)
    ways: tuple[Become, ...] = ("sudo", "doas")
    for become in ways:
        with SshHost(ALPHA, become=become) as host:
            assert host.run([Command(argv=("/usr/bin/id", "-u"))])[0].stdout == b"0\n"


TOML = """\
[hosts.alpha]
address = "ssh://alpha"

[agents.atlas]
host = "alpha"
subnet = "10.0.1.0/24"
services = ["git"]
"""


def test_the_command_line_from_trust_to_destroy(rig: Rig, reach: Callable[..., None], tmp_path: Path) -> None:
    reach(rig)
    here = tmp_path / "operator"
    (here / "warden.toml").write_text(TOML)
    # the rig's configuration knows the host already: take it as somebody who comes for the first time
    config = here / ".ssh" / "config"
    config.write_text("".join(x for x in config.read_text().splitlines(keepends=True) if "KnownHostsFile" not in x))
    unknown = warden("plan", cwd=here)
    assert unknown.returncode == 4
    assert b"is not known" in unknown.stderr
    trusted = warden("host", "trust", "alpha", "-y", cwd=here)
    assert trusted.returncode == 0, trusted.stderr
    assert warden("plan", "--exit-code", cwd=here).returncode == 3
    done = warden("apply", "-y", cwd=here)
    assert done.returncode == 0, done.stderr
    assert warden("plan", "--exit-code", cwd=here).returncode == 0
    again = warden("apply", "-y", cwd=here)
    assert b"nothing to do" in again.stdout
    assert warden("status", cwd=here).returncode == 0
    run = warden("host", "run", "--", "/bin/sh", "-c", "cat; exit 7", cwd=here, stdin=b"\x00\xff through")
    assert (run.returncode, run.stdout) == (7, b"\x00\xff through")
    assert warden("destroy", "atlas", "-y", cwd=here).returncode == 0
    assert rig.unsupported() == []


def test_a_host_that_is_down_is_69_and_the_others_go_on(rig: Rig, reach: Callable[..., None], tmp_path: Path) -> None:
    reach(rig)
    here = tmp_path / "operator"
    (here / "warden.toml").write_text(
        TOML + '\n[hosts.beta]\naddress = "ssh://127.0.0.1:1"\n\n[hosts.gamma]\naddress = "fake:gamma.json"\n'
    )
    down = warden("plan", "--host", "beta", cwd=here)
    assert down.returncode == 69
    assert b"Traceback" not in down.stderr
    everywhere = warden("plan", cwd=here)
    assert everywhere.returncode == 69
    assert b"jail atlasgit" in everywhere.stdout
    assert b"gamma" in everywhere.stdout
