# SPDX-License-Identifier: BSD-2-Clause
"""sockstat, nc and fetch: who listens here. Nothing beyond the machine answers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from warden.host.fake.options import getopt
from warden.host.fake.program import Call, Reply, program, say

if TYPE_CHECKING:
    from collections.abc import Iterator

LISTENERS = {"sshd": (7, 22, "ssh")}
"""Programs that are known to listen: descriptor, port, and the port's name."""


@dataclass(frozen=True, slots=True)
class Socket:
    """A TCP socket that somebody listens on."""

    user: str
    command: str
    pid: int
    descriptor: int
    port: int
    service: str


def listening(call: Call) -> Iterator[Socket]:
    """Give the sockets that programs listen on in the caller's network stack."""
    for process in call.machine.processes.values():
        name = process.argv[0].rpartition("/")[2].partition(":")[0] if process.argv else ""
        if name in LISTENERS and call.machine.stack(process.jail) is call.net:
            yield Socket(process.user, name, process.pid, *LISTENERS[name])


@program("/usr/bin/sockstat", "sockstat -4l [--libxo json]")
def sockstat(call: Call) -> Reply:
    """List the sockets that programs listen on."""
    plain = [word for word in call.args if word not in ("--libxo", "json", "--libxo=json")]
    flags, names, wrong = getopt(plain, "4l")
    if wrong or names or not {"4", "l"} <= flags.keys():
        raise call.unsupported()
    rows = list(listening(call))
    if len(plain) < len(call.args):
        sockets = [
            f'{{"user":"{row.user}","command":"{row.command}","pid":{row.pid},"fd":{row.descriptor},"proto":"tcp4",'
            f' "local": {{"address":"*","port":{row.port}}}, "foreign": {{"address":"*","port":0}}}}'
            for row in rows
        ]
        return say(f'{{"__version": "1", "sockstat": {{"socket": [{", ".join(sockets)}]}}}}\n')
    users = max((len(row.user) for row in rows), default=4)
    pids = max((len(str(row.pid)) for row in rows), default=3)
    text = f"{'USER':<{users}} {'COMMAND':<10} {'PID':>{pids}} FD PROTO {'LOCAL ADDRESS':<21} {'FOREIGN ADDRESS':<21}\n"
    for row in rows:
        text += f"{row.user:<{users}} {row.command:<10} {row.pid:>{pids}} {row.descriptor:>2} tcp4  "
        text += f"{f'*:{row.port}':<21} {'*:*':<21}\n"
    return say(text)


def _is_own(call: Call, host: str) -> bool:
    own = (address.address for item in call.net.interfaces.values() if item.up for address in item.inet)
    return host in ("localhost", *own)


@program("/usr/bin/nc", "nc -z [-v] [-w SECONDS] HOST PORT")
def nc(call: Call) -> Reply:
    """Try whether somebody listens on a port of this machine."""
    flags, names, wrong = getopt(call.args, "znvw:4")
    if wrong or "z" not in flags or len(names) != 2 or not names[1].isdigit() or not _is_own(call, names[0]):
        raise call.unsupported()
    host, port = names
    found = next((row for row in listening(call) if str(row.port) == port), None)
    if found is None:
        error = f"nc: connect to {host} port {port} (tcp) failed: Connection refused\n" if "v" in flags else ""
        return say(error=error, status=1)
    return say(error=f"Connection to {host} {port} port [tcp/{found.service}] succeeded!\n")


@program("/usr/bin/fetch", "fetch [-q] [-o FILE] [-T SECONDS] URL (of this machine, where nothing serves)")
def fetch(call: Call) -> Reply:
    """Fetch a document; there is nobody to fetch one from."""
    _, names, wrong = getopt(call.args, "qo:T:a")
    match = re.fullmatch(r"https?://([^:/]+)(?::(\d+))?(?:/.*)?", names[0]) if len(names) == 1 else None
    if wrong or match is None or not _is_own(call, match[1]):
        raise call.unsupported()
    port = int(match[2] or (443 if names[0].startswith("https") else 80))
    if any(row.port == port for row in listening(call)):
        raise call.unsupported()
    return say(error=f"fetch: {names[0]}: Connection refused\n", status=1)
