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
from warden.spec.model import LLM_SERVICES

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
_LIVE = tuple(f"/var/run/warden.pf.{what}" for what in ("nat", "rules", "table"))
# of many rules alike pfctl makes one with a table (its optimizer, -o), under a name that each load makes anew
_KEEP_LIVE = """\
umask 077; rm -f "$3".*; /sbin/pfctl -sn > "$1" && /sbin/pfctl -sr > "$2" || exit 1
/sbin/pfctl -sT | while read -r t; do case "$t" in __automatic_*) /sbin/pfctl -t "$t" -T show > "$3.$t";; esac; done
"""
# without options, which -sn and -sr do not show: those that are set stay as they are
_BRING_BACK = f"""\
for f in "$3".*; do [ ! -e "$f" ] || /sbin/pfctl -t "${{f##*.}}" -T replace -f "$f"; done
/sbin/pfctl -N -f "$1" && /sbin/pfctl -R -f "$2" || /sbin/pfctl -f {PF_CONF}
"""
PFCTL = "/sbin/pfctl"


def changes(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the changes to pf: the table's files before the rules that name them, the rules before the hooks."""
    if not desired.inhabited:
        return
    conflict = _conflict(desired, facts)
    if conflict is not None and conflict.id not in desired.replace:
        yield conflict
        return
    if conflict is not None:
        yield _give_up(facts)
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
            kind="anchor",
            name=ANCHOR,
            message=f'the anchor "{ANCHOR}" holds rules that Warden did not write',
            hint=f"see them with: pfctl -a {ANCHOR} -sr; to give them up: apply --replace anchor:{ANCHOR}",
            replaceable=True,
        )
    return None


def _give_up(facts: Facts) -> Change:
    lost = (*facts.pf.anchor_nat, *facts.pf.anchor_filter)
    return Change(
        kind="replaced anchor",
        name=ANCHOR,
        action="-",
        stage=Stage.FIRST,
        detail="; ".join(lost),
        reason="given up by --replace",
        commands=_flush(),
    )


def _tables(desired: Desired, facts: Facts) -> Iterator[Finding]:
    gone = set(facts.pf.tables.get("warden_net", ())) - set(desired.subnets)
    # once they are out of the table nothing tells whether their states are gone as well: so each time again
    gone |= {agent.subnet for agent in desired.leaving.values()}
    commands = table_commands(desired.subnets, desired.gateways, sorted(gone), facts)
    if not commands:
        return
    leaving = next(iter(desired.leaving), None)
    yield Change(
        kind="pf table",
        name="warden_net",
        agent=leaving,
        action="~" if "warden_net" in facts.pf.tables else "+",
        stage=Stage.LAST if leaving else Stage.FIRST,
        detail=_difference(desired, facts),
        reason="no rule is reloaded",
        commands=tuple(commands),
    )


def table_commands(
    subnets: Sequence[IPv4Network], gateways: Sequence[IPv4Address], gone: Sequence[IPv4Network], facts: Facts
) -> list[Command]:
    """Give the commands that leave these in the tables and their files, and end the connections of what is gone."""
    wanted: tuple[tuple[str, str, Sequence[IPv4Network | IPv4Address]], ...] = (
        ("warden_net", SUBNETS, subnets),
        ("warden_gateways", GATEWAYS, gateways),
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
    for subnet in gone:
        commands += kill_states(subnet)
    return commands


def kill_states(subnet: IPv4Network) -> tuple[Command, Command]:
    """Give the commands for what leaves a table: its states stay, and would go on being let through and translated.

    With -M goes the other half of each as well, which NAT has given another address.
    """
    return command(PFCTL, "-M", "-k", str(subnet)), command(PFCTL, "-M", "-k", "0.0.0.0/0", "-k", str(subnet))


def hooked(facts: Facts) -> tuple[bool, bool]:
    """Tell whether the main ruleset that is loaded calls the anchor for translation, and for filtering."""
    return f"{NAT_HOOK} all" in facts.pf.nat_rules, f"{FILTER_HOOK} all" in facts.pf.filter_rules


def _difference(desired: Desired, facts: Facts) -> str:
    """Say what comes into the table and what leaves it; where it is right, what of its files or its twin is not."""
    live, gateways = facts.pf.tables.get("warden_net", ()), facts.pf.tables.get("warden_gateways", ())
    words = [f"+ {subnet}" for subnet in desired.subnets if subnet not in live]
    words += [f"- {subnet}" for subnet in live if subnet not in desired.subnets]
    if words:
        return ", ".join(words)
    held = {entry.network_address for entry in gateways}
    words = [f"+ gateway {address}" for address in desired.gateways if address not in held]
    words += [f"- gateway {address}" for address in sorted(held) if address not in desired.gateways]
    for path, entries in ((SUBNETS, desired.subnets), (GATEWAYS, desired.gateways)):
        there, wanted = facts.files.get(path), [str(entry) for entry in entries]
        found = there.text.split() if there else []
        if found != wanted:
            words.append(f"{path} {' '.join(found) or 'absent'} -> {' '.join(wanted)}")
    return ", ".join(words)


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
        reason=_drift(there is not None, differs=differs, loaded=loaded),
        commands=tuple(commands),
        guard=guard,
    )


def _drift(there: bool, *, differs: bool, loaded: bool) -> str:  # noqa: FBT001 - named by what it tests
    if not there:
        return ""
    found = ["its rules changed"] if differs else []
    found += [] if loaded else ["its rules or tables are not loaded"]
    return ", ".join(found) or f"{CLOSED} differs"


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
            if jail.service in LLM_SERVICES
        ]
    return shares


def _service(desired: Desired, facts: Facts) -> Iterator[Finding]:
    script = render("rc.d/warden_pf", anchor=ANCHOR, rules=RULES, closed=CLOSED)
    there = facts.files.get(SERVICE)
    commands: list[Command] = []
    found: list[str] = []
    if there is None or there.text != script or there.mode != SCRIPT_MODE:
        commands.append(write_file(SERVICE, script.encode(), mode="0555"))
        mode = "" if there is None or there.text != script else f"'s mode {there.mode:04o} -> {SCRIPT_MODE:04o}"
        found.append(f"script{mode or ' differs'}")
    enabled = facts.rc_conf.get("warden_pf_enable", "absent")
    if enabled.upper() != "YES":
        commands.append(sysrc_set({"warden_pf_enable": "YES"}))
        found.append(f"warden_pf_enable {enabled} -> YES")
    if commands and desired.inhabited:
        yield Change(
            kind="service",
            name="warden_pf",
            action="~" if there else "+",
            stage=Stage.FIRST,
            detail=", ".join(found) if there else SERVICE,
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
