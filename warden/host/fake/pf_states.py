# SPDX-License-Identifier: BSD-2-Clause
"""The options of `keep state (...)`: limits, source tracking, timeouts (pf.conf(5))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.host.fake.pf_lexer import STRING

if TYPE_CHECKING:
    from warden.host.fake.pf_reader import Reader

TIMEOUTS = {
    "tcp.first": 120,
    "tcp.opening": 30,
    "tcp.established": 86400,
    "tcp.closing": 900,
    "tcp.finwait": 45,
    "tcp.closed": 90,
    "udp.first": 60,
    "udp.single": 30,
    "udp.multiple": 60,
    "icmp.first": 20,
    "icmp.error": 10,
    "other.first": 60,
    "other.single": 30,
    "other.multiple": 60,
    "frag": 60,
    "interval": 10,
    "adaptive.start": 60000,
    "adaptive.end": 120000,
    "src.track": 0,
    "tcp.tsdiff": 30,
}
"""pf's timeouts in seconds, in the kernel's order."""

_NUMBERED = ("max", "max-src-states", "max-src-conn", "max-src-nodes")
_TRACKING = ("max-src-states", "max-src-conn", "max-src-conn-rate", "max-src-nodes")
_RULE_TRACKING = ("max-src-conn", "max-src-conn-rate", "max-src-nodes")


def state_option(read: Reader, found: dict[str, str]) -> None:
    """Take one option into `found`: by its keyword, with the value that is printed."""
    if read.at(*_NUMBERED):
        word = read.take().kind
        _once(read, found, word, str(read.number()))
        if word != "max" and found[word] == "0":
            read.refuse(f"'{word}' must be > 0")
    elif read.accept("max-src-conn-rate"):
        limit = read.number()
        read.expect("/")
        seconds = read.number()
        if not limit or not seconds:
            read.refuse("'max-src-conn-rate' values must be > 0")
        _once(read, found, "max-src-conn-rate", f"{limit}/{seconds}")
    elif read.accept("overload"):
        _once(read, found, "overload", _overload(read))
    elif read.accept("source-track"):
        _once(read, found, "source-track", read.take().kind if read.at("global", "rule") else "")
    elif read.at("if-bound", "floating"):
        if "if-bound" in found or "floating" in found:
            read.refuse("state locking option: multiple definitions")
        found[read.take().kind] = ""
    elif read.at("no-sync", "sloppy"):
        _once(read, found, read.take().kind, "")
    else:
        _timeout(read, found)


def _once(read: Reader, found: dict[str, str], word: str, value: str) -> None:
    if word in found:
        read.refuse(f"state option '{word}' multiple definitions")
    found[word] = value


def _overload(read: Reader) -> str:
    read.expect("<")
    name = read.string()
    read.expect(">")
    flush = read.accept("flush")
    return f"<{name}>" + (" flush" if flush else "") + (" global" if flush and read.accept("global") else "")


def _timeout(read: Reader, found: dict[str, str]) -> None:
    name = read.expect(STRING)
    seconds = read.number()
    if name not in TIMEOUTS:
        read.refuse(f"illegal timeout name {name}")
    if "." not in name:
        read.refuse(f"illegal state timeout {name}")
    if name in found:
        read.refuse(f"state timeout {name} multiple definitions")
    found[name] = str(seconds)


def check_state_options(read: Reader, options: dict[str, str]) -> None:
    """Refuse options that do not go together."""
    if options.get("source-track") == "global":
        for word in ("max-src-nodes", "max-src-conn", "max-src-conn-rate"):
            if word in options:
                read.refuse(f"'{word}' is incompatible with 'source-track global'")


def printed_state_options(options: dict[str, str]) -> tuple[str, ...]:
    """Give the options as pfctl prints them, what pf adds by itself included."""
    options = dict(options)
    if "max" in options and "adaptive.start" not in options and "adaptive.end" not in options:
        tenth = int(options["max"]) // 10
        options |= {"adaptive.start": str(tenth * 6), "adaptive.end": str(tenth * 12)}
    if "max-src-conn-rate" in options:
        seconds = int(options["max-src-conn-rate"].partition("/")[2])
        options["src.track"] = str(max(seconds, int(options.get("src.track", "0"))))
    if "source-track" in options or any(word in options for word in _TRACKING):
        by_rule = options.get("source-track") == "rule" or any(word in options for word in _RULE_TRACKING)
        options["source-track"] = "rule" if by_rule else "global"
    order = (
        "max",
        "no-sync",
        "source-track",
        "max-src-states",
        "max-src-conn",
        "max-src-conn-rate",
        "max-src-nodes",
        "overload",
        "if-bound",
        "sloppy",
        *(name for name in TIMEOUTS if options.get(name, "0") != "0"),
    )
    return tuple(f"{word} {options[word]}".rstrip() for word in order if word in options)
