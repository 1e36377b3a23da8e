# SPDX-License-Identifier: BSD-2-Clause
"""What a host has below the agents: kernel modules, packages, Bastille's storage, pf. Read in one batch.

Every question can be answered by a FreeBSD installation with nothing added: no pkg, no Bastille, no pf, no pool.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from warden.facts.archive import parse_archive
from warden.facts.errors import FactsError, UnfitHostError
from warden.facts.jails import LIST_BASTILLE, parse_bastille
from warden.facts.pfctl import parse_rules, parse_status
from warden.facts.sysrc import parse_sysrc
from warden.facts.zfs import AGENT_PROPERTY, parse_datasets
from warden.host.command import Command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warden.facts.model import BastilleJail, Dataset, File
    from warden.host.command import Host, Result

MODULES = ("pf", "if_bridge", "if_epair", "nullfs")
"""The kernel modules that agents need, in the order in which they are loaded."""
PROGRAMS = ("bastille", "tmux", "git")
"""The programs of packages that agents need, each by its name in /usr/local/bin, which is the package's too."""

LOADER_CONF = "/boot/loader.conf"
BASTILLE_CONF = "/usr/local/etc/bastille/bastille.conf"
PF_CONF = "/etc/pf.conf"
BASTILLE = "/usr/local/bastille"
BEGUN = "/usr/local/etc/warden/bootstrapping-"
"""What the file begins with that stands on the host while a release is bootstrapped, and after that was cut off."""

_LIST_MODULES = 'for module in "$@"; do /sbin/kldstat -q -m "$module" && echo "$module"; done; true'
_LIST_PACKAGES = "/usr/sbin/pkg -N >/dev/null 2>&1 || exit 3; exec /usr/sbin/pkg query %n"
"""Without the first part `pkg query` could begin to install pkg, where ASSUME_ALWAYS_YES is set."""
_LIST_PROGRAMS = 'for name in "$@"; do test -x "/usr/local/bin/$name" && echo "$name"; done; true'
_LIST_RELEASES = (
    f'for release in {BASTILLE}/releases/*; do test -e "$release/COPYRIGHT" && echo "${{release##*/}}"; done; true'
)
_LIST_BEGUN = f'for mark in {BEGUN}*; do test -e "$mark" && echo "${{mark#{BEGUN}}}"; done; true'
_LIST_LINKS = 'for path in "$@"; do test -L "$path" && echo "$path"; done; true'
_NO_PKG = 3

_QUESTIONS: dict[str, tuple[tuple[str, ...], frozenset[int]]] = {
    "release": (("/bin/freebsd-version",), frozenset({0})),
    "user": (("/usr/bin/id", "-u"), frozenset({0})),
    "rc.conf": (("/usr/sbin/sysrc", "-ae"), frozenset({0})),
    "modules": (("/bin/sh", "-c", _LIST_MODULES, "sh", *MODULES), frozenset({0})),
    "racct": (("/sbin/sysctl", "-n", "kern.racct.enable"), frozenset({0, 1})),
    "packages": (("/bin/sh", "-c", _LIST_PACKAGES), frozenset({0, _NO_PKG})),
    "programs": (("/bin/sh", "-c", _LIST_PROGRAMS, "sh", *PROGRAMS), frozenset({0})),
    "pools": (("/sbin/zpool", "list", "-Hp", "-o", "name"), frozenset({0, 1})),
    "datasets": (
        (
            *("/sbin/zfs", "get", "-Hp", "-t", "filesystem"),
            *("-o", "name,property,value,source", f"mountpoint,{AGENT_PROPERTY}"),
        ),
        frozenset({0, 1}),
    ),
    "bastille jails": (("/bin/sh", "-c", LIST_BASTILLE), frozenset({0})),
    "releases": (("/bin/sh", "-c", _LIST_RELEASES), frozenset({0})),
    "begun": (("/bin/sh", "-c", _LIST_BEGUN), frozenset({0})),
    "pf status": (("/sbin/pfctl", "-s", "info"), frozenset({0, 1})),
    "pf rules": (("/sbin/pfctl", "-sr"), frozenset({0, 1})),
    "pf check": (("/sbin/pfctl", "-nf", PF_CONF), frozenset({0, 1})),
    "links": (("/bin/sh", "-c", _LIST_LINKS, "sh", LOADER_CONF, BASTILLE_CONF, PF_CONF), frozenset({0})),
    "files": (
        (
            *("/usr/bin/tar", "-cf", "-", "-C", "/", "boot/loader.conf", "boot/loader.conf.d"),
            *("boot/loader.conf.local", PF_CONF[1:], BASTILLE_CONF[1:]),
        ),
        frozenset({0, 1}),
    ),
}

