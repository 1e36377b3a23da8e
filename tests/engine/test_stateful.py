# SPDX-License-Identifier: BSD-2-Clause
"""Whatever is edited, applied, broken by hand, cut off or restarted: one apply more, and all is as the spec says."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.engine.conftest import World, agent_spec, differences, lived_in, spec_of, what_matters
from warden.facts.keys import FOLDER as KEYS
from warden.facts.probe import TABLES
from warden.host.fake import rcconf
from warden.host.fake.faults import Faults
from warden.network.names import default_jail_name
from warden.spec.model import Locale

if TYPE_CHECKING:
    from collections.abc import Callable

    from warden.spec.model import AgentSpec, Isolation, Service, Spec

SUBNETS = {"atlas": "10.0.1.0/24", "clawdie": "192.168.72.0/24", "dev-qwen": None}
NAMES = st.sampled_from(list(SUBNETS))
SERVICES: tuple[Service, ...] = ("git", "cms", "db", "llama-cpp")
HOOKS = ('anchor "warden"', 'nat-anchor "warden"')
OWN = re.compile(r"lo1|bridge5|mine")
ETC = "/usr/local/etc/warden"
CUTS = st.none() | st.builds(
    lambda way, nth: Faults(**{way: nth}),
    st.sampled_from(["fail_nth", "drop_before", "drop_after"]),
    st.integers(1, 40),
)


def foreign(world: World) -> dict[str, Any]:
    """Give what of a host is its operator's alone."""
    here = what_matters(world.machine)
    return {
        "rc.conf": [line for line in here["rc.conf"] if not line.startswith("cloned") and OWN.search(line)],
        "cloned": rcconf.read_rc_conf(world.machine)["cloned_interfaces"].split()[:2],
        "pf.conf": [line for line in world.machine.files.text("/etc/pf.conf").splitlines() if line not in HOOKS],
        "pf": [
            [rule for rule in rules if not rule.startswith(HOOKS)]
            for rules in (world.machine.pf.anchors[""].nat, world.machine.pf.anchors[""].filter)
        ],
        "tables": world.machine.pf.anchors[""].tables,
        "devfs": (here["devfs"].get(77), b"[mine=77]" in world.machine.files.read("/etc/devfs.rules")),
        "interfaces": {name: here["interfaces"].get(name) for name in ("lo0", "lo1", "vtnet0", "bridge5", "e0a_mine")},
        "jail": here["jails"].get("mine"),
        "datasets": {
            name: mark
            for name, mark in here["datasets"].items()
            if "mine" in name or not ("jails/" in name or name.startswith("zroot/warden/"))
        },
        "files": {name: file for name, file in here["files"].items() if "mine" in name},
    }


@cache
def base() -> dict[str, Any]:
    return foreign(lived_in())


def unit(world: World) -> str:
    """Give the bridge's unit in rc.conf, as far as it stands there."""
    values = rcconf.read_rc_conf(world.machine)
    named = [name for name, value in values.items() if name.startswith("ifconfig_bridge") and value == "warden0"]
    return named[0].split("_")[1] if named else "bridge0"


def edit(path: str, change: Callable[[bytes], bytes]) -> Callable[[World], None]:
    def harm(world: World) -> None:
        if world.machine.files.exists(path):
            world.machine.files.write(path, change(world.machine.files.read(path)))

    return harm


def by_hand(*argv: str) -> Callable[[World], None]:
    """Give what runs a command, whether it works or not; UNIT in it is the bridge's in rc.conf."""
    return lambda world: void(world.sh(*(word.replace("UNIT", unit(world)) for word in argv), fails=True))


def inside(jail: str, script: str) -> Callable[[World], None]:
    """Give what root in a jail does."""
    return by_hand("jexec", "-l", jail, "/bin/sh", "-c", script)


def void(_: object) -> None:
    """Throw a value away."""


def without_hooks(world: World) -> None:
    edit("/etc/pf.conf", lambda data: b"".join(x for x in data.splitlines(keepends=True) if b"warden" not in x))(world)
    by_hand("pfctl", "-f", "/etc/pf.conf")(world)


