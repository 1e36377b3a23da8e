# SPDX-License-Identifier: BSD-2-Clause
"""jail(8): how a jail of jail.conf starts and ends, and what a start that fails leaves behind (sessions 05, 13)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from warden.host.fake import devfs, mounts, network, processes, service, shell
from warden.host.fake.filesystem import FileError
from warden.host.fake.jail_conf import JailConfError, Parameters, parse
from warden.host.fake.machine import Jail
from warden.host.fake.options import options_of
from warden.host.fake.program import Call, Reply, program, run_program, say

if TYPE_CHECKING:
    from collections.abc import Callable

NEEDS_SHELL = re.compile(r"[!\"$&'()*;<>?\[\\\]`{|}~]")
CLEAN = {"PATH": "/bin:/usr/bin", "USER": "root", "HOME": "/root", "SHELL": "/bin/sh"}
"""The environment of exec.start and exec.stop with exec.clean."""
NOT_KERNEL = re.compile(r"(?:exec|mount|vnet\.interface|command|depend|interface|ip_hostname|stop\.timeout|\$).*")
"""The parameters that jail(8) keeps to itself."""


class FailedError(Exception):
    """A step of starting or stopping a jail failed."""


@dataclass
class Run:
    """One jail being started or stopped: its parameters, and what was said about it so far."""

    call: Call
    name: str
    parameters: Parameters
    reply: Reply = field(default_factory=Reply)

    def first(self, name: str, default: str = "") -> str:
        """Give a parameter's value."""
        values = self.parameters.get(name)
        return values[0] if values else default

    def is_on(self, name: str) -> bool:
        """Tell whether a parameter without a value, or with a true one, is there."""
        values = self.parameters.get(name)
        return values is not None and (not values or values[0] not in ("0", "false"))

    @property
    def path(self) -> str:
        """The jail's root."""
        return self.first("path", "/")

    def note(self, text: str) -> None:
        """Say what became of the jail."""
        self.reply += say(f"{self.name}: {text}\n", status=self.reply.exit_code)

    def fail(self, text: str) -> None:
        """Say what failed, and give up."""
        self.reply += say(error=f"jail: {self.name}: {text}\n", status=1)
        raise FailedError(text)

    def commands(self, name: str, *, inside: bool = False) -> None:
        """Run the commands of a parameter, each of which has to exit 0."""
        for command in self.parameters.get(name, []):
            run = self._inside if inside else self._outside
            reply = run(command)
            self.reply += reply
            if reply.exit_code != 0:
                shown = f"/bin/sh -c {command}" if NEEDS_SHELL.search(command) else " ".join(command.split())
                self.fail(f"{shown}: failed")

    def _outside(self, command: str) -> Reply:
        call = replace(self.call, jail="", stdin=b"", cwd="/")
        if NEEDS_SHELL.search(command):
            return shell.run_script(replace(call, argv=("/bin/sh", "-c", command)), command)
        return run_program(replace(call, argv=tuple(command.split())))

    def _inside(self, command: str) -> Reply:
        """Run a command in the jail; what it says goes to the console log where there is one."""
        machine = self.call.machine
        log = self.first("exec.consolelog")
        try:
            if log:
                machine.files.write(log, b"", mode=0o600, append=True)
        except FileError as failure:
            return say(error=f"jail: {self.name}: open {failure}\n", status=1)
        clean = self.is_on("exec.clean")
        if clean and not machine.files.exists("/etc/passwd", root=self.path):
            return say(error=f"jail: {self.name}: getpwnam: No such file or directory\n", status=1)
        reply = self._rc(command)
        if reply is None:
            environment = dict(CLEAN) if clean else dict(self.call.environment)
            call = Call(machine, ("/bin/sh", "-c", command), environment=environment, cwd="/", jail=self.name)
            if NEEDS_SHELL.search(command):
                reply = shell.run_script(call, command)
            else:
                reply = run_program(replace(call, argv=tuple(command.split())))
        if not log:
            return reply
        machine.files.write(log, reply.stdout + reply.stderr, append=True)
        return Reply(reply.exit_code)

    def _rc(self, command: str) -> Reply | None:
        """Start or stop a whole userland; None for any other command."""
        machine = self.call.machine
        if command.split() == ["/bin/sh", "/etc/rc"]:
            service.start_services(machine, self.name)
            return Reply()
        if command.split()[:2] == ["/bin/sh", "/etc/rc.shutdown"]:
            service.stop_services(machine, self.name)
            return Reply()
        return None


