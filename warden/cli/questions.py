# SPDX-License-Identifier: BSD-2-Clause
"""What an operator is asked before hosts are changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from warden.cli.errors import CommandLineError
from warden.cli.render import count
from warden.cli.terminal import can_ask
from warden.engine.plan import Plan

Ask = Callable[[Sequence[Plan]], bool]
"""Asks whether plans are to be carried out, one for each host that has work; raises CommandLineError if nobody can."""


def ask_to_apply(plans: Sequence[Plan]) -> bool:
    """Ask once for all hosts."""
    need_terminal("look at the plan, then add -y")
    changes = count(sum(len(plan.changes) for plan in plans), "change")
    where = plans[0].address if len(plans) == 1 else count(len(plans), "host")
    return click.confirm(f"carry out {changes} on {where}?", err=True)


def ask_for_name(name: str) -> Ask:
    """Give what asks for an agent's name to be typed before it is destroyed."""

    def ask(plans: Sequence[Plan]) -> bool:
        need_terminal("look at what goes, then add -y")
        where = ", ".join(plan.address for plan in plans)
        typed = click.prompt(f"type the agent's name to destroy it on {where}", err=True)
        if typed != name:
            raise CommandLineError(f"{typed!r} is not {name!r}: nothing was done")
        return True

    return ask


def need_terminal(hint: str) -> None:
    """Raise CommandLineError where there is nobody to ask."""
    if not can_ask():
        raise CommandLineError("there is no terminal to ask at", hint=hint)
