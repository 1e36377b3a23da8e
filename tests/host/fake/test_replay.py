# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

import json
from pathlib import Path

import pytest

from warden.host.fake.describe import DIFFERENCES, NOT_BUILT, describe
from warden.host.fake.machine import Machine
from warden.host.fake.persist import from_json, to_json
from warden.host.fake.profiles import PROFILES, make
from warden.host.fake.replay import normalise, replay

SESSIONS = Path(__file__).parents[2] / "sessions"
NOT_FOR_REPLAY = "13-create-cut-off"
"""What is left of a killed `bastille create` depends on the moment: that session is for reading."""

DIFFERENT = {known.session: set(known.commands) for known in DIFFERENCES}
"""What differs, and nothing else may."""


RECORDED = [path for path in sorted(SESSIONS.glob("*.jsonl")) if path.stem != NOT_FOR_REPLAY]


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_recorded_session_goes_as_it_went(path: Path) -> None:
    outcomes = replay(path.read_text().splitlines(), make("recorded"))
    wrong = {
        outcome.argv: outcome.difference
        for outcome in outcomes
        if outcome.verdict not in ("same", "skipped")
        and not (outcome.verdict == "not supported" and outcome.argv[0] in NOT_BUILT.get(path.stem, ()))
    }
    assert {argv: text for argv, text in wrong.items() if argv not in DIFFERENT.get(path.stem, set())} == {}


def test_a_difference_is_told() -> None:
    recorded = {"argv": ["uname", "-s"], "exit": 1, "stdout": "Plan 9\n", "stderr": ""}
    unknown = {"argv": ["uname", "--nosuch"], "exit": 0, "stdout": "", "stderr": ""}
    lines = [json.dumps(entry) for entry in ({"session": "x"}, recorded, unknown)]
    different, unsupported = replay(lines, make("bare"))
    assert different.verdict == "different"
    assert "exit: recorded 1, here 0" in different.difference
    assert "+FreeBSD" in different.difference
    assert unsupported.verdict == "not supported"


def test_what_differs_from_run_to_run_is_not_compared() -> None:
    assert normalise(("ifconfig",), "ether 58:9c:fc:00:00:01\n") == "ether MAC\n"
    assert normalise(("ifconfig",), "inet 10.0.1.2\n") == "inet 10.0.1.2\n"


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_survives_being_saved(profile: str) -> None:
    machine = make(profile)
    assert from_json(Machine, json.loads(json.dumps(to_json(machine)))) == machine


def test_a_profile_that_is_none() -> None:
    with pytest.raises(ValueError, match="ready, bare, recorded"):
        make("nosuch")


def test_the_document_says_what_the_code_does() -> None:
    document = Path(__file__).parents[3] / "docs" / "fake-host.md"
    assert document.read_text() == describe(), "python -m warden.host.fake.describe > docs/fake-host.md"
