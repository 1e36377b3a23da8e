# SPDX-License-Identifier: BSD-2-Clause
"""The agents' names in hosts(5): a block of ours in the host's file, and one in the file of each jail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.host.files import write_file
from warden.resources.change import Change, Stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from ipaddress import IPv4Address

    from warden.facts.model import Facts, RegisteredAgent
    from warden.resources.change import Finding
    from warden.resources.desired import Desired, DesiredAgent

HOSTS = "/etc/hosts"
BEGIN = "# warden begin: managed by warden, names of agents"
END = "# warden end"


def changes(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the change to the names that the host knows: those of all its agents."""
    lines = [line for agent in _sorted(desired.everyone) for line in names(agent, desired.domain)]
    file = facts.files.get(HOSTS)
    text = file.text if file else ""
    wanted = with_block(text, lines)
    if wanted == text:
        return
    leaving = next(iter(desired.leaving), None)
    yield Change(
        kind="names",
        name=HOSTS,
        agent=leaving,
        action="~",
        stage=Stage.LAST if leaving else Stage.FIRST,
        detail=_difference(text, wanted),
        commands=(write_file(HOSTS, wanted.encode("utf-8", "surrogateescape")),),
    )


def orphans(facts: Facts) -> Iterator[Finding]:
    """Give the end of the names of what is no registered agent's."""
    file = facts.files.get(HOSTS)
    text = file.text if file else ""
    known = {str(address) for agent in facts.registry.values() for address in addresses(agent)}
    wanted = with_block(text, [line for line in named(text) if line.split()[0] in known])
    if wanted != text:
        yield Change(
            kind="names",
            name=HOSTS,
            action="-",
            stage=Stage.FIRST,
            detail=_difference(text, wanted),
            commands=(write_file(HOSTS, wanted.encode("utf-8", "surrogateescape")),),
        )


def addresses(agent: RegisteredAgent) -> list[IPv4Address]:
    """Give the addresses of an agent that have names."""
    return [agent.gateway, *(jail.address for jail in agent.jails.values())]


def named(text: str) -> list[str]:
    """Give the lines of our block in a hosts file."""
    ours = text.partition(f"{BEGIN}\n")[2].partition(END)[0]
    return [line for line in ours.splitlines() if _is_ours(line)]


def names(agent: DesiredAgent | RegisteredAgent, domain: str) -> list[str]:
    """Give the lines of hosts(5) for an agent: its gateway under its own name, and each of its services."""
    own: list[tuple[IPv4Address, str]] = [(agent.gateway, f"{agent.name}.{domain}")]
    own += [(jail.address, f"{jail.service}.{agent.name}.{domain}") for jail in agent.jails.values()]
    return [f"{address}\t{name}" for address, name in own]


def _sorted(
    everyone: Mapping[str, DesiredAgent | RegisteredAgent],
) -> Iterable[DesiredAgent | RegisteredAgent]:
    return (everyone[name] for name in sorted(everyone))


def block(lines: Iterable[str]) -> str:
    """Give a block with these lines; nothing where there are none."""
    text = "".join(f"{line}\n" for line in lines)
    return f"{BEGIN}\n{text}{END}\n" if text else ""


def with_block(text: str, lines: Iterable[str]) -> str:
    """Give a hosts file with a block of ours at its end, and no other; all else stays as it is."""
    left: list[str] = []
    inside = False
    for line in text.splitlines(keepends=True):
        if line.startswith("# warden begin"):
            inside = True
        elif inside and line.startswith(END):
            inside = False
        elif not inside or not _is_ours(line):
            inside = False
            left.append(line)
    if left and not left[-1].endswith("\n"):
        left[-1] += "\n"
    return "".join(left) + block(lines)


def _is_ours(line: str) -> bool:
    # a block whose end was lost is over where something else begins than an address and a single name
    fields = line.split()
    return len(fields) == 2 and fields[0].count(".") == 3 and not line.startswith("#")


def _difference(text: str, wanted: str) -> str:
    old, new = text.splitlines(), wanted.splitlines()
    words = [f"+ {line.split()[1]}" for line in new if line not in old and not line.startswith("#")]
    words += [f"- {line.split()[1]}" for line in old if line not in new and not line.startswith("#") and _is_ours(line)]
    return ", ".join(words) or "the block put right"
