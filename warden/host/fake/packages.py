# SPDX-License-Identifier: BSD-2-Clause
"""What packages bring to a host or a jail, and the list of those that are installed there.

A module that plays a package's programs registers what else the package has: `PACKAGES["nginx"] = Package(...)`.
Nothing here is recorded: files, users and folders are those of the ports tree.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from warden.host.fake.filesystem import FileError
from warden.host.fake.users import groups, users

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warden.host.fake.machine import Machine
    from warden.host.fake.program import Call

DATABASE = "/var/db/pkg/local.sqlite"
"""Where pkg in a jail keeps what is installed there; here it holds lines of name and version."""
PROGRAM_FOLDERS = ("bin", "sbin", "libexec", "rc.d")
SAMPLE = ".sample"


@dataclass(frozen=True, slots=True)
class Package:
    """What a package installs.

    A file that ends in `.sample` is copied to its name without that, where there is none yet. Files in folders for
    programs may be run; an empty one is a program that is registered with `package=`.
    """

    files: Mapping[str, str]
    users: tuple[tuple[str, int, str, str], ...] = ()
    """Name, uid, home and shell; the group of the same name and number too."""
    folders: tuple[tuple[str, str, int], ...] = ()
    """Path, `user:group` and mode."""
    depends: tuple[str, ...] = field(default=())
    """The packages that are installed before it."""


PACKAGES: dict[str, Package] = {
    "node22": Package({"/usr/local/bin/node": ""}),
    "node24": Package({"/usr/local/bin/node": ""}),
    "npm-node22": Package(dict.fromkeys(("/usr/local/bin/npm", "/usr/local/bin/npx"), ""), depends=("node22",)),
    "npm-node24": Package(dict.fromkeys(("/usr/local/bin/npm", "/usr/local/bin/npx"), ""), depends=("node24",)),
    "pkg": Package({"/usr/local/sbin/pkg": ""}),
    "vm-bhyve": Package({"/usr/local/sbin/vm": "", "/usr/local/etc/rc.d/vm": ""}),
}
"""What packages install, as far as anybody looks for it."""


def package_of(name: str) -> Package:
    """Give what a package installs; one that nobody looks into brings /usr/local/bin/NAME."""
    return PACKAGES.get(name) or Package({f"/usr/local/bin/{name}": ""})


def installed(machine: Machine, jail: str = "") -> dict[str, str]:
    """Give the versions of the packages that are installed on the host or in a jail, by name."""
    if not jail:
        return machine.packages
    node = machine.files.lookup(DATABASE, root=machine.root_of(jail))
    return dict(line.split(" ", 1) for line in node.data.decode().splitlines()) if node is not None else {}


def install(call: Call, name: str, version: str) -> str:
    """Install a package, or another version of it; give what pkg says of the users that it makes.

    Raises FileError where that cannot be done, and then nothing of a package is there that was not there before.
    """
    package, files, root = package_of(name), call.files, call.root
    new: list[str] = []
    try:
        said = _make_users(call, package)
        for path, text in package.files.items():
            new += [path] if not files.exists(path, root=root) else []
            files.make_dir(path.rpartition("/")[0], root=root, parents=True)
            node = files.write(path, text.encode(), root=root, mode=0o555 if _is_program(path) else 0o644)
            node.uid = node.gid = 0
            own = path.removesuffix(SAMPLE)
            if own != path and not files.exists(own, root=root):
                new.append(own)
                files.write(own, text.encode(), root=root)
        for path, owner, mode in package.folders:
            _make_folder(call, path, owner, mode)
        _note(call, {**installed(call.machine, call.jail), name: version})
    except FileError:
        for path in new:
            with suppress(FileError):
                files.remove(path, root=root)
        raise
    return said


def remove(call: Call, name: str) -> None:
    """Take a package's files away, but for its configuration where somebody has changed it; users and data stay."""
    for path, text in package_of(name).files.items():
        own = path.removesuffix(SAMPLE)
        node = call.files.lookup(own, root=call.root)
        if own != path and node is not None and node.data == text.encode():
            call.files.remove(own, root=call.root)
        if call.files.exists(path, root=call.root):
            call.files.remove(path, root=call.root)
    left = dict(installed(call.machine, call.jail))
    del left[name]
    _note(call, left)


def missing(call: Call, names: list[str]) -> list[str]:
    """Give the packages that have to be installed for these to be there, each behind those that it needs."""
    have = installed(call.machine, call.jail)
    found: list[str] = []

    def add(name: str) -> None:
        if name not in have and name not in found:
            for needed in package_of(name).depends:
                add(needed)
            found.append(name)

    for name in names:
        add(name)
    return found


def dependents(call: Call, names: list[str]) -> list[str]:
    """Give the installed packages that cannot be without these, those that need others first, and these at the end."""
    have = installed(call.machine, call.jail)
    found = [other for other in have if other not in names and set(package_of(other).depends) & set(names)]
    return [*dependents(call, found), *names] if found else names


def _note(call: Call, versions: dict[str, str]) -> None:
    if not call.jail:
        call.machine.packages = versions
        return
    text = "".join(f"{name} {version}\n" for name, version in versions.items())
    call.files.make_dir(DATABASE.rpartition("/")[0], root=call.root, parents=True)
    call.files.write(DATABASE, text.encode(), root=call.root)


def _is_program(path: str) -> bool:
    return path.rpartition("/")[0].rpartition("/")[2] in PROGRAM_FOLDERS


def _make_users(call: Call, package: Package) -> str:
    said = ""
    known, known_groups = users(call.files, call.root), groups(call.files, call.root)
    for name, uid, home, shell in package.users:
        if name not in known_groups:
            said += _pw(call, "groupadd", name, "-g", str(uid), said=f"Creating group '{name}' with gid '{uid}'.\n")
        if name not in known:
            more = ("-u", str(uid), "-g", name, "-d", home, "-s", shell)
            said += _pw(call, "useradd", name, *more, said=f"Creating user '{name}' with uid '{uid}'.\n")
    return said


def _pw(call: Call, *argv: str, said: str) -> str:
    reply = call.run("/usr/sbin/pw", *argv)
    if reply.exit_code:
        raise FileError("/etc/master.passwd", reply.stderr.decode().strip())
    return said


def _make_folder(call: Call, path: str, owner: str, mode: int) -> None:
    user, _, group = owner.partition(":")
    node = call.files.make_dir(path, root=call.root, parents=True)
    node.uid, node.gid = users(call.files, call.root)[user].uid, groups(call.files, call.root)[group].gid
    node.mode = mode
