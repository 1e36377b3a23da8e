# SPDX-License-Identifier: BSD-2-Clause
"""Forgejo: its web server and its commands, as its Administrator Guide and `forgejo --help` say.

Its rc.d script is no copy of the port's, and does the same: a check as the user git, then daemon(8). Its database is a
file with a line for each account.
"""

from __future__ import annotations

import configparser
from getopt import GetoptError, gnu_getopt
from typing import TYPE_CHECKING

from warden.host.fake.filesystem import FileError
from warden.host.fake.listeners import LISTENERS, Listener
from warden.host.fake.packages import PACKAGES, Package
from warden.host.fake.processes import account
from warden.host.fake.program import Call, Reply, WaitingError, program, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.host.fake.machine import Machine, Process

PATH = "/usr/local/sbin/forgejo"
USER, USER_ID = "git", 211
CONFIGURATION = "/usr/local/etc/forgejo/conf/app.ini"
WORK = "/usr/local/share/forgejo"
DATA = "/var/db/forgejo"
RESERVED = frozenset({"admin", "api", "assets", "explore", "ghost", "login", "new", "org", "repo", "user", "v2"})
SECRETS = {"INTERNAL_TOKEN": 105, "JWT_SECRET": 43, "LFS_JWT_SECRET": 43, "SECRET_KEY": 64}
"""The secrets that it makes, and how long they are."""
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
SAMPLE = """\
; CHANGE_ME
APP_NAME = Forgejo
RUN_USER = git

[security]
INSTALL_LOCK = true
SECRET_KEY = CHANGE_ME
"""
SCRIPT = """\
#!/bin/sh
# PROVIDE: forgejo
# REQUIRE: NETWORKING SYSLOG
# KEYWORD: shutdown

. /etc/rc.subr
name=forgejo
rcvar=forgejo_enable
load_rc_config $name
: ${forgejo_enable:=NO}
command=/usr/local/sbin/forgejo
procname=$command
pidfile=/var/run/forgejo.pid
start_precmd=forgejo_check
start_cmd=forgejo_begin
forgejo_check()
{
	su -m git -c "/usr/local/sbin/forgejo doctor check >/dev/null" && return 0
	echo "cannot start forgejo because of configuration errors" >&2
	return 1
}
forgejo_begin()
{
	/usr/sbin/daemon -S -T forgejo -u git -p $pidfile /usr/bin/env -i HOME=/usr/local/git USER=git $command web
}
run_rc_command "$1"
"""
PACKAGES["forgejo"] = Package(
    {
        PATH: "",
        "/usr/local/etc/rc.d/forgejo": SCRIPT,
        f"{CONFIGURATION}.sample": SAMPLE,
        "/usr/local/etc/forgejo/conf/app.ini.defaults": "",
    },
    users=((USER, USER_ID, "/usr/local/git", "/bin/sh"),),
    folders=(
        ("/usr/local/git", "git:git", 0o755),
        (WORK, "root:wheel", 0o755),
        (DATA, "git:git", 0o755),
        (f"{DATA}/data", "git:git", 0o755),
        (f"{DATA}/forgejo-repositories", "git:git", 0o755),
        ("/var/log/forgejo", "git:git", 0o755),
    ),
    depends=("git",),
)


class _RefusedError(Exception):
    """What forgejo does not do, in its own words."""


@program(
    PATH,
    "forgejo web",
    "forgejo generate secret INTERNAL_TOKEN|JWT_SECRET|LFS_JWT_SECRET|SECRET_KEY",
    "forgejo doctor check [--run paths]",
    "forgejo admin user list",
    "forgejo admin user create [--admin] --username NAME --email MAIL --random-password"
    " [--random-password-length COUNT] [--must-change-password=false]",
    package="forgejo",
)
def forgejo(call: Call) -> Reply:
    """Serve, or do one of the things that are done by hand."""
    args = call.args
    if args[:2] == ("generate", "secret") and len(args) == 3 and args[2] in SECRETS:
        return say(_random(call, SECRETS[args[2]]))
    try:
        if args == ("web",):
            return _web(call)
        if args[:2] == ("doctor", "check") and args[2:] in ((), ("--run", "paths")):
            return _doctor(call, _settings(call))
        if args == ("admin", "user", "list"):
            return _list(_database(call))
        if args[:3] == ("admin", "user", "create"):
            return _create(call, list(args[3:]))
    except _RefusedError as refused:
        return say(error=f"Command error: {refused}\n", status=1)
    raise call.unsupported()


def _random(call: Call, length: int) -> str:
    return "".join(LETTERS[call.machine.pick(len(LETTERS))] for _ in range(length))