def twice_and_a_gap(world: World) -> None:
    """Persist a gateway a second time, where a gap is before it; of an agent that there is, else it is nobody's."""
    if "atlas" in world.facts().registry:
        by_hand("sysrc", "ifconfig_warden0_alias7=inet 10.0.1.1/24")(world)


def without_ruleset(world: World) -> None:
    world.machine.files.write("/etc/devfs.rules", b"[mine=77]\nadd path 'tap*' unhide\n")
    by_hand("service", "devfs", "restart")(world)


def of_agent(agent: str) -> dict[str, Callable[[World], None]]:
    """Give what an operator could break of one agent."""
    script, env = f"/usr/local/etc/rc.d/{agent}", f"{ETC}/agents/{agent}.env"
    jails = {service: default_jail_name(agent, service) for service in SERVICES}
    gateway = (SUBNETS[agent] or "10.0.0.0/24").replace(".0/24", ".1")
    return {
        "stop service": by_hand("service", agent, "onestop"),
        "edit script": edit(script, lambda data: data + b"# mine\n"),
        "lose script": by_hand("rm", "-f", script),
        "lose env": by_hand("rm", "-f", env),
        "open env": by_hand("chmod", "644", env),
        "edit env": edit(env, lambda data: data.replace(b"LANG=", b"LANG=C")),
        "disable": by_hand("sysrc", "-x", f"{agent.replace('-', '_')}_enable"),
        "gateway": by_hand("ifconfig", "warden0", "inet", gateway, "-alias"),
        "lose key": by_hand("rm", "-f", f"{KEYS}/{agent}", f"{KEYS}/{agent}.pub"),
        "lose known hosts": by_hand("rm", "-f", f"{KEYS}/{agent}.known_hosts"),
        "lose password": edit(env, lambda data: re.sub(rb"(?m)^DB_PASSWORD=.*\n", b"", data)),
        "quota": by_hand("zfs", "set", "quota=100G", f"zroot/warden/{agent}"),
        "unmount": by_hand("umount", "-f", f"/usr/local/bastille/jails/{jails['git']}/root/srv/git"),
        "stop nginx": inside(jails["cms"], "service nginx onestop"),
        "stop sshd": inside(jails["git"], "service sshd onestop"),
        "stop postgresql": inside(jails["db"], "service postgresql onestop"),
        "edit nginx.conf": inside(jails["cms"], "echo '# mine' >> /usr/local/etc/nginx/nginx.conf"),
        "edit pg_hba.conf": inside(jails["db"], "echo '# mine' >> /usr/local/etc/pg_hba.conf"),
        "lose repository": inside(jails["git"], f"rm -rf /srv/git/{agent}.git"),
        "lose names": inside(jails["db"], "sed '/^# warden/,$d' /etc/hosts > /etc/new && mv /etc/new /etc/hosts"),
        "rc.conf of a jail": inside(jails["cms"], "sysrc -x nginx_enable"),
        **{f"stop {jail}": by_hand("bastille", "stop", jail) for jail in jails.values()},
        **{f"boot off {jail}": by_hand("bastille", "config", jail, "set", "boot", "off") for jail in jails.values()},
        **{f"priority {jail}": by_hand("bastille", "config", jail, "set", "priority", "7") for jail in jails.values()},
        **{f"deletem {jail}": by_hand("ifconfig", "warden0", "deletem", f"e0a_{jail}") for jail in jails.values()},
    }


