# SPDX-License-Identifier: BSD-2-Clause
"""Names of agents and of their jails: what can be one, and what an agent's name becomes elsewhere."""

from __future__ import annotations

import hashlib
import re
from itertools import pairwise
from typing import TYPE_CHECKING

from warden.network.errors import NetworkError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

AGENT_NAME = re.compile(r"[a-z]([a-z0-9]|-[a-z0-9])*")
AGENT_NAME_MAX = 24
_SHOWN_MAX = 60
RESERVED_AGENT_NAMES = frozenset({"system", "all", "on", "off", "boot", "depend", "priority"})

_OF_THE_HOST = {
    **dict.fromkeys(
        (
            *("firewall", "gateway", "ipv6-gateway", "dummynet", "clear-tmp", "crashinfo", "kern-securelevel"),
            *("nfs-client", "nfs-server", "nfsv4-server", "rpc-lockd", "rpc-statd", "pf-fallback-rules", "warden-pf"),
            *("sendmail-submit", "sendmail-outbound", "sendmail-msp-queue", "linux-mounts", "nis-client", "nis-server"),
        ),
        "would switch on something of the host's: its NAME_enable stands in rc.conf",
    ),
    **dict.fromkeys(("auth", "console", "debug", "init"), "would write into a log of the host's in /var/log"),
    "syslog": "would take the pid file of syslogd",
    "warden": "would write into Warden's own log, /var/log/warden.log",
    "journal": "would have its data where Warden's own journal is, in /var/db/warden",
    "kept": "would have its data where those of agents that are gone are kept, in <pool>/warden/kept",
}
"""Names that no rc.d script and no user of FreeBSD has, and that an agent cannot have all the same."""

_OF_POSTGRESQL = {
    "postgres": "would be the superuser of PostgreSQL: an agent's role has its name",
    **dict.fromkeys(("public", "none"), "cannot be the name of a role of PostgreSQL, and an agent's role has its name"),
}
_OF_POSTGRESQL_PREFIX = "pg-"

JAIL_NAME_MAX = 11
"""A longer one loses its interface name: `e0a_NAME` has 15 characters at most (IFNAMSIZ)."""

_JAIL_SUFFIXES = {"git": "git", "cms": "cms", "db": "db", "llama-cpp": "llm", "ollama": "llm"}
_WORKER = re.compile(r"w[0-9]{2}")
_HASH_LENGTH = 5
_LETTERS_AND_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"

# `bastille start ALL` is every jail, in any case; the others are words of each jail's settings.conf, which
# `bastille stop` searches for a jail's name.
_RESERVED_JAIL_NAMES = frozenset({"all", "on", "off", "boot", "depend", "priority"})
# `bastille destroy` takes these for releases.
_RELEASE_LIKE = re.compile(r"debian1[0-2]", re.IGNORECASE)


def check_agent_name(name: str) -> None:
    """Raise NetworkError unless `name` can be an agent's: rc.d script, jail name prefix, tmux session."""
    reason = _agent_name_refusal(name)
    if reason is None:
        return
    better = re.sub(r"[^a-z0-9]+", "-", name.lower()).lstrip("-0123456789")[:AGENT_NAME_MAX].strip("-")
    if better and better != name and _agent_name_refusal(better) is None:
        hint = f"write {better!r}"
    else:
        hint = "write another name: small letters, digits and single hyphens, a letter first"
    shown = name if len(name) <= _SHOWN_MAX else f"{name[:_SHOWN_MAX]}..."
    raise NetworkError(f"agent name {shown!r} {reason}", hint=hint)


def _agent_name_refusal(name: str) -> str | None:
    taken = RESERVED_AGENT_NAMES | _OF_THE_HOST.keys() | _OF_POSTGRESQL.keys()
    is_free = name not in taken and not name.startswith(_OF_POSTGRESQL_PREFIX)
    if AGENT_NAME.fullmatch(name) and len(name) <= AGENT_NAME_MAX and is_free:
        return None
    refusals = (
        (not name, "is empty"),
        (name in RESERVED_AGENT_NAMES, "is a reserved word"),
        (name in _OF_THE_HOST, _OF_THE_HOST.get(name, "")),
        (name in _OF_POSTGRESQL, _OF_POSTGRESQL.get(name, "")),
        (re.search(r"[A-Z]", name), "has capital letters"),
        (re.search(r"[^a-z0-9-]", name), "has other characters than letters, digits and hyphens"),
        (not re.match(r"[a-z]", name), "does not begin with a letter"),
        (not AGENT_NAME.fullmatch(name), "has a hyphen that is not between two letters or digits"),
        (len(name) > AGENT_NAME_MAX, f"has {len(name)} characters; {AGENT_NAME_MAX} is the most"),
        (True, "would be a role pg_..., and PostgreSQL keeps those names to itself"),
    )
    return next(reason for holds, reason in refusals if holds)


