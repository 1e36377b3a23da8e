# SPDX-License-Identifier: BSD-2-Clause
"""`--confirm`: new rules of pf last only if somebody at the terminal says so in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.test_many_hosts import AtTerminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ended

TOML = """\
[hosts.alpha]
address = "fake:alpha.json"

[agents.atlas]
subnet = "10.0.1.0/24"
services = []
"""
QUESTION = "Are you still there"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "warden.toml").write_text(TOML)
    return tmp_path


def test_yes_makes_the_rules_last(folder: Path) -> None:
    with AtTerminal(folder, "apply", "-y", "--confirm") as warden:
        warden.wait_for(QUESTION)
        warden.type("y\n")
        assert warden.end() == 0, warden.seen
    with AtTerminal(folder, "plan", "--exit-code") as warden:
        assert warden.end() == 0


def test_anything_else_takes_them_back(folder: Path) -> None:
    with AtTerminal(folder, "apply", "-y", "--confirm") as warden:
        warden.wait_for(QUESTION)
        warden.type("what?\n")
        assert warden.end() == 1
        assert "nobody confirmed the new rules, and the old ones are back" in warden.seen
    with AtTerminal(folder, "host", "run", "--", "pfctl", "-sr") as warden:
        assert warden.end() == 0
        assert 'anchor "warden"' not in warden.seen


def test_silence_is_no_answer(folder: Path) -> None:
    with AtTerminal(folder, "apply", "-y", "--confirm", patience=12) as warden:
        warden.wait_for(QUESTION)
        assert warden.end() == 1
        assert "nobody confirmed" in warden.seen


def test_where_nobody_can_be_asked_nothing_is_begun(warden: Callable[..., Ended], folder: Path) -> None:
    ended = warden("apply", "-y", "--confirm")
    assert ended.status == 2
    assert "there is no terminal to ask at" in ended.err
    assert not (folder / "alpha.json").exists()