_NUMBER = re.compile(r"^(\d+)\.(\d+)-")
_LOADER_LINE = re.compile(r'^[ \t]*([A-Za-z0-9_.]+)[ \t]*=[ \t]*"?([^"\n]*?)"?[ \t]*(#.*)?$', re.MULTILINE)
_CONF_LINE = re.compile(r"""^[ \t]*([A-Za-z_][A-Za-z0-9_]*)=("[^"\n]*"|'[^'\n]*'|[^\s#;]*)""", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseSystem:
    """A host before agents come to it.

    `version` is the release's number, (15, 1). `modules` and `programs` are those of MODULES and PROGRAMS that are
    there, `packages` is None where pkg is not installed, `racct` None where the kernel has no such thing.
    `releases` are those that Bastille has unpacked; the ones in `begun` may lack files, or be missing altogether.
    `pf_enabled` is None where the module is not loaded, and `pf_complaint` what pfctl(8) has against the rules that
    are there: '' for nothing, None where it could not be asked.
    """

    address: str
    release: str
    version: tuple[int, int]
    rc_conf: Mapping[str, str]
    modules: frozenset[str]
    racct: bool | None
    packages: frozenset[str] | None
    programs: frozenset[str]
    pools: tuple[str, ...]
    datasets: Mapping[str, Dataset]
    bastille_jails: Mapping[str, BastilleJail]
    releases: frozenset[str]
    begun: frozenset[str]
    pf_enabled: bool | None
    pf_rules: tuple[str, ...]
    pf_complaint: str | None
    files: Mapping[str, File]
    links: frozenset[str]
    digest: str


def read_base_system(host: Host) -> BaseSystem:
    """Read a host in one round trip; raises FactsError where it is no FreeBSD, or an answer is not understood."""
    commands = [Command(argv=argv) for argv, _ in _QUESTIONS.values()]
    results = dict(zip(_QUESTIONS, host.run(commands, stop_on_error=False), strict=True))
    number = _NUMBER.match(_text(results["release"].stdout)) if results["release"].ok else None
    if number is None:
        raise UnfitHostError(
            f"{host.address} is no FreeBSD host: {commands[0]} exits {results['release'].exit_code}",
            hint="Warden manages FreeBSD 14 and 15; try `--host fake:demo.json?profile=bare` for one to rehearse on",
        )
    if results["user"].stdout.strip() != b"0":
        raise UnfitHostError(f"Warden is not root on {host.address}", hint="run it as root: doas warden, sudo warden")
    for name, (argv, answers) in _QUESTIONS.items():
        if results[name].exit_code not in answers:
            said = _text(results[name].stderr).strip()
            raise FactsError(
                f"cannot read {name}: {' '.join(argv[:4])} exits {results[name].exit_code}: {said}",
                hint="run that command on the host; Warden must be root there",
            )
    return _base_system(host.address, (int(number[1]), int(number[2])), results)


def parse_loader_conf(text: str) -> dict[str, str]:
    """Give what a loader.conf(5) sets; the last assignment of a name counts, as the loader has it."""
    return {found[1]: found[2] for found in _LOADER_LINE.finditer(text)}


def parse_bastille_conf(text: str) -> dict[str, str]:
    """Give the variables of bastille.conf, which sh reads; those that name others are given as they stand."""
    return {found[1]: found[2].strip("\"'") for found in _CONF_LINE.finditer(text)}


def _base_system(address: str, version: tuple[int, int], results: Mapping[str, Result]) -> BaseSystem:
    out = {name: "" if name == "files" else _text(result.stdout) for name, result in results.items()}
    racct = results["racct"]
    return BaseSystem(
        address=address,
        release=out["release"].strip(),
        version=version,
        rc_conf=parse_sysrc(out["rc.conf"]),
        modules=frozenset(out["modules"].split()),
        racct=out["racct"].strip() == "1" if racct.ok else None,
        packages=frozenset(out["packages"].split()) if results["packages"].ok else None,
        programs=frozenset(out["programs"].split()),
        pools=tuple(sorted(out["pools"].split())),
        datasets=parse_datasets(out["datasets"]),
        bastille_jails=parse_bastille(out["bastille jails"]),
        releases=frozenset(out["releases"].split()),
        begun=frozenset(out["begun"].split()),
        pf_enabled=_pf_enabled(results["pf status"]),
        pf_rules=parse_rules(out["pf rules"]),
        pf_complaint=_pf_complaint(results["pf check"]),
        files=parse_archive(results["files"].stdout, _text(results["files"].stderr)),
        links=frozenset(out["links"].split()),
        digest=_digest(results),
    )


def _pf_enabled(status: Result) -> bool | None:
    if status.ok:
        return parse_status(_text(status.stdout))
    said = _text(status.stderr).strip()
    if "No such file or directory" not in said:
        raise FactsError(f"pfctl: the status of pf cannot be read: {said}", hint="pfctl -s info, on the host")
    return None  # /dev/pf comes with the module


def _pf_complaint(check: Result) -> str | None:
    if check.ok:
        return ""
    said = _text(check.stderr).strip()
    # without the module pfctl may have nothing to do with the file at all
    return said if PF_CONF in said else None


def _digest(results: Mapping[str, Result]) -> str:
    digest = hashlib.sha256()
    for name, result in results.items():
        if name != "pf status":  # its counters change while nothing does
            digest.update(f"{name} {result.exit_code} {len(result.stdout)}\n".encode())
            digest.update(result.stdout)
    return digest.hexdigest()


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
