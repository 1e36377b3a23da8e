# SPDX-License-Identifier: BSD-2-Clause
"""What a running shell knows: variables, parameters, functions, descriptors, options."""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from warden.host.fake.filesystem import FileError
from warden.host.fake.program import Call, Reply, WaitingError
from warden.host.fake.shell_expand import expand_text
from warden.host.fake.shell_io import Input, Output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Self

    from warden.host.fake.shell_tree import Function, Redirect, Script


class ExitError(Exception):
    """The shell ends."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class ReturnError(Exception):
    """A function, or a file that was read by `.`, ends."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class BreakError(Exception):
    """A loop ends or, with `again`, its round does; `levels` counts loops from the innermost."""

    def __init__(self, levels: int, *, again: bool) -> None:
        super().__init__(levels)
        self.levels = levels
        self.again = again


class KilledError(Exception):
    """The shell sent itself a signal that ends it."""


class ShellState:
    """The state of a shell and the small operations on it; the commands themselves are run by `Shell`."""

    def __init__(self, call: Call, *, name: str, args: Sequence[str] = (), file: str = "") -> None:
        self.call = call
        self.arg0 = name
        self.commandname = file
        self.positional = list(args)
        self.variables = {"IFS": " \t\n", "OPTIND": "1", **call.environment, "PWD": call.cwd}
        self.exported = {*call.environment, "PWD"}
        self.functions: dict[str, Function] = {}
        self.library: dict[str, Callable[[ShellState, list[str]], int]] = {}
        """Functions that are part of the machine, such as rc.subr(8)'s."""
        self.hidden: dict[str, str | None] = {}
        """What the `local` variables of the function at hand were before."""
        self.fds: dict[int, Input | Output] = {0: Input(call.stdin), 1: Output(), 2: Output()}
        self.stdout, self.stderr = self.fds[1], self.fds[2]
        self.status = 0
        self.substituted = 0
        """The exit status of the newest command substitution."""
        self.last_background = 0
        self.own_pid = call.pid
        self.errexit = False
        self.nounset = False
        self.pipefail = False
        self.tested = 0
        """How many conditions deep the command at hand is; `set -e` does not count there."""
        self.traps: dict[str, str] = {}

    def run(self, script: Script) -> int:
        """Run commands one after the other; give the last one's exit status."""
        raise NotImplementedError

    def named(self, argv: list[str], assignments: Sequence[tuple[str, tuple[()]]]) -> int:
        """Run a function, a builtin or a program by its name."""
        raise NotImplementedError

    def external(self, argv: list[str]) -> int:
        """Run a program, or a script file that the PATH leads to."""
        raise NotImplementedError

    def open_redirect(self, redirect: Redirect) -> Input | Output:
        """Open what a redirection leads to; raise FileError."""
        raise NotImplementedError

    def copy(self) -> Self:
        """Give a subshell: it starts with all that this one knows, and changes nothing here but files."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.positional = list(self.positional)
        other.variables = dict(self.variables)
        other.exported = set(self.exported)
        other.functions = dict(self.functions)
        other.hidden = {}
        other.fds = dict(self.fds)
        other.traps = {}
        return other

    def value(self, name: str) -> str | None:
        """Give a parameter's value, None when it is unset."""
        if name[0].isdigit():
            words = [self.arg0, *self.positional]
            return words[int(name)] if int(name) < len(words) else None
        special = SPECIAL_PARAMETERS.get(name)
        return special(self) if special is not None else self.variables.get(name)

    def require(self, name: str) -> str:
        """Give a parameter's value; one that is unset is an error under `set -u` and empty otherwise."""
        value = self.value(name)
        if value is None and self.nounset:
            raise self.fail(f"{name}: parameter not set")
        return value or ""

    @property
    def pid(self) -> int:
        """The shell's own process id; a command that is waited for gets one when it asks for it."""
        if not self.own_pid:
            self.own_pid = self.call.machine.next_pid
            self.call.machine.next_pid += 1
        return self.own_pid

    def assign(self, name: str, value: str) -> None:
        """Set a variable."""
        self.variables[name] = value

    def set_or_unset(self, name: str, value: str | None) -> None:
        """Set a variable, or for None take it away."""
        if value is None:
            self.variables.pop(name, None)
        else:
            self.variables[name] = value

    def restore(self, name: str, before: tuple[dict[str, str], set[str]]) -> None:
        """Give a variable the value, and the export, that it had before."""
        self.set_or_unset(name, before[0].get(name))
        if name not in before[1]:
            self.exported.discard(name)

    def environment(self) -> dict[str, str]:
        """Give the environment of the programs that this shell starts."""
        return {name: self.variables[name] for name in sorted(self.exported) if name in self.variables}

    def names(self, folder: str) -> list[str]:
        """Give the names in a folder, none when there is no such folder."""
        try:
            return self.call.files.list_dir(self.call.path(folder or "."), root=self.call.root)
        except FileError:
            return []

    def write(self, text: str, *, fd: int = 1) -> None:
        """Write text to a descriptor."""
        target = self.fds.get(fd)
        if isinstance(target, Output):
            target.write(text.encode("utf-8", "surrogateescape"))

    def say_error(self, message: str) -> None:
        """Write a message of the shell's own, under the name of the builtin, the script or the shell."""
        self.write(f"{self.commandname or self.arg0}: {message}\n", fd=2)

    def fail(self, message: str, *, status: int = 2) -> ExitError:
        """Write a message and give the error that ends the shell; raise it."""
        self.say_error(message)
        return ExitError(status)

    def absorb(self, reply: Reply, name: str = "") -> int:
        """Write what a program answered to this shell's outputs; give its status, or that of what was not written."""
        for fd, data in ((1, reply.stdout), (2, reply.stderr)):
            target = self.fds.get(fd)
            if data and isinstance(target, Output):
                target.write(data)
        reason = self.unwritten()
        if not reason:
            return reply.exit_code
        self.write(f"{name.rpartition('/')[2]}: stdout: {reason}\n", fd=2)
        return reply.exit_code or 1

    def unwritten(self) -> str:
        """Give why standard output could not be written, once; '' where all is well."""
        target = self.fds.get(1)
        reason = target.failed if isinstance(target, Output) else ""
        if isinstance(target, Output):
            target.failed = ""
        return reason

    def checked(self, status: int) -> int:
        """Give a builtin's status, or that of what it could not write."""
        if not self.unwritten():
            return status
        self.say_error("write error on stdout")
        return max(status, 2)

    def reply(self) -> Reply:
        """Give the shell's own answer."""
        outputs = [bytes(output.data) if isinstance(output, Output) else b"" for output in (self.stdout, self.stderr)]
        return Reply(self.status, *outputs)

    def run_exit_trap(self) -> None:
        """Run what `trap ... EXIT` asked for."""
        from warden.host.fake.shell_parser import parse  # noqa: PLC0415 - only scripts with a trap need it

        script = self.traps.pop("EXIT", "")
        if script:
            status = self.status
            try:
                self.run(parse(script))
            except ExitError as end:
                status = end.status
            self.status = status

    @contextmanager
    def redirected(self, redirects: Sequence[Redirect], *, keep: bool = False) -> Iterator[bool]:
        """Lead descriptors elsewhere for a while, or with `keep` for good; gives whether that failed."""
        if not redirects:
            yield False
            return
        before = dict(self.fds)
        try:
            failed = not all(self.redirect(redirect) for redirect in redirects)
            if failed:
                self.fds = before
            yield failed
        except WaitingError as wait:
            if wait.rest:
                again = " ".join(self.reopening(redirect) for redirect in redirects)
                wait.rest = f"{{\n{wait.rest}\n}} {again}"
            raise
        finally:
            if not keep:
                self.fds = before

    def redirect(self, redirect: Redirect) -> bool:
        """Lead one descriptor elsewhere; tell whether that went well."""
        try:
            self.fds[redirect.fd] = self.open_redirect(redirect)
        except FileError as failure:
            verb = "open" if redirect.operator == "<" else "create"
            if redirect.operator in {">&", "<&"}:
                self.say_error(f"{failure}")
            else:
                self.say_error(f"cannot {verb} {failure.path}: {failure.reason}")
            return False
        return True

    def reopening(self, redirect: Redirect) -> str:
        """Write a redirection as one that goes on where it was."""
        operator = ">>" if redirect.operator in {">", ">|"} else redirect.operator
        return f"{redirect.fd}{operator}{shlex.quote(expand_text(self, redirect.target))}"  # type: ignore[arg-type]

    def remember(self, rest: str) -> str:
        """Write the script that goes on with `rest` in the state that this shell is in; '' where nothing is left."""
        if not rest:
            return ""
        known = {**self.call.environment, "IFS": " \t\n", "OPTIND": "1", "PWD": self.call.cwd}
        lines = [
            f"{name}={shlex.quote(value)}" for name, value in sorted(self.variables.items()) if known.get(name) != value
        ]
        lines += [f"export {name}" for name in sorted(self.exported - {*self.call.environment, "PWD"})]
        lines += [function.source for _, function in sorted(self.functions.items())]
        if self.positional:
            lines.append(f"set -- {shlex.join(self.positional)}")
        if not lines:
            return rest
        return "\n".join(["_status=$?", *lines, '(exit "$_status")', rest])


SPECIAL_PARAMETERS: dict[str, Callable[[ShellState], str]] = {
    "$": lambda state: str(state.pid),
    "!": lambda state: str(state.last_background or ""),
    "#": lambda state: str(len(state.positional)),
    "?": lambda state: str(state.status),
    "-": lambda state: "e" * state.errexit + "u" * state.nounset,
    "@": lambda state: " ".join(state.positional),
    "*": lambda state: " ".join(state.positional),
}


def at_folder(state: ShellState, folder: str) -> None:
    """Make a folder the one that the shell is in."""
    state.call = replace(state.call, cwd=folder)
    state.variables["PWD"] = folder
    state.exported.add("PWD")