def _settings(call: Call) -> configparser.ConfigParser:
    """Read app.ini and the secrets that it names, as everything does that needs them."""
    if call.user == "root":
        raise _RefusedError("Forgejo is not supposed to be run as root")
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(f"[DEFAULT]\n{_read(call, CONFIGURATION)}")
    if parser.defaults().get("RUN_USER") != call.user:
        raise _RefusedError(f"Expect user '{parser.defaults().get('RUN_USER')}' but current user is: {call.user}")
    if not parser.getboolean("security", "INSTALL_LOCK", fallback=False):
        raise call.unsupported("forgejo before it is installed")
    for section, key in (
        ("security", "SECRET_KEY"),
        ("security", "INTERNAL_TOKEN"),
        ("oauth2", "JWT_SECRET"),
        ("server", "LFS_JWT_SECRET"),
    ):
        value, uri = parser.get(section, key, fallback=""), parser.get(section, f"{key}_URI", fallback="")
        if bool(value) == bool(uri) or not (value or uri.startswith("file:/")):
            raise call.unsupported(f"forgejo with {section}.{key} given twice, or not at all")
        if uri and not _read(call, uri.removeprefix("file:")).strip():
            raise _RefusedError(f"Failed to read {key}_URI ({uri.removeprefix('file:')}): the file is empty")
    if parser.get("database", "DB_TYPE", fallback="") != "sqlite3":
        raise call.unsupported("forgejo with another database than sqlite3")
    return parser


def _read(call: Call, path: str) -> str:
    """Read a file with its user's own rights."""
    try:
        node = call.files.node(path, root=call.root)
    except FileError:
        raise _RefusedError(f"open {path}: no such file or directory") from None
    uid, gid = (int(field) for field in account(call.files, call.user, call.root)[2:4])
    shift = 6 if node.uid == uid else 3 if node.gid == gid else 0
    if not node.mode >> shift & 0o4:
        raise _RefusedError(f"open {path}: permission denied")
    return node.data.decode()


def _doctor(call: Call, settings: configparser.ConfigParser) -> Reply:
    """Look whether the folders are there and can be written."""
    uid = int(account(call.files, call.user, call.root)[2])
    for section, key in (("repository", "ROOT"), ("server", "APP_DATA_PATH"), ("log", "ROOT_PATH")):
        folder = settings.get(section, key)
        node = call.files.lookup(folder, root=call.root)
        if node is None or node.kind != "dir" or node.uid != uid:
            return say(
                f" - [E]     {folder} is REQUIRED but is not accessible\nFAIL\n",
                error="Command error: 1 configuration files with errors\n",
                status=1,
            )
    return say("[1] Check paths and basic configuration\nOK\nAll done (checks: 1).\n")


def _web(call: Call) -> Reply:
    settings = _settings(call)
    process = call.machine.processes.get(call.pid)
    if process is None:
        raise call.unsupported("forgejo web that is waited for")
    database = settings.get("database", "PATH")
    if not call.files.exists(database, root=call.root):
        call.files.write(database, b"", root=call.root, uid=USER_ID, gid=USER_ID)
    process.environment |= {
        "fake forgejo address": settings.get("server", "HTTP_ADDR", fallback="0.0.0.0"),
        "fake forgejo port": settings.get("server", "HTTP_PORT", fallback="3000"),
        "fake forgejo database": database,
    }
    raise WaitingError(call.argv, 0)


def _database(call: Call) -> tuple[str, list[str]]:
    """Give the database's path, and its accounts."""
    path = _settings(call).get("database", "PATH")
    node = call.files.lookup(path, root=call.root)
    if node is None:
        raise _RefusedError("SQL logic error: no such table: user (1)")
    return path, node.data.decode().splitlines()


def _list(database: tuple[str, list[str]]) -> Reply:
    rows = [f"{number} {account} true true false" for number, account in enumerate(database[1], start=1)]
    cells = [row.split() for row in ["ID Username Email IsActive IsAdmin 2FA", *rows]]
    widths = [max(len(row[column]) for row in cells) + 1 for column in range(6)]
    lines = ("".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)
    return say("".join(f"{line}\n" for line in lines))


def _create(call: Call, words: list[str]) -> Reply:
    long = ["admin", "username=", "email=", "random-password", "random-password-length=", "must-change-password="]
    try:
        found, rest = gnu_getopt(words, "", long)
    except GetoptError:
        raise call.unsupported() from None
    options = dict(found)
    changes = options.get("--must-change-password", "true")
    if rest or "--admin" not in options or "--random-password" not in options or changes not in ("true", "false"):
        raise call.unsupported()
    name, mail = options.get("--username", ""), options.get("--email", "")
    if not name or not mail:
        raise _RefusedError(f"{'username' if not name else 'email'} is not set")
    path, accounts = _database(call)
    password = _random(call, int(options.get("--random-password-length", "12")))
    said = say(f"generated random password is '{password}'\n")
    if name.lower() in RESERVED:
        return said + say(error=f"Command error: CreateUser: name is reserved [name: {name}]\n", status=1)
    if any(account.split()[0] == name for account in accounts):
        return said + say(error=f"Command error: CreateUser: user already exists [name: {name}]\n", status=1)
    text = "".join(f"{line}\n" for line in [*accounts, f"{name} {mail}"])
    call.files.write(path, text.encode(), root=call.root)
    return said + say(f"New user '{name}' has been successfully created!\n")


def _where(_machine: Machine, process: Process) -> Iterator[tuple[str, int]]:
    if "fake forgejo port" in process.environment:
        yield process.environment["fake forgejo address"], int(process.environment["fake forgejo port"])


def _http(call: Call, process: Process, path: str) -> tuple[int, bytes]:
    there = call.files.exists(process.environment["fake forgejo database"], root=call.machine.root_of(process.jail))
    if path != "/api/healthz" or not there:
        raise call.unsupported(f"forgejo: GET {path}{'' if there else ' without its database'}")
    return 200, b'{"status":"pass","description":"Forgejo"}'


LISTENERS["forgejo"] = Listener(_where, _http)