def start(call: Call, name: str, parameters: Parameters) -> Reply:
    """Start a jail: mounts, exec.prestart, the jail itself, its interfaces, exec.start.

    When a step fails, the mounts are undone and the jail is removed, but what exec.prestart made stays.
    """
    run = Run(call, name, parameters)
    if name in call.machine.jails:
        return say(error=f'jail: "{name}" already exists\n', status=1)
    undo: list[Callable[[], None]] = []
    try:
        _mount(run, undo)
        run.commands("exec.prestart")
        undo.append(lambda: _remove(run))
        _create(run)
        run.note("created")
        for interface in run.parameters.get("vnet.interface", []):
            if interface not in call.machine.net.interfaces:
                run.reply += say(error=f"ifconfig: interface {interface} does not exist\n", status=1)
                run.fail(f"/sbin/ifconfig {interface} vnet {name}: failed")
            network.move_to_jail(call.machine, interface, name)
        run.commands("exec.created")
        run.commands("exec.start", inside=True)
        run.commands("exec.poststart")
    except FailedError:
        for step in reversed(undo):
            step()
    return run.reply


def stop(call: Call, name: str, parameters: Parameters) -> Reply:
    """Stop a jail: exec.prestop, exec.stop, its processes, its interfaces back, exec.poststop, its mounts."""
    run = Run(call, name, parameters)
    try:
        run.commands("exec.prestop")
        run.commands("exec.stop", inside=True)
        _remove(run)
        run.commands("exec.poststop")
        _unmount(run)
        run.commands("exec.release")
    except FailedError:
        pass
    return run.reply


def kill(call: Call, name: str) -> Reply:
    """Remove a jail without exec.stop or anything behind it, as `jail -R` does: mounts and interfaces stay."""
    run = Run(call, name, {})
    _remove(run)
    return run.reply


def _mount(run: Run, undo: list[Callable[[], None]]) -> None:
    machine = run.call.machine
    fstab = run.first("mount.fstab")
    lines: list[tuple[str, str, str, str]] = []
    if fstab:
        try:
            lines = mounts.fstab_lines(machine.files.text(fstab))
        except FileError as failure:
            run.reply += say(error=f"jail: {run.name}: {failure}\n", status=1)
            raise FailedError(fstab) from None
    for line in run.parameters.get("mount", []):
        lines += mounts.fstab_lines(line)
    for source, point, fstype, options in lines:
        if fstype not in ("nullfs", "devfs"):
            raise run.call.unsupported(f"a mount of type {fstype} in a jail")
        _check_point(run, point)
        refusal = mounts.mount_one(machine, source, point, fstype, options)
        if refusal:
            run.reply += say(error=f"{refusal}\n")
            run.fail(f"/sbin/mount -t {fstype} -o {options} {source} {point}: failed")
        undo.append(lambda point=point: _unmount_one(run, point))  # type: ignore[misc]
    if run.is_on("mount.devfs"):
        point = f"{run.path}/dev"
        if not machine.files.is_dir(point):
            run.fail(f"mount.devfs: {point}: No such file or directory")
        ruleset = run.first("devfs_ruleset", "0")
        devfs.mount(machine, point, ruleset=int(ruleset) if ruleset.isdigit() else 0)
        undo.append(lambda: _unmount_one(run, point))


def _check_point(run: Run, point: str) -> None:
    """Refuse a mount point that is not there, or that a symbolic link below the jail's root leads to."""
    files = run.call.files
    inside = point.removeprefix(f"{run.path}/") if point.startswith(f"{run.path}/") else ""
    path = run.path
    for part in inside.split("/"):
        path += f"/{part}" if part else ""
        node = files.lookup(path, follow=False)
        if node is None:
            run.fail(f"mount.fstab: {path}: No such file or directory")
        elif node.kind == "link":
            run.fail(f"mount.fstab: {path} is a symbolic link")
    if files.lookup(point) is None:
        run.fail(f"mount.fstab: {point}: No such file or directory")


