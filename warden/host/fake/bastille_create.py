# SPDX-License-Identifier: BSD-2-Clause
"""bastille create: thin, thick and clone VNET jails on a bridge; the jail is started twice (sessions 05, 11, 13)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from warden.host.fake import datasets
from warden.host.fake.bastille_base import EndError, Run, stamp
from warden.host.fake.bastille_template import SHARE
from warden.host.fake.filesystem import FileError

if TYPE_CHECKING:
    from collections.abc import Sequence

LINKS = """
    bin boot lib libexec rescue sbin usr/bin usr/include usr/lib usr/lib32 usr/libdata usr/libexec usr/sbin usr/share
    usr/src
"""
"""What a thin jail has as links into its release."""
COPIES = ".cshrc .profile COPYRIGHT dev etc media mnt net proc root tmp var usr/obj usr/tests"
"""What a thin jail has of its own."""
QUAD = r"(?:[0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])"
ADDRESS = re.compile(rf"(?:{QUAD}\.){{3}}{QUAD}(?:/(?:[0-9]|[1-2][0-9]|3[0-2]))?")
RELEASE = re.compile(r"[1-9]+\.[0-9]-(?:RELEASE(?:-I386)?|RC[1-9]|BETA[1-9]|CURRENT(?:-I386)?|STABLE)", re.IGNORECASE)
LONG = {"bridge": "B", "clone": "C", "thick": "T", "static-mac": "M", "vnet": "V", "passthrough": "P", "dual": "D",
        "empty": "E", "linux": "L"}  # fmt: skip
EPAIR = re.compile(rb"bastille[0-9]+")
WITH_VALUE = {"-g": "g", "--gateway": "g", "--defaultrouter": "g", "-n": "n", "--nameserver": "n", "-p": "p",
              "--priority": "p", "--tag": "t", "--tags": "t", "-Z": "Z", "--zfs-opts": "Z"}  # fmt: skip
LIMIT = 16
"""The length that an interface's name has to stay below."""


@dataclass
class Options:
    """What create was asked for."""

    letters: set[str] = field(default_factory=set)
    gateway: str = ""
    nameservers: list[str] = field(default_factory=list)
    tags: str = ""
    priority: str = "99"
    boot: str = "on"
    zfs_options: str = ""

    @property
    def is_thin(self) -> bool:
        """Whether the jail uses the release's files, read-only."""
        return not self.letters & {"T", "C"}


def create(run: Run, args: Sequence[str]) -> None:
    """`create -B [-MTC] [-g GATEWAY] [-n SERVER,...] [-p PRIORITY] NAME RELEASE IP BRIDGE`."""
    options, words = _options(run, args)
    _check_options(run, options)
    name = words[0] if words else ""
    run.info(f"\nCreating jail: {name}...")
    if len(words) not in (3, 4):
        run.usage("Usage: bastille create [option(s)] NAME RELEASE IP [INTERFACE]")
    _check_name(run, name)
    if "B" not in options.letters or len(words) != 4:
        raise run.call.unsupported("bastille create of a jail that is not on a bridge (-B)")
    _, release, address, bridge = words
    stack = run.call.net
    if bridge not in stack.interfaces or "bridge" not in stack.interfaces[bridge].groups:
        run.exit(f"[ERROR]: Interface is not a bridge: {bridge}")
    release = _check_release(run, release)
    address = check_address(run, address)
    run.info(f"\nValid interface: {bridge}")
    _link_templates(run)
    _make(run, name, release, bridge, options)
    _bring_up(run, name, bridge, address, options)


def epair_names(run: Run, jail: str) -> tuple[str, str]:
    """Give the names of a jail's epair; a name too long for an interface gets the next `bastilleN` (session 05)."""
    if len(f"e0a_{jail}") < LIMIT:
        return f"e0a_{jail}", f"e0b_{jail}"
    confs = [node.children.get("jail.conf") for _, node in run.machine.files.entries(run.jails_dir)]
    used = {name.decode() for conf in confs if conf is not None for name in EPAIR.findall(conf.data)}
    taken = "\n".join([*used, *run.call.net.interfaces])
    number = 1
    # bastille1 counts as taken, too, while there is a bastille10
    while f"bastille{number}" in taken:
        number += 1
    return f"e0a_bastille{number}", f"e0b_bastille{number}"


