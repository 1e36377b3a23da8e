# SPDX-License-Identifier: BSD-2-Clause
"""A fake host that plans are carried out on: copied, cut off, rebooted, and compared by what matters of it."""

from __future__ import annotations

import copy
import pickle
import re
from dataclasses import dataclass, field
from functools import cache, partial
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from warden.engine.apply import carry_out
from warden.engine.lock import Holder
from warden.engine.plan import make_destroy_plan, make_gone_plan, make_plan
from warden.facts.probe import read_facts
from warden.host.command import Command
from warden.host.fake import boot, rcconf
from warden.host.fake.host import FakeHost
from warden.host.fake.profiles import make
from warden.host.fake.store import MemoryStore
from warden.resources.gateway import Aliases, parse_value
from warden.spec.model import SERVICES, AgentSpec, HostSpec, JailSpec, Locale, NetworkSpec, ServiceSettings, Spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from warden.engine.plan import Plan
    from warden.engine.report import ChangeResult, Report
    from warden.facts.model import Facts
    from warden.host.fake.faults import Faults
    from warden.host.fake.machine import Machine
    from warden.host.fake.program import Reply
    from warden.spec.model import Isolation, Service

HOLDER = Holder(who="root@test", what="a test", since="2026-11-21T05:00:00+00:00")
WARDEN_ALIAS = "ifconfig_warden0_alias"
MODEL = "/var/tmp/tiny.gguf"
"""A local model that stands on every fake host of the profile `ready`."""


class KilledError(Exception):
    """The controller was killed: nothing of Warden's runs any more, and the lock's channel is closed."""


def agent_spec(
    name: str,
    subnet: str | None = None,
    services: tuple[Service, ...] = ("git", "cms", "db"),
    *,
    command: tuple[str, ...] | None = ("/usr/local/bin/node", "dist/index.js"),
    locale: str = "C.UTF-8",
    shares: str | None = None,
    env: dict[str, str] | None = None,
    user: str | None = None,
    model: str | None = None,
) -> AgentSpec:
    """Give an agent as a spec that leaves the rest to Warden has it."""
    jails = {service: JailSpec() for service in SERVICES}
    if model is not None:
        jails["llama-cpp"] = JailSpec(settings=ServiceSettings(model=model))
    return AgentSpec(
        name=name,
        display_name=name.title(),
        release="15.1-RELEASE",
        subnet=IPv4Network(subnet) if subnet else None,
        services=services,
        command=command,
        user=user,
        locale=Locale(system=locale),
        llm_shared_with=shares,
        jails=jails,
        env=env or {},
    )


def spec_of(*agents: AgentSpec, isolation: Isolation | None = None) -> Spec:
    """Give a spec of these agents."""
    return Spec(
        path=Path("warden.toml"),
        hosts={"alpha": HostSpec(name="alpha", address="fake:")},
        network=NetworkSpec(isolation=isolation),
        agents={agent.name: agent for agent in agents},
    )


TWO = spec_of(
    agent_spec(
        "clawdie", "192.168.72.0/24", ("git", "cms", "db", "llama-cpp"), env={"TOKEN": "hush hush"}, model=MODEL
    ),
    agent_spec("atlas", "10.0.1.0/24", locale="sl_SI.UTF-8", shares="clawdie"),
)
"""Two agents with everything: three jails and a service each, and a local model that the one shares with the other."""


class RecordingHost(FakeHost):
    """A fake host that writes down what was run, and whose controller may be killed before one of its round trips."""

    def __init__(self, machine: Machine, faults: Faults | None = None, *, kill_at: int = 0) -> None:
        store = MemoryStore.__new__(MemoryStore)
        store._machine = machine
        super().__init__("fake:", store, faults)
        self.kill_at = kill_at
        self.effective: list[Command] = []
        """What took effect, in order."""

    def _round_trip(self) -> None:
        super()._round_trip()
        if self.batches == self.kill_at:
            raise KilledError

    def _reply(self, machine: Machine, command: Command) -> Reply:
        reply = super()._reply(machine, command)
        self.effective.append(command)
        return reply


@dataclass
class Cut:
    """How a run ended: its report, or what was raised; and the host that it ran on."""

    host: RecordingHost
    report: Report | None = None
    raised: Exception | None = None
    told: list[ChangeResult] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.report is not None and self.report.ok

    @property
    def trouble(self) -> str:
        """What went wrong, in a few words."""
        if self.report is None:
            return repr(self.raised)
        failed = [
            f"{one.change.id}: {one.failed_at.command}: {one.failed_at.stderr.decode()}"
            for one in self.report.failures
            if one.failed_at
        ]
        left = self.report.remaining
        differs = [one.id for one in left.changes] + [one.message for one in left.conflicts] if left else ["not read"]
        return "; ".join([*failed, "left: " + ", ".join(differs)])


