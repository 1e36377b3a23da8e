# SPDX-License-Identifier: BSD-2-Clause
"""zfs(8) on snapshots: taking them, going back to them, cloning and holding them (session 07)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.host.fake import datasets
from warden.host.fake.datasets import below, clones_of, parent_of, snapshots_of
from warden.host.fake.options import options_of
from warden.host.fake.program import Reply, say
from warden.host.fake.zfs_arguments import new_refusal, settings_of
from warden.host.fake.zfs_show import resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from warden.host.fake.machine import Dataset
    from warden.host.fake.program import Call

SNAPSHOT_USAGE = """usage:
\tsnapshot [-r] [-o property=value] ... <filesystem|volume>@<snap> ...

For the property list, run: zfs set|get

For the delegated permission list, run: zfs allow|unallow

For further help on a command or topic, run: zfs help [<topic>]
"""


def snapshot(call: Call, args: Sequence[str]) -> Reply:
    """`zfs snapshot [-r] SNAPSHOT...`: all of them or, when one cannot be taken, none."""
    given, _, names = options_of(call, args, "r")
    if not names or any("@" not in name for name in names):
        raise call.unsupported()
    wanted: list[str] = []
    for name in names:
        base, _, label = name.partition("@")
        dataset = resolve(call, base)
        if isinstance(dataset, Reply):
            # says how it is used, and exits 2, though only the dataset is missing
            return say(error=dataset.stderr.decode() + SNAPSHOT_USAGE, status=2)
        inside = below(call.machine, base) if "r" in given else [dataset]
        wanted += [f"{item.name}@{label}" for item in inside if item.kind != "snapshot"]
    taken = [name for name in wanted if name in call.machine.datasets]
    if taken:
        text = "".join(f"cannot create snapshot '{name}': dataset already exists\n" for name in taken)
        return say(error=text + ("no snapshots were created\n" if len(wanted) > 1 else ""), status=1)
    if call.files.full or wanted[0].partition("/")[0].partition("@")[0] in call.files.room.full_pools:
        return say(error=f"cannot create snapshot '{wanted[0]}': out of space\n", status=1)
    made = [datasets.snapshot(call.machine, name) for name in wanted]
    for one in made:
        one.createtxg = made[-1].createtxg  # all of a command are of one transaction
    return Reply()


def rollback(call: Call, args: Sequence[str]) -> Reply:
    """`zfs rollback [-rf] SNAPSHOT`: only to the newest, unless -r takes the newer ones away."""
    given, _, names = options_of(call, args, "rf")
    if len(names) != 1 or "@" not in names[0]:
        raise call.unsupported()
    target = resolve(call, names[0])
    if isinstance(target, Reply):
        return target
    newer = [item for item in snapshots_of(call.machine, parent_of(target.name)) if item.createtxg > target.createtxg]
    refusal = f"cannot rollback to '{target.name}': "
    if newer and "r" not in given:
        more = "".join(f"{item.name}\n" for item in newer)
        return say(
            error=f"{refusal}more recent snapshots or bookmarks exist\nuse '-r' to force deletion of the following "
            f"snapshots and bookmarks:\n{more}",
            status=1,
        )
    for item in newer:
        clones = clones_of(call.machine, item.name)
        if clones:
            more = "".join(f"{name}\n" for name in clones)
            return say(
                error=f"{refusal}clones of previous snapshots exist\nuse '-R' to force deletion of the following "
                f"clones and dependents:\n{more}",
                status=1,
            )
        datasets.destroy(call.machine, item)
    datasets.rollback(call.machine, target.name)
    return Reply()


def clone(call: Call, args: Sequence[str]) -> Reply:
    """`zfs clone [-p] [-o PROPERTY=VALUE]... SNAPSHOT FILESYSTEM`."""
    given, valued, words = options_of(call, args, "p", "o")
    if len(words) != 2 or "@" not in words[0]:
        raise call.unsupported()
    origin, name = words
    source = resolve(call, origin)
    if isinstance(source, Reply):
        return source
    refusal = f"cannot create '{name}'"
    wanted = settings_of(call, [value for _, value in valued], refusal)
    if isinstance(wanted, Reply):
        return wanted
    if "p" in given and name in call.machine.datasets:
        return Reply()
    reason = new_refusal(call, name, parents="p" in given)
    if reason:
        return say(error=f"{refusal}: {reason}\n", status=1)
    datasets.clone(call.machine, origin, name, wanted)
    return Reply()


def hold(call: Call, args: Sequence[str]) -> Reply:
    """`zfs hold [-r] TAG SNAPSHOT...`: keep snapshots from being destroyed."""
    reply = Reply()
    tag, chosen, missing = _tagged(call, args)
    for item in chosen:
        if tag in item.holds:
            text = f"cannot hold snapshot '{item.name}': tag already exists on this dataset\n"
            reply += say(error=text, status=1)
        else:
            item.holds.append(tag)
    return reply + missing if missing.exit_code else reply


def release(call: Call, args: Sequence[str]) -> Reply:
    """`zfs release [-r] TAG SNAPSHOT...`."""
    reply = Reply()
    tag, chosen, missing = _tagged(call, args)
    for item in chosen:
        if tag in item.holds:
            item.holds.remove(tag)
        else:
            text = f"cannot release hold from snapshot '{item.name}': no such tag on this dataset\n"
            reply += say(error=text, status=1)
    return reply + missing if missing.exit_code else reply


def holds(call: Call, args: Sequence[str]) -> Reply:
    """`zfs holds [-H] [-r] SNAPSHOT...`."""
    given, _, names = options_of(call, args, "Hr")
    _, chosen, missing = _tagged(call, [*(["-r"] if "r" in given else []), "", *names])
    rows = [(item.name, tag) for item in chosen for tag in item.holds]
    if rows:
        raise call.unsupported("zfs holds of a snapshot that is held")  # it shows a time of no known form
    return missing


def _tagged(call: Call, args: Sequence[str]) -> tuple[str, list[Dataset], Reply]:
    given, _, words = options_of(call, args, "r")
    if len(words) < 2 or any("@" not in name for name in words[1:]):
        raise call.unsupported()
    chosen: list[Dataset] = []
    missing = Reply()
    for name in words[1:]:
        found = resolve(call, name)
        if isinstance(found, Reply):
            missing += found
            continue
        label = f"@{name.partition('@')[2]}"
        inside = below(call.machine, parent_of(name)) if "r" in given else [found]
        chosen += [item for item in inside if item.name.endswith(label)]
    return words[0], chosen, missing
