# SPDX-License-Identifier: BSD-2-Clause
"""rctl(8): limits on what jails and users may use, and what they use (sessions 05 and 12); rc.d/rctl at boot.

That rules are resolved to user ids, and what happens where racct is off, is as the program's source goes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from warden.host.fake import rcconf, sysctl
from warden.host.fake.options import options_of
from warden.host.fake.program import Reply, program, say
from warden.host.fake.service import rc_service
from warden.host.fake.users import user_name, users
from warden.host.fake.zfs_properties import PropertyError, parse_number

if TYPE_CHECKING:
    from warden.host.fake.program import Call

RULE = re.compile(r"(jail|user|loginclass|process):([^:]+):([a-z]+):([a-z]+)=([^/]+)(?:/(jail|user|process))?")
RESOURCES = (
    "cputime", "datasize", "stacksize", "coredumpsize", "memoryuse", "memorylocked", "maxproc", "openfiles",
    "vmemoryuse", "pseudoterminals", "swapuse", "nthr", "msgqqueued", "msgqsize", "nmsgq", "nsem", "nsemop", "nshm",
    "shmsize", "wallclock", "pcpu", "readbps", "writebps", "readiops", "writeiops",
)  # fmt: skip
IN_BYTES = ("datasize", "stacksize", "coredumpsize", "memoryuse", "memorylocked", "vmemoryuse", "swapuse", "shmsize")
DISABLED = "rctl: RACCT/RCTL present, but disabled; enable using kern.racct.enable=1 tunable\n"
ACTIONS = ("deny", "log", "devctl", "throttle", "sigterm", "sigkill")


@program("/usr/bin/rctl", "rctl [-h] [FILTER]", "rctl -a RULE...", "rctl -r FILTER...", "rctl -u [-h] FILTER")
def rctl(call: Call) -> Reply:
    """Show, add and remove rules; the newest is shown first."""
    given, _, words = options_of(call, call.args, "arhu")
    machine = call.machine
    if call.jail:
        raise call.unsupported()
    if sysctl.read(machine, machine.net, "kern.racct.enable") != "1":
        return say(error=DISABLED, status=1)
    if "u" in given and len(words) == 1:
        return _usage(call, words[0], human="h" in given)
    if "a" in given:
        refusals = [refusal for refusal in (_add(call, word) for word in words) if refusal]
        return say(error="".join(f"{refusal}\n" for refusal in refusals), status=len(refusals))
    if "r" in given:
        reply = Reply()
        for word in words:
            kept = [rule for rule in machine.rctl if not _matches(rule, _by_uid(call, word))]
            if len(kept) == len(machine.rctl):
                text = f"rctl: failed to remove rule '{word}': No such process\n"
                reply += say(error=text, status=1)
            machine.rctl = kept
        return reply
    if len(words) > 1:
        raise call.unsupported()
    rules = [rule for rule in machine.rctl if not words or _matches(rule, _by_uid(call, words[0]))]
    shown = [_by_name(call, rule) for rule in rules]
    return say("".join(f"{_human(rule) if 'h' in given else rule}\n" for rule in shown))


@rc_service("rctl", description="Manage resource limits")
def _service(call: Call, verb: str) -> Reply:
    """Add the rules of rctl.conf(5) in one go; or remove all rules that there are, whosoever they are."""
    if verb == "restart":
        return _service(call, "stop") + _service(call, "start")
    if verb == "stop":
        return call.run("rctl", "-r", ":")
    if verb != "start":
        raise call.unsupported()
    file = call.files.lookup(rcconf.read_rc_conf(call.machine).get("rctl_rules", "/etc/rctl.conf"))
    lines = file.data.decode("utf-8", "replace").splitlines() if file is not None else []
    rules = [line.split()[0] for line in lines if line.strip() and not line.strip().startswith("#")]
    reply = call.run("rctl", "-a", *rules) if rules else Reply()
    return Reply(1, reply.stdout, reply.stderr) if reply.exit_code else reply  # what xargs(1) makes of it


def _by_uid(call: Call, text: str) -> str:
    """Give a rule or filter with a user's number for the name; one that nobody has stays as it is."""
    kind, _, rest = text.partition(":")
    name, colon, more = rest.partition(":")
    user = users(call.files).get(name) if kind == "user" else None
    return f"user:{user.uid}{colon}{more}" if user is not None else text


def _by_name(call: Call, rule: str) -> str:
    kind, subject, rest = rule.split(":", 2)
    return f"user:{user_name(call.files, '/', int(subject))}:{rest}" if kind == "user" else rule


def _add(call: Call, text: str) -> str:
    match = RULE.fullmatch(_by_uid(call, text))
    if match is not None and match[1] == "user" and not match[2].isdigit():
        return f"rctl: malformed rule '{text}': unknown user '{match[2]}'"
    if match is None or match[3] not in RESOURCES or match[4] not in ACTIONS:
        return f"rctl: failed to add rule '{text}': Invalid argument"
    try:
        amount = parse_number(match[5])
    except PropertyError:
        return f"rctl: failed to add rule '{text}': Invalid argument"
    per = f"/{match[6]}" if match[6] and match[6] != match[1] else ""
    rule = f"{match[1]}:{match[2]}:{match[3]}:{match[4]}={amount}{per}"
    if rule not in call.machine.rctl:
        call.machine.rctl.insert(0, rule)
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
