# SPDX-License-Identifier: BSD-2-Clause
"""bastille mount and umount: lines of a jail's fstab (sessions 05 and 12)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from warden.host.fake.bastille_base import EndError, Run, flags_of, target

if TYPE_CHECKING:
    from collections.abc import Sequence

FORMAT = "Format: /host/path /jail/path nullfs ro 0 0"
CHECKS = ("0 0", "1 0", "0 1", "1 1")


def mount(run: Run, args: Sequence[str]) -> None:
    """`mount [-a] TARGET FOLDER JAIL_FOLDER [TYPE OPTIONS DUMP PASS]`; a folder that is not there is made."""
    given, words = flags_of(run, args, {"auto": "a"})
    if not 3 <= len(words) <= 7:
        run.usage("Usage: bastille mount [option(s)] TARGET HOST_PATH JAIL_PATH [FS_TYPE FS_OPTIONS DUMP PASS_NUMBER]")
    jails = target(run, words[0])
    text = " ".join([*words[1:], "nullfs", "ro", "0", "0"] if len(words) == 3 else words[1:]).replace("\\ ", "\\040")
    fields = [*text.split(), "", "", "", "", "", ""][:6]
    source, point, fstype, options = fields[:4]
    checks = " ".join(fields[4:])
    if not all((source, point, fstype, options, checks.strip())):
        run.info("FSTAB format not recognized.")
        run.info(f"{FORMAT}\nRead: {text}")
    host = source.replace("\\040", " ")
    files = run.machine.files
    if fstype == "nullfs" and not files.exists(host):
        files.make_dir(host, parents=True)
    elif fstype != "nullfs":
        if host in ("tmpfs", "linprocfs", "linsysfs", "proc", "fdesc") or fstype == "zfs":
            raise run.call.unsupported()
        _refuse(run, "[ERROR]: Invalid host path or incorrect mount type in FSTAB.", text)
    if not re.search(r"(?:ro|rw|rq|sw|xx)(?:,.*)?$", options):
        _refuse(run, "Detected invalid mount permissions in FSTAB.", text)
    if checks not in CHECKS:
        _refuse(run, "Detected invalid fstab options in FSTAB.", text)
    line = f"{fstype} {options} {checks}"
    run.each(jails, lambda jail: _mount(run, jail, (source, point, line), auto="a" in given))


def _refuse(run: Run, reason: str, text: str) -> None:
    run.info(f"{reason}\n{FORMAT}\nRead: {text}")
    raise EndError(1)


def _mount(run: Run, jail: str, entry: tuple[str, str, str], *, auto: bool) -> None:
    run.need_running(jail, auto=auto)
    run.title(jail)
    source, inside, rest = entry
    fstab = f"{run.jail_dir(jail)}/fstab"
    point = f"{run.jail_dir(jail)}/root/{inside}".replace("//", "/", 1)
    found = [line for line in run.text(fstab).splitlines() if re.search(rf"[ \t]{re.escape(point)}[ \t]", line)]
    if found:
        run.info(f"Mountpoint already present in {fstab}")
        run.line("\n".join(found))
        return
    files = run.machine.files
    host, target_path = source.replace("\\040", " "), point.replace("\\040", " ")
    if files.is_dir(host):
        if not files.is_dir(target_path):
            files.make_dir(target_path, parents=True)
    else:
        name = host.rpartition("/")[2]
        if name not in target_path:
            point, target_path = f"{point}/{name}", f"{target_path}/{name}"
        files.make_dir(target_path.rpartition("/")[0], parents=True)
        if files.exists(target_path):
            run.info(f"Failed. File exists at mount point.\n{target_path}")
            return
        files.write(target_path, b"")
    line = f"{source} {point} {rest}"
    files.write(fstab, f"{line}\n".encode(), append=True)
    if run.run("mount", "-F", fstab, "-a") != 0:
        run.skip(f"Failed to mount volume: {target_path}")
    run.info(f"Added: {line}")


def umount(run: Run, args: Sequence[str]) -> None:
    """`umount [-a] TARGET JAIL_FOLDER`."""
    given, words = flags_of(run, args, {"auto": "a"})
    if len(words) != 2:
        run.usage("Usage: bastille umount [option(s)] TARGET JAIL_PATH")
    run.each(target(run, words[0]), lambda jail: _umount(run, jail, words[1], auto="a" in given))


def _umount(run: Run, jail: str, inside: str, *, auto: bool) -> None:
    run.need_running(jail, auto=auto)
    run.title(jail)
    fstab = f"{run.jail_dir(jail)}/fstab"
    point = f"{run.jail_dir(jail)}/root/{inside}".replace("//", "/", 1).replace("\\", "")
    is_mounted = point in run.machine.files.mounts
    shown = point.replace(" ", "\\040")
    in_fstab = re.compile(rf"[ \t]{re.escape(shown)}[ \t]")
    lines = run.text(fstab).splitlines(keepends=True)
    kept = [line for line in lines if not in_fstab.search(line)]
    if not is_mounted and kept == lines:
        run.skip("[ERROR]: The specified mount point does not exist.")
    if is_mounted and run.run("umount", point) != 0:
        run.skip(f"[ERROR]: Failed to unmount volume: {inside}")
    if kept != lines:
        run.write(fstab, "".join(kept))
    node = run.machine.files.lookup(point)
    if node is not None and node.kind == "file":
        run.machine.files.remove(point)
    run.info(f"Unmounted: {point}")
