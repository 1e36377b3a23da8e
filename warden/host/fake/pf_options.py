# SPDX-License-Identifier: BSD-2-Clause
"""The `set` lines of pf.conf(5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.host.fake.pf_clauses import interfaces
from warden.host.fake.pf_lexer import STRING
from warden.host.fake.pf_states import TIMEOUTS
from warden.host.fake.program import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from warden.host.fake.pf_reader import Reader

LIMITS = {
    "states": 100000,
    "src-nodes": 10000,
    "frags": 5000,
    "table-entries": 200000,
    "anchors": 0,
    "eth-anchors": 0,
}
"""pf's limits and what they are when no `set limit` says otherwise (session 04)."""

OPTIMIZATIONS = frozenset({"normal", "satellite", "high-latency", "conservative", "aggressive"})
DEBUG_LEVELS = frozenset({"none", "urgent", "misc", "loud"})


class OptionReader:
    """Takes `set` lines; what later lines depend on stands in its attributes."""

    def __init__(self, read: Reader, options: list[str], shown: list[str], stage: Callable[[str], None]) -> None:
        self.read = read
        self.options = options
        self.shown = shown
        self.stage = stage
        self.block_policy = "drop"
        self.if_bound = False
        self.require_order = True
        self.optimize = True

    def statement(self) -> None:
        """Take one `set` line."""
        read = self.read
        read.expect("set")
        word = read.peek().kind
        action = {
            "optimization": self._optimization,
            "ruleset-optimization": self._ruleset_optimization,
            "timeout": lambda: self._pairs(self._timeout),
            "limit": lambda: self._pairs(self._limit),
            "loginterface": self._log_interface,
            "block-policy": lambda: self._policy("block-policy"),
            "fail-policy": lambda: self._policy("fail-policy"),
            "require-order": self._require_order,
            "state-policy": self._state_policy,
            "debug": self._debug,
            "skip": self._skip,
            "reassemble": self._reassemble,
        }.get(word)
        if action is None:
            read.wrong()
        read.take()
        action()

    def _say(self, text: str, *, keep: bool = True) -> None:
        self.shown.append(text)
        if keep:
            self.options.append(text)

    def _optimization(self) -> None:
        name = self.read.string()
        self.stage("options")
        if name not in OPTIMIZATIONS:
            self.read.refuse(f"unknown optimization {name}")
        self._say(f"set optimization {name}")

    def _ruleset_optimization(self) -> None:
        name = self.read.string()
        if name == "profile":
            raise UnsupportedError("pf.conf: set ruleset-optimization profile")
        if name not in {"none", "basic"}:
            self.read.refuse(f"unknown ruleset-optimization {name}")
        self.optimize = name == "basic"

    def _pairs(self, take: Callable[[], None]) -> None:
        def item() -> list[None]:
            take()
            return []

        self.read.one_or_braced(item)

    def _timeout(self) -> None:
        name = self.read.expect(STRING, "interval")
        seconds = self.read.number()
        self.stage("options")
        if name not in TIMEOUTS:
            self.read.messages.append("pfctl: Bad timeout name.")
            self.read.refuse(f"unknown timeout {name}")
        self._say(f"set timeout {name} {seconds}")

    def _limit(self) -> None:
        name = self.read.string()
        number = self.read.number()
        self.stage("options")
        if number < 0:
            self.read.refuse("only positive values permitted")
        if name not in LIMITS:
            self.read.messages.append("pfctl: Bad pool name.")
            self.read.refuse(f"unable to set limit {name} {number}")
        self._say(f"set limit {name} {number}")

    def _log_interface(self) -> None:
        name = self.read.expect(STRING, "all")
        self.stage("options")
        self._say(f"set loginterface {name}")

    def _policy(self, which: str) -> None:
        policy = self.read.expect("drop", "return")
        self.shown.append(f"set {which} {policy}")
        self.stage("options")
        self.options.append(f"set {which} {policy}")
        if which == "block-policy":
            self.block_policy = policy

    def _yes_or_no(self) -> bool:
        if self.read.accept("no"):
            return False
        word = self.read.string()
        if word != "yes":
            self.read.refuse(f"invalid value '{word}', expected 'yes' or 'no'")
        return True

    def _require_order(self) -> None:
        self.require_order = self._yes_or_no()
        self._say(f"set require-order {'yes' if self.require_order else 'no'}", keep=False)

    def _state_policy(self) -> None:
        policy = self.read.expect("if-bound", "floating")
        self.if_bound = policy == "if-bound"
        self._say(f"set state-policy {policy}")

    def _debug(self) -> None:
        level = self.read.string()
        self.stage("options")
        if level not in DEBUG_LEVELS:
            self.read.messages.append(f'pfctl: unknown debug level "{level}"')
            self.read.refuse(f"error setting debuglevel {level}")
        self._say(f"set debug {level}")

    def _skip(self) -> None:
        names = interfaces(self.read)
        if not names or names == [("none", False)]:
            self._say("set skip on none")
            return
        if any(negated for _, negated in names):
            self.read.complain("skip on ! <interface> is not supported")
            self.read.refuse("error setting skip interface(s)")
        self._say(f"set skip on {{ {' '.join(name for name, _ in names)} }}")

    def _reassemble(self) -> None:
        on = self._yes_or_no()
        no_df = self.read.accept("no-df")
        self.stage("options")
        self._say(f"set reassemble {'yes' if on else 'no'} {'no-df' if no_df else ''}")


def limits(options: list[str]) -> dict[str, int]:
    """Give pf's limits under the options of a ruleset."""
    words = [option.split() for option in options if option.startswith("set limit ")]
    return LIMITS | {word[2]: int(word[3]) for word in words}


def skipped_interfaces(options: list[str]) -> set[str]:
    """Give the interfaces and groups that `set skip` leaves alone."""
    return {
        name
        for option in options
        if option.startswith("set skip on {")
        for name in option[len("set skip on {") : -1].split()
    }


def log_interface(options: list[str]) -> str:
    """Give the interface whose packets are counted (`set loginterface`), '' for none."""
    names = [option.split()[2] for option in options if option.startswith("set loginterface ")]
    return names[-1] if names else ""
