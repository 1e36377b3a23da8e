# SPDX-License-Identifier: BSD-2-Clause
"""echo, printf and test, which are both builtins of sh(1) and programs of their own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from warden.host.fake.shell_io import CONSOLES, may

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from warden.host.fake.file_node import Node
    from warden.host.fake.program import Call

ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "e": "\x1b"}
DIRECTIVE = re.compile(r"%([-+ 0#]*)(\d*)(?:\.(\d+))?([a-zA-Z%])")
PERMISSIONS = {"-r": 4, "-w": 2, "-x": 1}
KINDS = {"-f": "file", "-d": "dir", "-c": "char", "-L": "link", "-h": "link"}
"""The questions for a kind; nothing here is a block device, a pipe, a socket or (-t) a terminal."""
COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "-eq": lambda left, right: left == right,
    "-ne": lambda left, right: left != right,
    "-lt": lambda left, right: left < right,
    "-le": lambda left, right: left <= right,
    "-gt": lambda left, right: left > right,
    "-ge": lambda left, right: left >= right,
}
BINARY = frozenset(["=", "==", "!=", "<", ">", "-nt", "-ot", "-ef", *COMPARISONS])
UNARY = frozenset(
    ["-e", "-f", "-d", "-c", "-b", "-p", "-S", "-L", "-h", "-r", "-w", "-x", "-s", "-n", "-z", "-t", "-O"]
)


def echo_text(args: Sequence[str]) -> str:
    """Give what echo writes: -n leaves the newline out, -e knows escapes."""
    words, newline, escapes = list(args), "\n", False
    while words and words[0] in {"-n", "-e"}:
        newline = "" if words[0] == "-n" else newline
        escapes = escapes or words[0] == "-e"
        words.pop(0)
    text = " ".join(words)
    return (unescape(text) if escapes else text) + newline


def unescape(text: str) -> str:
    """Replace backslash escapes."""

    def character(match: re.Match[str]) -> str:
        found = match[1]
        if found[0] == "x":
            return chr(int(found[1:], 16))
        return chr(int(found, 8)) if found[0].isdigit() else ESCAPES.get(found, f"\\{found}")

    return re.sub(r"\\([0-7]{1,4}|x[0-9a-fA-F]{1,2}|.)", character, text)


def printf_text(form: str, args: Sequence[str]) -> str:
    """Give what printf writes: the format, again while arguments are left."""
    left = list(args)
    written = ""
    while True:
        before = len(left)
        written += one_round(form, left)
        if not left or len(left) == before:
            return written


def one_round(form: str, left: list[str]) -> str:
    """Fill the format once, taking arguments from the front of `left`."""

    def fill(match: re.Match[str]) -> str:
        flags, width, precision, kind = match.groups()
        if kind == "%":
            return "%"
        value = left.pop(0) if left else ""
        if kind in "diouxX":
            text = f"%{flags}{width}{kind}" % (int(value, 0) if value else 0)
        else:
            text = unescape(value) if kind == "b" else value[:1] if kind == "c" else value
            if precision is not None:
                text = text[: int(precision)]
            text = f"%{flags.replace('0', '')}{width}s" % text
        return text

    pieces, pos = [], 0
    for match in DIRECTIVE.finditer(form):
        pieces += [unescape(form[pos : match.start()]), fill(match)]
        pos = match.end()
    return "".join([*pieces, unescape(form[pos:])])


def evaluate_test(call: Call, args: Sequence[str]) -> bool:
    """Evaluate test(1)'s arguments; raise ValueError with the message for what is no condition."""
    if not args:
        return False
    condition = Condition(call, list(args))
    result = condition.either()
    if condition.args:
        raise ValueError(f"{condition.args[0]}: unexpected operator")
    return result


class Condition:
    """A condition of test(1), taken from the front of `args`."""

    def __init__(self, call: Call, args: list[str]) -> None:
        self.call = call
        self.args = args

    def either(self) -> bool:
        """Read conditions joined by -o."""
        result = self.both()
        while self.args[:1] == ["-o"] and len(self.args) > 1:
            self.args.pop(0)
            result = self.both() or result
        return result

    def both(self) -> bool:
        """Read conditions joined by -a."""
        result = self.negated()
        while self.args[:1] == ["-a"] and len(self.args) > 1:
            self.args.pop(0)
            result = self.negated() and result
        return result

    def negated(self) -> bool:
        """Read one condition, perhaps after `!`s."""
        if self.args[:1] == ["!"] and len(self.args) > 1 and not self.is_binary():
            self.args.pop(0)
            return not self.negated()
        return self.primary()

    def is_binary(self) -> bool:
        """Tell whether a comparison stands here."""
        return len(self.args) > 2 and self.args[1] in BINARY

    def primary(self) -> bool:
        """Read one condition."""
        if not self.args:
            raise ValueError("argument expected")
        if self.is_binary():
            left, operator, right = self.args[:3]
            del self.args[:3]
            return self.compare(left, operator, right)
        if self.args[0] in UNARY and len(self.args) > 1:
            operator, operand = self.args[:2]
            del self.args[:2]
            return self.examine(operator, operand)
        if self.args[0] == "(" and len(self.args) > 1:
            self.args.pop(0)
            result = self.either()
            if self.args[:1] != [")"]:
                raise ValueError("closing paren expected")
            self.args.pop(0)
            return result
        return self.args.pop(0) != ""

    def compare(self, left: str, operator: str, right: str) -> bool:
        """Compare two texts, numbers or files."""
        if operator in COMPARISONS:
            return COMPARISONS[operator](integer(left), integer(right))
        if operator in {"-nt", "-ot", "-ef"}:
            first, second = self.node(left), self.node(right)
            if first is None or second is None:
                return operator == "-nt" and first is not None
            if operator == "-ef":
                return first is second
            return first.mtime > second.mtime if operator == "-nt" else first.mtime < second.mtime
        if operator in {"=", "=="}:
            return left == right
        return {"!=": left != right, "<": left < right, ">": left > right}[operator]

    def examine(self, operator: str, operand: str) -> bool:
        """Look at a text or a file."""
        if operator in {"-n", "-z"}:
            return bool(operand) == (operator == "-n")
        node = self.node(operand, follow=operator not in {"-L", "-h"})
        if node is None:
            return operand in CONSOLES and operator in {"-e", "-c", "-r", "-w"}
        if operator in PERMISSIONS:
            return may(self.call, node, PERMISSIONS[operator])
        if operator == "-s":
            return node.kind == "dir" or bool(node.data)
        return operator in {"-e", "-O"} or node.kind == KINDS.get(operator)

    def node(self, name: str, *, follow: bool = True) -> Node | None:
        """Give a file by its name."""
        return self.call.files.lookup(self.call.path(name), root=self.call.root, follow=follow) if name else None


def integer(text: str) -> int:
    """Read a number as test(1) does."""
    try:
        return int(text.strip() or "0")
    except ValueError:
        raise ValueError(f"{text}: bad number") from None
