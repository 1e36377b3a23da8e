# SPDX-License-Identifier: BSD-2-Clause
"""The work that is compared: what is wanted for so many agents, and what a tool has left behind."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warden.engine.apply import carry_out
from warden.engine.lock import Holder
from warden.engine.plan import make_plan
from warden.facts.probe import read_facts
from warden.host.fake.host import FakeHost
from warden.host.fake.store import MemoryStore
from warden.spec.toml_spec import read_toml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.ssh.rig.rig import Rig
    from warden.host.fake.machine import Machine

BRIDGE = "warden0"
ANCHOR = "warden"
TABLE = "warden_net"
BRIDGE_KEYS = {"cloned_interfaces": "bridge0", "ifconfig_bridge0_name": BRIDGE}
SCRIPTS = "/usr/local/etc/rc.d"
SCRIPT_MODE = 0o555
HOST = "fake"
"""What the host is called in every tool's own configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """What one agent needs on the host, in the words of all tools."""

    name: str
    subnet: str
    gateway: str
    alias: str
    """The variable of rc.conf that keeps the gateway."""
    enable: str

    @property
    def rc_conf(self) -> dict[str, str]:
        """Give the variables of rc.conf that this agent needs."""
        return {self.alias: f"inet {self.gateway}/24", self.enable: "YES"}


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """As much of a host as the work is about."""

    gateways: frozenset[str]
    rc_conf: dict[str, str]
    table: frozenset[str]
    table_file: str
    scripts: dict[str, tuple[int, str]]


class Snapshot(MemoryStore):
    """A machine to look at."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine


def make_agents(number: int) -> list[Agent]:
    """Name so many agents, each with a /24 of its own."""
    return [
        Agent(
            name=f"agent{index:03d}",
            subnet=f"10.0.{index}.0/24",
            gateway=f"10.0.{index}.1",
            alias=f"ifconfig_{BRIDGE}_alias{index - 1}",
            enable=f"agent{index:03d}_enable",
        )
        for index in range(1, number + 1)
    ]


def spec_text(agents: Sequence[Agent], address: str) -> str:
    """Give the warden.toml of one host with these agents."""
    tables = (
        f'[agents.{agent.name}]\nsubnet = "{agent.subnet}"\nservices = []\ncommand = ["/usr/local/bin/node"]\n'
        for agent in agents
    )
    return "\n".join((f'[hosts.{HOST}]\naddress = "{address}"\n', *tables))


def variables(agents: Sequence[Agent], scripts: dict[str, str], folder: Path) -> dict[str, Any]:
    """Give the work as the variables of a playbook or an inventory; the scripts go into files, to be copied."""
    folder.mkdir()
    for name, text in scripts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return {
        "bridge": BRIDGE,
        "bridge_rc_conf": BRIDGE_KEYS,
        "anchor": ANCHOR,
        "table": TABLE,
        "table_file": f"/etc/{TABLE}",
        "table_text": _table_text(agents),
        "scripts": str(folder),
        "agents": [asdict(agent) | {"rc_conf": agent.rc_conf} for agent in agents],
    }


def make_scripts(agents: Sequence[Agent]) -> dict[str, str]:
    """Give the agents' rc.d scripts, by name: those that Warden writes, so that all tools write the same bytes."""
    host = FakeHost("fake:", MemoryStore())
    spec = read_toml(Path("warden.toml"), spec_text(agents, "fake:"))
    names = tuple(agent.name for agent in agents)
    read = partial(read_facts, agents=names)
    holder = Holder(who="bench", what="rc.d scripts", since="now")
    carry_out(host, read, lambda facts: make_plan(spec, names, facts), holder)
    files = read(host).files
    return {name: files[f"{SCRIPTS}/{name}"].text for name in names}


def wanted(agents: Sequence[Agent], scripts: dict[str, str]) -> State:
    """Give what is there when the work is done."""
    rc_conf = dict(BRIDGE_KEYS)
    for agent in agents:
        rc_conf |= agent.rc_conf
    return State(
        gateways=frozenset(f"{agent.gateway}/24" for agent in agents),
        rc_conf=rc_conf,
        table=frozenset(agent.subnet for agent in agents),
        table_file=_table_text(agents),
        scripts={name: (SCRIPT_MODE, text) for name, text in scripts.items()},
    )


def found(rig: Rig, agents: Sequence[Agent], *, table_file: str, beside: bool) -> State:
    """Read what is there; `beside` is for tools whose files land in sshd's own root directory."""
    names = [agent.name for agent in agents]
    facts = read_facts(FakeHost("fake:", Snapshot(rig.machine())), names)
    if beside:
        files = {path: _read(rig.root / path.lstrip("/")) for path in (table_file, *(f"{SCRIPTS}/{n}" for n in names))}
    else:
        files = {path: (file.mode, file.text) for path, file in facts.files.items()}
    bridge = facts.interfaces.get(BRIDGE)
    keys = {*BRIDGE_KEYS, *(key for agent in agents for key in agent.rc_conf)}
    absent = (0, "")
    return State(
        gateways=frozenset(str(address) for address in bridge.addresses) if bridge else frozenset(),
        rc_conf={key: value for key, value in facts.rc_conf.items() if key in keys},
        table=frozenset(str(subnet) for subnet in facts.pf.tables.get(TABLE, ())),
        table_file=files.get(table_file, absent)[1],
        scripts={name: files.get(f"{SCRIPTS}/{name}", absent) for name in names},
    )


def _read(path: Path) -> tuple[int, str]:
    return (path.stat().st_mode & 0o7777, path.read_text(encoding="utf-8")) if path.exists() else (0, "")


def _table_text(agents: Sequence[Agent]) -> str:
    return "".join(f"{agent.subnet}\n" for agent in agents)
