# SPDX-License-Identifier: BSD-2-Clause
"""pkg(8): the bootstrap that comes with FreeBSD, and behind it the little of pkg that a host or a jail is asked for.

Only the bootstrap's refusals are recorded (session 00); the rest answers as pkg's manual pages say. The repository is
the machine's catalogue, which is out in the world: whoever has no way there gets no package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.host.fake import packages, reach
from warden.host.fake.filesystem import FileError
from warden.host.fake.options import getopt
from warden.host.fake.program import Call, Reply, program, say

if TYPE_CHECKING:
    from warden.host.fake.machine import Machine

REPOSITORY = "pkg.FreeBSD.org/FreeBSD:{major}:{arch}/quarterly"
REPOSITORY_ADDRESS = "192.0.2.80"
"""Where the repository is, for the way that packets take there: an address that nobody has."""
NO_ANSWER = "Transient resolver failure"
"""What fetch(3) says where the name server cannot be asked."""
NO_PACKAGE = (
    "A pre-built version of pkg could not be found for your system.\n"
    "Consider changing PACKAGESITE or installing it from ports: 'ports-mgmt/pkg'.\n"
)
"""What the bootstrap says when it could not fetch pkg, for whatever reason but a name that does not resolve."""

NOT_INSTALLED = (
    "The package management tool is not yet installed on your system.\n"
    "Please set ASSUME_ALWAYS_YES=yes environment variable to be able to bootstrap in non-interactive"
    " (stdin not being a tty)\n"
)
ALL_THERE = "The most recent versions of packages are already installed\n"


def add(machine: Machine, name: str, version: str) -> None:
    """Install a package on the host, whatever else it needs."""
    packages.install(Call(machine, ("/usr/local/sbin/pkg",)), name, version)


@program(
    "/usr/sbin/pkg",
    "pkg -N",
    "pkg bootstrap -y",
    "pkg info [-e] [NAME...]",
    "pkg query FORMAT [NAME...] (of %n, %v and text)",
    "pkg install -y NAME...",
    "pkg upgrade -y [NAME...]",
    "pkg delete -y [-f] NAME...",
    "pkg update",
)
def bootstrap(call: Call) -> Reply:
    """Install pkg where it is not there yet, and hand on to it."""
    if "pkg" not in packages.installed(call.machine, call.jail):
        return _bootstrap(call)
    return pkg(call)


@program("/usr/local/sbin/pkg", "the same", package="pkg")
def pkg(call: Call) -> Reply:
    """Install packages from the catalogue, and tell which ones are installed."""
    if call.args == ("-N",):
        return say(f"pkg: {len(packages.installed(call.machine, call.jail))} packages installed\n")
    verb = call.args[0] if call.args else ""
    letters = _LETTERS.get(verb)
    if letters is None:
        raise call.unsupported()
    flags, names, wrong = getopt(call.args[1:], letters)
    if wrong or ("y" in letters and "y" not in flags):  # without -y it would ask
        raise call.unsupported()
    return _VERBS[verb](call, names, flags="".join(flags))


def _bootstrap(call: Call) -> Reply:
    if call.args == ("-N",):
        return say(error="pkg: pkg is not installed\n", status=1)
    agreed = call.environment.get("ASSUME_ALWAYS_YES", "").lower() in ("yes", "1", "true")
    if call.args[:2] != ("bootstrap", "-y") and not agreed:
        return say(error=NOT_INSTALLED, status=1)
    site, version = _site(call), call.machine.catalogue.get("pkg")
    begun = say(f"Bootstrapping pkg from pkg+https://{site}, please wait...\n")
    if version is None or not _reachable(call):
        why = NO_ANSWER if version is not None else "Not Found"
        fetched = f"pkg: Error fetching https://{site}/Latest/pkg.pkg: {why}\n"
        return begun + say(error=fetched + NO_PACKAGE, status=1)
    packages.install(call, "pkg", version)
    begun += say(f"Installing pkg-{version}...\nExtracting pkg-{version}: .......... done\n")
    return begun if call.args[:1] == ("bootstrap",) else begun + pkg(call)


def _site(call: Call) -> str:
    return REPOSITORY.format(major=call.machine.release.partition(".")[0], arch=call.machine.arch)


def _reachable(call: Call) -> bool:
    """Tell whether the caller's packets find their way to the repository."""
    packet = reach.Packet("", REPOSITORY_ADDRESS, "tcp", 443)
    return reach.gets_out(call.machine, call.net, packet)


