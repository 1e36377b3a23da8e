# SPDX-License-Identifier: BSD-2-Clause
"""Single values as an operator writes them. Each function gives the value, or raises RefusedValueError."""

from __future__ import annotations

import difflib
import re
import shlex
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import TYPE_CHECKING, get_args

from warden.spec.errors import RefusedValueError, quoted
from warden.spec.model import DEFAULT_POOL, POSTGRESQL_VERSIONS, RUNTIMES, SERVICES, Become, Isolation, Runtime, Service
from warden.spec.rules import duplicates

if TYPE_CHECKING:
    from collections.abc import Iterable

_PRIVATE = DEFAULT_POOL
_ISOLATIONS: tuple[Isolation, ...] = get_args(Isolation)
_BECOMES: tuple[Become, ...] = get_args(Become)
_INTERFACE_NAME_MAX = 15
_USER_NAME_MAX = 32
_NOT_FOR_JAILS = (
    *("/boot", "/dev", "/etc", "/root", "/usr/local/bastille", "/usr/local/etc"),
    *("/var/db/warden", "/var/run"),
)
"""Folders of the host that hold secrets, other agents' data or the host itself."""


def closest(word: str, known: Iterable[str]) -> str:
    """Give a hint that names the known word that was probably meant, or all of them; empty where there are none."""
    words = list(known)
    close = difflib.get_close_matches(word, words, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"known here: {', '.join(words)}" if words else ""


def one_line(text: str) -> str:
    """Take text that goes into files and commands of a host: not empty, no control characters."""
    if not text.strip():
        raise RefusedValueError("is empty")
    return without_control(text)


def without_control(text: str) -> str:
    """Take text that may be empty, but holds no newline, NUL or other control character."""
    # The text stays out of the message: it may be a secret.
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]", text):
        raise RefusedValueError("holds a control character", hint="write it on one line, as plain text")
    return text


def network(text: str) -> IPv4Network:
    """Take `10.0.0.0/8`."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]+){3}/[0-9]+", text):
        raise RefusedValueError(f"{quoted(text)} is no IPv4 network", hint="write it as 10.0.1.0/24")
    try:
        given = IPv4Network(text, strict=False)
    except ValueError:
        raise RefusedValueError(f"{quoted(text)} is no IPv4 network", hint="write it as 10.0.1.0/24") from None
    if str(given.network_address) != text.partition("/")[0]:
        raise RefusedValueError(f"{text} is an address inside a network, not a network", hint=f"write {given}")
    return given


def private_network(text: str) -> IPv4Network:
    """Take a network inside the private ranges of RFC 1918 that holds at least one /24."""
    given = network(text)
    if not any(given.subnet_of(private) for private in _PRIVATE):
        ranges = ", ".join(str(private) for private in _PRIVATE)
        raise RefusedValueError(f"{given} is not private", hint=f"write one inside {ranges} (RFC 1918)")
    if given.prefixlen > 24:
        raise RefusedValueError(
            f"{given} holds {given.num_addresses} addresses, less than a /24",
            hint=f"write {given.supernet(new_prefix=24)}",
        )
    return given


def subnet(text: str) -> IPv4Network:
    """Take an agent's subnet: a private /24."""
    given = private_network(text)
    if given.prefixlen < 24:
        raise RefusedValueError(
            f"{given} holds {2 ** (24 - given.prefixlen)} subnets of the size that an agent has, which is a /24",
            hint=f"write one of them, such as {IPv4Network((int(given.network_address), 24))}",
        )
    return given


