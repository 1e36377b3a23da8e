# SPDX-License-Identifier: BSD-2-Clause
"""fuser(1): which processes have a file open. Here those are the ones that hold a lock on it."""

from __future__ import annotations

from warden.host.fake.options import options_of
from warden.host.fake.program import Call, Reply, program, say

SESSION = 1
"""What stands for a command that is kept open over a connection: it is no process of this machine."""


@program("/usr/bin/fuser", "fuser FILE")
def fuser(call: Call) -> Reply:
    """List who has a lock file open: process ids on standard output, the name on standard error."""
    _, _, names = options_of(call, call.args, "", "")
    if len(names) != 1 or call.jail:
        raise call.unsupported()
    path = call.path(names[0])
    if not call.files.exists(path):
        return say(error=f"fuser: {names[0]}: No such file or directory\n", status=1)
    machine = call.machine
    pids = [SESSION] if path in machine.locks else []
    pids += [process.pid for process in machine.processes.values() if path in process.locks]
    if not pids and not path.endswith(".lock"):
        raise call.unsupported()  # who has other files open, is not known here
    return say("".join(f"{pid:6d}" for pid in pids), error=f"{names[0]}:{'w' * len(pids)}\n")
