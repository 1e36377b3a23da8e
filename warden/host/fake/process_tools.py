# SPDX-License-Identifier: BSD-2-Clause
"""ps, pgrep, pkill and kill; sleep and timeout; nice and limits."""

from __future__ import annotations

import re
from dataclasses import replace
from getopt import GetoptError, getopt
from typing import TYPE_CHECKING

from warden.host.fake.filesystem import FileError
from warden.host.fake.processes import advance, kill
from warden.host.fake.program import Call, Reply, WaitingError, program, run_program, say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from warden.host.fake.machine import Process

SIGNALS = {
    "HUP": 1,
    "INT": 2,
    "QUIT": 3,
    "KILL": 9,
    "ALRM": 14,
    "TERM": 15,
    "STOP": 17,
    "CONT": 19,
    "USR1": 30,
    "USR2": 31,
}
HARMLESS = frozenset([0, 17, 19])
"""Signals after which a process is still there: the test, stop and continue."""
SLEEP_USAGE = """\
usage: sleep number[unit] [...]
Unit can be 's' (seconds, the default), m (minutes), h (hours), or d (days).
"""
RELOADING = frozenset(["cron", "sshd", "syslogd", "init", "inetd", "nginx"])
"""Programs that take SIGHUP for: read your configuration again."""

COLUMNS: dict[str, tuple[str, bool, Callable[[Call, Process], str]]] = {
    "pid": ("PID", True, lambda _, process: str(process.pid)),
    "ppid": ("PPID", True, lambda _, process: str(process.ppid)),
    "jid": ("JID", True, lambda call, process: str(call.machine.jails[process.jail].jid if process.jail else 0)),
    "jail": ("JAIL", False, lambda _, process: process.jail or "-"),
    "user": ("USER", False, lambda _, process: process.user),
    "tt": ("TT", False, lambda _call, _process: "-"),
    "stat": ("STAT", False, lambda _, process: "SJ" if process.jail else "S"),
    "state": ("STAT", False, lambda _, process: "SJ" if process.jail else "S"),
    "time": ("TIME", True, lambda _call, _process: "0:00.00"),
    "comm": ("COMMAND", False, lambda _, process: comm(process)),
    "ucomm": ("UCOMM", False, lambda _, process: comm(process)),
    "command": ("COMMAND", False, lambda _, process: command_of(process)),
    "args": ("COMMAND", False, lambda _, process: command_of(process)),
}


def comm(process: Process) -> str:
    """Give the name of a process's program."""
    return process.argv[0].rpartition("/")[2]


def command_of(process: Process) -> str:
    """Give a process's arguments as ps shows them, or the title that it gave itself."""
    return process.title or " ".join(process.argv)


def visible(call: Call) -> list[Process]:
    """Give the processes that a call can see, by pid: the host sees all, a jail its own."""
    seen = call.machine.processes.values()
    return sorted((process for process in seen if not call.jail or process.jail == call.jail), key=lambda one: one.pid)


@program("/bin/ps", "ps [-axwwd] [-o COLUMN,...]... [-p PID,...] [-J JAIL] [-U USER]")
def ps(call: Call) -> Reply:
    """List processes: all, with -a or -x, or those asked for."""
    try:
        options, rest = getopt(list(call.args), "adxwo:p:J:U:cHlu")
    except GetoptError:
        raise call.unsupported() from None
    if rest or {"-c", "-H", "-l", "-u"} & {name for name, _ in options}:
        raise call.unsupported()
    chosen = visible(call)
    names: list[str] = []
    for option, value in options:
        if option == "-o":
            names += [value] if "=" in value else value.split(",")
        elif option == "-p":
            chosen = [process for process in chosen if str(process.pid) in value.split(",")]
        elif option == "-U":
            chosen = [process for process in chosen if process.user in value.split(",")]
        elif option == "-J":
            jails = [jail.name for jail in call.machine.jails.values() if value in {jail.name, str(jail.jid)}]
            if not jails and value != "0":
                return say(error=f"ps: Invalid jail id or name: {value}\n", status=1)
            chosen = [process for process in chosen if process.jail in (jails or [""])]
    if not any(name in {"-a", "-x", "-p", "-J", "-U"} for name, _ in options):
        raise call.unsupported()
    return Reply(0 if chosen else 1, table(call, names or ["pid", "tt", "stat", "time", "command"], chosen).encode())


