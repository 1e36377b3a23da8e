# SPDX-License-Identifier: BSD-2-Clause
"""service(8), and what /etc/rc and /etc/rc.shutdown do with the services of a host or a jail."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from warden.host.fake import rcconf
from warden.host.fake.filesystem import FileError
from warden.host.fake.processes import LANGUAGE
from warden.host.fake.program import PATH, Call, Reply, UnsupportedError, program, say
from warden.host.fake.rcorder import BASE_ORDER, Script, order, parse_head
from warden.host.fake.rcsubr import DEBUGGING
from warden.host.fake.rcsubr_state import PREFIXES
from warden.host.fake.shell import run_script

if TYPE_CHECKING:
    from collections.abc import Callable

    from warden.host.fake.filesystem import FileSystem
    from warden.host.fake.machine import Machine

BASE, LOCAL = "/etc/rc.d", "/usr/local/etc/rc.d"
CLEAN = {**LANGUAGE, "HOME": "/", "PATH": PATH}
"""The environment that service(8) gives a script."""
USAGE = """
Usage:
service [-j <jail name or id>] -e
service [-j <jail name or id>] -R
service [-j <jail name or id>] [-v] -l | -r
service [-j <jail name or id>] [-v] [-E var=value] <rc.d script> start|stop|etc.
service -h

-j	Perform actions within the named jail
-E	Set variable to value before executing the rc.d script
-e	Show services that are enabled
-R	Stop and start enabled /usr/local/etc/rc.d services
-l	List all scripts in /etc/rc.d and /usr/local/etc/rc.d
-r	Show the results of boot time rcorder
-v	Verbose

"""
VARIABLES = {
    "hostid_save": "hostid_enable",
    "os-release": "osrelease_enable",
    "zfsbe": "zfs_enable",
    "zpool": "zfs_enable",
    "zpoolreguid": "zfs_enable",
    "zpoolupgrade": "zfs_enable",
    "zvol": "zfs_enable",
    "cleartmp": "cleanvar_enable",
    "motd": "cleanvar_enable",
    "savecore": "cleanvar_enable",
}
"""The variables of scripts that do not go by their own name (those of cleanvar here: ones that are always on)."""
NO_VARIABLE = frozenset(
    [
        *("root", "FILESYSTEMS", "mountcritlocal", "sysctl", "devfs", "hostname", "bridge", "routing"),
        *("mountcritremote", "NETWORKING", "SERVERS", "DAEMON", "LOGIN", "local", "syscons", "bgfsck"),
        *("securelevel", "netwait"),
    ]
)
NOT_IN_JAILS = frozenset(
    [
        *("hostid", "hostid_save", "zfsbe", "zpool", "zpoolreguid", "zpoolupgrade", "zvol", "zfs", "kldxref"),
        *("devmatch", "rctl", "devd", "pf", "gptboot", "savecore", "jail", "devfs", "dmesg"),
    ]
)


class Handler(Protocol):
    """What one of FreeBSD's own scripts does with a verb; `call.args[1:]` are the words after the verb."""

    def __call__(self, call: Call, verb: str, /) -> Reply:
        """Do it."""
        ...


@dataclass(frozen=True, slots=True)
class Service:
    """A script that is part of the fake machine: what it does, and what it says about itself."""

    run: Handler
    rcvar: str
    description: str
    extra: str
    running: Callable[[Call], bool]
    """Whether a process of it runs, which can be stopped although the service is not enabled."""


SERVICES: dict[str, Service] = {}


def rc_service(
    name: str,
    *,
    rcvar: str | None = None,
    description: str = "",
    extra: str = "",
    running: Callable[[Call], bool] = lambda _call: False,
) -> Callable[[Handler], Handler]:
    """Register what the rc.d script `name` does with its own verbs: start, stop, status, restart and `extra`.

    The handler gets the verb without its prefix (one, force, fast, quiet). What rc.subr does for every script - the
    question whether it is enabled, rcvar, enable, describe and so on - is not its business. `rcvar` is NAME_enable
    unless said otherwise, '' for a script without one; `running` is for a script with a process of its own.
    """

    def register(run: Handler) -> Handler:
        usual = "" if name in NO_VARIABLE else VARIABLES.get(name, f"{name}_enable")
        SERVICES[name] = Service(run, usual if rcvar is None else rcvar, description, extra, running)
        return run

    return register


