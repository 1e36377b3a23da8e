# SPDX-License-Identifier: BSD-2-Clause
"""The agent's own rc.d service: its script and env file, whether it starts at boot and whether it runs."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from warden.host.files import write_file
from warden.network.names import rc_name
from warden.resources import environment
from warden.resources.change import Change, Conflict, Note, Stage
from warden.resources.commands import command, remove_file, sysrc_remove, sysrc_set
from warden.resources.desired import DesiredService
from warden.resources.environment import env_path
from warden.resources.errors import RefusedError
from warden.resources.marks import is_ours
from warden.resources.templates import render

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.facts.model import Facts, File
    from warden.host.command import Command
    from warden.resources.change import Finding
    from warden.resources.desired import Desired, DesiredAgent

_SCRIPT_MODE = 0o555
_EXECUTABLE = 0o100
_SERVICE = "/usr/sbin/service"
_TRY_STOP = 'service "$1" onestop || true'
_PLAIN_PATH = re.compile(r"^/[A-Za-z0-9._/@+-]*$")
RESTART_DELAY = 5
"""Seconds that daemon(8) waits before it starts a command again that has ended."""


def script_path(agent: str) -> str:
    """Give the path of an agent's rc.d script."""
    return f"/usr/local/etc/rc.d/{agent}"


def log_path(agent: str) -> str:
    """Give the path of what the agent's command writes."""
    return f"/var/log/{agent}.log"


