# SPDX-License-Identifier: BSD-2-Clause
"""zfs(8): making, changing, mounting, renaming and destroying datasets (sessions 07 and 15)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.host.fake import datasets, zfs_snapshots
from warden.host.fake.datasets import BusyError, below, mount_of, parent_of
from warden.host.fake.options import options_of
from warden.host.fake.program import Reply, program, say
from warden.host.fake.zfs_arguments import make_parents, name_refusal, new_refusal, settings_of
from warden.host.fake.zfs_destroy import destroy
from warden.host.fake.zfs_properties import (
    READ_ONLY,
    SETTABLE,
    full_name,
    mountpoint,
    parse_number,
    setting,
)
from warden.host.fake.zfs_show import get_properties, list_datasets, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from warden.host.fake.machine import Dataset
    from warden.host.fake.program import Call

MOUNT_PROPERTIES = ("atime", "readonly", "exec", "setuid")
CHANGE_QUOTAS = ("create", "clone", "set", "rename", "destroy")


@program(
    "/sbin/zfs",
    "zfs list [-Hjpr] [-d DEPTH] [-t TYPES] [-o COLUMNS] [-s COLUMN] [-S COLUMN] [DATASET...]",
    "zfs get [-Hjpr] [-d DEPTH] [-t TYPES] [-s SOURCES] [-o COLUMNS] PROPERTY,... [DATASET...]",
    "zfs create [-pu] [-o PROPERTY=VALUE]... FILESYSTEM",
    "zfs create [-ps] -V SIZE [-o PROPERTY=VALUE]... VOLUME",
    "zfs destroy [-frRnv] FILESYSTEM|VOLUME|SNAPSHOT",
    "zfs set PROPERTY=VALUE... DATASET...",
    "zfs inherit [-r] PROPERTY DATASET...",
    "zfs mount [-a] [FILESYSTEM]",
    "zfs umount [-f] FILESYSTEM|MOUNTPOINT",
    "zfs rename [-fpu] DATASET DATASET",
    "zfs snapshot [-r] SNAPSHOT...",
    "zfs rollback [-rf] SNAPSHOT",
    "zfs clone [-p] [-o PROPERTY=VALUE]... SNAPSHOT FILESYSTEM",
    "zfs hold|release [-r] TAG SNAPSHOT...",
    "zfs holds [-H] [-r] SNAPSHOT...",
)
def zfs(call: Call) -> Reply:
    """List, change, mount and destroy ZFS datasets; a jail has none unless it is given one."""
    command = COMMANDS.get(call.args[0]) if call.args and not call.jail else None
    if command is None:
        raise call.unsupported()
    reply = command(call, call.args[1:])
    room = call.files.room
    asked = any("quota=" in word for word in call.args)
    if call.args[0] in CHANGE_QUOTAS and (asked or room.quotas or room.refquotas):
        datasets.note_quotas(call.machine)
    return reply


def _create(call: Call, args: Sequence[str]) -> Reply:
    given, valued, names = options_of(call, args, "pus", "oV")
    if len(names) != 1:
        raise call.unsupported()
    name = names[0]
    refusal = f"cannot create '{name}'"
    wanted = settings_of(call, [value for letter, value in valued if letter == "o"], refusal)
    if isinstance(wanted, Reply):
        return wanted
    if "p" in given and name in call.machine.datasets:
        return Reply()
    reason = new_refusal(call, name, parents="p" in given)
    if reason:
        return say(error=f"{refusal}: {reason}\n", status=1)
    sizes = [value for letter, value in valued if letter == "V"]
    if sizes:
        wanted["volsize"] = str(parse_number(sizes[-1]))
        datasets.create(call.machine, name, wanted, kind="volume")
        return Reply()
    if "u" in given:
        raise call.unsupported()
    datasets.create(call.machine, name, wanted)
    return Reply()


def _set(call: Call, args: Sequence[str]) -> Reply:
    texts = [arg for arg in args if "=" in arg]
    names = [arg for arg in args if "=" not in arg]
    if not texts or not names or args[0].startswith("-"):
        raise call.unsupported()
    reply = Reply()
    for name in names:
        dataset = resolve(call, name)
        if isinstance(dataset, Reply):
            reply += dataset
            continue
        refusal = f"cannot set property for '{name}'"
        wanted = settings_of(call, texts, refusal)
        if isinstance(wanted, Reply):
            return Reply(255, reply.stdout, reply.stderr + wanted.stderr)
        reply += _apply(call, dataset, wanted)
    return reply


def _apply(call: Call, dataset: Dataset, wanted: dict[str, str]) -> Reply:
    """Set properties of a dataset, and move its mounts where they are about mounting."""
    machine = call.machine
    for name in ("quota", "refquota"):
        if 0 < int(wanted.get(name, "0")) < datasets.taken(machine, dataset, name):
            reason = "size is less than current used or reserved space"
            return say(error=f"cannot set property for '{dataset.name}': {reason}\n", status=255)
    if "mountpoint" not in wanted and wanted.get("jailed") != "on":
        dataset.properties.update(wanted)
        return _refresh(call, dataset, wanted)
    moved = [item for item in below(machine, dataset.name) if item.kind == "filesystem"]
    mounted = [item for item in moved if item.mounted]
    was_away = mountpoint(machine, dataset) in ("none", "legacy")
    try:
        datasets.unmount_all(machine, mounted)
    except BusyError as busy:
        return say(error=f"cannot unmount '{busy.point}': pool or dataset is busy\n", status=255)
    dataset.properties.update(wanted)
    for item in moved if was_away else mounted:
        if setting(machine, item, "canmount")[0] == "on":
            datasets.mount(machine, item)
    return Reply()


def _refresh(call: Call, dataset: Dataset, wanted: dict[str, str]) -> Reply:
    if any(name in MOUNT_PROPERTIES for name in wanted):
        for item in below(call.machine, dataset.name):
            mount = mount_of(call.machine, item)
            if mount is not None:
                mount.options = datasets.options(call.machine, item)
    return Reply()


def _inherit(call: Call, args: Sequence[str]) -> Reply:
    given, _, words = options_of(call, args, "r")
    if len(words) < 2 or not full_name(words[0]):
        raise call.unsupported()
    name, known, reply = words[0], SETTABLE.get(words[0]), Reply()
    if name in READ_ONLY:
        return say(error=f"{name} property is read-only\n", status=1)
    if known is not None and not known.inherits:
        none = f"use 'zfs set {name}=none' to clear\n" if known.number else ""
        return say(error=f"'{name}' property cannot be inherited\n{none}", status=1)
    for target in words[1:]:
        dataset = resolve(call, target)
        if isinstance(dataset, Reply):
            reply += dataset
            continue
        for item in below(call.machine, dataset.name) if "r" in given else [dataset]:
            reply += _inherit_one(call, item, name)
    return reply


def _inherit_one(call: Call, dataset: Dataset, name: str) -> Reply:
    if name not in dataset.properties:
        return Reply()
    if name != "mountpoint":
        del dataset.properties[name]
        return _refresh(call, dataset, {name: ""})
    mounted = [item for item in below(call.machine, dataset.name) if item.mounted]
    try:
        datasets.unmount_all(call.machine, mounted)
    except BusyError as busy:
        return say(error=f"cannot unmount '{busy.point}': pool or dataset is busy\n", status=255)
    del dataset.properties[name]
    for item in mounted:
        datasets.mount(call.machine, item)
    return Reply()


def _mount(call: Call, args: Sequence[str]) -> Reply:
    if not args:
        shown = [item for item in call.machine.files.mounted() if item.fstype == "zfs"]
        return say("".join(f"{item.source:<30}  {item.point}\n" for item in shown))
    if list(args) == ["-a"]:
        datasets.mount_all(call.machine)
        return Reply()
    if len(args) != 1 or args[0].startswith("-"):
        raise call.unsupported()
    dataset = resolve(call, args[0])
    if isinstance(dataset, Reply):
        return dataset
    point = mountpoint(call.machine, dataset)
    reason = {
        "legacy": "legacy mountpoint\nuse mount(8) to mount this filesystem",
        "none": "no mountpoint set",
    }.get(point, "filesystem already mounted" if mount_of(call.machine, dataset) is not None else "")
    if reason:
        return say(error=f"cannot mount '{args[0]}': {reason}\n", status=1)
    datasets.mount(call.machine, dataset)
    return Reply()


def _unmount(call: Call, args: Sequence[str]) -> Reply:
    given, _, names = options_of(call, args, "f")
    if len(names) != 1:
        raise call.unsupported()
    dataset = resolve(call, names[0])
    if isinstance(dataset, Reply):
        return dataset
    if mount_of(call.machine, dataset) is None:
        return say(error=f"cannot unmount '{names[0]}': not currently mounted\n", status=1)
    inside = [item for item in below(call.machine, dataset.name) if item.mounted]
    try:
        datasets.unmount_all(call.machine, inside, force="f" in given)
    except BusyError as busy:
        return say(error=f"cannot unmount '{busy.point}': pool or dataset is busy\n", status=1)
    return Reply()


def _rename(call: Call, args: Sequence[str]) -> Reply:
    given, _, words = options_of(call, args, "fpu")
    if len(words) != 2:
        raise call.unsupported()
    old, new = words
    dataset = resolve(call, old)
    if isinstance(dataset, Reply):
        return dataset
    if dataset.kind == "snapshot":
        new = f"{parent_of(old)}{new}" if new.startswith("@") else new
    elif "p" in given and not name_refusal(call, new):
        make_parents(call, new)
    refusal = _rename_refusal(call, dataset, new)
    if refusal:
        return say(error=refusal, status=1)
    try:
        datasets.rename(call.machine, old, new, force="f" in given)
    except BusyError as busy:
        return say(error=f"cannot unmount '{busy.point}': pool or dataset is busy\n", status=1)
    return Reply()


def _rename_refusal(call: Call, dataset: Dataset, new: str) -> str:
    old, reason = dataset.name, ""
    if dataset.kind == "snapshot":
        reason = "" if parent_of(new) == parent_of(old) else "snapshots must be part of same dataset"
    elif name_refusal(call, new):
        reason = name_refusal(call, new)
    elif old.partition("/")[0] != new.partition("/")[0]:
        reason = "datasets must be within same pool"
    elif parent_of(new) not in call.machine.datasets:
        reason = "parent does not exist"
    elif new.startswith(f"{old}/"):
        reason = "New dataset name cannot be a descendant of current dataset name"
    if reason:
        return f"cannot rename to '{new}': {reason}\n"
    return f"cannot rename '{old}': dataset already exists\n" if new in call.machine.datasets else ""


COMMANDS: dict[str, Callable[[Call, Sequence[str]], Reply]] = {
    "list": list_datasets,
    "get": get_properties,
    "create": _create,
    "set": _set,
    "inherit": _inherit,
    "mount": _mount,
    "umount": _unmount,
    "unmount": _unmount,
    "rename": _rename,
    "destroy": destroy,
    "snapshot": zfs_snapshots.snapshot,
    "snap": zfs_snapshots.snapshot,
    "rollback": zfs_snapshots.rollback,
    "clone": zfs_snapshots.clone,
    "hold": zfs_snapshots.hold,
    "release": zfs_snapshots.release,
    "holds": zfs_snapshots.holds,
}
