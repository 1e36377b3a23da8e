# SPDX-License-Identifier: BSD-2-Clause
"""What an apply writes down on the host: once, about everything that was done, and no secret."""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.conftest import HOLDER, TWO, RecordingHost, World, agent_spec, fresh, spec_of
from warden.engine.apply import carry_out
from warden.engine.journal import JOURNAL, KEPT, LOG, commands, entry, log_line, read_journal
from warden.engine.lock import Holder
from warden.engine.plan import make_plan
from warden.engine.report import Report
from warden.facts.errors import FactsError
from warden.facts.probe import read_facts
from warden.host.fake.faults import Faults

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

SMALL = spec_of(agent_spec("atlas", "10.0.1.0/24", ()))


def journal(world: World, most: int = 1000) -> list[dict[str, Any]]:
    return read_journal(RecordingHost(world.machine), most)


def log(world: World) -> list[str]:
    return world.sh("cat", LOG).splitlines()


def test_an_apply_is_written_down_and_no_round_trip_is_made_for_it(world: World) -> None:
    assert journal(world) == []
    done = world.apply(TWO)
    assert done.ok
    [written] = journal(world)
    assert done.report is not None
    assert (written["who"], written["from"], written["when"]) == ("root", "test", HOLDER.since)
    assert written["what"] == HOLDER.what
    assert written["plan"] == done.report.plan.digest
    assert [change["id"] for change in written["changes"]] == [change.id for change in done.report.plan.changes]
    assert {change["outcome"] for change in written["changes"]} == {"done"}
    assert "hush" not in json.dumps(written)
    [line] = log(world)
    assert line == (
        f"2026-11-21T05:00:00+00:00 root from test: a test: plan {written['plan'][:12]},"
        f" {len(written['changes'])} done, journal 100001"
    )
    assert done.host.batches <= 8
    # there is nothing to do: nothing is written
    assert world.apply(TWO).ok
    assert len(journal(world)) == len(log(world)) == 1
    assert world.destroy("atlas").ok
    assert [one["number"] for one in journal(world)] == [100002, 100001]
    assert {change["action"] for change in journal(world)[0]["changes"]} >= {"remove"}


def test_who_may_read_it(world: World) -> None:
    world.apply(SMALL)
    assert world.sh("stat", "-f", "%Sp %Su %Sg", JOURNAL, f"{JOURNAL}/100001.json", LOG).splitlines() == [
        "drwx------ root wheel",
        "-rw------- root wheel",
        "-rw-r----- root wheel",
    ]


def test_it_outlives_the_last_agent_and_a_reboot(world: World) -> None:
    world.apply(SMALL)
    world.reboot()
    assert world.destroy("atlas").ok
    assert len(journal(world)) == len(log(world)) == 2


def test_a_failure_is_written_down_with_its_command(world: World) -> None:
    failed = world.apply(TWO, Faults(fail_match="bastille create"))
    assert not failed.ok
    [written] = journal(world)
    outcomes = {change["outcome"] for change in written["changes"]}
    assert outcomes == {"done", "failed", "skipped"}
    [first, *_] = [change for change in written["changes"] if change["outcome"] == "failed"]
    assert "bastille create" in first["command"]
    assert first["exit"] == 1
    assert "failed" in log(world)[0]


def test_a_broken_connection_leaves_no_entry_and_the_next_apply_one(world: World) -> None:
    assert not world.apply(SMALL, Faults(drop_before=3)).ok
    assert journal(world) == []
    assert world.apply(SMALL).ok
    assert len(journal(world)) == 1


def test_a_log_that_cannot_be_written_is_told_and_is_no_failure(world: World) -> None:
    done = world.apply(SMALL, Faults(fail_match=JOURNAL))
    assert done.ok
    assert done.report is not None
    assert done.report.remaining is not None
    [note] = done.report.remaining.notes
    assert LOG in note.message
    assert "as the fake host was told to" in note.message


def test_the_journal_is_bounded_and_keeps_what_is_not_its_own(world: World) -> None:
    host = RecordingHost(world.machine)
    report = Report(plan=make_plan(SMALL, ["atlas"], read_facts(host, [])), results=())
    world.sh("mkdir", "-p", JOURNAL)
    mine = {"README", "notes.json", "1notes.json", "100000x.json"}
    world.sh("touch", *(f"{JOURNAL}/{name}" for name in mine))
    for number in range(KEPT + 5):
        holder = Holder(who="root@test", what=f"apply {number}", since=HOLDER.since)
        assert host.run(commands(entry(report, holder)))[0].ok
    numbers = [one["number"] for one in journal(world)]
    assert numbers == list(range(100_000 + KEPT + 5, 100_005, -1))
    assert [one["what"] for one in journal(world, 2)] == [f"apply {KEPT + 4}", f"apply {KEPT + 3}"]
    assert set(world.sh("ls", JOURNAL).split()) - {f"{number}.json" for number in numbers} == mine
    assert len(log(world)) == KEPT + 5


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2}', '{"version": 1, "when": 3}'])
def test_an_entry_that_is_not_understood_is_named(world: World, text: str) -> None:
    world.apply(SMALL)
    world.sh("/bin/sh", "-c", 'printf "%s\\n" "$1" > "$2"', "sh", text, f"{JOURNAL}/100002.json")
    with pytest.raises(FactsError, match=r"100002\.json: an entry that is not understood"):
        journal(world)


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_line_of_the_log_is_one_line_whatever_it_is_about(who: str, what: str) -> None:
    report = Report(plan=make_plan(SMALL, ["atlas"], FACTS), results=())
    written = entry(report, Holder(who=f"{who}@test", what=what, since=HOLDER.since))
    line = log_line(written)
    assert line.isascii()
    assert line.isprintable()
    [command] = commands(written)
    assert json.loads(command.stdin) == written


FACTS = read_facts(RecordingHost(fresh().machine), [])


def test_the_script_does_the_same_under_a_real_shell(tmp_path: Path) -> None:
    sh = shutil.which("dash") or "/bin/sh"
    report = Report(plan=make_plan(SMALL, ["atlas"], FACTS), results=())
    folder, file = tmp_path / "db/journal", tmp_path / "warden.log"
    for number in range(4):
        [command] = commands(entry(report, Holder(who="a@b", what=f"{number} 'x' $(id)", since=HOLDER.since)))
        words = list(command.argv)
        words[words.index(JOURNAL)], words[words.index(LOG)], words[words.index(str(KEPT))] = (
            str(folder),
            str(file),
            "2",
        )
        subprocess.run([sh, *words[1:]], input=command.stdin, check=True, capture_output=True)
    (folder / "keep.me").touch()
    assert sorted(path.name for path in folder.iterdir()) == ["100003.json", "100004.json", "keep.me"]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o640
    assert json.loads((folder / "100004.json").read_text())["what"] == "3 'x' $(id)"
    assert [line.rpartition(" ")[2] for line in file.read_text().splitlines()] == [str(100_001 + n) for n in range(4)]


def test_an_apply_that_had_nothing_to_do_any_more_writes_nothing(world: World) -> None:
    shown = world.plan(SMALL)
    world.apply(SMALL)
    make = partial(make_plan, SMALL, ["atlas"])
    report = carry_out(
        RecordingHost(world.machine),
        partial(read_facts, agents=["atlas"]),
        make,
        HOLDER,
        shown=make(world.facts("atlas")),
    )
    assert report.ok
    assert shown.changes
    assert len(journal(world)) == 1
