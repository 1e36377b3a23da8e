# SPDX-License-Identifier: BSD-2-Clause
"""The public halves of the agents' SSH keys, and whose the private ones are."""

from __future__ import annotations

from warden.facts.model import Key

FOLDER = "/usr/local/etc/warden-keys"

LIST_KEYS = f"""\
for pub in {FOLDER}/*.pub; do
	key=${{pub%.pub}} known=no
	[ -f "$key" ] || continue
	[ ! -s "$key.known_hosts" ] || known=yes
	echo "${{key##*/}} $(stat -f %Su "$key") $known $(cat "$pub")"
done
"""
"""Reads of each pair that is whole the agent, the owner, whether a host is known to it, and the public half."""


def parse_keys(text: str) -> dict[str, Key]:
    """Give the keys by agent, from what LIST_KEYS prints; what is no key is not among them."""
    keys = {}
    for line in text.splitlines():
        fields = line.split(" ", 3)
        if len(fields) != 4 or not fields[3].startswith("ssh-"):  # agent, owner, known_hosts, key
            continue  # no key of ours: one that is wanted is made anew
        keys[fields[0]] = Key(agent=fields[0], owner=fields[1], public=fields[3], known_hosts=fields[2] == "yes")
    return keys
