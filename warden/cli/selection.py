# SPDX-License-Identifier: BSD-2-Clause
"""Which spec, which hosts, which agents: what the options of most commands say together."""

from __future__ import annotations

import getpass
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

import click

from warden.cli.errors import CommandLineError
from warden.cli.files import current_folder, is_there, owner_of, read_text
from warden.engine.lock import Holder
from warden.host.address import open_host
from warden.resources.spec_check import check_spec
from warden.spec.dotenv_spec import read_env
from warden.spec.model import NetworkSpec
from warden.spec.settings import read_settings
from warden.spec.toml_spec import read_toml

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from warden.host.address import Become
    from warden.host.command import Host
    from warden.spec.model import Spec

TOML_NAME = "warden.toml"
ENV_NAME = ".env"
LOCAL = "local"
ADDRESSES = "local, ssh://[user@]host[:port], or fake:PATH"


class NoSpecError(CommandLineError):
    """No spec is named, and none lies in this folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One host to work on, and the spec's agents that belong there."""

    label: str
    address: str
    folder: Path
    agents: tuple[str, ...]
    become: Become = "none"

    def open(self, ask: Callable[[str], str | None] | None = None) -> Host:
        """Connect to it; `ask` asks the operator for the passphrase of a key."""
        return open_host(self.address, folder=self.folder, become=self.become, ask=ask)


def spec_path(file: Path | None, env_file: Path | None) -> Path:
    """Give the path of the spec: what the options say, else the environment, else what lies in this folder."""
    settings = read_settings()
    if file is not None and env_file is not None:
        raise CommandLineError("-f and --env-file are two specs", hint="name one of them")
    for named in (file, env_file, settings.file, settings.env_file):
        if named is not None:
            return named
    for name in (TOML_NAME, ENV_NAME):
        if is_there(Path(name)):
            return Path(name)
    raise NoSpecError(
        f"there is no {TOML_NAME} and no {ENV_NAME} here", hint="begin one with: warden init, or warden init --env"
    )


def read_spec(path: Path) -> Spec:
    """Read a spec: a `.toml` by its name, anything else as a `.env`; raises SpecError with all that is wrong in it."""
    text = read_text(path)
    directory = path.absolute().parent
    if path.suffix == ".toml":
        spec = read_toml(path, text, directory=directory)
    else:
        spec = read_env(path, text, directory=directory, owner=owner_of(directory))
    check_spec(spec)
    return spec


def spec_targets(spec: Spec, host: str | None, agents: Sequence[str]) -> list[Target]:
    """Give the hosts that a command is about, each with its agents; raises CommandLineError for unknown names."""
    unknown = sorted(set(agents) - set(spec.agents))
    if unknown:
        known = ", ".join(spec.agents) or "none"
        raise CommandLineError(f"{spec.path} has no agent {unknown[0]}", hint=f"its agents: {known}")
    chosen = tuple(name for name in spec.agents if not agents or name in agents)
    named = host or read_settings().host
    if named is not None and named not in spec.hosts:
        return [Target(label=named, address=_address(named, spec), folder=current_folder(), agents=chosen)]
    targets = targets_of(spec, chosen)
    if spec.hosts:
        targets = [target for target in targets if named in (None, target.label)]
    if not agents:
        return targets
    elsewhere = sorted(set(agents) - {name for target in targets for name in target.agents})
    if elsewhere:
        raise CommandLineError(
            f"agent {elsewhere[0]} is not on {named}, but on {spec.agents[elsewhere[0]].host}",
            hint="name its host, or leave --host out",
        )
    return [target for target in targets if target.agents]


def targets_of(spec: Spec, agents: Sequence[str]) -> list[Target]:
    """Give the hosts of a spec, each with those of the agents that belong there; this machine where it names none."""
    if not spec.hosts:
        return [Target(label=LOCAL, address=LOCAL, folder=current_folder(), agents=tuple(agents))]
    return [
        Target(
            label=entry.name,
            address=entry.address,
            become=entry.become,
            folder=spec.path.absolute().parent,
            agents=tuple(name for name in agents if spec.agents[name].host in (None, entry.name)),
        )
        for entry in spec.hosts.values()
    ]


def host_targets(
    file: Path | None, env_file: Path | None, host: str | None, *, network_needed: bool = True
) -> tuple[list[Target], NetworkSpec]:
    """Give the hosts for a command that needs no spec, but takes hosts and network from one that is there.

    Where a host's address is given and the network is not needed, no spec is read: it may be as broken as it likes.
    """
    named = host or read_settings().host
    given = Target(label=named, address=named, folder=current_folder(), agents=()) if _is_address(named) else None
    if given is not None and not network_needed:
        return [given], NetworkSpec()
    try:
        spec = read_spec(spec_path(file, env_file))
    except NoSpecError:
        if given is None and named is not None:
            raise
        return [given or Target(label=LOCAL, address=LOCAL, folder=current_folder(), agents=())], NetworkSpec()
    return spec_targets(spec, host, ()), spec.network


def holder(what: str) -> Holder:
    """Say who is about to change a host, for those who find its lock taken."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "somebody"
    return Holder(who=f"{user}@{platform.node()}", what=what, since=datetime.now(UTC).isoformat(timespec="seconds"))


def _address(named: str, spec: Spec) -> str:
    if not _is_address(named):
        known = f"its hosts: {', '.join(spec.hosts)}; or an address: " if spec.hosts else "write "
        raise CommandLineError(
            f"{spec.path} has no host {named}, and that is no address either", hint=f"{known}{ADDRESSES}"
        )
    return named


def _is_address(named: str | None) -> TypeGuard[str]:
    return named is not None and (named == LOCAL or ":" in named)


file_option = click.option("-f", "--file", type=click.Path(path_type=Path), help="The spec, a warden.toml.")
env_file_option = click.option("--env-file", type=click.Path(path_type=Path), help="The spec, a .env of one agent.")
host_option = click.option("--host", help=f"A host by its name in the spec, or an address: {ADDRESSES}.")
agent_option = click.option("--agent", "agents", multiple=True, help="Only this agent; may be repeated.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, as docs/json.md describes it.")
yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
confirm_option = click.option(
    "--confirm", is_flag=True, help="Ask whether you are still there before new rules of pf are made to last."
)
