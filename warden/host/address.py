# SPDX-License-Identifier: BSD-2-Clause
"""From an address to a host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from warden.host.errors import AddressError
from warden.host.local import LocalHost

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from warden.host.command import Host

Become = Literal["none", "sudo", "doas"]
"""How a user who is not root becomes root on a host."""

FORMS = "write ssh://[user@]host[:port], local, or fake:PATH for a machine to rehearse on"


def open_host(
    address: str,
    *,
    folder: Path,
    become: Become = "none",
    ask: Callable[[str], str | None] | None = None,
) -> Host:
    """Give the host that an address names: `local`, `ssh://[user@]host[:port]`, `fake:` or `fake:PATH[?profile=NAME]`.

    A relative PATH is taken from `folder`. `become` and `ask` are for hosts over SSH: `ask(prompt)` asks a person for
    the passphrase of a key, and gives None where nobody can be asked. Raises AddressError for an address of no known
    form, HostUnreachableError and HostKeyError where no connection over SSH can be made.
    """
    if address == "local":
        return LocalHost()
    scheme, colon, rest = address.partition(":")
    if scheme == "ssh" and colon:
        from warden.host.ssh import SshHost  # noqa: PLC0415 - its library takes longer to load than all of Warden

        return SshHost(address, become=become, ask=ask)
    if scheme != "fake" or not colon:
        raise AddressError(f"{address!r} is no address of a host", hint=FORMS)
    from warden.host.fake.address import open_fake  # noqa: PLC0415 - a whole FreeBSD, which most runs do not need

    return open_fake(address, rest, folder)
