# SPDX-License-Identifier: BSD-2-Clause
"""mount(8), umount(8) and df(1): what is mounted, and the mounts of a jail's fstab (sessions 00, 05, 07, 12, 13)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from warden.host.fake import datasets, devfs
from warden.host.fake.filesystem import FileError
from warden.host.fake.options import options_of
from warden.host.fake.program import Reply, program, say
from warden.host.fake.zfs_show import Values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from warden.host.fake.machine import Machine
    from warden.host.fake.program import Call

DEADLOCK = "Resource deadlock avoided"
ROOT_BLOCKS = (10143484, 442612, 8889396)
"""The UFS root: size, used and free in KiB. Nothing that the fake machine does changes it."""
DEVFS_BLOCKS = (1, 0, 1)
LONG_OPTIONS = {"ro": "read-only", "rw": "", "nosuid": "nosuid", "noexec": "noexec", "noatime": "noatime",
                "nfsv4acls": "nfsv4acls"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One line of mount(8) or df(1)."""

    source: str
    point: str
    fstype: str
    options: str


def table(machine: Machine) -> list[Row]:
    """Give what the host has mounted, in mount(8)'s order."""
    rows = [Row(machine.root_filesystem, "/", "ufs", "rw"), Row("devfs", "/dev", "devfs", "rw")]
    return rows + [Row(item.source, item.point, item.fstype, item.options) for item in machine.files.mounted()]


def visible(call: Call) -> list[Row]:
    """Give what a program sees mounted: in a jail with enforce_statfs 2 only its root (session 12)."""
    rows = table(call.machine)
    if not call.jail:
        return rows
    root = call.root
    covers = [row for row in rows if f"{root}/".startswith(f"{row.point.rstrip('/')}/")]
    best = max(covers, key=lambda row: len(row.point))
    return [Row(best.source, "/", best.fstype, best.options)]


def mount_one(machine: Machine, source: str, point: str, fstype: str, options: str) -> str:
    """Mount a nullfs or devfs; give what the mount program says when it cannot, else ''."""
    files = machine.files
    if fstype == "devfs":
        if not files.is_dir(point):
            return f"mount: {point}: No such file or directory"
        devfs.mount(machine, point, ruleset=0)
        return ""
    try:
        real = files.real_path(source)
        target = files.node(point)
    except FileError as failure:
        return f"mount_nullfs: {failure.path}: {failure.reason}"
    stack = files.mounts.get(files.real_path(point), [])
    if real == files.real_path(point) or (stack and stack[-1].source == real):
        return f"mount_nullfs: {point}: {DEADLOCK}"
    if target.kind != files.node(source).kind:
        return f"mount_nullfs: {point}: Not a directory"
    files.mount(source, point, options=options)
    return ""


def fstab_lines(text: str) -> list[tuple[str, str, str, str]]:
    r"""Read an fstab(5): source, mount point, type and options of every line; `\040` is a blank."""
    lines = []
    for line in text.splitlines():
        words = [word.replace("\\040", " ") for word in line.partition("#")[0].split()]
        if len(words) >= 4:
            lines.append((words[0], words[1], words[2], words[3]))
    return lines


@program(
    "/sbin/mount",
    "mount [-p] [-t TYPE]",
    "mount -a [-F FSTAB]",
    "mount -t nullfs|devfs [-o OPTIONS] SOURCE FOLDER",
)
def mount(call: Call) -> Reply:
    """Show what is mounted, mount what an fstab names, or mount one folder over another."""
    given, valued, words = options_of(call, call.args, "apr", "Fto")
    wanted = dict(valued)
    if "a" in given and not words:
        return _mount_all(call, wanted.get("F", "/etc/fstab"))
    if not words and not {"F", "o"} & set(wanted):
        kind = wanted.get("t", "")
        rows = [row for row in visible(call) if not kind or row.fstype == kind]
        return say("".join(_fstab_line(row) if "p" in given else _plain_line(row) for row in rows))
    if len(words) != 2 or wanted.get("t") not in ("nullfs", "devfs") or call.jail:
        raise call.unsupported()
    options = wanted.get("o", "ro" if "r" in given else "rw")
    refusal = mount_one(call.machine, words[0], call.path(words[1]), wanted["t"], options)
    return say(error=f"{refusal}\n" if refusal else "", status=1 if refusal else 0)


@program("/sbin/umount", "umount [-f] FOLDER|SOURCE...", "umount [-f] -a -F FSTAB")
def umount(call: Call) -> Reply:
    """Take mounts away: nullfs, devfs and ZFS."""
    given, valued, words = options_of(call, call.args, "af", "F")
    if call.jail or ("a" in given) != bool(valued):
        raise call.unsupported()
    if valued:
        lines = fstab_lines(call.files.text(valued[0][1]))
        points = [point for _, point, _, _ in reversed(lines) if call.files.mounts.get(point)]
        return _unmount(call, points, force="f" in given)
    return _unmount(call, words, force="f" in given)