def _unmount(run: Run) -> None:
    if run.is_on("mount.devfs"):
        _unmount_one(run, f"{run.path}/dev")
    fstab = run.first("mount.fstab")
    files = run.call.machine.files
    if fstab and files.exists(fstab):
        for _, point, _, _ in reversed(mounts.fstab_lines(files.text(fstab))):
            _unmount_one(run, point)


def _unmount_one(run: Run, point: str) -> None:
    files = run.call.machine.files
    if files.exists(point):
        stack = files.mounts.get(point)
        if stack and stack[-1].fstype in ("nullfs", "devfs"):
            files.unmount(point)


def _create(run: Run) -> None:
    machine = run.call.machine
    if not machine.files.is_dir(run.path):
        run.fail(f"jail_set: {run.path}: No such file or directory")
    kernel = {
        name: values[0] if values else "true"
        for name, values in run.parameters.items()
        if not NOT_KERNEL.fullmatch(name) and name not in ("name", "path", "host.hostname", "vnet")
    }
    is_vnet = "vnet" in run.parameters and run.first("vnet", "new") != "inherit"
    machine.jails[run.name] = Jail(
        name=run.name,
        jid=machine.next_jid,
        path=machine.files.real_path(run.path),
        hostname=run.first("host.hostname", run.name),
        net=network.new_stack(machine, run.name) if is_vnet else None,
        parameters=kernel,
    )
    machine.next_jid += 1


def _remove(run: Run) -> None:
    machine = run.call.machine
    if run.name not in machine.jails:
        return
    processes.kill_jail(machine, run.name)
    network.return_from_jail(machine, run.name)
    del machine.jails[run.name]
    run.note("removed")


@program("/usr/sbin/jail", "jail [-f FILE] -c NAME", "jail [-f FILE] -r NAME", "jail [-f FILE] -R NAME")
def jail(call: Call) -> Reply:
    """Start (-c), stop (-r) or remove (-R) the jail of a jail.conf, which is /etc/jail.conf unless -f names one."""
    given, valued, names = options_of(call, call.args, "crRq", "f")
    verbs = [letter for letter in given if letter in "crR"]
    if len(verbs) != 1 or len(names) != 1 or "=" in names[0] or call.jail:
        raise call.unsupported()
    verb, name = verbs[0], names[0]
    file = dict(valued).get("f", "/etc/jail.conf")
    try:
        conf = parse(call.files.text(file))
    except FileError as failure:
        if verb == "c":
            return say(error=f"jail: {failure}\n", status=1)
        conf = parse("")
    except JailConfError as failure:
        return say(error=f"jail: {file}: {failure}\n", status=1)
    if verb == "c":
        if name not in conf.names():
            return say(error=f'jail: "{name}" not found\n', status=1)
        return start(call, name, conf.parameters(name))
    if name not in call.machine.jails:
        return say(error=f'jail: "{name}" not found\n', status=1)
    return kill(call, name) if verb == "R" else stop(call, name, conf.parameters(name))


@service.rc_service("jail", description="Manage system jails")
def _service(call: Call, verb: str) -> Reply:
    """`service jail start|stop`: the jails of /etc/jail.conf, which Bastille's are not in."""
    conf = parse(call.files.text("/etc/jail.conf")) if call.files.exists("/etc/jail.conf") else parse("")
    if verb not in ("start", "stop"):
        raise call.unsupported()
    shown = ""
    for name in conf.names() if verb == "start" else reversed(conf.names()):
        if (name in call.machine.jails) == (verb == "start"):
            continue
        reply = (start if verb == "start" else stop)(call, name, conf.parameters(name))
        if reply.exit_code != 0:
            raise call.unsupported(f"service jail {verb} of a jail that cannot: {reply.stderr.decode()}")
        shown += f" {name}"
    return say(f"{'Starting' if verb == 'start' else 'Stopping'} jails:{shown}.\n")
