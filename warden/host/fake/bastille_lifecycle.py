# SPDX-License-Identifier: BSD-2-Clause
"""bastille start, stop, restart and destroy; most of what goes wrong in them exits 0 (sessions 05, 11, 13)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from warden.host.fake import processes
from warden.host.fake.bastille_base import Run, flags_of, setting, stamp, target
from warden.host.fake.bastille_config import property_of
from warden.host.fake.shell import run_script

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RELEASE = re.compile(r".*-(?:RELEASE|release|CURRENT|current|RC[1-9]|BETA[1-9])(?:-[iI]386)?")


def start(run: Run, args: Sequence[str]) -> None:
    """`start [-b] [-d SECONDS] TARGET`; -b leaves out jails whose boot is off."""
    args, delay = _without_delay(run, args)
    given, words = flags_of(run, args, {"boot": "b", "verbose": "v"})
    if len(words) != 1:
        run.usage("Usage: bastille start [option(s)] TARGET")
    if "v" in given:
        raise run.call.unsupported()
    run.each(target(run, words[0]), lambda jail: _start(run, jail, delay, at_boot="b" in given))


def _start(run: Run, jail: str, delay: str, *, at_boot: bool) -> None:
    if at_boot and setting(run, jail, "boot") == "off":
        return
    for other in _first(run, jail, lambda name: setting(run, name, "depend").split()):
        run.again("start", other)
    run.title(jail)
    if jail in run.machine.jails:
        run.skip("Jail is already running.")
    folder = run.jail_dir(jail)
    if property_of(run, jail, "vnet") is None and property_of(run, jail, "ip4.addr") is not None:
        raise run.call.unsupported("bastille start of a jail without VNET")
    run.run("jail", "-f", f"{folder}/jail.conf", "-c", jail)
    for line in run.text(f"{folder}/rctl.conf").splitlines():
        run.run("rctl", "-a", line)
    if run.text(f"{folder}/cpuset.conf") or run.text(f"{folder}/rdr.conf"):
        raise run.call.unsupported("bastille start of a jail with cpuset.conf or rdr.conf")
    if int(delay):
        processes.advance(run.machine, int(delay))


def stop(run: Run, args: Sequence[str]) -> None:
    """`stop [-f] TARGET`: those that depend on a jail first."""
    given, words = flags_of(run, args, {"force": "f", "verbose": "v"})
    if len(words) != 1:
        run.usage("Usage: bastille stop [option(s)] TARGET")
    if "v" in given:
        raise run.call.unsupported()
    run.each(target(run, words[0], reverse=True), lambda jail: _stop(run, jail, force="f" in given))


def _stop(run: Run, jail: str, *, force: bool) -> None:
    for other in _first(run, jail, lambda name: _dependents(run, name)):
        run.again("stop", other)
    run.title(jail)
    if jail not in run.machine.jails:
        run.skip("Jail is already stopped.")
    folder = run.jail_dir(jail)
    if run.text(f"{folder}/rctl.conf"):
        run.again("limits", jail, "clear")
    if not force:
        run.run("jail", "-f", f"{folder}/jail.conf", "-r", jail)
        return
    run.run("jail", "-f", f"{folder}/jail.conf", "-R", jail)
    text = run.text(f"{folder}/jail.conf")
    for name in ("exec.prestop", "exec.poststop", "exec.release"):
        for command in re.findall(rf'(?m)^.*{re.escape(name)}.*= "(.*)";$', text):
            run.take(run_script(run.call, command))
    run.run("umount", "-a", "-F", f"{folder}/fstab")


def _first(run: Run, jail: str, next_to: Callable[[str], list[str]]) -> list[str]:
    """Give the jails that have their turn before a jail; refuse a circle, which would go round without end."""
    first = next_to(jail)
    pending, seen = list(first), set[str]()
    while pending:
        name = pending.pop()
        if name == jail:
            raise run.call.unsupported(f"bastille with jails that depend on each other in a circle: {jail}")
        if name not in seen:
            seen.add(name)
            pending += next_to(name)
    return first


def _dependents(run: Run, jail: str) -> list[str]:
    """Give the jails in whose settings.conf a jail's name stands as a word, in whatever setting."""
    part = jail.encode()
    word = re.compile(rb"(?<!\w)" + re.escape(part) + rb"(?!\w)")
    found = []
    for name, node in run.machine.files.entries(run.jails_dir):
        settings = node.children.get("settings.conf")
        if settings is None or b"depend=" not in settings.data:
            run.quiet("sysrc", "-q", "-f", f"{run.jail_dir(name)}/settings.conf", "depend=")
        # the plain comparison decides nearly always, and takes no time beside the pattern
        if name != jail and settings is not None and part in settings.data and word.search(settings.data):
            found.append(name)
    return found


