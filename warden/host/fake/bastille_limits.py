# SPDX-License-Identifier: BSD-2-Clause
"""bastille limits: rctl rules kept in rctl.conf and put back at every start (sessions 05 and 12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.host.fake.bastille_base import Run, flags_of, target

if TYPE_CHECKING:
    from collections.abc import Sequence

ACTIONS = ("add", "remove", "clear", "list", "show", "reset", "stats")


def limits(run: Run, args: Sequence[str]) -> None:
    """`limits [-a] TARGET add|remove|clear|reset|list|show|stats [OPTION [VALUE]]`."""
    given, words = flags_of(run, args, {"auto": "a", "log": "l"})
    if not 2 <= len(words) <= 4:
        run.usage("Usage: bastille limits [option(s)] TARGET add OPTION VALUE")
    action, rest = (words[1], words[2:]) if words[1] in ACTIONS else ("add", words[1:])
    if run.quiet("sysctl", "-n", "kern.racct.enable").stdout != b"1\n":
        run.exit("[ERROR]: Racct not enabled. Append 'kern.racct.enable=1' to /boot/loader.conf and reboot")
    if "l" in given or (rest and rest[0] in ("cpu", "cpus", "cpuset")):
        raise run.call.unsupported()
    run.each(target(run, words[0]), lambda jail: _limits(run, jail, action, rest, auto="a" in given))


def _limits(run: Run, jail: str, action: str, rest: list[str], *, auto: bool) -> None:
    run.need_running(jail, auto=auto)
    run.title(jail)
    path = f"{run.jail_dir(jail)}/rctl.conf"
    rules = run.text(path).splitlines()
    option = rest[0] if rest else ""
    if action == "add":
        _add(run, jail, path, option, rest[1] if len(rest) > 1 else "")
    elif action == "remove":
        _remove(run, jail, path, option)
    elif action in ("clear", "reset"):
        for rule in rules:
            run.quiet("rctl", "-r", rule)
        if rules:
            run.info("RCTL limits cleared.")
        if action == "reset":
            _reset(run, path)
    elif rules and action in ("list", "show"):
        run.info("-------------\n[RCTL Limits]")
        if option == "active":
            run.take(run.quiet("rctl", f"jail:{jail}"))
        else:
            run.line("\n".join(rules))
    elif rules and action == "stats":
        run.run("rctl", "-hu", f"jail:{jail}")


def _add(run: Run, jail: str, path: str, option: str, value: str) -> None:
    rule = f"jail:{jail}:{option}:deny={value}/jail"
    if f"jail:{jail}:{option}:deny" not in run.text(path):
        # a line that is there already stays as it is, although the new rule holds from now on
        run.machine.files.write(path, f"{rule}\n".encode(), append=True)
    run.info(f"{option} {value}")
    run.run("rctl", "-a", rule)


def _remove(run: Run, jail: str, path: str, option: str) -> None:
    text = run.text(path)
    for rule in text.splitlines():
        if f"jail:{jail}:{option}:deny" in rule:
            run.quiet("rctl", "-r", rule)
    kept = [line for line in text.splitlines(keepends=True) if f"{jail}:{option}" not in line]
    if text:
        run.write(path, "".join(kept))


def _reset(run: Run, path: str) -> None:
    if not run.text(path):
        run.skip("[ERROR]: rctl.conf not found.")
    run.machine.files.remove(path)
    run.info("rctl.conf removed.")
    # what would be done for cpuset.conf, and the restart behind it, is never reached without such a file
    run.skip("[ERROR]: cpuset.conf not found.")
