# SPDX-License-Identifier: BSD-2-Clause
"""sshd(8) with a configuration of its own: what it makes of it, and where it listens, as sshd_config(5) says.

What the configuration lets in and what not is not played: nobody logs in to a jail here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from warden.host.fake.listeners import ANY, LISTENERS, Listener
from warden.host.fake.options import getopt
from warden.host.fake.program import Call, Reply, program, say

if TYPE_CHECKING:
    from warden.host.fake.filesystem import FileSystem
    from warden.host.fake.machine import Machine, Process

PATH = "/usr/sbin/sshd"
YES_OR_NO = frozenset({"yes", "no"})
FORWARDING = frozenset({"yes", "no", "all", "local", "remote"})
KEYWORDS: dict[str, frozenset[str] | None] = {
    "acceptenv": None,
    "allowagentforwarding": YES_OR_NO,
    "allowstreamlocalforwarding": FORWARDING,
    "allowtcpforwarding": FORWARDING,
    "allowusers": None,
    "authenticationmethods": None,
    "authorizedkeysfile": None,
    "disableforwarding": YES_OR_NO,
    "gatewayports": frozenset({"yes", "no", "clientspecified"}),
    "hostbasedauthentication": YES_OR_NO,
    "hostkey": None,
    "kbdinteractiveauthentication": YES_OR_NO,
    "listenaddress": None,
    "logingracetime": None,
    "passwordauthentication": YES_OR_NO,
    "permitrootlogin": frozenset({"yes", "no", "prohibit-password", "without-password", "forced-commands-only"}),
    "permittty": YES_OR_NO,
    "permittunnel": frozenset({"yes", "no", "point-to-point", "ethernet"}),
    "permituserenvironment": None,
    "permituserrc": YES_OR_NO,
    "port": None,
    "printmotd": YES_OR_NO,
    "pubkeyauthentication": YES_OR_NO,
    "usedns": YES_OR_NO,
    "usepam": YES_OR_NO,
    "x11forwarding": YES_OR_NO,
}
"""The keywords that are known here, and the words that may follow; None for any."""
SEVERAL = frozenset({"acceptenv", "allowusers", "authenticationmethods", "authorizedkeysfile"})
"""Keywords that take more than one word."""
OTHERS = frozenset(
    [
        *("allowgroups", "banner", "channeltimeout", "chrootdirectory", "ciphers"),
        *("clientalivecountmax", "clientaliveinterval", "compression", "denygroups"),
        *("denyusers", "exposeauthinfo", "forcecommand", "gssapiauthentication"),
        *("hostcertificate", "hostkeyagent", "hostkeyalgorithms", "ignorerhosts", "include"),
        *("ipqos", "kexalgorithms", "loglevel", "macs", "match", "maxauthtries", "maxsessions"),
        *("maxstartups", "permitemptypasswords", "permitlisten", "permitopen"),
        *("persourcepenalties", "pidfile", "printlastlog", "rekeylimit", "requiredrsasize"),
        *("setenv", "strictmodes", "subsystem", "syslogfacility", "tcpkeepalive"),
        *("trustedusercakeys", "useblacklist", "useblocklist", "versionaddendum"),
    ]
)
"""Keywords that sshd has and that are not known here."""


class ConfigError(Exception):
    """sshd does not take its configuration; the text is what it says."""

    def __init__(self, text: str, status: int = 255) -> None:
        super().__init__(text)
        self.status = status


class UnknownError(Exception):
    """The configuration has a keyword that sshd knows and that is not known here."""


@program(PATH, "sshd -t [-f FILE]")
def sshd(call: Call) -> Reply:
    """Check a configuration; the release's own, which nobody changes, is always right."""
    flags, rest, wrong = getopt(call.args, "tf:")
    if wrong or rest or "t" not in flags:
        raise call.unsupported()  # it is started by its rc.d script
    path = flags.get("f", [""])[-1]
    try:
        settings = read(call.files, call.root, path) if path else []
    except ConfigError as failure:
        return say(error=f"{failure}\n", status=failure.status)
    except UnknownError as unknown:
        raise call.unsupported(str(unknown)) from None
    if not path and not call.jail:
        return Reply()  # a host's keys are older than anything here
    keys = [words[1] for words in settings if words[0] == "hostkey"]
    wanted = keys or [f"/etc/ssh/ssh_host_{kind}_key" for kind in ("rsa", "ecdsa", "ed25519")]
    lost = [key for key in wanted if not call.files.exists(key, root=call.root)]
    said = "".join(f"Unable to load host key: {key}\n" for key in lost)
    if len(lost) == len(wanted):
        return say(error=f"{said}sshd: no hostkeys available -- exiting.\n", status=1)
    return say(error=said)


def read(files: FileSystem, root: str, path: str) -> list[list[str]]:
    """Give the settings of a file, the keywords in small letters; raises ConfigError or UnknownError."""
    node = files.lookup(path, root=root)
    if node is None:
        raise ConfigError(f"{path}: No such file or directory", 1)
    settings: list[list[str]] = []
    wrong: list[str] = []
    for number, line in enumerate(node.data.decode("utf-8", "replace").splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        problem = _problem(words, f"{path} line {number}", line)
        if problem:
            wrong.append(problem)
        else:
            settings.append([words[0].lower(), *words[1:]])
    if wrong:
        raise ConfigError("\n".join([*wrong, f"{path}: terminating, {len(wrong)} bad configuration options"]))
    return settings


def _problem(words: list[str], at: str, line: str) -> str:
    """Say what is wrong with a line that the reader can go on after; '' for nothing."""
    keyword = words[0].lower()
    if keyword in OTHERS or '"' in line:
        raise UnknownError(f"sshd_config: {line}")
    if keyword not in KEYWORDS:
        return f"{at.replace(' line ', ': line ')}: Bad configuration option: {words[0]}"
    if len(words) == 1:
        return f'{at}: no argument after keyword "{words[0]}"'
    allowed = KEYWORDS[keyword]
    if allowed is not None and words[1] not in allowed:
        raise ConfigError(f'{at}: unsupported option "{words[1]}".')
    if keyword == "port" and not (words[1].isdigit() and 0 < int(words[1]) < 65536):
        raise ConfigError(f"{at}: Badly formatted port number.")
    if keyword == "listenaddress" and not re.fullmatch(r"\d+\.\d+\.\d+\.\d+", words[1]):
        raise UnknownError(f"sshd_config: {line}")
    if len(words) > 2 and keyword not in SEVERAL:
        return f"{at}: keyword {words[0]} extra arguments at end of line"
    return ""


def _where(machine: Machine, process: Process) -> list[tuple[str, int]]:
    if "-f" not in process.argv:
        return [(ANY, 22)]
    path = process.argv[process.argv.index("-f") + 1]
    try:
        settings = read(machine.files, machine.root_of(process.jail), path)
    except ConfigError:
        return []  # changed under it, and wrong: what it had read before is not kept here
    ports = [int(words[1]) for words in settings if words[0] == "port"] or [22]
    addresses = [words[1] for words in settings if words[0] == "listenaddress"] or [ANY]
    return [(address, port) for address in addresses for port in ports]


LISTENERS["sshd"] = Listener(_where, descriptor=7)