def restart(run: Run, args: Sequence[str]) -> None:
    """`restart [-bi] [-d SECONDS] TARGET`; with -i nothing is started or stopped, whatever its help says."""
    args, delay = _without_delay(run, args)
    given, words = flags_of(run, args, {"boot": "b", "ignore": "i"})
    if len(words) != 1:
        run.usage("Usage: bastille restart [option(s)] TARGET")
    options = [*(["-b"] if "b" in given else []), *(["-d", delay] if delay != "0" else [])]
    for jail in target(run, words[0]):
        if "i" not in given:
            run.again("stop", jail)
            run.again("start", *options, jail)
        elif jail not in run.machine.jails:
            run.title(jail)
            run.info("Jail is stopped.")


def destroy(run: Run, args: Sequence[str]) -> None:
    """`destroy [-acfy] TARGET|RELEASE`: without a terminal nothing answers its question, so it needs -y."""
    given, words = flags_of(run, args, {"auto": "a", "no-cache": "c", "force": "f", "yes": "y"})
    if len(words) != 1:
        run.usage("Usage: bastille destroy [option(s)] JAIL")
    if RELEASE.fullmatch(words[0]) or run.machine.files.is_dir(f"{run.releases_dir}/{words[0]}"):
        _destroy_release(run, words[0], given)
        return
    run.each(target(run, words[0], reverse=True), lambda jail: _destroy_jail(run, jail, given))


def _destroy_jail(run: Run, jail: str, given: set[str]) -> None:
    folder, files = run.jail_dir(jail), run.machine.files
    if jail in run.machine.jails:
        if "a" not in given:
            run.title(jail)
            run.info("Jail is running.")
            run.skip("Use [-a|--auto] to auto-stop the jail.")
        run.again("stop", jail)
    run.title(jail)
    if "y" not in given:
        run.info(f"\nAttempting to destroy jail: {jail}\n")
        _ask(run)
    mounted = [mount.point for mount in files.mounted() if mount.point.startswith(f"{folder}/root/")]
    if mounted:
        run.info(f"[ERROR]: Failed to destroy jail: {jail}")
        run.skip("Jail has mounted filesystems:\n" + "\n".join(mounted))
    run.info("Destroying jail...")
    if run.dataset and run.run("zfs", "destroy", "-rf" if "f" in given else "-r", f"{run.dataset}/jails/{jail}") != 0:
        run.skip("[ERROR]: Jail dataset(s) appears to be busy, exiting.")
    if files.exists(folder):
        run.run("rm", "-rf", folder)
    log = f"{run.settings['bastille_logsdir']}/{jail}_console.log"
    if files.exists(log):
        archived = f"{log}-{stamp(run.machine, '%Y-%m-%d')}"
        files.rename(log, archived)
        run.info(f"Note: jail console logs archived.\n{archived}")


def _ask(run: Run) -> None:
    answer = run.call.stdin.decode().partition("\n")[0].lower()
    if answer in ("n", "no"):
        run.exit("[ERROR]: Cancelled by user.")
    if answer not in ("y", "yes"):
        run.exit("[ERROR]: Invalid input. Please answer 'y' or 'n'.")


def _destroy_release(run: Run, release: str, given: set[str]) -> None:
    folder, files = f"{run.releases_dir}/{release}", run.machine.files
    run.info(f"\nAttempting to destroy release: {release}")
    word = re.compile(rf"(?<!\w){re.escape(release)}(?!\w)")
    users = [name for name, _ in files.entries(run.jails_dir) if word.search(run.text(f"{run.jail_dir(name)}/fstab"))]
    for name in users:
        run.info(f"[ERROR]: ({name}) depends on {release} base.")
    if not files.is_dir(folder):
        run.exit("[ERROR]: Release base not found.")
    if users:
        run.info("[ERROR]: Cannot destroy base with child containers.")
        return
    run.info("Deleting release base...")
    option = "-rf" if "f" in given else "-r"
    kinds = ["releases"] if "c" in given else ["releases", "cache"]
    for kind in kinds:
        path = f"{run.settings[f'bastille_{kind}dir']}/{release}"
        if run.dataset and files.is_dir(path):
            run.run("zfs", "destroy", option, f"{run.dataset}/{kind}/{release}")
        if files.exists(path):
            run.run("rm", "-rf", path)


def _without_delay(run: Run, args: Sequence[str]) -> tuple[list[str], str]:
    words, delay = list(args), "0"
    for name in ("-d", "--delay"):
        if name in words[:-1]:
            place = words.index(name)
            delay = words[place + 1]
            del words[place : place + 2]
    if not delay.isdigit():
        raise run.call.unsupported()
    return words, delay