def static_mac(run: Run, jail: str, bridge: str) -> str:
    """Give what -M makes MACs of: five hexadecimal digits from the bridge's MAC and the names, without the last."""
    stack = run.call.net
    ether = stack.interfaces[bridge].ether if bridge in stack.interfaces else ""
    digest = hashlib.sha256(f"{ether}{bridge}{jail}".replace(":", "").encode()).hexdigest()
    return f"58:9c:fc:{digest[0:2]}:{digest[2:4]}:{digest[4]}"


def check_address(run: Run, text: str) -> str:
    """Check the address of a VNET jail, which gets a prefix of 24 where it has none."""
    address, slash, prefix = text.partition("/")
    if text in ("DHCP", "SYNCDHCP", "0.0.0.0", "inherit", "ip_hostname", "SLAAC") or ":" in text or " " in text:
        raise run.call.unsupported(f"a jail with the address {text}")
    if slash and not (prefix.isdigit() and 1 <= int(prefix) <= 32):
        run.exit(f"[ERROR]: Invalid subnet: /{prefix}")
    whole = f"{address}/{prefix or '24'}"
    if not ADDRESS.fullmatch(whole):
        run.exit(f"[ERROR]: Invalid IP: {whole}")
    run.info(f"\nValid IP: {whole}")
    return whole


def _options(run: Run, args: Sequence[str]) -> tuple[Options, list[str]]:
    options, words = Options(), list(args)
    while words and words[0].startswith("-"):
        word = words.pop(0)
        if word in WITH_VALUE:
            _take_value(run, options, WITH_VALUE[word], words.pop(0) if words else "")
        elif word == "--no-boot":
            options.boot = "off"
        elif word in ("--no-ip", "--no-validate", "-v", "--vlan", "-h", "--help", "-x", "--debug"):
            raise run.call.unsupported()
        else:
            options.letters |= _letters(run, word)
    return options, words


def _take_value(run: Run, options: Options, letter: str, value: str) -> None:
    if letter == "g":
        options.gateway = value
    elif letter == "n":
        options.nameservers = value.replace(",", " ").split()
    elif letter == "p":
        if not value.isdigit():
            run.exit(f'Not a valid priority value: "{value}"')
        options.priority = value
    elif letter == "t":
        options.tags = value
    else:
        options.zfs_options = value
    addresses = {"g": [value] if value else [], "n": options.nameservers}.get(letter, [])
    if not all(ADDRESS.fullmatch(address) for address in addresses):
        raise EndError(1)  # the refusal goes where nobody reads it


def _letters(run: Run, word: str) -> set[str]:
    if word[2:] in LONG:
        return {LONG[word[2:]]}
    letters = set(word.replace("-", ""))
    if not letters <= set(LONG.values()):
        run.exit(f'[ERROR]: Unknown Option: "{word}"')
    return letters


def _check_options(run: Run, options: Options) -> None:
    letters = options.letters
    if "E" in letters and letters & {"C", "T", "V", "B", "P", "L"}:
        run.exit("[ERROR]: Empty jail option can't be used with other options.")
    if "L" in letters and letters & {"E", "V", "B", "P", "T", "C"}:
        run.exit("[ERROR]: Linux jail option can't be used with other options.")
    if {"C", "T"} <= letters:
        run.exit("[ERROR]: Clonejail and Thickjail can't be used together.")
    if len(letters & {"V", "B", "P"}) > 1:
        run.exit("[ERROR]: Only one of [-V|--vnet], [-B|--bridge] or [-P|--passthrough] can be selected.")
    if {"P", "M"} <= letters:
        run.exit("[ERROR]: [-P|--passthrough] does not support [-M|--static-mac].")


def _check_name(run: Run, name: str) -> None:
    plain = re.sub(r"[^A-Za-z0-9_-]", "", name)
    if run.machine.files.exists(f"{run.jail_dir(name)}/jail.conf"):
        run.exit(f"[ERROR]: Jail already exists: {name}")
    if plain.startswith(("-", "_")):
        run.exit("[ERROR]: Jail names may not begin with (-|_) characters!")
    if "-" in name or "_" in name:
        run.exit("[ERROR]: VNET jail names may not contain (-|_) characters.")
    if name != plain:
        run.exit("[ERROR]: Jail names may not contain special characters!")
    if name.isdigit():
        run.exit("[ERROR]: Jail names may not contain only digits.")


