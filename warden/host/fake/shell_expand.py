# SPDX-License-Identifier: BSD-2-Clause
"""What sh(1) makes of a word: parameters, substitutions, field splitting and file name patterns."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from warden.host.fake.shell_arithmetic import evaluate
from warden.host.fake.shell_tree import Literal, Parameter, Part, Substitution, Word

if TYPE_CHECKING:
    from collections.abc import Sequence

WILDCARD = re.compile(r"[*?\[]")
SPECIAL = re.compile(r"[*?\[\]\\]")
ESCAPED = re.compile(r"\\.")


class Scope(Protocol):
    """What an expansion needs of the shell that it happens in."""

    positional: list[str]

    def value(self, name: str) -> str | None:
        """Give a parameter's value, None when it is unset."""

    def require(self, name: str) -> str:
        """Give a parameter's value; one that is unset is an error under `set -u` and empty otherwise."""

    def assign(self, name: str, value: str) -> None:
        """Set a variable."""

    def fail(self, message: str, *, status: int = 2) -> Exception:
        """Give the error that ends the shell with a message."""

    def substitute(self, script: str) -> str:
        """Run a script in a subshell and give what it prints, without the last newlines."""

    def names(self, folder: str) -> list[str]:
        """Give the names in a folder, none when there is no such folder."""


class Fields:
    """Fields that are being put together; each is text in which quoted pattern characters carry a backslash."""

    def __init__(self, separators: str) -> None:
        self.separators = separators
        self.done: list[str] = []
        self.current: str | None = None

    def add(self, text: str) -> None:
        """Add text to the field at hand, as it is."""
        self.current = (self.current or "") + text

    def end(self) -> None:
        """End the field at hand, if there is one."""
        if self.current is not None:
            self.done.append(self.current)
            self.current = None

    def split(self, text: str) -> None:
        """Add the unquoted result of an expansion: split at the characters of IFS."""
        for char in text:
            if char not in self.separators:
                self.add(char)
            elif char.isspace():
                self.end()
            else:
                self.add("")
                self.end()


def expand_fields(scope: Scope, words: Sequence[Word]) -> list[str]:
    """Expand the words of a command to its arguments."""
    found: list[str] = []
    for word in words:
        if len(word) == 1 and isinstance(word[0], Literal) and not set(word[0].text) & set("*?[~"):
            found.append(word[0].text)
            continue
        if word and all(map(stands_for_itself, word)):
            found.append("".join(text_of(scope, part) for part in word))
            continue
        separators = scope.value("IFS")
        fields = Fields(" \t\n" if separators is None else separators)
        bare = all(part == Literal("", quoted=True) or is_all(part) for part in word)
        if bare and not scope.positional and any(is_all(part) for part in word):
            continue  # "$@" without parameters is no argument, not an empty one
        for part in tilde(scope, word):
            add_part(scope, fields, part)
        fields.end()
        for field in fields.done:
            found.extend(match_names(scope, field))
    return found


def expand_text(scope: Scope, word: Word) -> str:
    """Expand a word to one text: no splitting, no patterns (an assignment, a redirection's target)."""
    if len(word) == 1 and isinstance(word[0], Literal) and not word[0].text.startswith("~"):
        return word[0].text
    # nothing of an expansion is split or taken for a pattern here: it stays as it is, backslashes included
    whole = [part if isinstance(part, Literal) else replace(part, quoted=True) for part in tilde(scope, word)]
    return unescape(expand_pattern(scope, tuple(whole)))


def expand_pattern(scope: Scope, word: Word) -> str:
    """Expand a word to a pattern, in which quoted pattern characters carry a backslash."""
    fields = Fields("")
    for part in word:
        add_part(scope, fields, part)
        if fields.done:
            fields.current = " ".join([*fields.done, fields.current or ""])
            fields.done.clear()
    return fields.current or ""


def stands_for_itself(part: Part) -> bool:
    """Tell whether nothing of a part is split or a pattern: quoted text, or a quoted parameter's value as it is."""
    if isinstance(part, Literal):
        return part.quoted
    return isinstance(part, Parameter) and part.quoted and not part.operator and part.name not in "@*"


