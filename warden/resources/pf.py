# SPDX-License-Identifier: BSD-2-Clause
"""The pf anchor of the agents: its tables, its rules, the service that loads them, and the operator's hook lines."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from warden.facts.probe import ANCHOR, TABLES
from warden.host.files import write_file
from warden.resources.change import Change, Conflict, Guard, Stage
from warden.resources.commands import WARDEN, command, sysrc_set
from warden.resources.pf_conf import FILTER_HOOK, NAT_HOOK, has_line, loads_anchor, skips, with_hooks
from warden.resources.templates import render

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from ipaddress import IPv4Address, IPv4Network

    from warden.facts.model import Facts
    from warden.host.command import Command
    from warden.resources.change import Finding
    from warden.resources.desired import Desired

PF_CONF = "/etc/pf.conf"
RULES = f"{WARDEN}/pf.conf"
CLOSED = f"{WARDEN}/pf.closed"
SUBNETS = f"{WARDEN}/subnets"
GATEWAYS = f"{WARDEN}/gateways"
SERVICE = "/usr/local/etc/rc.d/warden_pf"
SCRIPT_MODE = 0o555

# what is loaded to be tried lies where a boot clears it away: cleanvar_enable, rc.conf(5)
_CANDIDATE = "/var/run/warden.pf.candidate"
_PF_CONF_CANDIDATE = "/var/run/warden.pf.conf.candidate"
_LIVE = ("/var/run/warden.pf.nat", "/var/run/warden.pf.rules")
_KEEP_LIVE = 'umask 077; /sbin/pfctl -sn > "$1" && /sbin/pfctl -sr > "$2"'
# without options, which -sn and -sr do not show: those that are set stay as they are
_BRING_BACK = f'/sbin/pfctl -N -f "$1" && /sbin/pfctl -R -f "$2" || /sbin/pfctl -f {PF_CONF}'
PFCTL = "/sbin/pfctl"


def changes(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the changes to pf: the table's files before the rules that name them, the rules before the hooks."""
    if not desired.inhabited:
        return
    conflict = _conflict(desired, facts)
    if conflict is not None:
        yield conflict
        return
    yield from _tables(desired, facts)
    yield from _rules(desired, facts)
    yield from _service(desired, facts)
    yield from _hooks(facts)


def _conflict(desired: Desired, facts: Facts) -> Conflict | None:
    boot_file = facts.rc_conf.get("pf_rules", PF_CONF)
    if boot_file != PF_CONF or PF_CONF not in facts.files:
        return Conflict(
            kind="pf",
            name=boot_file,
            message=f"pf's rules at boot come from {boot_file}, and {PF_CONF} is not them",
            hint=f"keep the rules in {PF_CONF}: Warden hooks its anchor in there",
        )
    text = facts.files[PF_CONF].text
    if skips(text, desired.bridge):
        return Conflict(
            kind="pf",
            name=PF_CONF,
            message=f"{PF_CONF} has `set skip on` for {desired.bridge}: no rule would hold there, NAT included",
            hint=f"take {desired.bridge} out of that line",
        )
    if loads_anchor(text):
        return Conflict(
            kind="pf",
            name=PF_CONF,
            message=f'{PF_CONF} has `load anchor "{ANCHOR}"`: a broken file of agents would leave pf without any rule',
            hint="take that line out; the service warden_pf loads the anchor",
        )
    foreign = facts.pf.anchor_filter + facts.pf.anchor_nat
    if foreign and not facts.registry and not _label_in(facts):
        return Conflict(
            kind="pf",
            name=ANCHOR,
            message=f'the anchor "{ANCHOR}" holds rules that Warden did not write',
            hint=f"see them with: pfctl -a {ANCHOR} -sr; if nobody needs them: pfctl -a {ANCHOR} -F rules -F nat",
        )
    return None


