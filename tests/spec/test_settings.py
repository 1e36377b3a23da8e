# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

import os
from pathlib import Path

import pytest

from warden.spec.errors import SpecError
from warden.spec.settings import read_settings


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("WARDEN_")]:
        monkeypatch.delenv(name)


def test_nothing_is_set() -> None:
    settings = read_settings()
    assert (settings.host, settings.file, settings.env_file) == (None, None, None)
    assert (settings.no_color, settings.debug) == (False, False)


def test_each_variable_stands_for_its_option(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "WARDEN_HOST": "ssh://root@alpha",
        "WARDEN_FILE": "/srv/warden.toml",
        "WARDEN_ENV_FILE": "/srv/.env",
        "WARDEN_NO_COLOR": "1",
        "WARDEN_DEBUG": "true",
    }.items():
        monkeypatch.setenv(name, value)
    settings = read_settings()
    assert settings.host == "ssh://root@alpha"
    assert (settings.file, settings.env_file) == (Path("/srv/warden.toml"), Path("/srv/.env"))
    assert (settings.no_color, settings.debug) == (True, True)


def test_variables_of_a_sourced_env_file_are_no_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDEN_GATEWAY", "10.0.1.1")
    monkeypatch.setenv("WARDEN_HOST", "")
    assert read_settings().host is None


def test_what_is_neither_yes_nor_no_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDEN_DEBUG", "banana")
    with pytest.raises(SpecError) as caught:
        read_settings()
    assert str(caught.value) == "WARDEN_DEBUG is neither yes nor no"
    assert caught.value.problems[0].hint == "write 1 or 0"
