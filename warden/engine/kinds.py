# SPDX-License-Identifier: BSD-2-Clause
"""Every kind of thing on a host that Warden knows, in the order in which they are carried out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.resources import (
    bridge,
    devfs,
    forwarding,
    gateway,
    hosts,
    jail,
    keys,
    last_agent,
    limits,
    pf,
    registry,
    service,
    storage,
    user,
    worker,
)
from warden.services import host_setup, setup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from warden.facts.model import Facts
    from warden.resources.change import Finding
    from warden.resources.desired import Desired

    Kind = Callable[[Desired, Facts], Iterator[Finding]]

KINDS: tuple[Kind, ...] = (
    registry.changes,  # what is taken is said before anything is built on it
    user.changes,
    devfs.changes,
    forwarding.changes,
    bridge.changes,
    gateway.changes,
    pf.changes,
    hosts.changes,
    limits.user_changes,
    storage.roots,
    host_setup.changes,  # for all agents that share it, before any of them has its databases there
    service.departures,
    host_setup.departures,
    storage.changes,
    worker.departures,  # they have the agent's workspace mounted
    jail.changes,
    limits.changes,
    storage.departures,
    keys.changes,
    keys.departures,
    service.environments,  # what is set up for an agent reads its secrets there
    setup.changes,
    host_setup.databases,
    service.changes,
    registry.departures,  # what stands in the registry is found again after a cut-off: so its end comes last
    last_agent.changes,
)
"""A new kind of thing is registered by one line here."""
