# SPDX-License-Identifier: BSD-2-Clause
"""How the scripts of sh(1) run on the fake machine: rc.d scripts, jail.conf lines, `sh -c`."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from warden.host.fake.filesystem import FileError
from warden.host.fake.processes import background
from warden.host.fake.program import Call, Reply, WaitingError, find_program, run_program
from warden.host.fake.shell_builtins import BUILTINS, SPECIAL, find_script
from warden.host.fake.shell_expand import expand_fields, expand_pattern, expand_text, matches
from warden.host.fake.shell_io import Input, Output, open_input, open_output
from warden.host.fake.shell_parser import parse
from warden.host.fake.shell_state import BreakError, ExitError, KilledError, ReturnError, ShellState
from warden.host.fake.shell_tree import (
    AndOr,
    Case,
    Command,
    For,
    Function,
    Group,
    If,
    Loop,
    Pipeline,
    Redirect,
    Redirected,
    Script,
    Simple,
    Word,
)
from warden.host.fake.shell_words import ShellSyntaxError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

MAX_ROUNDS = 10_000
READERS_OF_FILES = frozenset(["cat", "head", "tail", "wc", "grep", "sed", "awk", "sort"])
READERS = READERS_OF_FILES | {"sh", "su", "tee", "tr", "tar", "pfctl", "read", "jexec", "psql"}
"""The commands that read standard input to its end; others leave it to the commands after them.

