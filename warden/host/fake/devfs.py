# SPDX-License-Identifier: BSD-2-Clause
"""devfs(8) and its rules: what a devfs mount shows, and the rulesets that rc.d/devfs loads (session 12)."""

from __future__ import annotations

import re
import shlex
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING

from warden.host.fake.file_node import Node
from warden.host.fake.program import Reply, program, say
from warden.host.fake.service import rc_service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.host.fake.machine import Machine
    from warden.host.fake.program import Call

DEFAULT_RULES = """
[devfsrules_hide_all=1]
add hide

[devfsrules_unhide_basic=2]
add path null unhide
add path zero unhide
add path crypto unhide
add path random unhide
add path urandom unhide

[devfsrules_unhide_login=3]
add path 'ptyp*' unhide
add path 'ptyq*' unhide
add path 'ptyr*' unhide
add path 'ptys*' unhide
add path 'ptyP*' unhide
add path 'ptyQ*' unhide
add path 'ptyR*' unhide
add path 'ptyS*' unhide
add path 'ptyl*' unhide
add path 'ptym*' unhide
add path 'ptyn*' unhide
add path 'ptyo*' unhide
add path 'ptyL*' unhide
add path 'ptyM*' unhide
add path 'ptyN*' unhide
add path 'ptyO*' unhide
add path 'ttyp*' unhide
add path 'ttyq*' unhide
add path 'ttyr*' unhide
add path 'ttys*' unhide
add path 'ttyP*' unhide
add path 'ttyQ*' unhide
add path 'ttyR*' unhide
add path 'ttyS*' unhide
add path 'ttyl*' unhide
add path 'ttym*' unhide
add path 'ttyn*' unhide
add path 'ttyo*' unhide
add path 'ttyL*' unhide
add path 'ttyM*' unhide
add path 'ttyN*' unhide
add path 'ttyO*' unhide
add path ptmx unhide
add path pts unhide
add path 'pts/*' unhide
add path fd unhide
add path 'fd/*' unhide
add path stdin unhide
add path stdout unhide
add path stderr unhide

[devfsrules_jail=4]
add include $devfsrules_hide_all
add include $devfsrules_unhide_basic
add include $devfsrules_unhide_login
add path fuse unhide
add path zfs unhide

[devfsrules_jail_vnet=5]
add include $devfsrules_hide_all
add include $devfsrules_unhide_basic
add include $devfsrules_unhide_login
add include $devfsrules_jail
add path pf unhide
"""
"""/etc/defaults/devfs.rules, for a machine that has no such file."""

DEVICES = """
    acpi apm apmctl atkbd0 audit auditpipe bpf bpf0 bpsm0 cd0 console consolectl ctty cuau0 cuau0.init cuau0.lock devctl
    devctl2 devstat efi fido full geom.ctl hpet0 io kbd0 kbd1 kbdmux0 klog kmem mem null pass0 pci pf pfil psm0 random
    reroot stderr stdin stdout sysmouse ttyu0 ttyu0.init ttyu0.lock ttyv0 ttyv1 ttyv2 ttyv3 ttyv4 ttyv5 ttyv6 ttyv7
    ttyv8 ttyv9 ttyva ttyvb ufssuspend uinput urandom vtbd0 vtbd0p1 vtbd0p2 vtbd0p3 vtbd1 xpt0 zero zfs
"""
FOLDERS = "fd gpt gptid input msdosfs"
"""What /dev holds on the recorded machine (session 12)."""
FOR_ALL = ("ctty", "full", "null", "random", "stderr", "stdin", "stdout", "urandom", "zero", "zfs")

HEADER = re.compile(r"\[([A-Za-z0-9_]+)=([0-9]+)\]")


