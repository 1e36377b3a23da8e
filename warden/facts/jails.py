# SPDX-License-Identifier: BSD-2-Clause
"""What is said of jails: by jls(8), by their own network stacks, and by Bastille's files."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from ipaddress import AddressValueError, IPv4Address
from typing import Any

from warden.facts.errors import FactsError
from warden.facts.ifconfig import parse_ifconfig
from warden.facts.model import BastilleJail, Interface, RunningJail

JAILS = "/usr/local/bastille/jails"

LIST_NETWORKS = (
    'for jail in $(jls name); do echo "=jail $jail";'
    r""" ifconfig -j "$jail" -f inet:cidr | grep -E '^[A-Za-z0-9_.-]+: flags=|^[[:space:]]inet ';"""
    ' echo "=route"; route -j "$jail" -n get default 2>/dev/null; done; true'
)
"""Reads every VNET jail's addresses and default route with the host's own tools: a jail's could lie.

Root in a jail can write what he likes into an interface's description, newlines included: only the lines that are
asked for come through, so what he says is of his own jail at most.
"""

LIST_BASTILLE = (
    r"grep -HE '\{$|^  (osrelease|vnet\.interface|sysv(msg|sem|shm)) = |^  exec\.prestart .* addm '"
    r"'|^(boot|priority)=|^[^#].* nullfs |^jail:'"
    f" {JAILS}/*/jail.conf {JAILS}/*/settings.conf {JAILS}/*/fstab {JAILS}/*/rctl.conf 2>/dev/null; true"
)
"""Reads what a plan rests on of every jail's definition, without walking through the jails' own files."""

_BASTILLE_LINE = re.compile(rf"^{JAILS}/([^/]+)/(jail\.conf|settings\.conf|fstab|rctl\.conf):(.*)$")
_ADD_MEMBER = re.compile(r'"ifconfig (\S+) addm (\S+)')
_GATEWAY = re.compile(r"^\s*gateway: (\S+)$")


def parse_jls(text: str) -> dict[str, RunningJail]:
    """Give the running jails of `jls --libxo json jid name path devfs_ruleset`, by name."""
    try:
        rows: list[dict[str, Any]] = json.loads(text)["jail-information"]["jail"]
        return {
            row["name"]: RunningJail(
                name=row["name"], jid=int(row["jid"]), path=row["path"], devfs_ruleset=int(row["devfs_ruleset"])
            )
            for row in rows
        }
    except (KeyError, TypeError, ValueError) as error:
        raise FactsError(f"jls: an answer that is not understood: {error}") from error


def parse_networks(text: str, running: dict[str, RunningJail]) -> dict[str, RunningJail]:
    """Add addresses and default routers, as LIST_NETWORKS prints them, to the running jails."""
    jails = dict(running)
    for section in re.split(r"^=jail ", text, flags=re.MULTILINE)[1:]:
        name, _, rest = section.partition("\n")
        interfaces, _, route = rest.partition("=route\n")
        if name not in jails:
            continue  # it started after jls had answered
        try:
            found = parse_ifconfig(interfaces)
        except FactsError:
            found = {}  # of a jail's own making: it must not keep the host from being planned
        addresses = tuple(address for interface in found.values() for address in _outward(interface))
        jails[name] = replace(jails[name], addresses=addresses, default_router=_router(route))
    return jails


def parse_bastille(text: str) -> dict[str, BastilleJail]:
    """Give Bastille's jails by name, from what LIST_BASTILLE prints."""
    jails: dict[str, BastilleJail] = {}
    for line in text.splitlines():
        found = _BASTILLE_LINE.match(line)
        if found is None:
            raise FactsError(f"the definition of a jail: a line that is not understood: {line!r}")
        name, file, content = found.groups()
        jail = jails.get(name)
        if file == "jail.conf":
            jails[name] = _with_conf(jail or BastilleJail(name=name), content)
        elif jail is None:
            continue  # no jail.conf: Bastille does not know such a jail, and neither do we
        elif file == "fstab":
            jails[name] = _with_mount(jail, content)
        elif file == "rctl.conf":
            jails[name] = replace(jail, limits=(*jail.limits, content))
        else:
            jails[name] = _with_setting(jail, content)
    return jails


def _outward(interface: Interface) -> tuple[Any, ...]:
    return () if interface.name.startswith("lo") else interface.addresses


def _router(text: str) -> IPv4Address | None:
    for line in text.splitlines():
        found = _GATEWAY.match(line)
        if found:
            try:
                return IPv4Address(found[1])
            except AddressValueError as error:
                raise FactsError(f"route: a gateway that is not understood: {line!r}") from error
    return None


def _with_conf(jail: BastilleJail, line: str) -> BastilleJail:
    key, _, value = line.strip().rstrip(";").partition(" = ")
    if key == "osrelease":
        return replace(jail, release=value.strip('"'))
    if key == "vnet.interface":
        return replace(jail, host_interface=re.sub(r"^e(\d+)b_", r"e\1a_", value.strip('"')))
    if key in ("sysvmsg", "sysvsem", "sysvshm"):
        return replace(jail, parameters={**jail.parameters, key: value.strip('"')})
    member = _ADD_MEMBER.search(line)
    return replace(jail, bridge=member[1]) if member else jail


def _with_mount(jail: BastilleJail, line: str) -> BastilleJail:
    fields = line.split()
    if len(fields) < 2:  # fstab(5): what is mounted, and where
        raise FactsError(f"the fstab of {jail.name}: a line that is not understood: {line!r}")
    if fields[1].endswith("/root/.bastille"):
        return replace(jail, thin=True)
    return replace(jail, mounts={**jail.mounts, fields[1]: line})


def _with_setting(jail: BastilleJail, line: str) -> BastilleJail:
    key, _, value = line.partition("=")
    value = value.strip('"')
    if key == "boot":
        return replace(jail, boot=value == "on")
    return replace(jail, priority=int(value)) if value.isdigit() else jail
