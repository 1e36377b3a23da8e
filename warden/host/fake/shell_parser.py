# SPDX-License-Identifier: BSD-2-Clause
"""The grammar of sh(1), as far as rc.d scripts and jail.conf lines use it: text in, a tree of commands out."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from warden.host.fake.program import UnsupportedError
from warden.host.fake.shell_tree import (
    AndOr,
    Case,
    Command,
    For,
    Function,
    Group,
    If,
    Literal,
    Loop,
    Pipeline,
    Redirect,
    Redirected,
    Script,
    Simple,
    Word,
)
from warden.host.fake.shell_words import BREAK, ShellSyntaxError, WordParser

if TYPE_CHECKING:
    from collections.abc import Callable

RESERVED = frozenset(
    ["if", "then", "elif", "else", "fi", "for", "while", "until", "do", "done", "case", "esac", "{", "}", "!"]
)


@lru_cache(maxsize=4096)
def parse(text: str) -> Script:
    """Parse a whole script; raise ShellSyntaxError where sh(1) would, UnsupportedError for what is left out here."""
    return Parser(text).script()


class Parser(WordParser):
    """A recursive-descent parser over one script's text."""

    def skip_script(self) -> None:
        """Go on to the `)` that ends the command substitution which starts here."""
        self.list_until()
        if self.peek() != ")":
            raise ShellSyntaxError(f'{self.describe()} unexpected (expecting ")")')

    def script(self) -> Script:
        """Parse up to the end of the text."""
        parsed = self.list_until()
        if self.pos < len(self.text):
            found = self.text[self.pos : self.pos + 2] if self.text.startswith(";;", self.pos) else self.text[self.pos]
            raise ShellSyntaxError(f'"{found}" unexpected')
        return parsed

    def list_until(self, *ends: str) -> Script:
        """Parse commands up to one of the reserved words `ends` (not consumed), a `)`, a `;;` or the end."""
        items: list[AndOr] = []
        while True:
            self.skip_lines()
            if self.peek() in {"", ")"} or self.text.startswith(";;", self.pos):
                return Script(tuple(items))
            word = self.reserved()
            if word in ends:
                return Script(tuple(items))
            items.append(self.and_or())
            if self.peek() not in {"", "\n", ")", ";"} and not items[-1].background:
                raise ShellSyntaxError(f"{self.describe()} unexpected")
            if self.peek() == ";" and not self.text.startswith(";;", self.pos):
                self.pos += 1

    def and_or(self) -> AndOr:
        start = self.pos
        pipelines = [("", self.pipeline())]
        while True:
            self.skip_blank()
            operator = self.text[self.pos : self.pos + 2]
            if operator not in {"&&", "||"}:
                break
            self.pos += 2
            self.skip_lines()
            pipelines.append((operator, self.pipeline()))
        source = self.text[start : self.pos].strip()
        background = self.peek() == "&"
        if background:
            self.pos += 1
            self.skip_blank()
        return AndOr(tuple(pipelines), background, source)

    def pipeline(self) -> Pipeline:
        self.skip_blank()
        start = self.pos
        negated = False
        while self.reserved() == "!":
            negated = not negated
            self.pos += 1
            self.skip_blank()
        commands = [self.command()]
        while True:
            self.skip_blank()
            if self.peek() != "|" or self.text.startswith("||", self.pos):
                break
            self.pos += 1
            self.skip_lines()
            commands.append(self.command())
        return Pipeline(tuple(commands), negated, self.text[start : self.pos].strip())

    def command(self) -> Command:
        self.skip_blank()
        start = self.pos
        word = self.reserved()
        compound = self.compounds().get("(" if self.peek() == "(" else word)
        if compound is None:
            if word in RESERVED:
                raise ShellSyntaxError(f'"{word}" unexpected')
            return self.simple()
        self.pos += len(word) or 1
        parsed = compound(start)
        redirects = self.redirects()
        return Redirected(parsed, redirects) if redirects else parsed

    def compounds(self) -> dict[str, Callable[[int], Command]]:
        return {
            "if": self.if_command,
            "for": self.for_command,
            "while": self.loop,
            "until": self.loop,
            "case": self.case_command,
            "{": lambda _: self.group("}"),
            "(": lambda _: self.group(")"),
        }

    def if_command(self, _start: int) -> If:
        branches: list[tuple[Script, Script]] = []
        while True:
            condition = self.list_until("then")
            self.expect("then")
            branches.append((condition, self.list_until("elif", "else", "fi")))
            word = self.reserved()
            if word == "elif":
                self.pos += 4
                continue
            otherwise = None
            if word == "else":
                self.pos += 4
                otherwise = self.list_until("fi")
            self.expect("fi")
            return If(tuple(branches), otherwise)

    def for_command(self, _start: int) -> For:
        self.skip_blank()
        name = self.name()
        if not name:
            raise ShellSyntaxError("Bad for loop variable")
        self.skip_lines()
        words: tuple[Word, ...] | None = None
        if self.reserved() == "in":
            self.pos += 2
            words = self.words()
        self.skip_blank()
        if self.peek() == ";":
            self.pos += 1
        self.expect("do")
        body = self.list_until("done")
        self.expect("done")
        return For(name, words, body)

    def loop(self, start: int) -> Loop:
        condition = self.list_until("do")
        self.expect("do")
        body = self.list_until("done")
        self.expect("done")
        until = self.text.startswith("until", start)
        return Loop(condition, body, until, self.text[start : self.pos])

    def case_command(self, _start: int) -> Case:
        self.skip_blank()
        word = self.word()
        self.skip_lines()
        self.expect("in")
        branches: list[tuple[tuple[Word, ...], Script]] = []
        while True:
            self.skip_lines()
            if self.reserved() == "esac":
                self.pos += 4
                return Case(word, tuple(branches))
            if self.peek() == "(":
                self.pos += 1
            patterns = [self.case_pattern()]
            while self.peek() == "|":
                self.pos += 1
                patterns.append(self.case_pattern())
            if self.peek() != ")":
                raise ShellSyntaxError(f'{self.describe()} unexpected (expecting ")")')
            self.pos += 1
            branches.append((tuple(patterns), self.list_until("esac")))
            if self.text.startswith(";;", self.pos):
                self.pos += 2
            elif self.reserved() != "esac":
                raise ShellSyntaxError(f'{self.describe()} unexpected (expecting ";;")')

    def case_pattern(self) -> Word:
        self.skip_blank()
        pattern = self.word()
        self.skip_blank()
        return pattern

    def group(self, end: str) -> Group:
        body = self.list_until("}") if end == "}" else self.list_until()
        self.expect(end)
        return Group(body, subshell=end == ")")

    def simple(self) -> Command:
        assignments: list[tuple[str, Word]] = []
        words: list[Word] = []
        redirects: list[Redirect] = []
        start = self.pos
        while True:
            self.skip_blank()
            redirect = self.redirect()
            if redirect is not None:
                redirects.append(redirect)
                continue
            if self.peek() == "" or self.peek() in "\n;&|)":
                break
            if self.peek() == "(":
                return self.function(words, start)
            if not words:
                assignment = self.assignment()
                if assignment is not None:
                    assignments.append(assignment)
                    continue
            words.append(self.word())
        if not (assignments or words or redirects):
            raise ShellSyntaxError(f"{self.describe()} unexpected")
        return Simple(tuple(assignments), tuple(words), tuple(redirects))

    def function(self, words: list[Word], start: int) -> Function:
        self.pos += 1
        self.skip_blank()
        if len(words) != 1 or self.peek() != ")":
            raise ShellSyntaxError(f'{self.describe()} unexpected (expecting ")")')
        part = words[0][0]
        if len(words[0]) != 1 or not isinstance(part, Literal) or part.quoted:
            raise ShellSyntaxError("Bad function name")
        self.pos += 1
        self.skip_lines()
        return Function(part.text, self.command(), self.text[start : self.pos])

    def assignment(self) -> tuple[str, Word] | None:
        start = self.pos
        name = self.name()
        if name and self.peek() == "=":
            self.pos += 1
            ends_here = self.peek() == "" or self.peek() in BREAK
            return name, () if ends_here else self.word()
        self.pos = start
        return None

    def redirects(self) -> tuple[Redirect, ...]:
        found: list[Redirect] = []
        while True:
            self.skip_blank()
            redirect = self.redirect()
            if redirect is None:
                return tuple(found)
            found.append(redirect)

    def redirect(self) -> Redirect | None:
        start = self.pos
        digits = ""
        while self.peek().isdigit():
            digits += self.peek()
            self.pos += 1
        for operator in ("<<", "<>", ">>", ">&", "<&", ">|", ">", "<"):
            if self.text.startswith(operator, self.pos):
                break
        else:
            self.pos = start
            return None
        if operator in {"<<", "<>"}:
            raise UnsupportedError(f"sh: the redirection {operator}")
        self.pos += len(operator)
        self.skip_blank()
        if self.peek() == "" or self.peek() in BREAK:
            raise ShellSyntaxError(f"{self.describe()} unexpected")
        fd = int(digits) if digits else 0 if operator[0] == "<" else 1
        return Redirect(fd, operator, self.word())

    def expect(self, word: str) -> None:
        self.skip_lines()
        found = self.peek() if word == ")" else self.reserved()
        if found != word:
            raise ShellSyntaxError(f'{self.describe()} unexpected (expecting "{word}")')
        self.pos += len(word)

    def describe(self) -> str:
        """Name what stands here, as sh(1) does in a syntax error."""
        char = self.peek()
        if not char:
            return "end of file"
        if char == "\n":
            return "newline"
        for operator in ("&&", "||", ";;"):
            if self.text.startswith(operator, self.pos):
                return f'"{operator}"'
        if char in BREAK:
            return f'"{char}"'
        word = self.reserved()
        return f'"{word}"' if word in RESERVED else "word"
