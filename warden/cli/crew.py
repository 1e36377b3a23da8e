# SPDX-License-Identifier: BSD-2-Clause
"""Several hosts at a time: threads that work on them, and one that talks to the operator."""

from __future__ import annotations

import time
from collections import deque
from contextlib import contextmanager, suppress
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Generic, Self, TypeVar

import click

from warden.cli.terminal import ask_secret
from warden.host.errors import ConnectionLostError, HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from warden.cli.selection import Target
    from warden.host.command import Host

Item = TypeVar("Item")
Gain = TypeVar("Gain")

AT_ONCE = 16
"""Hosts that are worked on at a time: with more, they would wait for this one Python and no longer for the network."""

PATIENCE = 5.0
"""Seconds that a command which changes hosts waits, when interrupted, to learn what became of them."""


class Crew:
    """Works on hosts in threads. All that is printed and asked, is so by the thread that made the crew.

    An interrupt ends the connections of all hosts that are open; the threads then tell what they know, and what was
    not begun is left. `stopping` tells that this has happened.
    """

    def __init__(self, *, patience: float = 0) -> None:
        self.stopping = False
        self._patience = patience
        self._heard: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._hosts: list[Host] = []
        self._at_work = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def each(
        self,
        items: Sequence[Item],
        work: Callable[[Item], Gain],
        ended: Callable[[int, Gain | Exception], None],
    ) -> None:
        """Do the work on every item, each in a thread, and call `ended` here with what it gave or raised.

        `ended` gets the item's number, as each comes to its end; items that an interrupt kept from beginning have none.
        """
        waiting = deque(enumerate(items))
        self._at_work = min(AT_ONCE, len(items))
        for _ in range(self._at_work):
            Thread(target=self._labour, args=(waiting, work, ended), daemon=True).start()
        try:
            while self._at_work:
                self._heard.get()()
        except (KeyboardInterrupt, click.Abort):
            self.stop()
            until = time.monotonic() + self._patience
            while self._at_work and (left := until - time.monotonic()) > 0:
                with suppress(Empty):
                    self._heard.get(timeout=left)()

    def tell(self, say: Callable[[], None]) -> None:
        """Have something said by the thread that talks; for the threads that work."""
        self._heard.put(say)

    def ask(self, prompt: str) -> str | None:
        """Have the operator asked for a secret; for the threads that work. None where nobody can be asked."""
        return self.have(partial(ask_secret, prompt), otherwise=None)

    def have(self, asked: Callable[[], Gain], otherwise: Gain) -> Gain:
        """Have something asked by the thread that talks, and give the answer; for the threads that work.

        `otherwise` is the answer where an interrupt comes first.
        """
        answer: SimpleQueue[Gain] = SimpleQueue()

        def put_question() -> None:
            given = otherwise
            try:
                given = otherwise if self.stopping else asked()
            finally:
                answer.put(given)

        self.tell(put_question)
        return answer.get()

    def open(self, target: Target) -> Host:
        """Connect to a host, which stays open until it is closed, or the crew is."""
        host = target.open(self.ask)
        self._hosts.append(host)
        if self.stopping:
            host.close()
        return host

    @contextmanager
    def reached(self, target: Target) -> Iterator[Host]:
        """Connect to a host for as long as a thread works on it."""
        host = self.open(target)
        try:
            yield host
        finally:
            self.close(host)

    def close(self, host: Host) -> None:
        """Let go of a host."""
        with suppress(ValueError):  # an interrupt may have let go of it already
            self._hosts.remove(host)
        host.close()

    def go_on(self, host: Host) -> None:
        """Raise ConnectionLostError where an interrupt has ended the connection to a host; for the threads that work.

        A host may be one that has no connection that could be ended.
        """
        if self.stopping:
            raise ConnectionLostError(
                f"interrupted: the connection to {host.address} is closed", ran=(), unknown=(), not_run=()
            )

    def stop(self) -> None:
        """End the connections of all hosts that are open."""
        self.stopping = True
        while self._hosts:
            with suppress(HostError, IndexError):
                self._hosts.pop().close()

    def _labour(
        self,
        waiting: deque[tuple[int, Item]],
        work: Callable[[Item], Gain],
        ended: Callable[[int, Gain | Exception], None],
    ) -> None:
        while waiting and not self.stopping:
            try:
                number, item = waiting.popleft()
            except IndexError:  # another thread was faster
                break
            self.tell(partial(ended, number, _outcome(work, item)))
        self.tell(self._one_less)

    def _one_less(self) -> None:
        self._at_work -= 1


def _outcome(work: Callable[[Item], Gain], item: Item) -> Gain | Exception:
    try:
        return work(item)
    except Exception as error:  # noqa: BLE001 - told by the thread that talks, whatever it is: no other host stops
        return error


class InOrder(Generic[Gain]):
    """Hands things on in the order of their numbers, whenever they come."""

    def __init__(self, hand_on: Callable[[int, Gain], None]) -> None:
        self._hand_on = hand_on
        self._kept: dict[int, Gain] = {}
        self._next = 0

    def put(self, number: int, thing: Gain) -> None:
        """Take one thing, and hand on all those whose turn it is now."""
        self._kept[number] = thing
        while self._next in self._kept:
            self._next += 1
            self._hand_on(self._next - 1, self._kept.pop(self._next - 1))