def subnet_base(text: str) -> IPv4Network:
    """Take the first three numbers of an agent's subnet: `10.0.1`."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]+){2}", text):
        raise RefusedValueError(f"{quoted(text)} is no base of a subnet", hint="write three numbers, such as 10.0.1")
    return subnet(f"{text}.0/24")


def address(text: str) -> IPv4Address:
    """Take `10.0.1.3`."""
    try:
        return IPv4Address(text)
    except AddressValueError:
        hint = "leave the mask out" if "/" in text else "write it as 10.0.1.3"
        raise RefusedValueError(f"{quoted(text)} is no IPv4 address", hint=hint) from None


def port(number: int) -> int:
    """Take the number of a TCP port."""
    if not 1 <= number <= 65535:
        raise RefusedValueError(f"{number} is no port", hint="write a number from 1 to 65535")
    return number


def count(number: int) -> int:
    """Take a number of things, of which there is one at least."""
    if number < 1:
        raise RefusedValueError(f"{number} is none", hint="write a number from 1 on, or leave it out for no limit")
    return number


def size(text: str) -> int:
    """Take a number of bytes as zfs(8) and rctl(8) have it: 512M, 4G."""
    found = re.fullmatch(r"([1-9][0-9]{0,5})([KMGT])", text)
    if found is None:
        raise RefusedValueError(f"{quoted(text)} is no size", hint="write a number and K, M, G or T: 512M, 4G")
    return int(found[1]) << 10 * ("KMGT".index(found[2]) + 1)


def postgresql_version(number: int) -> int:
    """Take a major version of PostgreSQL that FreeBSD has packages of."""
    if number not in POSTGRESQL_VERSIONS:
        raise RefusedValueError(
            f"{number} is no version of PostgreSQL that Warden sets up",
            hint=f"write one of {', '.join(map(str, POSTGRESQL_VERSIONS))}",
        )
    return number


def git_runtime(text: str) -> Runtime:
    """Take `ssh` or `forgejo`."""
    return _runtime("git", text)


def db_runtime(text: str) -> Runtime:
    """Take `jail` or `host`."""
    return _runtime("db", text)


def _runtime(service: Service, text: str) -> Runtime:
    known = next((runtime for runtime in RUNTIMES[service] if runtime == text), None)
    if known is None:
        raise RefusedValueError(
            f"{quoted(text)} is no way to run {service}", hint=f"write {' or '.join(RUNTIMES[service])}"
        )
    return known


def host_path(text: str) -> str:
    """Take the path of a file or folder on a host that a jail is given: it comes to stand in an fstab(5)."""
    parts = text.split("/")[1:]
    if not re.fullmatch(r"(/[A-Za-z0-9._@+-]+)+", text) or ".." in parts or "." in parts:
        raise RefusedValueError(
            f"{quoted(text)} is no path that a jail can be given",
            hint="write it from / on, with letters, digits and . _ - + @ only",
        )
    for kept in _NOT_FOR_JAILS:
        if f"{text}/".startswith(f"{kept}/"):
            raise RefusedValueError(
                f"{text} lies in {kept}, which no jail is given", hint="put it into a folder of its own elsewhere"
            )
    return text


def ollama_model(text: str) -> str:
    """Take the name of a model as ollama has it: `qwen3:8b`."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]*(:[A-Za-z0-9][A-Za-z0-9._-]*)?", text):
        raise RefusedValueError(f"{quoted(text)} is no name of a model", hint="write it as ollama has it: qwen3:8b")
    return text


def service(text: str) -> Service:
    """Take the name of a service."""
    if text not in SERVICES:
        raise RefusedValueError(f"{quoted(text)} is no service", hint=closest(text, SERVICES))
    return text


def service_list(text: str) -> tuple[Service, ...]:
    """Take names of services with commas or spaces between them, each once."""
    services = tuple(service(word) for word in re.split(r"[,\s]+", text) if word)
    if not services:
        raise RefusedValueError("names no service", hint=f"write some of {', '.join(SERVICES)}")
    for _, again in duplicates(services):
        raise RefusedValueError(f"{again} is there twice", hint="keep one of them")
    return services


def isolation(text: str) -> Isolation:
    """Take `open` or `routed`."""
    if text == "strict":
        raise RefusedValueError("'strict' is not built yet", hint="write routed, or open")
    if text not in _ISOLATIONS:
        raise RefusedValueError(f"{quoted(text)} is no isolation", hint="write routed, or open")
    return text


def become(text: str) -> Become:
    """Take `none`, `sudo` or `doas`."""
    if text not in _BECOMES:
        raise RefusedValueError(f"{quoted(text)} is no way to become root", hint="write none, sudo or doas")
    return text


