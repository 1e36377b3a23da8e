# SPDX-License-Identifier: BSD-2-Clause
"""Which commands may change the machine: only those count for faults.

A command that is not known to read only may change something. Time that passes, and what ARP learns, are no change.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import TYPE_CHECKING

from warden.host.fake.options import getopt
from warden.host.fake.program import UnsupportedError
from warden.host.fake.shell_builtins import BUILTINS
from warden.host.fake.shell_parser import parse
from warden.host.fake.shell_tree import AndOr, Function, Literal, Redirect, Simple, Substitution, Word
from warden.host.fake.shell_words import ShellSyntaxError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Args = tuple[str, ...]

READERS = frozenset(
    {
        *(
            "[",
            "arp",
            "awk",
            "b64encode",
            "base64",
            "cat",
            "cmp",
            "date",
            "df",
            "diff",
            "du",
            "echo",
            "false",
            "find",
            "fuser",
        ),
        *("freebsd-version", "getent", "grep", "head", "id", "ipcs", "jls", "kldstat", "locale", "logins", "ls", "md5"),
        *("nc", "netstat", "pgrep", "ping", "printenv", "printf", "ps", "rcorder", "readlink", "realpath", "sha256"),
        *("sha512", "sleep", "sockstat", "sort", "stat", "swapinfo", "tail", "tar", "test", "true", "uname", "wc"),
        *("which", "zpool"),
    }
)
"""The programs that change nothing, whatever they are told, in the forms that the fake host knows."""

READS_ONLY = "# reads only\n"
"""The first line of a script that says so of itself: one that runs what it is given cannot be looked through."""

HARMLESS_BUILTINS = frozenset(BUILTINS) - {".", "command", "eval", "exec", "kill"}
"""What the shell does by itself, but for what runs commands."""

NOWHERE = frozenset({"/dev/null", "/dev/stdout", "/dev/stderr"})
WRITING = frozenset({">", ">>", ">|", "<>"})
SERVICE_MODES = ("one", "force", "fast", "quiet")


def changes_state(argv: Args) -> bool:
    """Tell whether a command may change the machine."""
    name, args = argv[0].rpartition("/")[2], argv[1:]
    if name in READERS:
        return False
    only_reads = RULES.get(name)
    return only_reads is None or not only_reads(args)


def _runs_reader(args: Args) -> bool:
    """Tell it of the command that a program runs in its place."""
    return bool(args) and not changes_state(args)


def _bastille(args: Args) -> bool:
    verb, rest = args[:1], tuple(word for word in args[1:] if word != "-a")
    if verb == ("cmd",):
        return _runs_reader(rest[1:])
    if verb in (("sysrc",), ("service",), ("pkg",)):
        return _runs_reader((*verb, *rest[1:]))
    asking = {"config": ("get",), "limits": ("list", "show", "stats"), "tags": ("list",), "zfs": ("get", "df")}
    if verb and verb[0] in asking:
        return rest[1:2] != () and rest[1] in asking[verb[0]]
    return verb in (("list",), ("--version",), ("-v",), ("version",))


def _env(args: Args) -> bool:
    _, words, wrong = getopt(args, "iu:")
    command = tuple(words)
    while command and "=" in command[0]:
        command = command[1:]
    return not wrong and (not command or not changes_state(command))


def _fetch(args: Args) -> bool:
    flags, _, wrong = getopt(args, "qo:T:a4")
    return bool(wrong) or flags.get("o", [""])[-1] in ("-", "/dev/null")


def _ifconfig(args: Args) -> bool:
    _, words, wrong = getopt(args, "alnudf:g:j:")
    return not wrong and (len(words) < 2 or words[1:] in (["inet"], ["inet6"], ["ether"], ["addr"]))


def _jexec(args: Args) -> bool:
    _, words, wrong = getopt(args, "lu:U:")
    return not wrong and _runs_reader(tuple(words[1:]))


def _mount(args: Args) -> bool:
    flags, words, wrong = getopt(args, "aprF:t:o:")
    return not wrong and not words and "a" not in flags


def _pfctl(args: Args) -> bool:
    flags, _, wrong = getopt(args, "a:AdD:eqf:F:ghi:k:K:mMnNOo:Pp:rRs:St:T:vx:z")
    asks = flags.get("T", ["show"])[-1] in ("show", "test")
    return bool(wrong) or "n" in flags or (asks and not flags.keys() & set("deFfKkz"))


def _pkg(args: Args) -> bool:
    return args[:1] in (("info",), ("query",), ("-N",))


def _pw(args: Args) -> bool:
    words = args[2:] if args[:1] == ("-R",) else args
    return words[:1] in (("usershow",), ("groupshow",))


def _route(args: Args) -> bool:
    _, words, wrong = getopt(args, "nqvj:")
    return not wrong and words[:1] == ["get"]


def _service(args: Args) -> bool:
    words = args[2:] if args[:1] == ("-j",) else args
    if words[:1] in (("-l",), ("-e",)):
        return True
    verb = words[1] if len(words) > 1 else ""
    for mode in SERVICE_MODES:
        verb = verb.removeprefix(mode)
    return verb in ("status", "rcvar", "enabled", "describe", "extracommands", "poll")


def _sysrc(args: Args) -> bool:
    flags, words, wrong = getopt(args, "aAcdDeEf:Fhij:lLnNqR:s:vxX")
    return bool(wrong) or "c" in flags or ("x" not in flags and not any("=" in word for word in words))


def _sh(args: Args) -> bool:
    if args[:1] == ("-n",):
        return True
    if args[:1] != ("-c",) or len(args) < 2:
        return False
    return args[1].startswith(READS_ONLY) or _script_only_reads(args[1])


RULES: dict[str, Callable[[Args], bool]] = {
    "bastille": _bastille,
    "command": lambda args: args[:1] == ("-v",) or _runs_reader(args),
    "devfs": lambda args: args[-1:] in (("show",), ("showsets",)),
    "env": _env,
    "exec": _runs_reader,
    "fetch": _fetch,
    "hostname": lambda args: all(word.startswith("-") for word in args),
    "ifconfig": _ifconfig,
    "jexec": _jexec,
    "kill": lambda args: args[:1] == ("-0",),
    "mount": _mount,
    "pfctl": _pfctl,
    "pkg": _pkg,
    "pw": _pw,
    "rctl": lambda args: args[:1] not in (("-a",), ("-r",)),
    "route": _route,
    "sed": lambda args: not any(word.startswith("-i") for word in args),
    "service": _service,
    "sh": _sh,
    "ssh-keygen": lambda args: args[:1] in (("-y",), ("-l",), ("-lf",)),
    "sysctl": lambda args: not any("=" in word for word in args) and "-f" not in args,
    "sysrc": _sysrc,
    "timeout": lambda args: _runs_reader(args[1:]),
    "zfs": lambda args: args[:1] in (("list",), ("get",), ("holds",)),
}
"""By program: whether it only reads when it has these arguments."""


@lru_cache(maxsize=256)
def _script_only_reads(script: str) -> bool:
    """Tell whether all that a shell script could run reads only, and what it writes goes to no file."""
    try:
        parts = list(_parts(parse(script)))
    except (ShellSyntaxError, UnsupportedError):
        return True  # it will not run
    own = {part.name for part in parts if isinstance(part, Function)}
    for part in parts:
        if isinstance(part, AndOr) and part.background:
            return False  # a process that stays
        if isinstance(part, Redirect) and part.operator in WRITING and _text(part.target) not in NOWHERE:
            return False
        if isinstance(part, Simple) and part.words:
            argv = tuple(_text(word) for word in part.words)
            if argv[0] not in own | HARMLESS_BUILTINS and changes_state(argv):
                return False
    return True


def _parts(value: object) -> Iterator[object]:
    """Give a value of the shell's tree and all that is in it, command substitutions too."""
    yield value
    if isinstance(value, Substitution):
        yield from _parts(parse(value.script))
    elif isinstance(value, tuple):
        for item in value:
            yield from _parts(item)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _parts(getattr(value, field.name))


def _text(word: Word) -> str:
    """Give a word as far as it is known before the script runs; `$` stands for the rest."""
    return "".join(part.text if isinstance(part, Literal) else "$" for part in word)
