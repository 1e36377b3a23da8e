# SPDX-License-Identifier: BSD-2-Clause
"""daemon(8): runs a command in the background, keeps it running, and writes down who it is."""

from __future__ import annotations

from getopt import GetoptError, gnu_getopt
from typing import TYPE_CHECKING

from warden.host.fake.filesystem import FileError
from warden.host.fake.machine import Supervision
from warden.host.fake.processes import account, background, execute, spawn, start_kept, user_environment, write_pidfile
from warden.host.fake.program import Call, Reply, program, say
from warden.host.fake.shell_io import open_output

if TYPE_CHECKING:
    from warden.host.fake.machine import Process

USAGE = """\
usage: daemon [-cfHrS] [-p child_pidfile] [-P supervisor_pidfile]
              [-u user] [-o output_file] [-t title]
              [-l syslog_facility] [-s syslog_priority]
              [-T syslog_tag] [-m output_mask] [-R restart_delay_secs]
command arguments ...
"""
SUPERVISING = frozenset(["-p", "-P", "-r", "-R", "-o", "-S", "-l", "-s", "-T"])


@program(
    "/usr/sbin/daemon",
    "daemon [-cfHrS] [-p CHILD_PIDFILE] [-P SUPERVISOR_PIDFILE] [-u USER] [-o FILE] [-t TITLE] [-R SECONDS]"
    " [-T TAG] [-l FACILITY] [-s PRIORITY] COMMAND [ARGUMENT...]",
)
def daemon(call: Call) -> Reply:
    """Start a command in the background; the exit status is 0 whatever becomes of it."""
    try:
        found, command = split_options(call.args)
    except GetoptError as error:
        return say(error=f"daemon: illegal option -- {error.opt}\n{USAGE}", status=1)
    options = dict(found)
    if not command:
        return say(error=USAGE, status=1)
    if "-m" in options:
        raise call.unsupported()
    refused = refuse(call, options)
    if refused is not None:
        return refused
    reply = keep(call, options, command) if options.keys() & SUPERVISING else start_alone(call, options, command)
    silent = options.keys() & {"-f", "-S", "-T"}
    return Reply() if silent else Reply(0, reply.stdout, reply.stderr)


def refuse(call: Call, options: dict[str, str]) -> Reply | None:
    """Refuse what daemon notices before it goes to the background."""
    delay = options.get("-R", "1")
    if not delay.isdigit() or int(delay) < 1:
        return say(error="daemon: invalid restart delay\n", status=6)
    if "-o" in options:
        try:
            open_output(call, options["-o"], append=True, mode=0o600)
        except FileError as failure:
            return say(error=f"daemon: open: {failure.reason}\n", status=7)
    refused = refuse_pidfile(call, options.get("-p", "")) or refuse_pidfile(call, options.get("-P", ""))
    if refused is not None:
        return refused
    user = options.get("-u", "")
    if user and not account(call.files, user, call.root):
        return say(error=f"daemon: unknown user: {user}\n")  # the parent has ended with 0 by then
    return None


def keep(call: Call, options: dict[str, str], command: list[str]) -> Reply:
    """Start a daemon that keeps a command."""
    keeper = spawn(call.machine, call.argv, user=call.user, jail=call.jail, environment=call.environment)
    keeper.cwd, keeper.umask = "/" if "-c" in options else call.cwd, call.umask
    keeper.supervision = Supervision(
        command=command,
        name=options.get("-t", command[0]),
        user=options.get("-u", ""),
        restart=int(options.get("-R", "1")) if options.keys() & {"-r", "-R"} else 0,
        pidfile=absolute(call, options.get("-P", "")),
        child_pidfile=absolute(call, options.get("-p", "")),
        output=absolute(call, options.get("-o", "")),
        reopens="-H" in options,
    )
    if keeper.supervision.pidfile:
        write_pidfile(call.machine, keeper.supervision.pidfile, keeper.pid, call.jail)
    return start_kept(call.machine, keeper)


def split_options(args: tuple[str, ...]) -> tuple[list[tuple[str, str]], list[str]]:
    """Split daemon's own options from the command."""
    long = {"restart": "-r", "restart-delay": "-R", "user": "-u", "title": "-t", "output-file": "-o"}
    long |= {"child-pidfile": "-p", "supervisor-pidfile": "-P", "close-fds": "-f", "change-dir": "-c", "syslog": "-S"}
    taking = {"restart-delay", "user", "title", "output-file", "child-pidfile", "supervisor-pidfile"}
    names = [f"{name}=" if name in taking else name for name in long]
    found, command = gnu_getopt(list(args), "+cfHSp:P:ru:o:s:l:t:m:R:T:", names)
    return [(long.get(name.removeprefix("--"), name), value) for name, value in found], command


def absolute(call: Call, name: str) -> str:
    """Give a file name as an absolute path; '' stays."""
    return call.path(name) if name else ""


def refuse_pidfile(call: Call, name: str) -> Reply | None:
    """Refuse a pid file that a running daemon holds, or that cannot be written."""
    if not name:
        return None
    path = call.path(name)
    node = call.files.lookup(path, root=call.root)
    holder = holding(call, path, node.data.decode("ascii", "replace")) if node is not None else None
    if holder is not None:
        return say(error=f"daemon: process already running, pid: {holder.pid}\n", status=3)
    try:
        open_output(call, name, append=True, mode=0o600)
    except FileError as failure:
        return say(error=f"daemon: open pidfile ``{name}'': {failure.reason}\n", status=2)
    return None


def holding(call: Call, path: str, text: str) -> Process | None:
    """Give the process in a pid file that a daemon has locked."""
    process = call.machine.processes.get(int(text)) if text.isdigit() else None
    if process is None:
        return None
    keeper = process if process.supervision is not None else call.machine.processes.get(process.held_by)
    if keeper is None or keeper.supervision is None:
        return None
    return process if path in {keeper.supervision.pidfile, keeper.supervision.child_pidfile} else None


def start_alone(call: Call, options: dict[str, str], command: list[str]) -> Reply:
    """Start a command that nobody keeps."""
    environment, user = dict(call.environment), options.get("-u", "")
    if user:
        environment |= user_environment(call.machine, user, call.jail)
    folder = "/" if "-c" in options else call.cwd
    place = Call(call.machine, tuple(command), b"", environment, folder, call.jail, user or call.user, call.umask)
    return background(place, command, execute)[1]
