# SPDX-License-Identifier: BSD-2-Clause
"""From a bare FreeBSD installation to agents: whole, and cut off anywhere."""

from __future__ import annotations

import pickle
from typing import Literal

import pytest

from tests.engine.conftest import MODEL, TWO, KilledError, RecordingHost
from tests.resources.bare_host import RELEASE, BareHost, all_that_counts, goal, length, new
from warden.engine.bootstrap import make_base_plan
from warden.engine.report import Outcome
from warden.facts.base_system import BEGUN, read_base_system
from warden.host.errors import HostUnreachableError
from warden.host.fake.faults import Faults
from warden.resources.change import Stage

Way = Literal["fail", "drop-before", "drop-after"]
WAYS: dict[Way, str] = {"fail": "fail_nth", "drop-before": "drop_before", "drop-after": "drop_after"}


@pytest.fixture
def bare() -> BareHost:
    return new()


def test_a_bare_host_is_brought_to_where_agents_can_be_applied(bare: BareHost) -> None:
    assert bare.bootstrap().ok
    assert bare.batches <= 8
    assert bare.base_plan().empty
    bare.machine.files.write(MODEL, b"GGUF")
    assert bare.apply(TWO).ok
    bare.reboot()
    bare.sh("/bin/sleep", "10")  # llama-server reads its model
    assert bare.plan(TWO).empty
    assert bare.base_plan().empty
    assert bare.base_plan().notes == ()


def test_the_second_time_it_is_one_round_trip_and_nothing_to_do(bare: BareHost) -> None:
    bare.bootstrap()
    report = bare.bootstrap()
    assert report.ok
    assert report.results == ()
    assert bare.batches == 1


def test_planning_is_one_round_trip_that_changes_nothing(bare: BareHost) -> None:
    before = pickle.dumps(bare.machine)
    host = RecordingHost(bare.machine, Faults(fail_nth=1))
    assert make_base_plan(read_base_system(host)).changes
    assert host.batches == 1
    assert pickle.dumps(bare.machine) == before


def test_every_change_says_why(bare: BareHost) -> None:
    plan = bare.base_plan()
    assert all(change.reason for change in plan.changes)
    assert any("restarted" in note.message for note in plan.notes)


def test_pf_is_last_alone_and_enabled_for_boot_only_when_the_host_still_answers(bare: BareHost) -> None:
    plan = bare.base_plan()
    assert [change.kind for change in plan.changes if change.stage is Stage.LAST] == ["pf enable"]
    assert plan.changes[-1].kind == "pf enable"
    guarded = plan.changes[-1]
    assert [str(command) for command in guarded.commands] == [
        "/sbin/pfctl -nf /etc/pf.conf",
        "/usr/sbin/service pf onestart",
    ]
    assert guarded.guard is not None
    assert [command.argv[-1] for command in guarded.guard.settle] == ["pf_enable=YES"]
    assert [str(command) for command in guarded.guard.rollback] == ["/sbin/pfctl -d"]


