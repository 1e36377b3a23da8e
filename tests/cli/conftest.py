"""Running `warden` as an operator does, in a folder of its own, on a fake host in a file there."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from warden.cli import terminal
from warden.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ended:
    """How a command line ended: exit status, standard output and standard error."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Warden = "Callable[..., Ended]"


@pytest.fixture
def warden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Give a function that runs a command line in `folder` (tmp_path), against tmp_path/host.json unless told else."""
    monkeypatch.setenv("WARDEN_HOST", f"fake:{tmp_path}/host.json")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    for name in ("WARDEN_FILE", "WARDEN_ENV_FILE", "WARDEN_DEBUG", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)

    def run(*args: str, folder: Path = tmp_path) -> Ended:
        monkeypatch.chdir(folder)
        terminal.out.cache_clear()
        terminal.err.cache_clear()
        capsys.readouterr()
        status = main([*args])
        shown = capsys.readouterr()
        return Ended(status, shown.out, shown.err)

    return run


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """Give a copy of the examples, so that nothing is written into the checkout."""
    return Path(shutil.copytree(ROOT / "examples", tmp_path / "examples"))
