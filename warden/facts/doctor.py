# SPDX-License-Identifier: BSD-2-Clause
"""What a doctor asks besides the facts of a plan: who answers, pools, free space, clock, left-overs. One batch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from warden.facts.archive import parse_archive
from warden.facts.base_system import BEGUN
from warden.facts.errors import FactsError
from warden.facts.registry import REGISTRY
from warden.host.command import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from ipaddress import IPv4Address

    from warden.facts.model import Facts, File
    from warden.host.command import Host, Result

GUARDS = "/var/run/warden.guard."
"""What the scripts of pf's guard begin with: each is there as long as it is armed."""
WARDEN = REGISTRY.rpartition("/")[0]
RC_D = "/usr/local/etc/rc.d"

_LIST_LEFT = (
    f"for path in {GUARDS}* {BEGUN}* {WARDEN}/.*.warden {REGISTRY}/.*.warden {RC_D}/.*.warden /etc/.*.warden;"
    ' do test -e "$path" && echo "$path"; done; true'
)
# without fuser it is not known who holds it: that is no answer
_WHO_HAS = 'test ! -e "$1" || /usr/bin/fuser "$1" 2> /dev/null; test $? -lt 126'
_PING_PATIENCE = "2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A ZFS pool: its health as zpool(8) has it, and how full it is, in percent."""

    name: str
    health: str
    capacity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder of the host: permission bits and owner."""

    path: str
    mode: int
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """How a host is, beyond what a plan rests on.

    `clock_ahead` is how many seconds the host's clock is ahead of this machine's, negative where it is behind, and
    None where they were not compared. `pool_trouble` is what `zpool status -x` says of pools that are not well, and
    `free_space` that of / in bytes. `silent` are the addresses of running jails that did not answer, `left` the files
    that an apply which is over does not leave. `lock_holder` is what stands in the lock of an apply that goes on, None
    where it is free. `scripts` are the rc.d scripts of the registered agents.
    """

    clock_ahead: float | None
    pools: tuple[Pool, ...]
    pool_trouble: str
    free_space: int
    silent: frozenset[IPv4Address]
    folders: tuple[Folder, ...]
    left: tuple[str, ...]
    lock_holder: str | None
    scripts: Mapping[str, File]


def read_vitals(host: Host, facts: Facts, *, lock: str, clock: Callable[[], float] | None) -> Vitals:
    """Read them in one round trip that changes nothing. `clock` gives this machine's seconds since the epoch.

    Raises FactsError where an answer is not understood.
    """
    running = [jail for agent in facts.registry.values() for jail in agent.jails.values() if _is_up(jail.name, facts)]
    scripts = [f"{RC_D}/{name}"[1:] for name in sorted(facts.registry)]
    ping = ("/sbin/ping", "-c", "1", "-t", _PING_PATIENCE)
    questions: dict[str, tuple[tuple[str, ...], frozenset[int]]] = {
        # the first one: what is asked before it would count as the clock's difference
        "clock": (("/bin/date", "+%s"), frozenset({0})),
        "pools": (("/sbin/zpool", "list", "-Hp", "-o", "name,health,capacity"), frozenset({0, 1})),
        "pool status": (("/sbin/zpool", "status", "-x"), frozenset({0, 1})),
        "free space": (("/bin/df", "-k", "/"), frozenset({0})),
        "folders": (("/usr/bin/stat", "-f", "%Lp %Su %N", WARDEN, REGISTRY), frozenset({0, 1})),
        "left": (("/bin/sh", "-c", _LIST_LEFT), frozenset({0})),
        "lock": (("/bin/sh", "-c", _WHO_HAS, "sh", lock), frozenset({0})),
        "lock holder": (("/bin/cat", lock), frozenset({0, 1})),
    }
    if scripts:
        questions["scripts"] = (("/usr/bin/tar", "-cf", "-", "-C", "/", *scripts), frozenset({0, 1}))
    commands = [Command(argv=argv) for argv, _ in questions.values()]
    commands += [Command(argv=(*ping, str(jail.address))) for jail in running]
    watch = _Watch(clock)
    answers = host.run(commands, stop_on_error=False, on_result=watch.note)
    results = dict(zip(questions, answers, strict=False))
    for name, (argv, expected) in questions.items():
        if results[name].exit_code not in expected:
            raise FactsError(
                f"cannot read {name}: {' '.join(argv[:4])} exits {results[name].exit_code}:"
                f" {_text(results[name].stderr).strip()}",
                hint="run that command on the host; Warden must be root there",
            )
    pings = answers[len(questions) :]
    tar = results.get("scripts")
    held = _text(results["lock"].stdout).strip()
    return Vitals(
        clock_ahead=watch.ahead(_text(results["clock"].stdout)),
        pools=parse_pools(_text(results["pools"].stdout)),
        pool_trouble=parse_pool_status(results["pool status"]),
        free_space=parse_free_space(_text(results["free space"].stdout)),
        silent=frozenset(jail.address for jail, answer in zip(running, pings, strict=True) if not answer.ok),
        folders=parse_folders(_text(results["folders"].stdout)),
        left=tuple(_text(results["left"].stdout).splitlines()),
        lock_holder=_text(results["lock holder"].stdout).strip() if held else None,
        scripts=parse_archive(tar.stdout, _text(tar.stderr)) if tar is not None else {},
    )


def parse_pools(text: str) -> tuple[Pool, ...]:
    """Give the pools of `zpool list -Hp -o name,health,capacity`."""
    pools = []
    for line in text.splitlines():
        fields = line.split("\t")
        if len(fields) != 3 or not fields[2].isdigit():  # name, health, capacity
            # of a pool that cannot be used at all nothing is counted
            if len(fields) == 3 and fields[2] == "-":
                pools.append(Pool(name=fields[0], health=fields[1], capacity=0))
                continue
            raise FactsError(f"zpool list: a line that is not understood: {line!r}")
        pools.append(Pool(name=fields[0], health=fields[1], capacity=int(fields[2])))
    return tuple(pools)


def parse_pool_status(result: Result) -> str:
    """Give what `zpool status -x` has against a pool, in one line; '' where all are healthy, or there is none."""
    text = _text(result.stdout).strip()
    if text in ("all pools are healthy", "no pools available", ""):
        return ""
    said = re.search(r"^status: (.*(?:\n\t.*)*)", text, re.MULTILINE)
    return " ".join((said[1] if said else text.splitlines()[0]).split())


def parse_free_space(text: str) -> int:
    """Give the bytes that are free on the one filesystem of `df -k`."""
    fields = text.splitlines()[-1].split() if text.strip() else []
    if len(fields) < 6 or not fields[3].lstrip("-").isdigit():  # filesystem, blocks, used, available, capacity, point
        raise FactsError(f"df -k: an answer that is not understood: {text!r}")
    return int(fields[3]) * 1024


def parse_folders(text: str) -> tuple[Folder, ...]:
    """Give the folders of `stat -f '%Lp %Su %N'`."""
    folders = []
    for line in text.splitlines():
        fields = line.split(" ", 2)
        if len(fields) != 3 or not fields[0].isdigit():
            raise FactsError(f"stat: a line that is not understood: {line!r}")
        folders.append(Folder(path=fields[2], mode=int(fields[0], 8), owner=fields[1]))
    return tuple(folders)


class _Watch:
    """Notes between which moments of this machine the host told its time."""

    def __init__(self, clock: Callable[[], float] | None) -> None:
        self._clock = clock
        self._asked = clock() if clock else 0.0
        self._answered: float | None = None

    def note(self, _: Result) -> None:
        if self._answered is None and self._clock:
            self._answered = self._clock()

    def ahead(self, text: str) -> float | None:
        if not text.strip().isdigit():
            raise FactsError(f"date +%s: an answer that is not understood: {text!r}")
        if self._answered is None:
            return None
        told = int(text)
        if told + 1 < self._asked:  # it cuts the fraction off
            return told + 1 - self._asked
        return max(0.0, told - self._answered)


def _is_up(jail: str, facts: Facts) -> bool:
    return jail in facts.running_jails and bool(facts.running_jails[jail].addresses)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
