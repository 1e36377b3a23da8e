# SPDX-License-Identifier: BSD-2-Clause
"""The agent's own rc.d service: its env file, its script, whether it starts at boot and whether it runs."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from warden.facts.registry import REGISTRY
from warden.host.files import write_file
from warden.network.names import rc_name
from warden.resources.change import Change, Note, Stage
from warden.resources.commands import command, remove_file, sysrc_remove, sysrc_set
from warden.resources.desired import DesiredService
from warden.resources.errors import RefusedError
from warden.resources.marks import FILE_MARK
from warden.resources.templates import render

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from warden.facts.model import Facts
    from warden.host.command import Command
    from warden.host.secret import Secret
    from warden.resources.change import Finding
    from warden.resources.desired import Desired, DesiredAgent

_SCRIPT_MODE = 0o555
_SECRET_MODE = 0o600
_SERVICE = "/usr/sbin/service"
_PLAIN_PATH = re.compile(r"^/[A-Za-z0-9._/@+-]*$")
RESTART_DELAY = 5
"""Seconds that daemon(8) waits before it starts a command again that has ended."""


def script_path(agent: str) -> str:
    """Give the path of an agent's rc.d script."""
    return f"/usr/local/etc/rc.d/{agent}"


def env_path(agent: str) -> str:
    """Give the path of an agent's env file."""
    return f"{REGISTRY}/{agent}.env"


def log_path(agent: str) -> str:
    """Give the path of what the agent's command writes."""
    return f"/var/log/{agent}.log"