def bridge(text: str) -> str:
    """Take the name of a bridge, such as warden0."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*[0-9]", text) or len(text) > _INTERFACE_NAME_MAX:
        raise RefusedValueError(
            f"{quoted(text)} is no name for a bridge",
            hint=f"write letters and a number after them, at most {_INTERFACE_NAME_MAX} characters, such as warden0",
        )
    return text


def external_interface(text: str) -> str:
    """Take `auto`, or the name of an interface of the host."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.]*", text) or len(text) > _INTERFACE_NAME_MAX:
        raise RefusedValueError(
            f"{quoted(text)} is no name of an interface", hint="write auto, or a name such as vtnet0"
        )
    return text


def domain(text: str) -> str:
    """Take a DNS domain."""
    label = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    if not re.fullmatch(rf"{label}(\.{label})*", text) or len(text) > 253:
        raise RefusedValueError(f"{quoted(text)} is no domain", hint="write it as home.arpa")
    return text


def release(text: str) -> str:
    """Take a release as `bastille bootstrap` names it."""
    if re.fullmatch(r"[0-9]+\.[0-9]+-(RELEASE|STABLE|CURRENT|RC[1-9]|BETA[1-9])", text):
        return text
    patched = re.fullmatch(r"([0-9]+\.[0-9]+-RELEASE)-p[0-9]+", text)
    if patched:
        raise RefusedValueError(f"{text} names a patch level", hint=f"write {patched[1]}: jails follow their release")
    raise RefusedValueError(f"{quoted(text)} is no FreeBSD release", hint="write it as 15.1-RELEASE")


def user(text: str) -> str:
    """Take the name of a user, as pw(8) allows it."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", text) or len(text) > _USER_NAME_MAX:
        raise RefusedValueError(
            f"{quoted(text)} is no name of a user",
            hint=f"write letters, digits, '_', '-' and '.', a letter first, at most {_USER_NAME_MAX}",
        )
    return text


def host_name(text: str) -> str:
    """Take the name that a spec gives a host."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text):
        raise RefusedValueError(f"{quoted(text)} is no name for a host", hint="write letters, digits, '-', '_' and '.'")
    return text


def variable_name(text: str) -> str:
    """Take the name of an environment variable, as sh allows it."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise RefusedValueError(
            f"{quoted(text)} is no name of a variable", hint="write letters, digits and '_', no digit first"
        )
    return text


def language_tag(text: str) -> str:
    """Take a BCP 47 tag, such as sl-SI. Whether anyone speaks it is not checked."""
    if re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*", text):
        return text
    guess = text.partition(".")[0].replace("_", "-")
    example = guess if re.fullmatch(r"[a-z]{2,3}-[A-Z]{2}", guess) else "sl-SI"
    raise RefusedValueError(f"{quoted(text)} is no BCP 47 language tag", hint=f"write it as {example}")


def system_locale(text: str) -> str:
    """Take a UTF-8 locale in the form of `locale -a`. Whether the host has it is for the facts to say."""
    if re.fullmatch(r"[A-Za-z]+(_[A-Za-z]+)*\.UTF-8(@[A-Za-z]+)?", text):
        return text
    # `sl_SI.utf8`, as Linux has it, is no locale of FreeBSD.
    guess = re.fullmatch(r"([a-z]{2,3})[_-]([A-Z]{2})(\.[A-Za-z0-9-]+)?", text)
    example = f"{guess[1]}_{guess[2]}.UTF-8" if guess else "sl_SI.UTF-8, or C.UTF-8"
    raise RefusedValueError(f"{quoted(text)} is no UTF-8 locale of FreeBSD", hint=f"write {example}")


def command(words: list[str]) -> list[str]:
    """Take a command and its arguments."""
    if not words:
        raise RefusedValueError("holds no command", hint='write the program and its arguments, or leave "command" out')
    one_line(words[0])
    for word in words[1:]:
        without_control(word)
    return words


def command_line(text: str) -> tuple[str, ...]:
    """Take a command and its arguments on one line, with quotes as sh has them; nothing is expanded."""
    try:
        words = shlex.split(text)
    except ValueError:
        raise RefusedValueError("has a quote or a backslash with nothing to end it", hint="end it") from None
    return tuple(command(words))


def jail_name(text: str) -> str:
    """Take the name of a jail as Clawdie has it, where other characters may stand between letters and digits."""
    if not re.search(r"[A-Za-z0-9]", text):
        raise RefusedValueError(f"{quoted(text)} holds no letter and no digit", hint="write letters and digits")
    return one_line(text)
