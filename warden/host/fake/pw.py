# SPDX-License-Identifier: BSD-2-Clause
"""pw(8): users and groups made, changed and removed in the files that hold them (sessions 08 and 12)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from warden.host.fake.filesystem import FileError
from warden.host.fake.options import complaint, getopt
from warden.host.fake.program import Call, Reply, program, say
from warden.host.fake.users import Group, User, groups, users

if TYPE_CHECKING:
    from collections.abc import Iterable

EX_USAGE, EX_DATAERR, EX_NOUSER, EX_OSFILE = 64, 65, 67, 72
FIRST_ID, LAST_ID = 1001, 32000
MAX_NAME = 32
_BAD = ' ,\t:+&#%$^()!@~*?<>=|\\/";'

_OPTIONS = {
    "useradd": "n:u:c:d:e:p:g:G:mM:k:w:s:oL:",
    "usermod": "n:u:c:d:mM:l:g:G:s:L:w:e:p:h:",
    "userdel": "n:u:r",
    "usershow": "n:u:Pa7",
    "groupadd": "n:g:M:o",
    "groupmod": "n:g:l:M:m:d:",
    "groupdel": "n:g:",
    "groupshow": "n:g:a",
}


class PwError(Exception):
    """What pw refuses: its message and exit status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class Pw:
    """One run of pw: where its files are, the options, and the name that it is about."""

    call: Call
    root: str
    flags: dict[str, list[str]]
    name: str

    def option(self, letter: str) -> str:
        return self.flags.get(letter, [""])[-1]

    def users(self) -> dict[str, User]:
        return dict(users(self.call.files, self.root))

    def groups(self) -> dict[str, Group]:
        return dict(groups(self.call.files, self.root))

    def user(self) -> User:
        """Give the user that it is about, by name or by `-u`."""
        everybody = self.users()
        if self.name.isdigit() or (not self.name and self.option("u").isdigit()):
            uid = self.name or self.option("u")
            found = next((user for user in everybody.values() if str(user.uid) == uid), None)
            if found is None:
                raise PwError(f"no such uid `{uid}'", EX_NOUSER)
            return found
        if self.name not in everybody:
            raise PwError(f"no such user `{self.name}'", EX_NOUSER)
        return everybody[self.name]

    def group(self) -> Group:
        return _group(self.groups(), self.name or self.option("g"), EX_DATAERR)

    def save_users(self, everybody: Iterable[User]) -> None:
        """Write both files, as pwd_mkdb(8) keeps them."""
        rows = list(everybody)
        self._write("/etc/master.passwd", (user.line(secret=True) for user in rows))
        self._write("/etc/passwd", (user.public() for user in rows))

    def save_groups(self, everybody: Iterable[Group]) -> None:
        self._write("/etc/group", (group.line() for group in everybody))

    def _write(self, path: str, lines: Iterable[str]) -> None:
        data = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
        self.call.files.write(path, data, root=self.root)


@program(
    "/usr/sbin/pw",
    "pw [-R DIR] useradd NAME [-u UID] [-c COMMENT] [-d HOME] [-g GROUP] [-G GROUPS] [-m] [-M MODE] [-s SHELL] [-w no]",
    "pw [-R DIR] usermod NAME [-c COMMENT] [-d HOME] [-g GROUP] [-G GROUPS] [-l NAME] [-m] [-s SHELL] [-h -]",
    "pw [-R DIR] userdel NAME [-r]",
    "pw [-R DIR] usershow NAME | -a",
    "pw [-R DIR] groupadd NAME [-g GID] [-M MEMBERS]",
    "pw [-R DIR] groupmod NAME [-l NAME] [-m MEMBERS] [-d MEMBERS] [-M MEMBERS]",
    "pw [-R DIR] groupdel NAME",
    "pw [-R DIR] groupshow NAME | -a",
)
def pw(call: Call) -> Reply:
    """Make, change, remove and show users and groups."""
    args = list(call.args)
    root = call.root
    while args and args[0] in ("-R", "-V"):
        if args[0] == "-V" or len(args) < 2:
            raise call.unsupported()
        if not call.files.is_dir(args[1], root=root):
            return say(error=f"pw: no such directory `{args[1]}'\n", status=EX_OSFILE)
        root = call.files.real_path(args[1], root=root)
        del args[:2]
    verb = args.pop(0) if args else ""
    if verb in ("user", "group") and args:
        verb += args.pop(0)
    if verb not in _VERBS:
        raise call.unsupported()
    name = args.pop(0) if args and not args[0].startswith("-") else ""
    flags, rest, wrong = getopt(args, _OPTIONS[verb])
    if wrong.startswith("missing"):
        return say(error=complaint("pw", wrong), status=EX_USAGE)
    if wrong or rest:
        raise call.unsupported()
    name = name or flags.get("n", [""])[-1]
    if call.user != "root" and not verb.endswith("show"):
        return say(error="pw: you must be root to run this program\n", status=77)
    try:
        return say(_VERBS[verb](Pw(call, root, flags, name)))
    except PwError as refusal:
        return say(error=f"pw: {refusal}\n", status=refusal.status)


