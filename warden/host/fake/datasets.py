# SPDX-License-Identifier: BSD-2-Clause
"""ZFS datasets as the kernel keeps them: made, mounted, taken away with their files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.host.fake.file_node import Node
from warden.host.fake.machine import Dataset
from warden.host.fake.zfs_properties import mountpoint, setting

if TYPE_CHECKING:
    from collections.abc import Iterable

    from warden.host.fake.filesystem import Mount
    from warden.host.fake.machine import Machine, Pool

EMPTY = 24576
"""What a dataset takes up that holds nothing, in bytes."""


MOUNT_WORDS = {"exec": "noexec", "setuid": "nosuid", "atime": "noatime"}
"""What mount(8) says where a property is off."""


class BusyError(Exception):
    """A mounted dataset is in use; `point` is where it is mounted."""

    def __init__(self, point: str) -> None:
        super().__init__(point)
        self.point = point


def pool_of(machine: Machine, name: str) -> Pool | None:
    """Give the pool that a dataset's name begins with."""
    return machine.pools.get(name.partition("@")[0].partition("/")[0])


def parent_of(name: str) -> str:
    """Give the dataset that a dataset or snapshot belongs to; '' for a pool's own."""
    return name.rpartition("@" if "@" in name else "/")[0]


def listing_order(dataset: Dataset) -> tuple[str, bool, int]:
    """Give the key that zfs list sorts by: names, and snapshots behind their dataset by age."""
    base, _, snapshot = dataset.name.partition("@")
    return base, bool(snapshot), dataset.createtxg


def below(machine: Machine, name: str) -> list[Dataset]:
    """Give a dataset and everything below it, snapshots included, in the order of zfs list."""
    inside = (f"{name}/", f"{name}@")
    found = [item for item in machine.datasets.values() if item.name == name or item.name.startswith(inside)]
    return sorted(found, key=listing_order)


def snapshots_of(machine: Machine, name: str) -> list[Dataset]:
    """Give a dataset's own snapshots, oldest first."""
    prefix = f"{name}@"
    return sorted((item for item in machine.datasets.values() if item.name.startswith(prefix)), key=listing_order)


def clones_of(machine: Machine, snapshot: str) -> list[str]:
    """Give the names of the datasets that were cloned from a snapshot."""
    return sorted(item.name for item in machine.datasets.values() if item.origin == snapshot)


def create(
    machine: Machine,
    name: str,
    properties: dict[str, str] | None = None,
    *,
    kind: str = "filesystem",
    used: int = EMPTY,
) -> Dataset:
    """Make a filesystem or volume whose parent exists, and mount it."""
    dataset = _register(machine, Dataset(name, properties=dict(properties or {}), used=used))
    if kind == "volume":
        dataset.kind = "volume"
        dataset.mounted = False
        _make_device(machine, name)
        return dataset
    machine.files.trees[name] = Node(kind="dir", mode=0o755, mtime=machine.files.now)
    dataset.mounted = False
    if setting(machine, dataset, "canmount")[0] == "on":
        mount(machine, dataset)
    return dataset


def snapshot(machine: Machine, name: str) -> Dataset:
    """Take a snapshot `DATASET@NAME`: its files as they are now."""
    source = machine.datasets[parent_of(name)]
    if source.kind == "filesystem":
        machine.files.trees[name] = machine.files.trees[source.name].copy()
    taken = Dataset(name, kind="snapshot", used=0, mounted=False)
    return _register(machine, taken)


def clone(machine: Machine, origin: str, name: str, properties: dict[str, str]) -> Dataset:
    """Make a filesystem out of a snapshot."""
    dataset = create(machine, name, properties, used=0)
    dataset.origin = origin
    _replace_files(machine, name, machine.files.trees[origin])
    return dataset


def receive(machine: Machine, origin: str, name: str) -> Dataset:
    """Make a filesystem with the files of a snapshot or filesystem that does not depend on it, by send and receive."""
    dataset = create(machine, name, used=machine.datasets[origin.partition("@")[0]].used)
    _replace_files(machine, name, machine.files.trees[origin])
    return dataset


