# SPDX-License-Identifier: BSD-2-Clause
"""Bastille's commands that hand on to a program in the jail or on the host: cmd, sysrc, service, pkg, cp, tags, zfs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from warden.host.fake.bastille_base import EndError, Run, flags_of, stamp, target
from warden.host.fake.datasets import snapshots_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def cmd(run: Run, args: Sequence[str]) -> None:
    """`cmd [-a] TARGET COMMAND...`: as root, with the environment of a login."""
    _hand_on(run, args, 1, lambda jail, words: run.run("jexec", "-l", "-U", "root", jail, *words))


def sysrc(run: Run, args: Sequence[str]) -> None:
    """`sysrc [-a] TARGET ARGUMENT...`."""

    def change(jail: str, words: list[str]) -> int:
        node = run.machine.files.lookup(f"{run.jail_dir(jail)}/root/usr/sbin/sysrc")
        if node is not None and node.kind == "file":
            return run.run("jexec", "-l", jail, "/usr/sbin/sysrc", *words)
        return run.run("sysrc", "-j", jail, *words)

    _hand_on(run, args, 2, change)


def service(run: Run, args: Sequence[str]) -> None:
    """`service [-a] TARGET SERVICE VERB`."""
    words = [word for word in args if not word.startswith("-")]
    if len(words) != 3:
        run.usage("Usage: bastille service [option(s)] TARGET SERVICE ARGS")
    _hand_on(run, args, 2, lambda jail, rest: run.run("jexec", "-l", jail, "/usr/sbin/service", *rest))


def pkg(run: Run, args: Sequence[str]) -> None:
    """`pkg [-aHy] TARGET ARGUMENT...`: the jail's own pkg, or with -H the host's."""
    given, words = flags_of(run, args, {"auto": "a", "host": "H", "yes": "y"})
    if len(words) < 2:
        run.usage("Usage: bastille pkg [option(s)] TARGET ARGS")
    yes = ["env", "ASSUME_ALWAYS_YES=yes"] if "y" in given else []

    def call_pkg(jail: str, rest: list[str]) -> int:
        if "H" in given:
            return run.run(*yes, "/usr/sbin/pkg", "-j", jail, *rest)
        return run.run("jexec", "-l", "-U", "root", jail, *yes, "/usr/sbin/pkg", *rest)

    _hand_on(run, [*(["-a"] if "a" in given else []), *words], 2, call_pkg)


def copy_in(run: Run, args: Sequence[str]) -> None:
    """`cp TARGET FILE JAIL_FILE`: along the jail's path, so links in it lead where they lead on the host."""
    if len(args) != 3 or args[0].startswith("-"):
        raise run.call.unsupported()
    failed = 0
    for jail in target(run, args[0]):
        run.title(jail)
        there = re.sub("//+", "/", f"{run.jail_dir(jail)}/root/{args[2]}")
        if not run.machine.files.is_dir(there):
            run.machine.files.make_dir(there.rpartition("/")[0], parents=True)
        if run.run("cp", "-av", args[1], there) != 0:
            failed += 1
            run.info(f"[ERROR]: CP failed: {args[1]} -> {there}")
    _count_failed(run, failed)


def tags(run: Run, args: Sequence[str]) -> None:
    """`tags TARGET add|delete|list [TAG,...]`."""
    if not 2 <= len(args) <= 3 or args[0].startswith("-"):
        raise run.call.unsupported()
    action, given = args[1], args[2] if len(args) > 2 else ""
    wanted = given.replace(",", " ").split()
    for jail in target(run, args[0]):
        path = f"{run.jail_dir(jail)}/tags"
        present = run.text(path).split()
        if action == "add":
            run.title(jail)
            _write_tags(run, path, sorted({*present, *wanted}))
            run.info(f"Tags added: {given}")
        elif action.startswith("del"):
            run.title(jail)
            _write_tags(run, path, [tag for tag in present if tag not in wanted])
            run.info(f"Tags removed: {given}")
        elif action != "list":
            run.usage("Usage: bastille tags [option(s)] TARGET add|delete TAG1,TAG2")
        elif given:
            if given in present:
                run.line(jail)
        elif present:
            run.title(jail)
            run.info("\n".join(present))