def _updated(call: Call) -> Reply:
    """Ask the repository for its catalogue, as install and upgrade do first."""
    if _reachable(call):
        return Reply()
    return say(
        "Updating FreeBSD-ports repository catalogue...\n",
        error=f"pkg: https://{_site(call)}/meta.conf: {NO_ANSWER}\nUnable to update repository FreeBSD-ports\n"
        "Error updating repositories!\n",
        status=1,
    )


def _info(call: Call, names: list[str], *, flags: str) -> Reply:
    installed = packages.installed(call.machine, call.jail)
    if "e" in flags:
        return Reply(0 if names and all(name in installed for name in names) else 1)
    for name in names:
        if name not in installed:
            return say(error=f"pkg: No package(s) matching {name}\n", status=1)
    if names:
        raise call.unsupported("pkg info of one package, but for -e")
    rows = sorted(f"{name}-{version}" for name, version in installed.items())
    return say("".join(f"{row}\n" for row in rows))


def _query(call: Call, words: list[str], *, flags: str) -> Reply:
    """Write a line for every package that is named and there; exit 1 where none is (or none of those named)."""
    installed = packages.installed(call.machine, call.jail)
    if flags or not words or "%" in words[0].replace("%n", "").replace("%v", "") or "\\" in words[0]:
        raise call.unsupported()
    found = [name for name in words[1:] or sorted(installed) if name in installed]
    lines = (words[0].replace("%n", "\0").replace("%v", installed[name]).replace("\0", name) for name in found)
    return say("".join(f"{line}\n" for line in lines), status=0 if found else 1)


def _install(call: Call, names: list[str], *, flags: str) -> Reply:
    if not names or flags != "y":
        raise call.unsupported()
    reply = _updated(call)
    if reply.exit_code:
        return reply
    installed = packages.installed(call.machine, call.jail)
    older = [name for name in names if installed.get(name) not in (None, call.machine.catalogue.get(name))]
    return _put(call, [*packages.missing(call, names), *older])


def _upgrade(call: Call, names: list[str], *, flags: str) -> Reply:
    if flags != "y":
        raise call.unsupported()
    reply = _updated(call)
    if reply.exit_code:
        return reply
    installed = packages.installed(call.machine, call.jail)
    for name in names:
        if name not in installed:
            return say(error=f"pkg: {name} is not installed, therefore upgrade is impossible\n", status=1)
    catalogue = call.machine.catalogue
    older = [name for name in names or sorted(installed) if catalogue.get(name, installed[name]) != installed[name]]
    if not older:
        return say("Your packages are up to date.\n")
    return _put(call, [*packages.missing(call, [need for name in older for need in _needs(name)]), *older])


def _needs(name: str) -> tuple[str, ...]:
    return packages.package_of(name).depends


def _put(call: Call, names: list[str]) -> Reply:
    """Install these in this order, new or in the repository's version; the first that cannot be ends it."""
    catalogue, reply = call.machine.catalogue, Reply()
    if not names:
        return say(ALL_THERE)
    for name in names:
        if name not in catalogue:
            error = f"pkg: No packages available to install matching '{name}' have been found in the repositories\n"
            return say(error=error, status=1)
    for number, name in enumerate(names, start=1):
        old, version = packages.installed(call.machine, call.jail).get(name), catalogue[name]
        begun = f"Upgrading {name} from {old} to {version}" if old else f"Installing {name}-{version}"
        reply += say(f"[{number}/{len(names)}] {begun}...\n")
        try:
            reply += say(packages.install(call, name, version))
        except FileError as failure:
            error = f"pkg: Fail to create temporary file: {failure.path}: {failure.reason}\n"
            return reply + say(error=error, status=1)
    return reply


def _delete(call: Call, names: list[str], *, flags: str) -> Reply:
    if not names:
        raise call.unsupported()
    installed = packages.installed(call.machine, call.jail)
    for name in names:
        if name not in installed:
            return say(error=f"No packages matched for pattern '{name}'\n\n", status=1)
    for name in names if "f" in flags else packages.dependents(call, names):
        packages.remove(call, name)
    return Reply()


def _update(call: Call, names: list[str], *, flags: str) -> Reply:
    if names or flags:
        raise call.unsupported()
    reply = _updated(call)
    return reply if reply.exit_code else say("All repositories are up to date.\n")


_LETTERS = {"info": "e", "query": "", "install": "y", "upgrade": "y", "delete": "yf", "remove": "yf", "update": ""}
_VERBS = {
    "info": _info,
    "query": _query,
    "install": _install,
    "upgrade": _upgrade,
    "delete": _delete,
    "remove": _delete,
    "update": _update,
}
