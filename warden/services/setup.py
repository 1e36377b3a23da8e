# SPDX-License-Identifier: BSD-2-Clause
"""Setting the services up in their jails: the difference between what a module wants and what its jail tells."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from warden.facts.inside.ask import QUESTIONS, WAIT
from warden.facts.model import Inside
from warden.resources import environment, hosts
from warden.resources.change import Change, Conflict, Note, Stage
from warden.resources.commands import command
from warden.resources.jail import staying
from warden.services import db
from warden.services.difference import PKG, STALE, difference, mend, start
from warden.services.modules import MODULES
from warden.services.shape import JailFile, Place, Setup
from warden.spec.model import LLM_SERVICES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.facts.model import Facts
    from warden.host.command import Command
    from warden.resources.change import Finding
    from warden.resources.desired import Desired, DesiredAgent, DesiredJail

_UPGRADED = "/var/db/warden.upgraded"
_HOSTS = """\
umask 022
{ sed '/^# warden begin/,/^# warden end/d' /etc/hosts; cat; } > /etc/hosts.warden && mv -f /etc/hosts.warden /etc/hosts
"""


def changes(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the changes that set up the services of the agents in their jails."""
    stay = staying(desired, facts)
    for agent in desired.agents.values():
        for service, jail in agent.jails.items():
            if service not in agent.kept:
                told = facts.inside.get(jail.name) if jail.name in stay else None
                yield from _service(desired, agent, jail, told, facts)


def _service(
    desired: Desired, agent: DesiredAgent, jail: DesiredJail, told: Inside | None, facts: Facts
) -> Iterator[Finding]:
    conflict = _other_version(agent, jail, facts) if jail.service == "db" else None
    if conflict is not None and conflict.id not in desired.replace:
        yield conflict
        return
    setup = MODULES[jail.service].setup(agent, jail)
    if jail.release not in facts.releases_with_pkg:
        yield Note(
            agent=agent.name,
            message=f"{jail.name} stays empty: {jail.release} has no pkg(8), so nothing can be installed in its jails;"
            " see docs/services",
        )
        setup = Setup(title="its names")
    elif setup.warning:
        yield Note(agent=agent.name, message=f"{jail.service} of {agent.name}: {setup.warning}")
    lack = difference(setup, told or Inside(), _renewed(agent, jail, facts) if setup.packages else ())
    place = Place(jail=jail.name)
    commands: list[Command] = []
    lines = _names(desired, agent)
    if told is None or f"hosts {''.join(f'|{line}' for line in lines)}" not in told.items:
        commands.append(place.run("/bin/sh", "-c", _HOSTS, stdin=hosts.block(lines).encode()))
    names = bool(commands)
    if lack:
        commands += [*mend(place, setup, lack), *_wait(agent, jail, setup)]
    if commands:
        yield Change(
            kind=jail.service,
            name=jail.name,
            agent=agent.name,
            action="+" if told is None or lack.packages else "~",
            stage=Stage.AGENT,
            detail=setup.title,
            reason=lack.words() or ("names in its /etc/hosts" if names else "") if told is not None else "",
            commands=tuple(commands),
        )


def _other_version(agent: DesiredAgent, jail: DesiredJail, facts: Facts) -> Conflict | None:
    """Give what keeps an agent's databases from being empty all at once: a new major version begins without data."""
    version = jail.settings.version
    others = db.other_versions(agent, version, facts.datasets)
    if not others or f"{agent.storage}/pgdata{version}" in facts.datasets:
        return None
    there = " and ".join(map(str, others))
    return Conflict(
        kind="db",
        name=jail.name,
        agent=agent.name,
        message=f"{agent.name} has data of PostgreSQL {there}, and version {version} would begin without any",
        hint=f"write version = {others[-1]}; or dump the data first (docs/services/db.md), and then:"
        f" apply --replace db:{jail.name}; the old data stay",
        replaceable=True,
    )


def _renewed(agent: DesiredAgent, jail: DesiredJail, facts: Facts) -> list[str]:
    """Name what becomes another one in this plan, and what the jail was asked with as it was."""
    renewed = sorted(set(MODULES[jail.service].needs(agent, jail).secrets) & set(environment.different(agent, facts)))
    if jail.service == "git" and jail.settings.runtime == "ssh":
        renewed += ["its key"] if agent.public_key is None else []
        renewed += [] if agent.knows_its_host else ["the host key that it knows"]
    return renewed


def upgrades(desired: Desired, facts: Facts, stamp: str) -> Iterator[Finding]:
    """Give the changes that upgrade the packages of the agents' services; `stamp` is written down where it is done."""
    for agent in desired.agents.values():
        for jail in agent.jails.values():
            told = facts.inside.get(jail.name, Inside())
            if jail.service in agent.kept or jail.release not in facts.releases_with_pkg:
                continue
            if f"upgraded {stamp}" not in told.items:
                setup, place = MODULES[jail.service].setup(agent, jail), Place(jail=jail.name)
                yield Change(
                    kind="upgrade",
                    name=jail.name,
                    agent=agent.name,
                    action="~",
                    stage=Stage.AGENT,
                    detail=f"{setup.title}: {', '.join(setup.packages)}",
                    reason="started again with the newest packages of its repository",
                    commands=(
                        *([place.run("/usr/bin/touch", STALE)] if setup.daemon is not None else ()),
                        place.run(*PKG, "upgrade", "-y", *setup.packages),
                        # a package may put its own in the place of one
                        *(place.write(file) for file in setup.files),
                        # a reload would leave the old program running
                        *start(place, replace(setup, how="restart")),
                        *_wait(agent, jail, setup),
                        place.write(JailFile(path=_UPGRADED, content=f"{stamp}\n".encode())),
                    ),
                )


def _wait(agent: DesiredAgent, jail: DesiredJail, setup: Setup) -> Iterator[Command]:
    """Give the command that asks a service, on the host and once a second, until it is healthy."""
    settings = jail.settings
    words = (str(jail.address), str(jail.port), str(settings.version), settings.runtime or "", agent.name)
    if setup.daemon is not None:
        question = QUESTIONS[jail.service]
        yield command("/bin/sh", "-c", WAIT, "sh", str(setup.patience), jail.name, question, *words)


def _names(desired: Desired, agent: DesiredAgent) -> list[str]:
    """Give the lines of a jail's hosts file: the names of its own agent, and the local model that another shares."""
    lines = hosts.names(agent, desired.domain)
    owner = desired.everyone.get(agent.shares_llm_of) if agent.shares_llm_of else None
    if owner is not None:
        lines += [
            line
            for line in hosts.names(owner, desired.domain)
            if any(f"\t{service}." in line for service in LLM_SERVICES)
        ]
    return lines