def test_a_host_that_no_longer_answers_turns_pf_off_again(bare: BareHost, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(_host: RecordingHost) -> RecordingHost:
        raise HostUnreachableError("no answer")

    monkeypatch.setattr(RecordingHost, "reopen", unreachable)
    report = bare.bootstrap()
    assert not report.ok
    assert not bare.machine.pf.enabled
    assert bare.changes() == ["pf enable:/etc/pf.conf"]
    monkeypatch.undo()
    assert bare.bootstrap().ok


@pytest.mark.parametrize("way", WAYS)
def test_cut_off_at_any_command_and_done_again_it_ends_the_same(way: Way) -> None:
    # the last command is the log's; where it fails, nothing else does
    for nth in range(1, length() + (way != "fail")):
        base = new()
        report = base.bootstrap(Faults(**{WAYS[way]: nth}))  # type: ignore[arg-type]
        assert not report.ok, nth
        assert bool(report.connection_lost) == (way != "fail"), nth
        if nth % 2:
            base.reboot()
        done = base.bootstrap()
        assert done.ok, (way, nth, done)
        assert all_that_counts(base) == goal(), (way, nth)


def test_killed_before_any_round_trip_and_done_again_it_ends_the_same(bare: BareHost) -> None:
    bare.bootstrap()
    for nth in range(1, bare.batches + 1):
        base = new()
        with pytest.raises(KilledError):
            base.bootstrap(kill_at=nth)
        assert base.bootstrap().ok, nth
        base.sh("sleep", "60")  # the guard of the one that was killed has nothing to say any more
        assert all_that_counts(base) == goal(), nth
        assert base.base_plan().empty, nth


def test_a_disk_that_was_full_for_a_while_is_no_harm() -> None:
    for nth in range(1, length() + 1, 3):
        base = new()
        report = base.bootstrap(Faults(disk_full_after=nth))
        if nth < length():
            assert any(result.outcome is Outcome.FAILED for result in report.results), nth
        assert base.bootstrap().ok, nth
        assert all_that_counts(base) == goal(), nth


@pytest.mark.parametrize(
    ("package", "change", "command", "said"),
    [
        ("pkg", "bootstrap:pkg", "/usr/sbin/pkg bootstrap -y", b"could not be found for your system"),
        ("bastille", "packages:bastille tmux git", "/usr/sbin/pkg install -y bastille tmux git", b"'bastille'"),
    ],
)
def test_what_the_repository_does_not_have_is_named(package: str, change: str, command: str, said: bytes) -> None:
    base = new()
    failures = base.bootstrap(Faults(refuse_package=package)).failures
    assert [result.change.id for result in failures] == [change]
    assert failures[0].failed_at is not None
    assert str(failures[0].failed_at.command) == command
    assert said in failures[0].failed_at.stderr
    assert not base.machine.pf.enabled
    assert base.bootstrap().ok


def test_a_release_that_is_nowhere_is_named() -> None:
    base = new(releases=["15.1-RELEASE", "14.1-RELEASE"])
    failures = base.bootstrap().failures
    assert [result.change.id for result in failures] == ["release:14.1-RELEASE"]
    assert failures[0].failed_at is not None
    assert b"Bootstrap failed" in failures[0].failed_at.stderr
    base.releases = ["15.1-RELEASE", "14.3-RELEASE"]
    assert base.bootstrap().ok
    assert base.machine.files.list_dir("/usr/local/bastille/releases") == ["14.3-RELEASE", "15.1-RELEASE"]


def test_a_bootstrap_that_leaves_no_release_fails_whatever_its_exit_status(bare: BareHost) -> None:
    change = next(change for change in bare.base_plan().changes if change.kind == "release")
    after = change.commands[[command.argv[-2:] for command in change.commands].index(("bootstrap", "15.1-RELEASE")) + 1]
    (result,) = RecordingHost(bare.machine).run([after])
    assert result.exit_code == 1
    assert result.stderr.decode() == f"bastille bootstrap left no release in {RELEASE}\n"


def test_a_release_half_unpacked_is_taken_away_and_fetched_anew(bare: BareHost) -> None:
    """bastille was killed while it unpacked: COPYRIGHT is the first file of the archive."""
    bare.bootstrap()
    for path in ("usr", "sbin", "lib"):
        bare.sh("rm", "-rf", f"{RELEASE}/{path}")
    bare.write(f"{BEGUN}15.1-RELEASE", "begun\n")
    assert bare.changes() == ["release:15.1-RELEASE"]
    assert bare.bootstrap().ok
    assert all_that_counts(bare) == goal()


def test_an_archive_half_fetched_is_fetched_anew(bare: BareHost) -> None:
    bare.bootstrap()
    bare.sh("zfs", "destroy", "-r", "zroot/bastille/releases/15.1-RELEASE")
    bare.sh("rm", "-rf", RELEASE)
    bare.write(f"{BEGUN}15.1-RELEASE", "begun\n")
    change = bare.base_plan().changes[0]
    assert any("/usr/local/bastille/cache/15.1-RELEASE/base.txz" in command.argv for command in change.commands)
    assert bare.bootstrap().ok


def test_a_release_half_unpacked_that_a_jail_is_made_from_is_left_alone(bare: BareHost) -> None:
    bare.bootstrap()
    bare.sh("ifconfig", "bridge", "create", "name", "b5")
    bare.sh("bastille", "create", "-B", "-g", "10.9.0.1", "mine", "15.1-RELEASE", "10.9.0.2/24", "b5")
    bare.write(f"{BEGUN}15.1-RELEASE", "begun\n")
    assert bare.conflicts() == ["15.1-RELEASE was not bootstrapped to its end, and the jail mine is made from it"]
