# SPDX-License-Identifier: BSD-2-Clause
"""What Bastille's commands share: bastille.conf, how they speak, and which jails a TARGET means.

Bastille 1.4.4 says what it does on standard error, and ends a refusal with an empty line on standard output.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn

from warden.host.fake.filesystem import FileError
from warden.host.fake.machine import EPOCH
from warden.host.fake.program import Call, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from warden.host.fake.machine import Machine

CONFIG = "/usr/local/etc/bastille/bastille.conf"
DEFAULTS = {
    "bastille_prefix": "/usr/local/bastille",
    "bastille_logsdir": "/var/log/bastille",
    "bastille_resolv_conf": "/etc/resolv.conf",
    "bastille_zfs_enable": "NO",
    "bastille_zfs_zpool": "",
    "bastille_zfs_prefix": "bastille",
    "bastille_zfs_options": "-o compress=on -o atime=off",
    "bastille_network_gateway": "",
    "bastille_network_shared": "",
    "bastille_network_loopback": "bastille0",
    "bastille_template_base": "default/base",
    "bastille_template_thick": "default/thick",
    "bastille_template_clone": "default/clone",
    "bastille_template_thin": "default/thin",
    "bastille_template_vnet": "default/vnet",
    "bastille_template_empty": "",
    "bastille_tzdata": "",
}
"""The values of bastille.conf.sample."""
FOLDERS = ("backups", "cache", "jails", "releases", "templates")
"""What is below the prefix, each with a variable of its own: `bastille_jailsdir`."""

ASSIGNMENT = re.compile(r"""\s*([A-Za-z_][A-Za-z0-9_]*)=("[^"]*"|'[^']*'|[^\s#;]*)""")
VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")
PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")


class EndError(Exception):
    """A command of Bastille ends here, with an exit status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class SkipError(Exception):
    """Nothing more is done for this jail; the command goes on with the next, and in the end exits 0."""


@dataclass
class Run:
    """One command of Bastille at work: where it runs, what bastille.conf says, and what it has said so far."""

    call: Call
    settings: dict[str, str]
    dispatch: Callable[[Call, dict[str, str]], Reply]
    reply: Reply = field(default_factory=Reply)

    @property
    def machine(self) -> Machine:
        """The machine that it runs on."""
        return self.call.machine

    @property
    def jails_dir(self) -> str:
        """The folder with a folder for each jail."""
        return self.settings["bastille_jailsdir"]

    @property
    def releases_dir(self) -> str:
        """The folder with the bootstrapped releases."""
        return self.settings["bastille_releasesdir"]

    @property
    def dataset(self) -> str:
        """The dataset that Bastille has everything below; '' without ZFS."""
        if self.settings["bastille_zfs_enable"].lower() not in ("yes", "true", "on", "1"):
            return ""
        pool, prefix = self.settings["bastille_zfs_zpool"], self.settings["bastille_zfs_prefix"]
        return f"{pool}/{prefix}" if pool else ""

    def jail_dir(self, jail: str) -> str:
        """Give the folder of a jail."""
        return f"{self.jails_dir}/{jail}"

    def info(self, text: str) -> None:
        """Say something on standard error."""
        self.reply.stderr += text.encode("utf-8", "surrogateescape") + b"\n"

    def line(self, text: str) -> None:
        """Say something on standard output."""
        self.reply.stdout += text.encode("utf-8", "surrogateescape") + b"\n"

    def title(self, jail: str) -> None:
        """Say which jail the next lines are about."""
        self.info(f"\n[{jail}]:")

    def exit(self, text: str) -> NoReturn:
        """Refuse: say why, and end with 1."""
        self.info(text)
        self.line("")
        raise EndError(1)

    def skip(self, text: str) -> NoReturn:
        """Say why nothing more is done for this jail."""
        self.info(text)
        raise SkipError

    def usage(self, *lines: str) -> NoReturn:
        """Show how the command is used; what else it shows, the options, was not recorded."""
        raise self.call.unsupported(f"{' '.join(self.call.argv)} (which shows: {lines[0]})")

    def take(self, reply: Reply) -> int:
        """Add what a program said; give its exit status."""
        self.reply.stdout += reply.stdout
        self.reply.stderr += reply.stderr
        return reply.exit_code

    def run(self, *argv: str) -> int:
        """Run a program, whose output is shown; give its exit status."""
        return self.take(self.call.run(*argv))

    def quiet(self, *argv: str) -> Reply:
        """Run a program, whose output is not shown."""
        return self.call.run(*argv)

    def again(self, *args: str) -> int:
        """Run another command of Bastille; give its exit status."""
        inner = replace(self.call, argv=("bastille", *args), stdin=b"", environment=dict(self.call.environment))
        return self.take(self.dispatch(inner, self.settings))

    def text(self, path: str) -> str:
        """Give a file's text; '' where it is not."""
        try:
            return self.machine.files.text(path)
        except FileError:
            return ""

    def write(self, path: str, text: str) -> None:
        """Write a file."""
        self.machine.files.write(path, text.encode("utf-8", "surrogateescape"))

    def each(self, jails: Sequence[str], action: Callable[[str], None]) -> None:
        """Do something for each jail."""
        for jail in jails:
            try:
                action(jail)
            except SkipError:
                continue

    def need_running(self, jail: str, *, auto: bool) -> None:
        """Start a jail that does not run where -a says so, else leave it alone."""
        if jail in self.machine.jails:
            return
        if auto:
            self.again("start", jail)
            return
        self.title(jail)
        self.info("Jail is not running.")
        self.skip("Use [-a|--auto] to auto-start the jail.")


