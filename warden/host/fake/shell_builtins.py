# SPDX-License-Identifier: BSD-2-Clause
"""The builtins of sh(1)."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from warden.host.fake.filesystem import FileError
from warden.host.fake.processes import advance, exists
from warden.host.fake.program import PATH, find_program
from warden.host.fake.shell_io import Input, may, open_input
from warden.host.fake.shell_parser import parse
from warden.host.fake.shell_state import BreakError, ExitError, KilledError, ReturnError, ShellState, at_folder
from warden.host.fake.shell_text import echo_text, evaluate_test, printf_text
from warden.host.fake.shell_words import ShellSyntaxError

if TYPE_CHECKING:
    from collections.abc import Callable

    Builtin = Callable[[ShellState, list[str]], int]

BUILTINS: dict[str, Builtin] = {}
SPECIAL = frozenset(
    [".", ":", "break", "continue", "eval", "exec", "exit", "export", "return", "set", "shift", "trap", "unset"]
)
"""The builtins whose errors end the shell, and before which an assignment stays."""
SIGNALS = frozenset(
    ["EXIT", "HUP", "INT", "QUIT", "TERM", "PIPE", "USR1", "USR2", "ALRM", "0", "1", "2", "3", "13", "15"]
)


def builtin(*names: str) -> Callable[[Builtin], Builtin]:
    """Register a builtin under its names."""

    def register(run: Builtin) -> Builtin:
        for name in names:
            BUILTINS[name] = run
        return run

    return register


def find_script(shell: ShellState, name: str) -> tuple[str, str]:
    """Find an executable file that is no program of the machine's own: its path, or '' and what is wrong."""
    call = shell.call
    folders = [""] if "/" in name else shell.variables.get("PATH", PATH).split(":")
    problem = "not found"
    for folder in folders:
        path = call.path(f"{folder}/{name}" if folder else name)
        node = call.files.lookup(path, root=call.root)
        if node is not None and node.kind == "file" and may(call, node, 1):
            return (name if "/" in name else path), ""
        if node is not None and (node.kind == "file" or "/" in name):
            problem = "Permission denied"
    return "", problem


def check_name(shell: ShellState, name: str) -> None:
    """Refuse what is no variable's name."""
    if not (name.isascii() and name.isidentifier()):
        raise shell.fail(f"{name}: bad variable name")


@builtin(":", "true")
def true(_shell: ShellState, _argv: list[str]) -> int:
    """Succeed."""
    return 0


@builtin("false")
def false(_shell: ShellState, _argv: list[str]) -> int:
    """Fail."""
    return 1


@builtin("echo")
def echo(shell: ShellState, argv: list[str]) -> int:
    """Write the arguments."""
    shell.write(echo_text(argv[1:]))
    return 0


@builtin("printf")
def printf(shell: ShellState, argv: list[str]) -> int:
    """Write the arguments under a format."""
    if len(argv) < 2:
        raise shell.fail("usage: printf format [arguments ...]")
    shell.write(printf_text(argv[1], argv[2:]))
    return 0


@builtin("test", "[")
def test(shell: ShellState, argv: list[str]) -> int:
    """Evaluate a condition; 2 for one that is none."""
    args = argv[1:]
    if argv[0] == "[":
        if args[-1:] != ["]"]:
            shell.say_error("missing ]")
            return 2
        args = args[:-1]
    try:
        return 0 if evaluate_test(shell.call, args) else 1
    except ValueError as error:
        shell.say_error(str(error))
        return 2


@builtin("cd", "chdir")
def cd(shell: ShellState, argv: list[str]) -> int:
    """Change the folder."""
    args = [arg for arg in argv[1:] if arg not in {"-P", "-L", "--"}]
    target = args[0] if args else shell.value("HOME") or "/"
    if target == "-":
        target = shell.value("OLDPWD") or shell.call.cwd
    path = shell.call.path(target)
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in {"", "."}:
            parts.append(part)
    folder = "/" + "/".join(parts)
    node = shell.call.files.lookup(folder, root=shell.call.root)
    if node is None or node.kind != "dir":
        shell.say_error(f"{target}: {'No such file or directory' if node is None else 'Not a directory'}")
        return 2
    shell.assign("OLDPWD", shell.call.cwd)
    shell.exported.add("OLDPWD")
    at_folder(shell, folder)
    return 0


@builtin("pwd")
def pwd(shell: ShellState, _argv: list[str]) -> int:
    """Write the folder that the shell is in."""
    shell.write(f"{shell.call.cwd}\n")
    return 0