def _check_name(name: str) -> None:
    """Refuse a name that pw does not take for a new user or group."""
    if name[:1] == "-":
        raise PwError("invalid character `-' at position 0 in userid/group name", EX_DATAERR)
    for position, letter in enumerate(name):
        last_dollar = letter == "$" and position == len(name) - 1
        if (letter in _BAD and not last_dollar) or ord(letter) < 32 or ord(letter) >= 127:
            shown = f"`{letter}'" if 32 <= ord(letter) < 127 else f"0x{ord(letter):02x}"
            raise PwError(f"invalid character {shown} at position {position} in userid/group name", EX_DATAERR)
    if len(name) > MAX_NAME:
        raise PwError(f"name too long `{name}' (max is {MAX_NAME})", EX_USAGE)


def _group(everybody: dict[str, Group], name: str, status: int) -> Group:
    found = everybody.get(name)
    if found is None and name.isdigit():
        found = next((group for group in everybody.values() if group.gid == int(name)), None)
    if found is None:
        kind = "gid" if name.isdigit() and status == EX_DATAERR else "group"
        text = f"unknown {kind} `{name}'" if status == EX_DATAERR else f"group `{name}' is not defined"
        raise PwError(text, status)
    return found


def _free_id(taken: Iterable[int], wanted: int = 0) -> int:
    """Give `wanted` where it is free, else the id above all of those that people have; ids are not used again."""
    used = set(taken)
    if wanted and wanted not in used:
        return wanted
    return max((number + 1 for number in used if FIRST_ID <= number < LAST_ID), default=FIRST_ID)


def _useradd(run: Pw) -> str:
    everybody, all_groups = run.users(), run.groups()
    if not run.name:
        raise PwError("login name or id required", EX_DATAERR)
    _check_name(run.name)
    if run.name in everybody:
        raise PwError(f"login name `{run.name}' already exists", EX_DATAERR)
    if run.option("w") not in ("", "no", "none"):
        raise run.call.unsupported()
    uids = {user.uid for user in everybody.values()}
    if run.option("u") and int(run.option("u")) in uids and "o" not in run.flags:
        raise PwError(f"uid `{run.option('u')}' has already been allocated", EX_DATAERR)
    uid = int(run.option("u") or _free_id(uids))
    extra = [_group(all_groups, name, EX_NOUSER) for name in run.option("G").split(",") if name]
    if run.option("g"):
        gid = _group(all_groups, run.option("g"), EX_NOUSER).gid
    elif run.name in all_groups:
        gid = all_groups[run.name].gid
    else:
        gid = _free_id((group.gid for group in all_groups.values()), uid)
        all_groups[run.name] = Group(run.name, gid)
    for group in extra:
        all_groups[group.name] = replace(group, members=(*group.members, run.name))
    home, shell = run.option("d") or f"/home/{run.name}", _shell(run, run.option("s") or "/bin/sh")
    comment = run.option("c") or "User &"
    user = User(run.name, "*", uid, gid, run.option("L"), "0", "0", comment, home, shell)
    run.save_groups(all_groups.values())
    run.save_users([*everybody.values(), user])
    if "m" in run.flags:
        _make_home(run, user)
    return ""


def _shell(run: Pw, name: str) -> str:
    """Give a shell's path: a bare name is looked for where shells are."""
    if name.startswith("/") or not name:
        return name
    folders = ("/bin", "/usr/bin", "/usr/local/bin")
    found = next((path for path in folders if run.call.files.exists(f"{path}/{name}", root=run.root)), None)
    if found is None:
        raise PwError(f"can't find shell `{name}' in shell paths", EX_OSFILE)
    return f"{found}/{name}"


def _make_home(run: Pw, user: User) -> None:
    files = run.call.files
    if files.exists(user.home, root=run.root):
        return
    above = user.home.rpartition("/")[0]
    if above:
        files.make_dir(above, root=run.root, parents=True)
    mode = int(run.option("M"), 8) if run.option("M") else 0o755
    files.make_dir(user.home, root=run.root, mode=mode, uid=user.uid, gid=user.gid)
    skeleton = files.lookup("/usr/share/skel", root=run.root)
    for name, node in sorted(skeleton.children.items()) if skeleton is not None else ():
        path = f"{user.home}/{name.removeprefix('dot')}"
        files.write(path, node.data, root=run.root, mode=node.mode, uid=user.uid, gid=user.gid)


