# SPDX-License-Identifier: BSD-2-Clause
"""The probe: everything that a plan rests on, read in one batch."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from warden.facts.archive import parse_archive
from warden.facts.digest import facts_digest
from warden.facts.environment import parse_environment
from warden.facts.errors import FactsError, UnfitHostError
from warden.facts.host_tables import parse_devfs_rules, parse_mount_points, parse_passwd, parse_supervised
from warden.facts.ifconfig import parse_ifconfig
from warden.facts.inside.ask import LIST_INSIDES, QUESTIONS, parse_insides
from warden.facts.jails import LIST_BASTILLE, LIST_NETWORKS, parse_bastille, parse_jls, parse_networks
from warden.facts.keys import LIST_KEYS, parse_keys
from warden.facts.model import Facts, HostRecord, PacketFilter
from warden.facts.netstat import parse_netstat
from warden.facts.pfctl import parse_rules, parse_status, parse_table
from warden.facts.registry import HOST_RECORD, REGISTRY, parse_agent, parse_host_record
from warden.facts.sysrc import parse_sysrc
from warden.facts.zfs import AGENT_PROPERTY, BACKUP_PROPERTY, parse_datasets
from warden.host.command import Command

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from ipaddress import IPv4Network

    from warden.facts.model import File, RegisteredAgent
    from warden.host.command import Host, Result
    from warden.host.secret import Secret

ANCHOR = "warden"
TABLES = ("warden_net", "warden_gateways")
NOT_FOUND = 127

_LIST_WITH_PKG = 'cd /usr/local/bastille/releases && for pkg in */usr/sbin/pkg; do echo "${pkg%%/*}"; done'
_LIST_MARKED = "grep -l '^# managed by warden' /usr/local/etc/rc.d/* 2>/dev/null; true"

_FILES = (
    "etc/pf.conf",
    "etc/devfs.rules",
    "etc/hosts",
    "etc/rctl.conf",
    "usr/local/etc/warden",
    "usr/local/etc/bastille/bastille.conf",
    "usr/local/etc/rc.d/warden_pf",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """A command of the probe, and the exit statuses that are an answer."""

    argv: tuple[str, ...]
    answers: frozenset[int] = frozenset({0})
    secret: bool = False


def _questions(agents: Iterable[str], *, ask_jails: bool) -> dict[str, _Question]:
    pfctl = "/sbin/pfctl"
    anchored = (pfctl, "-a", ANCHOR)
    scripts = tuple(f"usr/local/etc/rc.d/{agent}" for agent in sorted(set(agents)))
    tables = {
        f"table {name}": _Question(argv=(*anchored, "-t", name, "-T", "show"), answers=frozenset({0, 1, 255}))
        for name in TABLES
    }
    maybe = frozenset({0, 1})
    insides = _Question(argv=("/bin/sh", "-c", LIST_INSIDES, "sh", *QUESTIONS.values()))
    return {
        "release": _Question(argv=("/bin/freebsd-version",)),
        "user": _Question(argv=("/usr/bin/id", "-u")),
        "interfaces": _Question(argv=("/sbin/ifconfig", "-f", "inet:cidr", "-a")),
        "routes": _Question(argv=("/usr/bin/netstat", "--libxo", "json", "-4rn")),
        "forwarding": _Question(argv=("/sbin/sysctl", "-n", "net.inet.ip.forwarding")),
        "rc.conf": _Question(argv=("/usr/sbin/sysrc", "-ae")),
        "pf status": _Question(argv=(pfctl, "-s", "info"), answers=maybe),
        "pf rules": _Question(argv=(pfctl, "-sr"), answers=maybe),
        "pf nat": _Question(argv=(pfctl, "-sn"), answers=maybe),
        "anchor rules": _Question(argv=(*anchored, "-sr"), answers=maybe),
        "anchor nat": _Question(argv=(*anchored, "-sn"), answers=maybe),
        **tables,
        "jails": _Question(argv=("/usr/sbin/jls", "--libxo", "json", "jid", "name", "path", "devfs_ruleset")),
        "networks": _Question(argv=("/bin/sh", "-c", LIST_NETWORKS)),
        "bastille jails": _Question(argv=("/bin/sh", "-c", LIST_BASTILLE)),
        "bastille": _Question(argv=("/usr/local/bin/bastille", "--version"), answers=frozenset({0, 126, NOT_FOUND})),
        "releases": _Question(argv=("/bin/ls", "/usr/local/bastille/releases"), answers=maybe),
        "releases with pkg": _Question(argv=("/bin/sh", "-c", _LIST_WITH_PKG), answers=frozenset({0, 1, 2})),
        **({"insides": insides} if ask_jails else {}),
        "keys": _Question(argv=("/bin/sh", "-c", LIST_KEYS)),
        "rctl": _Question(argv=("/usr/bin/rctl",), answers=frozenset({0, 1, 126, NOT_FOUND})),
        "datasets": _Question(
            argv=(
                *("/sbin/zfs", "get", "-Hp", "-t", "filesystem"),
                *("-o", "name,property,value,source", f"mountpoint,{AGENT_PROPERTY},quota,{BACKUP_PROPERTY}"),
            ),
            answers=maybe,
        ),
        "pools": _Question(argv=("/sbin/zpool", "list", "-Hp", "-o", "name"), answers=maybe),
        "mounts": _Question(argv=("/sbin/mount", "-p")),
        "devfs": _Question(argv=("/sbin/devfs", "rule", "-s", "13", "show"), answers=maybe),
        "rc.d": _Question(argv=("/bin/ls", "/etc/rc.d")),
        "local rc.d": _Question(argv=("/bin/ls", "/usr/local/etc/rc.d"), answers=maybe),
        "marked scripts": _Question(argv=("/bin/sh", "-c", _LIST_MARKED)),
        "users": _Question(argv=("/usr/bin/getent", "passwd")),
        "locales": _Question(argv=("/usr/bin/locale", "-a")),
        "processes": _Question(argv=("/bin/ps", "-J", "0", "-xww", "-o", "pid,ppid,user,command")),
        # the env files of agents are among them
        "files": _Question(argv=("/usr/bin/tar", "-cf", "-", "-C", "/", *_FILES, *scripts), answers=maybe, secret=True),
    }


def read_facts(host: Host, agents: Iterable[str], *, ask_jails: bool = True) -> Facts:
    """Read a host in one round trip. `agents` are the names whose rc.d scripts are to be compared.

    `ask_jails` is False where it does not matter what runs in the jails: each of them takes its time to answer.

    Raises FactsError where the host is no FreeBSD, or where an answer is not understood.
    """
    questions = _questions(agents, ask_jails=ask_jails)
    commands = [Command(argv=question.argv, secret=question.secret) for question in questions.values()]
    results = dict(zip(questions, host.run(commands, stop_on_error=False), strict=True))
    if not results["release"].ok:
        raise UnfitHostError(
            f"{host.address} is no FreeBSD host: {commands[0]} exits {results['release'].exit_code}",
            hint="Warden manages FreeBSD 14 and 15; try `--host fake:demo.json` for a machine to rehearse on",
        )
    if results["user"].stdout.strip() != b"0":
        # much of what follows would come back empty, and nothing tells that from a host that has none of it
        raise UnfitHostError(f"Warden is not root on {host.address}", hint="run it as root: doas warden, sudo warden")
    for name, question in questions.items():
        _check(name, question, results[name])
    if not results["datasets"].ok and results["pools"].stdout.strip():
        # a jail whose dataset is not told of would be taken for one that was never finished
        said = _text(results["datasets"].stderr).strip()
        raise FactsError(f"zfs: the datasets of {host.address} cannot be read: {said}", hint="zfs list, on the host")
    return _facts(host.address, results)


def _check(name: str, question: _Question, result: Result) -> None:
    if result.exit_code not in question.answers:
        reason = "(kept secret)" if question.secret else _text(result.stderr).strip()
        raise FactsError(
            f"cannot read {name}: {' '.join(question.argv[:4])} exits {result.exit_code}: {reason}",
            hint="run that command on the host; Warden must be root there",
        )


def _facts(address: str, results: Mapping[str, Result]) -> Facts:
    out = {name: "" if name == "files" else _text(result.stdout) for name, result in results.items()}
    files = parse_archive(results["files"].stdout, _text(results["files"].stderr))
    running = parse_networks(out["networks"], parse_jls(out["jails"]))
    record = files.get(HOST_RECORD)
    facts = Facts(
        address=address,
        release=out["release"].strip(),
        interfaces=parse_ifconfig(out["interfaces"]),
        routes=parse_netstat(out["routes"]),
        forwarding=out["forwarding"].strip() == "1",
        rc_conf=parse_sysrc(out["rc.conf"]),
        pf=_packet_filter(results, out),
        bastille=_bastille(results["bastille"]),
        releases=frozenset(out["releases"].split()),
        running_jails=running,
        bastille_jails=parse_bastille(out["bastille jails"]),
        datasets=parse_datasets(out["datasets"]),
        pools=frozenset(out["pools"].split()),
        mount_points=parse_mount_points(out["mounts"]),
        devfs_ruleset_13=parse_devfs_rules(out["devfs"]),
        rc_scripts=frozenset((out["rc.d"] + out["local rc.d"]).split()),
        users=parse_passwd(out["users"]),
        locales=frozenset(out["locales"].split()),
        supervised=parse_supervised(out["processes"]),
        files=files,
        registry=_registry(files),
        host_record=parse_host_record(record.text) if record else HostRecord(),
        environments=_environments(files),
        digest="",
        inside=parse_insides(out.get("insides", "")),
        keys=parse_keys(out["keys"]),
        rctl=frozenset(out["rctl"].split()) if results["rctl"].ok else None,
        releases_with_pkg=frozenset(out["releases with pkg"].split()),
        marked_scripts=frozenset(line.rpartition("/")[2] for line in out["marked scripts"].splitlines()),
    )
    return replace(facts, digest=facts_digest(facts))


def _packet_filter(results: Mapping[str, Result], out: Mapping[str, str]) -> PacketFilter:
    if not results["pf status"].ok:
        said = _text(results["pf status"].stderr).strip()
        if "No such file or directory" not in said:
            raise FactsError(f"pfctl: the status of pf cannot be read: {said}", hint="pfctl -s info, on the host")
        return PacketFilter(enabled=None)  # /dev/pf comes with the module
    tables: dict[str, tuple[IPv4Network, ...]] = {}
    for name in TABLES:
        result = results[f"table {name}"]
        if result.ok:
            tables[name] = parse_table(out[f"table {name}"])
        elif "does not exist" not in _text(result.stderr):
            raise FactsError(f"pfctl: table {name}: {_text(result.stderr).strip()}")
    return PacketFilter(
        enabled=parse_status(out["pf status"]),
        filter_rules=parse_rules(out["pf rules"]),
        nat_rules=parse_rules(out["pf nat"]),
        anchor_filter=parse_rules(out["anchor rules"]),
        anchor_nat=parse_rules(out["anchor nat"]),
        tables=tables,
    )


def _bastille(result: Result) -> str | None:
    # 1.4.4 says its version on standard error, later ones on standard output
    found = re.search(r"\d+(\.\d+)+", _text(result.stdout + result.stderr)) if result.ok else None
    return found[0] if found else None


def _registry(files: Mapping[str, File]) -> dict[str, RegisteredAgent]:
    agents = {}
    for path, file in files.items():
        if path.startswith(f"{REGISTRY}/") and path.endswith(".toml"):
            agent = parse_agent(path, file.text)
            agents[agent.name] = agent
    return agents


def _environments(files: Mapping[str, File]) -> dict[str, dict[str, Secret]]:
    return {
        path.rpartition("/")[2].removesuffix(".env"): parse_environment(path, file.text)
        for path, file in files.items()
        if path.startswith(f"{REGISTRY}/") and path.endswith(".env")
    }


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