def table(call: Call, names: Sequence[str], processes: Sequence[Process]) -> str:
    """Write processes as columns, each as wide as its widest value; `pid=` is a column without its head."""
    columns: list[list[str]] = []
    right: list[bool] = []
    for name in names:
        key, equals, head = name.partition("=")
        if key not in COLUMNS:
            raise call.unsupported(f"ps -o {key}")
        title, to_the_right, value = COLUMNS[key]
        columns.append([head if equals else title, *(value(call, process) for process in processes)])
        right.append(to_the_right)
    lines = []
    widths = [max(len(text) for text in column) for column in columns]
    widths = [max(width, 3) if name == "tt" else width for name, width in zip(names, widths, strict=True)]
    for row in zip(*columns, strict=True):
        cells = [
            text.rjust(width) if aligned else text.ljust(width)
            for text, width, aligned in zip(row, widths, right, strict=True)
        ]
        cells[-1] = cells[-1] if right[-1] else row[-1]
        lines.append(" ".join(cells))
    if not any(column[0] for column in columns):
        lines = lines[1:]
    return "".join(f"{line}\n" for line in lines)


@program("/bin/pgrep", "pgrep [-flqvx] [-F PIDFILE] [-j JAIL] [-P PPID] [-U USER] [-u USER] [PATTERN...]")
def pgrep(call: Call) -> Reply:
    """Print the pids of the processes that match; 1 where none does."""
    found, options = select(call, "fiLlqvxnoa")
    if isinstance(found, Reply):
        return found
    if "-q" in options:
        return Reply(0 if found else 1)
    lines = [
        f"{process.pid} {command_of(process) if '-f' in options else comm(process)}"
        if "-l" in options
        else str(process.pid)
        for process in found
    ]
    return Reply(0 if found else 1, "".join(f"{line}\n" for line in lines).encode())


@program("/bin/pkill", "pkill [-SIGNAL] [-fx] [-F PIDFILE] [-j JAIL] [-P PPID] [-U USER] [-u USER] [PATTERN...]")
def pkill(call: Call) -> Reply:
    """Send a signal to the processes that match; 1 where none does."""
    args = list(call.args)
    number = 15
    if args and args[0].startswith("-") and (sent := signal_number(args[0][1:])) is not None:
        number = sent
        args.pop(0)
    found, _ = select(replace(call, argv=(call.argv[0], *args)), "fiIlLvxno")
    if isinstance(found, Reply):
        return found
    for process in found:
        deliver(call, process, number)
    return Reply(0 if found else 1)


def select(call: Call, flags: str) -> tuple[list[Process] | Reply, set[str]]:
    """Find the processes that the options and patterns of pgrep and pkill mean; a reply where that fails."""
    try:
        found, patterns = getopt(list(call.args), flags + "F:j:P:U:u:")
    except GetoptError:
        raise call.unsupported() from None
    names = {name for name, _ in found}
    if names & {"-i", "-I", "-L", "-v", "-n", "-o"} or not (patterns or names & {"-F", "-P", "-u", "-U", "-j"}):
        raise call.unsupported()
    chosen = [process for process in visible(call) if process.pid != call.pid]
    for option, value in found:
        if option == "-F":
            pid = read_pidfile(call, value)
            if isinstance(pid, Reply):
                return pid, names
            chosen = [process for process in chosen if process.pid == pid]
            if not chosen:
                error = f"{call.name}: Cannot get process list (kvm_getprocs: No such process)\n"
                return say(error=error, status=3), names
        elif option in PROPERTIES:
            wanted = set(value.split(","))
            chosen = [process for process in chosen if PROPERTIES[option](call, process) & wanted]
    if patterns:
        text = command_of if "-f" in names else comm
        expressions = [re.compile(pattern) for pattern in patterns]
        matches = [one.fullmatch if "-x" in names else one.search for one in expressions]
        chosen = [process for process in chosen if any(match(text(process)) for match in matches)]
    return chosen, names


def jail_names(call: Call, process: Process) -> set[str]:
    """Give what the jail of a process may be called: its name and its id; the host is 0."""
    return {process.jail, str(call.machine.jails[process.jail].jid)} if process.jail else {"0"}


PROPERTIES: dict[str, Callable[[Call, Process], set[str]]] = {
    "-P": lambda _, process: {str(process.ppid)},
    "-u": lambda _, process: {process.user},
    "-U": lambda _, process: {process.user},
    "-j": jail_names,
}


def read_pidfile(call: Call, name: str) -> int | Reply:
    """Read a pid file; the reply is what pgrep says of one that is not there or holds no pid."""
    try:
        text = call.files.text(call.path(name), root=call.root).strip()
    except FileError as failure:
        return say(error=f"{call.name}: Cannot open pidfile `{name}': {failure.reason}\n", status=3)
    if not text:
        return say(error=f"{call.name}: Pidfile `{name}' is empty\n", status=3)
    if not text.isdigit():
        return say(error=f"{call.name}: Invalid pid in file `{name}'\n", status=3)
    return int(text)


def signal_number(name: str) -> int | None:
    """Give a signal's number by its number or name; None for no signal."""
    if name.isdigit():
        return int(name)
    return SIGNALS.get(name.upper().removeprefix("SIG"))


