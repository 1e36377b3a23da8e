# SPDX-License-Identifier: BSD-2-Clause
"""pkg(8): the bootstrap that comes with FreeBSD, and behind it the little of pkg that a host is asked for.

Only the bootstrap's refusals are recorded (session 00); the rest answers as pkg's manual pages say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.host.fake import bastille_base, bastille_template
from warden.host.fake.filesystem import FileError
from warden.host.fake.options import getopt
from warden.host.fake.program import Call, Reply, program, say

if TYPE_CHECKING:
    from warden.host.fake.machine import Machine

FILES = {
    "bastille": ["/usr/local/bin/bastille", "/usr/local/etc/rc.d/bastille"],
    "git": ["/usr/local/bin/git"],
    "node22": ["/usr/local/bin/node"],
    "node24": ["/usr/local/bin/node"],
    "npm-node22": ["/usr/local/bin/npm", "/usr/local/bin/npx"],
    "npm-node24": ["/usr/local/bin/npm", "/usr/local/bin/npx"],
    "pkg": ["/usr/local/sbin/pkg"],
    "tmux": ["/usr/local/bin/tmux"],
    "vm-bhyve": ["/usr/local/sbin/vm", "/usr/local/etc/rc.d/vm"],
}
"""What packages install, as far as anybody looks for it; another one brings /usr/local/bin/NAME."""

REPOSITORY = "pkg.FreeBSD.org/FreeBSD:{major}:{arch}/quarterly"
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


def files_of(name: str) -> list[str]:
    """Give the paths of the files that a package installs."""
    return FILES.get(name, [f"/usr/local/bin/{name}"])


def add(machine: Machine, name: str, version: str) -> None:
    """Install a package's files on the host; it counts as installed when all of them are there."""
    for path in files_of(name):
        machine.files.make_dir(path.rpartition("/")[0], parents=True)
        machine.files.write(path, b"", mode=0o555)
    if name == "bastille":
        _configure_bastille(machine)
    machine.packages[name] = version


def _configure_bastille(machine: Machine) -> None:
    """Put down what the package has besides programs; an own bastille.conf that is there stays."""
    files, sample = machine.files, bastille_base.sample().encode()
    files.make_dir(bastille_base.CONFIG.rpartition("/")[0], parents=True)
    files.write(f"{bastille_base.CONFIG}.sample", sample)
    if not files.exists(bastille_base.CONFIG):
        files.write(bastille_base.CONFIG, sample)
    bastille_template.install_defaults(files)


@program(
    "/usr/sbin/pkg",
    "pkg -N",
    "pkg bootstrap -y",
    "pkg info [-e] [NAME...]",
    "pkg query %n",
    "pkg install -y NAME...",
    "pkg delete -y NAME...",
    "pkg update",
)
def pkg(call: Call) -> Reply:
    """Install packages from the catalogue, and tell which ones are installed."""
    if call.jail:
        raise call.unsupported("pkg inside a jail")
    machine = call.machine
    if "pkg" not in machine.packages:
        return _bootstrap(call)
    if call.args == ("-N",):
        return say(f"pkg: {len(machine.packages)} packages installed\n")
    if call.args == ("query", "%n"):
        return say("".join(f"{name}\n" for name in sorted(machine.packages)))
    verb = call.args[0] if call.args else ""
    flags, names, wrong = getopt(call.args[1:], "yeqnfR")
    if wrong or verb not in _VERBS or (verb in ("install", "delete") and "y" not in flags):
        raise call.unsupported()
    return _VERBS[verb](call, names, exists="e" in flags)


def _bootstrap(call: Call) -> Reply:
    if call.args == ("-N",):
        return say(error="pkg: pkg is not installed\n", status=1)
    agreed = call.environment.get("ASSUME_ALWAYS_YES", "").lower() in ("yes", "1", "true")
    if call.args[:2] != ("bootstrap", "-y") and not agreed:
        return say(error=NOT_INSTALLED, status=1)
    major, version = call.machine.release.partition(".")[0], call.machine.catalogue.get("pkg")
    site = REPOSITORY.format(major=major, arch=call.machine.arch)
    begun = say(f"Bootstrapping pkg from pkg+https://{site}, please wait...\n")
    if version is None:
        fetched = f"pkg: Error fetching https://{site}/Latest/pkg.pkg: Not Found\n"
        return begun + say(error=fetched + NO_PACKAGE, status=1)
    add(call.machine, "pkg", version)
    begun += say(f"Installing pkg-{version}...\nExtracting pkg-{version}: .......... done\n")
    return begun if call.args[:1] == ("bootstrap",) else begun + pkg(call)


def _info(call: Call, names: list[str], *, exists: bool) -> Reply:
    installed = call.machine.packages
    if exists:
        return Reply(0 if names and all(name in installed for name in names) else 1)
    for name in names:
        if name not in installed:
            return say(error=f"pkg: No package(s) matching {name}\n", status=1)
    if names:
        raise call.unsupported("pkg info of one package, but for -e")
    rows = sorted(f"{name}-{version}" for name, version in installed.items())
    return say("".join(f"{row}\n" for row in rows))


def _install(call: Call, names: list[str], *, exists: bool) -> Reply:
    if exists or not names:
        raise call.unsupported()
    machine = call.machine
    for name in names:
        if name not in machine.catalogue:
            error = f"pkg: No packages available to install matching '{name}' have been found in the repositories\n"
            return say(error=error, status=1)
    new = [name for name in names if name not in machine.packages]
    if not new:
        return say("The most recent versions of packages are already installed\n")
    reply = Reply()
    for number, name in enumerate(new, start=1):
        version = machine.catalogue[name]
        reply += say(f"[{number}/{len(new)}] Installing {name}-{version}...\n")
        try:
            add(machine, name, version)
        except FileError as failure:
            return reply + say(
                error=f"pkg: Fail to create temporary file: {failure.path}: {failure.reason}\n", status=1
            )
    return reply


def _delete(call: Call, names: list[str], *, exists: bool) -> Reply:
    if exists or not names:
        raise call.unsupported()
    for name in names:
        if name not in call.machine.packages:
            return say(error=f"No packages matched for pattern '{name}'\n\n", status=1)
        del call.machine.packages[name]
        for path in files_of(name):
            if call.files.exists(path):
                call.files.remove(path)
    return Reply()


def _update(call: Call, names: list[str], *, exists: bool) -> Reply:
    if exists or names:
        raise call.unsupported()
    return say("All repositories are up to date.\n")


_VERBS = {"info": _info, "install": _install, "delete": _delete, "remove": _delete, "update": _update}
