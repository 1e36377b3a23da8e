# SPDX-License-Identifier: BSD-2-Clause
"""Imports go down the house and never up: the contract holds here, and breaks where it should."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# The levels of the design, from the top; those on one level know nothing of each other.
LEVELS = [
    ["cli"],
    ["lifecycle"],
    ["engine", "forge", "supervisor", "lab"],
    ["services"],
    ["resources"],
    ["facts"],
    ["spec", "network"],
    ["host"],
]
LEVEL = {part: level for level, parts in enumerate(LEVELS) for part in parts}

UP = [(lower, upper) for lower in LEVEL for upper in LEVEL if LEVEL[lower] > LEVEL[upper]]
SIDEWAYS = [(one, other) for parts in LEVELS for one in parts for other in parts if one != other]
PURE = [("spec", "host"), ("network", "host")]
DOWN = [
    (upper, lower) for upper in LEVEL for lower in LEVEL if LEVEL[upper] < LEVEL[lower] and (upper, lower) not in PURE
]


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()", "--no-cache"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """Give the real contract over a house whose parts are all there, and empty."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for part in ("", *LEVEL):
        folder = tmp_path / "warden" / part
        folder.mkdir()
        (folder / "__init__.py").touch()
    return tmp_path


def plant(tree: Path, imports: list[tuple[str, str]]) -> None:
    for source, target in imports:
        (tree / "warden" / source / f"uses_{target}.py").write_text(f"from warden import {target}\n")


def test_the_real_tree_keeps_the_contract() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_forbidden_import_in_a_copy_of_the_real_tree_breaks_it(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "warden", tmp_path / "warden", ignore=shutil.ignore_patterns("__pycache__"))
    assert lint_imports(tmp_path).returncode == 0
    (tmp_path / "warden" / "host" / "planted.py").write_text("def late() -> None:\n    import warden.engine\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1
    assert "warden.host is not allowed to import warden.engine" in done.stdout
    assert "warden.host.planted -> warden.engine (l.2)" in done.stdout


def test_every_import_down_is_fine(house: Path) -> None:
    plant(house, DOWN)
    (house / "warden" / "__main__.py").write_text("from warden import cli\n")
    done = lint_imports(house)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_import_up_sideways_or_out_of_what_is_pure_is_named(house: Path) -> None:
    plant(house, [*UP, *SIDEWAYS, *PURE])
    done = lint_imports(house)
    assert done.returncode == 1
    missed = [
        (source, target)
        for source, target in (*UP, *SIDEWAYS, *PURE)
        if f"warden.{source} is not allowed to import warden.{target}" not in done.stdout
    ]
    assert missed == []


@pytest.mark.parametrize("source", ["cli", "host", "spec"])
def test_nothing_imports_the_entry_point(house: Path, source: str) -> None:
    (house / "warden" / "__main__.py").touch()
    plant(house, [(source, "__main__")])
    assert lint_imports(house).returncode == 1


@pytest.mark.parametrize("planted", ["helpers.py", "utils/__init__.py"])
def test_a_part_that_the_design_does_not_know_is_refused(house: Path, planted: str) -> None:
    path = house / "warden" / planted
    path.parent.mkdir(exist_ok=True)
    path.touch()
    done = lint_imports(house)
    assert done.returncode == 1
    assert "not listed as layers" in done.stdout
