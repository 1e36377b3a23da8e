# SPDX-License-Identifier: BSD-2-Clause
"""A PostgreSQL cluster's data: what initdb(1) lays out, the settings that a server reads, and its catalogue.

From PostgreSQL's manual, chapters 19 (server configuration), 20 (client authentication) and 66 (database physical
storage). The catalogue is a file of JSON in the data directory, so it goes wherever the data go.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from warden.host.fake.filesystem import FileError
from warden.host.fake.users import users

if TYPE_CHECKING:
    from warden.host.fake.filesystem import FileSystem
    from warden.host.fake.machine import Machine, Process

CATALOGUE = "base/catalogue.json"
LOADED = "pg_stat_tmp/loaded.json"
"""What the running server has read of its files: they may have changed since."""
VERSION_FILE = "/usr/local/include/pg_config.h"
SETTINGS = frozenset(
    [
        *("listen_addresses", "port", "hba_file", "password_encryption", "full_page_writes", "wal_init_zero"),
        *("wal_recycle", "max_connections", "log_destination", "lc_messages"),
    ]
)
"""The settings that a configuration file here can have."""


class ClusterError(Exception):
    """A server does not start with this; the text is what it would log."""


@dataclass(slots=True)
class Role:
    """A role: whether it may log in, what else it may do, and its stored password."""

    login: bool = False
    rights: list[str] = field(default_factory=list)
    verifier: str = ""


@dataclass(slots=True)
class Database:
    """A database: its owner, whether everyone may connect to it, and the versions of its extensions."""

    owner: str = "postgres"
    public: bool = True
    extensions: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Catalogue:
    """What all databases of a cluster share."""

    roles: dict[str, Role]
    databases: dict[str, Database]
    salts: int = 0
    """How many passwords were stored: each is salted anew."""

    def set_password(self, role: str, password: str) -> None:
        """Store a password as SCRAM does: nobody can tell it from what is stored."""
        self.salts += 1
        self.roles[role].verifier = _verifier(
            password, hashlib.sha256(f"{role} {self.salts}".encode()).hexdigest()[:16]
        )


def _verifier(password: str, salt: str) -> str:
    key = hashlib.pbkdf2_hmac("sha256", password.encode(), bytes.fromhex(salt), 64).hex()
    return f"SCRAM-SHA-256$64:{salt}${key}"


def is_password(role: Role, password: str) -> bool:
    """Tell whether a password is the one that was stored."""
    salt = role.verifier.partition(":")[2].partition("$")[0]
    return bool(salt) and _verifier(password, salt) == role.verifier


@dataclass(slots=True)
class Loaded:
    """What a running server has read: its settings and rules; from `ready` on it takes connections."""

    settings: dict[str, str]
    rules: list[str]
    ready: int = 0


@dataclass(slots=True)
class Cluster:
    """A data directory as a host or a jail sees it."""

    machine: Machine
    jail: str
    data: str

    @property
    def files(self) -> FileSystem:
        """The machine's files."""
        return self.machine.files

    @property
    def root(self) -> str:
        """What this host or jail has as '/'."""
        return self.machine.root_of(self.jail)

    @property
    def version(self) -> str:
        """The major version that made it; '' where there is no cluster."""
        node = self.files.lookup(f"{self.data}/PG_VERSION", root=self.root)
        return node.data.decode().strip() if node is not None else ""

    def read(self, name: str) -> str:
        """Give a file of it as text."""
        return self.files.text(f"{self.data}/{name}", root=self.root)

    def write(self, name: str, text: str) -> None:
        """Write a file of it, as the user postgres."""
        user = users(self.files, self.root)["postgres"]
        path = f"{self.data}/{name}"
        self.files.write(path, text.encode(), root=self.root, mode=0o600, uid=user.uid, gid=user.gid)

    def make_dir(self, name: str) -> None:
        """Make a folder in it, as the user postgres."""
        user = users(self.files, self.root)["postgres"]
        node = self.files.make_dir(f"{self.data}/{name}", root=self.root, parents=True)
        node.uid, node.gid, node.mode = user.uid, user.gid, 0o700

    def catalogue(self) -> Catalogue:
        """Read the catalogue."""
        found = json.loads(self.read(CATALOGUE))
        roles = {name: Role(**role) for name, role in found["roles"].items()}
        databases = {name: Database(**database) for name, database in found["databases"].items()}
        return Catalogue(roles, databases, found["salts"])

    def keep(self, catalogue: Catalogue) -> None:
        """Write the catalogue; what did not change is not written."""
        text = json.dumps(asdict(catalogue), indent=1)
        if not self.files.exists(f"{self.data}/{CATALOGUE}", root=self.root) or self.read(CATALOGUE) != text:
            self.write(CATALOGUE, text)

    def loaded(self) -> Loaded:
        """Give what the running server has read."""
        return Loaded(**json.loads(self.read(LOADED)))

    def load(self, config: str, *, ready: int) -> Loaded:
        """Read the settings and rules as a server does that starts; raises ClusterError where it would not start."""
        settings = read_settings(self.files, self.root, config)
        rules = read_rules(self.files, self.root, settings.get("hba_file", f"{self.data}/pg_hba.conf"))
        return Loaded(settings, rules, ready)

    def set_loaded(self, loaded: Loaded) -> None:
        """Note what the running server has read."""
        self.write(LOADED, json.dumps(asdict(loaded)))

    def postmaster(self) -> Process | None:
        """Give the server's process; None where none runs, whatever its pid file says."""
        node = self.files.lookup(f"{self.data}/postmaster.pid", root=self.root)
        first = node.data.decode().partition("\n")[0] if node is not None else ""
        process = self.machine.processes.get(int(first)) if first.isdigit() else None
        mine = process is not None and process.jail == self.jail and process.argv[0].endswith("/postgres")
        return process if mine else None