def _tables(desired: Desired, facts: Facts) -> Iterator[Finding]:
    wanted: tuple[tuple[str, str, Sequence[IPv4Network | IPv4Address]], ...] = (
        ("warden_net", SUBNETS, desired.subnets),
        ("warden_gateways", GATEWAYS, desired.gateways),
    )
    commands: list[Command] = []
    for table, path, entries in wanted:
        content = "".join(f"{entry}\n" for entry in entries)
        there = facts.files.get(path)
        if there is None or there.text != content:
            commands.append(write_file(path, content.encode()))
        live = facts.pf.tables.get(table)
        if live is not None and {str(entry).removesuffix("/32") for entry in live} != {str(e) for e in entries}:
            commands.append(command(PFCTL, "-a", ANCHOR, "-t", table, "-T", "replace", "-f", path))
    gone = set(facts.pf.tables.get("warden_net", ())) - set(desired.subnets)
    # once they are out of the table nothing tells whether their states are gone as well: so each time again
    gone |= {agent.subnet for agent in desired.leaving.values()}
    for subnet in sorted(gone):
        commands += kill_states(subnet)
    if not commands:
        return
    leaving = next(iter(desired.leaving), None)
    yield Change(
        kind="pf table",
        name="warden_net",
        agent=leaving,
        action="~" if "warden_net" in facts.pf.tables else "+",
        stage=Stage.LAST if leaving else Stage.FIRST,
        detail=_difference(facts.pf.tables.get("warden_net", ()), desired.subnets),
        reason="no rule is reloaded",
        commands=tuple(commands),
    )


def kill_states(subnet: IPv4Network) -> tuple[Command, Command]:
    """Give the commands for what leaves a table: its states stay, and would go on being let through and translated."""
    return command(PFCTL, "-k", str(subnet)), command(PFCTL, "-k", "0.0.0.0/0", "-k", str(subnet))


def hooked(facts: Facts) -> tuple[bool, bool]:
    """Tell whether the main ruleset that is loaded calls the anchor for translation, and for filtering."""
    return f"{NAT_HOOK} all" in facts.pf.nat_rules, f"{FILTER_HOOK} all" in facts.pf.filter_rules


def _difference(live: Sequence[IPv4Network], wanted: Sequence[IPv4Network]) -> str:
    words = [f"+ {subnet}" for subnet in wanted if subnet not in live]
    words += [f"- {subnet}" for subnet in live if subnet not in wanted]
    return ", ".join(words) or f"{len(wanted)} subnets"


def _rules(desired: Desired, facts: Facts) -> Iterator[Finding]:
    rules, label = anchor_rules(desired)
    closed = render("pf/closed.conf", anchor=ANCHOR, bridge=desired.bridge)
    there = facts.files.get(RULES)
    fallback = facts.files.get(CLOSED)
    loaded = any(f'label "{label}"' in rule for rule in facts.pf.anchor_filter) and bool(facts.pf.anchor_nat)
    # a table can be flushed away under the rules that name it, and loading them brings it back from its file
    loaded = loaded and all(table in facts.pf.tables for table in TABLES)
    if there and there.text == rules and fallback and fallback.text == closed and loaded:
        return
    commands = [write_file(CLOSED, closed.encode())]
    differs = there is None or there.text != rules
    source = _CANDIDATE if differs else RULES
    if differs:
        commands.append(write_file(_CANDIDATE, rules.encode(), check=(PFCTL, "-a", ANCHOR, "-nf")))
    commands.append(command(PFCTL, "-a", ANCHOR, "-f", source))
    guard = Guard(
        settle=(write_file(RULES, rules.encode()),) if differs else (),
        rollback=(command(PFCTL, "-a", ANCHOR, "-f", RULES),) if there and differs else _flush(),
    )
    leaving = next(iter(desired.leaving), None)
    yield Change(
        kind="pf anchor",
        name=ANCHOR,
        agent=leaving,
        action="~" if there else "+",
        stage=Stage.LAST if leaving else Stage.FIRST,
        detail=f"{RULES}, isolation {desired.isolation}, out by {desired.external_interface}",
        reason="" if there is None else "its rules changed" if differs else "its rules are not loaded",
        commands=tuple(commands),
        guard=guard,
    )


def _flush() -> tuple[Command, ...]:
    return tuple(command(PFCTL, "-a", ANCHOR, "-F", what) for what in ("rules", "nat"))