HARMS: dict[str, Callable[[World], None]] = {
    **{f"{name} of {agent}": harm for agent in SUBNETS for name, harm in of_agent(agent).items()},
    **{
        f"sysrc -x {name}": by_hand("sysrc", "-x", name)
        for name in (
            *("bastille_enable", "gateway_enable", "warden_pf_enable", "create_args_UNIT", "ifconfig_UNIT_name"),
            *(f"ifconfig_warden0_alias{index}" for index in range(3)),
        )
    },
    **{
        f"rm {path}": by_hand("rm", "-f", path)
        for path in (
            *(f"{ETC}/{name}" for name in ("pf.conf", "pf.closed", "subnets", "gateways", "host.toml")),
            "/usr/local/etc/rc.d/warden_pf",
        )
    },
    **{f"flush {what}": by_hand("pfctl", "-a", "warden", "-F", what) for what in ("rules", "nat", "Tables")},
    **{f"flush table {name}": by_hand("pfctl", "-a", "warden", "-t", name, "-T", "flush") for name in TABLES},
    "flush all": by_hand("pfctl", "-F", "all"),
    "table add": by_hand("pfctl", "-a", "warden", "-t", "warden_net", "-T", "add", "10.200.0.0/24"),
    "cloned": by_hand("sysrc", "cloned_interfaces=lo1 bridge5"),
    "names": edit("/etc/hosts", lambda data: data.partition(b"# warden begin")[0]),
    "empty alias": by_hand("sysrc", "ifconfig_warden0_alias0="),
    "twice and a gap": twice_and_a_gap,
    "forwarding": by_hand("sysctl", "net.inet.ip.forwarding=0"),
    "bridge destroy": by_hand("ifconfig", "warden0", "destroy"),
    "bridge down": by_hand("ifconfig", "warden0", "down"),
    "hooks": without_hooks,
    "ruleset": without_ruleset,
}
"""What an operator may break by hand, one thing at a time."""


class Operator(RuleBasedStateMachine):
    """An operator with a spec of some agents, a host with things of its own, and bad luck."""

    def __init__(self) -> None:
        super().__init__()
        self.world = lived_in()
        self.agents: dict[str, AgentSpec] = {}
        self.leaving: set[str] = set()
        self.isolation: Isolation | None = None
        self.record_is_lost = False

    @property
    def spec(self) -> Spec:
        return spec_of(*self.agents.values(), isolation=self.isolation)

    @initialize()
    def first(self) -> None:
        self.add("atlas", ["git"])
        assert self.world.apply(self.spec).ok

    @rule(name=NAMES, services=st.lists(st.sampled_from(SERVICES), unique=True))
    def add(self, name: str, services: list[Service]) -> None:
        if any(agent.llm_shared_with == name for agent in self.agents.values()):
            services = sorted({*services, "llama-cpp"})
        if name in self.agents:
            self.agents[name] = replace(self.agents[name], services=tuple(services))
        else:
            self.agents[name] = agent_spec(name, SUBNETS[name], tuple(services))
        self.leaving.discard(name)

    @rule(name=NAMES, env=st.dictionaries(st.sampled_from(["A", "B"]), st.sampled_from(["1", "it's", ""])))
    def set_environment(self, name: str, env: dict[str, str]) -> None:
        if name in self.agents:
            self.agents[name] = replace(self.agents[name], env=env)

    @rule(name=NAMES, locale=st.sampled_from(["C.UTF-8", "sl_SI.UTF-8"]))
    def set_locale(self, name: str, locale: str) -> None:
        if name in self.agents:
            self.agents[name] = replace(self.agents[name], locale=Locale(system=locale))

    @rule(
        name=NAMES,
        command=st.sampled_from([None, ("/usr/local/bin/node", "a.js"), ("/usr/local/bin/node", "it's $HOME.js")]),
    )
    def set_command(self, name: str, command: tuple[str, ...] | None) -> None:
        if name in self.agents:
            self.agents[name] = replace(self.agents[name], command=command)

    @rule(name=NAMES, owner=NAMES)
    def share(self, name: str, owner: str) -> None:
        if {name, owner} <= self.agents.keys() and name != owner:
            services = self.agents[owner].services or ()
            self.agents[owner] = replace(self.agents[owner], services=tuple({*services, "llama-cpp"}))
            self.agents[name] = replace(self.agents[name], llm_shared_with=owner)

    @rule(name=NAMES)
    def share_no_more(self, name: str) -> None:
        if name in self.agents:
            self.agents[name] = replace(self.agents[name], llm_shared_with=None)

    @rule(isolation=st.sampled_from([None, "open", "routed"]))
    def isolate(self, isolation: Isolation | None) -> None:
        self.isolation = isolation

    @rule(faults=CUTS)
    def apply(self, faults: Faults | None) -> None:
        done = self.world.apply(self.spec, faults)
        assert faults or done.ok or not self.agents, done.trouble

    @precondition(lambda self: len(self.agents) > 1)
    @rule(name=NAMES, faults=CUTS)
    def destroy(self, name: str, faults: Faults | None) -> None:
        if name not in self.agents:
            return
        self.free(name)
        del self.agents[name]
        self.leaving.add(name)
        done = self.world.destroy(name, faults, spec=self.spec)
        assert faults or done.ok, done.trouble

    def free(self, name: str) -> None:
        """Let nobody use an agent's model any more: neither those of the spec, nor one that is half gone."""
        self.finish()
        for other, agent in self.agents.items():
            if agent.llm_shared_with == name:
                self.agents[other] = replace(agent, llm_shared_with=None)
        settled = self.world.apply(self.spec)
        assert settled.ok, settled.trouble

    def finish(self) -> None:
        """End what was begun: those that are half gone go."""
        users = self.world.facts().registry
        for name in sorted(self.leaving & users.keys(), key=lambda name: users[name].shares_llm_of is None):
            gone = self.world.destroy(name, spec=self.spec)
            assert gone.ok, gone.trouble
        self.leaving.clear()

    # without bastille_enable the operator's own jail is down after a reboot, and stays so: no apply starts it
    @rule(harm=st.sampled_from(sorted(HARMS.keys() - {"sysrc -x bastille_enable"})))
    def harm(self, harm: str) -> None:
        if "host.toml" in harm:
            # without its record and its mark the bridge is nobody's, and Warden asks; so one of the two is there
            settled = self.world.apply(self.spec)
            assert settled.ok, settled.trouble
            self.record_is_lost = True
        HARMS[harm](self.world)
        if "host.toml" in harm:
            assert self.world.apply(self.spec).ok

    @rule()
    def reboot(self) -> None:
        self.world.reboot()

    def teardown(self) -> None:
        """One apply without faults, and all is well: now, after a reboot, and once Warden has gone."""
        if not self.agents:
            return
        self.finish()
        done = self.world.apply(self.spec)
        assert done.ok, done.trouble
        assert self.world.plan(self.spec).empty
        assert differences(foreign(self.world), base()) == []
        self.world.reboot()
        left = self.world.plan(self.spec)
        assert left.empty, left.changes
        assert differences(foreign(self.world), base()) == []
        for name in sorted(self.agents):
            self.free(name)
            del self.agents[name]
            gone = self.world.destroy(name, spec=self.spec)
            assert gone.ok, gone.trouble
        before, here = what_matters(lived_in().machine), what_matters(self.world.machine)
        if self.record_is_lost:
            before["rc.conf"] = here["rc.conf"]
            before["forwarding"] = here["forwarding"]
        assert differences(here, before) == []


