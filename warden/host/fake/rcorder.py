# SPDX-License-Identifier: BSD-2-Clause
"""rcorder(8), and the order in which /etc/rc runs the scripts."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from getopt import GetoptError, getopt
from typing import TYPE_CHECKING

from warden.host.fake.filesystem import FileError
from warden.host.fake.program import Call, Reply, program, say

if TYPE_CHECKING:
    from collections.abc import Sequence

BASE_ORDER = [
    "hostid",
    "hostid_save",
    "root",
    "FILESYSTEMS",
    "zfsbe",
    "zpool",
    "var_run",
    "kldxref",
    "kld",
    "zpoolupgrade",
    "zpoolreguid",
    "zvol",
    "devmatch",
    "zfs",
    "mountcritlocal",
    "cleanvar",
    "sysctl",
    "rctl",
    "ip6addrctl",
    "devfs",
    "hostname",
    "netif",
    "bridge",
    "resolv",
    "routing",
    "devd",
    "pf",
    "mountcritremote",
    "os-release",
    "NETWORKING",
    "netwait",
    "cleartmp",
    "virecover",
    "dmesg",
    "newsyslog",
    "gptboot",
    "motd",
    "syslogd",
    "savecore",
    "SERVERS",
    "DAEMON",
    "utx",
    "LOGIN",
    "sshd",
    "cron",
    "local",
    "syscons",
    "bgfsck",
    "jail",
    "securelevel",
]
"""FreeBSD's own scripts that matter here, in the order of a boot (sessions 06 and 17)."""
STEP = 100
"""The places between two of them, for local scripts that have to come between."""
BASE_PLACES = {name: place * STEP for place, name in enumerate(BASE_ORDER, start=1)}


@dataclass(slots=True)
class Script:
    """What the head of an rc.d script says: what it provides, what comes before it, what after it."""

    path: str
    provides: list[str] = field(default_factory=list)
    requires: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    keywords: list[str] = field(default_factory=list)


PACKAGED = {
    "/usr/local/etc/rc.d/bastille": "# PROVIDE: bastille\n# REQUIRE: securelevel\n# KEYWORD: shutdown\n",
    "/usr/local/etc/rc.d/vm": "# PROVIDE: vm\n# REQUIRE: SERVERS\n# BEFORE: LOGIN\n# KEYWORD: shutdown nojail\n",
}
"""The heads of scripts that come with packages, whose text the fake machine does not have."""


@lru_cache(maxsize=2048)
def parse_head(path: str, text: str) -> Script:
    """Read the comment lines of a script's head."""
    script = Script(path)
    text = text or PACKAGED.get(path, "")
    lists = {"PROVIDE": script.provides, "REQUIRE": script.requires, "BEFORE": script.before}
    lists |= {"KEYWORD": script.keywords, "PROVIDES": script.provides, "REQUIRES": script.requires}
    for line in text.splitlines():
        if line.startswith("#"):
            name, colon, words = line.lstrip("# \t").partition(":")
            if colon and name in lists:
                lists[name] += words.split()
    return script


def order(scripts: Sequence[Script], *, with_base: bool = False) -> tuple[list[Script], list[str]]:
    """Put scripts in order, each after all that it requires; gives also what is wrong with them.

    Scripts that may come at the same time come in the reverse of the order given (sessions 06 and 17). With
    `with_base`, what FreeBSD's own scripts provide counts as provided although they are not among the scripts.
    """
    graph = Graph(scripts, with_base=with_base)
    ordered = list(scripts)
    ordered.reverse()
    ordered.sort(key=graph.place)
    return ordered, graph.problems


class Graph:
    """What the scripts need of each other, and the place that follows for each."""

    def __init__(self, scripts: Sequence[Script], *, with_base: bool) -> None:
        self.base = BASE_PLACES if with_base else {}
        self.problems: list[str] = []
        self.places: dict[str, int] = {}
        self.under_way: set[str] = set()
        self.providers: dict[str, list[Script]] = {}
        for script in scripts:
            for name in script.provides:
                self.providers.setdefault(name, []).append(script)
        self.needs = {script.path: [*script.requires] for script in scripts}
        for script in scripts:
            for name in script.before:
                for later in self.providers.get(name, []):
                    self.needs[later.path] += script.provides

    def place(self, script: Script) -> int:
        """Give a script's place: behind all that it needs."""
        if script.path in self.places:
            return self.places[script.path]
        if script.path in self.under_way:
            self.problems.append(f"Circular dependency on file `{script.path}'.")
            return 0
        self.under_way.add(script.path)
        found = base_place(script)
        for name in reversed(self.needs[script.path]):
            found = max(found, self.behind(name, script))
        self.places[script.path] = found
        return found

    def behind(self, name: str, script: Script) -> int:
        """Give the first place behind whatever provides a name that a script needs."""
        if name in self.base:
            return self.base[name] + 1
        if name not in self.providers:
            self.problems.append(f"requirement `{name}' in file `{script.path}' has no providers.")
        return max((self.place(earlier) + 1 for earlier in self.providers.get(name, [])), default=0)


def base_place(script: Script) -> int:
    """Give the place of one of FreeBSD's own scripts; 0 for any other."""
    folder, _, name = script.path.rpartition("/")
    return BASE_PLACES.get(name, 0) if folder == "/etc/rc.d" else 0


@program("/sbin/rcorder", "rcorder [-k KEYWORD]... [-s KEYWORD]... FILE...")
def rcorder(call: Call) -> Reply:
    """Print files in the order in which they are to run."""
    try:
        options, names = getopt(list(call.args), "k:s:")
    except GetoptError:
        raise call.unsupported() from None
    scripts = []
    for name in names:
        try:
            scripts.append(parse_head(name, call.files.text(call.path(name), root=call.root)))
        except FileError as failure:
            return say(error=f"rcorder: could not open {name}: {failure.reason}\n", status=1)
    ordered, problems = order(scripts)
    keep = {value for name, value in options if name == "-k"}
    skip = {value for name, value in options if name == "-s"}
    chosen = [
        script.path
        for script in ordered
        if not skip & set(script.keywords) and (not keep or keep & set(script.keywords))
    ]
    error = "".join(f"rcorder: {problem}\n" for problem in problems)
    return say("".join(f"{path}\n" for path in chosen), error=error, status=1 if problems else 0)
