# SPDX-License-Identifier: BSD-2-Clause
"""zfs list and zfs get: what datasets are shown, their properties, and the three ways of printing them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from warden.host.fake.datasets import below, clones_of, listing_order, mount_of, parent_of, pool_of
from warden.host.fake.machine import EPOCH
from warden.host.fake.options import options_of
from warden.host.fake.program import Reply, say
from warden.host.fake.zfs_properties import (
    HEADERS,
    SETTABLE,
    SIZES,
    full_name,
    is_user_property,
    mountpoint,
    nice_number,
    setting,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from warden.host.fake.machine import Dataset, Machine
    from warden.host.fake.program import Call

TYPES = {"filesystem": "filesystem", "fs": "filesystem", "volume": "volume", "vol": "volume", "snapshot": "snapshot",
         "snap": "snapshot"}  # fmt: skip
LIST_COLUMNS = ("name", "used", "available", "referenced", "mountpoint")
GET_COLUMNS = ("name", "property", "value", "source")
NONE_WHEN_ZERO = ("quota", "refquota", "reservation", "refreservation")


@dataclass(slots=True)
class Request:
    """What list and get are asked for: the options that both have, and the datasets named."""

    scripted: bool = False
    exact: bool = False
    as_json: bool = False
    depth: int | None = 0
    """How far below the named datasets; None for all the way."""
    kinds: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    sort: list[tuple[str, bool]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


class Values:
    """The values of datasets' properties, as zfs(8) prints them."""

    def __init__(self, machine: Machine, *, exact: bool) -> None:
        self.machine = machine
        self.exact = exact

    @cached_property
    def used(self) -> dict[str, int]:
        """What every dataset takes up with all below it."""
        totals: dict[str, int] = {}
        for item in self.machine.datasets.values():
            name = item.name.partition("@")[0]
            while name:
                totals[name] = totals.get(name, 0) + item.used
                name = name.rpartition("/")[0]
        for pool in self.machine.pools.values():
            totals[pool.name] = pool.allocated
        return totals

    def get(self, dataset: Dataset, name: str) -> tuple[str, str]:
        """Give a property's value and its source: `local`, `default`, `inherited from X`, or '-'."""
        if name not in SETTABLE and not is_user_property(name):
            return self._read_only(dataset, name), "-"
        value, origin = setting(self.machine, dataset, name)
        if name == "volsize":
            return (self._size(int(value)), "local") if dataset.kind == "volume" else ("-", "-")
        if name == "mountpoint":
            value = mountpoint(self.machine, dataset)
        if value == "-":
            return value, "-"
        source = f"inherited from {origin}" if origin else "default"
        return self._shown(name, value), "local" if origin == dataset.name else source

    def _shown(self, name: str, value: str) -> str:
        known = SETTABLE.get(name)
        if self.exact or known is None or not known.number:
            return value
        return "none" if name in NONE_WHEN_ZERO and value == "0" else nice_number(int(value))

    def _size(self, number: int) -> str:
        return str(number) if self.exact else nice_number(number)

    def _read_only(self, dataset: Dataset, name: str) -> str:
        if name in SIZES:
            number = self._number(dataset, name)
            return "-" if number is None else self._size(number)
        if name == "creation":
            moment = EPOCH + dataset.created_at
            return str(moment) if self.exact else time.strftime("%a %b %e %k:%M %Y", time.gmtime(moment))
        if name == "mounted":
            if dataset.kind != "filesystem":
                return "-"
            return "yes" if mount_of(self.machine, dataset) is not None else "no"
        shown = {
            "name": dataset.name,
            "type": dataset.kind,
            "origin": dataset.origin or "-",
            "clones": ",".join(clones_of(self.machine, dataset.name)) if dataset.kind == "snapshot" else "-",
            "createtxg": str(dataset.createtxg),
            "compressratio": "1.00" if self.exact else "1.00x",
            "encryption": "off",
            "userrefs": str(len(dataset.holds)) if dataset.kind == "snapshot" else "-",
        }
        return shown[name]

    def _number(self, dataset: Dataset, name: str) -> int | None:
        if dataset.kind == "snapshot":
            own = self.machine.datasets[parent_of(dataset.name)].used
            return {"used": 0, "referenced": own, "logicalreferenced": own, "written": 0}.get(name)
        if name == "available":
            return self._available(dataset)
        if name in ("used", "logicalused"):
            return self.used[dataset.name]
        if name == "usedbychildren":
            return self.used[dataset.name] - dataset.used
        return 0 if name == "usedbysnapshots" else dataset.used

    def _available(self, dataset: Dataset) -> int:
        pool = pool_of(self.machine, dataset.name)
        if pool is None:
            return 0
        # ZFS keeps a 32nd of the pool for itself.
        left = pool.size - max(pool.size // 32, 128 * 1024**2) - pool.allocated
        name = dataset.name
        while name:
            above = self.machine.datasets.get(name)
            quota = int(above.properties.get("quota", "0")) if above is not None else 0
            if quota:
                left = min(left, quota - self.used[name])
            name = name.rpartition("/")[0]
        return max(left, 0)


def resolve(call: Call, name: str) -> Dataset | Reply:
    """Find a dataset by its name or by a path in it, or give the refusal."""
    if name.startswith("/"):
        found = call.files.mount_under(call.files.real_path(name))
        if found is None or found.fstype != "zfs":
            raise call.unsupported()
        return call.machine.datasets[found.source]
    dataset = call.machine.datasets.get(name)
    if dataset is not None:
        return dataset
    return say(error=f"cannot open '{name}': dataset does not exist\n", status=1)


def choose(call: Call, request: Request) -> tuple[list[Dataset], Reply]:
    """Give the datasets that a request is about, in zfs list's order, and the refusals of those it misses."""
    machine = call.machine
    if not request.names:
        wanted = [item for item in machine.datasets.values() if item.kind in request.kinds]
        return sorted(wanted, key=listing_order), Reply()
    refusals = Reply()
    chosen: dict[str, Dataset] = {}
    for name in request.names:
        found = resolve(call, name)
        if isinstance(found, Reply):
            refusals += found
            continue
        if request.depth == 0:
            chosen[found.name] = found
            continue
        for item in below(machine, found.name):
            levels = item.name[len(found.name) :]
            if request.depth is None or levels.count("/") + levels.count("@") <= request.depth:
                chosen[item.name] = item
    wanted = [item for item in chosen.values() if item.kind in request.kinds]
    return sorted(wanted, key=listing_order), refusals


def list_datasets(call: Call, args: Sequence[str]) -> Reply:
    """`zfs list [-Hjpr] [-d N] [-t TYPES] [-o COLUMNS] [-s COLUMN] [-S COLUMN] [DATASET...]` (sessions 00, 07)."""
    request = parse(call, args, "Hjpr", "dtosS")
    request.kinds = request.kinds or ("filesystem", "volume")
    columns = [full_name(name) for name in request.columns or LIST_COLUMNS]
    if not all(columns):
        raise call.unsupported()
    if request.depth == 0 and "snapshot" in request.kinds:
        request.depth = 1  # the snapshots of a dataset are shown although -r is not given
    chosen, refusals = choose(call, request)
    values = Values(call.machine, exact=request.exact)
    for column, backwards in reversed(request.sort):
        chosen.sort(key=lambda item: _sort_key(values, item, column), reverse=backwards)
    if request.as_json:
        return refusals + say(_json("zfs list", values, chosen, [name for name in columns if name != "name"]))
    rows = [[values.get(item, name)[0] for name in columns] for item in chosen]
    if request.scripted:
        text = "".join("\t".join(row) + "\n" for row in rows)
    elif rows:
        text = _table(columns, rows)
    else:
        return say(error="" if refusals.exit_code else "no datasets available\n", status=0) + refusals
    return Reply(refusals.exit_code, text.encode(), refusals.stderr)


def get_properties(call: Call, args: Sequence[str]) -> Reply:
    """`zfs get [-Hjpr] [-d N] [-t TYPES] [-s SOURCES] [-o COLUMNS] PROPERTY,... [DATASET...]` (sessions 00, 07)."""
    request = parse(call, args, "Hjpr", "dtos")
    if not request.names:
        raise call.unsupported()
    wanted = [full_name(name) for name in request.names.pop(0).split(",")]
    columns = request.columns or GET_COLUMNS
    if not all(wanted) or not set(columns) <= set(GET_COLUMNS):
        raise call.unsupported()
    request.kinds = request.kinds or ("filesystem", "volume", "snapshot")
    chosen, refusals = choose(call, request)
    values = Values(call.machine, exact=request.exact)
    if request.as_json:
        return refusals + say(_json("zfs get", values, chosen, wanted))
    rows = []
    for item in chosen:
        for name in wanted:
            value, source = values.get(item, name)
            kind = {"-": "none"}.get(source, source.partition(" ")[0])
            if request.sources and kind not in request.sources:
                continue
            cells = {"name": item.name, "property": name, "value": value, "source": source}
            rows.append([cells[column] for column in columns])
    if request.scripted:
        text = "".join("\t".join(row) + "\n" for row in rows)
    else:
        text = _plain_table([column.upper() for column in columns], rows) if rows else ""
    return Reply(refusals.exit_code, text.encode(), refusals.stderr)


def parse(call: Call, args: Sequence[str], flags: str, with_value: str) -> Request:
    """Read the options that list and get share."""
    request = Request()
    given, valued, request.names = options_of(call, args, flags, with_value)
    for letter, value in valued:
        _take_value(call, request, letter, value)
    for letter in given:
        _take_flag(request, letter)
    return request


def _take_flag(request: Request, letter: str) -> None:
    if letter == "H":
        request.scripted = True
    elif letter == "p":
        request.exact = True
    elif letter == "j":
        request.as_json = True
    else:
        request.depth = None


def _take_value(call: Call, request: Request, letter: str, value: str) -> None:
    if letter == "d" and value.isdigit():
        request.depth = int(value)
    elif letter == "t":
        names = value.split(",")
        if "all" in names:
            request.kinds = ("filesystem", "volume", "snapshot")
        elif set(names) <= set(TYPES):
            request.kinds = tuple(TYPES[name] for name in names)
        else:
            raise call.unsupported()
    elif letter == "o":
        request.columns = tuple(value.split(","))
    elif letter == "s" and set(value.split(",")) <= {"local", "default", "inherited", "received", "temporary", "none"}:
        request.sources = tuple(value.split(","))
    elif letter in "sS" and full_name(value):
        request.sort.append((full_name(value), letter == "S"))
    else:
        raise call.unsupported()


def _sort_key(values: Values, dataset: Dataset, column: str) -> tuple[int, str]:
    text = Values(values.machine, exact=True).get(dataset, column)[0]
    return (int(text), "") if text.isdigit() else (-1, text)


def _is_right_aligned(name: str) -> bool:
    known = SETTABLE.get(name)
    return name in SIZES or name in ("compressratio", "createtxg", "userrefs") or (known is not None and known.number)


def _table(columns: list[str], rows: list[list[str]]) -> str:
    headers = [HEADERS.get(name, name.upper()) for name in columns]
    least = [5 if name in SIZES or name in NONE_WHEN_ZERO else 0 for name in columns]
    widths = [
        max(least[place], len(header), *(len(row[place]) for row in rows)) for place, header in enumerate(headers)
    ]
    lines = []
    for row in [headers, *rows]:
        cells = [
            cell.rjust(width) if _is_right_aligned(name) else cell.ljust(width)
            for cell, width, name in zip(row, widths, columns, strict=True)
        ]
        if not _is_right_aligned(columns[-1]):
            cells[-1] = row[-1]
        lines.append("  ".join(cells) + "\n")
    return "".join(lines)


def _plain_table(headers: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(header), *(len(row[place]) for row in rows)) for place, header in enumerate(headers)]
    widths[-1] = 0
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + "\n" for row in [headers, *rows]
    )


def _json(command: str, values: Values, chosen: list[Dataset], names: list[str]) -> str:
    datasets: dict[str, object] = {}
    for item in chosen:
        shown: dict[str, object] = {
            "name": item.name,
            "type": item.kind.upper(),
            "pool": item.name.partition("/")[0].partition("@")[0],
            "createtxg": str(item.createtxg),
        }
        if item.kind == "snapshot":
            shown["dataset"], _, shown["snapshot_name"] = item.name.partition("@")
        properties: dict[str, object] = {}
        for name in names:
            value, source = values.get(item, name)
            kind, _, place = source.partition(" from ")
            properties[name] = {
                "value": value,
                "source": {"type": "NONE" if kind == "-" else kind.upper(), "data": place or "-"},
            }
        shown["properties"] = properties
        datasets[item.name] = shown
    version = {"command": command, "vers_major": 0, "vers_minor": 1}
    return json.dumps({"output_version": version, "datasets": datasets}, separators=(",", ":")) + "\n"