Those of files read it only where their last argument is no file.
"""


class Shell(ShellState):
    """A shell that runs a parsed script."""

    def run(self, script: Script) -> int:
        """Run commands one after the other; give the last one's exit status."""
        for index, item in enumerate(script.items):
            try:
                if item.background:
                    self.start(item)
                else:
                    self.status = self.and_or(item)
            except WaitingError as wait:
                later = Script(script.items[index + 1 :]).source
                wait.rest = "\n".join(part for part in (wait.rest, later) if part)
                raise
        return self.status

    def start(self, item: AndOr) -> None:
        """Start commands in the background."""
        inner = self.copy()
        inner.fds[0] = Input()
        command = item.pipelines[0][1].commands[0]
        words = expand_fields(self, command.words) if isinstance(command, Simple) else list(self.call.argv)
        self.last_background, reply = background(
            self.call, words, lambda call: inner.finish(call, AndOr(item.pipelines, background=False, source=""))
        )
        self.status = 0
        self.absorb(reply)

    def finish(self, call: Call, item: AndOr) -> Reply:
        """Run commands as the process of `call`; their output has gone where the descriptors lead."""
        self.call = call
        try:
            return Reply(self.and_or(item))
        except WaitingError as wait:
            process = self.call.machine.processes.get(call.pid)
            if process is not None:
                process.cwd = self.call.cwd
            wait.rest = self.remember(wait.rest)
            raise
        except ExitError as end:
            return Reply(end.status)

    def and_or(self, item: AndOr) -> int:
        last = len(item.pipelines) - 1
        for index, (operator, pipeline) in enumerate(item.pipelines):
            if (operator == "&&" and self.status != 0) or (operator == "||" and self.status == 0):
                continue
            self.tested += index < last
            try:
                self.status = self.pipeline(pipeline)
            except WaitingError as wait:
                later = "".join(f" {word} {after.source}" for word, after in item.pipelines[index + 1 :])
                if later:
                    wait.rest = f"{{\n{wait.rest or 'test $? -eq 0'}\n}}{later}"
                raise
            finally:
                self.tested -= index < last
            if index == last and self.status != 0 and self.errexit and not self.tested and not pipeline.negated:
                raise ExitError(self.status)
        return self.status

    def pipeline(self, pipeline: Pipeline) -> int:
        self.tested += pipeline.negated
        try:
            status = self.piped(pipeline) if len(pipeline.commands) > 1 else self.command(pipeline.commands[0])
        finally:
            self.tested -= pipeline.negated
        return int(status == 0) if pipeline.negated else status

    def piped(self, pipeline: Pipeline) -> int:
        """Run commands of which each reads what the one before it wrote."""
        stdin: Input | Output = self.fds.get(0, Input())
        statuses: list[int] = []
        for index, command in enumerate(pipeline.commands):
            inner = self.copy()
            inner.call = replace(inner.call, pid=0)
            inner.fds[0] = stdin
            output = Output()
            if index < len(pipeline.commands) - 1:
                inner.fds[1] = output
            statuses.append(inner.subshell(command))
            stdin = Input(bytes(output.data))
        failed = [status for status in statuses if status]
        return failed[-1] if self.pipefail and failed else statuses[-1]

    def subshell(self, command: Command) -> int:
        """Run a command in this shell as one that ends with it."""
        try:
            return self.command(command)
        except ExitError as end:
            return end.status

    def command(self, command: Command) -> int:
        """Run one command of any kind."""
        return RUNNERS[type(command)](self, command)

    def redirected_command(self, command: Redirected) -> int:
        with self.redirected(command.redirects) as failed:
            return 2 if failed else self.command(command.command)

    def define(self, command: Function) -> int:
        self.functions[command.name] = command
        return 0

    def group(self, group: Group) -> int:
        if not group.subshell:
            return self.run_body(group.body)
        inner = self.copy()
        try:
            return inner.run_body(group.body)
        except ExitError as end:
            return end.status

    def run_body(self, script: Script) -> int:
        """Run the commands inside a compound command; none at all succeed."""
        if not script.items:
            return 0
        return self.run(script)

    def condition(self, script: Script) -> bool:
        """Run the commands of a condition, in which a failure does not end a shell with `set -e`."""
        self.tested += 1
        try:
            return self.run(script) == 0
        finally:
            self.tested -= 1

    def if_command(self, command: If) -> int:
        for condition, body in command.branches:
            try:
                holds = self.condition(condition)
            except WaitingError:
                raise self.call.unsupported("sh: a condition of `if` that takes time, in the background") from None
            if holds:
                return self.run_body(body)
        return self.run_body(command.otherwise) if command.otherwise is not None else 0

    def for_command(self, command: For) -> int:
        words = list(self.positional) if command.words is None else expand_fields(self, command.words)
        status = 0
        for index, word in enumerate(words):
            self.assign(command.name, word)
            try:
                status = self.run_body(command.body)
            except BreakError as jump:
                if self.leaves(jump):
                    break
                status = 0
            except WaitingError as wait:
                later = shlex.join(words[index + 1 :])
                if later:
                    wait.rest += f"\nfor {command.name} in {later}; do\n{command.body.source}\ndone"
                raise
        return status

    def loop(self, command: Loop) -> int:
        status = 0
        for _ in range(MAX_ROUNDS):
            try:
                if self.condition(command.condition) == command.until:
                    return status
            except WaitingError as wait:
                wait.rest = f"{{\n{wait.rest or 'test $? -eq 0'}\n}} {'||' if command.until else '&&'} {{\n"
                wait.rest += f"{command.body.source}\n{command.source}\n}}"
                raise
            try:
                status = self.run_body(command.body)
            except BreakError as jump:
                if self.leaves(jump):
                    return 0
            except WaitingError as wait:
                wait.rest += f"\n{command.source}"
                raise
        raise self.call.unsupported(f"sh: a loop of more than {MAX_ROUNDS} rounds: {command.source}")

    def leaves(self, jump: BreakError) -> bool:
        """Tell whether a `break` or `continue` ends this loop; one that is meant for an outer loop goes on to it."""
        if jump.levels > 1:
            raise BreakError(jump.levels - 1, again=jump.again)
        return not jump.again

    def case(self, command: Case) -> int:
        value = expand_text(self, command.word)
        for patterns, body in command.branches:
            if any(matches(value, expand_pattern(self, pattern)) for pattern in patterns):
                return self.run_body(body)
        return 0

    def simple(self, command: Simple) -> int:
        """Run assignments, or a command with its arguments."""
        self.substituted = 0
        argv = expand_fields(self, command.words)
        with self.redirected(command.redirects, keep=argv == ["exec"]) as failed:
            if failed:
                if argv and argv[0] in SPECIAL:
                    raise ExitError(2)
                return 2
            if not argv:
                for name, word in command.assignments:
                    self.assign(name, expand_text(self, word))
                return self.substituted
            return self.named(argv, command.assignments)

    def named(self, argv: list[str], assignments: Sequence[tuple[str, Word]]) -> int:
        """Run a function, a builtin or a program by its name, with assignments for as long as it runs."""
        name = argv[0]
        builtin = BUILTINS.get(name)
        if builtin is not None and name in SPECIAL:
            for variable, word in assignments:
                self.assign(variable, expand_text(self, word))
            return self.builtin(argv)
        before = dict(self.variables), set(self.exported)
        for variable, word in assignments:
            self.assign(variable, expand_text(self, word))
            self.exported.add(variable)
        try:
            if name in self.functions:
                return self.call_function(self.functions[name], argv[1:])
            if name in self.library:
                return self.library[name](self, argv)
            return self.builtin(argv) if builtin is not None else self.external(argv)
        finally:
            if assignments:
                for variable, _ in assignments:
                    self.restore(variable, before)

    def builtin(self, argv: list[str]) -> int:
        outer, self.commandname = self.commandname, argv[0]
        try:
            return self.checked(BUILTINS[argv[0]](self, argv))
        finally:
            self.commandname = outer

    def call_function(self, function: Function, args: list[str]) -> int:
        outer, self.positional = self.positional, args
        hidden, self.hidden = self.hidden, {}
        try:
            return self.command(function.body)
        except ReturnError as back:
            return back.status
        finally:
            for name, value in self.hidden.items():
                self.set_or_unset(name, value)
            self.positional, self.hidden = outer, hidden

    def external(self, argv: list[str]) -> int:
        """Run a program, or a script file that the PATH leads to."""
        stdin = self.fds.get(0)
        given = stdin.rest() if isinstance(stdin, Input) else b""
        name = argv[0].rpartition("/")[2]
        last = self.call.path(argv[-1]) if len(argv) > 1 and name in READERS_OF_FILES else ""
        reads = name in READERS and not (last and self.call.files.exists(last, root=self.call.root))
        if isinstance(stdin, Input) and reads:
            stdin.pos = len(stdin.data)
        call = replace(self.call, argv=tuple(argv), stdin=given, environment=self.environment())
        if find_program(call.machine, argv[0], call.jail) is None:
            path, problem = find_script(self, argv[0])
            if not path:
                self.say_error(f"{argv[0]}: {problem}")
                return 127 if problem == "not found" else 126
            call = replace(call, argv=(path, *argv[1:]))
        try:
            reply = run_program(call)
        except WaitingError as wait:
            self.absorb(wait.reply)
            wait.reply = Reply()
            raise
        return self.absorb(reply, argv[0])

    def substitute(self, script: str) -> str:
        """Run a script in a subshell and give what it prints, without the last newlines."""
        inner = self.copy()
        inner.call = replace(inner.call, pid=0)
        output = inner.fds[1] = Output()
        try:
            inner.run_body(parse(script))
        except ExitError as end:
            inner.status = end.status
        self.substituted = self.status = inner.status
        return bytes(output.data).decode("utf-8", "surrogateescape").rstrip("\n")

    def open_redirect(self, redirect: Redirect) -> Input | Output:
        """Open what a redirection leads to; raise FileError."""
        target = expand_text(self, redirect.target)
        if redirect.operator in {">&", "<&"}:
            if target == "-":
                return Output()
            if not target.isdigit() or int(target) not in self.fds:
                raise FileError(target, "Bad file descriptor")
            return self.fds[int(target)]
        if redirect.operator == "<":
            return open_input(self.call, target)
        return open_output(self.call, target, append=redirect.operator == ">>")


