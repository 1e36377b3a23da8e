# SPDX-License-Identifier: BSD-2-Clause
"""The processes of the fake machine: how they start, wait, end, and what daemon(8) does about those it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.host.fake.filesystem import FileError
from warden.host.fake.machine import Machine, Process
from warden.host.fake.program import PATH, Call, Reply, UnsupportedError, WaitingError, run_program

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from warden.host.fake.filesystem import FileSystem

KILLED = 128
"""What a shell adds to the number of the signal that ended a command."""
LANGUAGE = {"BLOCKSIZE": "K", "LANG": "C.UTF-8", "MM_CHARSET": "UTF-8"}
"""What login.conf(5)'s class `default` sets for everyone."""


def spawn(
    machine: Machine,
    argv: Sequence[str],
    *,
    user: str = "root",
    jail: str = "",
    ppid: int = 1,
    title: str = "",
    environment: dict[str, str] | None = None,
    lasts: int = 0,
) -> Process:
    """Add a process that lives for `lasts` seconds, or with 0 until it is killed."""
    parent = machine.processes.get(ppid)
    process = Process(
        pid=machine.next_pid,
        ppid=ppid,
        user=user,
        argv=list(argv),
        jail=jail,
        title=title,
        environment=dict(environment or {}),
        ends_at=machine.clock + lasts if lasts else 0,
        held_by=parent.held_by if parent is not None else 0,
    )
    machine.next_pid += 1
    machine.processes[process.pid] = process
    return process


def exists(machine: Machine, pid: int) -> bool:
    """Tell whether a process is there."""
    return pid in machine.processes


def kill(machine: Machine, pid: int, signal: int = 15) -> bool:
    """End a process as a signal does that it does not handle; tell whether it was there.

    daemon(8) hands SIGTERM on to its command and takes its pid files away (session 06); killed hard it does neither.
    """
    process = machine.processes.get(pid)
    if process is None:
        return False
    kept = process.supervision
    if kept is not None and signal == 15:
        process.supervision = None
        for child in children(machine, pid):
            kill(machine, child.pid)
        remove_pidfiles(machine, process, kept.pidfile, kept.child_pidfile)
    end(machine, process, KILLED + signal)
    return True


def kill_jail(machine: Machine, jail: str) -> None:
    """End every process of a jail at once."""
    for process in [process for process in machine.processes.values() if process.jail == jail]:
        del machine.processes[process.pid]


def children(machine: Machine, pid: int) -> list[Process]:
    """Give a process's children."""
    return [process for process in machine.processes.values() if process.ppid == pid]


def end(machine: Machine, process: Process, status: int) -> None:
    """Take a process away; its children go to init, and whoever waits for it goes on."""
    if machine.processes.pop(process.pid, None) is None:
        return
    for child in children(machine, process.pid):
        child.ppid = 1
    parent = machine.processes.get(process.ppid)
    if parent is not None and parent.awaits == process.pid:
        resume(machine, parent, status)
    keeper = machine.processes.get(process.held_by)
    if keeper is None or keeper.supervision is None:
        return
    # daemon goes on reading as long as anything has its pipe open, a grandchild included (session 17)
    if any(other.held_by == keeper.pid for other in machine.processes.values()):
        return
    if keeper.supervision.restart:
        keeper.supervision.starts_at = machine.clock + keeper.supervision.restart
    else:
        remove_pidfiles(machine, keeper, keeper.supervision.pidfile, keeper.supervision.child_pidfile)
        end(machine, keeper, 1)


def remove_pidfiles(machine: Machine, process: Process, *paths: str) -> None:
    """Remove a daemon's pid files."""
    root = machine.root_of(process.jail)
    for path in paths:
        if path and machine.files.exists(path, root=root):
            machine.files.remove(path, root=root)


def background(call: Call, argv: Sequence[str], run: Callable[[Call], Reply]) -> tuple[int, Reply]:
    """Run something as a process of its own: gives its pid, and what it wrote until it ended or began to wait."""
    process = spawn(
        call.machine, argv, user=call.user, jail=call.jail, ppid=max(call.pid, 0) or 1, environment=call.environment
    )
    process.cwd, process.umask = call.cwd, call.umask
    return process.pid, run_as(call.machine, process, run)


def run_as(machine: Machine, process: Process, run: Callable[[Call], Reply], *, write: bool = False) -> Reply:
    """Run something in a process's place until it ends or begins to wait; with `write`, what it says is written."""
    call = Call(
        machine,
        tuple(process.argv),
        environment=dict(process.environment),
        cwd=process.cwd,
        jail=process.jail,
        user=process.user,
        umask=process.umask,
        pid=process.pid,
    )
    try:
        reply = run(call)
    except WaitingError as wait:
        if write:
            write_output(machine, process, wait.reply)
        suspend(machine, process, wait)
        return wait.reply
    except UnsupportedError:
        machine.processes.pop(process.pid, None)
        raise
    if write:
        write_output(machine, process, reply)
    end(machine, process, reply.exit_code)
    return reply