def program_version(machine: Machine, jail: str) -> str:
    """Give the major version of the programs that are installed."""
    text = machine.files.text(VERSION_FILE, root=machine.root_of(jail))
    return text.split('"')[1]


def default_extensions(machine: Machine, jail: str) -> dict[str, str]:
    """Give the versions of the extensions that the installed packages have."""
    folder, root = "/usr/local/share/postgresql/extension", machine.root_of(jail)
    names = machine.files.list_dir(folder, root=root) if machine.files.is_dir(folder, root=root) else []
    found = {name.removesuffix(".control"): machine.files.text(f"{folder}/{name}", root=root) for name in names}
    return {name: text.split("'")[1] for name, text in found.items()}


def read_settings(files: FileSystem, root: str, path: str) -> dict[str, str]:
    """Read a configuration file and those that it includes; of two lines about a setting the later one counts."""
    found: dict[str, str] = {}
    try:
        lines = files.text(path, root=root).splitlines()
    except FileError as error:
        raise ClusterError(f'could not open configuration file "{path}": {error.reason}') from None
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        match = re.fullmatch(r"(\w+)(?:\s*=\s*|\s+)(?:'([^']*)'|([^'\s]+))", text)
        if not text:
            continue
        if match is None:
            raise ClusterError(f'syntax error in file "{path}" line {number}, near "{text}"')
        name, value = match[1], match[2] if match[2] is not None else match[3]
        if name == "include":
            found |= read_settings(files, root, value)
        elif name in SETTINGS:
            found[name] = value
        else:
            raise ClusterError(f'unrecognized configuration parameter "{name}" in file "{path}" line {number}')
    return found


def read_rules(files: FileSystem, root: str, path: str) -> list[str]:
    """Read pg_hba.conf: one line with no rule in it that is understood, and the server does not start."""
    try:
        lines = files.text(path, root=root).splitlines()
    except FileError as error:
        raise ClusterError(f'could not open file "{path}": {error.reason}') from None
    rules = []
    for number, line in enumerate(lines, 1):
        words = shlex.split(line, comments=True)
        if not words:
            continue
        size, methods = {"local": (4, {"peer", "reject"}), "host": (5, {"scram-sha-256", "reject"})}.get(
            words[0], (0, set())
        )
        try:
            good = len(words) == size and words[-1] in methods and (size == 4 or bool(IPv4Network(words[3])))
        except ValueError:
            good = False
        if not good:
            raise ClusterError(f'invalid line {number} in "{path}": {line}')
        rules.append(" ".join(words))
    if not rules:
        raise ClusterError(f'configuration file "{path}" contains no entries')
    return rules


def method_for(rules: list[str], *, source: str, role: str, database: str) -> str:
    """Give how a client has to prove itself: the first rule that fits counts; '' where none does."""
    for rule in rules:
        words = rule.split()
        names = {"databases": words[1].split(","), "roles": words[2].split(",")}
        fits = bool({"all", database} & set(names["databases"])) and bool({"all", role} & set(names["roles"]))
        if words[0] == "local":
            fits = fits and not source
        else:
            fits = fits and bool(source) and IPv4Address(source) in IPv4Network(words[3])
        if fits:
            return words[-1]
    return ""
