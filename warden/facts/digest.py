# SPDX-License-Identifier: BSD-2-Clause
"""A digest of what a plan rests on: the same as long as nobody changes a host, however long that is.

It is made of what the parsers took from the answers, not of the answers: a route's expiry, an interface's state of the
moment, a jail's number, a process's and the time of a file move by themselves. No secret is in it, not even hashed:
whoever guessed one could tell from the digest that he was right.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING

from warden.facts.registry import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from warden.facts.model import Facts, File

# the fields of Facts as they are; a new one comes here if a plan rests on it, and it does not move by itself
_WHOLE = (
    *("release", "routes", "forwarding", "pf", "bastille", "releases", "bastille_jails", "datasets", "pools"),
    *("devfs_ruleset_13", "rc_scripts", "marked_scripts", "users", "locales"),
    *("keys", "rctl", "releases_with_pkg"),
)


def facts_digest(facts: Facts) -> str:
    """Give the digest of all facts that a plan rests on."""
    return digest_of(facts_parts(facts))


def facts_parts(facts: Facts) -> dict[str, str]:
    """Give a digest of each part of the facts, by the part's name."""
    parts = {name.replace("_", " "): getattr(facts, name) for name in _WHOLE}
    parts["rc.conf"] = facts.rc_conf
    parts["interfaces"] = facts.interfaces
    parts["mount points"] = frozenset(facts.mount_points)  # their order is that of the day on which each was mounted
    parts["running jails"] = [
        (jail.name, jail.path, jail.devfs_ruleset, jail.addresses, jail.default_router)
        for jail in sorted(facts.running_jails.values(), key=lambda jail: jail.name)
    ]
    # health, versions and what a service holds move by themselves
    parts["insides of jails"] = {name: (inside.files, inside.variables) for name, inside in facts.inside.items()}
    parts["services that run"] = sorted(facts.supervised)
    parts["files"] = {path: _without_secrets(path, file) for path, file in facts.files.items()}
    parts["agents' environments"] = {agent: sorted(values) for agent, values in facts.environments.items()}
    return {name: digest_of(value) for name, value in parts.items()}


def digest_of(value: object) -> str:
    """Give the SHA-256 of a value, which is the same whatever the order of a set or a mapping."""
    return hashlib.sha256(_canonical(value).encode("utf-8", "surrogateescape")).hexdigest()


def _without_secrets(path: str, file: File) -> object:
    content = b"" if path.startswith(f"{REGISTRY}/") and path.endswith(".env") else file.content
    return content, file.mode, file.owner, file.group


def _canonical(value: object) -> str:
    """Write a value so that two are written alike only where they are the same."""
    if is_dataclass(value):
        return _canonical([(field.name, getattr(value, field.name)) for field in fields(value)])
    if isinstance(value, Mapping):
        return _joined("{}", sorted(f"{_canonical(key)}:{_canonical(held)}" for key, held in value.items()))
    if isinstance(value, (frozenset, set)):
        return _joined("<>", sorted(_canonical(held) for held in value))
    if isinstance(value, (list, tuple)):
        return _joined("[]", [_canonical(held) for held in value])
    return repr(value) if value is None or isinstance(value, (str, bytes, int)) else repr(str(value))


def _joined(brackets: str, written: Iterable[str]) -> str:
    return f"{brackets[0]}{','.join(written)}{brackets[1]}"
