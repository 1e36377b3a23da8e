# SPDX-License-Identifier: BSD-2-Clause
"""rc.subr(8): the functions that rc.d scripts call after `. /etc/rc.subr`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.host.fake.rc_command import Run
from warden.host.fake.rcsubr_state import check_yes_no, err, evaluate, running, source, usage, value_of, wait_for_pids
from warden.host.fake.shell_builtins import BUILTINS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from warden.host.fake.shell_state import ShellState

DEBUGGING = {"DEBUGGING": "", "DEBUG_DO": ":", "DEBUG_SKIP": "", "_TTY": ""}
"""What the debugging functions that rc.subr loads leave in the environment (session 06)."""


def load(shell: ShellState) -> None:
    """Do what `. /etc/rc.subr` does."""
    if "RC_PID" not in shell.variables:
        shell.assign("RC_PID", str(shell.pid))
    for name, value in DEBUGGING.items():
        shell.variables.setdefault(name, value)
    shell.exported |= {"RC_PID", *DEBUGGING}
    shell.variables.setdefault("rc_service", shell.arg0)
    shell.library = FUNCTIONS


def load_rc_config(shell: ShellState, argv: list[str]) -> int:
    """Read rc.conf, and the service's own file in rc.conf.d."""
    service = argv[1] if len(argv) > 1 else ""
    if "_rc_conf_loaded" not in shell.variables:
        shell.assign("_rc_conf_loaded", "true")
        source(shell, "/etc/defaults/rc.conf")
        for path in ("/etc/rc.conf", "/etc/rc.conf.local"):
            source(shell, path)
    for folder in ("/etc/rc.conf.d", "/usr/local/etc/rc.conf.d"):
        if service:
            source(shell, f"{folder}/{service}")
    for name in f"{shell.variables.get('rcvar', '')} {shell.variables.get('rcvars', '')}".split():
        default = value_of(shell, f"{name}_defval")
        if default:
            evaluate(shell, f": ${{{name}:=\\${name}_defval}}")
    return 0


def run_rc_command(shell: ShellState, argv: list[str]) -> int:
    """Do what the verb says."""
    return Run(shell, argv).run()


def print_pids(shell: ShellState, pids: Sequence[int]) -> int:
    """Write pids on one line, as check_pidfile and check_process do."""
    shell.write(" ".join(map(str, pids)))
    return 0


def check_pidfile(shell: ShellState, argv: list[str]) -> int:
    """Write the pid in a file, if it is the named program's: `check_pidfile PIDFILE PROGRAM [INTERPRETER]`."""
    pidfile, name, interpreter = [*argv[1:], "", "", ""][:3]
    return print_pids(shell, running(shell, name, pidfile, "" if interpreter == "." else interpreter))


def check_process(shell: ShellState, argv: list[str]) -> int:
    """Write the pids of a program: `check_process PROGRAM [INTERPRETER]`."""
    name, interpreter = [*argv[1:], "", ""][:2]
    return print_pids(shell, running(shell, name, "", "" if interpreter == "." else interpreter))


def set_rcvar(shell: ShellState, argv: list[str]) -> int:
    """Name a variable, or define one with its default and description."""
    if len(argv) < 3:
        shell.write(f"{argv[1] if len(argv) > 1 else shell.variables.get('name', '')}_enable\n")
        return 0
    shell.assign("rcvars", f"{shell.variables.get('rcvars', '')} {argv[1]}".strip())
    shell.assign(f"{argv[1]}_defval", argv[2])
    shell.assign(f"{argv[1]}_desc", " ".join(argv[3:]))
    return 0


def message(kind: str, variable: str = "") -> Callable[[ShellState, list[str]], int]:
    """Give a function that writes its arguments as a message, if a variable switches it on."""

    def write(shell: ShellState, argv: list[str]) -> int:
        if not variable or shell.variables.get(variable, "").lower() in {"yes", "true", "on", "1"}:
            text = f"{shell.arg0}: {kind}: {' '.join(argv[1:])}\n"
            shell.write(text, fd=1 if kind == "INFO" else 2)
        return 0

    return write


def startmsg(shell: ShellState, argv: list[str]) -> int:
    """Write a message about a start, unless it is to be quiet."""
    return 0 if shell.variables.get("rc_quiet") else BUILTINS["echo"](shell, argv)


FUNCTIONS: dict[str, Callable[[ShellState, list[str]], int]] = {
    "check_pidfile": check_pidfile,
    "check_process": check_process,
    "check_startmsgs": lambda shell, _: 1 if shell.variables.get("rc_quiet") else 0,
    "checkyesno": lambda shell, argv: 0 if check_yes_no(shell, argv[1]) else 1,
    "debug": message("DEBUG", "rc_debug"),
    "err": err,
    "info": message("INFO", "rc_info"),
    "load_kld": lambda shell, argv: shell.named(["kldload", "-n", argv[-1]], ()),
    "load_rc_config": load_rc_config,
    "rc_usage": lambda shell, argv: usage(shell, argv[1:]),
    "run_rc_command": run_rc_command,
    "set_rcvar": set_rcvar,
    "startmsg": startmsg,
    "wait_for_pids": wait_for_pids,
    "warn": message("WARNING"),
}
