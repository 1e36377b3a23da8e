# SPDX-License-Identifier: BSD-2-Clause
"""The keys of a `.env` that mean something to Warden; all others are the agent's own variables."""

import difflib

from pydantic import BaseModel, ConfigDict

from warden.spec import fields, model


class DotenvKeys(BaseModel):
    """Clawdie's keys, each under its own name in capital letters."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=str.upper)

    agent_name: fields.Text
    assistant_name: fields.Text | None = None
    agent_subnet_base: fields.SubnetBase | None = None
    agent_services: fields.ServiceList | None = None
    agent_command: fields.CommandLine | None = None
    agent_user: fields.User | None = None
    warden_gateway: fields.Address | None = None
    warden_subnet: fields.Subnet | None = None
    warden_git_ip: fields.Address | None = None
    warden_cms_ip: fields.Address | None = None
    warden_db_ip: fields.Address | None = None
    warden_ollama_ip: fields.Address | None = None
    warden_llama_cpp_ip: fields.Address | None = None
    git_jail_name: fields.JailName | None = None
    cms_jail_name: fields.JailName | None = None
    db_jail_name: fields.JailName | None = None
    ollama_jail_name: fields.JailName | None = None
    llama_cpp_jail_name: fields.JailName | None = None
    db_runtime: fields.DbRuntime | None = None
    display_locale: fields.LanguageTag = model.Locale().display
    assistant_locale: fields.LanguageTag = model.Locale().assistant
    system_locale: fields.SystemLocale = model.Locale().system


KEYS = frozenset(name.upper() for name in DotenvKeys.model_fields)

_ALIKE = 0.9


def closest_key(word: str) -> str | None:
    """Give the key of Warden's that a variable's name was probably meant to be; None where it is one, or like none."""
    if word in KEYS:
        return None
    close = difflib.get_close_matches(word.upper(), sorted(KEYS), n=1, cutoff=_ALIKE)
    return close[0] if close else None