def _check_release(run: Run, text: str) -> str:
    if not RELEASE.fullmatch(text):
        raise run.call.unsupported(f"a jail of the release {text}")
    release = text.upper()
    if not run.machine.files.is_dir(f"{run.releases_dir}/{release}"):
        run.info("[ERROR]: Release must be bootstrapped first.")
        run.exit("See 'bastille bootstrap'.")
    return release


def _link_templates(run: Run) -> None:
    link = f"{run.settings['bastille_templatesdir']}/default"
    if not run.machine.files.exists(link):
        run.machine.files.symlink(f"{SHARE}/default", link)


def _make(run: Run, name: str, release: str, bridge: str, options: Options) -> None:
    """Make what stands on the disk: datasets, fstab, jail.conf, the root, settings.conf."""
    folder, files = run.jail_dir(name), run.machine.files
    root, source = f"{folder}/root", f"{run.releases_dir}/{release}"
    if not files.is_dir(folder):
        _make_datasets(run, name, options)
    if options.is_thin:
        for path in (f"{root}/.bastille", f"{root}/.template"):
            files.make_dir(path, parents=True)
    if "C" not in options.letters:
        files.make_dir(f"{root}/usr/local", parents=True)
    entry = f"{source} {root}/.bastille nullfs ro 0 0\n" if options.is_thin else ""
    if not files.exists(f"{folder}/fstab"):
        run.write(f"{folder}/fstab", entry)
    run.write(f"{folder}/jail.conf", _jail_conf(run, name, release, bridge, static="M" in options.letters))
    if options.is_thin:
        run.info("\nCreating a thinjail...")
        _fill_thin(run, root, source)
    elif "T" in options.letters:
        run.info("\nCreating a thickjail. This may take a while...")
        _fill_thick(run, name, release, root)
    else:
        run.info("\nCreating a clonejail...\n")
        _fill_clone(run, name, release)
    files.make_dir(f"{root}/home", parents=True)
    _copy_zone(run, root)
    if not files.exists(f"{root}/etc/fstab"):
        run.write(f"{root}/etc/fstab", "")
    files.node(folder).mode = 0o700
    for setting in (f"boot={options.boot}", "depend=", f"priority={options.priority}"):
        run.quiet("sysrc", "-f", f"{folder}/settings.conf", setting)


def _make_datasets(run: Run, name: str, options: Options) -> None:
    if not run.dataset:
        run.machine.files.make_dir(f"{run.jail_dir(name)}/root", parents=True)
        return
    words = (options.zfs_options or run.settings["bastille_zfs_options"]).split()
    kinds = [("", "jail"), ("/root", "jail root")] if options.is_thin else [("", "jail")]
    for below, what in kinds:
        dataset = f"{run.dataset}/jails/{name}{below}"
        if run.run("zfs", "create", *words, dataset) != 0:
            run.exit(f"[ERROR]: Failed to create {what} dataset: {dataset}")


def _fill_thin(run: Run, root: str, source: str) -> None:
    files = run.machine.files
    for name in LINKS.split():
        if files.lookup(f"{root}/{name}", follow=False) is None:
            files.symlink(f"/.bastille/{name}", f"{root}/{name}")
    there = files.node(root)
    for name in COPIES.split():
        original = files.lookup(f"{source}/{name}", follow=False)
        if original is None:
            continue
        above, _, last = name.rpartition("/")
        into = files.node(f"{root}/{above}") if above else there
        into.children[last] = original.copy()


def _fill_thick(run: Run, name: str, release: str, root: str) -> None:
    if not run.dataset:
        source = run.machine.files.node(f"{run.releases_dir}/{release}")
        run.machine.files.node(root).children = source.copy().children
        return
    if f"{run.dataset}/releases/{release}" not in run.machine.datasets:
        raise run.call.unsupported(f"bastille create of a thick jail from {release}, which has no dataset")
    # zfs send and receive by way of a snapshot, which is gone again afterwards on both sides
    received = datasets.receive(run.machine, f"{run.dataset}/releases/{release}", f"{run.dataset}/jails/{name}/root")
    received.properties.update(compression="on", atime="off")


def _fill_clone(run: Run, name: str, release: str) -> None:
    source = f"{run.dataset}/releases/{release}@bastille-clone-{stamp(run.machine)}"
    run.run("zfs", "snapshot", source)
    run.run("zfs", "clone", "-p", source, f"{run.dataset}/jails/{name}/root")


