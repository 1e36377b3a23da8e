# SPDX-License-Identifier: BSD-2-Clause
"""What a parsed sh(1) script consists of: words and commands, as values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Literal:
    """Text that stands as it is; quoted text is neither split nor matched against file names."""

    text: str
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Parameter:
    """`$name`, `${name}`, or with an operator and a word: `${name:-word}`; operator `length` is `${#name}`."""

    name: str
    operator: str = ""
    word: Word = ()
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Substitution:
    """`$(script)`: what the script prints."""

    script: str
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`$((expression))`."""

    expression: Word
    quoted: bool = False


Part = Literal | Parameter | Substitution | Arithmetic
Word = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Redirect:
    """`2>file`, `<file`, `2>&1`: the descriptor, the operator and what it leads to."""

    fd: int
    operator: str
    target: Word


@dataclass(frozen=True, slots=True)
class Simple:
    """Assignments, then a command with its arguments; either may be missing."""

    assignments: tuple[tuple[str, Word], ...]
    words: tuple[Word, ...]
    redirects: tuple[Redirect, ...]


@dataclass(frozen=True, slots=True)
class If:
    """`if`: conditions with what each leads to, and what happens otherwise."""

    branches: tuple[tuple[Script, Script], ...]
    otherwise: Script | None


@dataclass(frozen=True, slots=True)
class For:
    """`for name in words`; None for the positional parameters."""

    name: str
    words: tuple[Word, ...] | None
    body: Script


@dataclass(frozen=True, slots=True)
class Loop:
    """`while` or, with `until`, its opposite; `source` is the whole loop as written."""

    condition: Script
    body: Script
    until: bool
    source: str


@dataclass(frozen=True, slots=True)
class Case:
    """`case`: the word, and patterns with what each leads to."""

    word: Word
    branches: tuple[tuple[tuple[Word, ...], Script], ...]


@dataclass(frozen=True, slots=True)
class Group:
    """`{ ...; }`, or `( ... )` which changes nothing outside itself."""

    body: Script
    subshell: bool


@dataclass(frozen=True, slots=True)
class Function:
    """`name() { ...; }`; `source` is the whole as written."""

    name: str
    body: Command
    source: str


@dataclass(frozen=True, slots=True)
class Redirected:
    """A compound command whose inputs and outputs are led elsewhere."""

    command: Command
    redirects: tuple[Redirect, ...]


Command = Simple | If | For | Loop | Case | Group | Function | Redirected


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands joined by `|`; `!` before them turns the exit status round."""

    commands: tuple[Command, ...]
    negated: bool
    source: str


@dataclass(frozen=True, slots=True)
class AndOr:
    """Pipelines joined by `&&` and `||`; each but the first has its operator."""

    pipelines: tuple[tuple[str, Pipeline], ...]
    background: bool
    source: str


@dataclass(frozen=True, slots=True)
class Script:
    """Commands one after the other."""

    items: tuple[AndOr, ...]

    @property
    def source(self) -> str:
        """The commands as written, one a line."""
        return "\n".join(item.source + (" &" if item.background else "") for item in self.items)
