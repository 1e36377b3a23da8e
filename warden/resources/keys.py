# SPDX-License-Identifier: BSD-2-Clause
"""The agents' SSH keys: made on the host once, and never read from there; only the public half is anybody's business.

They lie beside the registry and not in it, which is read whole at every probe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.facts.keys import FOLDER
from warden.resources.change import Change, Stage
from warden.resources.commands import command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.facts.model import Facts
    from warden.resources.change import Finding
    from warden.resources.desired import Desired

# the private half has its owner before it has its name; the public one, by which the pair is known, comes last
_MAKE = """\
mkdir -p "${1%/*}" || exit 1
umask 077; key=$1
if [ ! -f "$key" ]; then
	rm -f "$key.new" "$key.new.pub"
	ssh-keygen -q -t ed25519 -N '' -C "$3" -f "$key.new" && chown "$2" "$key.new" && mv -f "$key.new" "$key" || exit 1
	rm -f "$key.new.pub"
fi
chown "$2" "$key" && chmod 0600 "$key" || exit 1
ssh-keygen -y -f "$key" > "$key.pub.new" && chmod 0644 "$key.pub.new" && mv -f "$key.pub.new" "$key.pub"
"""


def changes(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the changes that make the keys of the agents that have repositories."""
    for agent in desired.agents.values():
        if "git" not in agent.jails:
            continue
        owner = agent.owner
        there = facts.keys.get(agent.name)
        if there is not None and there.owner == owner:
            continue
        yield Change(
            kind="key",
            name=agent.name,
            agent=agent.name,
            action="+" if there is None else "~",
            stage=Stage.AGENT,
            detail=f"{FOLDER}/{agent.name}, for {owner}",
            reason="" if there is None else f"owner {there.owner} -> {owner}",
            commands=(
                command("/bin/sh", "-c", _MAKE, "sh", f"{FOLDER}/{agent.name}", owner, f"{agent.name}@{agent.domain}"),
            ),
        )


def departures(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the end of the keys of agents that leave."""
    for name, agent in desired.leaving.items():
        # of a pair that was cut off only the private half may be there
        if name in facts.keys or "git" in agent.jails:
            yield removal(name)


def removal(agent: str) -> Change:
    """Give the change that removes an agent's keys, and what else was written down for it there."""
    names = [f"{FOLDER}/{agent}{suffix}" for suffix in (".pub", "", ".known_hosts", ".forgejo-admin")]
    return Change(
        kind="key",
        name=agent,
        agent=agent,
        action="-",
        stage=Stage.AGENT,
        detail=f"{FOLDER}/{agent}",
        # the public half last: as long as it is there, a run after a cut-off finds the rest
        commands=(command("/bin/rm", "-f", *names[1:], names[0]),),
    )
