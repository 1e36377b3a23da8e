# SPDX-License-Identifier: BSD-2-Clause
"""The program pfctl(8): sessions 04, 09, 14, 15, 17."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from warden.host.fake import pf_kernel, pf_tables
from warden.host.fake.options import complaint, getopt
from warden.host.fake.pf_load import Loading
from warden.host.fake.pf_show import (
    RuleView,
    show_anchors,
    show_interfaces,
    show_limits,
    show_running,
    show_status,
    show_tables,
)
from warden.host.fake.program import Call, Reply, program, say

if TYPE_CHECKING:
    from collections.abc import Callable

USAGE = """\
usage: pfctl [-AdeghMmNnOPqRSrvz] [-a anchor] [-D macro=value] [-F modifier]
	[-f file] [-i interface] [-K host | network]
	[-k host | network | gateway | label | id] [-o level] [-p device]
	[-s modifier] [-t table -T command [address ...]] [-x level]
"""
OPTIONS = "a:AdD:eqf:F:ghi:k:K:mMnNOo:Pp:rRs:St:T:vx:z"
REFUSED = "AgiKmOprxz"
"""Options that pfctl has and this one has not."""

FLUSHES = ("nat", "queue", "rules", "Sources", "states", "info", "Tables", "osfp", "all", "ethernet", "Reset")
SHOWS = (
    "ether",
    "nat",
    "queue",
    "rules",
    "Anchors",
    "Sources",
    "states",
    "info",
    "Interfaces",
    "labels",
    "timeouts",
    "memory",
    "Tables",
    "osfp",
    "Running",
    "all",
    "creatorids",
)
NO_ALTQ = "No ALTQ support in kernel\nALTQ related functions disabled\n"
NO_DEVICE = say(error="pfctl: /dev/pf: No such file or directory\n", status=1)


class _WrongUsage(Exception):  # noqa: N818 - ends the command, with the text that pfctl prints before its usage
    pass


@program(
    "/sbin/pfctl",
    "pfctl [-nqN] [-a ANCHOR] [-D MACRO=VALUE]... [-o none|basic] -f FILE",
    "pfctl [-nqR] [-a ANCHOR] [-D MACRO=VALUE]... [-o none|basic] -f FILE",
    "pfctl [-qvPS] [-a ANCHOR] -s rules|nat|ether|Anchors|Tables|info|Running|memory|Interfaces|states|Sources",
    "pfctl [-q] [-a ANCHOR] -F rules|nat|ethernet|Tables|states|Sources|info|all",
    "pfctl [-nq] [-a ANCHOR] -t TABLE -T show|add|delete|replace|flush|kill|test|zero [-f FILE] [ADDRESS]...",
    "pfctl [-qM] -k HOST|NETWORK|label|id|gateway|key [-k HOST|NETWORK|LABEL|ID|KEY]",
    "pfctl [-q] -e|-d",
)
def pfctl(call: Call) -> Reply:
    """Control the packet filter."""
    if not call.args:
        return say(error=USAGE, status=1)
    options, operands, wrong = getopt(call.args, OPTIONS)
    if wrong or "h" in options:
        return say(error=(complaint("pfctl", wrong) if wrong else "") + USAGE, status=1)
    refused = sorted(set(options) & set(REFUSED))
    if refused:
        raise call.unsupported(f"pfctl -{refused[0]}")
    try:
        return _Command(call, options, operands).run()
    except _WrongUsage as failure:
        return say(error=f"{failure}{USAGE}", status=1)


class _Command:
    """One call of pfctl, its options sorted out."""

    def __init__(self, call: Call, options: dict[str, list[str]], operands: list[str]) -> None:
        self.call = call
        self.pf = call.machine.pf
        self.options = options
        self.operands = operands
        self.check = "n" in options
        self.quiet = "q" in options
        self.verbose = len(options.get("v", []))
        self.file = self._last("f")
        self.show = self._choice("s", SHOWS, "show modifier")
        self.flush = self._choice("F", FLUSHES, "flush modifier")
        self.table = self._last("t")
        self.table_command = self._choice("T", pf_tables.COMMANDS, "table command")
        if bool(self.table) != bool(self.table_command):
            raise _WrongUsage
        if operands and not self.table_command:
            raise _WrongUsage(f"pfctl: unknown command line argument: {operands[0]} ...\n")
        if len(options.get("k", [])) > 2:
            raise _WrongUsage("pfctl: can only specify -k twice\n")
        anchor = self._last("a")
        self.recurse = anchor.endswith("*")
        self.anchor = anchor.removesuffix("*").removesuffix("/") if self.recurse else anchor

    def _last(self, letter: str) -> str:
        return self.options.get(letter, [""])[-1]

    def _choice(self, letter: str, known: tuple[str, ...], what: str) -> str:
        given = self._last(letter)
        if letter not in self.options:
            return ""
        found = next((word for word in known if given and word.startswith(given)), "")
        if not found:
            raise _WrongUsage(f"pfctl: Unknown {what} '{given}'\n")
        return found

    def run(self) -> Reply:
        """Do what the options say, in pfctl's own order."""
        problem = self._problem()
        if problem is not None:
            return problem
        steps: list[Callable[[], Reply]] = []
        if not self.check:
            steps += [self._disable] if "d" in self.options else []
            steps += [self._show] if self.show else []
            steps += [self._flush] if self.flush else []
        steps += [self._kill_states] if "k" in self.options else []
        if self.table_command:
            steps.append(self._table)
        elif self.file:
            steps.append(self._load)
        if "e" in self.options and not self.check:
            steps.append(self._enable)
        reply = say(error=NO_ALTQ) if self.verbose and not self.check else Reply()
        failed = 0
        for step in steps:
            reply += step()
            # A step that fails ends it, but for one that only tells something by its status.
            if reply.exit_code and step != self._show:
                return reply
            failed = reply.exit_code or failed
        reply.exit_code = failed
        return reply

    def _problem(self) -> Reply | None:
        if self.call.jail and self.call.files.exists("/dev/pf", root=self.call.root):
            raise self.call.unsupported("pfctl inside a jail")
        # rules can be checked without the module
        if self.call.jail or ("pf.ko" not in self.call.machine.modules and not self.check):
            return NO_DEVICE
        changes = set(self.options) & set("defFk")
        if "a" not in self.options:
            return None
        if not self._last("a"):
            return say(error="pfctl: anchor name must not be empty\n", status=1)
        if not (changes or self.show or self.table_command):
            raise _WrongUsage("pfctl: anchors apply to -f, -F, -s, and -T only\n")
        if changes and not self.table_command and (self.anchor.startswith("_") or "/_" in self.anchor):
            text = "pfctl: anchor names beginning with '_' cannot be modified from the command line\n"
            return say(error=text, status=1)
        return None

    def _said(self, *lines: str) -> Reply:
        return Reply() if self.quiet else say(error="".join(f"{line}\n" for line in lines))

    def _enable(self) -> Reply:
        if self.pf.enabled:
            return say(error="pfctl: pf already enabled\n", status=1)
        self.pf.enabled, self.pf.changed_at = True, self.call.machine.clock
        return self._said("pf enabled")

    def _disable(self) -> Reply:
        if not self.pf.enabled:
            return say(error="pfctl: pf not enabled\n", status=1)
        self.pf.enabled, self.pf.changed_at = False, self.call.machine.clock
        return self._said("pf disabled")

    def _show(self) -> Reply:
        view = RuleView(self.call, verbose=self.verbose, numeric="P" in self.options, recurse=self.recurse)
        action: Callable[[], Reply] | None = {
            "rules": lambda: view.rules(self.anchor),
            "nat": lambda: view.nat(self.anchor),
            "ether": lambda: view.ether(self.anchor),
            "Anchors": lambda: show_anchors(self.call, self.anchor),
            "Tables": lambda: show_tables(self.call, self.anchor, self.verbose),
            "info": self._status,
            "Running": lambda: show_running(self.call),
            "memory": lambda: show_limits(self.call),
            "Interfaces": lambda: show_interfaces(self.call),
            "states": Reply,
            "Sources": Reply,
            "queue": Reply,
        }.get(self.show)
        if action is None or (self.verbose and self.show == "Interfaces"):
            raise self.call.unsupported(f"pfctl -s {self.show}")
        return action()

    def _status(self) -> Reply:
        if self.verbose:
            raise self.call.unsupported("pfctl -v -s info")
        return show_status(self.call)

    def _flush(self) -> Reply:
        if self.flush == "all":
            return self._flush_all()
        if self.recurse:
            raise self.call.unsupported(f"pfctl -a '{self._last('a')}' -F {self.flush}")
        action: Callable[[], Reply] | None = {
            "rules": self._flush_rules,
            "nat": self._flush_nat,
            "ethernet": self._flush_ether,
            "Tables": self._flush_tables,
            "states": lambda: self._said("0 states cleared"),
            "Sources": lambda: self._said("source tracking entries cleared"),
            "info": lambda: self._said("pf: statistics cleared"),
            "Reset": self._reset,
        }.get(self.flush)
        if action is None:
            raise self.call.unsupported(f"pfctl -F {self.flush}")
        return action()

    def _flush_rules(self) -> Reply:
        pf_kernel.clear(self.pf, self.anchor, "filter", "scrub")
        return self._said("rules cleared")

    def _flush_nat(self) -> Reply:
        pf_kernel.clear(self.pf, self.anchor, "nat")
        return self._said("nat cleared")

    def _flush_ether(self) -> Reply:
        pf_kernel.clear(self.pf, self.anchor, "ether")
        return self._said("Ethernet rules cleared")

    def _flush_tables(self) -> Reply:
        rules = self.pf.anchors.get(self.anchor)
        if rules is None:
            # What pfctl says of an anchor that is gone, also when it went one step before (session 04).
            return say(error="pfctl: Operation not supported by device\n", status=1)
        number = len(rules.tables)
        rules.tables.clear()
        rules.table_flags.clear()
        pf_kernel.remove_if_empty(self.pf, self.anchor)
        return self._said(f"{number} tables deleted.")

    def _reset(self) -> Reply:
        # Interface counters "for none" are the mark that this leaves until the main rules are loaded again.
        self.pf.anchors[""].options = ["set loginterface none"]
        return self._said("pf: interface flags reset")

    def _flush_all(self) -> Reply:
        if self.recurse:
            raise self.call.unsupported(f"pfctl -a '{self._last('a')}' -F all")
        reply = self._flush_ether() + self._flush_rules() + self._flush_nat() + self._flush_tables()
        if reply.exit_code:
            return reply
        reply += self._flush_rules()
        if self.anchor:
            return reply
        reply += self._said("0 states cleared", "source tracking entries cleared", "pf: statistics cleared")
        return reply + self._reset()

    def _kill_states(self) -> Reply:
        hosts = self.options["k"]
        if hosts[0] in {"label", "id", "gateway", "key"}:
            if len(hosts) != 2 or not hosts[1]:
                raise _WrongUsage(f"pfctl: no {hosts[0]} specified\n")
            return self._said("killed 0 states")
        for host in hosts:
            try:
                ipaddress.ip_network(host, strict=False)
            except ValueError:
                return say(error="pfctl: getaddrinfo: Name does not resolve\n", status=1)
        return self._said(f"killed 0 states from 1 sources and {len(hosts) - 1} destinations")

    def _table(self) -> Reply:
        if self.verbose:
            raise self.call.unsupported(f"pfctl -v -T {self.table_command}")
        if self.table_command in {"show", "flush", "kill"} and (self.operands or self.file):
            raise _WrongUsage
        if len(self.table) > 31:
            raise _WrongUsage
        command = pf_tables.TableCommand(
            self.call, self.anchor, self.table, self.operands, self.file, check=self.check, quiet=self.quiet
        )
        return command.run(self.table_command)

    def _load(self) -> Reply:
        if self.verbose > 1:
            raise self.call.unsupported("pfctl -vvf")
        level = self._last("o")
        if self.verbose and {"N", "R"} & set(self.options):
            raise self.call.unsupported("pfctl -v with -N or -R")
        if {"N", "R"} <= set(self.options):
            raise self.call.unsupported("pfctl -N -R")
        if level and not "none".startswith(level) and not "basic".startswith(level):
            raise self.call.unsupported(f"pfctl -o {level}")
        macros: dict[str, str] = {}
        for definition in self.options.get("D", []):
            name, _, value = definition.rpartition("=")
            macros[name] = value
        loading = Loading(
            self.call,
            check=self.check,
            verbose=self.verbose > 0,
            optimize=not (level and "none".startswith(level)),
            only="nat" if "N" in self.options else "filter" if "R" in self.options else "",
            macros=macros,
        )
        return loading.run(self.file, self.anchor)