def suspend(machine: Machine, process: Process, wait: WaitingError) -> None:
    """Let a process wait: it becomes the command that it waits for, or has that as its child if more follows."""
    until = machine.clock + wait.seconds if wait.seconds else 0
    if not wait.rest:
        process.argv, process.ends_at = wait.argv, until
        return
    child = spawn(machine, wait.argv, user=process.user, jail=process.jail, ppid=process.pid)
    child.ends_at, child.cwd = until, process.cwd
    process.awaits, process.then = child.pid, wait.rest


def resume(machine: Machine, process: Process, status: int) -> None:
    """Let a process go on with its script, after the command that it waited for."""
    from warden.host.fake.shell import run_script  # noqa: PLC0415 - the shell starts processes, so it imports this

    script, process.then, process.awaits = process.then, "", 0
    run_as(machine, process, lambda call: run_script(call, script, status=status), write=True)


def write_output(machine: Machine, process: Process, reply: Reply) -> None:
    """Write what a process said to the file of the daemon(8) that reads it; else nobody does."""
    keeper = machine.processes.get(process.held_by)
    output = keeper.supervision.output if keeper is not None and keeper.supervision is not None else ""
    if not output or not reply.stdout + reply.stderr:
        return
    try:
        machine.files.write(
            output, reply.stdout + reply.stderr, root=machine.root_of(process.jail), mode=0o600, append=True
        )
    except FileError:
        return  # daemon cannot say so either


def start_kept(machine: Machine, keeper: Process) -> Reply:
    """Start the command that a daemon(8) keeps; what it says goes to the file if there is one."""
    kept = keeper.supervision
    if kept is None:
        return Reply()
    kept.starts_at = 0
    environment = dict(keeper.environment)
    if kept.user:
        environment |= user_environment(machine, kept.user, keeper.jail)
    child = spawn(
        machine, kept.command, user=kept.user or keeper.user, jail=keeper.jail, ppid=keeper.pid, environment=environment
    )
    child.cwd, child.umask, child.held_by = keeper.cwd, keeper.umask, keeper.pid
    keeper.title = f"daemon: {kept.name}[{child.pid}] (daemon)"
    if kept.child_pidfile:
        write_pidfile(machine, kept.child_pidfile, child.pid, keeper.jail)
    reply = run_as(machine, child, execute, write=True)
    return Reply() if kept.output else reply


def execute(call: Call) -> Reply:
    """Run a daemon's command; what daemon(8) says where there is none."""
    reply = run_program(call)
    reason = {127: "No such file or directory", 126: "Permission denied"}.get(reply.exit_code)
    if reason and reply.stderr.startswith(f"sh: {call.argv[0]}: ".encode()):
        return Reply(1, b"", f"daemon: {call.argv[0]}: {reason}\n".encode())
    return reply


def write_pidfile(machine: Machine, path: str, pid: int, jail: str) -> None:
    """Write a pid file as pidfile(3) does: for its owner only, without a newline."""
    machine.files.write(path, str(pid).encode(), root=machine.root_of(jail), mode=0o600)


def user_environment(machine: Machine, user: str, jail: str) -> dict[str, str]:
    """Give what setusercontext(3) sets for a user, and daemon(8) after it (session 06)."""
    fields = account(machine.files, user, machine.root_of(jail))
    home, shell = (fields[5], fields[6]) if fields else ("/", "/bin/sh")
    return {
        **LANGUAGE,
        "MAIL": f"/var/mail/{user}",
        "PATH": f"{PATH}:{home}/bin",
        "USER": user,
        "HOME": home,
        "SHELL": shell or "/bin/sh",
    }


def account(files: FileSystem, user: str, root: str) -> list[str]:
    """Give the fields of a user's line in the /etc/passwd below `root`, none for nobody of that name."""
    node = files.lookup("/etc/passwd", root=root)
    for line in node.data.decode("utf-8", "replace").splitlines() if node else []:
        if line.startswith(f"{user}:"):
            return line.split(":")
    return []


def advance(machine: Machine, seconds: int) -> None:
    """Let time pass; what ends or starts meanwhile does so at its own second."""
    until = machine.clock + seconds
    while True:
        due = min(
            (
                (moment, process.pid)
                for process in machine.processes.values()
                for moment in (process.ends_at, process.supervision.starts_at if process.supervision else 0)
                if 0 < moment <= until
            ),
            default=None,
        )
        if due is None:
            break
        machine.wait(max(due[0] - machine.clock, 0))
        process = machine.processes[due[1]]
        if process.supervision is not None and process.supervision.starts_at == due[0]:
            start_kept(machine, process)
        else:
            end(machine, process, 0)
    machine.wait(until - machine.clock)


def catch_up(machine: Machine, now: float) -> None:
    """Let as much time pass as has passed for us since somebody last looked, if anything waits for its time."""
    if machine.awaited_since:
        advance(machine, max(0, int(now - machine.awaited_since)))
    waits = any(
        process.ends_at or (process.supervision is not None and process.supervision.starts_at)
        for process in machine.processes.values()
    )
    if not waits:
        machine.awaited_since = 0.0
    elif not machine.awaited_since or now - machine.awaited_since >= 1:
        machine.awaited_since = now
