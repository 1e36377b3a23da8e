# SPDX-License-Identifier: BSD-2-Clause
"""What README.md tells a newcomer to type is what the checks run, word for word."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CI = ROOT / ".ci" / "run"

IN_README = [line.strip() for line in README.splitlines() if line.strip().startswith("python3 -m venv ")]
IN_CI = re.findall(r'^run "(.*)"$', CI.read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_the_readme_has_one_command_to_try_warden_and_one_to_test_it() -> None:
    assert [command.rpartition(" && ")[2] for command in IN_README] == [".venv/bin/warden demo", ".venv/bin/just test"]


@pytest.mark.parametrize("command", IN_README)
def test_ci_runs_the_command_as_the_readme_prints_it(command: str) -> None:
    assert command in IN_CI


def test_ci_runs_the_lint_too() -> None:
    assert ".venv/bin/just lint" in IN_CI


def test_ci_can_be_started() -> None:
    assert os.access(CI, os.X_OK)


def test_every_file_that_the_documents_link_to_is_there() -> None:
    for document in (ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")):
        prose = re.sub(r"`[^`\n]*`", "", document.read_text(encoding="utf-8"))  # what stands in code is no link
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", prose):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_every_dependency_is_explained() -> None:
    explained = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [name for group in project["optional-dependencies"].values() for name in group]
    names = {re.split(r"[^A-Za-z0-9._-]", requirement)[0] for requirement in (*project["dependencies"], *extras)}
    assert {name for name in names if f"| {name} |" not in explained} == set()
