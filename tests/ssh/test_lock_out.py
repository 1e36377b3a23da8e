# SPDX-License-Identifier: BSD-2-Clause
"""A rule that would cut off SSH, with the fake host's pf before a real sshd: taken back, whoever lives or dies."""

from __future__ import annotations

import multiprocessing
import time
from typing import TYPE_CHECKING

import pytest

from tests.engine.conftest import TWO
from tests.ssh.test_apply import ALPHA, apply
from warden.engine import guard
from warden.host.command import Command
from warden.host.errors import HostUnreachableError
from warden.host.fake.operator import takes_ssh
from warden.host.files import write_file
from warden.host.ssh import SshHost

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.ssh.rig.rig import Rig

PF_CONF = "/etc/pf.conf"
LOCKING_OUT = b"set skip on lo0\nblock in quick on vtnet0 proto tcp to any port 22\npass\n"


@pytest.fixture
def trapped(rig: Rig, reach: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Rig:
    """A host whose pf.conf was edited by hand, and not loaded: whoever loads it locks everybody out."""
    monkeypatch.setattr(guard, "PATIENCE", 4)
    reach(rig, through_link=True)
    with SshHost(ALPHA) as host:
        host.run([write_file(PF_CONF, LOCKING_OUT)])
    return rig


def is_open() -> bool:
    try:
        SshHost(ALPHA).close()
    except HostUnreachableError:
        return False
    return True


def main_rules(rig: Rig) -> tuple[list[str], list[str]]:
    main = rig.machine().pf.anchors[""]
    return main.nat, main.filter


def test_the_link_lets_in_whom_pf_lets_in(trapped: Rig) -> None:
    assert is_open()
    with SshHost(ALPHA) as host:
        assert host.run([Command(argv=("/sbin/pfctl", "-f", PF_CONF))])[0].ok
        assert not is_open()
        assert host.run([Command(argv=("/sbin/pfctl", "-d"))])[0].ok, "the old connection has its state"
    assert is_open()


def test_it_is_taken_back_and_told(trapped: Rig) -> None:
    before = main_rules(trapped)
    with SshHost(ALPHA) as host:
        report = apply(host, TWO)
    assert not report.ok
    assert "the host took the old rules back by itself" in next(one.why for one in report.failures if one.why)
    assert main_rules(trapped) == before
    assert is_open()
    assert trapped.unsupported() == []


def _apply_and_be_killed() -> None:
    with SshHost(ALPHA) as host:
        apply(host, TWO)


def locked_out(rig: Rig) -> multiprocessing.process.BaseProcess:
    """Start a controller, and give it once its rules have locked everybody out."""
    process = multiprocessing.get_context("fork").Process(target=_apply_and_be_killed)
    process.start()
    deadline = time.monotonic() + 20
    while takes_ssh(rig.machine()):
        assert time.monotonic() < deadline
        assert process.is_alive()
        time.sleep(0.005)
    return process


def test_the_host_takes_it_back_by_itself_with_the_controller_killed(
    trapped: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = main_rules(trapped)
    # a killed controller asks for nothing more: it must not have begun to wait for the job, which takes no time here
    with monkeypatch.context() as patch:
        patch.setattr("warden.engine.execute._prove", lambda *_: time.sleep(60))
        process = locked_out(trapped)
    process.kill()
    process.join()
    assert not is_open()
    began = time.monotonic()
    while not is_open():
        assert time.monotonic() - began < guard.PATIENCE + 3
        time.sleep(0.2)
    assert main_rules(trapped) == before
    assert trapped.unsupported() == []


def test_a_host_that_is_restarted_meanwhile_comes_up_with_the_old_rules(
    trapped: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SshHost(ALPHA) as console:
        console.run([write_file(PF_CONF, b"pass\n")])
        with monkeypatch.context() as patch:
            patch.setattr("warden.engine.execute._prove", lambda *_: time.sleep(60))
            process = multiprocessing.get_context("fork").Process(target=_apply_and_be_killed)
            process.start()
        while 'anchor "warden" all' not in main_rules(trapped)[1]:
            assert process.is_alive()
            time.sleep(0.005)
        process.kill()
        process.join()
        console.run([Command(argv=("/sbin/shutdown", "-r", "now"))])
    assert main_rules(trapped)[1] == ["pass all flags S/SA keep state"]
    assert is_open()
    with SshHost(ALPHA) as host:
        assert apply(host, TWO).ok
