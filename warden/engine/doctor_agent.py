# SPDX-License-Identifier: BSD-2-Clause
"""What is an agent's own: its gateway, its jails, its service, its files."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from warden.engine.doctor_finding import APPLY, Trouble, findings
from warden.engine.doctor_host import gateway_address, is_on
from warden.engine.serving import NO_LOGIN, NO_MODEL, host_serving, serving
from warden.engine.worker import read_workers
from warden.facts.jails import JAILS
from warden.facts.keys import FOLDER as KEYS
from warden.facts.registry import REGISTRY
from warden.network.names import rc_name
from warden.resources import devfs, hosts
from warden.resources.desired import DesiredService
from warden.resources.environment import env_path
from warden.resources.gateway import Aliases, parse_value
from warden.resources.service import log_path, render_script, script_path
from warden.services.db_sql import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.engine.doctor_finding import Finding
    from warden.engine.serving import Serving
    from warden.engine.worker import WorkerStatus
    from warden.facts.doctor import Vitals
    from warden.facts.model import Facts, RegisteredAgent, RegisteredJail, RunningJail

_LOCALE = ("LANG", "LC_ALL")
_MENDS = {NO_MODEL: "write model = ... (ollama: models) for its jail, and apply"}
_BOOTSTRAP = "bootstrap a release that has pkg(8) (bastille bootstrap RELEASE), and write it for the agent"


def check_agent(agent: RegisteredAgent, facts: Facts, vitals: Vitals, bridge: str) -> Iterator[Finding]:
    """Look at one agent that is registered."""
    name = agent.name
    no_password = PASSWORD not in facts.environments.get(name, {})  # said of the secrets
    yield from findings(
        "gateway", f"{agent.gateway} on {bridge}, now and at boot", _gateway(agent, facts, bridge), name
    )
    for jail in agent.jails.values():
        fine = f"{jail.address} answers, starts at boot"
        yield from findings(f"jail {jail.name}", fine, _jail(agent, jail, facts, vitals, bridge), name)
        if _is_at_its_address(jail, facts):
            how = serving(jail, facts)
            yield from findings(
                jail.service, f"{how.version} is healthy", _serving(jail, how, no_password=no_password), name
            )
    if agent.host_db is not None:
        how = host_serving(agent, agent.host_db, facts)
        ill = [Trouble(message=f"on the host: {how.why}", mend=APPLY)] if how.state == "ill" else []
        yield from findings("db", f"{how.version} on the host is healthy", iter(ill), name)
    for worker in read_workers(facts, name):
        yield from findings(f"worker {worker.name}", f"{worker.address}, {worker.state}", _worker(worker), name)
    if agent.user is not None:
        fine = f"runs as {agent.user}, starts at boot"
        yield from findings("service", fine, _service(agent, facts, vitals), name)
    if agent.system_locale is not None:
        yield from findings("locale", agent.system_locale, _locale(agent, facts), name)
    yield from findings("secrets", "nobody but root reads them", _secrets(agent, facts), name)
    if "git" in agent.jails:
        yield from findings("key", f"{KEYS}/{name}, for {agent.user or 'root'}", _key(agent, facts), name)
    yield from findings("names", f"all in {hosts.HOSTS}", _names(agent, facts), name)


def _gateway(agent: RegisteredAgent, facts: Facts, bridge: str) -> Iterator[Trouble]:
    address = gateway_address(agent)
    interface = facts.interfaces.get(bridge)
    # without the bridge it has none of its addresses, and that is said of the bridge
    live = {held.ip: held for held in interface.addresses} if interface else {address.ip: address}
    add = f"ifconfig {bridge} inet {address} alias"
    if address.ip not in live:
        yield Trouble(message=f"{address} is not on {bridge}", mend=add)
    elif live[address.ip] != address:
        yield Trouble(
            message=f"{bridge} has {live[address.ip]}, and should have {address}",
            mend=f"ifconfig {bridge} inet {address.ip} -alias && {add}",
        )
    aliases = Aliases.read(bridge, facts.rc_conf)
    variable = aliases.holder(agent.gateway)
    if variable is None:
        missing = {one.name: one for one in facts.registry.values() if aliases.holder(one.gateway) is None}
        places = {name: aliases.add(gateway_address(one)) for name, one in missing.items()}
        yield Trouble(
            message=f"{address} is gone after the next boot: rc.conf has it in no alias of {bridge}",
            mend=f"sysrc {shlex.quote(f'{places[agent.name]}=inet {address}')}",
        )
    elif parse_value(facts.rc_conf[variable]) != address:
        yield Trouble(
            message=f"{variable} in rc.conf is {facts.rc_conf[variable]}, and should be inet {address}",
            mend=f"sysrc {shlex.quote(f'{variable}=inet {address}')}",
        )


def _jail(agent: RegisteredAgent, jail: RegisteredJail, facts: Facts, vitals: Vitals, bridge: str) -> Iterator[Trouble]:
    defined = facts.bastille_jails.get(jail.name)
    dataset = next((one for one in facts.datasets.values() if one.mountpoint == f"{JAILS}/{jail.name}"), None)
    if defined is None:
        yield Trouble(message="is not there" if dataset is None else "has no jail.conf", mend=APPLY)
        return
    if dataset is None or dataset.agent != agent.name:
        mark = dataset.agent if dataset else None
        yield Trouble(
            message=f"belongs to the agent {mark}" if mark else "is not whole: its create was cut off",
            mend="warden plan" if mark else APPLY,
        )
        return
    if defined.release != jail.release:
        yield Trouble(message=f"is made from {defined.release}, and not from {jail.release}", mend="warden plan")
    if defined.boot is not True:
        yield Trouble(message="does not start at boot", mend=f"bastille config {jail.name} set boot on")
    running = facts.running_jails.get(jail.name)
    if running is None:
        # what jail(8) leaves of a start that failed is in the way of the next one
        in_the_way = defined.host_interface in facts.interfaces
        yield Trouble(message="is down", mend=APPLY if in_the_way else f"bastille start {jail.name}")
        return
    yield from _network(agent, jail, running)
    yield from _reach(jail, running, facts, vitals, bridge=bridge, host_interface=defined.host_interface)


def _is_at_its_address(jail: RegisteredJail, facts: Facts) -> bool:
    """Tell whether a jail can serve; why it cannot is said of the jail."""
    running = facts.running_jails.get(jail.name)
    return running is not None and jail.address in {held.ip for held in running.addresses}


def _worker(worker: WorkerStatus) -> Iterator[Trouble]:
    if worker.state == "unfinished":
        destroy = f"warden worker destroy {worker.agent} {worker.name}"
        yield Trouble(message="its create was cut off", mend=destroy, status="warning")


def _serving(jail: RegisteredJail, how: Serving, *, no_password: bool) -> Iterator[Trouble]:
    if how.state == "warning":
        yield Trouble(message=f"{jail.name}: {how.why}", mend=_MENDS.get(how.why, _BOOTSTRAP), status="warning")
    elif how.state == "ill" and not (how.why == NO_LOGIN and no_password):
        yield Trouble(message=f"{jail.name} is not healthy: {how.why}", mend=APPLY)


def _network(agent: RegisteredAgent, jail: RegisteredJail, running: RunningJail) -> Iterator[Trouble]:
    restart = f"bastille restart {jail.name}"
    if running.devfs_ruleset != devfs.RULESET:
        yield Trouble(
            message=f"runs with devfs ruleset {running.devfs_ruleset}, and not with {devfs.RULESET}",
            mend=f"bastille config {jail.name} set devfs_ruleset {devfs.RULESET} && {restart}",
        )
    address = f"{jail.address}/{agent.subnet.prefixlen}"
    held = ", ".join(str(one) for one in running.addresses)
    if address not in held.split(", "):
        persist = f"bastille sysrc {jail.name} {shlex.quote(f'ifconfig_vnet0=inet {address}')} && " if held else ""
        yield Trouble(message=f"has {held or 'no address'}, and should have {address}", mend=f"{persist}{restart}")
    elif running.default_router != agent.gateway:
        router = running.default_router
        yield Trouble(
            message=f"its default route goes by {router}" if router else "has no default route",
            mend=f"bastille sysrc {jail.name} defaultrouter={agent.gateway} && {restart}",
        )


def _reach(
    jail: RegisteredJail, running: RunningJail, facts: Facts, vitals: Vitals, *, bridge: str, host_interface: str | None
) -> Iterator[Trouble]:
    live = facts.interfaces.get(bridge)
    if live is None or not live.up:
        return  # said of the bridge
    if host_interface in facts.interfaces and host_interface not in live.members:
        yield Trouble(
            message=f"its {host_interface} is not on {bridge}", mend=f"ifconfig {bridge} addm {host_interface}"
        )
        return
    # without the gateway there is no way to it, and that is said of the gateway
    on_link = any(jail.address in held.network for held in live.addresses)
    if on_link and jail.address in vitals.silent and jail.address in {held.ip for held in running.addresses}:
        yield Trouble(message=f"is up, and does not answer at {jail.address}", mend=f"bastille restart {jail.name}")


def _service(agent: RegisteredAgent, facts: Facts, vitals: Vitals) -> Iterator[Trouble]:
    name, script = agent.name, vitals.scripts.get(script_path(agent.name))
    if agent.user not in facts.users:
        yield Trouble(message=f"there is no user {agent.user}", mend=APPLY)
    if script is None:
        yield Trouble(message=f"{script_path(name)} is missing", mend=APPLY)
    elif script.owner != "root" or script.mode & 0o022:
        path = script_path(name)
        yield Trouble(message=f"{path} can be written by others", mend=f"chown root:wheel {path} && chmod 555 {path}")
    elif script.text != _expected_script(agent):
        yield Trouble(message=f"{script_path(name)} is not as Warden writes it", mend=APPLY, status="warning")
    if not is_on(facts, f"{rc_name(name)}_enable"):
        yield Trouble(message="does not start at boot", mend=f"sysrc {rc_name(name)}_enable=YES")
    supervised = facts.supervised.get(name)
    if supervised is None:
        yield Trouble(message="is not running", mend=f"service {name} onestart" if script else APPLY)
    elif supervised.child is None:
        yield Trouble(
            message="its command does not stay up, and is started again and again", mend=f"tail {log_path(name)}"
        )


def _expected_script(agent: RegisteredAgent) -> str:
    service = DesiredService(command=agent.command, user=agent.user or "root", workdir=agent.workdir or "/")
    return render_script(agent.name, agent.system_locale or "C.UTF-8", service)


def _locale(agent: RegisteredAgent, facts: Facts) -> Iterator[Trouble]:
    if agent.system_locale not in facts.locales:
        yield Trouble(message=f"the host has no {agent.system_locale}", mend="locale -a; take one that is there")
    environment = facts.environments.get(agent.name)
    if environment is None:
        return  # said of the secrets
    for name in _LOCALE:
        if name not in environment or environment[name].reveal() != agent.system_locale:
            yield Trouble(
                message=f"{name} in {env_path(agent.name)} is not {agent.system_locale}", mend=APPLY, status="warning"
            )


def _secrets(agent: RegisteredAgent, facts: Facts) -> Iterator[Trouble]:
    if env_path(agent.name) not in facts.files:
        yield Trouble(message=f"{env_path(agent.name)} is missing", mend=APPLY)
    elif (agent.host_db or "db" in agent.jails) and PASSWORD not in facts.environments[agent.name]:
        yield Trouble(message=f"{env_path(agent.name)} has no {PASSWORD}", mend=APPLY)
    # copies of it that somebody made by hand count as well
    for path, file in facts.files.items():
        if path.startswith(f"{REGISTRY}/{agent.name}.") and not path.endswith(".toml"):
            if file.owner != "root":
                yield Trouble(message=f"{path} belongs to {file.owner}", mend=f"chown root:wheel {shlex.quote(path)}")
            if file.mode & 0o077:
                yield Trouble(
                    message=f"{path} is open to others, mode {file.mode:04o}", mend=f"chmod 600 {shlex.quote(path)}"
                )


def _key(agent: RegisteredAgent, facts: Facts) -> Iterator[Trouble]:
    key, owner, git = facts.keys.get(agent.name), agent.user or "root", agent.jails["git"]
    if key is None:
        yield Trouble(message=f"{KEYS}/{agent.name} is missing", mend=APPLY)
    elif key.owner != owner and owner in facts.users:
        yield Trouble(message=f"{KEYS}/{agent.name} belongs to {key.owner}, and should to {owner}", mend=APPLY)
    elif not key.known_hosts and git.runtime == "ssh" and git.release in facts.releases_with_pkg:
        yield Trouble(message=f"{KEYS}/{agent.name}.known_hosts, the host key of {git.name}, is missing", mend=APPLY)


def _names(agent: RegisteredAgent, facts: Facts) -> Iterator[Trouble]:
    file = facts.files.get(hosts.HOSTS)
    known = {line.split()[0] for line in hosts.named(file.text)} if file else set()
    nameless = [address for one in hosts.addresses(agent) if (address := str(one)) not in known]
    if nameless:
        yield Trouble(
            message=f"{hosts.HOSTS} has no name of ours for {', '.join(nameless)}", mend=APPLY, status="warning"
        )
