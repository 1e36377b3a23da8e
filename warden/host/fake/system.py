# SPDX-License-Identifier: BSD-2-Clause
"""What the system is called and set to, and the small programs that scripts call by their paths."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from warden.host.fake.file_facts import date as date_of
from warden.host.fake.options import complaint, getopt
from warden.host.fake.program import PATH, Call, Reply, program, run_program, say
from warden.host.fake.shell_text import echo_text, evaluate_test, printf_text

if TYPE_CHECKING:
    from datetime import datetime

LC_NAMES = ("LC_CTYPE", "LC_COLLATE", "LC_TIME", "LC_NUMERIC", "LC_MONETARY", "LC_MESSAGES")


def hostname_of(call: Call) -> str:
    """Give the host name that a program sees: a jail has its own."""
    return call.machine.jails[call.jail].hostname if call.jail else call.machine.hostname


def osreldate(release: str) -> str:
    """Give a release as a number: 15.1-RELEASE is 1501000."""
    major, _, minor = release.partition("-")[0].partition(".")
    return f"{int(major):02}{int(minor or 0):02}000"


@program("/usr/bin/uname", "uname [-aimnoprsvKU]")
def uname(call: Call) -> Reply:
    """Tell what system this is."""
    flags, names, wrong = getopt(call.args, "abimnoprsvKU")
    if wrong or names or "b" in flags:
        raise call.unsupported()
    machine = call.machine
    values = {
        "s": "FreeBSD",
        "n": hostname_of(call),
        "r": machine.release,
        "v": f"FreeBSD {machine.release} GENERIC",
        "m": machine.arch,
        "p": machine.arch,
        "i": "GENERIC",
        "K": osreldate(machine.release),
        "U": osreldate(machine.release),
    }
    wanted = set("snrvm") if "a" in flags else {letter.replace("o", "s") for letter in flags or "s"}
    return say(" ".join(value for letter, value in values.items() if letter in wanted) + "\n")


@program("/bin/freebsd-version", "freebsd-version [-kru]")
def freebsd_version(call: Call) -> Reply:
    """Tell the versions of the installed kernel, the running kernel, and the userland."""
    flags, names, wrong = getopt(call.args, "kruj:")
    if wrong or names or "j" in flags:
        raise call.unsupported()
    return say(f"{call.machine.release}\n" * max(1, len(flags)))


@program("/bin/hostname", "hostname [-s | -d | -f] [NAME]")
def hostname(call: Call) -> Reply:
    """Tell or set the host name."""
    flags, names, wrong = getopt(call.args, "sdf")
    if wrong or len(names) > 1:
        raise call.unsupported()
    if names:
        if call.jail:
            call.machine.jails[call.jail].hostname = names[0]
        else:
            call.machine.hostname = names[0]
        return Reply()
    short, _, domain = hostname_of(call).partition(".")
    return say(f"{short if 's' in flags else domain if 'd' in flags else hostname_of(call)}\n")


@program("/bin/date", "date [-u] [-I[date|seconds]] [-r SECONDS] [+FORMAT]")
def date(call: Call) -> Reply:
    """Tell the date of the machine's clock, which is UTC."""
    now: datetime = date_of(call.machine.clock)
    form = "%a %b %e %H:%M:%S %Z %Y"
    args = list(call.args)
    while args:
        word = args.pop(0)
        if word.startswith("+"):
            form = word[1:]
        elif word in ("-Iseconds", "-I", "-Idate"):
            form = "%Y-%m-%dT%H:%M:%S+00:00" if word == "-Iseconds" else "%Y-%m-%d"
        elif word == "-r" and args and args[0].isdigit():
            now = now.fromtimestamp(int(args.pop(0)), now.tzinfo)
        elif word not in ("-u", "-j", "-n"):
            raise call.unsupported()
    return say(now.strftime(form.replace("%s", str(int(now.timestamp())))) + "\n")


@program("/usr/bin/locale", "locale [-a]", "locale charmap")
def locale(call: Call) -> Reply:
    """Tell the language settings of the environment, or with `-a` all that there are."""
    if call.args == ("-a",):
        return say("".join(f"{name}\n" for name in call.machine.locales))
    everything = call.environment.get("LC_ALL", "")
    language = call.environment.get("LANG", "")
    if call.args == ("charmap",):
        current = everything or call.environment.get("LC_CTYPE", "") or language
        return say("UTF-8\n" if current.endswith("UTF-8") else "US-ASCII\n")
    if call.args:
        raise call.unsupported()
    text = f"LANG={language}\n"
    for name in LC_NAMES:
        own = call.environment.get(name, "")
        text += f"{name}={own}\n" if own and not everything else f'{name}="{everything or language or "C"}"\n'
    return say(f"{text}LC_ALL={everything}\n")


@program("/usr/bin/which", "which [-a] [-s] NAME...")
def which(call: Call) -> Reply:
    """Find programs along PATH."""
    flags, names, wrong = getopt(call.args, "as")
    if wrong or not names:
        raise call.unsupported()
    text, status = "", 0
    for name in names:
        folders = [""] if "/" in name else call.environment.get("PATH", PATH).split(":")
        paths = [call.path(f"{folder}/{name}" if folder else name) for folder in folders]
        nodes = ((path, call.files.lookup(path, root=call.root)) for path in paths)
        found = [path for path, node in nodes if node is not None and node.kind == "file" and node.mode & 0o111]
        text += "".join(f"{path}\n" for path in found[: None if "a" in flags else 1])
        status = status if found else 1
    return say("" if "s" in flags else text, status=status)


