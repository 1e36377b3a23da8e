# SPDX-License-Identifier: BSD-2-Clause
"""nginx.conf, as nginx's own documentation (Beginner's Guide, core and http modules) has it: what is wrong is said."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from warden.host.fake.processes import account

if TYPE_CHECKING:
    from collections.abc import Callable

    from warden.host.fake.filesystem import FileSystem

MAIN, EVENTS, HTTP, SERVER, LOCATION = "main", "events", "http", "server", "location"
INSIDE_HTTP = (HTTP, SERVER, LOCATION)
MANY = 99
NO_FILE = "2: No such file or directory"


@dataclass(frozen=True, slots=True)
class Directive:
    """Where a directive may stand, and how many words it takes."""

    places: tuple[str, ...]
    least: int = 1
    most: int = 1
    block: str = ""
    """The place that its braces make; '' for one that ends with a semicolon."""
    flag: bool = False
    """Whether its word is `on` or `off`."""
    again: bool = False
    """Whether it may stand more than once in a place."""


FLAG = Directive(INSIDE_HTTP, flag=True)
KNOWN = {
    "absolute_redirect": FLAG,
    "access_log": Directive(INSIDE_HTTP, 1, MANY, again=True),
    "autoindex": FLAG,
    "charset": Directive(INSIDE_HTTP),
    "default_type": Directive(INSIDE_HTTP),
    "error_log": Directive((MAIN, *INSIDE_HTTP), 1, MANY, again=True),
    "events": Directive((MAIN,), 0, 0, block=EVENTS),
    "http": Directive((MAIN,), 0, 0, block=HTTP),
    "include": Directive((MAIN, EVENTS, *INSIDE_HTTP), again=True),
    "index": Directive(INSIDE_HTTP, 1, MANY, again=True),
    "keepalive_timeout": Directive(INSIDE_HTTP, 1, 2),
    "listen": Directive((SERVER,), 1, MANY, again=True),
    "location": Directive((SERVER, LOCATION), 1, 2, block=LOCATION, again=True),
    "pid": Directive((MAIN,)),
    "return": Directive((SERVER, LOCATION), 1, 2, again=True),
    "root": Directive(INSIDE_HTTP),
    "sendfile": FLAG,
    "server": Directive((HTTP,), 0, 0, block=SERVER, again=True),
    "server_name": Directive((SERVER,), 1, MANY, again=True),
    "server_tokens": FLAG,
    "try_files": Directive((SERVER, LOCATION), 2, MANY),
    "types": Directive(INSIDE_HTTP, 0, 0, block="types", again=True),
    "user": Directive((MAIN,), 1, 2),
    "worker_connections": Directive((EVENTS,)),
    "worker_processes": Directive((MAIN,)),
}
REAL = frozenset(
    [
        *("add_header", "alias", "allow", "auth_basic", "client_max_body_size", "daemon", "deny"),
        *("disable_symlinks", "env", "error_page", "etag", "expires", "fastcgi_pass", "geo", "gzip"),
        *("gzip_types", "if", "if_modified_since", "internal", "limit_conn", "limit_except"),
        *("limit_rate", "limit_req", "load_module", "log_format", "log_not_found", "mail", "map"),
        *("master_process", "merge_slashes", "open_file_cache", "proxy_pass"),
        *("proxy_set_header", "reset_timedout_connection", "resolver", "rewrite"),
        *("rewrite_log", "satisfy", "send_timeout", "set", "ssl", "ssl_certificate"),
        *("ssl_certificate_key", "stream", "stub_status", "tcp_nodelay", "tcp_nopush"),
        *("types_hash_max_size", "upstream", "uwsgi_pass", "worker_cpu_affinity"),
        "worker_rlimit_nofile",
    ]
)
"""Directives that nginx has and that are not known here."""


class ConfigError(Exception):
    """What nginx says of a configuration that is wrong, without `nginx: [emerg] `; `late` after its syntax was read."""

    def __init__(self, text: str, *, late: bool = False) -> None:
        super().__init__(text)
        self.late = late


class UnknownError(Exception):
    """The configuration has something that nginx knows and that is not known here."""


@dataclass(slots=True)
class Block:
    """A place between braces: its own directives in order, the places within, and the words before it."""

    place: str
    words: list[str] = field(default_factory=list)
    settings: list[list[str]] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    around: Block | None = None

    def get(self, name: str, default: list[str]) -> list[str]:
        """Give the words of a directive, here or further out."""
        found = [words[1:] for words in self.settings if words[0] == name]
        if found:
            return [word for words in found for word in words]
        return self.around.get(name, default) if self.around is not None else default

    def everywhere(self, name: str) -> list[list[str]]:
        """Give the words of all directives of a name, here and further in."""
        own = [words[1:] for words in self.settings if words[0] == name]
        return [*own, *(words for block in self.blocks for words in block.everywhere(name))]

    def all(self, place: str) -> list[Block]:
        """Give the places of a kind that are directly in here."""
        return [block for block in self.blocks if block.place == place]


class Reader:
    """Reads one configuration with all that it includes."""

    def __init__(self, files: FileSystem, root: str, path: str) -> None:
        self.files, self.root, self.path = files, root, path
        self.listening: dict[str, int] = {}

    def read(self) -> Block:
        """Read the whole configuration; raises ConfigError."""
        main = Block(MAIN)
        self._file(self.path, main, "")
        if not main.all(EVENTS):
            raise ConfigError('no "events" section in configuration', late=True)
        return main

    def _file(self, path: str, block: Block, named_at: str) -> None:
        node = self.files.lookup(path, root=self.root)
        if node is None:
            raise ConfigError(f'open() "{path}" failed ({NO_FILE}){named_at}')
        tokens = Tokens(node.data.decode("utf-8", "replace"), path)
        self._block(tokens, block, outermost=True)

    def _block(self, tokens: Tokens, block: Block, *, outermost: bool) -> None:
        while True:
            words, end = tokens.directive()
            if end == "" and not words:
                if not outermost:
                    raise tokens.error('unexpected end of file, expecting "}"')
                return
            if end == "":
                raise tokens.error('unexpected end of file, expecting ";" or "}"')
            if end == "}":
                if words or outermost:
                    raise tokens.error('unexpected "}"')
                return
            if not words:
                raise tokens.error(f'unexpected "{end}"')
            self._directive(tokens, block, words, opens=end == "{")

    def _directive(self, tokens: Tokens, block: Block, words: list[str], *, opens: bool) -> None:
        name = words[0]
        if block.place == "types" and not opens and len(words) > 1:
            return
        known = KNOWN.get(name)
        if known is None:
            if name in REAL:
                raise UnknownError(f'the directive "{name}" of nginx')
            raise tokens.error(f'unknown directive "{name}"')
        wrong = _refusal(known, block, words, opens=opens)
        if wrong:
            raise tokens.error(wrong)
        if name in CHECKS:
            CHECKS[name](self, tokens, block, words[1:])
        if known.block:
            inner = Block(known.block, words[1:], around=block)
            block.blocks.append(inner)
            self._block(tokens, inner, outermost=False)
        elif name == "include":
            path = words[1] if words[1].startswith("/") else f"{self.path.rpartition('/')[0]}/{words[1]}"
            if "*" in path:
                raise UnknownError("an include of nginx with a pattern")
            self._file(path, block, tokens.place())
        else:
            block.settings.append(words)


def _refusal(known: Directive, block: Block, words: list[str], *, opens: bool) -> str:
    """Say what is wrong with a directive where it stands; '' for nothing."""
    name, there = words[0], {*(words[0] for words in block.settings), *(inner.place for inner in block.blocks)}
    refusals = (
        (block.place not in known.places, f'"{name}" directive is not allowed here'),
        (known.block and not opens, f'directive "{name}" has no opening "{{"'),
        (opens and not known.block, f'directive "{name}" is not terminated by ";"'),
        (not known.least <= len(words) - 1 <= known.most, f'invalid number of arguments in "{name}" directive'),
        (not known.again and name in there, f'"{name}" directive is duplicate'),
        (
            known.flag and words[1:] not in (["on"], ["off"]),
            f'invalid value "{"".join(words[1:])}" in "{name}" directive, it must be "on" or "off"',
        ),
    )
    return next((text for holds, text in refusals if holds), "")


def _user(reader: Reader, tokens: Tokens, _block: Block, words: list[str]) -> None:
    if not account(reader.files, words[0], reader.root):
        raise tokens.error(f'getpwnam("{words[0]}") failed')


def _listen(reader: Reader, tokens: Tokens, block: Block, words: list[str]) -> None:
    match = re.fullmatch(r"(?:(\*|\d+\.\d+\.\d+\.\d+):)?(\d+)", words[0])
    if match is None or set(words[1:]) - {"default_server"}:
        raise UnknownError(f"nginx: listen {' '.join(words)}")
    if not 0 < int(match[2]) < 65536:
        raise tokens.error(f'invalid port in "{words[0]}" of the "listen" directive')
    socket = address_of(words[0])
    shown = f"{socket[0]}:{socket[1]}"
    if any(words[0] == "listen" and address_of(words[1]) == socket for words in block.settings):
        raise tokens.error(f"a duplicate listen {shown}")
    if "default_server" in words:
        if shown in reader.listening:
            raise tokens.error(f"a duplicate default server for {shown}")
        reader.listening[shown] = 1


def _location(_reader: Reader, tokens: Tokens, block: Block, words: list[str]) -> None:
    if len(words) == 2 and words[0] not in ("=", "~", "~*", "^~"):
        raise tokens.error(f'invalid location modifier "{words[0]}"')
    if words[0] in ("~", "~*"):
        try:
            re.compile(words[1])
        except re.error as failure:
            raise UnknownError(f"nginx: the expression {words[1]}: {failure}") from None
    elif len(words) == 1 and not words[0].startswith("/"):
        raise UnknownError(f"nginx: location {words[0]}")
    if any(words == other.words for other in block.all(LOCATION)):
        raise tokens.error(f'duplicate location "{words[-1]}"')


def _return(_reader: Reader, tokens: Tokens, _block: Block, words: list[str]) -> None:
    if not words[0].isdigit() and not words[0].startswith(("http://", "https://", "$scheme")):
        raise tokens.error(f'invalid return code "{words[0]}"')


CHECKS: dict[str, Callable[[Reader, Tokens, Block, list[str]], None]] = {
    "user": _user,
    "listen": _listen,
    "location": _location,
    "return": _return,
}


def address_of(word: str) -> tuple[str, int]:
    """Give address and port of a `listen`."""
    address, _, port = word.rpartition(":")
    return ("0.0.0.0" if address in ("", "*") else address), int(port)


class Tokens:
    """The words of a file, and where they stand."""

    def __init__(self, text: str, path: str) -> None:
        self.text, self.path, self.at, self.line = text, path, 0, 1

    def place(self) -> str:
        """Say where the reader is."""
        return f" in {self.path}:{self.line}"

    def error(self, text: str) -> ConfigError:
        """Give an error at this place."""
        return ConfigError(f"{text}{self.place()}")

    def directive(self) -> tuple[list[str], str]:
        """Give the next words, and what ends them: `;`, `{`, `}` or the end of the file."""
        words: list[str] = []
        while self._skip():
            sign = self.text[self.at]
            if sign in ";{}":
                self.at += 1
                return words, sign
            words.append(self._quoted(sign) if sign in "\"'" else self._word())
        return words, ""

    def _skip(self) -> bool:
        """Go on to the next word; tell whether there is one."""
        while self.at < len(self.text):
            sign = self.text[self.at]
            if sign == "#":
                end = self.text.find("\n", self.at)
                self.at = end if end >= 0 else len(self.text)
            elif sign.isspace():
                self.line += sign == "\n"
                self.at += 1
            else:
                return True
        return False

    def _quoted(self, quote: str) -> str:
        start = self.at + 1
        match = re.compile(rf"(?:\\.|[^\\{quote}])*{quote}", re.DOTALL).match(self.text, start)
        if match is None:
            self.line += self.text.count("\n", start)
            raise self.error('unexpected end of file, expecting ";" or "}"')
        self.at = match.end()
        self.line += match[0].count("\n")
        if self.at < len(self.text) and self.text[self.at] not in " \t\r\n;{)":
            raise self.error(f'unexpected "{self.text[self.at]}"')
        inner = match[0][:-1]
        return re.sub(r"\\([\"'\\ntr])", lambda found: {"n": "\n", "t": "\t", "r": "\r"}.get(found[1], found[1]), inner)

    def _word(self) -> str:
        match = re.compile(r"(?:\\.|\$\{|[^\s;{\\])+", re.DOTALL).match(self.text, self.at)
        if match is None:  # a backslash at the very end
            self.at = len(self.text)
            return ""
        self.at = match.end()
        return match[0]
