# SPDX-License-Identifier: BSD-2-Clause
"""Taking over an agent that was set up by hand: what fits its spec is marked and registered, and nothing is made anew.

The marks come before the registry entry. A jail that is registered and not marked is taken for a create that was cut
off, and would be made again; one that is marked and not registered is only an orphan.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from warden.engine.plan import PlannedAgent, make_plan, plan_of
from warden.facts.model import File
from warden.facts.registry import parse_agent
from warden.facts.zfs import AGENT_PROPERTY
from warden.host.files import write_file
from warden.network.names import rc_name
from warden.resources import kept, registry
from warden.resources.change import Change, Note, Stage
from warden.resources.commands import command, sysrc_set
from warden.resources.errors import RefusedError
from warden.resources.gateway import Aliases
from warden.resources.host_rc_conf import bridge_unit
from warden.resources.jail import misfit
from warden.resources.marks import FILE_MARK, INTERFACE_GROUP, is_ours
from warden.resources.pf import PF_CONF
from warden.resources.resolve import resolve
from warden.resources.service import script_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.engine.plan import Plan
    from warden.facts.model import Dataset, Facts
    from warden.host.command import Command
    from warden.resources.change import Finding
    from warden.resources.desired import Desired, DesiredAgent, DesiredJail
    from warden.spec.model import Spec


def make_adopt_plan(spec: Spec, agent: str, facts: Facts) -> Plan:
    """Work out what makes an agent Warden's that stands on a host already; notes say what differs from its spec.

    Raises RefusedError where its spec does not say which subnet it has, or nothing of it is there.
    """
    if spec.agents[agent].subnet is None and agent not in facts.registry:
        raise RefusedError(
            f"which subnet {agent} has on {facts.address} is for its spec to say",
            hint='write subnet = "..." (AGENT_SUBNET_BASE in a .env): the /24 that it was set up with',
        )
    desired = resolve(spec, [agent], facts)
    wanted = desired.agents[agent]
    adopting = _Adopting(desired, wanted, facts)
    findings: list[Finding] = list(adopting.findings())
    if agent not in facts.registry and not adopting.found:
        raise RefusedError(
            f"nothing of {agent} stands on {facts.address}: no jail, gateway or script of its spec",
            hint="warden apply sets it up",
        )
    about = (PlannedAgent(name=agent, subnet=str(wanted.subnet), new=agent not in facts.registry),)
    if any(isinstance(finding, Change) for finding in findings):
        findings += _afterwards(spec, agent, adopting.afterwards())
    return plan_of(facts, about, findings)


class _Adopting:
    """What of one agent stands there, what is to be marked, and how the host will look then."""

    def __init__(self, desired: Desired, agent: DesiredAgent, facts: Facts) -> None:
        self._desired = desired
        self._agent = agent
        self._facts = facts
        self._marks: list[Dataset] = []
        self._fitting: dict[str, DesiredJail] = {}
        self.found = False

    def findings(self) -> Iterator[Finding]:
        yield from self._bridge()
        for service, jail in self._agent.jails.items():
            yield from self._jail(service, jail)
        yield from self._script()
        self._look_for_gateway()
        yield from self._pf()
        if self.found or self._agent.name in self._facts.registry:
            yield from self._entry()

    def afterwards(self) -> Facts:
        """Give the facts as they will be."""
        facts, bridge = self._facts, self._desired.bridge
        datasets = {**facts.datasets}
        datasets |= {dataset.name: replace(dataset, agent=self._agent.name) for dataset in self._marks}
        interfaces = dict(facts.interfaces)
        if bridge in interfaces:
            live = interfaces[bridge]
            interfaces[bridge] = replace(live, groups=live.groups | {INTERFACE_GROUP})
        path, text = registry.path_of(self._agent.name), registry.entry(self._registered())
        entry = File(content=text.encode(), mode=0o644, owner="root", group="wheel")
        return replace(
            facts,
            datasets=datasets,
            interfaces=interfaces,
            rc_conf={**facts.rc_conf, **self._bridge_at_boot()},
            registry={**facts.registry, self._agent.name: parse_agent(path, text)},
            files={**facts.files, **self._marked_script(), path: entry},
        )

    def _change(self, kind: str, name: str, detail: str, *commands: Command, reason: str = "") -> Change:
        return Change(
            kind=kind,
            name=name,
            agent=self._agent.name,
            action="~",
            stage=Stage.FIRST,
            detail=detail,
            reason=reason,
            commands=commands,
        )

    def _note(self, message: str) -> Note:
        return Note(agent=self._agent.name, message=message)

    def _bridge_at_boot(self) -> dict[str, str]:
        unit = bridge_unit(self._desired.bridge, self._facts)
        variable, mark = f"create_args_{unit}", f"group {INTERFACE_GROUP}"
        named = self._facts.rc_conf.get(f"ifconfig_{unit}_name") == self._desired.bridge
        return {variable: mark} if named and self._facts.rc_conf.get(variable) in (None, "", mark) else {}

    def _bridge(self) -> Iterator[Finding]:
        bridge = self._desired.bridge
        live = self._facts.interfaces.get(bridge)
        if live is None or "bridge" not in live.groups:
            return
        commands: list[Command] = []
        if INTERFACE_GROUP not in live.groups:
            commands.append(command("/sbin/ifconfig", bridge, "group", INTERFACE_GROUP))
        missing = {
            name: value for name, value in self._bridge_at_boot().items() if self._facts.rc_conf.get(name) != value
        }
        if missing:
            commands.append(sysrc_set(missing))
        if commands:
            detail = f"into the group {INTERFACE_GROUP}" + (", at boot as well" if missing else "")
            yield self._change("bridge", bridge, detail, *commands, reason="its addresses and members stay")

    def _jail(self, service: str, jail: DesiredJail) -> Iterator[Finding]:
        facts, agent = self._facts, self._agent.name
        dataset = kept.jail_datasets(facts).get(jail.name)
        running = facts.running_jails.get(jail.name)
        if jail.name not in facts.bastille_jails and dataset is None:
            return
        entry = facts.registry.get(agent)
        if dataset is not None and dataset.agent == agent and entry is not None and service in entry.jails:
            self._fitting[service] = jail
            return
        has = misfit(self._desired.bridge, jail, dataset, facts)
        if jail.name not in facts.bastille_jails:
            has = "no jail.conf"
        elif facts.bastille_jails[jail.name].bridge is None:
            has = "no interface of its own on a bridge"
        elif dataset is None:
            has = "no dataset that could carry a mark"
        elif dataset.agent not in (None, agent):
            has = f"the mark of {dataset.agent}"
        elif not has and (running is None or not running.addresses):
            has = f"no address that can be read while it is down: start it first (bastille start {jail.name})"
        self.found = True
        if has or dataset is None:
            should = f"{jail.address}, {jail.release}, on {self._desired.bridge}"
            yield self._note(f"the jail {jail.name} is left alone: it has {has}; the spec has {should}")
            return
        self._fitting[service] = jail
        if dataset.agent is None:
            self._marks.append(dataset)
            mark = f"{AGENT_PROPERTY}={agent}"
            yield self._change("jail", jail.name, f"marked: {mark}", command("/sbin/zfs", "set", mark, dataset.name))

    def _marked_script(self) -> dict[str, File]:
        path = script_path(self._agent.name)
        there = self._facts.files.get(path)
        if there is None or is_ours(there.text) or not self._is_agents_own(there.text):
            return {}
        if self._agent.service is None:
            return {}  # the next apply would take it away, since the spec names no command
        head, newline, rest = there.text.partition("\n")
        text = f"{head}{newline}# {FILE_MARK}: adopted, and as it was but for this line\n{rest}"
        return {path: replace(there, content=text.encode("utf-8", "surrogateescape"))}

    def _is_agents_own(self, text: str) -> bool:
        """Tell whether a script is the service of the agent's name, as the guide has it, and nothing else."""
        name = re.escape(rc_name(self._agent.name))
        return text.startswith("#!") and re.search(rf'^name="?{name}"?\s*$', text, re.MULTILINE) is not None

    def _script(self) -> Iterator[Finding]:
        path = script_path(self._agent.name)
        there = self._facts.files.get(path)
        if there is None or is_ours(there.text):
            return
        for marked in self._marked_script().values():
            self.found = True
            write = write_file(path, marked.content, mode=f"{marked.mode:04o}", owner=f"{marked.owner}:{marked.group}")
            yield self._change("script", self._agent.name, f"{path}, a line in its head", write)
            return
        why = f"it does not say name={rc_name(self._agent.name)}"
        yield self._note(f"{path} is left alone: {why if self._agent.service else 'the spec names no command'}")

    def _look_for_gateway(self) -> None:
        bridge, gateway = self._desired.bridge, self._agent.gateway
        live = self._facts.interfaces.get(bridge)
        held = {address.ip for address in live.addresses} if live else set()
        if gateway in held or Aliases.read(bridge, self._facts.rc_conf).holder(gateway) is not None:
            self.found = True

    def _pf(self) -> Iterator[Finding]:
        file = self._facts.files.get(PF_CONF)
        subnet = str(self._agent.subnet)
        lines = [line.strip() for line in (file.text.splitlines() if file else ()) if subnet in line]
        if lines:
            yield self._note(
                f"{PF_CONF} has rules of its own for {subnet}, and they stay: {'; '.join(lines)};"
                " once the anchor does that work, they can be taken out"
            )

    def _registered(self) -> DesiredAgent:
        """Give the agent with the jails that are its own: others must not be taken for what was left of a create."""
        entry = self._facts.registry.get(self._agent.name)
        had = entry.jails if entry is not None else {}
        own = {service: jail for service, jail in self._agent.jails.items() if service in (*had, *self._fitting)}
        return replace(self._agent, jails=own)

    def _entry(self) -> Iterator[Finding]:
        path, text = registry.path_of(self._agent.name), registry.entry(self._registered())
        there = self._facts.files.get(path)
        entry = self._facts.registry.get(self._agent.name)
        if there is None or entry is None:
            yield self._change(
                "registry",
                self._agent.name,
                f"{self._agent.subnet}, {len(self._fitting)} jails",
                *registry.write_entry(path, text),
                reason="from now on it is Warden's",
            )
        elif set(self._fitting) - set(entry.jails):
            yield self._change(
                "registry", self._agent.name, registry.drift(there.text, text), *registry.write_entry(path, text)
            )


def _afterwards(spec: Spec, agent: str, facts: Facts) -> Iterator[Note]:
    """Give what the first plan afterwards has: only what truly differs."""
    after = make_plan(spec, [agent], facts)
    for change in after.changes:
        words = "  ".join(word for word in (change.detail, change.reason) if word)
        yield Note(agent=agent, message=f"then differs: {change.action} {change.kind} {change.name}  {words}")
    for conflict in after.conflicts:
        yield Note(agent=agent, message=f"then in the way: {conflict.id}: {conflict.message}")
