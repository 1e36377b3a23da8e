# SPDX-License-Identifier: BSD-2-Clause
"""The properties of ZFS datasets: which there are, what they default to, what they accept, how they look."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warden.host.fake.machine import Dataset, Machine

UNITS = "BKMGTPE"
NUMBER = re.compile(r"([0-9]+(?:\.[0-9]+)?)([bkmgtpe]?)(i?b)?", re.IGNORECASE)
COMPRESSION = "on | off | lzjb | gzip | gzip-[1-9] | zle | lz4 | zstd | zstd-[1-19] | zstd-fast-[1-10,20,30,40,50,60,70,80,90,100,500,1000]"  # noqa: E501 - one line of zfs(8)'s output
FAST = (*range(1, 11), *range(20, 101, 10), 500, 1000)
ON_OFF = ("on", "off")


class PropertyError(Exception):
    """A value that a property does not take; the text is what zfs(8) says behind its colon."""


@dataclass(frozen=True, slots=True)
class Property:
    """A native property of zfsprops(7)."""

    default: str
    values: tuple[str, ...] = ()
    number: bool = False
    inherits: bool = True
    snapshots: bool = False
    """Whether a snapshot has it too."""


SIZE = Property("0", number=True, inherits=False)

SETTABLE: dict[str, Property] = {
    "quota": SIZE,
    "refquota": SIZE,
    "reservation": SIZE,
    "refreservation": SIZE,
    "volsize": SIZE,
    "recordsize": Property("131072", number=True),
    "mountpoint": Property(""),
    "compression": Property("on"),
    "atime": Property("on", ON_OFF),
    "relatime": Property("on", ON_OFF),
    "exec": Property("on", ON_OFF, snapshots=True),
    "setuid": Property("on", ON_OFF, snapshots=True),
    "devices": Property("on", ON_OFF, snapshots=True),
    "readonly": Property("off", ON_OFF),
    "jailed": Property("off", ON_OFF),
    "canmount": Property("on", ("on", "off", "noauto"), inherits=False),
    "snapdir": Property("hidden", ("hidden", "visible", "disabled")),
    "sync": Property("standard", ("standard", "always", "disabled")),
    "checksum": Property("on", ("on", "off", "fletcher2", "fletcher4", "sha256", "sha512", "skein", "edonr", "blake3")),
    "copies": Property("1", ("1", "2", "3")),
    "dedup": Property("off", ("on", "off", "verify", "sha256", "sha512", "skein", "blake3")),
    "primarycache": Property("all", ("all", "none", "metadata"), snapshots=True),
    "secondarycache": Property("all", ("all", "none", "metadata"), snapshots=True),
    "logbias": Property("latency", ("latency", "throughput")),
    "aclmode": Property("discard", ("discard", "groupmask", "passthrough", "restricted")),
    "aclinherit": Property("restricted", ("discard", "noallow", "restricted", "passthrough", "passthrough-x")),
    "acltype": Property("nfsv4", ("off", "nfsv4", "posix")),
    "xattr": Property("sa", ("on", "off", "dir", "sa"), snapshots=True),
    "sharenfs": Property("off"),
    "sharesmb": Property("off"),
}

READ_ONLY = (
    "available", "clones", "compressratio", "createtxg", "creation", "encryption", "logicalreferenced", "logicalused",
    "mounted", "name", "origin", "referenced", "type", "used", "usedbychildren", "usedbydataset", "usedbysnapshots",
    "userrefs", "written",
)  # fmt: skip

COLUMNS = {
    "avail": "available",
    "refer": "referenced",
    "compress": "compression",
    "ratio": "compressratio",
    "mount": "mounted",
    "rdonly": "readonly",
    "recsize": "recordsize",
    "reserv": "reservation",
    "usedds": "usedbydataset",
    "usedsnap": "usedbysnapshots",
    "usedchild": "usedbychildren",
}
"""The short names of columns."""

HEADERS = {
    "available": "AVAIL",
    "referenced": "REFER",
    "compression": "COMPRESS",
    "compressratio": "RATIO",
    "readonly": "RDONLY",
    "recordsize": "RECSIZE",
    "reservation": "RESERV",
    "usedbydataset": "USEDDS",
    "usedbysnapshots": "USEDSNAP",
    "usedbychildren": "USEDCHILD",
}

SIZES = {
    "available", "logicalreferenced", "logicalused", "referenced", "used", "usedbychildren", "usedbydataset",
    "usedbysnapshots", "volsize", "written",
}  # fmt: skip


def is_user_property(name: str) -> bool:
    """Tell whether a name is a user property's: it holds a colon."""
    return ":" in name


