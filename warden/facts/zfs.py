# SPDX-License-Identifier: BSD-2-Clause
"""What `zfs get -Hp` prints: name, property, value and source, a tab between them."""

from __future__ import annotations

from warden.facts.errors import FactsError
from warden.facts.model import Dataset

AGENT_PROPERTY = "warden:agent"
BACKUP_PROPERTY = "warden:backup"


def parse_datasets(text: str) -> dict[str, Dataset]:
    """Give the filesystems by name, from their `mountpoint`, `warden:agent`, `quota` and `warden:backup`.

    Only a property that was set on the dataset itself is a mark: an inherited one says nothing of the child.
    """
    mountpoints: dict[str, str] = {}
    agents: dict[str, str] = {}
    quotas: dict[str, int] = {}
    backups: dict[str, str] = {}
    for line in text.splitlines():
        fields = line.split("\t")
        if len(fields) != 4:  # name, property, value, source
            raise FactsError(f"zfs get: a line that is not understood: {line!r}")
        name, key, value, source = fields
        if key == "mountpoint":
            mountpoints[name] = value
        elif key == AGENT_PROPERTY and source == "local":
            agents[name] = value
        elif key == BACKUP_PROPERTY and source == "local":
            backups[name] = value
        elif key == "quota" and value.isdigit():
            quotas[name] = int(value)
    return {
        name: Dataset(
            name=name,
            mountpoint=mountpoint,
            agent=agents.get(name),
            quota=quotas.get(name) or None,
            backup=backups.get(name),
        )
        for name, mountpoint in mountpoints.items()
    }