def anchor_rules(desired: Desired) -> tuple[str, str]:
    """Give the rules of the anchor, and the label that tells from the live rules which file they came from."""
    values = {
        "anchor": ANCHOR,
        "bridge": desired.bridge,
        "external_interface": desired.external_interface,
        "isolation": desired.isolation,
        "subnets": SUBNETS,
        "gateways": GATEWAYS,
        "shares": _shares(desired),
    }
    digest = hashlib.sha256(render("pf/anchor.conf", label="", **values).encode()).hexdigest()
    label = f"warden {digest[:12]}"
    return render("pf/anchor.conf", label=label, **values), label


def _shares(desired: Desired) -> list[dict[str, object]]:
    """Give who may use whose local model, by the order of the sharers' subnets."""
    everyone = desired.everyone
    shares: list[dict[str, object]] = []
    for agent in sorted(everyone.values(), key=lambda agent: agent.subnet):
        owner = everyone.get(agent.shares_llm_of) if agent.shares_llm_of else None
        if owner is None:
            continue
        shares += [
            {
                "sharer": agent.name,
                "subnet": agent.subnet,
                "owner": owner.name,
                "address": jail.address,
                "port": jail.port,
            }
            for jail in owner.jails.values()
            if jail.port is not None
        ]
    return shares


def _service(desired: Desired, facts: Facts) -> Iterator[Finding]:
    script = render("rc.d/warden_pf", anchor=ANCHOR, rules=RULES, closed=CLOSED)
    there = facts.files.get(SERVICE)
    commands: list[Command] = []
    if there is None or there.text != script or there.mode != SCRIPT_MODE:
        commands.append(write_file(SERVICE, script.encode(), mode="0555"))
    if facts.rc_conf.get("warden_pf_enable", "NO").upper() != "YES":
        commands.append(sysrc_set({"warden_pf_enable": "YES"}))
    if commands and desired.inhabited:
        yield Change(
            kind="service",
            name="warden_pf",
            action="~" if there else "+",
            stage=Stage.FIRST,
            detail=SERVICE,
            reason="loads the anchor at boot, after pf and before the jails",
            commands=tuple(commands),
        )


def _hooks(facts: Facts) -> Iterator[Finding]:
    text = facts.files[PF_CONF].text
    wanted = with_hooks(text)
    if text == wanted and all(hooked(facts)):
        return
    yield Change(
        kind="pf hook",
        name=PF_CONF,
        action="~",
        stage=Stage.FIRST,
        detail=" and ".join(hook for hook in (NAT_HOOK, FILTER_HOOK) if not has_line(text, hook)) or "as it is",
        reason="the operator's rules stay as they are" if text != wanted else "the file has the hooks, pf has not",
        commands=load_pf_conf(facts, wanted),
        guard=Guard(settle=settle_pf_conf(facts, wanted), rollback=(bring_pf_back(),)),
    )


def load_pf_conf(facts: Facts, wanted: str) -> tuple[Command, ...]:
    """Give the commands that load a new text in the place of pf.conf, checked before; the file stays as it is.

    What is loaded so far is kept beside: the file may say something else, and it was never tried.
    """
    keep = command("/bin/sh", "-c", _KEEP_LIVE, "sh", *_LIVE)
    old = facts.files[PF_CONF]
    if old.text == wanted:
        return keep, command(PFCTL, "-f", PF_CONF)
    candidate = write_file(_PF_CONF_CANDIDATE, _bytes(wanted), check=(PFCTL, "-nf"))
    return keep, candidate, command(PFCTL, "-f", _PF_CONF_CANDIDATE)


def settle_pf_conf(facts: Facts, wanted: str) -> tuple[Command, ...]:
    """Give the command that puts the new text in the place of pf.conf; none where it is there already."""
    old = facts.files[PF_CONF]
    if old.text == wanted:
        return ()
    return (write_file(PF_CONF, _bytes(wanted), mode=f"{old.mode:04o}", owner=f"{old.owner}:{old.group}"),)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def bring_pf_back() -> Command:
    """Give the command that loads the rules again that `load_pf_conf` kept."""
    return command("/bin/sh", "-c", _BRING_BACK, "sh", *_LIVE)


def _label_in(facts: Facts) -> bool:
    return any('label "warden ' in rule for rule in facts.pf.anchor_filter)