@program(
    "/usr/sbin/service",
    "service NAME [one|force|fast|quiet](start|stop|restart|status|enable|disable|delete|enabled|rcvar|describe|...)",
    "service -l",
    "service -e",
    "service -R",
    "service -j JAIL NAME VERB",
)
def service(call: Call) -> Reply:
    """Run an rc.d script, or list them."""
    args = list(call.args)
    if args[:1] == ["-j"] and len(args) > 2:
        return call.run("jexec", "-l", args[1], "/usr/sbin/service", *args[2:])
    if args == ["-R"]:
        return restart_local(call)
    if args and args[0] in LISTS:
        if len(args) > 1:
            raise call.unsupported()
        return say("".join(f"{line}\n" for line in LISTS[args[0]](call)))
    if not args or args[0].startswith("-"):
        if args and args[0] != "-h":
            raise call.unsupported()
        return say(USAGE, status=0 if args else 1)
    for folder in (BASE, LOCAL):
        path = f"{folder}/{args[0]}"
        node = call.files.lookup(path, root=call.root)
        if node is not None and node.kind == "file" and node.mode & 0o111:
            environment = {**CLEAN, **DEBUGGING}
            return run_rc_d(replace(call, argv=(path, *args[1:]), environment=environment, cwd="/", stdin=b""))
    return say(
        f"{args[0]} does not exist in /etc/rc.d or the local startup\ndirectories ({LOCAL}), or is not executable\n",
        status=1,
    )


LISTS: dict[str, Callable[[Call], list[str]]] = {
    "-l": lambda call: [*names(call, BASE), *names(call, LOCAL)],
    "-e": lambda call: [script.path for script in enabled_scripts(call.machine, call.jail)],
    "-r": lambda call: [script.path for script in scripts_in_order(call.machine, call.jail)],
}


def names(call: Call, folder: str) -> list[str]:
    """Give the names in a folder, in the order of ls(1)."""
    return call.files.list_dir(folder, root=call.root) if call.files.is_dir(folder, root=call.root) else []


def run_rc_d(call: Call) -> Reply:
    """Run an rc.d script: `call.argv` is its path and arguments."""
    path = call.argv[0]
    folder, _, name = path.rpartition("/")
    if name in SERVICES:
        return run_own(call, name, SERVICES[name])
    if folder == BASE:
        raise call.unsupported(f"the script {path}")
    text = call.files.text(path, root=call.root)
    if not text:
        raise call.unsupported(f"the script {path}, which came with a package")
    return run_script(call, text, name=path, args=call.args, file=path)


def run_own(call: Call, name: str, own: Service) -> Reply:
    """Do what rc.subr does for every script, and leave the rest to the script's own handler."""
    verb = call.args[0] if call.args else ""
    prefix = next((prefix for prefix in PREFIXES if verb.startswith(prefix)), "")
    verb = verb.removeprefix(prefix)
    common = {"rcvar", "enabled", "enable", "disable", "delete", "describe", "extracommands", ""}
    known = {"start", "stop", "restart", "status", "poll", *own.extra.split()}
    if verb in common or (own.extra and verb not in known):
        return run_script(call, as_script(name, own), name=call.argv[0], args=call.args, file=call.argv[0])
    value = "YES" if prefix in {"one", "force"} else rcconf.read_rc_conf(call.machine, call.jail).get(own.rcvar, "")
    needed = own.rcvar and verb != "status" and not (verb == "stop" and own.running(call))
    if needed and not rcconf.is_yes(value):
        if prefix in {"fast", "quiet"}:
            return Reply()
        return say(
            f"Cannot '{verb}' {name}. Set {own.rcvar} to YES in /etc/rc.conf or use 'one{verb}' instead of '{verb}'.\n"
        )
    return own.run(replace(call, argv=(call.argv[0], verb, *call.args[1:])), verb)


def as_script(name: str, own: Service) -> str:
    """Write a script that knows what is common to all, for a service that is built in."""
    return f""". /etc/rc.subr
name={name}
desc="{own.description}"
rcvar={own.rcvar}
extra_commands="{own.extra}"
status_cmd=:
load_rc_config {name}
run_rc_command "$1"
"""


