# SPDX-License-Identifier: BSD-2-Clause
"""FreeBSD's own daemons that a host and a jail run: cron, sshd, syslogd, devd."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from warden.host.fake import rcconf
from warden.host.fake.processes import exists, kill, spawn
from warden.host.fake.program import Call, Reply, say
from warden.host.fake.service import rc_service

if TYPE_CHECKING:
    from warden.host.fake.machine import Machine


@dataclass(frozen=True, slots=True)
class Daemon:
    """A daemon: its program, its pid file, and the title that it gives itself."""

    name: str
    command: str
    pidfile: str
    description: str
    flags: str = ""
    title: str = ""
    extra: str = ""
    before: str = ""
    """What its script says before it starts, reloads or restarts it."""


DAEMONS = (
    Daemon("cron", "/usr/sbin/cron", "/var/run/cron.pid", "Daemon to execute scheduled commands", flags="-s"),
    Daemon(
        "sshd",
        "/usr/sbin/sshd",
        "/var/run/sshd.pid",
        "Secure Shell Daemon",
        title="sshd: /usr/sbin/sshd [listener] 0 of 10-100 startups (sshd)",
        extra="configtest keygen reload",
        before="Performing sanity check on sshd configuration.\n",
    ),
    Daemon("syslogd", "/usr/sbin/syslogd", "/var/run/syslog.pid", "System log daemon", extra="reload"),
    Daemon("devd", "/sbin/devd", "/var/run/devd.pid", "Device state change daemon"),
)


def pid_of(machine: Machine, daemon: Daemon, jail: str) -> int:
    """Give the pid of a daemon that runs; 0 for one that does not."""
    node = machine.files.lookup(daemon.pidfile, root=machine.root_of(jail))
    text = node.data.decode("ascii", "replace").strip() if node is not None else ""
    process = machine.processes.get(int(text)) if text.isdigit() else None
    return process.pid if process is not None and process.jail == jail else 0


def start(call: Call, daemon: Daemon) -> Reply:
    """Start a daemon."""
    running = pid_of(call.machine, daemon, call.jail)
    if running:
        return say(error=f"{daemon.name} already running?  (pid={running}).\n", status=1)
    flags = rcconf.read_rc_conf(call.machine, call.jail).get(f"{daemon.name}_flags", "")
    words = f"{daemon.command} {flags} {daemon.flags}".split()
    process = spawn(call.machine, words, jail=call.jail, title=daemon.title)
    call.files.write(daemon.pidfile, f"{process.pid}\n".encode(), root=call.root)
    return say(f"{daemon.before}Starting {daemon.name}.\n")


def stop(call: Call, daemon: Daemon) -> Reply:
    """Stop a daemon; it takes its pid file away."""
    running = pid_of(call.machine, daemon, call.jail)
    if not running:
        return say(error=f"{daemon.name} not running? (check {daemon.pidfile}).\n", status=1)
    kill(call.machine, running)
    if call.files.exists(daemon.pidfile, root=call.root):
        call.files.remove(daemon.pidfile, root=call.root)
    return say(f"Stopping {daemon.name}.\nWaiting for PIDS: {running}.\n")


def status(call: Call, daemon: Daemon) -> Reply:
    """Say whether a daemon runs."""
    running = pid_of(call.machine, daemon, call.jail)
    if not running or not exists(call.machine, running):
        return say(f"{daemon.name} is not running.\n", status=1)
    return say(f"{daemon.name} is running as pid {running}.\n")


def restart(call: Call, daemon: Daemon) -> Reply:
    """Stop and start a daemon."""
    return stop(call, daemon) + start(call, daemon)


def reload(call: Call, daemon: Daemon) -> Reply:
    """Let a daemon read its configuration again, which none of them shows."""
    if not pid_of(call.machine, daemon, call.jail):
        return say(error=f"{daemon.name} not running? (check {daemon.pidfile}).\n", status=1)
    return say(daemon.before)


def register(daemon: Daemon) -> None:
    """Register a daemon's script."""
    verbs = {"start": start, "stop": stop, "restart": restart, "status": status}
    if "reload" in daemon.extra:
        verbs["reload"] = reload

    def running(call: Call) -> bool:
        return pid_of(call.machine, daemon, call.jail) != 0

    @rc_service(daemon.name, description=daemon.description, extra=daemon.extra, running=running)
    def run(call: Call, verb: str) -> Reply:
        if verb not in verbs:
            raise call.unsupported(f"service {daemon.name} {verb}")
        return verbs[verb](call, daemon)


for _daemon in DAEMONS:
    register(_daemon)
