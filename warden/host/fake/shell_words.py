# SPDX-License-Identifier: BSD-2-Clause
"""The words of sh(1): quoting, parameters and substitutions."""

from __future__ import annotations

import re

from warden.host.fake.program import UnsupportedError
from warden.host.fake.shell_tree import Arithmetic, Literal, Parameter, Part, Substitution, Word

BLANK = " \t"
BREAK = " \t\n;&|()<>"
PLAIN = re.compile(r"[A-Za-z0-9_./:=,@+-]+")
"""Characters that mean nothing special anywhere in a word, so that they can be taken together."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
UNBROKEN = re.compile(r"[^ \t\n;&|()<>]*")
PARAMETER_OPERATORS = (":-", ":=", ":+", ":?", "##", "%%", "-", "=", "+", "?", "#", "%")


class ShellSyntaxError(Exception):
    """A script that sh(1) refuses; the text is what follows `Syntax error: `."""


class WordParser:
    """Reads words from one script's text, from `pos` on."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.pos = 0

    def skip_script(self) -> None:
        """Go on to the `)` that ends the command substitution which starts here."""
        raise NotImplementedError

    def words(self) -> tuple[Word, ...]:
        found: list[Word] = []
        while True:
            self.skip_blank()
            if self.peek() == "" or self.peek() in BREAK:
                return tuple(found)
            found.append(self.word())

    def word(self) -> Word:
        """Parse one word: everything up to an unquoted blank or operator."""
        parts: list[Part] = []
        while self.peek() and self.peek() not in BREAK:
            self.part(parts, quoted=False)
        return merge(parts)

    def part(self, parts: list[Part], *, quoted: bool) -> None:
        """Parse one piece of a word: a quoted string, an expansion, or one character."""
        char = self.peek()
        if char == "\\":
            self.backslash(parts, quoted=quoted)
        elif char == "'" and not quoted:
            end = self.text.find("'", self.pos + 1)
            if end < 0:
                raise ShellSyntaxError("Unterminated quoted string")
            parts.append(Literal(self.text[self.pos + 1 : end], quoted=True))
            self.pos = end + 1
        elif char == '"':
            self.pos += 1
            parts.append(Literal("", quoted=True))
            while self.peek() != '"':
                if not self.peek():
                    raise ShellSyntaxError("Unterminated quoted string")
                self.part(parts, quoted=True)
            self.pos += 1
        elif char == "$":
            parts.append(self.dollar(quoted=quoted))
        elif char == "`":
            parts.append(Substitution(self.backquoted(), quoted))
        else:
            run = PLAIN.match(self.text, self.pos)
            text = run[0] if run else char
            parts.append(Literal(text, quoted))
            self.pos += len(text)

    def backslash(self, parts: list[Part], *, quoted: bool) -> None:
        following = self.text[self.pos + 1 : self.pos + 2]
        self.pos += 2
        if following == "\n":
            return
        if quoted and following not in {"$", "`", '"', "\\"}:
            parts.append(Literal("\\" + following, quoted=True))
        else:
            parts.append(Literal(following or "\\", quoted=True))

    def backquoted(self) -> str:
        self.pos += 1
        script = ""
        while self.peek() != "`":
            if not self.peek():
                raise ShellSyntaxError("EOF in backquote substitution")
            if self.peek() == "\\" and self.text[self.pos + 1 : self.pos + 2] in {"$", "`", "\\"}:
                self.pos += 1
            script += self.peek()
            self.pos += 1
        self.pos += 1
        return script

    def dollar(self, *, quoted: bool) -> Part:
        """Parse what starts with a `$`."""
        self.pos += 1
        if self.text.startswith("((", self.pos):
            return self.arithmetic(quoted=quoted)
        if self.peek() == "(":
            self.pos += 1
            start = self.pos
            self.skip_script()
            self.pos += 1
            return Substitution(self.text[start : self.pos - 1], quoted)
        if self.peek() == "{":
            return self.braced(quoted=quoted)
        if self.peek() == "'" and not quoted:
            raise UnsupportedError("sh: the quotes $'...'")
        name = self.parameter_name()
        return Parameter(name, quoted=quoted) if name else Literal("$", quoted)

    def arithmetic(self, *, quoted: bool) -> Arithmetic:
        self.pos += 2
        parts: list[Part] = []
        depth = 0
        while depth or not self.text.startswith("))", self.pos):
            if not self.peek():
                raise ShellSyntaxError('end of file unexpected (expecting "))")')
            depth += {"(": 1, ")": -1}.get(self.peek(), 0)
            self.part(parts, quoted=True)
        self.pos += 2
        return Arithmetic(merge(parts), quoted)

    def braced(self, *, quoted: bool) -> Parameter:
        self.pos += 1
        start = self.pos
        if self.peek() == "#" and self.text[self.pos + 1 : self.pos + 2] != "}":
            self.pos += 1
            name = self.parameter_name()
            if name and self.peek() == "}":
                self.pos += 1
                return Parameter(name, "length", quoted=quoted)
            self.pos = start
        name = self.parameter_name(long=True)
        if self.peek() == "}" and name:
            self.pos += 1
            return Parameter(name, quoted=quoted)
        operator = next((item for item in PARAMETER_OPERATORS if self.text.startswith(item, self.pos)), "")
        if not name or not operator:
            raise ShellSyntaxError("Bad substitution")
        self.pos += len(operator)
        parts: list[Part] = []
        pattern = operator[0] in "#%"
        while self.peek() != "}":
            if not self.peek():
                raise ShellSyntaxError("Missing '}'")
            self.part(parts, quoted=quoted and not pattern)
        self.pos += 1
        return Parameter(name, operator, merge(parts), quoted)

    def parameter_name(self, *, long: bool = False) -> str:
        """Read a parameter's name: a variable's, a digit (any number of them in braces), or a special one."""
        name = self.name()
        if name:
            return name
        if self.peek().isdigit():
            start = self.pos
            self.pos += 1
            while long and self.peek().isdigit():
                self.pos += 1
            return self.text[start : self.pos]
        if self.peek() and self.peek() in "@*#?$!-":
            self.pos += 1
            return self.text[self.pos - 1]
        return ""

    def name(self) -> str:
        """Read a variable's name, '' where none stands."""
        found = NAME.match(self.text, self.pos)
        if found is None:
            return ""
        self.pos = found.end()
        return found[0]

    def reserved(self) -> str:
        """Give the unquoted word that stands here, without consuming it."""
        found = UNBROKEN.match(self.text, self.pos)
        return found[0] if found else ""

    def peek(self) -> str:
        return self.text[self.pos : self.pos + 1]

    def skip_blank(self) -> None:
        """Skip blanks, continued lines, and a comment."""
        while True:
            if self.peek() and self.peek() in BLANK:
                self.pos += 1
            elif self.text.startswith("\\\n", self.pos):
                self.pos += 2
            elif self.peek() == "#":
                end = self.text.find("\n", self.pos)
                self.pos = len(self.text) if end < 0 else end
            else:
                return

    def skip_lines(self) -> None:
        """Skip blanks and newlines."""
        while True:
            self.skip_blank()
            if self.peek() != "\n":
                return
            self.pos += 1


def merge(parts: list[Part]) -> Word:
    """Join neighbouring pieces of plain text."""
    merged: list[Part] = []
    for part in parts:
        last = merged[-1] if merged else None
        if isinstance(part, Literal) and isinstance(last, Literal) and part.quoted == last.quoted:
            merged[-1] = Literal(last.text + part.text, part.quoted)
        else:
            merged.append(part)
    return tuple(merged)
