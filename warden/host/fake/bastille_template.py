# SPDX-License-Identifier: BSD-2-Clause
"""bastille template: Bastillefiles, and the default ones that every create applies (sessions 05 and 13)."""

from __future__ import annotations

import re
import shlex
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from warden.host.fake import bastille_base
from warden.host.fake.bastille_base import Run, flags_of, target
from warden.host.fake.packages import PACKAGES, Package

if TYPE_CHECKING:
    from collections.abc import Sequence


SHARE = "/usr/local/share/bastille/templates"
INCLUDE_BASE = (
    "ARG BASE_TEMPLATE=default/base\nARG HOST_RESOLV_CONF=/etc/resolv.conf\n\n"
    'INCLUDE ${BASE_TEMPLATE} --arg HOST_RESOLV_CONF="${HOST_RESOLV_CONF}"\n'
)
DEFAULT_TEMPLATES = {
    "thin": INCLUDE_BASE,
    "thick": INCLUDE_BASE,
    "clone": INCLUDE_BASE,
    "vnet": """\
ARG EXT_INTERFACE
ARG INTERFACE
ARG VNET
ARG GATEWAY
ARG GATEWAY6
ARG IFCONFIG
ARG IFCONFIG6

SYSRC ifconfig_${INTERFACE}_name="${VNET}"
SYSRC ifconfig_${VNET}="${IFCONFIG}"
SYSRC ifconfig_${VNET}_descr="jail interface for ${EXT_INTERFACE}"
SYSRC ifconfig_${VNET}_ipv6="${IFCONFIG6}"
SYSRC defaultrouter="${GATEWAY}"
SYSRC ipv6_defaultrouter="${GATEWAY6}"
""",
    "base": """\
ARG HOST_RESOLV_CONF=/etc/resolv.conf

CMD touch /etc/rc.conf
CMD touch /etc/periodic.conf
CMD pw user mod root -h -

SYSRC -f /etc/periodic.conf daily_status_world_kernel="NO"
SYSRC syslogd_flags="-ss"
SYSRC sendmail_enable="NO"
SYSRC sendmail_submit_enable="NO"
SYSRC sendmail_outbound_enable="NO"
SYSRC sendmail_msp_queue_enable="NO"
SYSRC cron_flags="-J 60"

CP "${HOST_RESOLV_CONF}" etc/resolv.conf
""",
}
"""The Bastillefiles that Bastille brings along, by the second part of their names."""

HOOKS = {
    "include": "template",
    "pkg": "pkg -y",
    "hpkg": "pkg -Hy",
    "fstab": "mount",
    "mount": "mount",
    "sysrc": "sysrc",
    "service": "service",
    "config": "config",
    "limits": "limits",
    "restart": "restart",
    "start": "start",
    "stop": "stop",
}
"""Hooks that are a command of Bastille with the rest of the line behind the target."""


PACKAGES["bastille"] = Package(
    {
        "/usr/local/bin/bastille": "",
        "/usr/local/etc/rc.d/bastille": "",
        f"{bastille_base.CONFIG}.sample": bastille_base.sample(),
        **{f"{SHARE}/default/{name}/Bastillefile": text for name, text in DEFAULT_TEMPLATES.items()},
    }
)


def template(run: Run, args: Sequence[str]) -> None:
    """`template [-a] TARGET TEMPLATE [--arg NAME=VALUE]...`: line by line; the first that fails ends it with 1."""
    given, words = flags_of(run, args, {"auto": "a"})
    if len(words) < 2:
        run.usage("Usage: bastille template [option(s)] TARGET|convert TEMPLATE")
    if words[0] == "convert" or "--arg-file" in words or "://" in words[1]:
        raise run.call.unsupported()
    jails = target(run, words[0])
    name = words[1]
    if "/" not in name:
        run.exit("[ERROR]: Template name/URL not recognized.")
    folder = f"{run.settings['bastille_templatesdir']}/{name}"
    if not run.machine.files.is_dir(folder):
        if not run.machine.files.is_dir(run.call.path(name)):
            run.exit(f"[ERROR]: {name} not found.")
        folder = run.call.path(name)
    wanted = dict(word.partition("=")[::2] for flag, word in pairwise(words) if flag == "--arg")
    run.each(jails, lambda jail: _apply(run, jail, name, folder, wanted, auto="a" in given))


def _apply(run: Run, jail: str, name: str, folder: str, wanted: dict[str, str], *, auto: bool) -> None:
    run.need_running(jail, auto=auto)
    run.title(jail)
    run.info(f"Applying template: {name}...")
    known = {"JAIL_NAME": jail, "JAIL_IP": _address(run, jail), "JAIL_IP6": ""}
    for line in _lines(run.text(f"{folder}/Bastillefile")):
        hook, _, rest = line.partition(" ")
        text = re.sub(r"\$\{(\w+)\}", lambda match: known.get(match[1], match[0]), rest.strip())
        if hook.lower() in ("arg", "arg+"):
            _take_argument(run, text, wanted, known, needed=hook.endswith("+"))
            continue
        command, words = _command(run, hook.lower(), folder, text)
        if run.again(*command.split(), jail, *words) != 0:
            run.exit(f"[ERROR]: Failed to execute command: {command}")
    run.info(f"\nTemplate applied: {name}")


def _take_argument(run: Run, text: str, wanted: dict[str, str], known: dict[str, str], *, needed: bool) -> None:
    name, _, default = text.partition("=")
    value = wanted.get(name, default).replace('"', "")
    if not value and needed:
        run.exit(f"[ERROR]: No value provided for mandatory arg: {name}")
    if not value:
        run.info(f"[WARNING]: No value provided for arg: {name}")
    known[name] = value


def _command(run: Run, hook: str, folder: str, text: str) -> tuple[str, list[str]]:
    """Give the command of Bastille that a hook stands for, with its flags, and the arguments behind the target."""
    if hook == "cmd":
        return "cmd", ["sh", "-c", text]
    try:
        words = _split(text)
    except ValueError:
        raise run.call.unsupported() from None
    if hook in ("cp", "copy", "overlay"):
        source = words[0] if words[0].startswith("/") else f"{folder}/{words[0]}"
        return "cp", [source, "/" if hook == "overlay" else words[1]]
    if hook in ("tag", "tags"):
        return "tags", ["add", ",".join(words)]
    if hook not in HOOKS:
        raise run.call.unsupported(f"the hook {hook.upper()} in a Bastillefile")
    return HOOKS[hook], ["install", *words] if hook.endswith("pkg") else words


@lru_cache(maxsize=64)
def _split(text: str) -> list[str]:
    """Split a hook's arguments as sh does; most of the default templates' are the same for every jail."""
    return shlex.split(text)


def _lines(text: str) -> list[str]:
    whole = text.replace("\\\n", "")
    return [line for line in whole.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _address(run: Run, jail: str) -> str:
    running = run.machine.jails.get(jail)
    stack = running.net if running is not None else None
    if stack is None:
        return ""
    found = [inet.address for interface in stack.interfaces.values() for inet in interface.inet]
    return next((address for address in found if address != "127.0.0.1"), "")
