# SPDX-License-Identifier: BSD-2-Clause
"""Kernel state by name: sysctl(8)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from warden.host.fake.program import Reply, program, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from warden.host.fake.machine import Machine, NetStack
    from warden.host.fake.program import Call

    Value = Callable[[Call], str]


@dataclass(frozen=True, slots=True)
class Oid:
    """A sysctl: its value while nobody set it, who may set it, and the module that brings it."""

    value: str | Value
    writable: bool = False
    tunable: bool = False
    per_stack: bool = False
    module: str = ""


def _flag(default: str = "0", *, module: str = "") -> Oid:
    return Oid(default, writable=True, per_stack=True, module=module)


def _hostname(call: Call) -> str:
    return call.machine.jails[call.jail].hostname if call.jail else call.machine.hostname


def _securelevel(call: Call) -> str:
    return call.machine.jails[call.jail].parameters.get("securelevel", "-1") if call.jail else "-1"


OIDS: dict[str, Oid] = {
    "hw.machine": Oid(lambda call: call.machine.arch),
    "hw.machine_arch": Oid(lambda call: call.machine.arch),
    "hw.ncpu": Oid(lambda call: str(call.machine.ncpu)),
    "hw.pagesize": Oid("4096"),
    "hw.physmem": Oid(lambda call: str(call.machine.physmem)),
    "hw.vmm.svm.initialized": Oid("0", module="vmm.ko"),
    "hw.vmm.vmx.initialized": Oid(lambda call: str(int(call.machine.vmx)), module="vmm.ko"),
    "kern.boottime": Oid(lambda call: f"{{ sec = {call.machine.booted_at}, usec = 0 }}"),
    "kern.hostname": Oid(_hostname),
    "kern.hostuuid": Oid(lambda call: NO_UUID if call.jail else call.machine.hostuuid),
    "kern.osrelease": Oid(lambda call: call.machine.release),
    "kern.osreldate": Oid(lambda call: _release_date(call.machine)),
    "kern.ostype": Oid("FreeBSD"),
    "kern.racct.enable": Oid("0", tunable=True),
    "kern.securelevel": Oid(_securelevel),
    "kern.smp.cpus": Oid(lambda call: str(call.machine.ncpu)),
    "net.fibs": Oid("1", tunable=True),
    "net.inet.icmp.bmcastecho": _flag(),
    "net.inet.icmp.drop_redirect": _flag(),
    "net.inet.icmp.log_redirect": _flag(),
    "net.inet.ip.accept_sourceroute": _flag(),
    "net.inet.ip.forwarding": _flag(),
    "net.inet.ip.redirect": _flag("1"),
    "net.inet.ip.sourceroute": _flag(),
    "net.inet.tcp.blackhole": _flag(),
    "net.inet.udp.blackhole": _flag(),
    "net.inet6.ip6.dad_count": _flag("1"),
    "net.inet6.ip6.forwarding": _flag(),
    "net.inet6.ip6.use_defaultzone": _flag(),
    "net.link.bridge.allow_llz_overlap": _flag(module="if_bridge.ko"),
    "net.link.bridge.inherit_mac": _flag(module="if_bridge.ko"),
    "net.link.bridge.ipfw": _flag(module="if_bridge.ko"),
    "net.link.bridge.ipfw_arp": _flag(module="if_bridge.ko"),
    "net.link.bridge.log_stp": _flag(module="if_bridge.ko"),
    "net.link.bridge.member_ifaddrs": _flag(module="if_bridge.ko"),
    "net.link.bridge.pfil_bridge": _flag(module="if_bridge.ko"),
    "net.link.bridge.pfil_local_phys": _flag(module="if_bridge.ko"),
    "net.link.bridge.pfil_member": _flag(module="if_bridge.ko"),
    "net.link.bridge.pfil_onlyip": _flag("1", module="if_bridge.ko"),
    "net.link.epair.ether_gen_addr": _flag("1", module="if_epair.ko"),
    "net.link.ether.inet.proxyall": _flag(),
    "net.link.tap.up_on_open": Oid("0", writable=True),
    "net.link.tap.user_open": Oid("0", writable=True),
    "security.bsd.see_jail_proc": Oid("1", writable=True),
    "security.bsd.see_other_gids": Oid("1", writable=True),
    "security.bsd.see_other_uids": Oid("1", writable=True),
    "security.bsd.unprivileged_proc_debug": Oid("1", writable=True),
    "security.jail.jailed": Oid(lambda call: str(int(bool(call.jail)))),
    "security.jail.vnet": Oid(lambda call: str(int(bool(call.net.jail)))),
    "vm.overcommit": Oid("0", writable=True),
}
"""What the fake host knows of the kernel's thousands; the rest is refused unless it looks like no sysctl at all."""

