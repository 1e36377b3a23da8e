# SPDX-License-Identifier: BSD-2-Clause
"""bastille list: the tables, and the JSON that it makes of their words (sessions 05, 11, 12, 13)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from warden.host.fake.bastille_base import Run, all_jails, flags_of, setting_in, target
from warden.host.fake.bastille_config import property_of
from warden.host.fake.jls import addresses
from warden.host.fake.network import in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COLUMNS = ("JID", "Name", "Boot", "Prio", "State", "Type", "IP Address", "Published Ports", "Release", "Tags")
ALL_COLUMNS = ("JID", "Boot", "Prio", "State", "IP Address", "Published Ports", "Hostname", "Release", "Path")
TABLES = {
    "all": ALL_COLUMNS,
    "ip": ("JID", "Name", "IP Address"),
    "path": ("JID", "Name", "Path"),
    "port": ("JID", "Name", "Published Ports"),
    "state": ("JID", "Name", "State"),
    "type": ("JID", "Name", "Type"),
}
OTHER_NAMES = {"ips": "ip", "paths": "path", "ports": "port", "rdr": "port", "status": "state", "jailtype": "type"}
LEAST = {"JID": 3, "Name": 3, "Boot": 4, "Prio": 4, "State": 5, "Type": 5, "IP Address": 10, "Published Ports": 15,
         "Release": 7, "Hostname": 8}  # fmt: skip
RELEASE = re.compile(r"^(\S*)/([^/\s]+) \S*/root/\.bastille ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Row:
    """What list shows of a jail: cells by column, and the addresses, each of which has a line of its own."""

    cells: dict[str, str]
    addresses: list[str]


def list_jails(run: Run, args: Sequence[str]) -> None:
    """`list [-djpu] [all|ip|jail|...|TARGET]`."""
    given, words = flags_of(run, args, {"down": "d", "json": "j", "pretty": "p", "up": "u"})
    if len(words) > 1:
        raise run.call.unsupported()
    what = OTHER_NAMES.get(words[0], words[0]) if words else ""
    lists: dict[str, Callable[[Run], None]] = {
        "jail": _names, "jails": _names, "container": _names, "containers": _names,
        "release": _releases, "releases": _releases, "log": _logs, "logs": _logs,
        "limit": _limits, "limits": _limits, "import": _backups, "imports": _backups, "export": _backups,
        "exports": _backups, "backup": _backups, "backups": _backups,
    }  # fmt: skip
    if what in lists:
        lists[what](run)
        return
    columns = TABLES.get(what, COLUMNS)
    chosen = all_jails(run)
    if what and what not in TABLES:
        chosen = target(run, what)
        if len(chosen) != 1:
            run.usage("Usage: bastille list [option(s)]")
    _show(run, columns, chosen, given)


def _show(run: Run, columns: Sequence[str], chosen: list[str], given: set[str]) -> None:
    widths = _widths(run)
    rows = [_row(run, jail) for jail in sorted(chosen)]
    wanted = {"u": "Up", "d": "Down"}
    rows = [row for row in rows if all(row.cells["State"] == state for flag, state in wanted.items() if flag in given)]
    if given & {"j", "p"}:
        _print_json(run, columns, rows, pretty="p" in given)
        return
    run.line(_joined(columns, widths, {name: name for name in columns}))
    for row in rows:
        # in the small tables several addresses stand on one line
        several = len(row.addresses) > 1 and len(columns) > 3
        first = {**row.cells, "IP Address": row.addresses[0]} if several else row.cells
        run.line(_joined(columns, widths, first))
        if several:
            before = columns[: columns.index("IP Address")]
            blank = " " * sum(widths[name] + 2 for name in before)
            for address in row.addresses[1:]:
                run.line(f"{blank} {address}")


def _joined(columns: Sequence[str], widths: dict[str, int], cells: dict[str, str]) -> str:
    parts = [cells[name].ljust(widths.get(name, 0) + 2) for name in columns[:-1]]
    return f" {''.join(parts)}{cells[columns[-1]]}"


def _print_json(run: Run, columns: Sequence[str], rows: list[Row], *, pretty: bool) -> None:
    """Print the words of each line under the names of the columns, as awk finds them."""
    objects = []
    for row in rows:
        words = " ".join(row.cells[name] for name in columns).split()
        words += [""] * (len(columns) - len(words))
        pairs = [f'"{name}":"{word}"' for name, word in zip(columns, words, strict=False)]
        objects.append("  {\n    " + ",\n    ".join(pairs) + "\n  }" if pretty else "  {" + ",".join(pairs) + "}")
    run.line("[\n" + ",\n".join(objects) + "\n]")


def _widths(run: Run) -> dict[str, int]:
    """Work out how wide the columns are over all jails, and complain of VNET jails that have no rc.conf yet."""
    widths = dict(LEAST)
    jails = all_jails(run)
    widths["Name"] = max([3, *map(len, jails)]) if jails else 10
    missing = ""
    for jail in jails:
        conf = run.text(f"{run.jail_dir(jail)}/jail.conf")
        if "vnet;" in conf:
            rc_conf = f"{run.jail_dir(jail)}/root/etc/rc.conf"
            if not run.machine.files.exists(rc_conf):
                missing += f"grep: {rc_conf}: No such file or directory\n"
            for address in re.findall(r'(?m)^ifconfig_vnet.*=.*inet ([^/"\s]+)', run.text(rc_conf)):
                widths["IP Address"] = max(widths["IP Address"], len(address))
        for hostname in re.findall(r"(?m)^ *host\.hostname *= *(.*);", conf)[:1]:
            widths["Hostname"] = max(widths["Hostname"], len(hostname))
        widths["Release"] = max(widths["Release"], len(_release(run, jail)))
    # once for the addresses of IPv6, once for those of IPv4
    run.reply.stderr += missing.encode() * 2
    return widths


def _row(run: Run, jail: str) -> Row:
    folder, running = run.jail_dir(jail), run.machine.jails.get(jail)
    conf = run.text(f"{folder}/jail.conf")
    settings = run.text(f"{folder}/settings.conf")
    found = _addresses(run, jail, conf)
    cells = {
        "JID": str(running.jid) if running is not None else "-",
        "Name": jail,
        "Boot": _setting(run, settings, "boot"),
        "Prio": _setting(run, settings, "priority"),
        "State": "Up" if running is not None else _state(jail, conf),
        "Type": _type(run, jail),
        "IP Address": ",".join(found) or "-",
        "Published Ports": "-",
        "Hostname": running.hostname if running is not None else property_of(run, jail, "host.hostname") or "-",
        "Release": _release(run, jail) or "-",
        "Tags": ",".join(run.text(f"{folder}/tags").split()) or "-",
        "Path": running.path if running is not None else property_of(run, jail, "path") or "-",
    }
    return Row(cells, found)


def _setting(run: Run, settings: str, name: str) -> str:
    value = setting_in(settings, name)
    if value is None:
        run.info(f"sysrc: unknown variable '{name}'")
    return value or "-"


def _state(jail: str, conf: str) -> str:
    return "Down" if re.search(rf"(?ms)^{re.escape(jail)} {{$.*?^}}$", conf) else "n/a"


def _type(run: Run, jail: str) -> str:
    fstab = f"{run.jail_dir(jail)}/fstab"
    if not run.machine.files.exists(fstab):
        run.info(f"grep: {fstab}: No such file or directory")
    if f"{run.jail_dir(jail)}/root/.bastille " in run.text(fstab):
        return "thin"
    dataset = run.machine.datasets.get(f"{run.dataset}/jails/{jail}/root") if run.dataset else None
    return "clone" if dataset is not None and dataset.origin else "thick"


def _addresses(run: Run, jail: str, conf: str) -> list[str]:
    running = run.machine.jails.get(jail)
    if running is None:
        if "vnet;" in conf:
            text = run.text(f"{run.jail_dir(jail)}/root/etc/rc.conf")
            return re.findall(r'(?m)^ifconfig_vnet.*inet ([^/"\s]+)', text)
        return re.findall(r"(?m)^ .*ip4\.addr .*= (?:.*\|)?([^/;]+).*;$", conf)
    if running.net is None:
        return addresses(running, "ip4.addr") + addresses(running, "ip6.addr")
    found = [inet.address for interface in in_order(running.net) for inet in interface.inet]
    return [address for address in found if address != "127.0.0.1"]


def _release(run: Run, jail: str) -> str:
    match = RELEASE.search(run.text(f"{run.jail_dir(jail)}/fstab"))
    return match[2] if match is not None else property_of(run, jail, "osrelease") or ""


def _names(run: Run) -> None:
    for jail in all_jails(run):
        run.line(jail)


def _releases(run: Run) -> None:
    for name, node in run.machine.files.entries(run.releases_dir):
        if "COPYRIGHT" in node.children:
            run.line(name)


def _logs(run: Run) -> None:
    run.run("find", run.settings["bastille_logsdir"], "-type", "f", "-maxdepth", "1")


def _limits(run: Run) -> None:
    run.run("rctl", "-h", "jail:")


def _backups(run: Run) -> None:
    for name in run.machine.files.list_dir(run.settings["bastille_backupsdir"]):
        if not name.endswith(".sha256"):
            run.line(name)
