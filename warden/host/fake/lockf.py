# SPDX-License-Identifier: BSD-2-Clause
"""lockf(1): one at a time."""

from __future__ import annotations

from dataclasses import replace

from warden.host.fake.options import getopt
from warden.host.fake.processes import advance
from warden.host.fake.program import Call, Reply, WaitingError, program, run_program, say
from warden.host.fake.users import uid_of

EX_TEMPFAIL, EX_CANTCREAT, EX_UNAVAILABLE = 75, 73, 69
LONGEST_WAIT = 86400


@program("/usr/bin/lockf", "lockf [-k] [-s] [-t SECONDS] FILE COMMAND [ARGUMENT...]")
def lockf(call: Call) -> Reply:
    """Run a command while holding a lock on a file; 75 when somebody else has it."""
    flags, words, wrong = getopt(call.args, "kst:")
    timeout = flags.get("t", [str(LONGEST_WAIT)])[-1]
    if wrong or len(words) < 2 or not timeout.isdigit():
        raise call.unsupported()
    name, *argv = words
    path = call.path(name)
    if not call.files.is_dir(path.rpartition("/")[0] or "/", root=call.root):
        return say(error=f"lockf: cannot open {name}: No such file or directory\n", status=EX_CANTCREAT)
    key = f"{call.root.rstrip('/')}{path}"
    if not _wait(call, key, int(timeout)):
        return say(error="" if "s" in flags else f"lockf: {name}: already locked\n", status=EX_TEMPFAIL)
    if not call.files.exists(path, root=call.root):
        call.files.write(path, b"", root=call.root, mode=0o666 & ~call.umask, uid=uid_of(call))
    process = call.machine.processes.get(call.pid)
    if process is not None:
        process.locks.append(key)
        call.machine.lockers[key] = process.pid
    try:
        reply = run_program(replace(call, argv=tuple(argv)))
    except WaitingError as wait:
        if not process or wait.rest:
            raise call.unsupported("lockf around a command that waits in the middle") from None
        raise  # the process that waits holds the lock until it ends
    if process is not None:
        process.locks.remove(key)
        del call.machine.lockers[key]
    if "k" not in flags:
        call.files.remove(path, root=call.root)
    return reply


def _wait(call: Call, key: str, seconds: int) -> bool:
    """Wait for a lock; tell whether it is free."""
    machine = call.machine
    for _ in range(seconds):
        if not _held(call, key):
            return True
        if call.pid or not any(key in process.locks and process.ends_at for process in machine.processes.values()):
            raise call.unsupported("lockf that waits for a lock that nobody lets go of")
        advance(machine, 1)
    return not _held(call, key)


def _held(call: Call, key: str) -> bool:
    machine = call.machine
    holder = machine.processes.get(machine.lockers.get(key, 0))
    return key in machine.locks or (holder is not None and key in holder.locks)
