# SPDX-License-Identifier: BSD-2-Clause
"""bastille config: what jail.conf and settings.conf say of a jail, and changing it (sessions 05, 11, 12, 16)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from warden.host.fake.bastille_base import Run, flags_of, target
from warden.host.fake.jail_conf import JailConfError, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

PROPERTIES = """
    jid name path interface ip_hostname ip4.addr ip4.saddrsel ip4 ip6.addr ip6.saddrsel ip6 vnet vnet.interface novnet
    host.hostname host.domainname host.hostuuid host.hostid host securelevel devfs_ruleset children.max children.cur
    enforce_statfs persist cpuset.id parent nopersist osrelease osreldate meta env linux linux.osname linux.osrelease
    linux.oss_version sysvmsg sysvsem sysvshm zfs.mount_snapshot exec.prepare exec.prestart exec.created exec.start
    command exec.poststart exec.prestop exec.stop exec.poststop exec.release exec.clean exec.jail_user
    exec.system_jail_user exec.system_user exec.timeout exec.consolelog exec.fib stop.timeout zfs.dataset mount
    mount.fstab mount.devfs mount.fdescfs mount.procfs dying allow.dying
"""
ALLOWS = """
    set_hostname sysvipc raw_sockets chflags mount mount.devfs quotas read_msgbuf socket_af mlock nfsd reserved_ports
    unprivileged_parent_tampering unprivileged_proc_debug suser extattr adjtime settime routing setaudit mount.fdescfs
    mount.fusefs mount.nullfs mount.procfs mount.linprocfs mount.linsysfs mount.tmpfs mount.zfs vmm
"""
KNOWN = {
    *PROPERTIES.split(),
    *(f"allow.{name}" for name in ALLOWS.split()),
    *(f"allow.no{name}" for name in ALLOWS.split()),
}
"""The properties of jail.conf that may be changed; of the allows also those with `no` before them."""

OWN = {"boot": "boot", "depend": "depend", "depends": "depend", "prio": "priority", "priority": "priority"}
"""What stands in settings.conf, by the names that it goes by here."""
VALUE = re.compile(r"[A-Za-z0-9._/:| $!&%=(){}-]+")
RESTART = "A restart is required for the changes to be applied. See 'bastille restart'."


def property_of(run: Run, jail: str, name: str) -> str | None:
    """Give a property of a jail.conf as `config get` prints it; None for one that is not set."""
    try:
        values = parse(run.text(f"{run.jail_dir(jail)}/jail.conf")).parameters(jail).get(name)
    except JailConfError:
        return None
    if values is None or (name == "name"):
        return values[0] if values else None
    text = ",".join(values)
    # a value with an equals sign in it is taken for none
    return text if values and "=" not in text else "enabled"


def config(run: Run, args: Sequence[str]) -> None:
    """`config TARGET get|remove PROPERTY`, `config TARGET set|add PROPERTY [VALUE]`."""
    _, words = flags_of(run, args, {})
    if len(words) not in (3, 4):
        run.usage("Usage: bastille config [option(s)] TARGET set|add PROPERTY [VALUE]")
    jails = target(run, words[0])
    action, name, value = words[1], words[2], " ".join(words[3:])
    _check_action(run, action, len(words))
    if name in OWN:
        for jail in jails:
            _own(run, jail, action, OWN[name], value)
        return
    if name not in KNOWN:
        run.exit(f"[ERROR]: Unsupported property: {name}")
    for jail in jails:
        if action == "get":
            run.line(property_of(run, jail, name) or "not set")
        elif action == "remove":
            _remove(run, jail, name)
        else:
            _set(run, jail, name, value)
    if action != "get":
        run.info(RESTART)


def _check_action(run: Run, action: str, count: int) -> None:
    if action in ("get", "remove") and count != 3:
        run.exit("[ERROR]: Too many parameters for [get|remove] operation.")
    if action not in ("get", "remove", "add", "set"):
        run.exit("[ERROR]: Only (add|set), get and remove are supported.")


def _own(run: Run, jail: str, action: str, name: str, value: str) -> None:
    path = f"{run.jail_dir(jail)}/settings.conf"
    if action == "get":
        run.run("sysrc", "-f", path, "-n", name)
    elif name == "depend":
        if action == "remove" or not value:
            word = "Removing a jail from" if action == "remove" else "Adding a jail to"
            run.exit(f"[ERROR]: {word} the 'depend' property requires a TARGET.")
        others = "\n".join(target(run, value))
        run.title(jail)
        run.run("sysrc", "-f", path, f"depend+={others}")
    elif action == "remove":
        run.exit(f"[ERROR]: Cannot remove the '{name}' property.")
    elif name == "priority" and not value.isdigit():
        run.exit("Priority value must be a number.")
    elif name == "boot" and value not in ("on", "off"):
        run.exit("Boot value must be 'on' or 'off'.")
    else:
        run.run("sysrc", "-f", path, f"{name}={value}")


def _remove(run: Run, jail: str, name: str) -> None:
    if property_of(run, jail, name) is None:
        run.exit(f"[ERROR]: Value not present in jail.conf: {name}")
    run.title(jail)
    path = f"{run.jail_dir(jail)}/jail.conf"
    pattern = re.compile(name)
    # every line with the name in it goes, not only the property's own
    kept = [line for line in run.text(path).splitlines(keepends=True) if not pattern.search(line)]
    run.write(path, "".join(kept))
    run.info(f"Property removed: {name}")


def _set(run: Run, jail: str, name: str, value: str) -> None:
    path = f"{run.jail_dir(jail)}/jail.conf"
    if name in ("ip4.addr", "ip6.addr") and "|" not in value:
        before = property_of(run, jail, name) or "not set"
        value = f"{before.partition('|')[0]}|{value}"
    if value and not VALUE.fullmatch(value):
        run.exit(f"[ERROR]: Value contains unsupported characters: {value}")
    quoted = f"'{value}'" if " " in value else value
    line = f"  {name} = {quoted};" if value else f"  {name};"
    own = re.compile(rf"\s*{name}\s*;?")
    lines: list[str] = []
    found = False
    for old in run.text(path).splitlines():
        before = old.partition("=")[0]
        if not found and own.fullmatch(before):
            lines.append(line)
            found = True
            continue
        if before == "}" and not found:
            lines.append(line)
        lines.append(old)
    run.machine.files.remove(path)
    # it was written under another name, by mktemp, and moved here
    run.machine.files.write(path, "".join(f"{text}\n" for text in lines).encode(), mode=0o600)