def _copy_zone(run: Run, root: str) -> None:
    files = run.machine.files
    zone = run.settings["bastille_tzdata"] or run.text("/var/db/zoneinfo").strip()
    path = f"{root}/etc/localtime"
    if files.lookup(path, follow=False) is not None or not files.is_dir(f"{root}/etc"):
        return
    if zone:
        files.symlink(f"/usr/share/zoneinfo/{zone}", path)
    elif files.exists("/etc/localtime"):
        files.write(path, files.read("/etc/localtime"))


def _jail_conf(run: Run, name: str, release: str, bridge: str, *, static: bool) -> str:
    host_end, jail_end = epair_names(run, name)
    folder = run.jail_dir(name)
    mac = static_mac(run, name, bridge)
    make = f"epair0=\\$(ifconfig epair create) && ifconfig \\${{epair0}} up name {host_end}"
    prestart = [
        f"{make} && ifconfig \\${{epair0%a}}b up name {jail_end}",
        f"ifconfig {bridge} addm {host_end}",
        *([f"ifconfig {host_end} ether {mac}a", f"ifconfig {jail_end} ether {mac}b"] if static else []),
        f'ifconfig {host_end} description \\"vnet0 host interface for Bastille jail {name}\\"',
    ]
    lines = [
        f"{name} {{",
        "  enforce_statfs = 2;",
        "  devfs_ruleset = 13;",
        "  exec.clean;",
        f"  exec.consolelog = {run.settings['bastille_logsdir']}/{name}_console.log;",
        "  exec.start = '/bin/sh /etc/rc';",
        "  exec.stop = '/bin/sh /etc/rc.shutdown';",
        f"  host.hostname = {name};",
        "  mount.devfs;",
        f"  mount.fstab = {folder}/fstab;",
        f"  path = {folder}/root;",
        "  securelevel = 2;",
        f'  osrelease = "{release}";',
        "",
        "  vnet;",
        f"  vnet.interface = {jail_end};",
        *(f'  exec.prestart += "{command}";' for command in prestart),
        f'  exec.poststop += "ifconfig {host_end} destroy";',
        "}",
    ]
    return "".join(f"{line}\n" for line in lines)


def _bring_up(run: Run, name: str, bridge: str, address: str, options: Options) -> None:
    """Start the jail, configure it by templates, and start it again; of these only the first start is checked."""
    settings = run.settings
    run.again("start", name)
    if name not in run.machine.jails:
        run.again("destroy", "-afy", name)
        run.exit(f"[ERROR]: Failed to create jail: {name}")
    if settings["bastille_template_vnet"]:
        gateway = options.gateway or settings["bastille_network_gateway"] or run.call.net.default_router
        values = {
            "EXT_INTERFACE": bridge,
            "INTERFACE": epair_of(run, name),
            "VNET": "vnet0",
            "GATEWAY": gateway,
            "GATEWAY6": "NO",
            "IFCONFIG": f"inet {address}",
            "IFCONFIG6": "",
        }
        run.again("template", name, settings["bastille_template_vnet"], *_arguments(values))
    kind = "thick" if "T" in options.letters else "clone" if "C" in options.letters else "thin"
    if settings[f"bastille_template_{kind}"]:
        values = {
            "BASE_TEMPLATE": settings["bastille_template_base"],
            "HOST_RESOLV_CONF": settings["bastille_resolv_conf"],
        }
        run.again("template", name, settings[f"bastille_template_{kind}"], *_arguments(values))
    if options.nameservers:
        _set_nameservers(run, f"{run.jail_dir(name)}/root/etc/resolv.conf", options.nameservers)
    if options.tags:
        run.again("tags", name, "add", options.tags)
    run.again("restart", name)


def epair_of(run: Run, jail: str) -> str:
    """Give the name of the epair end that a jail.conf gives to the jail."""
    match = re.search(r"vnet\.interface = ([^;]+);", run.text(f"{run.jail_dir(jail)}/jail.conf"))
    return match[1] if match is not None else ""


def _set_nameservers(run: Run, path: str, servers: list[str]) -> None:
    try:
        kept = [line for line in run.text(path).splitlines() if not line.startswith("nameserver")]
        run.write(path, "".join(f"{line}\n" for line in [*kept, *(f"nameserver {server}" for server in servers)]))
    except FileError as failure:
        run.info(f"sed: {failure}")


def _arguments(values: dict[str, str]) -> list[str]:
    return [word for name, value in values.items() for word in ("--arg", f"{name}={value}")]
