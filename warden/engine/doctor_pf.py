# SPDX-License-Identifier: BSD-2-Clause
"""pf: enabled, and Warden's anchor as the registry's agents need it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.engine.doctor_finding import APPLY, Trouble, by_hand, findings
from warden.engine.doctor_host import is_on
from warden.facts.probe import ANCHOR
from warden.resources import pf
from warden.resources.change import Change, Conflict
from warden.resources.desired import Desired
from warden.resources.errors import RefusedError
from warden.resources.fitness import external_interface
from warden.resources.pf_conf import FILTER_HOOK, NAT_HOOK, has_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.engine.doctor_finding import Finding
    from warden.facts.model import Facts
    from warden.spec.model import NetworkSpec


def check_pf(facts: Facts, network: NetworkSpec) -> Iterator[Finding]:
    """Look at pf itself, and at the anchor where there are agents."""
    yield from findings("pf", "enabled, now and at boot", _enabled(facts))
    if facts.registry and facts.pf.enabled is not None:
        fine = f"hooked, loaded by warden_pf at boot, {_subnets(len(facts.registry))} in its tables"
        yield from findings(f"pf anchor {ANCHOR}", fine, _anchor(facts, network))


def _subnets(number: int) -> str:
    return "1 subnet" if number == 1 else f"{number} subnets"


def _enabled(facts: Facts) -> Iterator[Trouble]:
    if not facts.pf.enabled:
        what = "off" if facts.pf.enabled is False else "not there, /dev/pf is missing"
        yield Trouble(message=f"{what}: no NAT, and nothing keeps agents from each other", mend="service pf onestart")
    if not is_on(facts, "pf_enable"):
        yield Trouble(message="not enabled at boot", mend="sysrc pf_enable=YES")


def _anchor(facts: Facts, network: NetworkSpec) -> Iterator[Trouble]:
    """Give what a plan for the agents that are registered would change of pf: that is how it should be."""
    try:
        external = external_interface(network.external_interface, facts, network.bridge)
    except RefusedError as error:
        yield Trouble(message=str(error), mend=error.hint)
        return
    isolation = network.isolation or ("open" if facts.host_record.isolation == "open" else "routed")
    registered = Desired(
        bridge=network.bridge,
        external_interface=external,
        isolation=isolation,
        domain=network.domain,
        agents={},
        others=facts.registry,
    )
    for finding in pf.changes(registered, facts):
        if isinstance(finding, Conflict):
            yield Trouble(message=finding.message, mend=finding.hint)
        elif isinstance(finding, Change):
            yield Trouble(message=_words(finding, registered, facts), mend=_mend(finding))


def _mend(change: Change) -> str:
    # rules that are loaded by hand are loaded without the guard
    return APPLY if change.guard is not None else by_hand(change.commands)


def _words(change: Change, registered: Desired, facts: Facts) -> str:
    if change.kind == "pf table":
        lost = [path for path in (pf.SUBNETS, pf.GATEWAYS) if path not in facts.files]
        return f"{' and '.join(lost)} missing" if lost else "its tables are not the agents' subnets and gateways"
    if change.kind == "service":
        there = pf.SERVICE in facts.files
        return "is not loaded at boot: warden_pf is " + ("not enabled, or changed by hand" if there else "missing")
    if change.kind == "pf hook":
        hooks = has_line(facts.files[pf.PF_CONF].text, NAT_HOOK) and has_line(facts.files[pf.PF_CONF].text, FILTER_HOOK)
        return f"is not hooked into {'the rules that are loaded' if hooks else pf.PF_CONF}"
    lost = [path for path in (pf.RULES, pf.CLOSED) if path not in facts.files]
    if lost:
        return f"{' and '.join(lost)} missing"
    if facts.files[pf.RULES].text != pf.anchor_rules(registered)[0]:
        return f"{pf.RULES} is not as Warden writes it"
    return "its rules or tables are not loaded"
