# SPDX-License-Identifier: BSD-2-Clause
"""The types of the fields that pydantic reads: each takes text and gives a checked value.

No `from __future__ import annotations` here and in the modules that use these: pydantic needs the annotations
themselves, at run time.
"""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticKnownError

from warden.spec import model, values

_T = TypeVar("_T")


def _reads(take: Callable[[str], _T]) -> BeforeValidator:
    def validate(given: object) -> _T:
        if not isinstance(given, str):
            raise PydanticKnownError("string_type")
        return take(given)

    return BeforeValidator(validate)


Text = Annotated[str, _reads(values.one_line)]
TextOrEmpty = Annotated[str, _reads(values.without_control)]
Network = Annotated[IPv4Network, _reads(values.network)]
PrivateNetwork = Annotated[IPv4Network, _reads(values.private_network)]
Subnet = Annotated[IPv4Network, _reads(values.subnet)]
SubnetBase = Annotated[IPv4Network, _reads(values.subnet_base)]
Address = Annotated[IPv4Address, _reads(values.address)]
Service = Annotated[model.Service, _reads(values.service)]
Isolation = Annotated[model.Isolation, _reads(values.isolation)]
Become = Annotated[model.Become, _reads(values.become)]
Bridge = Annotated[str, _reads(values.bridge)]
ExternalInterface = Annotated[str, _reads(values.external_interface)]
Domain = Annotated[str, _reads(values.domain)]
Release = Annotated[str, _reads(values.release)]
User = Annotated[str, _reads(values.user)]
HostName = Annotated[str, _reads(values.host_name)]
VariableName = Annotated[str, _reads(values.variable_name)]
LanguageTag = Annotated[str, _reads(values.language_tag)]
SystemLocale = Annotated[str, _reads(values.system_locale)]
Port = Annotated[int, AfterValidator(values.port)]
Command = Annotated[list[str], AfterValidator(values.command)]
Size = Annotated[int, _reads(values.size)]
Count = Annotated[int, AfterValidator(values.count)]
PostgresqlVersion = Annotated[int, AfterValidator(values.postgresql_version)]
GitRuntime = Annotated[model.Runtime, _reads(values.git_runtime)]
DbRuntime = Annotated[model.Runtime, _reads(values.db_runtime)]
HostPath = Annotated[str, _reads(values.host_path)]
OllamaModel = Annotated[str, _reads(values.ollama_model)]
JailName = Annotated[str, _reads(values.jail_name)]
ServiceList = Annotated[tuple[model.Service, ...], _reads(values.service_list)]
CommandLine = Annotated[tuple[str, ...], _reads(values.command_line)]
