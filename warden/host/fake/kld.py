# SPDX-License-Identifier: BSD-2-Clause
"""Kernel modules: kldstat(8), kldload(8), kldunload(8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.host.fake.program import Reply, program, say

if TYPE_CHECKING:
    from warden.host.fake.machine import Machine
    from warden.host.fake.program import Call

NEEDS: dict[str, tuple[str, ...]] = {
    "bridgestp": (),
    "fdescfs": (),
    "if_bridge": ("bridgestp",),
    "if_epair": (),
    "ipfw": (),
    "linprocfs": (),
    "nmdm": (),
    "nullfs": (),
    "pf": (),
    "pflog": ("pf",),
    "procfs": (),
    "tmpfs": (),
    "vmm": (),
    "xdr": (),
    "zfs": ("xdr",),
}
"""The modules that there are besides the kernel, and what each loads with itself."""
BUILT_IN = frozenset(["ether", "if_lo", "if_tap", "if_tun", "if_tuntap", "if_vlan", "kernel", "loop", "ufs"])
KERNEL = ("0xffffffff80200000", "13a3ce8", "kernel")
PLACES = {
    "zfs": ("0xffffffff81e00000", "3c4e10"),
    "xdr": ("0xffffffff81c18000", "3188"),
    "pf": ("0xffffffff81c1c000", "55948"),
}
"""Where a module was in memory and how big (session 00); others are put behind them."""
FIRST_FREE, STEP = 0xFFFFFFFF821C5000, 0x10000


def load(machine: Machine, name: str) -> None:
    """Load a module and what it needs, as kldload(2); nothing happens where it is loaded or built in."""
    if f"{name}.ko" in machine.modules or name in BUILT_IN or name not in NEEDS:
        return
    machine.modules.append(f"{name}.ko")
    for needed in NEEDS[name]:
        load(machine, needed)


def is_loaded(machine: Machine, name: str) -> bool:
    """Tell whether a module is in the kernel, loaded or built in."""
    return name in BUILT_IN or f"{name}.ko" in machine.modules


@program("/sbin/kldstat", "kldstat", "kldstat [-q] -m MODULE", "kldstat [-q] -n FILE")
def kldstat(call: Call) -> Reply:
    """Show what is loaded, or tell by the exit status whether one is."""
    args = list(call.args)
    quiet = "-q" in args
    if quiet:
        args.remove("-q")
    if not args and not quiet:
        return say("Id Refs Address                Size Name\n" + "".join(_rows(call.machine)))
    if len(args) != 2 or args[0] not in ("-m", "-n"):
        raise call.unsupported()
    name = args[1].removesuffix(".ko")
    if not (is_loaded(call.machine, name) if args[0] == "-m" else f"{name}.ko" in call.machine.modules):
        what = f"module {args[1]}" if args[0] == "-m" else f"file {args[1]}"
        return say(error="" if quiet else f"kldstat: can't find {what}: No such file or directory\n", status=1)
    if quiet:
        return Reply()
    raise call.unsupported()


@program("/sbin/kldload", "kldload [-nqv] MODULE...")
def kldload(call: Call) -> Reply:
    """Load modules; with -n one that is loaded is no error."""
    options, names = _split(call)
    if not names:
        return say(error="usage: kldload [-nqv] file ...\n", status=1)
    reply = Reply()
    for given in names:
        name = given.removesuffix(".ko")
        if call.jail:
            reply += say(error=f"kldload: can't load {given}: Operation not permitted\n", status=1)
        elif is_loaded(call.machine, name):
            if "n" not in options:
                reply += say(error=f"kldload: can't load {given}: module already loaded or in kernel\n", status=1)
        elif name not in NEEDS:
            reply += say(error=f"kldload: can't load {given}: No such file or directory\n", status=1)
        else:
            load(call.machine, name)
            if "v" in options:
                reply += say(f"Loaded {given}, id={call.machine.modules.index(f'{name}.ko') + 2}\n")
    return Reply(1 if reply.stderr else 0, reply.stdout, reply.stderr)


@program("/sbin/kldunload", "kldunload MODULE...")
def kldunload(call: Call) -> Reply:
    """Unload modules that nothing uses."""
    options, names = _split(call)
    if options or not names:
        raise call.unsupported()
    reply = Reply()
    for given in names:
        file = given.removesuffix(".ko") + ".ko"
        if file not in call.machine.modules:
            reply += say(error=f"kldunload: can't find file {given}: No such file or directory\n", status=1)
        elif file in ("zfs.ko", "xdr.ko", "bridgestp.ko", "pf.ko", "nullfs.ko") or _in_use(call.machine, file):
            raise call.unsupported(f"kldunload {given} while it is in use")
        else:
            call.machine.modules.remove(file)
    return Reply(1 if reply.stderr else 0, reply.stdout, reply.stderr)


def _in_use(machine: Machine, file: str) -> bool:
    stacks = [machine.net, *(jail.net for jail in machine.jails.values() if jail.net is not None)]
    kind = file.removeprefix("if_").removesuffix(".ko")
    return any(interface.kind == kind for stack in stacks for interface in stack.interfaces.values())


def _rows(machine: Machine) -> list[str]:
    # each module refers to the kernel a few times; how often is not recorded for others than these three
    rows = [_row(1, 12 + len(machine.modules), *KERNEL)]
    free = FIRST_FREE
    for number, file in enumerate(machine.modules, start=2):
        place = PLACES.get(file.removesuffix(".ko"))
        if place is None:
            place = (f"{free:#x}", "5000")
            free += STEP
        rows.append(_row(number, 1, *place, file))
    return rows


def _row(number: int, references: int, address: str, size: str, name: str) -> str:
    return f"{number:2d} {references:4d} {address} {size:>8} {name}\n"


def _split(call: Call) -> tuple[str, list[str]]:
    options = "".join(arg[1:] for arg in call.args if arg.startswith("-"))
    if set(options) - set("nqv"):
        raise call.unsupported()
    return options, [arg for arg in call.args if not arg.startswith("-")]
