# SPDX-License-Identifier: BSD-2-Clause
"""bastille clone and rename: a jail under another name, with the names of its epair in jail.conf (session 12)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from warden.host.fake import datasets
from warden.host.fake.bastille_base import Run, flags_of, stamp, target_single
from warden.host.fake.bastille_create import check_address, epair_names, epair_of, static_mac

if TYPE_CHECKING:
    from collections.abc import Sequence


def clone(run: Run, args: Sequence[str]) -> None:
    """`clone [-a|-l] TARGET NEW_NAME IP`: both are started again with -a."""
    given, words = flags_of(run, args, {"auto": "a", "live": "l"})
    if {"a", "l"} <= given:
        run.exit("[-a|--auto] cannot be used with [-l|--live]")
    if len(words) != 3:
        run.usage("Usage: bastille clone [option(s)] TARGET NEW_NAME IP")
    old, new = target_single(run, words[0]), words[1]
    run.info(f"\nCloning '{old}' to '{new}'...")
    if "." in new:
        run.exit("[ERROR]: Jail names may not contain a dot(.)!")
    if run.machine.files.is_dir(run.jail_dir(new)):
        run.exit(f"[ERROR]: {new} already exists.")
    address = check_address(run, words[2])
    _make_ready(run, old, given)
    _copy(run, old, new)
    if run.dataset:
        # the count of what failed, none, is compared as a number
        run.info("[: : bad number")
    _rename_in_conf(run, old, new)
    _rename_epair(run, old, new)
    _new_macs(run, new)
    rc_conf = f"{run.jail_dir(new)}/root/etc/rc.conf"
    run.run("sysrc", "-f", rc_conf, f"ifconfig_vnet0=inet {address}")
    _rename_in_fstab(run, old, new)
    run.info(f"\nCloned '{old}' to '{new}' successfully.")
    if "a" in given:
        run.again("start", old)
    if given:
        run.again("start", new)


def _make_ready(run: Run, jail: str, given: set[str]) -> None:
    running = jail in run.machine.jails
    if "l" in given and not running:
        run.exit("[ERROR]: [-l|--live] can only be used with a running jail.")
    if running and "a" in given:
        run.again("stop", jail)
    elif running and "l" not in given:
        run.title(jail)
        run.info("Jail is running.")
        run.exit("Use [-a|--auto] to force stop the jail, or [-l|--live] (ZFS only) to clone a running jail.")


def rename(run: Run, args: Sequence[str]) -> None:
    """`rename [-a] TARGET NEW_NAME`: the MAC addresses stay as they were made for the old name."""
    given, words = flags_of(run, args, {"auto": "a"})
    if len(words) != 2:
        run.usage("Usage: bastille rename [option(s)] TARGET NEW_NAME")
    old, new = target_single(run, words[0]), words[1]
    if old in run.machine.jails:
        if "a" in given:
            run.again("stop", old)
        else:
            run.title(old)
            run.info("Jail is running.")
            run.exit("Use [-a|--auto] to auto-stop the jail.")
    _check_name(run, new)
    if run.machine.files.is_dir(run.jail_dir(new)):
        run.exit(f"[ERROR]: Jail: {new} already exists.")
    run.info(f"\nRenaming '{old}' to '{new}'...")
    if not run.dataset:
        run.machine.files.rename(run.jail_dir(old), run.jail_dir(new))
    elif run.run("zfs", "rename", "-f", f"{run.dataset}/jails/{old}", f"{run.dataset}/jails/{new}") != 0:
        run.exit(f"Can't rename '{old}' dataset.")
    _rename_in_conf(run, old, new)
    _rename_epair(run, old, new)
    _rename_in_fstab(run, old, new)
    run.info(f"Renamed '{old}' to '{new}' successfully.")
    if "a" in given:
        run.again("start", new)
    run.info(f"\nRenamed '{old}' to '{new}' successfully.\n")


def _check_name(run: Run, name: str) -> None:
    plain = re.sub(r"[^A-Za-z0-9_-]", "", name)
    if "." in name:
        run.exit("[ERROR]: Jail names may not contain a dot(.)!")
    if plain.startswith(("-", "_")):
        run.exit("[ERROR]: Jail names may not begin with (-|_) characters!")
    if name != plain:
        run.exit("[ERROR]: Jail names may not contain special characters!")


def _copy(run: Run, old: str, new: str) -> None:
    """Copy a jail's files: by zfs send and receive, whose snapshots are gone again afterwards."""
    machine = run.machine
    if not run.dataset:
        above = machine.files.node(run.jails_dir)
        above.children[new] = above.children[old].copy()
        return
    for below in ("", "/root"):
        taken = datasets.snapshot(machine, f"{run.dataset}/jails/{old}{below}@bastille_clone_{stamp(machine)}")
        datasets.receive(machine, taken.name, f"{run.dataset}/jails/{new}{below}")
        datasets.destroy(machine, taken)


def _rename_in_conf(run: Run, old: str, new: str) -> None:
    path = f"{run.jail_dir(new)}/jail.conf"
    text = run.text(path)
    log = f"{run.settings['bastille_logsdir']}/{new}_console.log"
    for pattern, instead in (
        (rf"host\.hostname = {re.escape(old)};", f"host.hostname = {new};"),
        (r"exec\.consolelog = .*;", f"exec.consolelog = {log};"),
        (r"(?m)^( *)path = .*;", rf"\1path = {run.jail_dir(new)}/root;"),
        (r"mount\.fstab = .*;", f"mount.fstab = {run.jail_dir(new)}/fstab;"),
        (rf"(?m)^{re.escape(old)}.*{{$", f"{new} {{"),
    ):
        text = re.sub(pattern, instead, text)
    run.write(path, text)


def _rename_epair(run: Run, old: str, new: str) -> None:
    path, rc_conf = f"{run.jail_dir(new)}/jail.conf", f"{run.jail_dir(new)}/root/etc/rc.conf"
    before = epair_of(run, new)
    if not before:
        raise run.call.unsupported("bastille clone and rename of a jail without VNET")
    host_before = before.replace("e0b_", "e0a_", 1)
    host_end, jail_end = epair_names(run, new)
    text = run.text(path)
    for name, instead in ((host_before, host_end), (before, jail_end)):
        text = re.sub(rf"(?<![\w]){re.escape(name)}(?![\w])", instead, text)
    text = re.sub(rf"Bastille jail {re.escape(old)}\b", f"Bastille jail {new}", text)
    run.write(path, text)
    run.write(rc_conf, run.text(rc_conf).replace(f"ifconfig_{before}_name", f"ifconfig_{jail_end}_name"))


def _new_macs(run: Run, jail: str) -> None:
    path = f"{run.jail_dir(jail)}/jail.conf"
    text = run.text(path)
    bridge = re.search(r"ifconfig (\S+) addm ", text)
    if " ether " in text and bridge is not None:
        mac = static_mac(run, jail, bridge[1])
        run.write(path, re.sub(r"ether [0-9a-f:]+([ab])\"", rf'ether {mac}\1"', text))


def _rename_in_fstab(run: Run, old: str, new: str) -> None:
    path = f"{run.jail_dir(new)}/fstab"
    lines = [
        line.replace(f"{run.jail_dir(old)}/root/", f"{run.jail_dir(new)}/root/", 1)
        for line in run.text(path).splitlines(keepends=True)
    ]
    run.write(path, "".join(lines))
