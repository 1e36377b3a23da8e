# SPDX-License-Identifier: BSD-2-Clause
"""Hosts behind a real sshd; see tests/ssh/rig/rig.py for what can be done with one."""

from __future__ import annotations

import os
from contextlib import ExitStack
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from tests.ssh.rig.rig import Rig
from tests.ssh.rig.tools import RigUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CI = os.environ.get("CI", "").lower() == "true"


@pytest.fixture
def make_rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    """Give a function that starts a rig, with the options of `Rig`; all are ended with the test.

    Where the machine cannot have one the test is skipped, and with CI=true it fails.
    """
    numbers = count()

    def make(**options: Any) -> Rig:
        try:
            return ending.enter_context(Rig(tmp_path / f"host{next(numbers)}", **options))
        except RigUnavailableError as reason:
            if CI:
                pytest.fail(f"no rig, and with CI=true no check may be left out: {reason}", pytrace=False)
            pytest.skip(f"no rig: {reason}")

    with ExitStack() as ending:
        yield make


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """Give a host that Warden can be used on."""
    return make_rig()


@pytest.fixture
def reach(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Give what makes a rig the host `alpha` of an operator without an agent."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)

    def become_operator_of(rig: Rig, *, through_link: bool = False) -> None:
        folder = tmp_path / "operator" / ".ssh"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config").write_text(rig.ssh_config_text("alpha", through_link=through_link))
        monkeypatch.setenv("HOME", str(folder.parent))

    return become_operator_of
