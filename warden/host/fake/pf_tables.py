# SPDX-License-Identifier: BSD-2-Clause
"""`pfctl -t TABLE -T COMMAND`: pf's tables of addresses (session 04). Counts go to standard error."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from warden.host.fake import pf_kernel
from warden.host.fake.filesystem import FileError
from warden.host.fake.pf_hosts import (
    HostError,
    Surroundings,
    parse_network,
    surroundings,
    table_entry,
    table_hosts,
    table_words,
)
from warden.host.fake.program import Reply, say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from warden.host.fake.machine import PfRules
    from warden.host.fake.program import Call

COMMANDS = ("kill", "flush", "add", "delete", "load", "replace", "show", "test", "zero", "expire", "reset")
FAILED = 255
NO_TABLE = say(error="pfctl: Table does not exist.\n", status=FAILED)
NOT_PERMITTED = say(error="pfctl: Operation not permitted.\n", status=FAILED)


class _AddressesError(Exception):
    """Addresses that cannot be read; the text is what pfctl says."""


class TableCommand:
    """One table command on its way: the table, where it is, and the addresses that it is about."""

    def __init__(
        self, call: Call, anchor: str, table: str, addresses: Sequence[str], file: str, *, check: bool, quiet: bool
    ) -> None:
        self.call = call
        self.anchor = anchor
        self.table = table
        self.words = addresses
        self.file = file
        self.check = check
        self.quiet = quiet

    def run(self, command: str) -> Reply:
        """Carry out a command."""
        action: Callable[[], Reply] | None = {
            "show": self._show,
            "add": self._add,
            "delete": self._delete,
            "replace": self._replace,
            "flush": self._flush,
            "kill": self._kill,
            "test": self._test,
            "zero": self._zero,
        }.get(command)
        if action is None:
            raise self.call.unsupported(f"pfctl -T {command}")
        try:
            return action()
        except _AddressesError as failure:
            return say(error=f"{failure}\n", status=FAILED)

    @property
    def _rules(self) -> PfRules | None:
        return self.call.machine.pf.anchors.get(self.anchor)

    @property
    def _held(self) -> list[str] | None:
        """What the table holds, None where there is no table."""
        rules = self._rules
        return rules.tables.get(self.table) if rules is not None else None

    @property
    def _const(self) -> bool:
        rules = self._rules
        return rules is not None and "const" in rules.table_flags.get(self.table, "").split()

    def _say(self, *lines: str, status: int = 0) -> Reply:
        end = " (dummy).\n" if self.check else ".\n"
        return say(error="" if self.quiet else "".join(f"{line}{end}" for line in lines), status=status)

    def _keep(self, entries: list[str]) -> None:
        rules = self._rules
        if rules is not None and not self.check:
            rules.tables[self.table] = entries

    def _addresses(self, *, hosts_only: bool = False) -> list[str]:
        """Read the addresses of the command line and of the file, each of them once."""
        where = surroundings(self.call, self.call.net)
        found: list[str] = []
        for word in self.words:
            try:
                found += _entries(where, word)
            except HostError as failure:
                raise _AddressesError("\n".join(failure.lines)) from failure
            if hosts_only and ("/" in found[-1] or found[-1].startswith("!")):
                raise _AddressesError(f"pfctl: cannot decode {word}: Invalid argument")
        if self.file:
            try:
                for word in table_words(where.read(self.file)):
                    found += _entries(where, word)
            except FileError as failure:
                raise _AddressesError(f"pfctl: cannot load {self.file}: {failure.reason}") from failure
            except HostError as failure:
                lines = [*failure.lines, f"pfctl: cannot load {self.file}: No error: 0"]
                raise _AddressesError("\n".join(lines)) from failure
        return found

    def _made(self) -> Reply:
        """Make the table if it is not there: one that a command makes is persistent."""
        pf = self.call.machine.pf
        warnings = pf_kernel.duplicate_warnings(pf, self.anchor, self.table)
        reply = say(error="".join(f"{warning}\n" for warning in warnings))
        if self._held is not None:
            return reply
        if not self.check:
            rules = pf_kernel.begin(pf, self.anchor)
            rules.tables[self.table] = []
            rules.table_flags[self.table] = "persist"
        return reply + self._say("1 table created")

    def _show(self) -> Reply:
        held = self._held
        if held is None:
            return NO_TABLE
        shown = (entry if entry.startswith("!") else f" {entry}" for entry in sorted(held, key=_order))
        return say("".join(f"  {entry}\n" for entry in shown))

    def _add(self) -> Reply:
        addresses = self._addresses()
        made = self._made()
        if self.check and self._held is None:
            return made
        held = self._held or []
        if self._const:
            return made + NOT_PERMITTED
        known = {entry.lstrip("!") for entry in held}
        new = [entry for entry in dict.fromkeys(addresses) if entry.lstrip("!") not in known]
        self._keep([*held, *new])
        return made + self._say(f"{len(new)}/{len(addresses)} addresses added")

    def _delete(self) -> Reply:
        addresses = self._addresses()
        held = self._held
        if held is None:
            return NO_TABLE
        if self._const:
            return NOT_PERMITTED
        gone = set(addresses) & set(held)
        self._keep([entry for entry in held if entry not in gone])
        return self._say(f"{len(gone)}/{len(addresses)} addresses deleted")

    def _replace(self) -> Reply:
        addresses = self._addresses()
        made = self._made()
        if self.check and self._held is None:
            return made
        held = self._held or []
        if self._const:
            return made + NOT_PERMITTED
        wanted = {entry.lstrip("!"): entry for entry in reversed(addresses)}
        before = {entry.lstrip("!"): entry for entry in held}
        added = len(wanted.keys() - before.keys())
        deleted = len(before.keys() - wanted.keys())
        changed = sum(1 for key, entry in wanted.items() if before.get(key, entry) != entry)
        self._keep(sorted(wanted.values(), key=_order))
        counts = {"added": added, "deleted": deleted, "changed": changed}
        lines = [f"{number} addresses {verb}" for verb, number in counts.items() if number]
        return made + self._say(*(lines or ["no changes"]))

    def _flush(self) -> Reply:
        held = self._held
        if held is None:
            return NO_TABLE
        if self._const:
            return NOT_PERMITTED
        number = len(held)
        self._keep([])
        return self._say(f"{number} addresses deleted")

    def _kill(self) -> Reply:
        if self._held is None:
            return self._say("0 table deleted")
        if not self.check:
            remove_table(self.call, self.anchor, self.table)
        return self._say("1 table deleted")

    def _test(self) -> Reply:
        addresses = self._addresses(hosts_only=True)
        held = self._held
        if held is None:
            return NO_TABLE
        found = sum(1 for address in addresses if matches(held, address))
        status = 0 if found == len(addresses) else 2
        return self._say(f"{found}/{len(addresses)} addresses match", status=status)

    def _zero(self) -> Reply:
        if self._held is None:
            return NO_TABLE
        return self._say("1 table/stats cleared")


def remove_table(call: Call, anchor: str, name: str) -> None:
    """Take a table away; rules that use it match nothing by it from now on."""
    pf = call.machine.pf
    del pf.anchors[anchor].tables[name]
    pf.anchors[anchor].table_flags.pop(name, None)
    pf_kernel.remove_if_empty(pf, anchor)


def matches(entries: Sequence[str], address: str) -> bool:
    """Tell whether an address is in a table: the longest entry that covers it decides, one with `!` says no."""
    wanted = parse_network(address).network_address
    number = int(wanted)
    best, longest = "!", -1
    for entry in entries:
        version, first, last, length = _bounds(entry)
        if length > longest and version == wanted.version and first <= number <= last:
            best, longest = entry, length
    return not best.startswith("!")


@lru_cache(maxsize=4096)
def _bounds(entry: str) -> tuple[int, int, int, int]:
    """Give a table entry's version of IP, its first and last address as numbers, and the length of its prefix."""
    network = parse_network(entry.lstrip("!"))
    return network.version, int(network.network_address), int(network.broadcast_address), network.prefixlen


def _entries(where: Surroundings, word: str) -> list[str]:
    return [table_entry(address) for address in table_hosts(where, word)]


def _order(entry: str) -> tuple[int, int, int]:
    """Give an entry's place in the kernel's tree: IPv4 first, by address, a longer network before a shorter one."""
    network = parse_network(entry.lstrip("!"))
    return network.version, int(network.network_address), -network.prefixlen