RUNNERS: dict[type, Callable[[Shell, Any], int]] = {
    Simple: Shell.simple,
    Redirected: Shell.redirected_command,
    If: Shell.if_command,
    For: Shell.for_command,
    Loop: Shell.loop,
    Case: Shell.case,
    Function: Shell.define,
    Group: Shell.group,
}


def run_script(
    call: Call, script: str, *, name: str = "sh", args: Sequence[str] = (), file: str = "", status: int = 0
) -> Reply:
    """Run a script in the place of `call`: `name` is $0, `args` the parameters, `file` the script's file if it has one.

    An exit status of 255 is a shell that killed itself (`kill -9 $$`, session 08).
    """
    shell = Shell(call, name=name, args=args, file=file)
    shell.status = status
    try:
        shell.run(parse(script))
    except ExitError as end:
        shell.status = end.status
    except ReturnError as back:
        shell.status = back.status
    except BreakError:
        shell.status = 0
    except KilledError:
        shell.status = 255
    except ShellSyntaxError as error:
        where = f"{file}: {script.count(chr(10)) + 1}: " if file else f"{name}: "
        shell.write(f"{where}Syntax error: {error}\n", fd=2)
        shell.status = 2
    except WaitingError as wait:
        wait.rest = shell.remember(wait.rest)
        wait.reply = shell.reply()
        raise
    shell.run_exit_trap()
    return shell.reply()
