# SPDX-License-Identifier: BSD-2-Clause
"""sysrc(8), a shell script on the real machine: what it does to rc.conf is awk, down to its defects (session 02)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from warden.host.fake import rcconf
from warden.host.fake.filesystem import FileError
from warden.host.fake.jls import find_jail
from warden.host.fake.options import getopt
from warden.host.fake.program import Call, Reply, program, say
from warden.host.fake.rc_defaults import DESCRIPTIONS
from warden.host.fake.room import ENOSPC

if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE = (
    "Usage: sysrc [OPTIONS] {name[[+|-]=value] ...|-a|-A|-l|-L [name ...]}\nTry `sysrc --help' for more information.\n"
)
_BAD_NAME = re.compile(r"[^0-9A-Za-z_]")


@dataclass(slots=True)
class Sysrc:
    """One run of sysrc: its options, and the files that it reads and edits."""

    call: Call
    root: str
    flags: dict[str, list[str]]
    files: list[str] | None = None
    """The files of `-f`, or with `-s` those of the service too; None for those that rc_conf_files names."""
    errors: list[str] = field(default_factory=list)
    status: int = 0
    read: dict[bool, dict[str, str]] = field(default_factory=dict)
    """The variables in effect, with or without the defaults, as long as nothing is written."""
    defaults: dict[str, str] | None = None

    def has(self, flag: str) -> bool:
        return flag in self.flags

    def variables(self, *, defaults: bool = True) -> dict[str, str]:
        """Give the variables in effect, with or without those of /etc/defaults/rc.conf."""
        if defaults not in self.read:
            variables = self.read_defaults() if defaults else {}
            for path in self.conf_files():
                rcconf.source(self.call.machine, self.root, path, variables)
            self.read[defaults] = variables
        return self.read[defaults]

    def conf_files(self) -> list[str]:
        if self.files is None:
            self.files = self.read_defaults()["rc_conf_files"].split()
        return self.files

    def read_defaults(self) -> dict[str, str]:
        """Give a copy of the variables of /etc/defaults/rc.conf, which is read once."""
        if self.defaults is None:
            self.defaults = rcconf.read_defaults(self.call.machine, self.root)
        return dict(self.defaults)

    def get(self, name: str) -> str | None:
        """Give what `${name}` comes to, None where it is not set: `name` may hold any operator of sh (session 02)."""
        if not name or name[0].isdigit():
            return None
        if not _BAD_NAME.search(name):
            return self.variables().get(name, "").rstrip("\n")
        try:  # an operator may assign, to a variable of the shell that sysrc asks in
            return rcconf.expand(rcconf.parse_expansion(name), dict(self.variables())).rstrip("\n")
        except rcconf.UnsetError:
            return None

    def find(self, name: str) -> str:
        """Give the last file that assigns to a variable, '' for none."""
        wanted = f"{name}="
        for path in [*reversed(self.conf_files()), rcconf.DEFAULTS_FILE]:
            text = self.text(path)
            # most names are nowhere in a file, which the first comparison tells in no time
            if wanted in text and any(wanted in line and _assigns(line, name) for line in text.split("\n")):
                return path
        return ""

    def text(self, path: str) -> str:
        """Give a file's text; '' where there is none."""
        node = self.call.files.lookup(path, root=self.root)
        return node.data.decode("utf-8", "surrogateescape") if node is not None else ""

    def fail(self, message: str = "") -> None:
        self.status = 1
        if message:
            self.errors.append(f"{message}\n")

    def set(self, name: str, value: str) -> bool:
        """Assign a value in the file that assigns to the variable last, or at the end of the first file."""
        path = self.find(name)
        if path in ("", rcconf.DEFAULTS_FILE):
            return self._append(self.conf_files()[0], name, value)
        lines = self.text(path).split("\n")
        if lines[-1] == "":
            lines.pop()
        last = max(number for number, line in enumerate(lines) if _assigns(line, name))
        lines[last], understood = _replaced(lines[last], name, _awk_string(self.call, value))
        while lines and not lines[0]:
            lines.pop(0)
        text = "".join(f"{line}\n" for line in lines)
        return self._put(path, text if understood else f'{text}{name}="{value}"\n')

    def delete(self, name: str) -> bool:
        """Take every line away that assigns to a variable, which of a value with a newline is only the first."""
        for path in self.conf_files():
            if self.call.files.lookup(path, root=self.root) is None:
                continue
            lines = self.text(path).splitlines(keepends=True)
            kept = [line for line in lines if not _assigns(line, name)]
            if len(kept) < len(lines) and not self._put(path, "".join(kept)):
                return False
        return True

    def _append(self, path: str, name: str, value: str) -> bool:
        self.read.clear()
        try:
            self.call.files.write(path, _bytes(f'{name}="{value}"\n'), root=self.root, append=True)
        except FileError as failure:
            self.fail(f"/usr/sbin/sysrc: cannot create {path}: {failure.reason}")
            return False
        return True

    def _put(self, path: str, text: str) -> bool:
        """Put a file in place of the old one, which keeps its owner and mode, unless sh could not read it."""
        self.read.clear()
        try:
            rcconf.check(text)
        except rcconf.RcSyntaxError:
            self.fail(f"sysrc: Not overwriting `{path}' due to previous syntax errors")
            return False
        files = self.call.files
        if files.full:
            # it is written below /tmp first, so the old one stays
            raise FileError("/tmp/sysrc.XXXXXXXX", ENOSPC)
        old = files.node(path, root=self.root)
        files.refuse_full(path, self.root, len(_bytes(text)) - len(old.data))
        mode, uid, gid = old.mode, old.uid, old.gid
        files.remove(path, root=self.root)
        files.write(path, _bytes(text), root=self.root, mode=mode, uid=uid, gid=gid)
        return True


