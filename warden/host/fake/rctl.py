# SPDX-License-Identifier: BSD-2-Clause
"""rctl(8): limits on what jails may use, and what they use (sessions 05 and 12)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from warden.host.fake.options import options_of
from warden.host.fake.program import Reply, program, say
from warden.host.fake.zfs_properties import PropertyError, parse_number

if TYPE_CHECKING:
    from warden.host.fake.machine import Machine
    from warden.host.fake.program import Call

RULE = re.compile(r"(jail|user|loginclass|process):([^:]+):([a-z]+):([a-z]+)=([^/]+)(?:/(jail|user|process))?")
RESOURCES = (
    "cputime", "datasize", "stacksize", "coredumpsize", "memoryuse", "memorylocked", "maxproc", "openfiles",
    "vmemoryuse", "pseudoterminals", "swapuse", "nthr", "msgqqueued", "msgqsize", "nmsgq", "nsem", "nsemop", "nshm",
    "shmsize", "wallclock", "pcpu", "readbps", "writebps", "readiops", "writeiops",
)  # fmt: skip
IN_BYTES = ("datasize", "stacksize", "coredumpsize", "memoryuse", "memorylocked", "vmemoryuse", "swapuse", "shmsize")
ACTIONS = ("deny", "log", "devctl", "throttle", "sigterm", "sigkill")


@program("/usr/bin/rctl", "rctl [-h] [FILTER]", "rctl -a RULE...", "rctl -r FILTER...", "rctl -u [-h] FILTER")
def rctl(call: Call) -> Reply:
    """Show, add and remove rules; the newest is shown first."""
    given, _, words = options_of(call, call.args, "arhu")
    machine = call.machine
    if call.jail:
        raise call.unsupported()
    if "u" in given and len(words) == 1:
        return _usage(call, words[0], human="h" in given)
    if "a" in given:
        for word in words:
            refusal = _add(machine, word)
            if refusal:
                return say(error=f"{refusal}\n", status=1)
        return Reply()
    if "r" in given:
        reply = Reply()
        for word in words:
            kept = [rule for rule in machine.rctl if not _matches(rule, word)]
            if len(kept) == len(machine.rctl):
                text = f"rctl: failed to remove rule '{word}': No such process\n"
                reply += say(error=text, status=1)
            machine.rctl = kept
        return reply
    if len(words) > 1:
        raise call.unsupported()
    rules = [rule for rule in machine.rctl if not words or _matches(rule, words[0])]
    return say("".join(f"{_human(rule) if 'h' in given else rule}\n" for rule in rules))


def _add(machine: Machine, text: str) -> str:
    match = RULE.fullmatch(text)
    if match is None or match[3] not in RESOURCES or match[4] not in ACTIONS:
        return f"rctl: failed to add rule '{text}': Invalid argument"
    try:
        amount = parse_number(match[5])
    except PropertyError:
        return f"rctl: failed to add rule '{text}': Invalid argument"
    per = f"/{match[6]}" if match[6] and match[6] != match[1] else ""
    rule = f"{match[1]}:{match[2]}:{match[3]}:{match[4]}={amount}{per}"
    if rule not in machine.rctl:
        machine.rctl.insert(0, rule)
    return ""


def _matches(rule: str, filter_text: str) -> bool:
    """Tell whether a rule is one of those that a filter, a rule with its end left off, names."""
    wanted = filter_text.rstrip(":")
    match = RULE.fullmatch(wanted)
    if match is not None:
        try:
            wanted = f"{match[1]}:{match[2]}:{match[3]}:{match[4]}={parse_number(match[5])}"
        except PropertyError:
            return False
        return rule == wanted
    return not wanted or rule == wanted or rule.startswith((f"{wanted}:", f"{wanted}="))


def _human(rule: str) -> str:
    head, _, amount = rule.rpartition("=")
    resource = head.split(":")[2]
    return f"{head}={_size(int(amount))}" if resource in IN_BYTES else rule


def _size(number: int) -> str:
    """Give a size as humanize_number(3) does with four digits: 1 GiB is 1024M (session 05)."""
    units = ["", "K", "M", "G", "T", "P", "E"]
    while number >= 10000:
        number = (number + 512) // 1024
        units.pop(0)
    return f"{number}{units[0]}"


def _usage(call: Call, filter_text: str, *, human: bool) -> Reply:
    kind, _, name = filter_text.rstrip(":").partition(":")
    if kind != "jail":
        raise call.unsupported()
    jail = call.machine.jails.get(name)
    if jail is None:
        return say(error=f"rctl: failed to show resource consumption for '{filter_text}': No such process\n", status=1)
    running = [process for process in call.machine.processes.values() if process.jail == name]
    amounts = dict.fromkeys(RESOURCES, 0)
    amounts["maxproc"] = amounts["nthr"] = len(running)
    amounts["memoryuse"] = len(running) * 3 * 1024**2
    amounts["vmemoryuse"] = len(running) * 14 * 1024**2
    amounts["openfiles"] = len(running) * 10
    lines = [f"{name}={_size(amount) if human and name in IN_BYTES else amount}\n" for name, amount in amounts.items()]
    return say("".join(lines))