@program("/usr/bin/command", "command [-v] NAME [ARGUMENT...]")
def command(call: Call) -> Reply:
    """Do what the shell's own `command` does; on FreeBSD this file is a script with that one line."""
    return call.run("sh", "-c", 'command "$@"', "command", *call.args, stdin=call.stdin)


@program("/usr/bin/env", "env [-i] [-u NAME]... [NAME=VALUE...] [COMMAND [ARGUMENT...]]")
def env(call: Call) -> Reply:
    """Show the environment, or run a command in another one."""
    args = list(call.args)
    environment = dict(call.environment)
    while args and args[0].startswith("-"):
        word = args.pop(0)
        if word in ("-i", "-"):
            environment = {}
        elif word == "-u" and args:
            environment.pop(args.pop(0), None)
        else:
            raise call.unsupported()
    while args and "=" in args[0]:
        name, _, value = args.pop(0).partition("=")
        environment[name] = value
    if not args:
        return say("".join(f"{name}={value}\n" for name, value in environment.items()))
    reply = run_program(replace(call, argv=tuple(args), environment=environment))
    if reply.exit_code == 127 and reply.stderr == f"sh: {args[0]}: not found\n".encode():
        return say(error=f"env: {args[0]}: No such file or directory\n", status=127)
    return reply


@program("/usr/bin/printenv", "printenv [NAME]")
def printenv(call: Call) -> Reply:
    """Show the environment, or one variable of it."""
    if not call.args:
        return say("".join(f"{name}={value}\n" for name, value in call.environment.items()))
    if len(call.args) > 1 or call.args[0] not in call.environment:
        return Reply(1)
    return say(f"{call.environment[call.args[0]]}\n")


@program("/usr/bin/true", "true")
def true(_call: Call) -> Reply:
    """Succeed."""
    return Reply()


@program("/usr/bin/false", "false")
def false(_call: Call) -> Reply:
    """Fail."""
    return Reply(1)


@program("/bin/echo", "echo [-n] [WORD...]")
def echo(call: Call) -> Reply:
    """Write words."""
    # the program knows -n only, the shell's own echo -e too
    words = ["", *call.args] if call.args[:1] == ("-e",) else list(call.args)
    return say(echo_text(words).removeprefix(" ") if words[:1] == [""] else echo_text(words))


@program("/usr/bin/printf", "printf FORMAT [WORD...]")
def printf(call: Call) -> Reply:
    """Write words under a format."""
    if not call.args:
        return say(error="usage: printf format [arguments ...]\n", status=1)
    return say(printf_text(call.args[0], call.args[1:]))


@program("/bin/test", "test CONDITION")
def test(call: Call) -> Reply:
    """Evaluate a condition: 0 true, 1 false, 2 none."""
    return _test(call, list(call.args))


@program("/bin/[", "[ CONDITION ]")
def bracket(call: Call) -> Reply:
    """Evaluate a condition in brackets."""
    if call.args[-1:] != ("]",):
        return say(error="[: missing ]\n", status=2)
    return _test(call, list(call.args[:-1]))


def _test(call: Call, args: list[str]) -> Reply:
    try:
        return Reply(0 if evaluate_test(call, args) else 1)
    except ValueError as error:
        return say(error=f"{call.name}: {error}\n", status=2)


@program("/usr/bin/logger", "logger [-i] [-p PRIORITY] [-t TAG] MESSAGE...")
def logger(call: Call) -> Reply:
    """Write to the system's log, as long as syslogd runs."""
    flags, words, wrong = getopt(call.args, "ip:t:")
    if wrong:
        return say(error=complaint("logger", wrong), status=1)
    lines = " ".join(words).splitlines() or call.stdin.decode("utf-8", "surrogateescape").splitlines()
    if not any(process.argv[0].endswith("syslogd") for process in call.machine.processes.values()):
        return Reply()
    tag = flags.get("t", [call.user])[-1]
    now = date_of(call.machine.clock)
    stamp = f"{now:%b} {now.day:>2} {now:%H:%M:%S} {hostname_of(call).partition('.')[0]}"
    text = "".join(f"{stamp} {tag}: {line}\n" for line in lines)
    call.files.write("/var/log/messages", text.encode("utf-8", "surrogateescape"), root=call.root, append=True)
    return Reply()


@program("/usr/bin/cap_mkdb", "cap_mkdb FILE")
def cap_mkdb(call: Call) -> Reply:
    """Build the database beside a file of capabilities; only that it is there can be seen."""
    if len(call.args) != 1 or call.args[0].startswith("-"):
        raise call.unsupported()
    call.files.read(call.path(call.args[0]), root=call.root)
    call.files.write(call.path(f"{call.args[0]}.db"), b"", root=call.root)
    return Reply()


@program("/usr/sbin/swapinfo", "swapinfo [-k]")
def swapinfo(call: Call) -> Reply:
    """Show the swap partitions that /etc/fstab names; nothing is ever swapped out here."""
    if call.args not in ((), ("-k",)) or call.jail:
        raise call.unsupported()
    rows = [line.split() for line in call.files.text("/etc/fstab").splitlines()]
    text = "Device          1K-blocks     Used    Avail Capacity\n"
    for row in rows:
        if len(row) > 2 and row[2] == "swap":
            text += f"{row[0]:<15} {1048576:>9} {0:>8} {1048576:>8}     0%\n"
    return say(text)
