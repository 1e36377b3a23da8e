# SPDX-License-Identifier: BSD-2-Clause
"""zpool(8): what pools there are and how they fare (sessions 00 and 07)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.host.fake.options import options_of
from warden.host.fake.program import Reply, program, say
from warden.host.fake.zfs_properties import nice_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from warden.host.fake.machine import Pool
    from warden.host.fake.program import Call

LIST_COLUMNS = (
    "name", "size", "allocated", "free", "checkpoint", "expandsize", "fragmentation", "capacity", "dedupratio",
    "health", "altroot",
)  # fmt: skip
SHORT = {
    "alloc": "allocated", "ckpoint": "checkpoint", "expandsz": "expandsize", "frag": "fragmentation", "cap": "capacity",
    "dedup": "dedupratio",
}  # fmt: skip
HEADERS = {
    "allocated": "ALLOC", "checkpoint": "CKPOINT", "expandsize": "EXPANDSZ", "fragmentation": "FRAG",
    "capacity": "CAP", "dedupratio": "DEDUP",
}  # fmt: skip
WIDTHS = {"size": 5, "allocated": 5, "free": 5, "fragmentation": 5, "capacity": 5, "dedupratio": 5, "health": 8}
LEFT = ("name", "altroot")
DEGRADED = """\
status: One or more devices could not be opened.  Sufficient replicas exist for
\tthe pool to continue functioning in a degraded state.
action: Attach the missing device and online it using 'zpool online'.
   see: https://openzfs.github.io/openzfs-docs/msg/ZFS-8000-2Q
"""


@program(
    "/sbin/zpool",
    "zpool list [-Hp] [-o COLUMNS] [POOL...]",
    "zpool get [-Hp] [-o COLUMNS] PROPERTY,... [POOL...]",
    "zpool status [-x] [POOL...]",
)
def zpool(call: Call) -> Reply:
    """List pools, give their properties, and tell how they are."""
    command = {"list": _list, "get": _get, "status": _status}.get(call.args[0] if call.args else "")
    if command is None or call.jail:
        raise call.unsupported()
    return command(call, call.args[1:])


def value_of(pool: Pool, name: str, *, exact: bool) -> str:
    """Give a pool's property as zpool(8) prints it."""
    sizes = {"size": pool.size, "allocated": pool.allocated, "free": pool.size - pool.allocated}
    if name in sizes:
        return str(sizes[name]) if exact else nice_number(sizes[name])
    sign = "" if exact else "%"
    return {
        "name": pool.name,
        "fragmentation": f"0{sign}",
        "capacity": f"{pool.allocated * 100 // pool.size}{sign}",
        "dedupratio": "1.00" if exact else "1.00x",
        "health": pool.health,
    }.get(name, "-")


def _chosen(call: Call, names: Sequence[str]) -> tuple[list[Pool], Reply]:
    pools = call.machine.pools
    missing = "".join(f"cannot open '{name}': no such pool\n" for name in names if name not in pools)
    chosen = [pools[name] for name in names or sorted(pools) if name in pools]
    return chosen, say(error=missing, status=1 if missing else 0)


def _columns(call: Call, valued: list[tuple[str, str]], default: tuple[str, ...], known: Sequence[str]) -> list[str]:
    names = [name for _, value in valued for name in value.split(",")] or list(default)
    full = [SHORT.get(name, name) for name in names]
    if not set(full) <= set(known):
        raise call.unsupported()
    return full


def _list(call: Call, args: Sequence[str]) -> Reply:
    given, valued, names = options_of(call, args, "Hp", "o")
    columns = _columns(call, valued, LIST_COLUMNS, LIST_COLUMNS)
    pools, missing = _chosen(call, names)
    rows = [[value_of(pool, name, exact="p" in given) for name in columns] for pool in pools]
    if "H" in given:
        return say("".join("\t".join(row) + "\n" for row in rows)) + missing
    if not rows:
        return missing if missing.exit_code else say("no pools available\n")
    headers = [HEADERS.get(name, name.upper()) for name in columns]
    lines = []
    for row in [headers, *rows]:
        cells = []
        for place, (cell, name) in enumerate(zip(row, columns, strict=True)):
            width = max(WIDTHS.get(name, 0), len(headers[place]), *(len(other[place]) for other in rows))
            cells.append(cell.ljust(width) if name in LEFT else cell.rjust(width))
        cells[-1] = cells[-1].rstrip() if columns[-1] in LEFT else cells[-1]
        lines.append("  ".join(cells) + "\n")
    return say("".join(lines)) + missing


def _get(call: Call, args: Sequence[str]) -> Reply:
    given, valued, words = options_of(call, args, "Hp", "o")
    if not words or "H" not in given:
        raise call.unsupported()
    fields = [name for _, value in valued for name in value.split(",")] or ["name", "property", "value", "source"]
    properties = _columns(call, [("o", words[0])], (), LIST_COLUMNS)
    pools, missing = _chosen(call, words[1:])
    lines = []
    for pool in pools:
        for name in properties:
            source = "default" if name == "altroot" else "-"
            cells = {"name": pool.name, "property": name, "value": value_of(pool, name, exact="p" in given)}
            cells["source"] = source
            if not set(fields) <= set(cells):
                raise call.unsupported()
            lines.append("\t".join(cells[field] for field in fields) + "\n")
    return say("".join(lines)) + missing


def _status(call: Call, args: Sequence[str]) -> Reply:
    given, _, names = options_of(call, args, "x")
    pools, missing = _chosen(call, names)
    ill = [pool for pool in pools if pool.health != "ONLINE"]
    if any(pool.health != "DEGRADED" for pool in ill) or (ill and "x" not in given):
        raise call.unsupported("zpool status of a pool that is not well")
    if ill:
        return say("\n".join(_report(pool) for pool in ill)) + missing
    if "x" in given:
        well = [f"pool '{pool.name}' is healthy\n" for pool in pools] if names else ["all pools are healthy\n"]
        return say("".join(well)) + missing
    return say("\n".join(_report(pool) for pool in pools)) + missing


def _report(pool: Pool) -> str:
    width = max(len(pool.name), len(pool.device) + 2, len("NAME") + 6)
    rows = [("NAME", "STATE", "READ WRITE CKSUM"), (pool.name, pool.health, "   0     0     0")]
    rows.append((f"  {pool.device}", pool.health, "   0     0     0"))
    table = "".join(f"\t{name:<{width}}  {state:<8} {counts}\n" for name, state, counts in rows)
    trouble = "" if pool.health == "ONLINE" else DEGRADED
    return f"  pool: {pool.name}\n state: {pool.health}\n{trouble}config:\n\n{table}\nerrors: No known data errors\n"
