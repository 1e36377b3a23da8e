# SPDX-License-Identifier: BSD-2-Clause
"""What rc makes of rc.conf's network variables: /etc/rc.d/netif and /etc/rc.d/bridge, by network.subr's rules."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from warden.host.fake import network
from warden.host.fake.machine import Inet
from warden.host.fake.program import Reply, say
from warden.host.fake.rcconf import is_yes, read_rc_conf
from warden.host.fake.service import rc_service

if TYPE_CHECKING:
    from collections.abc import Callable

    from warden.host.fake.program import Call

PSEUDO = ("dhcp", "syncdhcp", "nosyncdhcp", "noauto")
"""Words of ifconfig_IF that are not for ifconfig; WPA, HOSTAP and vnet are not known here."""
DHCP = ("dhcp", "syncdhcp", "nosyncdhcp")
ADDRESS_FAMILIES = ("inet", "inet6", "link", "ether")
ALIAS = re.compile(r"ifconfig_(\w+)_alias(\d+)")
CHARACTERS = str.maketrans(".-/+", "____")
"""What an interface's name may hold and a variable's may not."""


@rc_service("netif", description="Network interface setup", extra="cloneup clonedown")
def netif(call: Call, verb: str) -> Reply:
    """Do what /etc/rc.d/netif does, with the interfaces behind the verb or with all."""
    names = list(call.args[1:])
    if verb == "restart":
        return netif(call, "stop") + netif(call, "start")
    rc = Rc(call, read_rc_conf(call.machine, call.jail))
    if verb == "start":
        rc.clone_up(names)
        rc.rename_clones(names)
        rc.each(names, rc.start, "Starting")
        if names:
            rc.bridge(names[:1], "addm")
    elif verb == "stop":
        rc.each(names, rc.stop, "Stopping")
        rc.clone_down(names)
    elif verb == "cloneup":
        rc.clone_up(names)
    elif verb == "clonedown":
        rc.clone_down(names)
    else:
        raise call.unsupported()
    return Reply(0, rc.reply.stdout, rc.reply.stderr)


@rc_service("bridge", rcvar="", description="Network bridge setup")
def bridge(call: Call, verb: str) -> Reply:
    """Add interfaces to the bridges of autobridge_interfaces, or take them off."""
    if verb not in ("start", "stop", "restart"):
        raise call.unsupported()
    rc = Rc(call, read_rc_conf(call.machine, call.jail))
    for command in ("deletem", "addm"):
        if verb in ("restart", "stop" if command == "deletem" else "start"):
            rc.bridge(list(call.args[1:2]), command)
    return Reply(0, rc.reply.stdout, rc.reply.stderr)


@dataclass(slots=True)
class Rc:
    """A run of the script: its caller, rc.conf's variables, and what was said so far."""

    call: Call
    conf: dict[str, str]
    reply: Reply = field(default_factory=Reply)
    numbered: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    """The variables ifconfig_IF_aliasN by interface, in the order of their numbers."""

    def __post_init__(self) -> None:
        for variable in self.conf:
            match = ALIAS.match(variable)
            if match:
                self.numbered.setdefault(match[1], []).append((int(match[2]), variable))
        for variables in self.numbered.values():
            variables.sort()

    def value(self, pattern: str, interface: str) -> str:
        """Give the variable of an interface: `ifconfig_IF_name` of `warden0.101` is ifconfig_warden0_101_name."""
        return self.conf.get(pattern.replace("IF", interface.translate(CHARACTERS)), "")

    def words(self, interface: str) -> list[str]:
        """Give ifconfig_IF's words as sh splits them."""
        variable = f"ifconfig_{interface.translate(CHARACTERS)}"
        text = self.conf.get(variable, self.conf.get("ifconfig_DEFAULT", ""))
        try:
            words = shlex.split(text)
        except ValueError:
            raise self.call.unsupported(f"{variable}={text}") from None
        if any(word.lower() in ("wpa", "hostap") or word == "vnet" for word in words):
            raise self.call.unsupported(f'{variable}="{" ".join(words)}"')
        return words

    def ifconfig(self, *words: str) -> bool:
        """Run ifconfig; tell whether it succeeded."""
        reply = self.call.run("/sbin/ifconfig", *words)
        self.reply += reply
        return reply.exit_code == 0

    def exists(self, name: str) -> bool:
        """Tell whether an interface is there."""
        return name in self.call.net.interfaces

    def clone_up(self, names: list[str]) -> None:
        """Create cloned_interfaces, of those named or all; what is renamed is tried again and fails (session 03)."""
        if self.conf.get("gif_interfaces"):
            raise self.call.unsupported("gif_interfaces in rc.conf")
        made: list[str] = []
        for name in self.cloned(names):
            ends = [f"{name}a", f"{name}b"] if re.match(r"epair\d", name) else [name]
            if any(self.exists(end) for end in ends):
                continue
            if self.ifconfig(name, "create", *self.value("create_args_IF", name).split()):
                made += ends
        if made:
            self.reply += say(f"Created clone interfaces: {' '.join(made)}.\n")

    def clone_down(self, names: list[str]) -> None:
        """Destroy cloned_interfaces that are there by their first name and not sticky."""
        gone: list[str] = []
        keep = is_yes(self.conf.get("cloned_interfaces_sticky", "NO"))
        for name in self.cloned(names, keep=keep):
            ends = [f"{name}a", f"{name}b"] if re.match(r"epair\d", name) else [name]
            here = [end for end in ends if self.exists(end)]
            if here and self.ifconfig("-n", here[0], "destroy"):
                gone += ends
        if gone:
            self.reply += say(f"Destroyed clone interfaces: {' '.join(gone)}.\n")

    def cloned(self, names: list[str], *, keep: bool | None = None) -> list[str]:
        """Give the names of cloned_interfaces; with `keep`, only those to destroy, given the general rule."""
        found = []
        for word in self.conf.get("cloned_interfaces", "").split():
            name, _, option = word.partition(":")
            if names and name not in names:
                continue
            if keep is None or (option != "sticky" and (option == "nosticky" or not keep)):
                found.append(name)
        return found

    def rename_clones(self, names: list[str]) -> None:
        """Rename what has an ifconfig_IF_name."""
        for name in names or [interface.name for interface in network.in_order(self.call.net)]:
            new = self.value("ifconfig_IF_name", name)
            if new:
                self.ifconfig(name, "name", new)

    def each(self, names: list[str], act: Callable[[str], None], doing: str) -> None:
        """Do it to each of the interfaces, say so, and show how they are then."""
        done: list[str] = []
        for name in names or self.listed():
            if doing == "Stopping" and not self.exists(name):
                self.reply += say(error=f"/etc/rc.d/netif: WARNING: {name} does not exist.  Skipped.\n")
                continue
            act(name)
            done.append(name)
        if done:
            self.reply += say(f"{doing} Network: {' '.join(done)}.\n")
            for name in done:
                self.ifconfig(name)

    def listed(self) -> list[str]:
        """Give the interfaces that rc configures at boot, lo0 first."""
        wanted = self.conf.get("network_interfaces", "auto")
        if wanted.lower() == "auto":
            names = [interface.name for interface in network.in_order(self.call.net)]
            names = [name for name in names if self.is_automatic(name)]
        else:
            names = [*wanted.split(), *self.cloned([])]
            names = [end for name in names for end in ([f"{name}a", f"{name}b"] if _is_epair(name) else [name])]
        return ["lo0"] * ("lo0" in names or wanted.lower() != "auto") + [name for name in names if name != "lo0"]

    def is_automatic(self, name: str) -> bool:
        """Tell whether an interface is configured without being asked for."""
        return "noauto" not in (word.lower() for word in self.words(name))

    def start(self, name: str) -> None:
        """Configure an interface: its own variable, description, up, DHCP, aliases, vlan interfaces."""
        self.refuse_unknown(name)
        words = self.words(name)
        arguments = [word for word in words if word.lower() not in PSEUDO]
        if arguments:
            self.ifconfig(name, *arguments)
        for family in ("link", "ether"):
            self.aliases(name, family, "alias")
        description = self.value("ifconfig_IF_descr", name)
        if description:
            self.ifconfig(name, "description", description)
        asks = any(word.lower() in DHCP for word in words)
        if arguments or asks or name == "lo0":
            self.ifconfig(name, "up")
        if asks:
            self.take_lease(name)
        if name == "lo0" and not self.value("ifconfig_IF", name):
            self.ifconfig(name, "inet", "127.0.0.1/8", "alias")
        self.aliases(name, "inet", "alias")
        self.make_vlans(name)

    def stop(self, name: str) -> None:
        """Take an interface's addresses away, bring it down, and destroy its vlan interfaces."""
        self.refuse_unknown(name)
        self.aliases(name, "inet", "-alias")
        for inet in list(self.call.net.interfaces[name].inet):
            self.ifconfig(name, "inet", inet.address, "delete")
        self.ifconfig(name, "down")
        for child in self.value("vlans_IF", name).split():
            vlan = f"{name}.{child}" if child.isdigit() else child
            if self.exists(vlan):
                self.ifconfig("-n", vlan, "destroy")

    def refuse_unknown(self, name: str) -> None:
        """Refuse what rc would do and the fake host does not."""
        for path in (f"/etc/start_if.{name}", f"/etc/stop_if.{name}"):
            if self.call.files.exists(path, root=self.call.root):
                raise self.call.unsupported(path)
        for pattern in ("ifconfig_IF_ipv6", "ipv6_prefix_IF", "ipv6_ifconfig_IF"):
            if self.value(pattern, name) and name != "lo0":
                raise self.call.unsupported(pattern.replace("IF", name))

    def take_lease(self, name: str) -> None:
        """Ask the DHCP server, as dhclient does that devd starts when the link is up."""
        interface = self.call.net.interfaces.get(name)
        lease = self.call.machine.leases.get(interface.unit) if interface is not None else None
        if interface is not None and lease:
            address, _, prefix = lease.partition("/")
            if Inet(address, int(prefix)) not in interface.inet:
                network.add_address(self.call.net, interface, address, int(prefix))

    def aliases(self, name: str, family: str, action: str) -> None:
        """Add or remove the addresses of ifconfig_IF_aliases, then of ifconfig_IF_aliasN by number.

        A number that is missing is passed over; an empty value ends the list (session 03).
        """
        words = self.value("ifconfig_IF_aliases", name).split()
        for _, variable in self.numbered.get(name.translate(CHARACTERS), []):
            value = self.conf[variable].split()
            if not value:
                break
            if value[0] == family:
                words += value
            elif value[0] not in ADDRESS_FAMILIES and (family, action) == ("inet", "alias"):
                words += ["inet", *value]
                warning = f'${variable} needs leading "inet" keyword for an IPv4 address.'
                self.reply += say(error=f"/etc/rc.d/netif: WARNING: {warning}\n")
        for address in self.value("ipv4_addrs_IF", name).split():
            words += ["inet", address]
        for entry in _entries(words):
            if entry[0] == family:
                for arguments in expand(entry, action, int(self.conf.get("netif_ipexpand_max") or 2048)):
                    self.ifconfig(name, *arguments, action)

    def make_vlans(self, name: str) -> None:
        """Create the vlan interfaces of vlans_IF and configure them."""
        for child in self.value("vlans_IF", name).split():
            vlan = child
            if child.isdigit():
                vlan = f"{name}.{child}"
                self.ifconfig(vlan, "create", *self.value("create_args_IF", vlan).split())
            else:
                arguments = ["vlandev", name, *self.value("create_args_IF", vlan).split()]
                if re.fullmatch(r"vlan\d+", child):
                    self.ifconfig(vlan, "create", *arguments)
                else:
                    made = self.call.run("/sbin/ifconfig", "vlan", "create", *arguments)
                    self.reply += Reply(0, b"", made.stderr)
                    self.ifconfig(made.stdout.decode().strip(), "name", vlan)
            if self.is_automatic(vlan):
                self.start(vlan)

    def bridge(self, names: list[str], command: str) -> None:
        """Put interfaces on the bridges whose autobridge_BRIDGE names them, by pattern."""
        for over in self.conf.get("autobridge_interfaces", "").split():
            patterns = self.conf.get(f"autobridge_{over}", "").split()
            for name in names or self.listed():
                if any(fnmatchcase(name, pattern) for pattern in patterns):
                    self.call.run("/sbin/ifconfig", over, command, name)


def expand(entry: list[str], action: str, limit: int) -> list[list[str]]:
    """Spread `inet 10.0.1.5-9/24` over its addresses: the first has the prefix, the others are single."""
    match = re.fullmatch(r"(\d+\.\d+\.\d+\.)(\d+)-(\d+)(/\d+)?", entry[1]) if len(entry) > 1 else None
    if entry[0] != "inet" or match is None:
        return [entry]
    first, last = int(match[2]), min(int(match[3]), int(match[2]) + limit + 1)
    spread = []
    for number in range(first, last + 1):
        prefix = (match[4] or "/32") if number == first else "/32"
        spread.append(["inet", f"{match[1]}{number}{'' if action == '-alias' else prefix}", *entry[2:]])
    return spread


def _entries(words: list[str]) -> list[list[str]]:
    """Cut a list of words where an address family starts."""
    entries: list[list[str]] = []
    for word in words:
        if word in ADDRESS_FAMILIES or not entries:
            entries.append([word])
        else:
            entries[-1].append(word)
    return entries


def _is_epair(name: str) -> bool:
    return re.fullmatch(r"epair\d+", name) is not None
