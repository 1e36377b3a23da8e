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


class JailLimitsTable(Table):
    """`limits = { ... }` of a jail."""

    memory: fields.Size | None = None
    processes: fields.Count | None = None
    cpu: fields.Count | None = None


class LimitsTable(JailLimitsTable):
    """`limits = { ... }` of an agent."""

    quota: fields.Size | None = None


class JailDefaults(Table):
    """`[defaults.jails.SERVICE]`, what all services have."""

    release: fields.Release | None = None
    port: fields.Port | None = None
    limits: JailLimitsTable = JailLimitsTable()


class GitDefaults(JailDefaults):
    """`[defaults.jails.git]`."""

    runtime: fields.GitRuntime | None = None


class DbDefaults(JailDefaults):
    """`[defaults.jails.db]`."""

    version: fields.PostgresqlVersion | None = None
    runtime: fields.DbRuntime | None = None


class LlamaCppDefaults(JailDefaults):
    """`[defaults.jails.llama-cpp]`."""

    model: fields.HostPath | None = None
    parallel: fields.Count | None = None
    context: fields.Count | None = None


class OllamaDefaults(JailDefaults):
    """`[defaults.jails.ollama]`."""

    models: list[fields.OllamaModel] | None = None


class DefaultJailsTable(Table):
    """`[defaults.jails]`, with a field for each service."""

    git: GitDefaults = GitDefaults()
    cms: JailDefaults = JailDefaults()
    db: DbDefaults = DbDefaults()
    llama_cpp: LlamaCppDefaults = Field(default=LlamaCppDefaults(), alias="llama-cpp")
    ollama: OllamaDefaults = OllamaDefaults()


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


class JailTable(JailDefaults):
    """`[agents.NAME.jails.SERVICE]`; whether the name is one that Bastille takes is not checked here."""

    name: fields.Text | None = None
    address: fields.Address | None = None


class GitTable(JailTable, GitDefaults):
    """`[agents.NAME.jails.git]`."""


class CmsTable(JailTable):
    """`[agents.NAME.jails.cms]`; a webroot is one agent's own."""

    webroot: fields.HostPath | None = None


class DbTable(JailTable, DbDefaults):
    """`[agents.NAME.jails.db]`."""


class LlamaCppTable(JailTable, LlamaCppDefaults):
    """`[agents.NAME.jails.llama-cpp]`."""


class OllamaTable(JailTable, OllamaDefaults):
    """`[agents.NAME.jails.ollama]`."""


class JailsTable(Table):
    """`[agents.NAME.jails]`, with a field for each service."""

    git: GitTable = GitTable()
    cms: CmsTable = CmsTable()
    db: DbTable = DbTable()
    llama_cpp: LlamaCppTable = Field(default=LlamaCppTable(), alias="llama-cpp")
    ollama: OllamaTable = OllamaTable()


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
    limits: LimitsTable = LimitsTable()
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
