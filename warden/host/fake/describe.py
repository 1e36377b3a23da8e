# SPDX-License-Identifier: BSD-2-Clause
"""docs/fake-host.md, made from the code: `python -m warden.host.fake.describe > docs/fake-host.md`."""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

import warden.host.fake.programs  # noqa: F401 - importing it registers every program
from warden.host.fake.faults import Faults
from warden.host.fake.profiles import PROFILES
from warden.host.fake.program import PROGRAMS, Entry
from warden.host.fake.service import SERVICES, Service

if TYPE_CHECKING:
    from collections.abc import Iterator

UNRECORDED = "warden.host.fake.unrecorded."
"""The modules of programs that no session has."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the fake host answers otherwise than a recorded session: the session, its commands, and why."""

    session: str
    commands: tuple[tuple[str, ...], ...]
    reason: str


DIFFERENCES = (
    Difference(
        "00-host-facts",
        (("service", "-e"),),
        "the sessions were recorded on two builds; here the rc.d scripts come in the order of session 17",
    ),
    Difference(
        "05-bastille-vnet-jails",
        (("mount", "-p"),),
        "the sessions were recorded on two builds, which do not show a dataset's atime alike",
    ),
    Difference(
        "06-rcd-services",
        (
            ("service", "-l"),
            ("sh", "-c", "rcorder /etc/rc.d/* /usr/local/etc/rc.d/* 2>/dev/null | tail -5"),
        ),
        "the sessions were recorded on two builds; here are the rc.d scripts of session 00",
    ),
    Difference(
        "08-users-files-processes",
        (("daemon", "-p", "/tmp/w/d.pid", "sleep", "20"),),
        "the shell that sent the second daemon(8) had waited for the first one to end",
    ),
)

NOT_BUILT = {"10-vm-bhyve": ("vm", "bhyvectl")}
"""Programs of a session that are there on the machine, and that are refused."""

NOT_RECORDED = {
    "chgrp, false, kldunload, logins, md5, nice, printenv, printf, reboot, sha512, shutdown, sort, tar, tee, [": (
        "appear in no recorded session; they answer as their manual pages say"
    ),
    "pkg": "its bootstrap's refusals are recorded; the rest answers as the manual says, on the host and in jails; "
    "versions, and what packages install, are those of no certain day",
    "fetch": "that it could not connect is recorded; what it gets from a program of this machine is not",
    "rctl": "rules of users, and what it says where racct is off, are its source's",
    "quota": "it counts what files hold, beside what zfs list shows of the dataset",
    "bastille bootstrap": "answers as the script of Bastille 1.4.4 goes; it takes no time of yours and fetches nothing",
    "pfctl -n": "checks rules without the module pf, as its source goes",
    "rc.d/kld": "loads what kld_list names; its place in the order of a boot is the manual's",
    "bastille": "the options that a wrong call lists were not recorded, so such a call is refused",
    "fuser": "answers as its source goes; a lock that is held over a connection is shown with the process id 1",
    "zpool status -x": "of a pool that is degraded it says that a device is missing, whatever the reason is",
    "ping": "whether an answer comes is worked out from the network; the times are made up",
    "sysrc -d": "describes the variables whose description was recorded, and is refused for others",
    "kldstat": "how often other modules refer to the kernel than the recorded ones is a guess",
}

FAULTS = {
    "fail-nth": "`fail-nth=N`: the Nth command exits 1 and has no effect",
    "fail-match": "`fail-match=TEXT`: so does every command whose words, joined by spaces, contain TEXT",
    "drop-before": "`drop-before=N`: the connection breaks before the Nth command takes effect",
    "drop-after": "`drop-after=N`: the connection breaks after the Nth command took effect, before its answer came",
    "hang-nth": "`hang-nth=N`: the Nth command never returns and has no effect",
    "disk-full-after": "`disk-full-after=N`: from the Nth command on there is no room for a file",
    "refuse-package": "`refuse-package=NAME`: the repository has no package of this name",
    "latency": "`latency=SECONDS`: every round trip takes so long",
}

HEAD = """\
# The fake host

<!-- Made by `python -m warden.host.fake.describe`: change the code, not this file. -->

`fake:PATH` is a FreeBSD 15.1 machine in memory, kept in the file PATH between commands; `fake:` is one that ends with
the process. It takes the commands that a real host takes, answers with the output, exit status and error text of the
real programs, and changes as the real host would. `fake:PATH?profile=NAME` says what a new machine starts as.
"""

