# SPDX-License-Identifier: BSD-2-Clause
"""The accounts that agents run as."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.resources.change import Change, Conflict, Stage
from warden.resources.commands import command
from warden.resources.marks import USER_COMMENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.facts.model import Facts, User
    from warden.resources.change import Finding
    from warden.resources.desired import Desired

_PW = "/usr/sbin/pw"


def changes(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the accounts to make, and those of ours that nobody needs once an agent has left.

    pw(8) locks the user database for one command at a time, so these stand in the host's stages.
    """
    making: set[str] = set()
    for agent in desired.agents.values():
        user = agent.service.user if agent.service else None
        if user is None or user in making:
            continue
        account = facts.users.get(user)
        if account is not None:
            ours = account.comment.startswith(USER_COMMENT) or agent.name in facts.registry
            if not ours and agent.service is not None and not agent.service.user_is_given:
                yield Conflict(
                    kind="user",
                    name=user,
                    agent=agent.name,
                    message=f"there is a user {user} that is not Warden's, and the spec does not name it",
                    hint=f'if {agent.name} is to run as that user, write user = "{user}" (AGENT_USER in a .env)',
                )
            continue
        making.add(user)
        comment = f"{USER_COMMENT} {agent.name}"
        yield Change(
            kind="user",
            name=user,
            agent=agent.name,
            action="+",
            stage=Stage.FIRST,
            detail=f"home /home/{user}",
            commands=(command(_PW, "useradd", user, "-c", comment, "-m", "-s", "/bin/sh", "-w", "no"),),
        )
    needed = {agent.user for agent in desired.others.values()}
    needed |= {agent.service.user for agent in desired.agents.values() if agent.service}
    for leaving in desired.leaving.values():
        # the comment finds the account of an agent that has none any more because its command was taken away
        made = f"{USER_COMMENT} {leaving.name}"
        for account in facts.users.values():
            ours = account.comment.startswith(USER_COMMENT) and account.name == leaving.user
            if not (ours or account.comment == made) or account.name in needed:
                continue
            yield removal(account, leaving.name)


def removal(account: User, agent: str, *, stage: Stage = Stage.LAST) -> Change:
    """Give the change that removes an account that Warden made."""
    return Change(
        kind="user",
        name=account.name,
        agent=agent,
        action="-",
        stage=stage,
        detail=f"its home {account.home} stays",
        commands=(command(_PW, "userdel", account.name),),
    )
