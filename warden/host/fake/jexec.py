# SPDX-License-Identifier: BSD-2-Clause
"""jexec(8), a program in a jail, and ipcs(1), what System V IPC objects a jail has (sessions 05, 08 and 12)."""

from __future__ import annotations

import shlex

from warden.host.fake.jls import find_jail
from warden.host.fake.processes import account
from warden.host.fake.program import PATH, Call, Reply, WaitingError, find_file, find_program, program, run_program, say


@program("/usr/sbin/jexec", "jexec [-l] [-u USER|-U USER] JAIL [COMMAND ...]")
def jexec(call: Call) -> Reply:
    """Run a command in a jail: with the caller's environment, unless -l makes one as login does."""
    clean, user, inside_user, words = _arguments(call)
    if len(words) < 2 or call.jail:
        raise call.unsupported()  # without a command it is a shell that reads standard input
    jail = find_jail(call.machine, words[0])
    if jail is None:
        name = words[0] if words[0].isdigit() else f'"{words[0]}"'
        return say(error=f"jexec: jail {name} not found\n", status=1)
    environment = dict(call.environment)
    fields = account(call.files, user or "root", jail.path if inside_user else "/")
    if not fields and (user or clean):
        return say(error=f"jexec: {user or 'root'}: no such user\n", status=1)
    home = "/"
    if clean:
        environment = login_environment(fields, environment.get("TERM", ""))
        home = fields[5]
    cwd = home if call.files.is_dir(home, root=jail.path) else "/"
    inside = Call(call.machine, tuple(words[1:]), call.stdin, environment, cwd, jail.name, user or "root", call.umask)
    if find_program(call.machine, words[1], jail.name) is None and not find_file(inside, words[1]):
        return say(error=f"jexec: execvp: {words[1]}: No such file or directory\n", status=1)
    if call.pid >= 0:
        return run_program(inside)
    inside.pid = call.pid
    try:
        return run_program(inside)
    except WaitingError as wait:  # timeout(1) goes on with the rest, in the jail again
        if wait.rest:
            wait.rest = shlex.join([*call.argv[: -len(words[1:])], "/bin/sh", "-c", wait.rest])
        raise


def _arguments(call: Call) -> tuple[bool, str, bool, list[str]]:
    words = list(call.args)
    clean, user, inside_user = False, "", True
    while words and words[0].startswith("-"):
        word = words.pop(0)
        if word == "--":
            break
        if word == "-l":
            clean = True
        elif word in ("-u", "-U", "-lu", "-lU") and words:
            clean = clean or "l" in word
            user, inside_user = words.pop(0), word.endswith("U")
        else:
            raise call.unsupported()
    return clean, user, inside_user, words


def login_environment(account: list[str], terminal: str) -> dict[str, str]:
    """Give the environment of a login: the class's settings, in the order of session 12."""
    environment = {
        "SHELL": account[6] or "/bin/sh",
        "HOME": account[5],
        "USER": account[0],
        "BLOCKSIZE": "K",
        "MAIL": f"/var/mail/{account[0]}",
        "MM_CHARSET": "UTF-8",
        "LANG": "C.UTF-8",
        "PATH": f"{PATH}:{account[5]}/bin",
    }
    if terminal:
        environment["TERM"] = terminal
    return environment


@program("/usr/bin/ipcs", "ipcs")
def ipcs(call: Call) -> Reply:
    """Show System V IPC objects, of which no program here makes any."""
    if call.args:
        raise call.unsupported()
    head = "T           ID          KEY MODE        OWNER    GROUP   \n\n"
    return say("".join(f"{kind}:\n{head}" for kind in ("Message Queues", "Shared Memory", "Semaphores")))
