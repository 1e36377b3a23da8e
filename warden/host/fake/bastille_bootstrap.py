# SPDX-License-Identifier: BSD-2-Clause
"""bastille bootstrap: Bastille's datasets, and a release to make jails from, as the script of 1.4.4 goes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from warden.host.fake import rcconf
from warden.host.fake.base_files import install_base
from warden.host.fake.bastille_base import Run, flags_of
from warden.host.fake.filesystem import FileError
from warden.host.fake.program import PROGRAMS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from warden.host.fake.machine import Machine

PUBLISHED = ("14.2-RELEASE", "14.3-RELEASE", "14.4-RELEASE", "15.0-RELEASE", "15.1-RELEASE")
"""The releases that there are to be fetched, by a machine that has a default route."""
RELEASE = re.compile(r"[0-9]+\.[0-9]-(RELEASE|RC[1-9]|BETA[1-9])", re.IGNORECASE)
SIZES = {"cache": 29150720, "releases": 62026240}
"""What a release takes up, packed and unpacked (session 00)."""
MINUTES = 3


def install_release(machine: Machine, folder: str) -> None:
    """Unpack FreeBSD's own files into a folder."""
    install_base(machine.files, folder)
    files = {"/etc/defaults/rc.conf": rcconf.DEFAULTS_TEXT.encode()}
    own = (entry.path for entry in PROGRAMS.values() if not entry.package and entry.path not in machine.base_lacks)
    for path, data in {**dict.fromkeys(own, b""), **files}.items():
        machine.files.make_dir(f"{folder}{path}".rpartition("/")[0], parents=True)
        machine.files.write(f"{folder}{path}", data, mode=0o644 if path in files else 0o555)


def bootstrap(run: Run, args: Sequence[str]) -> None:
    """`bootstrap RELEASE`: make the folders that are missing, fetch base.txz and unpack it."""
    given, words = flags_of(run, args, {"pkgbase": "p", "update": "u", "debug": "x"})
    if given or len(words) != 1 or not RELEASE.fullmatch(words[0]):
        raise run.call.unsupported("bastille bootstrap of anything but a release of FreeBSD")
    release = words[0].upper()
    _check_zfs(run)
    run.info(f"\nBootstrapping FreeBSD release: {release}")
    files = run.machine.files
    first = not files.is_dir(f"{run.releases_dir}/{release}")
    _make_folders(run, release)
    if release not in PUBLISHED or not run.call.net.default_router:
        run.info("Unable to fetch MANIFEST. See 'bootstrap urls'.")
        _give_up(run, release, first=first)
    if files.exists(f"{run.releases_dir}/{release}/COPYRIGHT"):
        run.info("\nBootstrap appears complete!\n")
        return
    try:
        _fetch(run, release)
    except FileError as failure:
        run.info(f"tar: {failure.path}: Write failed: {failure.reason}")
        run.info("[ERROR]: Failed to extract archive: base.txz.")
        _give_up(run, release, first=first)
    run.info("\nBootstrap successful!\nSee 'bastille --help' for available commands.\n")


def _check_zfs(run: Run) -> None:
    enabled = run.settings["bastille_zfs_enable"].lower() in ("yes", "true", "on", "1")
    if not enabled and rcconf.read_rc_conf(run.machine).get("zfs_enable") == "YES":
        run.info("ZFS is enabled in rc.conf but not bastille.conf. Do you want to continue? (N|y)")
        run.exit("[ERROR]: Missing ZFS parameters. See bastille_zfs_enable.")  # nobody answers
    if enabled and not run.settings["bastille_zfs_zpool"]:
        run.exit("[ERROR]: Missing ZFS parameters. See bastille_zfs_zpool.")
    if enabled and run.settings["bastille_zfs_zpool"] not in run.machine.pools:
        run.exit(f"[ERROR]: {run.settings['bastille_zfs_zpool']} is not a ZFS pool.")


def _make_folders(run: Run, release: str) -> None:
    prefix, settings = run.settings["bastille_prefix"], run.settings
    if not run.machine.files.is_dir(prefix):
        _make_folder(run, prefix, "")
        run.machine.files.node(prefix).mode = 0o750
    elif run.dataset and run.dataset not in run.machine.datasets:
        _make_folder(run, prefix, "")
    for kind, below in (
        *(("backups", ""), ("cache", ""), ("cache", f"/{release}"), ("jails", ""), ("logs", ""), ("templates", "")),
        *(("releases", ""), ("releases", f"/{release}")),
    ):
        folder = f"{settings[f'bastille_{kind}dir']}{below}"
        if not run.machine.files.is_dir(folder):
            _make_folder(run, folder, f"/{kind}{below}")
            run.machine.files.node(folder).mode = 0o750 if kind == "backups" else 0o755


def _make_folder(run: Run, folder: str, dataset: str) -> None:
    if not run.dataset:
        run.machine.files.make_dir(folder, parents=True)
        return
    options = run.settings["bastille_zfs_options"].split()
    run.run("zfs", "create", *options, "-o", f"mountpoint={folder}", f"{run.dataset}{dataset}")


def _fetch(run: Run, release: str) -> None:
    run.info("\nFetching MANIFEST...\n\nFetching distfile: base.txz")
    cache, folder = f"{run.settings['bastille_cachedir']}/{release}", f"{run.releases_dir}/{release}"
    for name in ("MANIFEST", "base.txz"):
        run.write(f"{cache}/{name}", "")
    run.info("\nValidating checksum for archive: base.txz\n\nExtracting archive: base.txz")
    install_release(run.machine, folder)
    for name in ("root/.hushlogin", "usr/share/skel/dot.hushlogin"):
        run.write(f"{folder}/{name}", "")
    for kind, size in SIZES.items():
        dataset = run.machine.datasets.get(f"{run.dataset}/{kind}/{release}")
        if dataset is not None:
            run.machine.pools[run.settings["bastille_zfs_zpool"]].allocated += size - dataset.used
            dataset.used = size
    run.machine.wait(MINUTES * 60)


def _give_up(run: Run, release: str, *, first: bool) -> None:
    """End with an error; what a first try has made of the release is taken away again."""
    for kind in ("cache", "releases") if first else ():
        folder = f"{run.settings[f'bastille_{kind}dir']}/{release}"
        if f"{run.dataset}/{kind}/{release}" in run.machine.datasets:
            run.quiet("zfs", "destroy", f"{run.dataset}/{kind}/{release}")
        run.quiet("rm", "-rf", folder)
    run.exit("[ERROR]: Bootstrap failed!")
