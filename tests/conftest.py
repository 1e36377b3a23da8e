# SPDX-License-Identifier: BSD-2-Clause
"""What every test shares: how hard properties are tried, what is left to a long run, and tools that may be missing."""

from __future__ import annotations

import os
import random
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Callable

EXHAUSTIVE = os.environ.get("WARDEN_EXHAUSTIVE", "") not in {"", "0"}
CI = os.environ.get("CI", "").lower() == "true"
PROFILE = "exhaustive" if EXHAUSTIVE else "sample"

# No deadline: how long an example takes says more about the machine and its other workers than about the code.
settings.register_profile("sample", max_examples=30, deadline=None, print_blob=True)
settings.register_profile(
    "exhaustive", max_examples=1000, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Load the profile and choose a seed, before Hypothesis' own plug-in reads either."""
    if config.getoption("hypothesis_profile", None) is None:
        settings.load_profile(PROFILE)
    if hasattr(config, "workerinput"):
        config.option.hypothesis_seed = config.workerinput["hypothesis_seed"]
    elif config.getoption("hypothesis_seed", None) is None:
        # New examples with each run, and a number that brings a failing run back on any machine.
        config.option.hypothesis_seed = str(random.SystemRandom().randrange(2**32))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Hand the seed to a worker: xdist passes on the command line as it was typed, and nothing set since."""
    node.workerinput["hypothesis_seed"] = node.config.option.hypothesis_seed


def pytest_report_header(config: pytest.Config) -> str:
    """Say how this run can be repeated."""
    again = "WARDEN_EXHAUSTIVE=1 " if EXHAUSTIVE else ""
    return f"properties: {PROFILE}, repeat with {again}pytest --hypothesis-seed={config.getoption('hypothesis_seed')}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the long runs to `just test-exhaustive`."""
    if EXHAUSTIVE:
        return
    for item in items:
        if item.get_closest_marker("exhaustive"):
            item.add_marker(pytest.mark.skip(reason="long: run by `just test-exhaustive`"))


def find_tool(name: str) -> str | None:
    """Give the path of a program: beside this Python, where nobody needs to activate the environment, or in PATH.

    Servers lie in folders that are in root's PATH only.
    """
    here = str(Path(sys.executable).parent)
    return shutil.which(name, path=f"{here}:{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@pytest.fixture(scope="session")
def require_tool() -> Callable[[str], str]:
    """Give a function that finds a program; where there is none the test is skipped, and with CI=true it fails."""

    def require(name: str) -> str:
        found = find_tool(name)
        if found is not None:
            return found
        if CI:
            pytest.fail(f"{name} is not installed, and with CI=true no check may be left out", pytrace=False)
        pytest.skip(f"{name} is not installed")

    return require
