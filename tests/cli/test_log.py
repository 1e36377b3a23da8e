# SPDX-License-Identifier: BSD-2-Clause
"""`warden log`: who did what, the newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from warden.cli.selection import holder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ended

    Warden = Callable[..., Ended]

SPEC = '[agents.atlas]\nservices = ["git"]\n[agents.vera]\nservices = []\n'


def test_what_was_done_is_shown_newest_first(warden: Warden, tmp_path: Path) -> None:
    (tmp_path / "warden.toml").write_text(SPEC)
    assert "nothing was written down" in warden("log").out
    assert warden("apply", "-y", "--agent", "vera").status == 0
    failing = f"fake:{tmp_path}/host.json?fail-match=bastille+create"
    assert warden("apply", "-y", "--host", failing).status == 1
    assert warden("apply", "-y").status == 0
    assert warden("destroy", "-y", "atlas").status == 0
    shown = warden("log")
    assert (shown.status, shown.err) == (0, "")
    who, _, machine = holder("").who.rpartition("@")
    lines = [line for line in shown.out.splitlines() if f"{who} from {machine}" in line]
    assert [line.split(f"{machine}  ")[1].split("  ")[0] for line in lines] == [
        "destroying atlas",
        *["applying warden.toml"] * 3,
    ]
    assert "jail:atlasgit: failed, exit 1 from: " in shown.out
    value = warden("log", "--json").json
    assert (value["version"], len(value["entries"])) == (1, 4)
    assert [entry["number"] for entry in value["entries"]] == [100004, 100003, 100002, 100001]
    assert {change["outcome"] for change in value["entries"][0]["changes"]} == {"done"}
    few = warden("log", "-n", "1")
    assert "destroying atlas" in few.out
    assert "applying" not in few.out


@pytest.mark.parametrize("words", [("-n", "0"), ("-n", "x"), ("--host", "nowhere"), ("extra",)])
def test_what_cannot_be_asked(warden: Warden, words: tuple[str, ...]) -> None:
    ended = warden("log", *words)
    assert ended.status == 2
    assert "error: " in ended.err


def test_several_hosts(warden: Warden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WARDEN_HOST")
    (tmp_path / "warden.toml").write_text(
        '[hosts.alpha]\naddress = "fake:alpha.json"\n[hosts.beta]\naddress = "fake:beta.json"\n'
        '[agents.one]\nhost = "alpha"\n[agents.two]\nhost = "beta"\n'
    )
    assert warden("apply", "-y", "--host", "alpha").status == 0
    shown = warden("log").out
    assert shown.index("alpha") < shown.index("applying") < shown.index("beta") < shown.index("nothing was written")


def test_a_journal_that_cannot_be_read_is_no_empty_one(warden: Warden, tmp_path: Path) -> None:
    (tmp_path / "warden.toml").write_text(SPEC)
    warden("apply", "-y", "--agent", "vera")
    warden("host", "run", "--", "/bin/sh", "-c", "echo mine > /var/db/warden/journal/100002.json")
    ended = warden("log")
    assert ended.status == 1
    assert "100002.json: an entry that is not understood" in ended.err