def changes(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the changes to the agents' services."""
    for agent in desired.agents.values():
        if agent.service is not None:
            yield from _service(agent, agent.service, facts)
        else:
            if _is_installed(agent.name, facts):
                yield _removal(agent.name, facts)
            yield from _environment_only(agent, facts)


def departures(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the end of the services of agents that leave: before the jails that they may be using go."""
    for name in desired.leaving:
        if _is_installed(name, facts) or env_path(name) in facts.files:
            yield _removal(name, facts, remove_file(env_path(name)))


def _is_installed(agent: str, facts: Facts) -> bool:
    return script_path(agent) in facts.files or agent in facts.supervised or f"{rc_name(agent)}_enable" in facts.rc_conf


def _service(agent: DesiredAgent, service: DesiredService, facts: Facts) -> Iterator[Finding]:
    script = render_script(agent.name, agent.system_locale, service)
    environment = merged_environment(agent.environment, facts.environments.get(agent.name, {}))
    there = facts.files.get(script_path(agent.name))
    enabled = facts.rc_conf.get(f"{rc_name(agent.name)}_enable", "NO").upper() == "YES"
    supervised = facts.supervised.get(agent.name)
    writes: list[Command] = []
    reasons: list[str] = []
    if not _env_file_is(agent.name, environment, facts):
        writes.append(write_environment(agent.name, environment))
        reasons.append("environment")
    if there is None or there.text != script or there.mode != _SCRIPT_MODE:
        writes.append(write_file(script_path(agent.name), script.encode(), mode="0555"))
        reasons.append("script")
    if not writes and enabled and supervised is not None:
        if supervised.child is None:
            yield Note(
                agent=agent.name,
                message=f"the command of {agent.name} does not stay up, and is started again and again;"
                f" see {log_path(agent.name)} on the host",
            )
        return
    commands: list[Command] = []
    if writes and supervised is not None:
        # stopped before its files change: cut off here, it is seen to be down, and not to run on old ones
        commands += _stop(agent.name, facts)
    commands += writes
    if not enabled:
        commands.append(sysrc_set({f"{rc_name(agent.name)}_enable": "YES"}))
        reasons.append("not enabled at boot")
    if supervised is None:
        reasons.append("not running")
    if supervised is None or writes:
        commands.append(command(_SERVICE, agent.name, "start"))
    yield Change(
        kind="service",
        name=agent.name,
        agent=agent.name,
        action="~" if there else "+",
        stage=Stage.AGENT,
        detail=f"{script_path(agent.name)}, {agent.system_locale}, as {service.user}",
        reason=", ".join(reasons) if there else "",
        commands=tuple(commands),
    )


def _environment_only(agent: DesiredAgent, facts: Facts) -> Iterator[Finding]:
    environment = merged_environment(agent.environment, facts.environments.get(agent.name, {}))
    if not _env_file_is(agent.name, environment, facts):
        yield Change(
            kind="environment",
            name=agent.name,
            agent=agent.name,
            action="~" if env_path(agent.name) in facts.files else "+",
            stage=Stage.AGENT,
            detail=env_path(agent.name),
            commands=(write_environment(agent.name, environment),),
        )


def _stop(agent: str, facts: Facts) -> list[Command]:
    """Give the commands that stop a service, also one whose script is gone while it runs.

    What stops it is rc.subr, by its pid file: any script of that name does, and waits until it is gone.
    """
    stop = command(_SERVICE, agent, "onestop")
    if script_path(agent) in facts.files:
        return [stop]
    stand_in = render_script(agent, "C.UTF-8", DesiredService(command=("/usr/bin/true",), user="root", workdir="/"))
    return [write_file(script_path(agent), stand_in.encode(), mode="0555"), stop]


def _removal(agent: str, facts: Facts, *further: Command) -> Change:
    commands: list[Command] = []
    script = script_path(agent)
    if f"{rc_name(agent)}_enable" in facts.rc_conf:
        commands.append(sysrc_remove([f"{rc_name(agent)}_enable"]))
    if agent in facts.supervised:
        commands += _stop(agent, facts)
    commands += [remove_file(script), *further]
    return Change(
        kind="service",
        name=agent,
        agent=agent,
        action="-",
        stage=Stage.AGENT,
        detail=f"{script}; its log {log_path(agent)} stays",
        commands=tuple(commands),
    )


def render_script(agent: str, locale: str, service: DesiredService) -> str:
    """Give the rc.d script of an agent; raises RefusedError for a folder that rc.subr cannot change to."""
    if not _PLAIN_PATH.match(service.workdir):
        raise RefusedError(
            f"{agent}: rc.subr(8) does not quote {service.workdir!r} when it changes to it",
            hint="take a folder whose path has only letters, digits and . _ - + @ /",
        )
    words = (
        *("-f", "-P", f"/var/run/{agent}.pid", "-r", "-R", str(RESTART_DELAY)),
        *("-u", service.user, "-t", agent, "-o", log_path(agent)),
        *("/usr/bin/env", f"LANG={locale}", f"LC_ALL={locale}", *service.command),
    )
    return render(
        "rc.d/agent",
        agent=agent,
        rc_name=rc_name(agent),
        locale=locale,
        env_file=env_path(agent),
        workdir=service.workdir,
        command_args=shlex.join(words),
        log=log_path(agent),
    )


def merged_environment(wanted: Mapping[str, str], there: Mapping[str, Secret]) -> dict[str, str]:
    """Give the variables of an env file: the spec's win, and what else stands there is kept."""
    return {**{name: secret.reveal() for name, secret in there.items()}, **wanted}


def write_environment(agent: str, environment: Mapping[str, str]) -> Command:
    """Give the command that writes an agent's env file, which only root can read."""
    lines = [f"# {FILE_MARK}: the environment of {agent}; rc.subr(8) reads it as sh does"]
    lines += [f"{name}={shlex.quote(value)}" for name, value in sorted(environment.items())]
    content = "\n".join(lines) + "\n"
    return write_file(env_path(agent), content.encode("utf-8", "surrogateescape"), mode="0600", secret=True)


def _env_file_is(agent: str, environment: Mapping[str, str], facts: Facts) -> bool:
    file = facts.files.get(env_path(agent))
    there = {name: secret.reveal() for name, secret in facts.environments.get(agent, {}).items()}
    return file is not None and (file.mode, file.owner) == (_SECRET_MODE, "root") and there == dict(environment)
