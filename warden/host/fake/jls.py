# SPDX-License-Identifier: BSD-2-Clause
"""jls(8): the jails that run and their parameters, as text and as JSON (sessions 05 and 12)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from warden.host.fake.program import Reply, program, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from warden.host.fake.machine import Jail, Machine
    from warden.host.fake.program import Call

HEADER = "   JID  IP Address      Hostname                      Path\n"

DEFAULTS = {
    "devfs_ruleset": "0", "dying": "false", "enforce_statfs": "2", "env": "", "host": "new", "ip4": "inherit",
    "ip6": "inherit", "jid": "", "meta": "", "name": "", "osreldate": "1501000", "osrelease": "", "parent": "0",
    "path": "", "persist": "false", "securelevel": "-1", "sysvmsg": "disable", "sysvsem": "disable",
    "sysvshm": "disable", "vnet": "", "zfs": "new", "allow.adjtime": "false", "allow.chflags": "false",
    "allow.extattr": "false", "allow.mlock": "false", "allow.mount": "false", "allow.mount.devfs": "false",
    "allow.mount.nullfs": "false", "allow.mount.zfs": "false", "allow.nfsd": "false", "allow.quotas": "false",
    "allow.raw_sockets": "false", "allow.read_msgbuf": "false", "allow.reserved_ports": "true",
    "allow.routing": "false", "allow.set_hostname": "true", "allow.setaudit": "false", "allow.settime": "false",
    "allow.socket_af": "false", "allow.suser": "true", "allow.sysvipc": "false",
    "allow.unprivileged_parent_tampering": "false", "allow.unprivileged_proc_debug": "true", "children.cur": "0",
    "children.max": "0", "cpuset.id": "", "host.domainname": "", "host.hostid": "0", "host.hostname": "",
    "host.hostuuid": "00000000-0000-0000-0000-000000000000", "ip4.addr": "", "ip4.saddrsel": "true",
    "ip6.addr": "", "ip6.saddrsel": "true", "zfs.mount_snapshot": "0",
}  # fmt: skip
"""Every parameter in the order of `jls -n`, and what it is when nothing sets it (session 05)."""

BOOLEAN = {name for name, value in DEFAULTS.items() if value in ("true", "false")}
ADDRESSES = ("ip4.addr", "ip6.addr")


def value_of(machine: Machine, jail: Jail, name: str) -> str:
    """Give a parameter of a jail that runs; booleans are `true` or `false`."""
    fixed = {
        "jid": str(jail.jid),
        "name": jail.name,
        "path": jail.path,
        "host.hostname": jail.hostname,
        "vnet": "inherit" if jail.net is None else "new",
        "cpuset.id": str(jail.jid + 1),
    }
    if name in fixed:
        return fixed[name]
    if name in ADDRESSES:
        return ",".join(addresses(jail, name))
    if name == "ip4" and "ip4" not in jail.parameters and jail.net is None:
        return "new" if addresses(jail, "ip4.addr") else "disable"
    given = jail.parameters.get(name)
    if given is None and name in BOOLEAN:
        head, _, last = name.rpartition(".")
        if f"{head}.no{last}".lstrip(".") in jail.parameters:
            return "false"
    if given is None:
        return DEFAULTS[name] if name != "osrelease" else machine.release
    return {"1": "true", "0": "false"}.get(given, given) if name in BOOLEAN else given


def addresses(jail: Jail, name: str) -> list[str]:
    """Give the addresses that a jail without its own network stack has."""
    values = jail.parameters.get(name, "").split(",")
    return [value.rpartition("|")[2].partition("/")[0] for value in values if value]


def find_jail(machine: Machine, name: str) -> Jail | None:
    """Find a jail that runs by its name or its number."""
    if name.isdigit():
        return next((jail for jail in machine.jails.values() if jail.jid == int(name)), None)
    return machine.jails.get(name)


@program(
    "/usr/sbin/jls",
    "jls [-dv] [-j JAIL]",
    "jls [-dhnq] [-j JAIL] [PARAMETER...]",
    "jls --libxo json [-v] [-j JAIL]",
    "jls --libxo json [-n] [-j JAIL] PARAMETER...",
)
def jls(call: Call) -> Reply:
    """List the jails that run; the header comes even before the complaint about a jail that is not there."""
    flags, name, as_json, words = _arguments(call)
    for word in words:
        if word not in DEFAULTS:
            return say(error=f"jls: unknown parameter: {word}\n", status=1)
    if words or as_json or not set(flags) & {"n", "h", "q"}:
        names: Sequence[str] = words
    else:
        names = list(DEFAULTS)
    plain = not names and not as_json and "v" not in flags
    header = HEADER if plain else ""
    if "h" in flags and names and not as_json:
        header = " ".join(names) + "\n"
    if name is None:
        jails = [] if call.jail else sorted(call.machine.jails.values(), key=lambda jail: jail.jid)
    else:
        found = None if call.jail else find_jail(call.machine, name)
        if found is None:
            quoted = name if name.isdigit() else f'"{name}"'
            return say(header, error=f"jls: jail {quoted} not found\n", status=1)
        jails = [found]
    if as_json:
        rows = ", ".join(_json_row(call.machine, jail, names, flags) for jail in jails)
        return say(f'{{"__version": "2", "jail-information": {{"jail": [{rows}]}}}}\n')
    if names:
        return say(header + "".join(_line(call.machine, jail, names, flags) for jail in jails))
    if "v" in flags:
        raise call.unsupported()
    return say(header + "".join(_row(jail) for jail in jails))


def _arguments(call: Call) -> tuple[str, str | None, bool, list[str]]:
    flags, name, as_json = "", None, False
    words = list(call.args)
    while words and words[0].startswith("-"):
        word = words.pop(0)
        if word in ("--libxo", "--libxo=json", "--libxo:J"):
            as_json = word != "--libxo" or (bool(words) and words.pop(0) == "json")
            if not as_json:
                raise call.unsupported()
            continue
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter == "j":
                name, letters = letters or (words.pop(0) if words else ""), ""
            elif letter in "dhnqv":
                flags += letter
            else:
                raise call.unsupported()
    return flags, name, as_json, words


def _row(jail: Jail) -> str:
    first = (addresses(jail, "ip4.addr") or [""])[0] if jail.net is None else ""
    return f"{jail.jid:>6}  {first[:15]:<15} {jail.hostname[:29]:<29} {jail.path[:74]}\n"


def _line(machine: Machine, jail: Jail, names: Sequence[str], flags: str) -> str:
    return " ".join(_shown(machine, jail, name, flags) for name in names) + "\n"


def _shown(machine: Machine, jail: Jail, name: str, flags: str) -> str:
    value = value_of(machine, jail, name)
    if "n" in flags and name in BOOLEAN:
        head, dot, last = name.rpartition(".")
        return name if value == "true" else f"{head}{dot}no{last}"
    if name in ADDRESSES and not value:
        text = '""' if "q" in flags else "" if "n" in flags else "-"
    elif not value:
        text = '""'
    else:
        text = f'"{value}"' if "q" in flags and " " in value else value
    return f"{name}={text}" if "n" in flags else text


def _json_row(machine: Machine, jail: Jail, names: Sequence[str], flags: str) -> str:
    if not names and "v" in flags:
        head = {"jid": jail.jid, "hostname": jail.hostname, "path": jail.path, "name": jail.name, "state": "ACTIVE"}
        head["cpusetid"] = jail.jid + 1
        lists = ", ".join(f'"{key}": [{_quoted(addresses(jail, name))}]' for key, name in _LISTS)
        return f"{json.dumps(head, separators=(',', ':'))[:-1]}, {lists}}}"
    if not names:
        first = (addresses(jail, "ip4.addr") or [""])[0]
        shown: dict[str, object] = {"jid": jail.jid, "ipv4": first, "hostname": jail.hostname, "path": jail.path}
        return json.dumps(shown, separators=(",", ":"))
    parts = []
    for name in names:
        value = value_of(machine, jail, name)
        if name in ADDRESSES:
            parts.append(f' "{name}": [{_quoted(addresses(jail, name))}]')
        elif "n" in flags and name in BOOLEAN:
            parts.append(f'"{name}":{value}')
        else:
            # A parameter that is asked for by name is text, the number of the jail too.
            parts.append(f'"{name}":{json.dumps(value)}')
    return "{" + ",".join(parts).lstrip() + "}"


_LISTS = (("ipv4_addrs", "ip4.addr"), ("ipv6_addrs", "ip6.addr"))


def _quoted(values: list[str]) -> str:
    return ",".join(json.dumps(value) for value in values)