def text_of(scope: Scope, part: Part) -> str:
    """Give the text of a part that stands for itself."""
    return part.text if isinstance(part, Literal) else scope.require(part.name) if isinstance(part, Parameter) else ""


def is_all(part: Part) -> bool:
    """Tell whether a part is a quoted `$@`."""
    return isinstance(part, Parameter) and part.quoted and part.name == "@" and not part.operator


def tilde(scope: Scope, word: Word) -> Word:
    """Replace an unquoted `~` at the start of a word by the home folder."""
    first = word[0] if word else None
    if isinstance(first, Literal) and not first.quoted and (first.text == "~" or first.text.startswith("~/")):
        return (Literal(scope.value("HOME") or "", quoted=True), Literal(first.text[1:]), *word[1:])
    return word


def add_part(scope: Scope, fields: Fields, part: Part) -> None:
    """Expand one part of a word into the fields."""
    if isinstance(part, Literal):
        if part.text or part.quoted:
            fields.add(escape(part.text) if part.quoted else part.text)
    elif isinstance(part, Parameter):
        add_parameter(scope, fields, part)
    else:
        if isinstance(part, Substitution):
            text = scope.substitute(part.script)
        else:
            text = str(evaluate(expand_text(scope, part.expression), scope.require))
        add_value(fields, text, quoted=part.quoted)


def add_value(fields: Fields, text: str, *, quoted: bool) -> None:
    """Add an expansion's result: quoted as it is, unquoted split."""
    if quoted:
        fields.add(escape(text))
    else:
        fields.split(text)


def add_parameter(scope: Scope, fields: Fields, part: Parameter) -> None:
    """Expand a parameter into the fields."""
    if part.name in {"@", "*"} and not part.operator:
        add_positional(scope, fields, part)
        return
    if part.operator == "length":
        add_value(fields, str(len(scope.require(part.name))), quoted=part.quoted)
    elif part.operator in {"#", "##", "%", "%%"}:
        pattern = expand_pattern(scope, part.word)
        add_value(fields, cut(scope.require(part.name), pattern, part.operator), quoted=part.quoted)
    elif part.operator:
        add_conditional(scope, fields, part)
    else:
        add_value(fields, scope.require(part.name), quoted=part.quoted)


def add_positional(scope: Scope, fields: Fields, part: Parameter) -> None:
    """Expand `$@` or `$*`: one field a parameter, but one altogether for a quoted `$*`."""
    if part.quoted and part.name == "*":
        separators = scope.value("IFS")
        fields.add(escape((" " if separators is None else separators[:1]).join(scope.positional)))
        return
    for index, value in enumerate(scope.positional):
        if index:
            fields.end()
        add_value(fields, value, quoted=part.quoted)


def add_conditional(scope: Scope, fields: Fields, part: Parameter) -> None:
    """Expand `${name:-word}` and the like; with the colon an empty value counts as none."""
    value = scope.value(part.name)
    missing = not value if part.operator.startswith(":") else value is None
    kind = part.operator[-1]
    if kind == "+":
        if not missing:
            add_word(scope, fields, part.word)
    elif not missing:
        add_value(fields, value or "", quoted=part.quoted)
    elif kind == "-":
        add_word(scope, fields, part.word)
    elif kind == "=":
        text = expand_text(scope, part.word)
        scope.assign(part.name, text)
        add_value(fields, text, quoted=part.quoted)
    else:
        message = expand_text(scope, part.word) or "parameter not set"
        raise scope.fail(f"{part.name}: {message}")


def add_word(scope: Scope, fields: Fields, word: Word) -> None:
    """Expand the word inside `${name:-word}`: what is unquoted in it is split."""
    for part in word:
        if isinstance(part, Literal) and not part.quoted:
            fields.split(part.text)
        else:
            add_part(scope, fields, part)