def rollback(machine: Machine, name: str) -> None:
    """Put a dataset's files back to what they were at a snapshot."""
    dataset = machine.datasets[parent_of(name)]
    if dataset.kind == "filesystem":
        _replace_files(machine, dataset.name, machine.files.trees[name])


def destroy(machine: Machine, dataset: Dataset) -> None:
    """Take a dataset away that nothing depends on, with its files; it is not mounted any more.

    The folder that it was mounted at goes too, unless the mountpoint was set here.
    """
    point = mountpoint(machine, dataset)
    del machine.datasets[dataset.name]
    machine.files.trees.pop(dataset.name, None)
    pool = pool_of(machine, dataset.name)
    if pool is not None:
        pool.allocated -= dataset.used
    if dataset.kind == "volume":
        _remove_device(machine, dataset.name)
    if dataset.kind == "filesystem" and "mountpoint" not in dataset.properties:
        folder = machine.files.lookup(point) if point.startswith("/") else None
        if folder is not None and not folder.children:
            machine.files.remove(point)


def rename(machine: Machine, old: str, new: str, *, force: bool = False) -> None:
    """Give a dataset and all below it another name; raises BusyError where one cannot be unmounted."""
    moved = below(machine, old)
    mounted = [item for item in moved if item.mounted]
    unmount_all(machine, mounted, force=force)
    for item in moved:
        del machine.datasets[item.name]
        tree = machine.files.trees.pop(item.name, None)
        if item.kind == "volume":
            _remove_device(machine, item.name)
        before, item.name = item.name, new + item.name[len(old) :]
        machine.datasets[item.name] = item
        if tree is not None:
            machine.files.trees[item.name] = tree
        if item.kind == "volume":
            _make_device(machine, item.name)
        if item.kind == "snapshot":
            for name in clones_of(machine, before):
                machine.datasets[name].origin = item.name
    for item in mounted:
        mount(machine, item)


def mount(machine: Machine, dataset: Dataset) -> bool:
    """Mount a filesystem where its properties say, and make the folder; tell whether it is mounted now."""
    point = mountpoint(machine, dataset)
    if not point.startswith("/") or setting(machine, dataset, "jailed")[0] == "on":
        return False
    files = machine.files
    if not files.is_dir(point):
        files.make_dir(point, parents=True)
    files.mount(dataset.name, point, fstype="zfs", options=options(machine, dataset), tree=dataset.name)
    dataset.mounted = True
    return True


def options(machine: Machine, dataset: Dataset) -> str:
    """Give the mount options of a filesystem as mount -p shows them (session 07)."""
    access = "ro" if setting(machine, dataset, "readonly")[0] == "on" else "rw"
    off = [word for name, word in MOUNT_WORDS.items() if setting(machine, dataset, name)[0] == "off"]
    return ",".join([access, *off, "nfsv4acls"])


def mount_of(machine: Machine, dataset: Dataset) -> Mount | None:
    """Give the mount of a dataset, or None where it is not mounted."""
    if not dataset.mounted or dataset.kind != "filesystem":
        return None
    stack = machine.files.mounts.get(mountpoint(machine, dataset), [])
    found = next((mount for mount in stack if mount.tree == dataset.name), None)
    return found or next((mount for mount in machine.files.mounted() if mount.tree == dataset.name), None)


def unmount(machine: Machine, dataset: Dataset, *, force: bool = False) -> None:
    """Unmount a filesystem; raises BusyError while something is mounted in it or stands in it (session 07)."""
    found = mount_of(machine, dataset)
    dataset.mounted = False
    if found is None:
        return
    if is_busy(machine, found.point, force=force):
        dataset.mounted = True
        raise BusyError(found.point)
    stack = machine.files.mounts[found.point]
    stack.remove(found)
    if not stack:
        del machine.files.mounts[found.point]


def unmount_all(machine: Machine, datasets: Iterable[Dataset], *, force: bool = False) -> None:
    """Unmount filesystems, the deepest first; when one is busy, those that were unmounted are mounted again."""
    done: list[Dataset] = []
    for dataset in sorted(datasets, key=lambda item: mountpoint(machine, item), reverse=True):
        if not dataset.mounted:
            continue
        try:
            unmount(machine, dataset, force=force)
        except BusyError:
            for again in reversed(done):
                mount(machine, again)
            raise
        done.append(dataset)


