# SPDX-License-Identifier: BSD-2-Clause
"""`warden host trust`: accepting a host's key, which is never done by the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from warden.cli import selection
from warden.cli.errors import CommandLineError
from warden.cli.files import append_private_line
from warden.cli.questions import need_terminal
from warden.cli.selection import host_targets
from warden.cli.terminal import ask_secret, err, out
from warden.host.errors import HostKeyError

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.argument("name", metavar="NAME|ADDRESS")
@selection.file_option
@selection.env_file_option
@selection.yes_option
def trust(name: str, file: Path | None, env_file: Path | None, *, yes: bool) -> int:
    """Show the key of a host over SSH, and add it to known_hosts if you know it to be the host's own."""
    from warden.host.ssh_trust import read_host_key  # noqa: PLC0415 - its library takes longer to load than Warden

    targets, _ = host_targets(file, env_file, name, network_needed=False)
    address = targets[0].address
    if not address.startswith("ssh:"):
        raise CommandLineError(
            f"{name} is reached without SSH, and has no key: {address}",
            hint="name a host of the spec whose address is ssh://[user@]host[:port], or such an address",
        )
    key = read_host_key(address, ask_secret)
    said = f"{key.name}  {key.algorithm}  {key.fingerprint}"
    if key.state == "changed":
        raise HostKeyError(
            key.objection or f"the key of {key.name} is not the one that {key.file} has: it is now {said}",
            hint="was the host installed anew, or is somebody in the middle? compare with the host's console; "
            f"then: ssh-keygen -R '{key.name}' -f {key.file}",
        )
    out().print(said)
    if key.state == "known":
        out().print("this key is known already: nothing to do")
        return 0
    if not yes:
        need_terminal("compare the fingerprint with the host's own, then add -y")
        err().print("on the host's console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub, or as its kind is called")
        if not click.confirm("is this the key of that host?", err=True):
            err().print("nothing was done")
            return 0
    append_private_line(key.file, key.line)
    out().print(f"added to {key.file}")
    return 0