@builtin("exit")
def exit_shell(shell: ShellState, argv: list[str]) -> int:
    """End the shell."""
    raise ExitError(status_argument(shell, argv))


@builtin("return")
def return_from(shell: ShellState, argv: list[str]) -> int:
    """End a function or a file that was read."""
    raise ReturnError(status_argument(shell, argv))


def status_argument(shell: ShellState, argv: list[str]) -> int:
    """Give the exit status that `exit` and `return` were told, or the last command's."""
    if len(argv) == 1:
        return shell.status
    if not argv[1].isdigit():
        raise shell.fail(f"Illegal number: {argv[1]}")
    return int(argv[1]) & 255


@builtin("break", "continue")
def leave(_shell: ShellState, argv: list[str]) -> int:
    """Leave a loop, or go to its next round."""
    raise BreakError(int(argv[1]) if len(argv) > 1 else 1, again=argv[0] == "continue")


@builtin("set")
def set_options(shell: ShellState, argv: list[str]) -> int:
    """Set options and the positional parameters."""
    args = argv[1:]
    if not args:
        raise shell.call.unsupported("sh: set without arguments")
    while args and args[0][:1] in {"-", "+"} and len(args[0]) > 1:
        word = args.pop(0)
        if word == "--":
            shell.positional = args
            return 0
        on = word[0] == "-"
        for letter in word[1:]:
            option = args.pop(0) if letter == "o" and args else letter
            if option in {"e", "errexit"}:
                shell.errexit = on
            elif option in {"u", "nounset"}:
                shell.nounset = on
            elif option == "pipefail":
                shell.pipefail = on
            else:
                raise shell.call.unsupported(f"sh: set {word} {option}")
    if args:
        shell.positional = args
    return 0


@builtin("shift")
def shift(shell: ShellState, argv: list[str]) -> int:
    """Drop positional parameters from the front."""
    count = int(argv[1]) if len(argv) > 1 else 1
    if count > len(shell.positional):
        raise shell.fail("can't shift that many")
    shell.positional = shell.positional[count:]
    return 0


@builtin("export")
def export(shell: ShellState, argv: list[str]) -> int:
    """Hand variables on to the programs that the shell starts."""
    for arg in argv[2:] if argv[1:2] == ["--"] else argv[1:]:
        name, equals, value = arg.partition("=")
        check_name(shell, name)
        if equals:
            shell.assign(name, value)
        shell.exported.add(name)
    return 0


@builtin("local")
def local(shell: ShellState, argv: list[str]) -> int:
    """Give a function variables of its own, which start with the values they had."""
    for arg in argv[1:]:
        name, equals, value = arg.partition("=")
        if name == "-":
            continue
        check_name(shell, name)
        shell.hidden.setdefault(name, shell.variables.get(name))
        if equals:
            shell.assign(name, value)
    return 0


@builtin("unset")
def unset(shell: ShellState, argv: list[str]) -> int:
    """Take variables or, with -f, functions away."""
    functions = "-f" in argv[1:2]
    for name in argv[1:]:
        if name in {"-f", "-v"}:
            continue
        if functions:
            shell.functions.pop(name, None)
        else:
            shell.variables.pop(name, None)
            shell.exported.discard(name)
    return 0


@builtin("read")
def read(shell: ShellState, argv: list[str]) -> int:
    """Read a line into variables; 1 at the end of the input."""
    names = [arg for arg in argv[1:] if arg != "-r"]
    if any(name.startswith("-") for name in names):
        raise shell.call.unsupported(f"sh: {shlex.join(argv)}")
    source = shell.fds.get(0)
    line = source.line() if isinstance(source, Input) else b""
    text = line.decode("utf-8", "surrogateescape").removesuffix("\n")
    separators = shell.value("IFS")
    if separators is None or separators == " \t\n":
        words = text.split(None, len(names) - 1)
        words = [word.rstrip() if index == len(names) - 1 else word for index, word in enumerate(words)]
    else:
        words = text.split(separators[0], len(names) - 1) if separators else [text]
    for index, name in enumerate(names):
        check_name(shell, name)
        shell.assign(name, words[index] if index < len(words) else "")
    return 0 if line.endswith(b"\n") else 1


@builtin("eval")
def evaluate(shell: ShellState, argv: list[str]) -> int:
    """Run the arguments as a script."""
    try:
        script = parse(" ".join(argv[1:]))
    except ShellSyntaxError as error:
        raise shell.fail(f"Syntax error: {error}") from None
    return shell.run(script) if script.items else 0


