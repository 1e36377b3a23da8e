# SPDX-License-Identifier: BSD-2-Clause
"""FreeBSD's own daemons that a host and a jail run: cron, sshd, syslogd, devd."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from warden.host.fake import rcconf
from warden.host.fake.filesystem import FileError
from warden.host.fake.processes import exists, kill, spawn
from warden.host.fake.program import Call, Reply, find_program, say
from warden.host.fake.service import rc_service

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
    before: Callable[[Call], Reply] = lambda _call: Reply()
    """What its script does before it starts, reloads or restarts it; nothing comes of that where this fails."""
    own: Mapping[str, Callable[[Call], Reply]] = field(default_factory=dict)
    """What its script has other verbs for."""


def configtest(call: Call) -> Reply:
    """Let sshd check its configuration, where sshd is a program of the fake machine."""
    said = say("Performing sanity check on sshd configuration.\n")
    flags = rcconf.read_rc_conf(call.machine, call.jail).get("sshd_flags", "").split()
    if find_program(call.machine, "/usr/sbin/sshd", call.jail) is None:
        return said
    return said + call.run("/usr/sbin/sshd", *flags, "-t")


def keygen(call: Call) -> Reply:
    """Make the host keys that are missing, but for the kinds that rc.conf turns off."""
    settings, said = rcconf.read_rc_conf(call.machine, call.jail), ""
    for kind in ("rsa", "ecdsa", "ed25519"):
        path, name = f"/etc/ssh/ssh_host_{kind}_key", kind.upper()
        if not rcconf.is_yes(settings.get(f"sshd_{kind}_enable", "YES")):
            continue
        if call.files.exists(path, root=call.root):
            said += f"{name} host key exists.\n"
            continue
        made = call.run("/usr/bin/ssh-keygen", "-q", "-t", kind, "-f", path, "-N", "")
        if made.exit_code:
            return say(f"{said}Generating {name} host key.\n") + made
        shown = call.run("/usr/bin/ssh-keygen", "-l", "-f", f"{path}.pub")
        said += f"Generating {name} host key.\n{shown.stdout.decode()}"
    return say(said)


DAEMONS = (
    Daemon("cron", "/usr/sbin/cron", "/var/run/cron.pid", "Daemon to execute scheduled commands", flags="-s"),
    Daemon(
        "sshd",
        "/usr/sbin/sshd",
        "/var/run/sshd.pid",
        "Secure Shell Daemon",
        title="sshd: {} [listener] 0 of 10-100 startups (sshd)",
        extra="configtest keygen reload",
        before=configtest,
        own={"configtest": configtest, "keygen": keygen},
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
    begun = (keygen(call) if daemon.name == "sshd" and call.jail else Reply()) + daemon.before(call)
    if begun.exit_code:
        return begun
    process = spawn(call.machine, words, jail=call.jail, title=daemon.title.format(" ".join(words)))
    try:
        call.files.write(daemon.pidfile, f"{process.pid}\n".encode(), root=call.root)
    except FileError:
        kill(call.machine, process.pid)  # one that nothing could stop is not left behind
        raise
    return begun + say(f"Starting {daemon.name}.\n")


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
    """Stop and start a daemon, if it could be started."""
    before = daemon.before(call)
    return before if before.exit_code else before + stop(call, daemon) + start(call, daemon)


def reload(call: Call, daemon: Daemon) -> Reply:
    """Let a daemon read its configuration again, which none of them shows."""
    if not pid_of(call.machine, daemon, call.jail):
        return say(error=f"{daemon.name} not running? (check {daemon.pidfile}).\n", status=1)
    return daemon.before(call)


def register(daemon: Daemon) -> None:
    """Register a daemon's script."""
    verbs = {"start": start, "stop": stop, "restart": restart, "status": status}
    if "reload" in daemon.extra:
        verbs["reload"] = reload

    def running(call: Call) -> bool:
        return pid_of(call.machine, daemon, call.jail) != 0

    @rc_service(daemon.name, description=daemon.description, extra=daemon.extra, running=running)
    def run(call: Call, verb: str) -> Reply:
        if verb in daemon.own:
            return daemon.own[verb](call)
        if verb not in verbs:
            raise call.unsupported(f"service {daemon.name} {verb}")
        return verbs[verb](call, daemon)


for _daemon in DAEMONS:
    register(_daemon)