NO_UUID = "00000000-0000-0000-0000-000000000000"
BRANCHES = ("compat", "debug", "dev", "hw", "kern", "kstat", "machdep", "net", "security", "user", "vfs", "vm")
SET_OTHERWISE = ("kern.hostname", "kern.hostuuid", "kern.securelevel")
"""What a real machine lets one set and the fake one keeps elsewhere."""
USAGE = "usage: sysctl [-bdeFhiJlNnoqTtVWx] [ -B <bufsize> ] [-f filename] name[=value] ...\n       sysctl -a\n"


def read(machine: Machine, stack: NetStack, name: str) -> str:
    """Give a value that can be set, as the kernel uses it: `read(machine, stack, "net.inet.ip.forwarding")`."""
    oid = OIDS[name]
    if not isinstance(oid.value, str):
        raise TypeError(f"{name} is worked out for a caller")
    return (stack.sysctls if oid.per_stack else machine.sysctls).get(name, oid.value)


def load_tunables(machine: Machine) -> None:
    """Take the tunables from /boot/loader.conf, as the loader does at boot."""
    node = machine.files.lookup("/boot/loader.conf")
    for name, value in re.findall(r'(?m)^([\w.]+)="?([^"\n]*)"?', node.data.decode() if node is not None else ""):
        if name in OIDS and (OIDS[name].tunable or OIDS[name].writable):
            machine.sysctls[name] = value


@program("/sbin/sysctl", "sysctl [-eFinNq] NAME...", "sysctl [-inq] NAME=VALUE...", "sysctl [-iq] -f FILE")
def sysctl(call: Call) -> Reply:
    """Show and set; the exit status counts the names that failed."""
    options, words = _split(call)
    if not words:
        return say(error=USAGE, status=1)
    if "f" in options:
        words, options = [*_lines(call, words[0]), *words[1:]], options.replace("f", "")
    reply, failed = Reply(), 0
    for word in words:
        name, equals, value = word.partition("=")
        one = _one(call, options, name.strip(), value.strip() if equals else None)
        failed += one.exit_code
        reply += one
    return Reply(failed, reply.stdout, reply.stderr)


def _one(call: Call, options: str, name: str, value: str | None) -> Reply:
    oid = OIDS.get(name)
    if oid is None or (oid.module and oid.module not in call.machine.modules):
        if oid is None and _may_exist(name):
            raise call.unsupported(f"sysctl {name}")
        error = "" if "i" in options or "q" in options else f"sysctl: unknown oid '{name}'\n"
        return say(error=error, status=0 if "i" in options else 1)
    kept = call.net.sysctls if oid.per_stack else call.machine.sysctls
    now = kept.get(name) or (oid.value if isinstance(oid.value, str) else oid.value(call))
    between = "=" if "e" in options else ": "
    if "N" in options:
        return say(f"{name}\n")
    if value is None:
        return say(f"{now}\n" if "n" in options else f"{name}{between}{now}\n")
    if name in SET_OTHERWISE:
        raise call.unsupported(f"sysctl {name}={value}")
    refusal = _refusal(call, oid, name, value)
    if refusal:
        return say(error=refusal, status=1)
    kept[name] = value
    if "q" in options:
        return Reply()
    return say(f"{now} -> {value}\n" if "n" in options else f"{name}{between}{now} -> {value}\n")


def _refusal(call: Call, oid: Oid, name: str, value: str) -> str:
    if not oid.writable:
        if oid.tunable:
            return f"sysctl: oid '{name}' is a read only tunable\nsysctl: Tunable values are set in /boot/loader.conf\n"
        return f"sysctl: oid '{name}' is read only\n"
    if not re.fullmatch(r"-?\d+|0x[0-9a-fA-F]+", value):
        return f"sysctl: invalid integer '{value}'\n"
    if call.user != "root" or (call.jail and not (oid.per_stack and call.net.jail)):
        return f"sysctl: {name}={value}: Operation not permitted\n"
    return ""


def _may_exist(name: str) -> bool:
    """Tell whether a name could be one of the kernel's that the fake host does not know."""
    return name.partition(".")[0] in BRANCHES


def _lines(call: Call, path: str) -> list[str]:
    """Give what a sysctl.conf(5) sets."""
    lines = call.files.text(call.path(path), root=call.root).splitlines()
    return [line for line in (raw.partition("#")[0].strip() for raw in lines) if line]


def _split(call: Call) -> tuple[str, list[str]]:
    options, words = "", list(call.args)
    while words and words[0].startswith("-") and words[0] != "--":
        options += words.pop(0)[1:]
    if set(options) - set("efFinNq"):
        raise call.unsupported()
    return options, words


def _release_date(machine: Machine) -> str:
    """Give __FreeBSD_version: 1501000 for 15.1-RELEASE."""
    major, _, minor = machine.release.partition("-")[0].partition(".")
    return f"{major}{int(minor):02d}000"