def _write_tags(run: Run, path: str, names: list[str]) -> None:
    files = run.machine.files
    if files.exists(path):
        files.remove(path)
    if names:
        files.write(path, "".join(f"{name}\n" for name in names).encode(), mode=0o600)


def zfs(run: Run, args: Sequence[str]) -> None:
    """`zfs TARGET snapshot|rollback|destroy_snap|get|set|df [ARGUMENT]`: what fails is only said."""
    if not 2 <= len(args) <= 4 or args[0].startswith("-"):
        raise run.call.unsupported()
    jails = target(run, args[0])
    if not run.dataset:
        run.exit("[ERROR]: ZFS not enabled.")
    action, argument = args[1], args[2] if len(args) > 2 else ""
    actions: dict[str, Callable[[Run, str, str], None]] = {
        "snapshot": _snapshot,
        "snap": _snapshot,
        "rollback": _rollback,
        "destroy": _destroy_snapshot,
        "destroy_snap": _destroy_snapshot,
        "destroy_snapshot": _destroy_snapshot,
        "set": _set_property,
        "get": _get_property,
        "df": _disk_usage,
        "usage": _disk_usage,
    }
    if action not in actions:
        raise run.call.unsupported()

    def act(jail: str) -> None:
        run.title(jail)
        actions[action](run, f"{run.dataset}/jails/{jail}", argument)

    run.each(jails, act)


def _snapshot(run: Run, dataset: str, tag: str) -> None:
    if not tag:
        tag = f"bastille_{dataset.rpartition('/')[2]}_{stamp(run.machine)}"
    failed = run.run("zfs", "snapshot", "-r", f"{dataset}@{tag}") != 0
    run.info("[ERROR]: Failed to create snapshot." if failed else f"Snapshot created: {tag}")


def _rollback(run: Run, dataset: str, tag: str) -> None:
    names = [item.name.partition("@")[2] for item in snapshots_of(run.machine, dataset)]
    if not tag:
        own = [name for name in names if name.startswith(f"bastille_{dataset.rpartition('/')[2]}_")]
        tag = own[-1] if own else ""
    if not tag or not any(name.endswith(tag) for name in names):
        run.skip(f"[ERROR]: Snapshot not found: {tag}")
    run.run("zfs", "rollback", "-r", f"{dataset}@{tag}")
    failed = run.run("zfs", "rollback", "-r", f"{dataset}/root@{tag}") != 0
    run.info(f"[ERROR]: Failed to restore snapshot: {tag}." if failed else f"Snapshot restored: {tag}")


def _destroy_snapshot(run: Run, dataset: str, tag: str) -> None:
    if not tag:
        run.skip("[ERROR]: Destroying snapshots requires a TAG to be specified.")
    failed = run.run("zfs", "destroy", "-r", f"{dataset}@{tag}") != 0
    run.info(f"[ERROR]: Failed to destroy snapshot: {tag}" if failed else f"Snapshot destroyed: {tag}")


def _set_property(run: Run, dataset: str, argument: str) -> None:
    run.run("zfs", "set", argument, dataset)


def _get_property(run: Run, dataset: str, argument: str) -> None:
    run.run("zfs", "get", argument, dataset)


def _disk_usage(run: Run, dataset: str, _argument: str) -> None:
    columns = "name,used,avail,refer,mountpoint,compress,ratio"
    run.run("zfs", "list", "-t", "all", "-o", columns, "-r", dataset)


def _hand_on(run: Run, args: Sequence[str], least: int, action: Callable[[str, list[str]], int]) -> None:
    """Run something in each jail; when it failed in one, the status is 1 whatever it was."""
    words = list(args)
    auto = words[:1] in (["-a"], ["--auto"])
    if auto:
        words.pop(0)
    if words and words[0].startswith("-"):
        run.exit(f'[ERROR]: Unknown Option: "{words[0]}"')
    if len(words) < least:
        run.usage("Usage: bastille COMMAND [option(s)] TARGET ARGS")
    failed = 0

    def act(jail: str) -> None:
        nonlocal failed
        run.need_running(jail, auto=auto)
        run.title(jail)
        failed += action(jail, words[1:]) != 0

    run.each(target(run, words[0]), act)
    _count_failed(run, failed)


def _count_failed(run: Run, failed: int) -> None:
    if failed:
        run.info(f"[ERROR]: Command failed on {failed} jails.")
        run.line("")
        raise EndError(1)
