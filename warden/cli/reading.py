# SPDX-License-Identifier: BSD-2-Clause
"""Reading several hosts at a time, and telling what was read in their order."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

import click

from warden.cli.crew import Crew, InOrder
from warden.cli.errors import exit_status
from warden.cli.render import print_error
from warden.facts.probe import read_facts
from warden.resources.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from warden.cli.selection import Target
    from warden.facts.model import Facts
    from warden.host.command import Host

Seen = TypeVar("Seen")


def for_each(targets: Sequence[Target], read: Callable[[Host], Seen], show: Callable[[Target, Seen], int]) -> int:
    """Read all hosts, and show each; no failure keeps another from being shown.

    `show` gives an exit status. Gives that of the first host that had another than 0, else 0.
    """
    return show_each([(target, read) for target in targets], show)


def show_each(asked: Sequence[tuple[Target, Callable[[Host], Seen]]], show: Callable[[Target, Seen], int]) -> int:
    """Do as `for_each` does, with a way of its own to read each host."""
    statuses: list[int] = []

    def tell(target: Target, seen: Seen | Exception) -> None:
        if isinstance(seen, Exception):
            tell_error(target, seen, alone=len(asked) == 1)
            statuses.append(exit_status(seen))
        else:
            statuses.append(show(target, seen))

    read_all(asked, tell)
    return first_status(statuses)


def find_agent(targets: Sequence[Target], name: str) -> tuple[tuple[int, Facts] | None, list[int]]:
    """Give the number of the first host that has an agent, with what was read there, and the exit status of every host.

    Raises RefusedError where all were read, and none has it.
    """
    found: list[tuple[int, Facts]] = []
    statuses: list[int] = []

    def tell(target: Target, seen: Facts | Exception) -> None:
        if isinstance(seen, Exception):
            tell_error(target, seen, alone=len(targets) == 1)
            statuses.append(exit_status(seen))
            return
        if name in seen.registry:
            found.append((len(statuses), seen))
        statuses.append(0)

    read_all([(target, partial(read_facts, agents=[name])) for target in targets], tell)
    if not found and not any(statuses):
        where = ", ".join(target.label for target in targets)
        raise RefusedError(f"no agent {name} is registered on {where}", hint="see: warden agent list")
    return (found[0] if found else None), statuses


def read_all(
    asked: Sequence[tuple[Target, Callable[[Host], Seen]]], tell: Callable[[Target, Seen | Exception], None]
) -> None:
    """Read hosts, several at a time, and tell in their order what was read of each, or why it was not."""

    def work(item: tuple[Target, Callable[[Host], Seen]]) -> Seen:
        target, read = item
        with crew.reached(target) as host:
            return read(host)

    in_order: InOrder[Seen | Exception] = InOrder(lambda number, seen: tell(asked[number][0], seen))
    with Crew() as crew:
        crew.each(asked, work, in_order.put)
        if crew.stopping:
            raise click.Abort


def tell_error(target: Target, error: Exception, *, alone: bool) -> None:
    """Print an error of a host; among several, the host is always named as the spec names it."""
    print_error(error, host=target.label, alone_as=target.address if alone else "")


def first_status(statuses: Sequence[int]) -> int:
    """Give the exit status of a command by those of its hosts, in their order: the first that is not 0."""
    return next((status for status in statuses if status), 0)