def read_settings(machine: Machine) -> dict[str, str]:
    """Give what bastille.conf says, which sh reads: later values see earlier ones."""
    found = dict(DEFAULTS)
    for name in FOLDERS:
        found[f"bastille_{name}dir"] = ""
    if machine.files.exists(CONFIG):
        for line in machine.files.text(CONFIG).splitlines():
            match = ASSIGNMENT.match(line)
            if match is None:
                continue
            value = match[2].strip("\"'")
            if not match[2].startswith("'"):
                value = VARIABLE.sub(lambda name: found.get(name[1], ""), value)
            found[match[1]] = value
    for name in FOLDERS:
        found[f"bastille_{name}dir"] = found[f"bastille_{name}dir"] or f"{found['bastille_prefix']}/{name}"
    return found


def sample() -> str:
    """Give bastille.conf.sample, as far as it is read here."""
    folders = {f"bastille_{name}dir": f"${{bastille_prefix}}/{name}" for name in FOLDERS}
    lines = (f'{name}="{value}"' for name, value in {**DEFAULTS, **folders}.items())
    return "".join(f"{line:<69} ## default: {line.partition('=')[2]}\n" for line in lines)


def stamp(machine: Machine, form: str = "%Y-%m-%d-%H%M%S") -> str:
    """Give the time as date(1) does."""
    return time.strftime(form, time.gmtime(EPOCH + machine.clock))


def natural(name: str) -> list[tuple[int, int, str]]:
    """Give the key of ls -v: numbers in names by their value."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]


def all_jails(run: Run) -> list[str]:
    """Give the jails that there are: those whose folder has a jail.conf."""
    if not run.machine.files.is_dir(run.jails_dir):
        return []
    found = [name for name, node in run.machine.files.entries(run.jails_dir) if "jail.conf" in node.children]
    return sorted(found, key=natural)


def target(run: Run, wanted: str, *, reverse: bool = False) -> list[str]:
    """Give the jails that a TARGET means, in the order of their priorities.

    Each word of it is a jail's number, its name, the beginning of only one jail's name, or a tag; a word is a
    regular expression too. What is not found is said, and the command exits 1 where nothing is left.
    """
    if wanted.lower() == "all":
        found = all_jails(run)
    else:
        found = [jail for word in wanted.split() for jail in _resolve(run, word)]
    if not found:
        raise EndError(1)
    ranked = [(jail, _priority(run, jail)) for jail in dict.fromkeys(found)]
    # as sort -k2 -n, whose last resort is the whole line; -r turns that round too (session 11)
    ranked.sort(key=lambda pair: (_number(pair[1]), f"{pair[0]} {pair[1]}"), reverse=reverse)
    return [jail for jail, _ in ranked]


def target_single(run: Run, wanted: str) -> str:
    """Give the jail that a TARGET means for commands that take one only."""
    if wanted in ("ALL", "all"):
        run.exit("[all|ALL] not supported with this command.")
    if len(wanted.split()) > 1:
        run.exit("Error: Command only supports a single TARGET.")
    if _exists(run, wanted):
        return wanted
    if wanted.isdigit():
        name = _by_number(run, wanted)
        return name or run.exit(f'Error: JID "{wanted}" not found. Is jail running?')
    fitting = _fitting(run, f"^{wanted}")
    if len(fitting) > 1:
        run.info("Multiple jails found for {}:\n{}".format(wanted, "\n".join(fitting)))
        run.line("")
        raise EndError(1)
    return fitting[0] if fitting else run.exit(f'Jail not found "{wanted}"')


def set_defaults(run: Run, jail: str) -> str:
    """Write what settings.conf lacks, as every command that has a target does; give the file's name."""
    path = f"{run.jail_dir(jail)}/settings.conf"
    folder = run.machine.files.lookup(run.jail_dir(jail))
    present = folder.children if folder is not None else {}
    if "boot.conf" in present:
        run.machine.files.remove(f"{run.jail_dir(jail)}/boot.conf")
    data = present["settings.conf"].data if "settings.conf" in present else b""
    for name, value in (("boot", "on"), ("depend", ""), ("priority", "99")):
        if f"{name}=".encode() not in data:
            run.quiet("sysrc", "-f", path, f"{name}={value}")
    return path