def test_one_apply_makes_everything_good() -> None:
    """A sample of it."""
    run_state_machine_as_test(Operator, settings=settings(max_examples=6, stateful_step_count=12))


@pytest.mark.exhaustive
def test_one_apply_makes_everything_good_whatever_happened() -> None:
    run_state_machine_as_test(Operator, settings=settings(max_examples=400, stateful_step_count=25))


@pytest.mark.parametrize("harm", sorted(HARMS))
def test_one_apply_makes_good_what_was_broken_by_hand(harm: str) -> None:
    world = broken().copy()
    before = what_matters(world.machine)
    HARMS[harm](world)
    done = world.apply(WHOLE)
    assert done.ok, done.trouble
    # in rc.conf lines may stand in another order, and a lost record does not know any more what forwarding was before
    here = {**what_matters(world.machine), "rc.conf": before["rc.conf"]}
    here["files"][f"{ETC}/host.toml"] = before["files"][f"{ETC}/host.toml"]
    assert differences(here, before) == []


WHOLE = spec_of(
    agent_spec("atlas", "10.0.1.0/24", SERVICES, env={"A": "1"}),
    agent_spec("clawdie", "192.168.72.0/24", ("git",)),
    agent_spec("dev-qwen", None, ("db",), shares="atlas"),
)


@cache
def broken() -> World:
    """Give a host with all agents, about to be broken."""
    world = lived_in()
    assert world.apply(WHOLE).ok
    return world