def is_busy(machine: Machine, point: str, *, force: bool = False) -> bool:
    """Tell whether a mounted file system is in use: by mounts in it, by processes, by the jails that run there."""
    inside = f"{point.rstrip('/')}/"
    if any(other.startswith(inside) for other in machine.files.mounts):
        return True
    if force:
        return False
    # a nullfs mount holds on to the folder that it shows
    if any(f"{mount.source}/".startswith(inside) for mount in machine.files.mounted() if mount.fstype == "nullfs"):
        return True
    if any(f"{jail.path}/".startswith(inside) for jail in machine.jails.values()):
        return True
    return any(f"{process.cwd}/".startswith(inside) for process in machine.processes.values() if not process.jail)


def note_quotas(machine: Machine) -> None:
    """Tell the files of what the quotas of datasets leave to them now; a quota of 0 is none."""
    room = machine.files.room
    room.quotas, room.refquotas = (
        {
            item.name: int(item.properties[name]) - taken(machine, item, name)
            for item in machine.datasets.values()
            if item.properties.get(name, "0") != "0"
        }
        for name in ("quota", "refquota")
    )


def taken(machine: Machine, dataset: Dataset, name: str) -> int:
    """Give what a dataset takes up as its quota (with all below it) or its refquota counts."""
    return sum(item.used for item in below(machine, dataset.name)) if name == "quota" else dataset.used


def mount_all(machine: Machine) -> None:
    """Mount every filesystem that is to be mounted, as `zfs mount -a` does at boot.

    A dataset that is new to the tables (a profile's) takes over the files that stand at its mountpoint.
    """
    for stale in set(machine.files.trees) - {mount.tree for mount in machine.files.mounted()} - set(machine.datasets):
        del machine.files.trees[stale]  # the devfs mounts of jails that a boot has ended
    filesystems = [item for item in machine.datasets.values() if item.kind == "filesystem"]
    for dataset in sorted(filesystems, key=lambda item: mountpoint(machine, item)):
        point = mountpoint(machine, dataset)
        if dataset.name not in machine.files.trees:
            _adopt(machine, dataset.name, point)
        if any(mount.tree == dataset.name for mount in machine.files.mounts.get(point, ())):
            continue
        dataset.mounted = setting(machine, dataset, "canmount")[0] == "on" and mount(machine, dataset)


def _adopt(machine: Machine, name: str, point: str) -> None:
    folder = machine.files.lookup(point) if point.startswith("/") else None
    tree = Node(kind="dir", mode=0o755)
    if folder is not None and folder.kind == "dir":
        tree.mode, tree.uid, tree.gid, tree.mtime = folder.mode, folder.uid, folder.gid, folder.mtime
        tree.children, folder.children = folder.children, {}
    machine.files.trees[name] = tree


def _replace_files(machine: Machine, name: str, source: Node) -> None:
    fresh = source.copy()
    tree = machine.files.trees[name]
    tree.mode, tree.uid, tree.gid, tree.mtime = fresh.mode, fresh.uid, fresh.gid, fresh.mtime
    tree.children = fresh.children


def _register(machine: Machine, dataset: Dataset) -> Dataset:
    pool = pool_of(machine, dataset.name)
    if pool is not None:
        pool.txg += 1
        pool.allocated += dataset.used
        dataset.createtxg = pool.txg
    dataset.created_at = machine.clock
    machine.datasets[dataset.name] = dataset
    return dataset


def _make_device(machine: Machine, name: str) -> None:
    folder, _, last = f"/dev/zvol/{name}".rpartition("/")
    files = machine.files
    for path in ("/dev/zvol", folder):
        if not files.is_dir(path):
            files.make_dir(path, parents=True).mode = 0o555
    files.node(folder).children[last] = Node(kind="char", mode=0o640, gid=5, mtime=files.now)


def _remove_device(machine: Machine, name: str) -> None:
    path = f"/dev/zvol/{name}"
    if machine.files.lookup(path) is not None:
        machine.files.remove(path)
    while (path := path.rpartition("/")[0]) != "/dev" and not machine.files.list_dir(path):
        machine.files.remove(path)