def _usermod(run: Pw) -> str:
    old = run.user()
    everybody, all_groups = run.users(), run.groups()
    if old.uid == 0 and run.option("u"):
        raise PwError("can't change uid of `root' account", EX_DATAERR)
    if {"w", "e", "p"} & set(run.flags) or run.flags.get("h", ["-"]) != ["-"]:
        raise run.call.unsupported()
    new = replace(
        old,
        password="*" if "h" in run.flags else old.password,
        uid=int(run.option("u") or old.uid),
        gid=_group(all_groups, run.option("g"), EX_NOUSER).gid if run.option("g") else old.gid,
        login_class=run.option("L") or old.login_class,
        gecos=run.option("c") or old.gecos,
        home=run.option("d") or old.home,
        shell=_shell(run, run.option("s")) or old.shell,
    )
    if run.option("l"):
        _check_name(run.option("l"))
        if run.option("l") in everybody:
            raise PwError(f"user `{run.option('l')}' already exists", EX_DATAERR)
        new = replace(new, name=run.option("l"))
    wanted = [_group(all_groups, name, EX_NOUSER).name for name in run.option("G").split(",") if name]
    for group in all_groups.values():
        members = [new.name if name == old.name else name for name in group.members]
        if "G" in run.flags:
            members = [name for name in members if name != new.name] + [new.name] * (group.name in wanted)
        if members != list(group.members):
            all_groups[group.name] = replace(group, members=tuple(members))
    run.save_groups(all_groups.values())
    run.save_users(new if user.name == old.name else user for user in everybody.values())
    if "m" in run.flags:
        _make_home(run, new)
    return ""


def _userdel(run: Pw) -> str:
    user = run.user()
    if user.uid == 0:
        raise PwError("cannot remove user 'root'", EX_DATAERR)
    all_groups = run.groups()
    own = all_groups.get(user.name)
    # the user's own group goes too, unless others are in it (session 08)
    if own is not None and own.gid == user.gid and not own.members:
        del all_groups[user.name]
    run.save_users(item for item in run.users().values() if item.name != user.name)
    run.save_groups(
        replace(group, members=tuple(name for name in group.members if name != user.name))
        for group in all_groups.values()
    )
    files = run.call.files
    for path in (f"/var/mail/{user.name}", f"/var/cron/tabs/{user.name}"):
        if files.lookup(path, root=run.root) is not None:
            files.remove(path, root=run.root)
    home = files.lookup(user.home, root=run.root)
    if "r" in run.flags and home is not None and home.kind == "dir" and home.uid == user.uid:
        with suppress(FileError):  # what is mounted there stays
            files.remove(user.home, root=run.root, recursive=True)
    return ""


def _usershow(run: Pw) -> str:
    if "P" in run.flags or "7" in run.flags:
        raise run.call.unsupported()
    rows = run.users().values() if "a" in run.flags else [run.user()]
    return "".join(f"{user.line(secret=True)}\n" for user in rows)


def _groupadd(run: Pw) -> str:
    everybody = run.groups()
    if not run.name:
        raise PwError("group name required", EX_DATAERR)
    if run.name in everybody:
        raise PwError(f"group name `{run.name}' already exists", EX_DATAERR)
    _check_name(run.name)
    gids = {group.gid for group in everybody.values()}
    if run.option("g") and int(run.option("g")) in gids and "o" not in run.flags:
        raise PwError(f"gid `{run.option('g')}' has already been allocated", EX_DATAERR)
    gid = int(run.option("g") or _free_id(gids))
    group = Group(run.name, gid, _members(run, run.option("M")))
    run.save_groups([*everybody.values(), group])
    return ""


def _members(run: Pw, names: str) -> tuple[str, ...]:
    known = run.users()
    found = [name for name in names.split(",") if name]
    for name in found:
        if name not in known:
            raise PwError(f"no such user `{name}'", EX_NOUSER)
    return tuple(found)


def _groupmod(run: Pw) -> str:
    old = run.group()
    new = old
    if "M" in run.flags:
        new = replace(new, members=_members(run, run.option("M")))
    added = [name for name in _members(run, run.option("m")) if name not in new.members]
    gone = run.option("d").split(",")
    new = replace(new, members=tuple(name for name in (*new.members, *added) if name not in gone))
    new = replace(new, name=run.option("l") or new.name, gid=int(run.option("g") or new.gid))
    run.save_groups(new if group.name == old.name else group for group in run.groups().values())
    return ""


def _groupdel(run: Pw) -> str:
    group = run.group()
    run.save_groups(item for item in run.groups().values() if item.name != group.name)
    return ""


def _groupshow(run: Pw) -> str:
    rows = run.groups().values() if "a" in run.flags else [run.group()]
    return "".join(f"{group.line()}\n" for group in rows)


_VERBS = {
    "useradd": _useradd,
    "usermod": _usermod,
    "userdel": _userdel,
    "usershow": _usershow,
    "groupadd": _groupadd,
    "groupmod": _groupmod,
    "groupdel": _groupdel,
    "groupshow": _groupshow,
}
