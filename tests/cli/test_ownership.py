# SPDX-License-Identifier: BSD-2-Clause
"""What is given up, kept, pruned, taken over and swept up: by the words of the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from warden.cli import questions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ended

    Warden = Callable[..., Ended]

ATLAS = '[agents.atlas]\nsubnet = "10.0.1.0/24"\nservices = ["git"]\n'
VERA = '[agents.vera]\nsubnet = "10.0.2.0/24"\nservices = ["git"]\n'
CREATE = ("create", "-B", "-M", "-g", "172.31.5.1", "atlasgit", "15.1-RELEASE", "172.31.5.2/24", "mine0")


def write(folder: Path, *tables: str) -> None:
    (folder / "warden.toml").write_text("\n".join(tables))


def agents(warden: Warden) -> list[str]:
    return [one["name"] for one in warden("agent", "list", "--json").json["agents"]]


def on_host(warden: Warden, *argv: str) -> str:
    ended = warden("host", "run", "--", *argv)
    assert ended.status == 0, ended
    return ended.out


@pytest.fixture
def foreign(warden: Warden) -> Warden:
    """Give a host with a jail of somebody's that has the name of atlas's."""
    on_host(warden, "ifconfig", "bridge", "create", "name", "mine0")
    on_host(warden, "bastille", *CREATE)
    return warden


def test_what_stands_in_the_way_is_given_up_by_its_name_only(foreign: Warden, tmp_path: Path) -> None:
    write(tmp_path, ATLAS)
    refused = foreign("apply", "-y")
    assert refused.status == 4
    assert "--replace jail:atlasgit" in refused.err
    wrong = foreign("apply", "-y", "--replace", "jail:atlasdb")
    assert wrong.status == 4
    assert "what can be replaced there: jail:atlasgit" in wrong.err
    assert foreign("plan", "--replace", "nonsense").status == 4
    assert on_host(foreign, "jls", "name").split() == ["atlasgit"]
    shown = foreign("plan", "--replace", "jail:atlasgit")
    assert shown.status == 0, shown
    assert "- replaced jail atlasgit" in shown.out
    done = foreign("apply", "-y", "--replace", "jail:atlasgit")
    assert done.status == 0, done
    assert "nothing to do" in foreign("plan").out


def test_destroy_says_what_is_kept_and_how_to_lose_it(warden: Warden, tmp_path: Path) -> None:
    write(tmp_path, ATLAS)
    assert warden("apply", "-y").status == 0
    ended = warden("destroy", "atlas", "-y")
    assert ended.status == 0, ended
    assert ended.out.count("zfs destroy -r zroot/warden/kept/atlas-git-1") == 2, "in the plan, and when it is done"
    assert ended.out.count("zfs destroy -r zroot/warden/kept/atlas-data-1") == 2
    on_host(warden, "zfs", "destroy", "-r", "zroot/warden/kept/atlas-git-1")
    on_host(warden, "zfs", "destroy", "-r", "zroot/warden/kept/atlas-data-1")
    assert warden("apply", "-y").status == 0
    events = [json.loads(line) for line in warden("destroy", "atlas", "-y", "--purge", "--json").out.splitlines()]
    assert events[-1]["event"] == "report"
    assert "zroot/warden/kept/" not in on_host(warden, "zfs", "list", "-H", "-o", "name")


def test_what_the_spec_no_longer_names_goes_with_prune(warden: Warden, tmp_path: Path) -> None:
    write(tmp_path, ATLAS, VERA)
    assert warden("apply", "-y").status == 0
    write(tmp_path, VERA.replace("vera", "nova").replace("10.0.2", "10.0.1"))
    told = warden("plan", "--json")
    assert told.status == 4, "the subnet is not free as yet"
    write(tmp_path, VERA)
    assert "agent atlas is registered here, and not in warden.toml" in warden("plan").out
    assert warden("apply", "-y").status == 0
    assert agents(warden) == ["atlas", "vera"]
    write(tmp_path, VERA.replace("vera", "nova").replace("10.0.2", "10.0.1"))
    done = warden("apply", "-y", "--prune")
    assert done.status == 0, done
    assert agents(warden) == ["nova"]
    assert warden("apply", "-y", "--prune").status == 0


def test_prune_asks_for_every_name(warden: Warden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, ATLAS, VERA)
    assert warden("apply", "-y").status == 0
    write(tmp_path, VERA)
    assert warden("apply", "--prune").status == 2, "there is nobody to ask"
    assert agents(warden) == ["atlas", "vera"]
    monkeypatch.setattr(questions, "can_ask", lambda: True)
    monkeypatch.setattr("click.prompt", lambda *_args, **_kwargs: "vera")
    assert warden("apply", "--prune").status == 2
    assert agents(warden) == ["atlas", "vera"]
    monkeypatch.setattr("click.prompt", lambda *_args, **_kwargs: "atlas")
    assert warden("apply", "--prune").status == 0
    assert agents(warden) == ["vera"]


def test_what_is_protected_is_not_pruned(warden: Warden, tmp_path: Path) -> None:
    write(tmp_path, ATLAS + "protected = true\n", VERA)
    assert warden("apply", "-y").status == 0
    write(tmp_path, VERA)
    ended = warden("apply", "-y", "--prune")
    assert ended.status == 4
    assert "atlas on" in ended.err
    assert "protected = false" in ended.err
    assert agents(warden) == ["atlas", "vera"]


def test_prune_is_about_a_whole_warden_toml(warden: Warden, tmp_path: Path) -> None:
    write(tmp_path, ATLAS)
    assert warden("apply", "-y", "--prune", "--agent", "atlas").status == 2
    (tmp_path / ".env").write_text("AGENT_NAME=atlas\n")
    assert warden("apply", "-y", "--prune", "--env-file", ".env").status == 2


def test_a_replacement_is_about_one_host(warden: Warden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WARDEN_HOST")
    write(tmp_path, '[hosts.a]\naddress = "fake:a.json"\n[hosts.b]\naddress = "fake:b.json"\n', ATLAS + 'host = "a"\n')
    for verb in (("plan",), ("apply", "-y")):
        ended = warden(*verb, "--replace", "jail:atlasgit")
        assert ended.status == 2
        assert "on one host" in ended.err


def test_what_was_set_up_by_hand_is_adopted(warden: Warden, tmp_path: Path) -> None:
    write(tmp_path, ATLAS)
    assert warden("adopt", "atlas", "-y").status == 4, "there is nothing of it"
    assert warden("adopt", "nobody", "-y").status == 2
    on_host(warden, "ifconfig", "bridge", "create", "name", "warden0")
    on_host(warden, "ifconfig", "warden0", "inet", "10.0.1.1/24", "alias")
    create = ("create", "-B", "-M", "-g", "10.0.1.1", "atlasgit", "15.1-RELEASE", "10.0.1.2/24", "warden0")
    on_host(warden, "bastille", *create)
    assert warden("apply", "-y").status == 4
    assert warden("adopt", "atlas").status == 2, "there is nobody to ask"
    assert agents(warden) == []
    done = warden("adopt", "atlas", "-y")
    assert done.status == 0, done
    assert "marked: warden:agent=atlas" in done.out
    assert "then differs: + pf anchor warden" in done.out
    assert agents(warden) == ["atlas"]
    events = [json.loads(line) for line in warden("adopt", "atlas", "-y", "--json").out.splitlines()]
    assert events[-1]["ok"] is True
    assert warden("apply", "-y").status == 0
    assert "nothing to do" in warden("plan").out


def test_what_is_nobodys_is_swept_up(warden: Warden, tmp_path: Path) -> None:
    write(tmp_path, ATLAS)
    assert warden("apply", "-y").status == 0
    assert "nothing to do" in warden("gc", "-y").out
    on_host(warden, "rm", "/usr/local/etc/warden/agents/atlas.toml")
    assert warden("gc").status == 2, "there is nobody to ask"
    assert on_host(warden, "jls", "name").split() == ["atlasgit"]
    done = warden("gc", "-y")
    assert done.status == 0, done
    assert "zfs destroy -r zroot/warden/kept/atlas-atlasgit-1" in done.out
    assert on_host(warden, "jls", "name").split() == []
    assert warden("host", "run", "--", "ifconfig", "warden0").status == 1
