# SPDX-License-Identifier: BSD-2-Clause
"""The wait for a service that answers over HTTP, where something has to be done once it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.services.shape import inside

if TYPE_CHECKING:
    from warden.host.command import Command

_WAIT = """\
n=0
until timeout 3 fetch -q -T 3 -o /dev/null "$1" 2>/dev/null; do
	n=$((n + 1))
	if [ $n -ge "$2" ]; then
		echo "$1 does not answer; what the server says is in $3 in the jail" >&2
		exit 1
	fi
	sleep 1
done
"""


def wait_for(jail: str, url: str, *, seconds: int, log: str) -> Command:
    """Give the command that waits until an address is answered inside a jail; `log` is where it says why not."""
    return inside(jail, "/bin/sh", "-c", _WAIT, "sh", url, str(seconds), log)
