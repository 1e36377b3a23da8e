# SPDX-License-Identifier: BSD-2-Clause
"""Check that only the doors of `warden/` start processes, open sockets or write files, and that modules stay short.

Run as `python tools/check_doors.py [ROOT]`, where ROOT is the folder that holds `warden/`. It reads names, not values:
it finds what somebody writes who forgot the rule, under any alias, and the usual ways around it. It is no sandbox.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# module -> what it may do -> why. An entry that its module does not use is an error as well, so the table stays true.
DOORS = {
    "warden/host/local.py": {
        "process": "runs the commands of a batch on the machine that Warden itself runs on",
        "file": "what they write goes into files without names, which no daemon that they start keeps open for us",
    },
    "warden/host/ssh_connect.py": {"network": "makes the connection to a host over SSH"},
    "warden/host/ssh_channels.py": {"network": "opens the channels of that connection"},
    "warden/host/ssh.py": {"network": "sends batches over those channels"},
    "warden/host/ssh_target.py": {"network": "has paramiko read ~/.ssh/config"},
    "warden/host/known_hosts.py": {"network": "has paramiko read the keys in known_hosts"},
    "warden/host/fake/store.py": {
        "file": "a fake machine keeps its state in one JSON file, so that the next command meets the same machine",
        "lock": "two commands at once must not each load that state and each save its own",
    },
    "warden/cli/files.py": {"file": "the operator's own files: a first .env, warden.toml, a saved plan"},
}

MAX_LINES = 400

# What is for doors only, by what it does. A dotted name is forbidden when it, or what it starts with, matches whole.
# `os` is turned round, since most of it acts on the machine: what is not known to be harmless is forbidden.
FORBIDDEN = {
    kind: re.compile(pattern, re.VERBOSE)
    for kind, pattern in {
        "process": r"""
            subprocess | _posixsubprocess | pty | multiprocessing | webbrowser
            | sh | plumbum | invoke | pexpect | psutil | libtmux
            | concurrent\.futures\.(ProcessPoolExecutor|process)
            | asyncio\.(create_subprocess_\w+|subprocess) | click\.(launch|edit|echo_via_pager)
            | os\.(system|popen|exec\w+|spawn\w+|posix_spawn\w*|fork\w*|kill\w*|wait\w*|abort|_exit|sets\w+|setp\w+)
        """,
        "network": r"""
            socket | _socket | socketserver | ssl | ftplib | smtplib | poplib | imaplib | nntplib | telnetlib | xmlrpc
            | http\.(client|server) | urllib\.(?!parse$)\w+
            | requests | httpx | urllib3 | aiohttp | websockets | paramiko | fabric | asyncssh | pyroute2
            | asyncio\.(open_\w*connection|start_\w*server|streams) | logging\.handlers
        """,
        "lock": r"fcntl | filelock",
        "code": r"""
            ctypes | _ctypes | cffi | builtins | runpy | posix | nt | imp | code | codeop | pdb
            | importlib\.(?!(resources|metadata)$)\w+ | pkgutil\.(resolve_name|get_loader|find_loader)
            | sys\.(modules|meta_path|path_hooks)
        """,
        "descriptor": r"os\.(read\w*|write\w*|pread\w*|pwrite\w*|close\w*|pipe2?|dup2?|fdopen|fsync|set_blocking)",
        "file": r"""
            shutil | tempfile | fileinput | shelve | dbm | sqlite3
            | (io|codecs|gzip|bz2|lzma)\.(open\w*|FileIO|GzipFile|BZ2File|LZMAFile) | zipfile
            | click\.(open_file|File) | logging\.(FileHandler|config) | tomlkit\.(TOMLFile|toml_file)
            | dotenv\.(main\.)?(un)?set_key
            | pathlib\.\w+\.(replace|rename|open)
            | os\.(?!(
                environ | getenv | getcwd | getpid | getppid | getuid | geteuid | getgid | getlogin | getloadavg | uname
                | fspath | fsencode | fsdecode | PathLike | path | sep | linesep | pathsep | devnull | strerror | isatty
                | stat | lstat | stat_result | scandir | listdir | walk | access | [RWXF]_OK | readlink | urandom
                | get_terminal_size | terminal_size | cpu_count
            )$)\w+
        """,
    }.items()
}

# Methods whose name alone says what they do, whatever the object: pathlib's, and those of an asyncio loop.
METHODS = {
    "file": re.compile(r"write_text|write_bytes|unlink|mkdir|rmdir|touch|symlink_to|hardlink_to|l?chmod|extractall"),
    "process": re.compile(r"subprocess_(exec|shell)"),
    "network": re.compile(r"create_datagram_endpoint|create_unix_(connection|server)"),
}
BUILTINS = {"open": "file", **dict.fromkeys(("eval", "exec", "compile", "__import__", "__builtins__"), "code")}

# Handed around as a value, a module of which a part is forbidden could not be followed any more.
IN_PART = re.compile(
    r"os|sys|io|codecs|asyncio|importlib|pkgutil|http|urllib|concurrent\.futures|click|logging|tomlkit"
)
# Other modules import these; `pathlib.os.system` is `os.system`.
REACHED_THROUGH_OTHERS = {"os", "sys", "io", "subprocess", "socket", "shutil", "tempfile", "builtins", "importlib"}
WRITING_MODE = re.compile(r"(?=.*[wax+])[rwaxbt+]{1,4}([:|]\w*)?")


class Finding(NamedTuple):
    """One use of what only a door may do."""

    line: int
    what: str
    kind: str


def kind_of(dotted: str) -> str | None:
    """Give the kind of door that a dotted name takes, or None where anyone may use it."""
    parts = dotted.split(".")
    starts = [0, *(at for at, part in enumerate(parts) if at and part in REACHED_THROUGH_OTHERS)]
    for start in starts:
        for end in range(start + 1, len(parts) + 1):
            for kind, pattern in FORBIDDEN.items():
                if pattern.fullmatch(".".join(parts[start:end])):
                    return kind
    return None


class Reader(ast.NodeVisitor):
    """Collects the findings of one module; `own` holds the names of all modules of ours."""

    def __init__(self, module: str, *, is_package: bool, own: set[str]) -> None:
        self.findings: list[Finding] = []
        self.aliases: defaultdict[str, set[str]] = defaultdict(set)
        self._package = module if is_package else module.rpartition(".")[0]
        self._own = own

    def read(self, tree: ast.Module) -> list[Finding]:
        """Give the findings in the order of their lines."""
        for node in ast.walk(tree):  # imports first: one inside a function may stand below its use
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._bind(node, alias.name, alias.asname or alias.name.partition(".")[0], whole=bool(alias.asname))
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    dotted = ".".join(part for part in (self._source(node), alias.name) if part)
                    self._bind(node, dotted, alias.asname or alias.name, whole=True)
        self.visit(tree)
        return sorted(set(self.findings))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Check `a.b.c` as one name where `a` is an import, and by the names of its methods else."""
        names: list[str] = []
        root: ast.expr = node
        while isinstance(root, ast.Attribute):
            names.insert(0, root.attr)
            root = root.value
        origins = self.aliases.get(root.id, set()) if isinstance(root, ast.Name) else set()
        for origin in origins:
            self._judge(node, ".".join((origin, *names)))
        if not any(origin.partition(".")[0] == "warden" for origin in origins) and isinstance(node.ctx, ast.Load):
            for name in names:
                self._judge_method(node, name)
        if not origins:
            self.visit(root)

    def visit_Name(self, node: ast.Name) -> None:
        """Check a name that stands by itself: a builtin, or a module that is handed around."""
        origins = self.aliases.get(node.id)
        if origins is None and node.id in BUILTINS:
            self._add(node, node.id, BUILTINS[node.id])
        for origin in origins or ():
            if IN_PART.fullmatch(origin):
                self._add(node, f"{origin}, as a value that can't be followed", "code")

    def visit_Call(self, node: ast.Call) -> None:
        """Check calls that only their arguments tell apart: `open` for reading, `replace` of a str or of a path."""
        function: ast.expr | None = node.func
        one_argument = len(node.args) == 1 and not node.keywords and not isinstance(node.args[0], ast.Starred)
        if isinstance(function, ast.Name) and function.id == "open" and "open" not in self.aliases:
            if not _only_reads(node, position=1):
                self._add(node, "open() for writing, or in a mode that only running it can tell", "file")
            function = None
        elif isinstance(function, ast.Name) and function.id == "getattr" and len(node.args) > 1:
            if isinstance(node.args[1], ast.Constant):
                self._judge_method(node, str(node.args[1].value))
        elif isinstance(function, ast.Attribute) and function.attr == "open":
            if _opens_for_writing(node):
                self._add(node, ".open() for writing", "file")
        elif isinstance(function, ast.Attribute) and function.attr in {"replace", "rename"} and one_argument:
            # str.replace takes two arguments, dataclasses.replace keywords: with one it is pathlib's
            self._add(node, f".{function.attr}() of a path", "file")
        for child in (function, *node.args, *node.keywords):
            if child is not None:
                self.visit(child)

    def _source(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        above = self._package.split(".")
        base = above[: len(above) - node.level + 1]
        return ".".join((*base, node.module) if node.module else base)

    def _bind(self, node: ast.stmt, dotted: str, name: str, *, whole: bool) -> None:
        """Note what a name stands for from here on; one that is forbidden by itself is reported where it comes in."""
        if dotted.endswith(".*") and IN_PART.fullmatch(dotted[:-2]):
            self._add(node, dotted, "code")
        elif not self._judge(node, dotted):
            self.aliases[name].add(dotted if whole else name)
        else:
            self.aliases.setdefault(name, set())

    def _judge(self, node: ast.AST, dotted: str) -> bool:
        """Report a dotted name that is forbidden; one that comes out of a module of ours counts as what it is there."""
        parts = dotted.split(".")
        ours = max((at for at in range(len(parts) + 1) if ".".join(parts[:at]) in self._own), default=0)
        kind = kind_of(".".join(parts[ours:]))
        if kind is not None:
            self._add(node, dotted, kind)
        return kind is not None

    def _judge_method(self, node: ast.AST, name: str) -> None:
        for kind, pattern in METHODS.items():
            if pattern.fullmatch(name):
                self._add(node, f".{name}", kind)

    def _add(self, node: ast.AST, what: str, kind: str) -> None:
        self.findings.append(Finding(getattr(node, "lineno", 1), what, kind))


def _mode(node: ast.Call, position: int) -> ast.expr | None:
    named = [keyword.value for keyword in node.keywords if keyword.arg == "mode"]
    return named[0] if named else (node.args[position] if len(node.args) > position else None)


def _only_reads(node: ast.Call, *, position: int) -> bool:
    if any(isinstance(arg, ast.Starred) for arg in node.args) or any(key.arg is None for key in node.keywords):
        return False
    mode = _mode(node, position)
    return mode is None or (isinstance(mode, ast.Constant) and not WRITING_MODE.fullmatch(str(mode.value)))


def _opens_for_writing(node: ast.Call) -> bool:
    """Judge `x.open(...)` by literal modes only: `Host.open(command)` has the same shape as `path.open(mode)`."""
    if any(key.arg == "mode" and not isinstance(key.value, ast.Constant) for key in node.keywords):
        return True
    modes = [mode for position in (0, 1) if isinstance(mode := _mode(node, position), ast.Constant)]
    return any(isinstance(mode.value, str) and WRITING_MODE.fullmatch(mode.value) for mode in modes)


def check(root: Path, doors: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Give one line `path:line: message` for everything under `root`/warden that breaks the rule."""
    paths = sorted((root / "warden").rglob("*.py"))
    names = {path: _module_name(path.relative_to(root)) for path in paths}
    used: defaultdict[str, set[str]] = defaultdict(set)
    for path in paths:
        where = path.relative_to(root).as_posix()
        text = path.read_text(encoding="utf-8")
        if (lines := text.count("\n")) > MAX_LINES:
            yield f"{where}:{lines}: {lines} lines; a module has {MAX_LINES} at most"
        try:
            tree = ast.parse(text, filename=where)
        except SyntaxError as error:
            yield f"{where}:{error.lineno or 1}: not Python: {error.msg}"
            continue
        reader = Reader(names[path], is_package=path.name == "__init__.py", own=set(names.values()))
        allowed = set(doors.get(where, ()))
        for finding in reader.read(tree):
            used[where].add(finding.kind)
            # a descriptor comes from another call that was allowed, so what is done with it needs no entry of its own
            if finding.kind not in allowed and not (finding.kind == "descriptor" and allowed):
                yield f"{where}:{finding.line}: {finding.what}: only a door may ({finding.kind})"
    yield from _not_needed(doors, used)


def _not_needed(doors: Mapping[str, Mapping[str, str]], used: Mapping[str, Iterable[str]]) -> Iterator[str]:
    for where, kinds in doors.items():
        for kind in kinds:
            if kind not in used.get(where, ()):
                yield f"{where}:1: the table of doors allows {kind} here, and it is not used"


def _module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def main() -> int:
    """Check the tree given, or the one that this file belongs to."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    found = list(check(root, DOORS))
    for line in found:
        print(line)
    if found:
        print("the doors and what each may do: DOORS in tools/check_doors.py", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