def full_name(name: str) -> str:
    """Give a property's full name for what -o and get take; '' for one that there is not."""
    name = COLUMNS.get(name, name)
    return name if name in SETTABLE or name in READ_ONLY or is_user_property(name) else ""


def nice_number(number: int) -> str:
    """Give a size as zfs(8) prints it without -p: at most five characters."""
    index, whole = 0, number
    while whole >= 1024 and index < len(UNITS) - 1:
        whole //= 1024
        index += 1
    unit = UNITS[index]
    if index == 0 or number % 1024**index == 0:
        return f"{whole}{unit}"
    for digits in (2, 1, 0):
        text = f"{number / 1024**index:.{digits}f}{unit}"
        if len(text) <= 5:
            break
    return text


def parse_number(text: str) -> int:
    """Give the bytes that a size like `1.5G` means."""
    match = NUMBER.fullmatch(text)
    if match is None:
        raise PropertyError(f"bad numeric value '{text}'")
    return int(float(match[1]) * 1024 ** max(0, UNITS.find(match[2].upper() or "B")))


def canonical(name: str, value: str) -> str:
    """Check a value that is to be set, and give it as it is kept; raises PropertyError (session 07)."""
    if is_user_property(name):
        return value
    if name in READ_ONLY:
        raise PropertyError(f"'{name}' is readonly")
    known = SETTABLE.get(name)
    if known is None:
        raise PropertyError(f"invalid property '{name}'")
    if name == "mountpoint":
        if value not in ("none", "legacy") and not value.startswith("/"):
            raise PropertyError("'mountpoint' must be an absolute path, 'none', or 'legacy'")
        return value.rstrip("/") or "/"
    if name == "compression":
        if not _is_compression(value):
            raise PropertyError(f"'compression' must be one of '{COMPRESSION}'")
        return value
    if known.number:
        return str(_size(name, value))
    if known.values and value not in known.values:
        raise PropertyError(f"'{name}' must be one of '{' | '.join(known.values)}'")
    return value


def _size(name: str, value: str) -> int:
    if value == "none" and name != "recordsize":
        return 0
    number = parse_number(value)
    if name == "recordsize" and (number & (number - 1) or not 512 <= number <= 16 * 1024**2):
        raise PropertyError("'recordsize' must be power of 2 from 512B to 16M")
    return number


def _is_compression(value: str) -> bool:
    if value in ("on", "off", "lzjb", "gzip", "zle", "lz4", "zstd", "zstd-fast"):
        return True
    name, _, level = value.rpartition("-")
    if not level.isdigit() or str(int(level)) != level:
        return False
    levels = {"gzip": range(1, 10), "zstd": range(1, 20), "zstd-fast": FAST}
    return int(level) in levels.get(name, ())


def setting(machine: Machine, dataset: Dataset, name: str) -> tuple[str, str]:
    """Give a settable property's value and the dataset that it is set at; '' for a default.

    The value of a user property that is set nowhere is '-'.
    """
    if dataset.kind == "snapshot" and not is_user_property(name):
        known = SETTABLE[name]
        return (known.default, "") if known.snapshots else ("-", "")
    known_property = SETTABLE.get(name)
    inherits = known_property is None or known_property.inherits
    here: Dataset | None = dataset
    while here is not None:
        if name in here.properties:
            return here.properties[name], here.name
        if not inherits:
            break
        here = machine.datasets.get(here.name.rpartition("@" if here.kind == "snapshot" else "/")[0])
    return (known_property.default if known_property is not None else "-"), ""


def mountpoint(machine: Machine, dataset: Dataset) -> str:
    """Give where a filesystem is to be mounted: a path, `none` or `legacy`; '-' for what cannot be mounted."""
    if dataset.kind != "filesystem":
        return "-"
    value, origin = setting(machine, dataset, "mountpoint")
    if not origin:
        return f"/{dataset.name}"
    if value in ("none", "legacy"):
        return value
    return value.rstrip("/") + dataset.name[len(origin) :] or "/"
