# SPDX-License-Identifier: BSD-2-Clause
"""bastille(8) 1.4.4: its commands, and what the rc.d script of that name does (sessions 05, 11, 12, 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.host.fake import (
    bastille_bootstrap,
    bastille_clone,
    bastille_config,
    bastille_create,
    bastille_lifecycle,
    bastille_limits,
    bastille_list,
    bastille_mount,
    bastille_other,
    bastille_template,
)
from warden.host.fake.bastille_base import CONFIG, EndError, Run, all_jails, read_settings, setting
from warden.host.fake.program import Call, Reply, program, say
from warden.host.fake.service import rc_service

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

VERSION = "1.4.4"
COMMANDS: dict[str, Callable[[Run, Sequence[str]], None]] = {
    "bootstrap": bastille_bootstrap.bootstrap,
    "clone": bastille_clone.clone,
    "cmd": bastille_other.cmd,
    "config": bastille_config.config,
    "cp": bastille_other.copy_in,
    "create": bastille_create.create,
    "destroy": bastille_lifecycle.destroy,
    "destory": bastille_lifecycle.destroy,
    "limit": bastille_limits.limits,
    "limits": bastille_limits.limits,
    "list": bastille_list.list_jails,
    "mount": bastille_mount.mount,
    "pkg": bastille_other.pkg,
    "rename": bastille_clone.rename,
    "restart": bastille_lifecycle.restart,
    "service": bastille_other.service,
    "start": bastille_lifecycle.start,
    "stop": bastille_lifecycle.stop,
    "sysrc": bastille_other.sysrc,
    "tags": bastille_other.tags,
    "template": bastille_template.template,
    "umount": bastille_mount.umount,
    "unmount": bastille_mount.umount,
    "zfs": bastille_other.zfs,
}


@program(
    "/usr/local/bin/bastille",
    "bastille --version|-v|version",
    "bastille bootstrap RELEASE",
    "bastille create -B [-MT] [-g GATEWAY] [-n SERVER,...] [-p PRIORITY] [--no-boot] [--tags TAG,...] NAME RELEASE IP "
    "BRIDGE",
    "bastille list [-djpu] [all|ip|jail|limit|log|path|release|state|type|TARGET]",
    "bastille start [-b] [-d SECONDS] TARGET",
    "bastille stop [-f] TARGET",
    "bastille restart [-bi] [-d SECONDS] TARGET",
    "bastille destroy [-acfy] TARGET|RELEASE",
    "bastille cmd|sysrc|service|pkg [-a] TARGET ARGUMENT...",
    "bastille config TARGET get|remove PROPERTY",
    "bastille config TARGET set|add PROPERTY [VALUE]",
    "bastille mount [-a] TARGET FOLDER JAIL_FOLDER [TYPE OPTIONS DUMP PASS]",
    "bastille umount [-a] TARGET JAIL_FOLDER",
    "bastille limits [-a] TARGET add|remove|clear|reset|list|show|stats [OPTION [VALUE]]",
    "bastille tags TARGET add|delete|list [TAG,...]",
    "bastille template [-a] TARGET TEMPLATE [--arg NAME=VALUE]...",
    "bastille zfs TARGET snapshot|rollback|destroy_snap|get|set|df [ARGUMENT]",
    "bastille clone [-al] TARGET NEW_NAME IP",
    "bastille rename [-a] TARGET NEW_NAME",
    "bastille cp TARGET FILE JAIL_FILE",
    package="bastille",
)
def bastille(call: Call) -> Reply:
    """Manage jails. 1.4.4 looks at the mode of its prefix before it knows the prefix, so any mode will do."""
    machine = call.machine
    if not machine.files.exists(CONFIG):
        return say("\n[ERROR]: No config file found!\nPlease run 'bastille setup' to configure Bastille.\n\n", status=1)
    args = call.args
    if args[:1] in (("version",), ("-v",), ("--version",)):
        return say(error=f"{VERSION}\n")
    if not args or args[0] not in COMMANDS or call.user != "root":
        raise call.unsupported()
    return dispatch(call, read_settings(machine))


def dispatch(call: Call, settings: dict[str, str]) -> Reply:
    """Run a command with what bastille.conf says."""
    run = Run(call, settings, dispatch)
    try:
        COMMANDS[call.args[0]](run, call.args[1:])
    except EndError as end:
        run.reply.exit_code = end.status
    return run.reply


@rc_service("bastille")
def _service(call: Call, verb: str) -> Reply:
    """`service bastille start|stop|restart|status`: jails by priority; status looks for a process that never is."""
    if verb == "status":
        return say("bastille is not running.\n", status=1)
    if verb not in ("start", "stop", "restart"):
        raise call.unsupported()
    run = Run(call, read_settings(call.machine), dispatch)
    ranked = sorted((int(setting(run, jail, "priority") or 0), jail) for jail in all_jails(run))
    if verb == "stop":
        ranked.reverse()
    options = [] if verb == "stop" else ["--boot", "--delay", "0"]
    for _, jail in ranked:
        run.again(verb, *options, jail)
    return Reply(0, run.reply.stdout, run.reply.stderr)
