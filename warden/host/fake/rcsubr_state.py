# SPDX-License-Identifier: BSD-2-Clause
"""What the functions of rc.subr(8) have in common."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from warden.host.fake import rcconf
from warden.host.fake.filesystem import FileError
from warden.host.fake.processes import advance, exists
from warden.host.fake.shell_parser import parse
from warden.host.fake.shell_state import ExitError, ShellState
from warden.host.fake.shell_tree import Literal, Simple

if TYPE_CHECKING:
    from collections.abc import Sequence

PREFIXES = ("fast", "force", "one", "quiet")
"""What a verb may begin with."""


def value_of(shell: ShellState, name: str) -> str:
    r"""Give what `eval x=\$name` gives: of a name that is no variable's, the part that is one, then the rest."""
    length = 0
    while length < len(name) and name[: length + 1].isidentifier():
        length += 1
    return (shell.variables.get(name[:length], "") if length else "$") + name[length:]


def evaluate(shell: ShellState, text: str) -> int:
    """Do what `eval text` does."""
    return shell.named(["eval", text], ())


def warn(shell: ShellState, text: str) -> None:
    """Write a warning."""
    shell.write(f"{shell.arg0}: WARNING: {text}\n", fd=2)


def check_yes_no(shell: ShellState, name: str) -> bool:
    """Tell whether a variable says yes; warn about one that says neither yes nor no."""
    value = value_of(shell, name).lower()
    if value not in {"yes", "true", "on", "1", "no", "false", "off", "0"}:
        warn(shell, f"${name} is not set properly - see rc.conf(5).")
    return value in {"yes", "true", "on", "1"}


def source(shell: ShellState, path: str) -> None:
    """Read a file of settings, if it is there; a line that is no assignment is a command that is not found."""
    node = shell.call.files.lookup(path, root=shell.call.root)
    if node is None or node.kind != "file" or not node.data:
        return
    if path == "/etc/defaults/rc.conf":
        shell.variables |= rcconf.DEFAULTS
        return
    text = node.data.decode("utf-8", "surrogateescape")
    settings = plain_settings(text)
    if settings is not None:
        shell.variables |= settings
        return
    outer, shell.commandname = shell.commandname, path
    try:
        shell.run(parse(text))
    finally:
        shell.commandname = outer


@lru_cache(maxsize=32)
def plain_settings(text: str) -> dict[str, str] | None:
    """Give what a file of nothing but plain assignments sets; None for any other file.

    The same long rc.conf is read for every service that starts, so it is worth being quick.
    """
    plain = rcconf.plain(text)
    if plain is not None:
        return plain
    settings: dict[str, str] = {}
    for item in parse(text).items:
        command = item.pipelines[0][1].commands[0]
        if item.background or item.pipelines[1:] or item.pipelines[0][1].commands[1:]:
            return None
        if not isinstance(command, Simple) or command.words or command.redirects:
            return None
        for name, word in command.assignments:
            if not all(isinstance(part, Literal) and (part.quoted or "~" not in part.text) for part in word):
                return None
            settings[name] = "".join(part.text for part in word if isinstance(part, Literal))
    return settings


def find_processes(shell: ShellState, name: str, interpreter: str, pids: Sequence[int] | None) -> list[int]:
    """Give the pids, among `pids` or all, whose command is `name`, or with an interpreter runs that script."""
    machine = shell.call.machine
    base = name.rpartition("/")[2]
    found = []
    for pid in sorted(machine.processes) if pids is None else pids:
        process = machine.processes.get(pid)
        if process is None or process.jail != shell.call.jail:
            continue
        command = process.title or " ".join(process.argv)
        words = command.split()
        if interpreter:
            matching = command == f"{interpreter} {name}" or command.startswith(f"{interpreter} {name} ")
        else:
            matching = bool(words) and words[0] in {name, base, f"{base}:", f"({base})", f"[{base}]"}
        if matching:
            found.append(pid)
    return found


def running(shell: ShellState, name: str, pidfile: str, interpreter: str) -> list[int]:
    """Give the pids of a service: the one in its pid file if that is its process, or all of its command."""
    if not pidfile:
        return find_processes(shell, name, interpreter, None)
    try:
        words = shell.call.files.text(shell.call.path(pidfile), root=shell.call.root).split()
    except FileError:
        return []
    return find_processes(shell, name, interpreter, [int(words[0])]) if words and words[0].isdigit() else []


def usage(shell: ShellState, keywords: Sequence[str]) -> int:
    """Write the verbs that the script knows, and end it."""
    shell.write(f"Usage: {shell.arg0} [{'|'.join(PREFIXES)}]({'|'.join(keywords)})\n", fd=2)
    raise ExitError(1)


def err(shell: ShellState, argv: list[str]) -> int:
    """Write an error and end the script."""
    shell.write(f"{shell.arg0}: ERROR: {' '.join(argv[2:])}\n", fd=2)
    raise ExitError(int(argv[1]))


def wait_for_pids(shell: ShellState, argv: list[str]) -> int:
    """Wait until processes have ended."""
    machine = shell.call.machine
    alive = [pid for pid in argv[1:] if pid.isdigit() and exists(machine, int(pid))]
    if not alive:
        return 0
    shell.write(f"Waiting for PIDS: {' '.join(alive)}")
    for pid in map(int, alive):
        if exists(machine, pid):
            ends_at = machine.processes[pid].ends_at
            if not ends_at:
                raise shell.call.unsupported(f"waiting for process {pid}, which does not end by itself")
            advance(machine, ends_at - machine.clock)
    shell.write(".\n")
    return 0
