# SPDX-License-Identifier: BSD-2-Clause
"""sockstat, nc and fetch: who listens here. Nothing beyond the machine answers."""

from __future__ import annotations

import re

from warden.host.fake.listeners import (
    PORT_NAMES,
    TIMED_OUT,
    ConnectError,
    OutsideError,
    Socket,
    connect,
    resolve,
    sockets,
)
from warden.host.fake.options import getopt
from warden.host.fake.processes import advance
from warden.host.fake.program import Call, Reply, program, say

HTTP_REASONS = {
    400: "Bad request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method not allowed",
    500: "Internal server error",
    502: "Bad gateway",
    503: "Service unavailable",
}
"""What libfetch calls a status that is an error."""


@program("/usr/bin/sockstat", "sockstat -4l [--libxo json]")
def sockstat(call: Call) -> Reply:
    """List the sockets that programs listen on."""
    plain = [word for word in call.args if word not in ("--libxo", "json", "--libxo=json")]
    flags, names, wrong = getopt(plain, "4l")
    if wrong or names or not {"4", "l"} <= flags.keys():
        raise call.unsupported()
    rows = [row for row in sockets(call.machine, call.net) if not call.jail or row.process.jail == call.jail]
    if len(plain) < len(call.args):
        shown = ", ".join(
            f'{{"user":"{row.process.user}","command":"{row.program}","pid":{row.process.pid},'
            f'"fd":{row.listener.descriptor},"proto":"tcp4",'
            f' "local": {{"address":"{row.address}","port":{row.port}}}, "foreign": {{"address":"*","port":0}}}}'
            for row in rows
        )
        return say(f'{{"__version": "1", "sockstat": {{"socket": [{shown}]}}}}\n')
    users = max((len(row.process.user) for row in rows), default=4)
    pids = max((len(str(row.process.pid)) for row in rows), default=3)
    text = f"{'USER':<{users}} {'COMMAND':<10} {'PID':>{pids}} FD PROTO {'LOCAL ADDRESS':<21} {'FOREIGN ADDRESS':<21}\n"
    for row in rows:
        process, local = row.process, f"{row.address}:{row.port}"
        text += f"{process.user:<{users}} {row.program:<10} {process.pid:>{pids}} {row.listener.descriptor:>2} tcp4  "
        text += f"{local:<21} {'*:*':<21}\n"
    return say(text)


def _reached(call: Call, host: str, port: int, seconds: str) -> Socket:
    """Connect to a host; a packet that is lost is waited for as long as the client was told to."""
    address = resolve(call, host)
    if not address:
        raise call.unsupported(f"{call.name}: {host}, a name that /etc/hosts does not have")
    try:
        return connect(call, address, port)
    except OutsideError:
        raise call.unsupported(f"{call.name}: {host}, which is not on this machine") from None
    except ConnectError as failure:
        if str(failure) == TIMED_OUT:
            if not seconds.isdigit():
                raise call.unsupported(f"{call.name} that waits for ever") from None
            advance(call.machine, int(seconds))
        raise


@program("/usr/bin/nc", "nc -z [-nv] [-w SECONDS] HOST PORT")
def nc(call: Call) -> Reply:
    """Try whether somebody listens on a port."""
    flags, names, wrong = getopt(call.args, "znvw:4")
    if wrong or "z" not in flags or len(names) != 2 or not names[1].isdigit():
        raise call.unsupported()
    host, port = names
    try:
        _reached(call, host, int(port), flags.get("w", [""])[-1])
    except ConnectError as failure:
        error = f"nc: connect to {host} port {port} (tcp) failed: {failure}\n" if "v" in flags else ""
        return say(error=error, status=1)
    return say(error=f"Connection to {host} {port} port [tcp/{PORT_NAMES.get(int(port), '*')}] succeeded!\n")


@program("/usr/bin/fetch", "fetch -q [-o FILE|-] [-T SECONDS] URL (of what a program of this machine serves)")
def fetch(call: Call) -> Reply:
    """Fetch a document."""
    flags, names, wrong = getopt(call.args, "qo:T:a4")
    match = re.fullmatch(r"http://([^:/]+)(?::(\d+))?(/.*)?", names[0]) if len(names) == 1 else None
    if wrong or match is None:
        raise call.unsupported()
    url, path = names[0], match[3] or "/"
    try:
        socket = _reached(call, match[1], int(match[2] or 80), flags.get("T", [""])[-1])
    except ConnectError as failure:
        return say(error=f"fetch: {url}: {failure}\n", status=1)
    if socket.listener.http is None or "q" not in flags:
        raise call.unsupported()  # what no server of HTTP says, or how far it has got
    status, body = socket.listener.http(call, socket.process, path)
    if status >= 400:
        return say(error=f"fetch: {url}: {HTTP_REASONS[status]}\n", status=1)
    file = flags.get("o", [path.rpartition("/")[2] or "fetch.out"])[-1]
    if file == "-":
        return Reply(0, body)
    if file != "/dev/null":
        call.files.write(call.path(file), body, root=call.root)
    return Reply()
