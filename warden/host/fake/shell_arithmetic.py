# SPDX-License-Identifier: BSD-2-Clause
"""The integer expressions of sh(1)'s `$((...))`, without assignments."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

from warden.host.fake.shell_words import ShellSyntaxError

if TYPE_CHECKING:
    from collections.abc import Callable

LEVELS: tuple[tuple[str, ...], ...] = (
    ("||",),
    ("&&",),
    ("==", "!="),
    ("<=", ">=", "<", ">"),
    ("+", "-"),
    ("*", "/", "%"),
)


def quotient(left: int, right: int) -> int:
    """Divide as C does: towards zero."""
    if right == 0:
        raise ShellSyntaxError("division by zero")
    result = abs(left) // abs(right)
    return result if (left < 0) == (right < 0) else -result


OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "||": lambda left, right: int(bool(left or right)),
    "&&": lambda left, right: int(bool(left and right)),
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": quotient,
    "%": lambda left, right: left - right * quotient(left, right),
}


def evaluate(text: str, value_of: Callable[[str], str]) -> int:
    """Give the value of an expression; `value_of` gives a variable's text."""
    expression = Expression(text, value_of)
    result = expression.level(0)
    if expression.next():
        raise ShellSyntaxError(f"arithmetic expression: expecting EOF: {text!r}")
    return result


class Expression:
    """One expression, read from `pos` on."""

    def __init__(self, text: str, value_of: Callable[[str], str]) -> None:
        self.text = text
        self.value_of = value_of
        self.pos = 0

    def next(self) -> str:
        """Skip blanks and give the rest of the text."""
        while self.text[self.pos : self.pos + 1].isspace():
            self.pos += 1
        return self.text[self.pos :]

    def level(self, depth: int) -> int:
        """Read operands joined by the operators of one level."""
        if depth == len(LEVELS):
            return self.operand()
        result = self.level(depth + 1)
        while True:
            rest = self.next()
            symbol = next((item for item in LEVELS[depth] if rest.startswith(item)), "")
            if not symbol:
                return result
            self.pos += len(symbol)
            result = int(OPERATIONS[symbol](result, self.level(depth + 1)))

    def operand(self) -> int:
        """Read a number, a variable, a negation or something in parentheses."""
        rest = self.next()
        if rest[:1] in {"-", "+", "!"}:
            self.pos += 1
            value = self.operand()
            return {"-": -value, "+": value, "!": int(not value)}[rest[0]]
        if rest[:1] == "(":
            self.pos += 1
            value = self.level(0)
            if self.next()[:1] != ")":
                raise ShellSyntaxError(f"arithmetic expression: expecting ')': {self.text!r}")
            self.pos += 1
            return value
        start = self.pos
        while self.text[self.pos : self.pos + 1].isalnum() or self.text[self.pos : self.pos + 1] == "_":
            self.pos += 1
        word = self.text[start : self.pos]
        if not word:
            raise ShellSyntaxError(f"arithmetic expression: expecting primary: {self.text!r}")
        return number(word if word[0].isdigit() else self.value_of(word).strip() or "0")


def number(text: str) -> int:
    """Read a number as strtoimax(3) does: decimal, 0x hexadecimal, 0 octal."""
    try:
        if text.lower().lstrip("-").startswith("0x"):
            return int(text, 16)
        return int(text, 8 if text.lstrip("-").startswith("0") else 10)
    except ValueError:
        raise ShellSyntaxError(f"arithmetic expression: expecting primary: {text!r}") from None
