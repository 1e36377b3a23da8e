# SPDX-License-Identifier: BSD-2-Clause
"""Users and groups: /etc/passwd, /etc/master.passwd and /etc/group are the truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from warden.host.fake.options import getopt
from warden.host.fake.program import Call, Reply, program, run_program, say

if TYPE_CHECKING:
    from warden.host.fake.filesystem import FileSystem


@dataclass(frozen=True, slots=True)
class User:
    """A line of /etc/master.passwd."""

    name: str
    password: str
    uid: int
    gid: int
    login_class: str
    change: str
    expire: str
    gecos: str
    home: str
    shell: str

    def line(self, *, secret: bool = False) -> str:
        """Give the line as master.passwd has it; the password only where it is asked for."""
        password = self.password if secret else "*"
        fields = [self.name, password, str(self.uid), str(self.gid), self.login_class, self.change, self.expire]
        return ":".join([*fields, self.gecos, self.home, self.shell])

    def public(self) -> str:
        """Give the line as /etc/passwd has it."""
        return f"{self.name}:*:{self.uid}:{self.gid}:{self.gecos}:{self.home}:{self.shell}"


@dataclass(frozen=True, slots=True)
class Group:
    """A line of /etc/group."""

    name: str
    gid: int
    members: tuple[str, ...] = ()

    def line(self) -> str:
        return f"{self.name}:*:{self.gid}:{','.join(self.members)}"


def users(files: FileSystem, root: str = "/") -> dict[str, User]:
    """Give the users by name, in the order of the file."""
    node = files.lookup("/etc/master.passwd", root=root)
    return _users(node.data) if node is not None else {}


def groups(files: FileSystem, root: str = "/") -> dict[str, Group]:
    """Give the groups by name, in the order of the file."""
    node = files.lookup("/etc/group", root=root)
    return _groups(node.data) if node is not None else {}


def user_name(files: FileSystem, root: str, uid: int) -> str:
    """Give the name of a user id, or the number where nobody has it."""
    return next((user.name for user in users(files, root).values() if user.uid == uid), str(uid))


def group_name(files: FileSystem, root: str, gid: int) -> str:
    """Give the name of a group id, or the number where no group has it."""
    return next((group.name for group in groups(files, root).values() if group.gid == gid), str(gid))


def uid_of(call: Call) -> int:
    """Give the user id that a program runs with."""
    user = users(call.files, call.root).get(call.user)
    return user.uid if user is not None else 0


@lru_cache(maxsize=32)
def _users(data: bytes) -> dict[str, User]:
    found = (_user(line) for line in data.decode("utf-8", "surrogateescape").splitlines())
    return {user.name: user for user in found if user is not None}


@lru_cache(maxsize=32)
def _groups(data: bytes) -> dict[str, Group]:
    found = (_group(line) for line in data.decode("utf-8", "surrogateescape").splitlines())
    return {group.name: group for group in found if group is not None}


@lru_cache(maxsize=4096)
def _user(line: str) -> User | None:
    """Read a line of master.passwd; of a file that changed, nearly all lines are as they were."""
    row = line.split(":")
    if len(row) != 10 or line.startswith("#"):
        return None
    return User(row[0], row[1], int(row[2]), int(row[3]), *row[4:])


@lru_cache(maxsize=4096)
def _group(line: str) -> Group | None:
    row = line.split(":")
    if len(row) != 4 or line.startswith("#"):
        return None
    return Group(row[0], int(row[2]), tuple(name for name in row[3].split(",") if name))


@program("/usr/bin/id", "id [-u | -g | -G | -un | -gn | -Gn] [USER]")
def id_(call: Call) -> Reply:
    """Tell who a user is."""
    flags, names, wrong = getopt(call.args, "ugGnr")
    if wrong or len(names) > 1 or len(flags.keys() & {"u", "g", "G"}) > 1:
        raise call.unsupported()
    name = names[0] if names else call.user
    everybody = users(call.files, call.root)
    user = everybody.get(name) or next((item for item in everybody.values() if str(item.uid) == name), None)
    if user is None:
        return say(error=f"id: {name}: no such user\n", status=1)
    all_groups = groups(call.files, call.root).values()
    own = next((group for group in all_groups if group.gid == user.gid), Group(str(user.gid), user.gid))
    member = [own, *(group for group in all_groups if user.name in group.members and group.gid != own.gid)]
    if "u" in flags:
        return say(f"{user.name if 'n' in flags else user.uid}\n")
    if "g" in flags:
        return say(f"{own.name if 'n' in flags else own.gid}\n")
    if "G" in flags:
        return say(" ".join(group.name if "n" in flags else str(group.gid) for group in member) + "\n")
    if flags:
        raise call.unsupported()
    listed = ",".join(f"{group.gid}({group.name})" for group in member)
    return say(f"uid={user.uid}({user.name}) gid={own.gid}({own.name}) groups={listed}\n")


@program("/usr/bin/getent", "getent passwd|group [NAME|ID]...")
def getent(call: Call) -> Reply:
    """Look up users and groups; exits 2 when one is not there (session 08)."""
    if len(call.args) < 1 or call.args[0] not in ("passwd", "group"):
        raise call.unsupported()
    rows: dict[str, str] = {}
    lines: list[str] = []
    if call.args[0] == "passwd":
        for user in users(call.files, call.root).values():
            rows.setdefault(str(user.uid), user.public())
            rows[user.name] = user.public()
            lines.append(user.public())
    else:
        for group in groups(call.files, call.root).values():
            rows.setdefault(str(group.gid), group.line())
            rows[group.name] = group.line()
            lines.append(group.line())
    wanted = call.args[1:]
    found = [rows[name] for name in wanted if name in rows] if wanted else lines
    return say("".join(f"{line}\n" for line in found), status=2 if wanted and len(found) < len(wanted) else 0)


@program("/usr/bin/logins", "logins")
def logins(call: Call) -> Reply:
    """List the users by id, with their groups."""
    if call.args:
        raise call.unsupported()
    rows = sorted(users(call.files, call.root).values(), key=lambda user: user.uid)
    width = max(len(user.name) for user in rows)
    names = [group_name(call.files, call.root, user.gid) for user in rows]
    group_width = max(len(name) for name in names)
    lines = [
        f"{user.name:<{width}} {user.uid:>12} {name:<{group_width}} {user.gid:>12} {user.gecos}\n"
        for user, name in zip(rows, names, strict=True)
    ]
    return say("".join(lines))


@program("/usr/bin/su", "su [-m] [-l] [USER] -c COMMAND [ARG...]", "su USER -c COMMAND")
def su(call: Call) -> Reply:
    """Run a command as another user by the user's shell, which with `-m` is the caller's."""
    args = list(call.args)
    letters = ""
    while args and args[0].startswith("-") and args[0] != "-c":
        letters += args.pop(0)[1:] or "l"
    name = args.pop(0) if args and not args[0].startswith("-") else "root"
    if set(letters) - set("lm") or not args:
        raise call.unsupported()
    user = users(call.files, call.root).get(name)
    if user is None:
        return say(error=f"su: unknown login: {name}\n", status=1)
    if call.user not in ("root", name):
        return say(error="su: Sorry\n", status=1)
    shell = "/bin/sh" if "m" in letters else user.shell or "/bin/sh"
    if shell.endswith("/nologin"):
        # nologin(8) speaks on standard output (session 08)
        return say("This account is currently not available.\n", status=1)
    if shell != "/bin/sh":
        raise call.unsupported(f"su to a user with the shell {shell}")
    inside = replace(call, argv=(shell, *args), user=name, environment=_environment(call, user, letters))
    if "l" in letters:
        inside.cwd = user.home if call.files.is_dir(user.home, root=call.root) else "/"
    return run_program(inside)


def _environment(call: Call, user: User, letters: str) -> dict[str, str]:
    """Give what su(1) makes of the environment: nothing else with `-m`, a login's with `-l`."""
    if "m" in letters:
        return dict(call.environment)
    environment = dict(call.environment)
    if "l" in letters:
        environment = {
            "TERM": call.environment.get("TERM", "su"),
            "PATH": f"/sbin:/bin:/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin:{user.home}/bin",
            "MAIL": f"/var/mail/{user.name}",
            "BLOCKSIZE": "K",
            "LANG": "C.UTF-8",
            "MM_CHARSET": "UTF-8",
        }
    if "l" in letters or user.uid != 0:
        environment["USER"] = user.name
    return environment | {"HOME": user.home, "SHELL": user.shell or "/bin/sh"}