def environments(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the changes to the agents' env files: what is set up for an agent reads its secrets there.

    A service that runs is stopped before: cut off here, it is seen to be down, and not to run with what it had.
    """
    for agent in desired.agents.values():
        drift = environment.drift(agent, facts)
        if not drift:
            continue
        made = environment.to_make(agent, facts)
        runs = agent.service is not None and agent.name in facts.supervised and _conflict(agent.name, facts) is None
        yield Change(
            kind="environment",
            name=agent.name,
            agent=agent.name,
            action="~" if env_path(agent.name) in facts.files else "+",
            stage=Stage.AGENT,
            detail=", ".join([env_path(agent.name), *(f"secret {name} made at apply" for name in made)]),
            reason=drift,
            commands=(
                *(_stop(agent.name, facts) if runs else ()),
                environment.write(agent.name, environment.wanted(agent, facts)),
            ),
        )


def changes(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the changes to the agents' services."""
    for agent in desired.agents.values():
        foreign = _conflict(agent.name, facts)
        if agent.service is None:
            if _is_installed(agent.name, facts) and foreign is None:
                yield removal(agent.name, facts, with_environment=False)
        elif foreign is not None and foreign.id not in desired.replace:
            yield foreign
        else:
            if foreign is not None:
                yield _give_up(agent.name)
            yield from _service(agent, agent.service, facts, replaced=foreign is not None)


def departures(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the end of the services of agents that leave: before the jails that they may be using go."""
    for name in desired.leaving:
        foreign = _conflict(name, facts)
        if foreign is not None:
            yield Note(agent=name, message=f"{script_path(name)} stays: it is not Warden's")
            if env_path(name) in facts.files:
                yield environment_removal(name)
        elif _is_installed(name, facts) or env_path(name) in facts.files:
            yield removal(name, facts)


def _conflict(agent: str, facts: Facts) -> Conflict | None:
    there = facts.files.get(script_path(agent))
    if there is None or is_ours(there.text):
        return None
    return Conflict(
        kind="script",
        name=agent,
        agent=agent,
        message=f"{facts.address} has a service {agent} that is not Warden's: {script_path(agent)}",
        hint=f"give the agent another name, or was it set up by hand: warden adopt {agent};"
        f" to give that script up: apply --replace script:{agent}",
        replaceable=True,
    )


def _give_up(agent: str) -> Change:
    script = script_path(agent)
    return Change(
        kind="replaced script",
        name=agent,
        agent=agent,
        action="-",
        stage=Stage.AGENT,
        detail=f"{script}, stopped before",
        reason="given up by --replace",
        # a script that cannot stop its service, or has none that runs, says 1
        commands=(command("/bin/sh", "-c", _TRY_STOP, "sh", agent), remove_file(script)),
    )


def _is_installed(agent: str, facts: Facts) -> bool:
    return script_path(agent) in facts.files or agent in facts.supervised or f"{rc_name(agent)}_enable" in facts.rc_conf


def _service(
    agent: DesiredAgent, service: DesiredService, facts: Facts, *, replaced: bool = False
) -> Iterator[Finding]:
    script = render_script(agent.name, agent.system_locale, service)
    stale = environment.drift(agent, facts)
    there = None if replaced else facts.files.get(script_path(agent.name))
    variable = f"{rc_name(agent.name)}_enable"
    enabled = facts.rc_conf.get(variable, "absent")
    supervised = None if replaced else facts.supervised.get(agent.name)
    writes: list[Command] = []
    reasons: list[str] = []
    if stale and supervised is not None:
        reasons.append("started again with its new environment")
    drift = _script_drift(there, script)
    if drift:
        writes.append(write_file(script_path(agent.name), script.encode(), mode="0555"))
        reasons.append(drift)
    if not writes and not stale and enabled.upper() == "YES" and supervised is not None:
        if supervised.child is None:
            yield Note(
                agent=agent.name,
                message=f"the command of {agent.name} does not stay up, and is started again and again;"
                f" see {log_path(agent.name)} on the host",
            )
        return
    commands: list[Command] = []
    if writes and supervised is not None and not stale:
        # stopped before its files change: cut off here, it is seen to be down, and not to run on old ones
        commands += _stop(agent.name, facts)
    elif there is not None and there.text != script:
        # one that was adopted may run without daemon(8): its own script knows how to stop it
        commands.append(command("/bin/sh", "-c", _TRY_STOP, "sh", agent.name))
    commands += writes
    if enabled.upper() != "YES":
        commands.append(sysrc_set({variable: "YES"}))
        reasons.append(f"{variable} {enabled} -> YES")
    if supervised is None:
        reasons.append("stopped -> running")
    if supervised is None or writes or stale:
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


def _stop(agent: str, facts: Facts) -> list[Command]:
    """Give the commands that stop a service, also one whose script is gone, or cannot be run, while it runs.

    What stops it is rc.subr, by its pid file: any script of that name does, and waits until it is gone.
    """
    stop = command(_SERVICE, agent, "onestop")
    there = facts.files.get(script_path(agent))
    if there is not None and there.mode & _EXECUTABLE:
        return [stop]
    stand_in = render_script(agent, "C.UTF-8", DesiredService(command=("/usr/bin/true",), user="root", workdir="/"))
    return [write_file(script_path(agent), stand_in.encode(), mode="0555"), stop]


def environment_removal(agent: str) -> Change:
    """Give the change that removes an env file alone."""
    return Change(
        kind="environment",
        name=agent,
        agent=agent,
        action="-",
        stage=Stage.AGENT,
        detail=f"{env_path(agent)} with the secrets in it",
        commands=(remove_file(env_path(agent)),),
    )


def removal(agent: str, facts: Facts, *, with_environment: bool = True) -> Change:
    """Give the change that ends a service, and removes its script and, if nothing else needs it, its env file."""
    commands: list[Command] = []
    script = script_path(agent)
    if f"{rc_name(agent)}_enable" in facts.rc_conf:
        commands.append(sysrc_remove([f"{rc_name(agent)}_enable"]))
    if agent in facts.supervised:
        commands += _stop(agent, facts)
    commands.append(remove_file(script))
    if with_environment:
        commands.append(remove_file(env_path(agent)))
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


def _script_drift(there: File | None, script: str) -> str:
    if there is None:
        return "script absent -> there"
    if there.text != script:
        return "script differs"
    return "" if there.mode == _SCRIPT_MODE else f"script's mode {there.mode:04o} -> {_SCRIPT_MODE:04o}"