class World:
    """One machine, and what an operator does with it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def copy(self) -> World:
        """Give a world of its own that is as this one is."""
        return World(pickle.loads(pickle.dumps(self.machine)))  # noqa: S301 - made a moment ago

    def reboot(self) -> None:
        boot.boot(self.machine)

    def sh(self, *argv: str, fails: bool = False) -> str:
        """Do something by hand, as the host's operator would; it has to work unless it may fail."""
        result = FakeHost.run(RecordingHost(self.machine), [Command(argv=argv)])[0]
        assert fails or result.ok, (argv, result.stderr)
        return result.stdout.decode()

    def facts(self, *agents: str) -> Facts:
        return read_facts(RecordingHost(self.machine), agents)

    def plan(self, spec: Spec) -> Plan:
        return make_plan(spec, list(spec.agents), self.facts(*spec.agents))

    def apply(
        self,
        spec: Spec,
        faults: Faults | None = None,
        *,
        kill_at: int = 0,
        confirm: Callable[[], bool] | None = None,
    ) -> Cut:
        """Apply a spec, all of its agents."""
        names = list(spec.agents)
        return self._carry_out(names, lambda facts: make_plan(spec, names, facts), faults, kill_at, confirm)

    def destroy(self, name: str, faults: Faults | None = None, *, kill_at: int = 0, spec: Spec = TWO) -> Cut:
        """Destroy an agent."""

        def make_it(facts: Facts) -> Plan:
            if name in facts.registry:
                return make_destroy_plan(spec.network, name, facts, keep_data=True)
            return make_gone_plan(facts)

        return self._carry_out([name], make_it, faults, kill_at)

    def _carry_out(
        self,
        agents: list[str],
        make_it: Callable[[Facts], Plan],
        faults: Faults | None,
        kill_at: int,
        confirm: Callable[[], bool] | None = None,
    ) -> Cut:
        cut = Cut(RecordingHost(self.machine, faults, kill_at=kill_at))
        try:
            cut.report = carry_out(
                cut.host,
                partial(read_facts, agents=agents),
                make_it,
                HOLDER,
                on_change=cut.told.append,
                confirm=confirm,
            )
        except Exception as error:  # noqa: BLE001 - whatever ends a run, the next one has to go on from there
            cut.raised = error
        assert self.machine.locks == [], "an apply that is over holds no lock"
        return cut


@cache
def _pickled(kind: str) -> bytes:
    world = World(make("ready"))
    if kind == "lived-in":
        _live_in(world)
    return pickle.dumps(world.machine)


def fresh() -> World:
    """Give a new host of the profile `ready`."""
    return World(pickle.loads(_pickled("fresh")))  # noqa: S301 - made a moment ago


def lived_in() -> World:
    """Give a host on which its operator has things of their own, of every kind that Warden has."""
    return World(pickle.loads(_pickled("lived-in")))  # noqa: S301 - made a moment ago


HOSTS = {"fresh": fresh, "lived-in": lived_in}


def _live_in(world: World) -> None:
    """Put an operator's own things on a host: a bridge with a jail, aliases, pf rules, devfs rules, a service."""
    files = world.machine.files
    world.sh("sysrc", "cloned_interfaces=lo1 bridge5", "ifconfig_lo1_alias0=inet 10.99.0.1/24")
    world.sh("sysrc", "ifconfig_bridge5=inet 172.31.5.1/24", "ifconfig_bridge5_alias0=inet 172.31.6.1/24")
    world.sh("sysrc", "gateway_enable=NO", "bastille_enable=YES")
    files.write(
        "/etc/rc.conf", files.read("/etc/rc.conf") + b"# what follows is mine\nmine_enable='YES'  # and stays\n"
    )
    files.write("/etc/pf.conf", files.read("/etc/pf.conf") + b"pass in on bridge5 from <friends>\n")
    files.write("/etc/pf.conf", b"table <friends> persist { 172.31.5.0/24 }\n" + files.read("/etc/pf.conf"))
    files.write("/etc/devfs.rules", b"[mine=77]\nadd path 'tap*' unhide\n")
    files.write("/usr/local/etc/rc.d/mine", b"#!/bin/sh\n# PROVIDE: mine\n", mode=0o555)
    files.write("/usr/local/etc/mine.conf", b"mine\n")
    world.reboot()
    world.sh("pw", "useradd", "mine", "-m")
    world.sh("bastille", "create", "-B", "-M", "-g", "172.31.5.1", "mine", "15.1-RELEASE", "172.31.5.2/24", "bridge5")