def _unmount(call: Call, points: Sequence[str], *, force: bool) -> Reply:
    failures = ""
    for name in points:
        point = call.path(name)
        if point not in call.files.mounts:
            by_source = [item.point for item in call.files.mounted() if item.source == name]
            point = by_source[-1] if by_source else point
        stack = call.files.mounts.get(point)
        if not stack:
            is_there = call.files.exists(point)
            reason = "not a file system root directory" if is_there else "statfs: No such file or directory"
            failures += f"umount: {name}: {reason}\n"
        elif datasets.is_busy(call.machine, point, force=force):
            failures += f"umount: unmount of {point} failed: Device busy\n"
        elif stack[-1].fstype == "zfs":
            datasets.unmount(call.machine, call.machine.datasets[stack[-1].tree], force=force)
        else:
            call.files.unmount(point)
    return say(error=failures, status=1 if failures else 0)


def _mount_all(call: Call, fstab: str) -> Reply:
    try:
        lines = fstab_lines(call.files.text(fstab))
    except FileError:
        raise call.unsupported() from None
    failures = ""
    mounted = {(row.source, row.point) for row in table(call.machine)}
    for source, point, fstype, options in lines:
        if fstype not in ("nullfs", "devfs"):
            if fstype in ("ufs", "swap", "zfs"):
                continue
            raise call.unsupported(f"mount -a of a file system of type {fstype}")
        if (source, point) in mounted:
            continue  # what the fstab names is mounted already
        refusal = mount_one(call.machine, source, point, fstype, options)
        failures += f"{refusal}\n" if refusal else ""
    return say(error=failures, status=1 if failures else 0)


def _fstab_line(row: Row) -> str:
    def tabbed(text: str) -> str:
        return (
            text
            + ("\t" if len(text) < 8 else "")
            + ("\t" if len(text) < 16 else "")
            + ("\t" if len(text) < 24 else " ")
        )

    options = row.options + ("\t" if len(row.options) < 8 else " ")
    numbers = "1 1" if row.fstype == "ufs" else "0 0"
    return f"{tabbed(row.source)}{tabbed(row.point)}{row.fstype}\t{options}\t{numbers}\n"


def _plain_line(row: Row) -> str:
    words = [row.fstype, *([] if row.fstype == "devfs" else ["local"])]
    words += [LONG_OPTIONS.get(word, word) for word in row.options.split(",") if LONG_OPTIONS.get(word, word)]
    return f"{row.source} on {row.point} ({', '.join(words)})\n"


@program("/bin/df", "df [-k] [-t TYPE] [PATH...]")
def df(call: Call) -> Reply:
    """Show sizes in KiB; the numbers of the UFS root never change."""
    given, valued, paths = options_of(call, call.args, "k", "t")
    if "k" not in given and "BLOCKSIZE" not in call.environment:
        raise call.unsupported()  # without it the unit is 512 bytes
    kind = dict(valued).get("t", "")
    rows = [row for row in visible(call) if not kind or row.fstype == kind]
    missing = ""
    if paths:
        chosen = []
        for path in paths:
            if not call.files.exists(call.path(path), root=call.root):
                missing += f"df: {path}: No such file or directory\n"
                continue
            real = call.files.real_path(call.path(path)) if not call.jail else "/"
            covers = [row for row in rows if f"{real}/".startswith(f"{row.point.rstrip('/')}/")]
            chosen.append(max(covers, key=lambda row: len(row.point)))
        rows = chosen
    values = Values(call.machine, exact=True)
    lines = [("Filesystem", "1024-blocks", "Used", "Avail", "Capacity", "Mounted on")]
    for row in rows:
        size, used, free = _blocks(call.machine, row, values)
        share = f"{used * 100 / (used + free):.0f}%" if used + free else "100%"
        lines.append((row.source, str(size), str(used), str(free), f"{share:>6}  ", row.point))
    widths = [max(len(line[place]) for line in lines) for place in range(4)]
    if len(lines) == 1:
        return say(error=missing, status=1)
    text = "".join(
        f"{line[0]:<{widths[0]}} {line[1]:>{widths[1]}} {line[2]:>{widths[2]}} {line[3]:>{widths[3]}} "
        f"{line[4]}  {line[5]}\n"
        for line in lines
    )
    return say(text, error=missing, status=1 if missing else 0)


def _blocks(machine: Machine, row: Row, values: Values) -> tuple[int, int, int]:
    if row.fstype == "devfs":
        return DEVFS_BLOCKS
    source = row.source
    if row.fstype == "nullfs":
        covers = [item for item in table(machine) if item.fstype == "zfs" and f"{source}/".startswith(f"{item.point}/")]
        source = max(covers, key=lambda item: len(item.point)).source if covers else machine.root_filesystem
    dataset = machine.datasets.get(source)
    if dataset is None:
        return ROOT_BLOCKS
    used = int(values.get(dataset, "referenced")[0]) // 1024
    free = int(values.get(dataset, "available")[0]) // 1024
    return used + free, used, free
