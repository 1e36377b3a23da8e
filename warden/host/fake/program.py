# SPDX-License-Identifier: BSD-2-Clause
"""How a command of the fake machine is written, found and run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from warden.host.fake.filesystem import FileError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from warden.host.fake.filesystem import FileSystem
    from warden.host.fake.machine import Machine, NetStack


class UnsupportedError(Exception):
    """The fake machine was asked for something that it cannot do truthfully; `form` names the command form."""

    def __init__(self, form: str) -> None:
        super().__init__(form)
        self.form = form


@dataclass(slots=True)
class Reply:
    """What a program answers."""

    exit_code: int = 0
    stdout: bytes = b""
    stderr: bytes = b""

    def __add__(self, later: Reply) -> Reply:
        """Join two answers of one program: outputs one after the other, the later exit status."""
        return Reply(later.exit_code, self.stdout + later.stdout, self.stderr + later.stderr)


class WaitingError(Exception):
    """A program that goes on by itself (its call has a pid) waits for the end of a command that takes time.

    `argv` is the command that it waits for, `seconds` how long that takes (0: until it is killed), `rest` the
    script that it goes on with then, and `reply` what it has written so far.
    """

    def __init__(self, argv: Sequence[str], seconds: int) -> None:
        super().__init__(" ".join(argv))
        self.argv = list(argv)
        self.seconds = seconds
        self.rest = ""
        self.reply = Reply()


def say(text: str = "", *, error: str = "", status: int = 0) -> Reply:
    """Give a reply from text: `text` on standard output, `error` on standard error, as they are."""
    return Reply(status, text.encode("utf-8", "surrogateescape"), error.encode("utf-8", "surrogateescape"))


@dataclass(slots=True)
class Call:
    """A program's start: its arguments, and where and as whom it runs."""

    machine: Machine
    argv: tuple[str, ...]
    stdin: bytes = b""
    environment: dict[str, str] = field(default_factory=dict)
    cwd: str = "/root"
    jail: str = ""
    user: str = "root"
    umask: int = 0o022
    pid: int = 0
    """The process that this is, for one that goes on by itself; 0 for a command that is waited for, and -1 where
    timeout(1) waits for it."""

    @property
    def name(self) -> str:
        """The program's own name, without its path."""
        return self.argv[0].rpartition("/")[2]

    @property
    def args(self) -> tuple[str, ...]:
        """The arguments behind the name."""
        return self.argv[1:]

    @property
    def root(self) -> str:
        """The folder that this program sees as '/'."""
        return self.machine.root_of(self.jail)

    @property
    def files(self) -> FileSystem:
        """The machine's files; pass `root=call.root` with every path."""
        return self.machine.files

    @property
    def net(self) -> NetStack:
        """The network stack that this program sees."""
        return self.machine.stack(self.jail)

    def path(self, name: str) -> str:
        """Make a file name absolute."""
        return name if name.startswith("/") else f"{self.cwd.rstrip('/')}/{name}"

    def run(self, *argv: str, stdin: bytes = b"") -> Reply:
        """Run another program in the same place."""
        return run_program(
            Call(
                self.machine, argv, stdin, dict(self.environment), self.cwd, self.jail, self.user, self.umask, self.pid
            )
        )

    def unsupported(self, form: str = "") -> UnsupportedError:
        """Give the error that refuses this call; raise it."""
        return UnsupportedError(form or " ".join(self.argv))


class Program(Protocol):
    """A program: takes a call, gives a reply, and changes the machine in between."""

    def __call__(self, call: Call, /) -> Reply:
        """Run the program."""
        ...


@dataclass(slots=True, frozen=True)
class Entry:
    """A registered program: where it is installed, and the command forms that it supports, for the docs."""

    run: Program
    path: str
    forms: tuple[str, ...]
    package: str = ""
    """A package that installs it; '' for FreeBSD's own, which jails have too."""


PATH = "/sbin:/bin:/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
"""The folders in which commands are looked for where nothing else is said."""

PROGRAMS: dict[str, Entry] = {}


def program(path: str, *forms: str, package: str = "") -> Callable[[Program], Program]:
    """Register a program by its absolute path; docs/fake-host.md lists `forms`, the usages that it supports."""

    def register(run: Program) -> Program:
        name = path.rpartition("/")[2]
        # of two programs with one name, FreeBSD's own is the one that a PATH leads to
        PROGRAMS[path if name in PROGRAMS else name] = Entry(run, path, forms, package)
        return run

    return register


def find_program(machine: Machine, name: str, jail: str = "") -> Entry | None:
    """Find a program by name or absolute path, as a PATH with all of FreeBSD's folders does; None for none.

    A program of a package is there only where the package has put its file. A jail has the programs whose files are
    in its tree.
    """
    entry = PROGRAMS.get(name) or PROGRAMS.get(name.rpartition("/")[2])
    if entry is None or ("/" in name and name != entry.path):
        return None
    if (jail or entry.package) and not machine.files.exists(entry.path, root=machine.root_of(jail)):
        return None
    return entry


def find_file(call: Call, name: str) -> str:
    """Find the file that a command's name leads to, as execvp(3) does by the PATH; '' for none."""
    folders = [""] if "/" in name else [f"{folder}/" for folder in call.environment.get("PATH", PATH).split(":")]
    for folder in folders:
        node = call.files.lookup(call.path(f"{folder}{name}"), root=call.root)
        if node is not None and node.kind == "file":
            return f"{folder}{name}"
    return ""


def run_program(call: Call) -> Reply:
    """Run a program, or a script by its interpreter; what sh says of a name that is not there answers such a name."""
    entry = find_program(call.machine, call.argv[0], call.jail)
    if entry is None:
        return _run_file(call)
    try:
        return entry.run(call)
    except FileError as failure:
        return say(error=f"{call.name}: {failure}\n", status=1)


def _run_file(call: Call) -> Reply:
    """Run a file that is no program of the fake machine's own.

    One that is no script lives as a process where it is started as one, and is refused where its answer is needed.
    """
    path = find_file(call, call.argv[0])
    if not path:
        return say(error=f"sh: {call.argv[0]}: not found\n", status=127)
    node = call.files.node(call.path(path), root=call.root)
    if not node.mode & 0o111:
        return say(error=f"sh: {call.argv[0]}: Permission denied\n", status=126)
    interpreter = _interpreter(node.data)
    whole = (*interpreter, path, *call.args) if interpreter else call.argv
    process = call.machine.processes.get(call.pid)
    if process is not None and process.argv == list(call.argv):
        process.argv = list(whole)
    if interpreter and find_program(call.machine, interpreter[0], call.jail) is not None:
        return run_program(replace(call, argv=whole))
    if call.pid > 0:
        raise WaitingError(whole, 0)
    raise call.unsupported(f"{call.argv[0]}: a program that the fake host does not know")


def _interpreter(data: bytes) -> list[str]:
    """Give the command of a script's `#!` line; none for what is no script."""
    if not data.startswith(b"#!"):
        return []
    words = data.split(b"\n", 1)[0][2:].decode("utf-8", "replace").split()
    return words[1:] if words[:1] == ["/usr/bin/env"] else words