REFUSED = """\
## What is refused

What the fake host does not know it refuses: Warden then says which form of a command it was. It never answers that all
is well, nor with a real program's complaint about something that the real program takes. Refused are:

- options and forms of a program that are not listed below;
- programs whose file is on the machine, and that are not listed below; a name that is nowhere on the machine is
  answered with `not found`, as a shell does;
- parts of sh(1) that the shell does not know, such as here-documents, and rc.conf files that are programs;
- an rc.d script that came with a package of which nothing but its files' names is known here;
- whatever would wait for ever, and a lock that nobody lets go of;
- the world outside: names are looked up in /etc/hosts only, and packages come from the machine's own catalogue.
"""


def describe() -> str:
    """Give the whole document."""
    parts = [HEAD, _profiles(), _faults(), REFUSED, _programs(), _services(), _not_recorded(), _differences()]
    return "\n".join(parts)


def _profiles() -> str:
    lines = [f"- `{name}`: {_first_line(make)}" for name, make in PROFILES.items()]
    return _section("Profiles", "", lines)


def _faults() -> str:
    names = [field.name.replace("_", "-") for field in dataclasses.fields(Faults) if field.init]
    said = (
        "An address may ask for trouble, as `fake:PATH?fail-nth=7&latency=0.02`. Only commands that may change the\n"
        "machine are counted, from 1, for each process anew.\n"
    )
    return _section("Faults", said, [f"- {FAULTS[name]}" for name in names])


def _programs() -> str:
    own = sorted((entry for entry in PROGRAMS.values() if not entry.package), key=lambda entry: entry.path)
    others = sorted((entry for entry in PROGRAMS.values() if entry.package), key=lambda entry: entry.path)
    said = "With the forms of each that are supported. Those of a package are there where it is installed.\n"
    return _section("Programs", said, [_program(entry) for entry in [*own, *others]])


def _program(entry: Entry) -> str:
    package = f", of the package {entry.package}" if entry.package else ""
    return "\n".join([f"- `{entry.path}`{package}", *(f"  - `{form}`" for form in entry.forms)])


def _services() -> str:
    said = (
        "Scripts of /etc/rc.d that do something; the others are there by name. Every service knows rcvar, enabled,\n"
        "enable, disable, delete, describe and extracommands. A script in /usr/local/etc/rc.d is run by the shell.\n"
    )
    return _section("Services", said, [_service(name, service) for name, service in sorted(SERVICES.items())])


def _service(name: str, service: Service) -> str:
    verbs = ", ".join(["start", "stop", "restart", "status", *service.extra.split()])
    needs = f"; needs {service.rcvar}" if service.rcvar else ""
    return f"- `{name}`: {verbs}{needs}"


def _not_recorded() -> str:
    said = (
        "What the fake host answers is held against recorded sessions of a real FreeBSD 15.1 machine. Forms that no\n"
        "session has follow the manual pages; among them are these:\n"
    )
    lines = [f"- {names}: {text}" for names, text in NOT_RECORDED.items()]
    return _section("Not recorded", said, [*lines, *_unrecorded()])


def _unrecorded() -> Iterator[str]:
    """Give a line for each module of programs that no session has, with the programs."""
    modules: dict[str, list[str]] = {}
    for name, entry in PROGRAMS.items():
        modules.setdefault(str(getattr(entry.run, "__module__", "")), []).append(name)
    for module, names in sorted(modules.items()):
        if module.startswith(UNRECORDED):
            yield f"- {', '.join(sorted(names))}: {_first_line(inspect.getmodule(PROGRAMS[names[0]].run))}"


def _differences() -> str:
    lines = []
    for known in DIFFERENCES:
        lines.append(f"- session {known.session}: {known.reason}")
        lines += [f"  - `{' '.join(command)}`" for command in known.commands]
    lines += [f"- session {name}: not built yet: {', '.join(words)}" for name, words in NOT_BUILT.items()]
    return _section("Known differences from the recorded sessions", "", lines)


def _section(title: str, said: str, lines: list[str]) -> str:
    return "\n".join([f"## {title}", "", *([said] if said else []), *lines, ""])


def _first_line(thing: object) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0].removeprefix("Give ")


if __name__ == "__main__":
    click.echo(describe(), nl=False)
