# SPDX-License-Identifier: BSD-2-Clause
"""Every kind of thing on a host that Warden knows, in the order in which they are carried out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.resources import bridge, devfs, forwarding, gateway, jail, last_agent, pf, registry, service, user

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
    service.departures,
    jail.changes,
    service.changes,
    registry.departures,  # what stands in the registry is found again after a cut-off: so its end comes last
    last_agent.changes,
)
"""A new kind of thing is registered by one line here."""