def cut(value: str, pattern: str, operator: str) -> str:
    """Take a pattern off the start (`#`) or the end (`%`); doubled, the longest match."""
    expression = compile_pattern(pattern)
    lengths = range(len(value) + 1)
    longest = len(operator) > 1
    for length in reversed(lengths) if longest else lengths:
        if operator[0] == "#" and expression.fullmatch(value, 0, length):
            return value[length:]
        if operator[0] == "%" and expression.fullmatch(value, len(value) - length):
            return value[: len(value) - length]
    return value


def matches(value: str, pattern: str) -> bool:
    """Tell whether a text matches a pattern as a whole."""
    return compile_pattern(pattern).fullmatch(value) is not None


def escape(text: str) -> str:
    """Give quoted text as a pattern that stands for itself."""
    return SPECIAL.sub(r"\\\g<0>", text)


def unescape(pattern: str) -> str:
    """Give the text that a pattern was written as."""
    return re.sub(r"\\(.)", r"\1", pattern, flags=re.DOTALL) if "\\" in pattern else pattern


@lru_cache(maxsize=512)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Translate a shell pattern to a regular expression."""
    expression, pos = "", 0
    while pos < len(pattern):
        char = pattern[pos]
        pos += 1
        if char == "\\" and pos < len(pattern):
            expression += re.escape(pattern[pos])
            pos += 1
        elif char == "*":
            expression += ".*"
        elif char == "?":
            expression += "."
        elif char == "[" and (end := class_end(pattern, pos)) > 0:
            expression += bracket(pattern[pos:end])
            pos = end + 1
        else:
            expression += re.escape(char)
    return re.compile(expression, re.DOTALL)


def class_end(pattern: str, pos: int) -> int:
    """Give the place of the `]` that ends a bracket expression, -1 where none does."""
    start = pos + 1 if pattern[pos : pos + 1] in {"!", "^"} else pos
    pos = start
    while pos < len(pattern):
        if pattern.startswith("[:", pos):
            pos = pattern.find(":]", pos) + 1
            if pos == 0:
                return -1
        elif pattern[pos] == "]" and pos > start:
            return pos
        pos += 1
    return -1


CLASSES = {"[:alpha:]": "a-zA-Z", "[:digit:]": "0-9", "[:alnum:]": "a-zA-Z0-9", "[:space:]": r"\s", "[:upper:]": "A-Z"}
CLASSES |= {"[:lower:]": "a-z", "[:blank:]": r" \t", "[:xdigit:]": "0-9a-fA-F", "[:punct:]": r"!-/:-@\[-`{-~"}


def bracket(inside: str) -> str:
    """Translate what stands between the brackets of a pattern."""
    negated = inside[:1] in {"!", "^"}
    body = inside[1:] if negated else inside
    for name, members in CLASSES.items():
        body = body.replace(name, f"\0{members}\0")
    pieces = body.split("\0")
    for index in range(0, len(pieces), 2):
        pieces[index] = re.sub(r"([\[\]^&~|])", r"\\\1", pieces[index])
    return f"[{'^' if negated else ''}{''.join(pieces)}]"


def match_names(scope: Scope, field: str) -> list[str]:
    """Give the file names that a field's pattern matches, or the field itself where it is no pattern or none does."""
    plain = unescape(field)
    if not WILDCARD.search(ESCAPED.sub("", field)):
        return [plain]
    found = ["/"] if field.startswith("/") else [""]
    steps = [step for step in field.split("/") if step]
    for depth, step in enumerate(steps):
        last = depth == len(steps) - 1
        found = [path for folder in found for path in match_step(scope, folder, step, last=last)]
    return sorted(found) or [plain]


def match_step(scope: Scope, folder: str, step: str, *, last: bool) -> list[str]:
    """Give the paths in a folder whose name matches one step of a pattern."""
    end = "" if last else "/"
    if not WILDCARD.search(step):
        name = unescape(step)
        return [f"{folder}{name}{end}"] if not last or name in scope.names(folder) else []
    return [
        f"{folder}{name}{end}"
        for name in scope.names(folder)
        if matches(name, step) and (not name.startswith(".") or step.startswith("."))
    ]