def setting(run: Run, jail: str, name: str) -> str:
    """Give a value of a jail's settings.conf; '' where it is not said."""
    return setting_in(run.text(f"{run.jail_dir(jail)}/settings.conf"), name) or ""


def setting_in(text: str, name: str) -> str | None:
    """Give a value of an rc.conf-like text, the last one; None where it is not said."""
    value = None
    for line in text.splitlines():
        match = ASSIGNMENT.match(line)
        if match is not None and match[1] == name:
            value = match[2].strip("\"'")
    return value


def flags_of(run: Run, args: Sequence[str], known: dict[str, str]) -> tuple[set[str], list[str]]:
    """Read a command's flags, long ones and bundled letters; `known` has the letter for each long name."""
    given: set[str] = set()
    words = list(args)
    while words and words[0].startswith("-"):
        word = words.pop(0)
        if word in ("-h", "--help"):
            run.usage("usage")
        if word.startswith("--"):
            if word[2:] not in known:
                run.exit(f'[ERROR]: Unknown Option: "{word}"')
            given.add(known[word[2:]])
            continue
        for letter in word.replace("-", ""):
            if letter not in known.values():
                run.exit(f'[ERROR]: Unknown Option: "{word}"')
            given.add(letter)
    return given, words


def _resolve(run: Run, word: str) -> list[str]:
    try:
        if word.isdigit() and not run.machine.files.is_dir(run.jail_dir(word)):
            name = _by_number(run, word)
            return [name or run.skip(f'Error: JID "{word}" not found. Is jail running?')]
        if _exists(run, word):
            return [word]
        fitting = _fitting(run, f"^{word}")
        if len(fitting) == 1:
            return fitting
        if fitting:
            run.skip("Multiple jails found for {}:\n{}".format(word, "\n".join(fitting)))
        tagged = _tagged(run, word)
        return tagged or run.skip(f'Jail not found "{word}"')
    except SkipError:
        return []


def _exists(run: Run, word: str) -> bool:
    if PLAIN_NAME.fullmatch(word):
        return run.machine.files.exists(f"{run.jail_dir(word)}/jail.conf")
    if _fitting(run, f"^{word}$"):
        # the pattern, not the jail, is then what the command goes on with
        raise run.call.unsupported()
    return False


def _fitting(run: Run, pattern: str) -> list[str]:
    try:
        wanted = re.compile(pattern)
    except re.error:
        raise run.call.unsupported() from None
    return [jail for jail in all_jails(run) if wanted.search(jail)]


def _tagged(run: Run, tag: str) -> list[str]:
    wanted = re.compile(rf"(?<!\w){re.escape(tag)}(?!\w)")
    return [jail for jail in all_jails(run) if wanted.search(run.text(f"{run.jail_dir(jail)}/tags"))]


def _by_number(run: Run, number: str) -> str:
    return next((jail.name for jail in run.machine.jails.values() if jail.jid == int(number)), "")


def _priority(run: Run, jail: str) -> str:
    return setting_in(run.text(set_defaults(run, jail)), "priority") or ""


def _number(text: str) -> float:
    match = re.match(r"\s*-?[0-9]+(?:\.[0-9]+)?", text)
    return float(match[0]) if match else 0.0
