# SPDX-License-Identifier: BSD-2-Clause
"""The words of pf.conf(5): macros expanded, files included, lines counted as pfctl counts them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_OBEYED = """
all allow-opts anchor antispoof any binat binat-anchor block block-policy code debug drop ether fail-policy file flags
floating flush for fragment from global icmp-type icmp6-type if-bound in include inet inet6 interval keep l3 label
limit load log loginterface match max max-mss max-src-conn max-src-conn-rate max-src-nodes max-src-states min-ttl
modulate nat nat-anchor no no-df no-route no-sync on optimization out overload pass port proto quick random-id rdr
rdr-anchor reassemble require-order return return-icmp return-icmp6 return-rst round-robin rule ruleset-optimization
scrub set skip sloppy source-track state state-policy static-port sticky-address synproxy table tag tagged timeout to
ttl urpf-failed
"""
_REFUSED = """
altq bandwidth bitmask bridge-to buckets cbq codelq crop divert-reply divert-to dnpipe dnqueue drop-ovl dup-to fairq
fastroute fingerprints group hfsc hogs hostid keepcounters linkshare map-e-portset os prio priority priq probability
qlimit queue random realtime reply-to ridentifier route route-to rtable source-hash state-defaults syncookies target
set-tos tbrsize tos upperlimit user af-to allow-related binat-to endpoint-independent limiter max-pkt-rate
max-pkt-size nat-to once pflow prefer-ipv6-nexthop rdr-to received-on
"""
UNSUPPORTED = frozenset(_REFUSED.split())
"""Words of pf.conf that the fake host does not know how to obey: it refuses them rather than calling them wrong."""

WORDS = UNSUPPORTED | frozenset(_OBEYED.split())

STRING, NUMBER, END, BAD = "string", "number", "end of file", "bad"

_STRING_START = re.compile(r"[A-Za-z0-9:_]")
_STRING = re.compile(r"[A-Za-z0-9\"$%&'*+\-.:;?@\[\]^_`|~]*")
_NUMBER = re.compile(r"-?[0-9]+(?=[\s),/}=]|\Z)")
_BLANK = re.compile(r"[ \t]*")
_COMMENT = re.compile(r"#(?:\\\n|[^\n])*")
_MACRO = re.compile(r"\$([A-Za-z0-9_]*)")


class Token(NamedTuple):
    """A word: `kind` is the keyword or character itself, or STRING, NUMBER, END or BAD."""

    kind: str
    value: str
    line: int


class _File:
    """A file that is being read, and how far."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text if text.endswith("\n") or not text else text + "\n"
        self.at = 0
        self.line = 1
        self.plain_until = 0
        """Up to here the text came out of a macro, in which `$` means nothing."""


class Lexer:
    """Gives the words of a ruleset one at a time; `complain` hears what pfctl says about words themselves."""

    def __init__(self, name: str, text: str, macros: dict[str, str], complain: Callable[[str], None]) -> None:
        self._files = [_File(name, text)]
        self.macros = macros
        self.complain = complain
        self.line = 1
        self._newline_owed = False

    @property
    def name(self) -> str:
        """The name of the file that is being read."""
        return self._files[-1].name

    def include(self, name: str, text: str) -> None:
        """Read another file now; the line that includes it ends first."""
        self._files.append(_File(name, text))
        self._newline_owed = True

    def next(self) -> Token:
        """Give the next word."""
        if self._newline_owed:
            self._newline_owed = False
            return Token("\n", "", self.line)
        while True:
            file = self._files[-1]
            self._skip(file)
            self.line = file.line
            if file.at < len(file.text):
                token = self._token(file)
                if token is not None:
                    return token
            elif len(self._files) > 1:
                self._files.pop()
            else:
                return Token(END, "", self.line)

    def _skip(self, file: _File) -> None:
        while True:
            blank = _BLANK.match(file.text, file.at)
            file.at = blank.end() if blank else file.at
            if file.text.startswith("\\\n", file.at):
                file.at += 2
                file.line += 1
                continue
            comment = _COMMENT.match(file.text, file.at)
            if comment is None:
                return
            file.line += comment.group().count("\n")
            file.at = comment.end()

    def _token(self, file: _File) -> Token | None:
        """Give the word that begins here, or None when it was a macro, whose text now stands here."""
        character = file.text[file.at]
        if character == "$" and file.at >= file.plain_until:
            return self._macro(file)
        if character in "'\"":
            return self._quoted(file, character)
        if character == "\\":
            # A backslash before anything but a line's end just goes away.
            file.at += 1
            return None
        number = _NUMBER.match(file.text, file.at)
        if number is not None:
            file.at = number.end()
            return Token(NUMBER, str(int(number.group())), self.line)
        return self._word(file) if _STRING_START.match(character) else self._sign(file)

    def _sign(self, file: _File) -> Token:
        for pair in ("<>", "><", "->"):
            if file.text.startswith(pair, file.at):
                file.at += 2
                return Token(pair, pair, self.line)
        character = file.text[file.at]
        file.at += 1
        if character == "\n":
            file.line += 1
        return Token(character, character, self.line)

    def _word(self, file: _File) -> Token:
        text = ""
        while True:
            piece = _STRING.match(file.text, file.at)
            end = piece.end() if piece else file.at
            text += file.text[file.at : end]
            file.at = end
            if not file.text.startswith("\\\n", end):
                break
            file.at += 2
            file.line += 1
        return Token(text, text, self.line) if text in WORDS else Token(STRING, text, self.line)

    def _macro(self, file: _File) -> Token | None:
        match = _MACRO.match(file.text, file.at)
        name = match.group(1) if match else ""
        value = self.macros.get(name)
        if value is None:
            self.complain(f"macro '{name}' not defined")
            # The lexer throws the rest of the line away, its end included.
            end = file.text.find("\n", file.at)
            file.at = len(file.text) if end < 0 else end + 1
            file.line += 1
            return Token(BAD, "", self.line)
        rest = file.text[match.end() if match else file.at :]
        file.text, file.at, file.plain_until = value + rest, 0, len(value)
        return None

    def _quoted(self, file: _File, quote: str) -> Token:
        out: list[str] = []
        at = file.at + 1
        text = file.text
        while at < len(text) and text[at] != quote:
            if text[at] == "\n":
                file.line += 1
            elif text[at] == "\\" and at + 1 < len(text) and text[at + 1] in (quote, "\n"):
                at += 1
                if text[at] == quote:
                    out.append(quote)
                else:
                    file.line += 1
            else:
                out.append(text[at])
            at += 1
        file.at = min(at + 1, len(text))
        if at >= len(text):
            self.complain("reached end of file while parsing quoted string")
            return Token(END, "", self.line)
        return Token(STRING, "".join(out), self.line)
