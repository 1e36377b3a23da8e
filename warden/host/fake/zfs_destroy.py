# SPDX-License-Identifier: BSD-2-Clause
"""zfs destroy: what depends on a dataset, what refuses, and how far a destroy that fails got (session 07)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.host.fake import datasets
from warden.host.fake.datasets import BusyError, clones_of, parent_of, snapshots_of
from warden.host.fake.options import options_of
from warden.host.fake.program import Reply, say
from warden.host.fake.zfs_show import resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from warden.host.fake.machine import Dataset, Machine
    from warden.host.fake.program import Call


def destroy(call: Call, args: Sequence[str]) -> Reply:
    """`zfs destroy [-frRnv] FILESYSTEM|VOLUME|SNAPSHOT`."""
    given, _, names = options_of(call, args, "frRnv")
    if len(names) != 1:
        raise call.unsupported()
    name = names[0]
    if "@" in name:
        return _destroy_snapshots(call, name, given)
    dataset = resolve(call, name)
    if isinstance(dataset, Reply):
        return dataset
    if "/" not in dataset.name:
        text = (
            f"cannot destroy '{name}': operation does not apply to pools\n"
            f"use 'zfs destroy -r {name}' to destroy all datasets in the pool\n"
            f"use 'zpool destroy {name}' to destroy the pool itself\n"
        )
        return say(error=text, status=1)
    dependents = _dependents(call.machine, dataset, {item.name for item in datasets.below(call.machine, name)})
    refusal = _refusal(dataset, dependents, given)
    if refusal:
        return say(error=refusal, status=1)
    return _destroy_all(call, [*dependents, dataset], given)


def _destroy_all(call: Call, doomed: list[Dataset], given: str) -> Reply:
    """Destroy datasets in order; one that is busy or held stays, and the rest goes on."""
    shown = "".join(f"{'would' if 'n' in given else 'will'} destroy {item.name}\n" for item in doomed)
    reply = say(shown if "v" in given else "")
    if "n" in given:
        return reply
    failures = ""
    for item in doomed:
        if item.kind == "snapshot" and item.holds:
            failures += _held(item.name)
            continue
        try:
            datasets.unmount(call.machine, item, force="f" in given)
        except BusyError as busy:
            failures += f"cannot unmount '{busy.point}': pool or dataset is busy\n"
            continue
        if any(other.name.startswith((f"{item.name}/", f"{item.name}@")) for other in call.machine.datasets.values()):
            failures += f"cannot destroy '{item.name}': dataset already exists\n"
            continue
        datasets.destroy(call.machine, item)
    return reply + say(error=failures, status=1 if failures else 0)


def _dependents(machine: Machine, dataset: Dataset, family: set[str]) -> list[Dataset]:
    """Give what has to go before a dataset: its children, then its snapshots, clones before their origin."""
    found: list[Dataset] = []
    prefix = f"{dataset.name}/"
    for name in sorted(family):
        if name.startswith(prefix) and "/" not in name[len(prefix) :] and "@" not in name:
            child = machine.datasets[name]
            found += [*_dependents(machine, child, family), child]
    for item in snapshots_of(machine, dataset.name):
        found += [*_clones_with_dependents(machine, item), item]
    return found


def _clones_with_dependents(machine: Machine, snapshot: Dataset) -> list[Dataset]:
    found: list[Dataset] = []
    for name in clones_of(machine, snapshot.name):
        family = {item.name for item in datasets.below(machine, name)}
        found += [*_dependents(machine, machine.datasets[name], family), machine.datasets[name]]
    return found


def _refusal(dataset: Dataset, dependents: list[Dataset], given: str) -> str:
    own = (f"{dataset.name}/", f"{dataset.name}@")
    children = [item.name for item in dependents if item.name.startswith(own)]
    strangers = [item.name for item in dependents if not item.name.startswith(own)]
    if children and "r" not in given and "R" not in given:
        reason, flag, names = f"{dataset.kind} has children", "-r", children
    elif strangers and "R" not in given:
        reason, flag, names = f"{dataset.kind} has dependent clones", "-R", strangers
    else:
        return ""
    more = "".join(f"{name}\n" for name in names)
    return f"cannot destroy '{dataset.name}': {reason}\nuse '{flag}' to destroy the following datasets:\n{more}"


def _destroy_snapshots(call: Call, name: str, given: str) -> Reply:
    base, _, labels = name.partition("@")
    if "%" in labels:
        raise call.unsupported()
    dataset = resolve(call, base)
    if isinstance(dataset, Reply):
        return dataset
    below = datasets.below(call.machine, base) if "r" in given or "R" in given else [dataset]
    holders = [item.name for item in below if item.kind != "snapshot"]
    wanted = {f"{holder}@{label}" for holder in holders for label in labels.split(",")}
    doomed = sorted((item for item in map(call.machine.datasets.get, wanted) if item), key=datasets.listing_order)
    if not doomed:
        return say(error="could not find any snapshots to destroy; check snapshot names.\n", status=1)
    clones = [clone for item in doomed for clone in _clones_with_dependents(call.machine, item)]
    if clones and "R" not in given:
        more = "".join(f"{item.name}\n" for item in clones)
        text = f"cannot destroy '{name}': snapshot has dependent clones\nuse '-R' to destroy the following datasets:\n"
        return say(error=text + more, status=1)
    held = [item for item in doomed if item.holds]
    if held:
        return say(error="".join(_held(item.name) for item in held), status=1)
    return _destroy_all(call, [*clones, *doomed], given)


def _held(name: str) -> str:
    base = parent_of(name)
    label = name[len(base) :]
    return f"cannot destroy snapshot {name}: it's being held. Run 'zfs holds -r {base}{label}' to see holders.\n"
