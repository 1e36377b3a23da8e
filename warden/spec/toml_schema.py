# SPDX-License-Identifier: BSD-2-Clause
"""The tables and keys of `warden.toml`: what there is, of which type, and what stands where a key is left out.

These models are the boundary: they take what tomllib gives and never leave this package.
"""

from collections.abc import Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field

from warden.spec import fields, model


class Table(BaseModel):
    """A table of `warden.toml`: no keys but those named here, no conversion of types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class HostTable(Table):
    """`[hosts.NAME]`."""

    address: fields.Text
    become: fields.Become = "none"


class NetworkTable(Table):
    """`[network]`."""

    bridge: fields.Bridge = "warden0"
    pool: list[fields.PrivateNetwork] = list(model.DEFAULT_POOL)
    reserved: list[fields.Network] = []
    external_interface: fields.ExternalInterface = "auto"
    isolation: fields.Isolation | None = None
    domain: fields.Domain = "home.arpa"


class DefaultJailTable(Table):
    """`[defaults.jails.SERVICE]`."""

    release: fields.Release | None = None


class DefaultJailsTable(Table):
    """`[defaults.jails]`, with a field for each service."""

    git: DefaultJailTable = DefaultJailTable()
    cms: DefaultJailTable = DefaultJailTable()
    db: DefaultJailTable = DefaultJailTable()
    llama_cpp: DefaultJailTable = Field(default=DefaultJailTable(), alias="llama-cpp")
    ollama: DefaultJailTable = DefaultJailTable()


class DefaultsTable(Table):
    """`[defaults]`."""

    release: fields.Release = model.DEFAULT_RELEASE
    services: list[fields.Service] = []
    jails: DefaultJailsTable = DefaultJailsTable()


class LocaleTable(Table):
    """`locale = { ... }`."""

    display: fields.LanguageTag = model.Locale().display
    assistant: fields.LanguageTag = model.Locale().assistant
    system: fields.SystemLocale = model.Locale().system


class LlmTable(Table):
    """`llm = { ... }`."""

    shared_with: fields.Text | None = None


class JailTable(Table):
    """`[agents.NAME.jails.SERVICE]`; whether the name is one that Bastille takes is not checked here."""

    name: fields.Text | None = None
    address: fields.Address | None = None
    release: fields.Release | None = None


class PortJailTable(JailTable):
    """`[agents.NAME.jails.SERVICE]` for a service whose port a pf rule must name."""

    port: fields.Port | None = None


class JailsTable(Table):
    """`[agents.NAME.jails]`, with a field for each service."""

    git: JailTable = JailTable()
    cms: JailTable = JailTable()
    db: JailTable = JailTable()
    llama_cpp: PortJailTable = Field(default=PortJailTable(), alias="llama-cpp")
    ollama: PortJailTable = PortJailTable()


class AgentTable(Table):
    """`[agents.NAME]`."""

    host: fields.Text | None = None
    display_name: fields.Text | None = None
    subnet: fields.Subnet | None = None
    services: list[fields.Service] | None = None
    command: fields.Command | None = None
    user: fields.User | None = None
    workdir: fields.Text | None = None
    locale: LocaleTable = LocaleTable()
    llm: LlmTable = LlmTable()
    protected: bool = False
    jails: JailsTable = JailsTable()
    env: dict[fields.VariableName, fields.TextOrEmpty] = {}


class TomlFile(Table):
    """The whole of `warden.toml`. The names of agents are not checked here."""

    hosts: dict[fields.HostName, HostTable] = {}
    network: NetworkTable = NetworkTable()
    defaults: DefaultsTable = DefaultsTable()
    agents: dict[str, AgentTable] = {}


def known_keys(table: Sequence[str]) -> list[str]:
    """Give the keys that there are in the table at these keys: none where each key is a name of the operator's."""
    at: Any = TomlFile
    for key in table:
        at = _inside(at, key)
    return [field.alias or name for name, field in at.model_fields.items()] if _is_table(at) else []


def _inside(at: Any, key: str) -> Any:
    if get_origin(at) is dict:
        return get_args(at)[1]
    inside = at.model_fields.items() if _is_table(at) else ()
    return next((field.annotation for name, field in inside if key in (name, field.alias)), None)


def _is_table(at: Any) -> bool:
    return isinstance(at, type) and issubclass(at, Table)