@program(
    "/usr/sbin/sysrc",
    "sysrc [-cdDeFinNqvx] [-f FILE]... [-s SERVICE] [-j JAIL | -R DIR] NAME[[+|-]=VALUE]...",
    "sysrc -a | -A [-deFnNv] [-f FILE]...",
    "sysrc -l",
)
def sysrc(call: Call) -> Reply:
    """Read and change rc.conf."""
    flags, names, wrong = getopt(call.args, "aAcdDeEf:Fhij:lLnNqR:s:vxX")
    if "--help" in call.args or "--version" in call.args or flags.keys() & {"E", "L", "X"}:
        raise call.unsupported()
    if not call.args or wrong or "h" in flags:
        error = f"Illegal option -{wrong[-1]}\n" if wrong else ""
        return say(error=error + USAGE, status=1)
    root = _root(call, flags)
    if isinstance(root, Reply):
        return root
    run = Sysrc(call, root, flags)
    if "f" in flags:
        run.files = [call.path(path) for path in flags["f"]]
    elif "D" in flags:
        run.files = []
    elif "s" in flags:
        service = flags["s"][0]
        run.files = [*run.conf_files(), f"/etc/rc.conf.d/{service}", f"/usr/local/etc/rc.conf.d/{service}"]
    return _main(run, names)


def _root(call: Call, flags: dict[str, list[str]]) -> str | Reply:
    """Give the folder that the files are in: the caller's own root, a jail's for `-j`, a folder's for `-R`."""
    if "j" in flags:
        wanted = flags["j"][0]
        jail = None if call.jail else find_jail(call.machine, wanted)
        return jail.path if jail is not None else say(error=f'jexec: jail "{wanted}" not found\n', status=1)
    if "R" in flags:
        folder = flags["R"][0]
        if not call.files.is_dir(call.path(folder), root=call.root):
            return say(error=f"chroot: {folder}: No such file or directory\n", status=1)
        return call.files.real_path(call.path(folder), root=call.root)
    return call.root


def _main(run: Sysrc, names: Sequence[str]) -> Reply:
    for argument in names:
        name = re.sub(r"[%#+=-].*", "", re.sub(r":[+=-].*", "", argument, flags=re.DOTALL), flags=re.DOTALL)
        if _BAD_NAME.search(name):
            return say(error=f"sysrc: {name}: name contains characters not allowed in shell\n", status=1)
    show_all = run.has("a") or run.has("A")
    if (run.has("l") and names) or not (names or show_all or run.has("l")):
        return say(error=USAGE, status=1)
    if run.has("l"):
        return say(f"{rcconf.DEFAULTS_FILE if run.has('D') else ' '.join(run.conf_files())}\n")
    try:
        run.variables()
    except rcconf.RcSyntaxError:
        return say(error="sysrc: Exiting due to previous syntax errors\n", status=1)
    if show_all:
        return _all(run)
    text = "".join(_change(run, argument) if "=" in argument else _query(run, argument) for argument in names)
    return say(text, error="".join(run.errors), status=run.status)


def _all(run: Sysrc) -> Reply:
    """List the variables that are set, by name, or with `-A` the defaults too."""
    for flag in "xc":
        if run.has(flag):
            hint = " (use `-X' to override)" if flag == "x" else ""
            return say(error=f"sysrc: `-{flag}' option incompatible with `-a'/`-A' options{hint}\n", status=1)
    variables = run.variables(defaults=run.has("A"))
    return say("".join(_show(run, name) for name in sorted(variables)))


def _show(run: Sysrc, name: str) -> str:
    if run.has("d"):
        return _describe(run, name)
    named = "" if run.has("n") and not run.has("N") else name
    if run.has("F"):
        return f"{named}{': ' if named else ''}{run.find(name)}\n"
    equals = run.has("e") and bool(named) and not run.has("N")
    found = ""
    if run.has("v") and not _last(run, "v", "q"):
        found = f": {run.find(name)}; " if equals else f"{run.find(name)}: "
    if run.has("N"):
        return f"{found}{name}\n"
    value = run.get(name) or ""
    if equals:
        return f'{found}{name}="{value}"\n'
    return f"{found}{named}{': ' if named else ''}{value}\n"


def _query(run: Sysrc, name: str) -> str:
    text = _describe(run, name) if run.has("d") else ""
    if run.get(f"{name}?") is None:
        run.fail("" if run.has("i") or run.has("q") else f"sysrc: unknown variable '{name}'")
        return text
    if run.has("c") or run.has("d"):
        return text
    if run.has("x"):
        run.status = run.status if run.delete(name) else 1
        return text
    return text + _show(run, name)