@builtin(".")
def read_file(shell: ShellState, argv: list[str]) -> int:
    """Run a file's commands in this shell; `/etc/rc.subr` brings its functions."""
    if len(argv) < 2:
        return 0
    if argv[1] == "/etc/rc.subr":
        from warden.host.fake.rcsubr import load  # noqa: PLC0415 - rcsubr is written with the shell

        load(shell)
        return 0
    try:
        text = open_input(shell.call, argv[1]).data.decode("utf-8", "surrogateescape")
    except FileError as failure:
        raise shell.fail(f"cannot open {argv[1]}: {failure.reason}") from None
    shell.commandname = argv[1]
    try:
        return shell.run(parse(text))
    except ReturnError as back:
        return back.status
    except ShellSyntaxError as error:
        shell.write(f"{argv[1]}: {text.count(chr(10)) + 1}: Syntax error: {error}\n", fd=2)
        raise ExitError(2) from None


@builtin("exec")
def execute(shell: ShellState, argv: list[str]) -> int:
    """Run a program in the shell's place."""
    if len(argv) == 1:
        return 0
    shell.commandname = ""
    raise ExitError(shell.external(argv[1:]))


@builtin("command")
def command(shell: ShellState, argv: list[str]) -> int:
    """Run a command that is no function, or with -v say what a name means."""
    args = argv[1:]
    if args[:1] == ["-v"] and len(args) > 1:
        found = where(shell, args[1])
        shell.write(f"{found}\n" if found else "")
        return 0 if found else 127
    if args[:1] == ["-p"]:
        args = args[1:]
    if not args or args[0].startswith("-"):
        raise shell.call.unsupported(f"sh: {shlex.join(argv)}")
    run = BUILTINS.get(args[0])
    return run(shell, args) if run is not None else shell.external(args)


@builtin("type")
def type_of(shell: ShellState, argv: list[str]) -> int:
    """Say what names mean."""
    status = 0
    for name in argv[1:]:
        found = where(shell, name)
        if not found:
            shell.write(f"{name}: not found\n")
            status = 127
        elif found.startswith("/"):
            shell.write(f"{name} is {found}\n")
        elif name in BUILTINS:
            shell.write(f"{name} is a {'special ' if name in SPECIAL else ''}shell builtin\n")
        else:
            shell.write(f"{name} is a shell function\n")
    return status


def where(shell: ShellState, name: str) -> str:
    """Give a program's path, a function's or builtin's name, or ''."""
    if name in BUILTINS or name in shell.functions or name in shell.library:
        return name
    entry = find_program(shell.call.machine, name, shell.call.jail)
    return entry.path if entry is not None else find_script(shell, name)[0]


@builtin("umask")
def umask(shell: ShellState, argv: list[str]) -> int:
    """Show or set the permissions that new files do not get."""
    args = argv[1:]
    if not args:
        shell.write(f"{shell.call.umask:04o}\n")
        return 0
    if not args[0].isdigit() or set(args[0]) & {"8", "9"}:
        raise shell.call.unsupported(f"sh: {shlex.join(argv)}")
    shell.call = replace(shell.call, umask=int(args[0], 8) & 0o777)
    return 0


@builtin("wait")
def wait(shell: ShellState, argv: list[str]) -> int:
    """Let time pass until background processes have ended."""
    for pid in [int(arg) for arg in argv[1:]] or ([shell.last_background] if shell.last_background else []):
        while exists(shell.call.machine, pid):
            process = shell.call.machine.processes[pid]
            ends_at = [child.ends_at for child in shell.call.machine.processes.values() if child.ppid == pid]
            due = process.ends_at or max(ends_at, default=0)
            if not due:
                raise shell.call.unsupported(f"sh: wait {pid}: it does not end by itself")
            advance(shell.call.machine, max(due - shell.call.machine.clock, 1))
    return 0


@builtin("kill")
def kill(shell: ShellState, argv: list[str]) -> int:
    """Send a signal to a process; the shell itself is the one that only it knows."""
    if argv[-1] == str(shell.own_pid) and argv[1:-1] != ["-0"] and not exists(shell.call.machine, shell.own_pid):
        raise KilledError
    return shell.external(argv)


@builtin("trap")
def trap(shell: ShellState, argv: list[str]) -> int:
    """Set what happens at the shell's end; the signals that could come are taken note of only."""
    if len(argv) < 3:
        raise shell.call.unsupported(f"sh: {shlex.join(argv)}")
    for signal in argv[2:]:
        name = signal.removeprefix("SIG")
        if name not in SIGNALS:
            raise shell.fail(f"bad signal {signal}")
        if name in {"EXIT", "0"}:
            shell.traps["EXIT"] = "" if argv[1] == "-" else argv[1]
    return 0