def rc_name(agent: str) -> str:
    """Give the agent's name as rc.subr needs it in `name` and `rcvar`: sh variables allow no hyphen."""
    return agent.replace("-", "_")


def env_suffix(agent: str) -> str:
    """Give the agent's name as the end of an environment variable: what `tr a-z- A-Z_` makes of it."""
    return rc_name(agent).upper()


def default_jail_name(agent: str, service: str) -> str:
    """Give the name of the agent's jail for a service, or for a worker (`w01`), at most 11 characters.

    It is the agent's letters and digits plus `git`, `cms`, `db`, `llm` or `w01`. Where that is too long, as much
    of the agent part as fits is followed by five letters or digits that stand for the agent's whole name: its
    SHA-256, read as a number, modulo 36^5 and in base 36. So `research-and-writing` has `res` + hash + `git`.

    Raises NetworkError for a service that has no jail.
    """
    suffix = service if _WORKER.fullmatch(service) else _JAIL_SUFFIXES.get(service)
    if suffix is None:
        raise NetworkError(
            f"service {service!r} has no jail of its own", hint=f"services are {', '.join(_JAIL_SUFFIXES)}"
        )
    stem = agent.replace("-", "")
    room = JAIL_NAME_MAX - len(suffix)
    if len(stem) > room:
        stem = stem[: room - _HASH_LENGTH] + _hash(agent)
    return stem + suffix


def _hash(agent: str) -> str:
    number = int.from_bytes(hashlib.sha256(agent.encode()).digest(), "big")
    digits = []
    for _ in range(_HASH_LENGTH):
        number, digit = divmod(number, len(_LETTERS_AND_DIGITS))
        digits.append(_LETTERS_AND_DIGITS[digit])
    return "".join(reversed(digits))


def bastille_refusal(name: str) -> str | None:
    """Say why Bastille 1.4.4 cannot have a VNET jail of that name, or give None where it can.

    `bastille create` itself refuses special characters, `-`, `_` and digits only; a jail with one of the other
    names here would be taken for something else by `start`, `stop` or `destroy`.
    """
    hyphens = " or ".join(f"'{character}'" for character in "-_" if character in name)
    refusals = (
        (not name, "a jail needs a name"),
        (re.search(r"[^A-Za-z0-9_-]", name), "Bastille takes only letters and digits in a jail's name"),
        (hyphens, f"Bastille takes no {hyphens} in a VNET jail's name"),
        (re.fullmatch(r"[0-9]+", name), "Bastille takes a name of digits only for the number of a jail"),
        (name.lower() in _RESERVED_JAIL_NAMES, "Bastille has a use of its own for that word"),
        (_RELEASE_LIKE.fullmatch(name), "Bastille takes it for the name of a release"),
    )
    return next((reason for holds, reason in refusals if holds), None)


def bastille_form(name: str) -> str:
    """Give the name to write instead of one that Bastille refuses: its letters and digits, small."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def check_jail_names(named: Iterable[tuple[str, str]]) -> None:
    """Raise NetworkError where a jail's name equals another's or is the beginning of it.

    `named` are jail names, each with its owner in words (`git of agent atlas`). Bastille takes a name that no
    jail has for the beginning of one that has it, so a command for a jail that is gone would hit the longer one.
    Names that differ in capital letters, hyphens and the like only count as equal.
    """
    jails = sorted((bastille_form(name), name, owner) for name, owner in named)
    # Whatever sorts between a name and one that begins with it begins with it too: neighbours are enough.
    for (form, name, owner), (next_form, next_name, next_owner) in pairwise(jails):
        if not next_form.startswith(form):
            continue
        relation = "are the same" if form == next_form else "begin alike, and Bastille takes the one for the other"
        better = _free_jail_name(next_form, [other for other, _, _ in jails])
        hint = f"write another jail name for {next_owner}" + (f", such as {better!r}" if better else "")
        raise NetworkError(
            f"jail names {name!r} ({owner}) and {next_name!r} ({next_owner}) {relation}",
            hint=f"{hint}: letters and digits, at most {JAIL_NAME_MAX}, not the beginning of another jail's name",
        )


def _free_jail_name(form: str, others: Sequence[str]) -> str | None:
    stem = form[: JAIL_NAME_MAX - 1]
    # Shorter by one each time: a name made longer would still begin with the one that is in the way.
    candidates = (f"{stem[:length]}{digit}" for length in range(len(stem), 0, -1) for digit in range(2, 10))
    for candidate in candidates:
        alike = any(other.startswith(candidate) or candidate.startswith(other) for other in others)
        if not alike and bastille_refusal(candidate) is None:
            return candidate
    return None
