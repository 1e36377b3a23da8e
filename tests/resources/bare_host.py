# SPDX-License-Identifier: BSD-2-Clause
"""A bare host to bootstrap, and what has to come of it."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from tests.engine.conftest import HOLDER, RecordingHost, World, what_matters
from warden.engine.apply import carry_out
from warden.engine.bootstrap import make_base_plan
from warden.facts.base_system import read_base_system
from warden.host.fake.faults import Faults
from warden.host.fake.profiles import make

if TYPE_CHECKING:
    from collections.abc import Sequence

    from warden.engine.plan import Plan
    from warden.engine.report import Report

RELEASE = "/usr/local/bastille/releases/15.1-RELEASE"


@dataclass
class BareHost(World):
    """One machine, and the bootstrap of it."""

    machine: Any
    pool: str | None = None
    releases: Sequence[str] = ()
    batches: int = field(default=0, init=False)

    def copy(self) -> BareHost:
        return BareHost(pickle.loads(pickle.dumps(self.machine)))  # noqa: S301 - made a moment ago

    def make(self, seen: Any) -> Plan:
        return make_base_plan(seen, pool=self.pool, releases=self.releases)

    def base_plan(self) -> Plan:
        return self.make(read_base_system(RecordingHost(self.machine)))

    def bootstrap(self, faults: Faults | None = None, *, kill_at: int = 0) -> Report:
        host = RecordingHost(self.machine, faults, kill_at=kill_at)
        try:
            return carry_out(host, read_base_system, self.make, HOLDER)
        finally:
            self.batches = host.batches
            assert self.machine.locks == []

    def text(self, path: str) -> str:
        return str(self.machine.files.text(path))

    def write(self, path: str, text: str) -> None:
        self.machine.files.make_dir(path.rpartition("/")[0], parents=True)
        self.machine.files.write(path, text.encode())

    def changes(self) -> list[str]:
        return [change.id for change in self.base_plan().changes]

    def conflicts(self) -> list[str]:
        return [conflict.message for conflict in self.base_plan().conflicts]


@cache
def _pickled(profile: str) -> bytes:
    return pickle.dumps(make(profile))


def new(profile: str = "bare", *, pool: str | None = None, releases: Sequence[str] = ()) -> BareHost:
    return BareHost(pickle.loads(_pickled(profile)), pool, releases)  # noqa: S301 - made a moment ago


def all_that_counts(base: BareHost) -> dict[str, Any]:
    """Give what has to be the same, however a bootstrap came to its end."""
    machine = base.machine
    return {
        **what_matters(machine),
        "modules": sorted(machine.modules),
        "packages": sorted(machine.packages),
        "datasets": {name: (one.properties, one.used) for name, one in machine.datasets.items()},
        "loader.conf": base.text("/boot/loader.conf"),
        "release": sorted(path for path, _ in machine.files.walk(RELEASE)),
        "pf enabled": machine.pf.enabled,
    }


@cache
def goal() -> dict[str, Any]:
    base = new()
    assert base.bootstrap().ok
    return all_that_counts(base)


@cache
def length() -> int:
    """Give how many commands of a bootstrap change something."""
    faults = Faults()
    assert new().bootstrap(faults).ok
    return faults.counted
