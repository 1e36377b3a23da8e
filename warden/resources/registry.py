# SPDX-License-Identifier: BSD-2-Clause
"""The registry: what was allocated to whom, written on the host before anything is built on it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from warden.facts.registry import HOST_RECORD, REGISTRY
from warden.host.files import write_file
from warden.resources.change import Change, Stage
from warden.resources.commands import command, remove_file
from warden.resources.host_rc_conf import rc_conf_before
from warden.resources.marks import FILE_MARK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from warden.facts.model import Facts, RegisteredWorker
    from warden.host.command import Command
    from warden.resources.change import Finding
    from warden.resources.desired import Desired, DesiredAgent

_FOLDERS = command("/bin/mkdir", "-p", REGISTRY)


def path_of(agent: str) -> str:
    """Give the path of an agent's file in the registry."""
    return f"{REGISTRY}/{agent}.toml"


def changes(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the changes to the registry: the entries to write.

    They come before the host's record: with a record alone there would be no agent by whose end it goes.
    """
    for agent in desired.agents.values():
        text = entry(agent)
        there = facts.files.get(path_of(agent.name))
        if there is None or there.text != text:
            yield Change(
                kind="registry",
                name=agent.name,
                agent=agent.name,
                action="~" if there else "+",
                stage=Stage.FIRST,
                detail=str(agent.subnet),
                reason=drift(there.text, text) if there else "other applies see from now on that this is taken",
                commands=write_entry(path_of(agent.name), text),
            )
    if desired.inhabited:
        yield from _host_record(desired, facts)


def departures(desired: Desired, _facts: Facts) -> Iterator[Finding]:
    """Give the removal of the entries of agents that leave, where others stay."""
    if not desired.inhabited:
        return
    for name in desired.leaving:
        yield Change(
            kind="registry",
            name=name,
            agent=name,
            action="-",
            stage=Stage.LAST,
            detail=f"{desired.leaving[name].subnet} is free again",
            commands=(remove_file(path_of(name)),),
        )


def _host_record(desired: Desired, facts: Facts) -> Iterator[Finding]:
    before = rc_conf_before(desired, facts)
    text = _host_text(desired.isolation, before)
    there = facts.files.get(HOST_RECORD)
    if there is None or there.text != text:
        yield Change(
            kind="record",
            name="host.toml",
            action="~" if there else "+",
            stage=Stage.FIRST,
            detail=drift(there.text, text) if there else HOST_RECORD,
            reason="what stood in rc.conf before, for the day when the last agent leaves",
            commands=(_FOLDERS, write_file(HOST_RECORD, text.encode())),
        )


def write_entry(path: str, text: str) -> tuple[Command, ...]:
    """Give the commands that write an agent's file in the registry."""
    return _FOLDERS, write_file(path, text.encode())


def drift(there: str, wanted: str) -> str:
    """Say which of a file's lines differ, with both values."""
    old, new = _values(there), _values(wanted)
    return ", ".join(
        f"{name} {old.get(name, 'absent')} -> {new.get(name, 'absent')}"
        for name in [*new, *(name for name in old if name not in new)]
        if old.get(name) != new.get(name)
    )


def _values(text: str) -> dict[str, str]:
    section, values = "", {}
    for line in text.splitlines():
        name, sign, value = line.partition(" = ")
        if line.startswith("["):
            section = line.strip("[]") + "."
        elif sign and not line.startswith("#"):
            values[f"{section}{name}"] = value
    return values


def entry(agent: DesiredAgent) -> str:
    """Give an agent's file in the registry: TOML, no secret in it."""
    lines = [
        f"# {FILE_MARK}: what was allocated to this agent",
        f"name = {_quoted(agent.name)}",
        f"display_name = {_quoted(agent.display_name)}",
        f"subnet = {_quoted(str(agent.subnet))}",
        f"gateway = {_quoted(str(agent.gateway))}",
        f"system_locale = {_quoted(agent.system_locale)}",
        f"protected = {str(agent.protected).lower()}",
    ]
    if agent.shares_llm_of:
        lines.append(f"shares_llm_of = {_quoted(agent.shares_llm_of)}")
    if agent.service is not None:
        lines += ["", "[service]", f"user = {_quoted(agent.service.user)}"]
        lines.append(f"command = [{', '.join(_quoted(word) for word in agent.service.command)}]")
        lines.append(f"workdir = {_quoted(agent.service.workdir)}")
    if agent.host_db is not None:
        lines += ["", "[host_db]", f"version = {agent.host_db.version}", f"port = {agent.host_db.port}"]
    for jail in agent.jails.values():
        lines += ["", f"[jails.{jail.service}]", f"name = {_quoted(jail.name)}"]
        lines += [f"address = {_quoted(str(jail.address))}", f"release = {_quoted(jail.release)}"]
        lines.append(f"port = {jail.port}")
        if jail.service == "db":
            lines.append(f"version = {jail.settings.version}")
        if jail.settings.runtime is not None:
            lines.append(f"runtime = {_quoted(jail.settings.runtime)}")
    return with_workers("\n".join(lines) + "\n", agent.workers)


def with_workers(text: str, workers: Mapping[str, RegisteredWorker]) -> str:
    """Give an agent's file in the registry with these workers, and no others: they stand at its end."""
    lines: list[str] = []
    for number, worker in sorted(workers.items()):
        lines += ["", f"[workers.{number}]", f"name = {_quoted(worker.name)}"]
        lines += [f"address = {_quoted(str(worker.address))}", f"release = {_quoted(worker.release)}"]
        lines.append(f"created = {_quoted(worker.created)}")
        limits = asdict(worker.limits)
        lines += [f"{name} = {amount}" for name, amount in limits.items() if amount is not None]
    return text.partition("\n[workers.")[0] + "".join(f"{line}\n" for line in lines)


def _host_text(isolation: str, before: Mapping[str, str | None]) -> str:
    lines = [f"# {FILE_MARK}: what was changed for all agents", f"isolation = {_quoted(isolation)}", ""]
    lines += ["# what rc.conf said before; empty where it said nothing", "[rc_conf_before]"]
    lines += [f"{name} = {_quoted(value or '')}" for name, value in sorted(before.items())]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    # a JSON string without non-ASCII escapes is a TOML basic string, but for DEL, which JSON leaves as it is
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