def scripts_in_order(machine: Machine, jail: str = "", *, only_own: bool = False) -> list[Script]:
    """Give the scripts that /etc/rc runs at the start of a host or a jail, in order.

    With `only_own`, of FreeBSD's own scripts only those that do something here.
    """
    root = machine.root_of(jail)
    base = machine.files.lookup(BASE, root=root)
    known = sorted(SERVICES if only_own else BASE_ORDER) if base is not None else []
    scripts = [
        Script(f"{BASE}/{name}", provides=[name])
        for name in known
        if base is not None and name in base.children and not (jail and name in NOT_IN_JAILS)
    ]
    local = machine.files.lookup(LOCAL, root=root)
    scripts += [
        parse_head(f"{LOCAL}/{name}", file.data.decode("utf-8", "surrogateescape"))
        for name, file in sorted(local.children.items() if local is not None else [])
        if file.kind == "file" and file.mode & 0o111
    ]
    skipped = {"nostart", "nojail", "nojailvnet"} if jail else {"nostart"}
    return [script for script in order(scripts, with_base=True)[0] if not skipped & set(script.keywords)]


def enabled_scripts(machine: Machine, jail: str = "", *, only_own: bool = False) -> list[Script]:
    """Give the scripts whose variable says yes, in the order of a boot."""
    settings = rcconf.read_rc_conf(machine, jail)
    scripts = scripts_in_order(machine, jail, only_own=only_own)
    return [script for script in scripts if rcconf.is_yes(settings.get(variable_of(machine, script, jail), ""))]


def variable_of(machine: Machine, script: Script, jail: str) -> str:
    """Give the name of the variable that enables a script; '' for one that has none."""
    folder, _, name = script.path.rpartition("/")
    if folder == BASE:
        return "" if name in NO_VARIABLE else VARIABLES.get(name, f"{name}_enable")
    found: dict[str, str] = {}
    for line in machine.files.text(script.path, root=machine.root_of(jail)).splitlines():
        key, equals, value = line.partition("=")
        if equals and key in {"name", "rcvar"}:
            found.setdefault(key, value.strip("\"'"))
    own = found.get("name", name)
    variable = found.get("rcvar", f"{name}_enable" if name in SERVICES else "")
    return variable.replace("${name}", own).replace("$name", own)


def start_services(machine: Machine, jail: str) -> None:
    """Start what is enabled, as /etc/rc does at the start of a jail."""
    _clean_run(machine.files, machine.root_of(jail))
    settings = rcconf.read_rc_conf(machine, jail)
    for script in scripts_in_order(machine, jail, only_own=True):
        variable = variable_of(machine, script, jail)
        if not variable or rcconf.is_yes(settings.get(variable, "")):
            run_at_boot(machine, script.path, jail)


def _clean_run(files: FileSystem, root: str) -> None:
    """Take away what an earlier run has left in a jail's /var/run, as rc.d/cleanvar does; folders stay."""
    if not files.is_dir("/var/run", root=root):
        return
    with suppress(FileError):  # rc goes on with the next script
        for path, node in [*files.walk("/var/run", root=root)]:
            if node.kind != "dir":
                files.remove(path, root=root)
        files.write("/var/run/clean_var", b"", root=root)


def run_at_boot(machine: Machine, path: str, jail: str = "") -> None:
    """Start one service as /etc/rc does; what it says goes to the console."""
    run_quietly(machine, path, "faststart", jail, {"DEBUG_SH": "", "_TTY": "/dev/console", "RC_PID": "16"})


def stop_services(machine: Machine, jail: str = "") -> None:
    """Stop what has the keyword `shutdown`, in reverse order, as /etc/rc.shutdown does."""
    for script in reversed(enabled_scripts(machine, jail, only_own=True)):
        if "shutdown" in script.keywords:
            run_quietly(machine, script.path, "faststop", jail, {})


def run_quietly(machine: Machine, path: str, verb: str, jail: str, more: dict[str, str]) -> None:
    """Run a script at a start or a shutdown; one of which nothing could be seen here is passed over."""
    folder, _, name = path.rpartition("/")
    if name not in SERVICES and (folder == BASE or not machine.files.read(path, root=machine.root_of(jail))):
        return
    call = Call(machine, (path, verb), environment={**CLEAN, **DEBUGGING, **more}, cwd="/", jail=jail)
    try:
        with suppress(FileError):  # rc goes on with the next script
            run_rc_d(call)
    except UnsupportedError as error:
        raise UnsupportedError(f"{path} {verb}: {error.form}") from error


def restart_local(call: Call) -> Reply:
    """Stop and start the local services that are enabled."""
    found = [script for script in enabled_scripts(call.machine, call.jail) if script.path.startswith(LOCAL)]
    reply = Reply()
    for verb, scripts in (("stop", found[::-1]), ("start", found)):
        for script in scripts:
            environment = {**CLEAN, **DEBUGGING}
            reply += run_rc_d(replace(call, argv=(script.path, verb), environment=environment, cwd="/", stdin=b""))
    return replace(reply, exit_code=0)