def load_rules(machine: Machine) -> str:
    """Load the rulesets of the two rules files, as `service devfs start` does; give its complaints."""
    machine.devfs_rulesets.clear()
    files = machine.files
    texts = [files.text("/etc/defaults/devfs.rules") if files.exists("/etc/defaults/devfs.rules") else DEFAULT_RULES]
    if files.exists("/etc/devfs.rules"):
        texts.append(files.text("/etc/devfs.rules"))
    names: dict[str, str] = {}
    complaints = ""
    for text in texts:
        current: list[str] | None = None
        for raw in text.splitlines():
            line = raw.partition("#")[0].strip()
            header = HEADER.fullmatch(line)
            if header is not None:
                names[header[1]] = header[2]
                current = machine.devfs_rulesets.setdefault(int(header[2]), [])
                current.clear()
            elif line and current is not None:
                words = shlex.split(re.sub(r"\$([A-Za-z0-9_]+)", lambda match: names.get(match[1], ""), line))
                if words[:1] != ["add"] or len(words) < 2:
                    complaints += f"devfs rule: syntax error: {line}\n"
                    continue
                current.append(" ".join(words[1:]))
    return complaints


def populate(machine: Machine) -> None:
    """Make the device nodes of /dev, as the kernel does before anything else runs."""
    files = machine.files
    folder = files.make_dir("/dev", parents=True)
    for name in DEVICES.split():
        mode = 0o666 if name in FOR_ALL else 0o600
        folder.children.setdefault(name, Node(kind="char", mode=mode, mtime=files.now))
    for name in FOLDERS.split():
        folder.children.setdefault(name, Node(kind="dir", mode=0o555, mtime=files.now))


def mount(machine: Machine, point: str, *, ruleset: int) -> None:
    """Mount a devfs that shows what a ruleset leaves; one without rules, or that is not there, leaves all of /dev."""
    files = machine.files
    tree = Node(kind="dir", mode=0o555, mtime=files.now)
    devices = files.node("/dev").children
    names = tuple(name for name in devices if name != "zvol")
    tree.children = {name: devices[name] for name in _visible(tuple(_rules(machine, ruleset)), names)}
    key = f"devfs:{files.next_mount}"
    files.trees[key] = tree
    files.mount("devfs", point, fstype="devfs", options="rw", tree=key)


def _rules(machine: Machine, ruleset: int) -> Iterator[str]:
    """Give a ruleset's rules, with those of the rulesets that it includes in their places."""
    for rule in machine.devfs_rulesets.get(ruleset, ()):
        if rule.startswith("include "):
            yield from _rules(machine, int(rule.split()[1]))
        else:
            yield rule


@lru_cache(maxsize=64)
def _visible(rules: tuple[str, ...], names: tuple[str, ...]) -> tuple[str, ...]:
    """Give the names that rules leave, the last rule about a name decides; many jails have the same rules."""
    hidden: set[str] = set()
    for rule in rules:
        words = rule.split()
        matching = set(names)
        if words[0] == "path":
            matching = {name for name in names if fnmatchcase(name, words[1])}
            words = words[2:]
        if "hide" in words:
            hidden |= matching
        elif "unhide" in words:
            hidden -= matching
    return tuple(name for name in names if name not in hidden)


@program("/sbin/devfs", "devfs rule showsets", "devfs rule -s RULESET show")
def devfs(call: Call) -> Reply:
    """Show the rulesets; one that is not there is empty (session 12)."""
    match call.args:
        case ("rule", "showsets"):
            return say("".join(f"{number}\n" for number in sorted(call.machine.devfs_rulesets)))
        case ("rule", "-s", number, "show") if number.isdigit():
            rules = call.machine.devfs_rulesets.get(int(number), [])
            return say("".join(f"{place * 100} {rule}\n" for place, rule in enumerate(rules, start=1)))
        case _:
            raise call.unsupported()


@rc_service("devfs")
def _service(call: Call, verb: str) -> Reply:
    """`service devfs start|restart`: rulesets are loaded anew, a jail's /dev stays as it was mounted."""
    if verb == "stop":
        return Reply()
    if verb not in ("start", "restart"):
        raise call.unsupported()
    populate(call.machine)
    return say(error=load_rules(call.machine))