def deliver(call: Call, process: Process, signal: int) -> None:
    """Send a signal to a process."""
    if signal in HARMLESS or (signal == SIGNALS["HUP"] and comm(process) in RELOADING):
        return
    if process.pid == 1:
        raise call.unsupported("a signal to init")
    kept = process.supervision
    if signal == SIGNALS["HUP"] and kept is not None and kept.reopens:
        if kept.output:
            root = call.machine.root_of(process.jail)
            call.files.write(kept.output, b"", root=root, mode=0o600, append=True)
        return
    kill(call.machine, process.pid, signal)


@program("/bin/kill", "kill [-SIGNAL | -s SIGNAL] PID...")
def kill_program(call: Call) -> Reply:
    """Send a signal to processes by their pids."""
    args = list(call.args)
    number = 15
    if args[:1] == ["-s"] and len(args) > 1:
        args = [f"-{args[1]}", *args[2:]]
    if args and args[0].startswith("-") and args[0] != "--":
        sent = signal_number(args[0][1:])
        if sent is None:
            return say(error=f"kill: unknown signal {args[0][1:]}; valid signals:\n", status=1)
        number = sent
        args.pop(0)
    if args[:1] == ["--"]:
        args.pop(0)
    if not args:
        return say(error="usage: kill [-s signal_name] pid ...\n", status=1)
    reply = Reply()
    for arg in args:
        if not arg.isdigit():
            reply += say(error=f"kill: illegal process id: {arg}\n", status=1)
            continue
        process = call.machine.processes.get(int(arg))
        if process is None or (call.jail and process.jail != call.jail):
            reply += say(error=f"kill: {arg}: No such process\n", status=1)
        elif call.user not in {"root", process.user}:
            reply += say(error=f"kill: {arg}: Operation not permitted\n", status=1)
        else:
            deliver(call, process, number)
            reply.exit_code = max(reply.exit_code, 0)
    return Reply(1 if reply.stderr else 0, b"", reply.stderr)


def seconds_of(call: Call, text: str) -> int:
    """Read a duration: seconds, or with s, m, h or d; what is less than a second counts as one."""
    unit = {"s": 1, "m": 60, "h": 3600, "d": 86400}.get(text[-1:], 0)
    number = text[:-1] if unit else text
    try:
        return -int(-float(number) * (unit or 1) // 1)
    except ValueError:
        raise call.unsupported() from None


@program("/bin/sleep", "sleep SECONDS")
def sleep(call: Call) -> Reply:
    """Let time pass."""
    if not call.args:
        return say(error=SLEEP_USAGE, status=1)
    seconds = sum(seconds_of(call, arg) for arg in call.args)
    if call.pid and seconds:
        raise WaitingError(call.argv, seconds)
    advance(call.machine, seconds)
    return Reply()


@program("/usr/bin/timeout", "timeout [-k TIME] [-s SIGNAL] [--foreground] SECONDS COMMAND [ARGUMENT...]")
def timeout(call: Call) -> Reply:
    """Run a command; one that takes longer is ended, and the exit status is 124 (session 08)."""
    try:
        found, rest = getopt(list(call.args), "k:s:fpv", ["foreground", "preserve-status"])
    except GetoptError:
        raise call.unsupported() from None
    if len(rest) < 2 or {"-p", "--preserve-status", "-v"} & {name for name, _ in found}:
        raise call.unsupported()
    limit = seconds_of(call, rest[0])
    try:
        return run_program(replace(call, argv=tuple(rest[1:]), pid=call.pid or -1))
    except WaitingError as wait:
        if call.pid:
            wait.seconds = min(wait.seconds or limit, limit) if limit else wait.seconds
            raise
        if limit and (not wait.seconds or wait.seconds > limit):
            advance(call.machine, limit)
            return Reply(124, wait.reply.stdout, wait.reply.stderr)
        advance(call.machine, wait.seconds)
        if not wait.rest:
            return wait.reply
        left = str(limit - wait.seconds) if limit else "0"
        return wait.reply + call.run("timeout", left, "sh", "-c", wait.rest)


@program("/usr/bin/limits", "limits -C CLASS COMMAND [ARGUMENT...]")
def limits(call: Call) -> Reply:
    """Run a command under a login class's limits, of which none can be reached here."""
    args = list(call.args)
    if args[:1] != ["-C"] or len(args) < 3 or args[2].startswith("-"):
        raise call.unsupported()
    return run_program(replace(call, argv=tuple(args[2:])))


@program("/usr/bin/nice", "nice -n NUMBER COMMAND [ARGUMENT...]")
def nice(call: Call) -> Reply:
    """Run a command at another priority."""
    args = list(call.args)
    if args[:1] != ["-n"] or len(args) < 3:
        raise call.unsupported()
    return run_program(replace(call, argv=tuple(args[2:])))