def what_matters(machine: Machine) -> dict[str, Any]:
    """Give all of a host that has to be the same, however an apply came to its end."""
    whole = {
        **_rc_conf(machine),
        "files": _files(machine),
        "interfaces": {
            name: (
                *(one.kind, one.up, one.bridge, one.peer_jail),
                sorted((held.address, held.prefix) for held in one.inet),
                sorted(one.groups),
                sorted(one.members),
            )
            for name, one in machine.net.interfaces.items()
        },
        "pf": {
            anchor: (rules.nat, rules.filter, {name: sorted(table) for name, table in rules.tables.items()})
            for anchor, rules in machine.pf.anchors.items()
            if rules.nat or rules.filter or rules.tables
        },
        "jails": {
            name: (
                *(jail.path, jail.parameters, jail.net.default_router if jail.net else None),
                sorted(
                    (one.name, held.address)
                    for one in (jail.net.interfaces if jail.net else {}).values()
                    for held in one.inet
                ),
            )
            for name, jail in machine.jails.items()
        },
        # what was kept of agents that are gone is in nobody's way
        "datasets": {
            name: one.properties.get("warden:agent")
            for name, one in machine.datasets.items()
            if name.split("/")[1:] != ["warden"] and name.split("/")[1:3] != ["warden", "kept"]
        },
        "limits": sorted(machine.rctl),
        "running in jails": sorted(
            (one.jail, " ".join(one.argv)) for one in machine.processes.values() if one.jail and one.argv[0] != "sleep"
        ),
        "mounts": sorted((mount.source, mount.point) for mount in machine.files.mounted()),
        "services": sorted(
            (one.supervision.name, one.supervision.user, tuple(one.supervision.command))
            for one in machine.processes.values()
            if one.supervision
        ),
        "forwarding": machine.sysctls.get("net.inet.ip.forwarding"),
        "devfs": machine.devfs_rulesets,
    }
    # a value of its own: what the machine becomes afterwards is not seen in it
    return copy.deepcopy(whole)


def differences(here: dict[str, Any], there: dict[str, Any]) -> list[str]:
    """Give what differs between two hosts, and nothing else; an empty folder of the registry's is no difference."""
    found = []
    for part, value in here.items():
        if not isinstance(value, dict):
            found += [] if value == there[part] else [f"{part}: {value} != {there[part]}"]
            continue
        for name in value.keys() | there[part].keys():
            one, other = value.get(name), there[part].get(name)
            if one != other and not (name.startswith("/usr/local/etc/warden") and one and one[0] == "dir"):
                found.append(f"{part} {name}: {one} != {other}")
    return found


def _rc_conf(machine: Machine) -> dict[str, Any]:
    values = rcconf.read_rc_conf(machine)
    ours = {name: value for name, value in values.items() if name.startswith(WARDEN_ALIAS)}
    text = machine.files.text("/etc/rc.conf")
    aliases = sorted(int(name.removeprefix(WARDEN_ALIAS)) for name in ours)
    assert aliases == list(range(len(aliases))), f"the aliases in rc.conf are not dense: {ours}"
    return {
        "rc.conf": sorted(line for line in text.splitlines() if WARDEN_ALIAS not in line),
        "aliases": sorted(str(parse_value(value)) for value in ours.values()),
    }


def _files(machine: Machine) -> dict[str, tuple[object, ...]]:
    jails = "/usr/local/bastille/jails"
    paths = [
        path for top in ("/etc", "/usr/local/etc") for path, _ in machine.files.walk(top) if path != "/etc/rc.conf"
    ]
    for jail in machine.files.list_dir(jails):
        paths += [f"{jails}/{jail}/{name}" for name in ("jail.conf", "settings.conf", "fstab", "rctl.conf")]
        root = f"{jails}/{jail}/root"
        paths += [f"{root}/etc/rc.conf", f"{root}/etc/hosts"]
        own = f"{root}/usr/local/etc"
        paths += [path for path, _ in machine.files.walk(own)] if machine.files.is_dir(own) else []
    found: dict[str, tuple[object, ...]] = {}
    for path in paths:
        node = machine.files.lookup(path, follow=False)
        if node is not None:
            # Bastille makes a jail's MAC address of the bridge's, which is another one each time that it is made
            data = re.sub(rb" ether [0-9a-f:]+", b" ether (made)", node.data)
            # made once, and never the same twice
            data = re.sub(rb"(DB_PASSWORD=)\S+|(ssh-ed25519 )\S+", rb"\1\2(made)", data)
            if path.startswith("/usr/local/etc/warden-keys/"):
                data = b"(made)" if data else b""
            found[path] = (node.kind, node.mode, node.uid, node.gid, data, node.target)
    return found


def boot_agrees(world: World) -> None:
    """Check that a reboot brings back what is there: as it is now is as it will be."""
    again = world.copy()
    before = what_matters(again.machine)
    again.reboot()
    assert what_matters(again.machine) == before


def aliases_of(machine: Machine) -> Aliases:
    """Give the bridge's aliases as rc.conf has them."""
    return Aliases.read("warden0", rcconf.read_rc_conf(machine))


@pytest.fixture
def world() -> World:
    """Give a new host."""
    return fresh()