def _change(run: Sysrc, argument: str) -> str:
    name, _, value = argument.partition("=")
    kind = name[-1] if name.endswith(("+", "-")) else ""
    name = name[: len(name) - len(kind)]
    text = _describe(run, name) if run.has("d") else ""
    verbose = run.has("v") and not run.has("q")
    if verbose and not run.has("c"):
        path = run.find(name)
        path = path if path not in ("", rcconf.DEFAULTS_FILE) else run.conf_files()[0]
        text += f": {path}; " if run.has("e") else f"{path}: "
    if run.has("x"):
        run.status = run.status if run.delete(name) else 1
        return text
    before = run.get(name) or ""
    new = {"": value, "+": _added(before, value), "-": _taken(before, value)}[kind]
    if run.has("c"):
        return text + _check(run, name, before, new, verbose=verbose)
    if run.has("F"):
        before = run.find(name)
    if run.has("N"):
        text += f"{name}\n"
    if not run.set(name, new):
        run.fail()
        return text
    after = run.find(name) if run.has("F") else run.get(name) or ""
    if run.has("N"):
        return text
    return text + _changed(run, name, before, after)


def _changed(run: Sysrc, name: str, before: str, after: str) -> str:
    if run.has("n"):
        return f"{before} -> {after}\n"
    if run.has("e") and not run.has("F"):
        return f'{name}="{before}" # -> "{after}"\n'
    return f"{name}: {before} -> {after}\n"


def _check(run: Sysrc, name: str, before: str, new: str, *, verbose: bool) -> str:
    if run.get(f"{name}?") is None:
        run.fail()
        return f"{name}: not currently set\n" if verbose else ""
    if new != before:
        run.fail()
        return f"{run.find(name)}: {name}: would change from `{before}' to `{new}'\n" if verbose else ""
    return f"{run.find(name)}: {name}: already set to `{before}'\n" if verbose else ""


def _describe(run: Sysrc, name: str) -> str:
    if name in rcconf.DEFAULTS and name not in DESCRIPTIONS:
        raise run.call.unsupported()
    return f"{name}: {DESCRIPTIONS.get(name, '')}\n"


def _delimiter(words: str) -> str:
    """Give what separates the words of `+=` and `-=`: their first character, unless it belongs to a word."""
    first = words[:1]
    return " " if not first or first.isspace() or re.match(r"[a-zA-Z0-9./]", first) else first


def _split(text: str, delimiter: str) -> list[str]:
    return text.split() if delimiter == " " else [word for word in text.split(delimiter) if word]


def _added(before: str, words: str) -> str:
    delimiter = _delimiter(words)
    present = _split(before, delimiter)
    new = before + "".join(f"{delimiter}{word}" for word in _split(words, delimiter) if word not in present)
    return new.removeprefix(delimiter)


def _taken(before: str, words: str) -> str:
    delimiter = _delimiter(words)
    gone = _split(words, delimiter)
    return delimiter.join(word for word in _split(before, delimiter) if word not in gone)


def _assigns(line: str, name: str) -> bool:
    return line.lstrip(" \t\r\f\v").startswith(f"{name}=")


def _replaced(line: str, name: str, value: str) -> tuple[str, bool]:
    """Give a line with another value, in the quotes of the old one, and whether the old value was understood."""
    start = line.index(f"{name}=") + len(name) + 1
    before, old = line[:start], line[start:]
    quote = old[:1]
    if not quote:
        return f"{before}{value}", True
    if quote in {"`", "$", "\\"}:
        return line, False
    if quote in {"'", '"'}:
        return f"{before}{quote}{value}{old[_closing(old) :]}", True
    length = 0 if quote == ";" or quote.isspace() else len(old.split(maxsplit=1)[0])
    return f'{before}"{value}"{old[length:]}', True


def _closing(old: str) -> int:
    """Give where the quote stands that is held to end a quoted value, or the end of the line where none does.

    In double quotes one behind two backslashes is held to be a part of the value, whatever stands before it, and one
    behind a single backslash to be the end (session 02).
    """
    inside = old.rfind('\\\\"') if old[0] == '"' else -1
    end = old.find(old[0], inside + 3 if inside >= 0 else 1)
    return end if end >= 0 else len(old)


def _awk_string(call: Call, value: str) -> str:
    """Give what awk makes of `-v new_value=VALUE`: it reads backslashes in it."""
    if "\n" in value:
        raise call.unsupported("sysrc: a value with a newline for a variable that is set already")
    escapes = dict(zip('\\"/ntbfrva', '\\"/\n\t\b\f\r\v\a', strict=True))
    return re.sub(r"\\(.)", lambda match: escapes.get(match[1], match[0]), value)


def _last(run: Sysrc, first: str, second: str) -> bool:
    """Tell whether of two flags that undo each other the second came last."""
    order = "".join(word for word in run.call.args if word.startswith("-"))
    return order.rfind(second) > order.rfind(first)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
