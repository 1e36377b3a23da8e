# SPDX-License-Identifier: BSD-2-Clause
"""Whether a service jail serves, as its inside tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from warden.facts.inside.ask import ON_HOST
from warden.facts.model import Inside
from warden.spec.model import DEFAULT_POSTGRESQL

if TYPE_CHECKING:
    from warden.facts.model import Facts, HostDatabase, RegisteredAgent, RegisteredJail

NO_LOGIN = "the agent cannot log in with its password"
"""What is wrong with a database that answers, and not to the agent."""
NO_MODEL = "no model"
"""What a server of local models says that has been given none: it was set up as far as that goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How a service is: `healthy`, `warning` (nothing is wrong but what `why` says), `ill` or `down`.

    `version` is that of its package, None where it is not installed.
    """

    state: Literal["healthy", "warning", "ill", "down"]
    version: str | None = None
    why: str = ""


def serving(jail: RegisteredJail, facts: Facts) -> Serving:
    """Give how the service of a jail is."""
    if jail.name not in facts.running_jails:
        return Serving(state="down", why="its jail does not run")
    inside = facts.inside.get(jail.name, Inside(ill="its jail does not answer"))
    version = inside.packages.get(_package(jail))
    if version is None and jail.release not in facts.releases_with_pkg:
        return Serving(state="warning", why=f"empty: {jail.release} has no pkg(8) to install anything with")
    ill = inside.ill or (_no_login(inside) if jail.service == "db" else "")
    without_model = jail.service == "ollama" and not any(item.startswith("model ") for item in inside.items)
    if ill == NO_MODEL or (without_model and not ill):
        return Serving(state="warning", version=version, why=NO_MODEL)
    return Serving(state="ill" if ill else "healthy", version=version, why=ill)


def host_serving(agent: RegisteredAgent, db: HostDatabase, facts: Facts) -> Serving:
    """Give how the host's PostgreSQL is for an agent that has its databases there."""
    inside = facts.inside.get(f"{ON_HOST}{agent.name}", Inside(ill="it does not answer"))
    version = inside.packages.get(f"postgresql{db.version}-server")
    ill = inside.ill or _no_login(inside)
    return Serving(state="ill" if ill else "healthy", version=version, why=ill)


def _no_login(inside: Inside) -> str:
    """Say that an agent cannot log in to its databases, though the server answers; '' where it can."""
    return "" if "login works" in inside.items else NO_LOGIN


def _package(jail: RegisteredJail) -> str:
    """Give the package whose version is the service's."""
    if jail.service == "git":
        return "forgejo" if jail.runtime == "forgejo" else "git"
    names = {"db": f"postgresql{jail.version or DEFAULT_POSTGRESQL}-server", "cms": "nginx"}
    return names.get(jail.service, jail.service)
