# SPDX-License-Identifier: BSD-2-Clause
"""Reading pf.conf word by word, and what pfctl says of what is wrong: the ground on which the grammar stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, TypeVar

from warden.host.fake.pf_lexer import END, NUMBER, STRING, UNSUPPORTED, Lexer, Token
from warden.host.fake.program import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from warden.host.fake.pf_hosts import Surroundings

Item = TypeVar("Item")
SILENT_WORDS = 3
"""After a syntax error the parser says nothing of another one before it has taken this many words."""


class Refusal(Exception):  # noqa: N818 - control flow inside the parser: what is wrong has been said
    """A statement is refused, and why has been said."""


class Wrong(Exception):  # noqa: N818 - control flow inside the parser
    """A word stands where the grammar has no place for it."""


class Reader:
    """A ruleset on its way in; `messages` is what pfctl prints on standard error, `errors` how many of them count."""

    def __init__(self, name: str, text: str, where: Surroundings, macros: dict[str, str]) -> None:
        self.where = where
        self.messages: list[str] = []
        self.errors = 0
        self._lexer = Lexer(name, text, macros, self.complain)
        self._ahead: Token | None = None
        self._silent = 0

    def complain(self, text: str) -> None:
        """Say what is wrong at the line that is being read."""
        self.errors += 1
        self.messages.append(f"{self._lexer.name}:{self._lexer.line}: {text}")

    def refuse(self, text: str) -> NoReturn:
        """Say what is wrong and give up the statement."""
        self.complain(text)
        raise Refusal

    def peek(self) -> Token:
        """Give the next word without taking it."""
        if self._ahead is None:
            self._ahead = self._lexer.next()
        return self._ahead

    def take(self) -> Token:
        """Take the next word."""
        token = self.peek()
        self._ahead = None
        self._silent = max(0, self._silent - 1)
        return token

    def at(self, *kinds: str) -> bool:
        """Tell whether the next word is one of these."""
        return self.peek().kind in kinds

    def accept(self, kind: str) -> bool:
        """Take the next word if it is this one."""
        if self.peek().kind != kind:
            return False
        self.take()
        return True

    def expect(self, *kinds: str) -> str:
        """Take the next word, which must be one of these; give its value."""
        if self.peek().kind not in kinds:
            self.wrong()
        return self.take().value

    def number(self) -> int:
        """Take a number."""
        return int(self.expect(NUMBER))

    def string(self) -> str:
        """Take a word that is no keyword, or a quoted text."""
        return self.expect(STRING)

    def wrong(self) -> NoReturn:
        """Give up at the next word; one that is good pf but unknown here is refused as such."""
        token = self.peek()
        if token.kind in UNSUPPORTED:
            raise UnsupportedError(f"pf.conf: {token.kind}")
        raise Wrong

    def recover(self, *, syntax: bool) -> bool:
        """Skip the rest of a line that went wrong; tell whether there is anything behind it."""
        if syntax and not self._silent:
            self.complain("syntax error")
        self.errors += 1
        self._silent = SILENT_WORDS
        while not self.at("\n", END):
            self._ahead = None
        return self.accept("\n")

    def newlines(self) -> None:
        """Take the line ends that may stand inside braces."""
        while self.accept("\n"):
            pass

    def braced(self, item: Callable[[], list[Item]]) -> list[Item]:
        """Take `{ item, item }`, commas optional; the opening brace has been taken."""
        self.newlines()
        found: list[Item] = []
        while True:
            found += item()
            self.newlines()
            if self.accept("}"):
                return found
            self.accept(",")

    def one_or_braced(self, item: Callable[[], list[Item]]) -> list[Item]:
        """Take an item, or several in braces."""
        return self.braced(item) if self.accept("{") else item()

    def include(self, name: str, text: str) -> None:
        """Read another file from here on."""
        self._lexer.include(name, text)

    def define(self, name: str, value: str) -> None:
        """Give a macro its value."""
        self._lexer.macros[name] = value
