# SPDX-License-Identifier: BSD-2-Clause
"""The registry on the host: one file per agent, and one for the host as a whole."""

from __future__ import annotations

import tomllib
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Any

from warden.facts.errors import FactsError
from warden.facts.model import HostDatabase, HostRecord, RegisteredAgent, RegisteredJail, RegisteredWorker
from warden.spec.model import Limits

REGISTRY = "/usr/local/etc/warden/agents"
HOST_RECORD = "/usr/local/etc/warden/host.toml"


def parse_agent(path: str, text: str) -> RegisteredAgent:
    """Give the agent that a file of the registry describes; raises FactsError, naming the file, where it does not."""
    table = _table(path, text)
    try:
        jails = {
            service: RegisteredJail(
                service=service,
                name=jail["name"],
                address=IPv4Address(jail["address"]),
                release=jail["release"],
                port=jail.get("port"),
                version=jail.get("version"),
                runtime=jail.get("runtime"),
            )
            for service, jail in table.get("jails", {}).items()
        }
        workers = {
            number: RegisteredWorker(
                name=worker["name"],
                address=IPv4Address(worker["address"]),
                release=worker["release"],
                created=worker["created"],
                limits=Limits(
                    memory=worker.get("memory"),
                    processes=worker.get("processes"),
                    cpu=worker.get("cpu"),
                    quota=worker.get("quota"),
                ),
            )
            for number, worker in table.get("workers", {}).items()
        }
        run = table.get("service", {})
        return RegisteredAgent(
            name=table["name"],
            display_name=table["display_name"],
            subnet=IPv4Network(table["subnet"]),
            gateway=IPv4Address(table["gateway"]),
            jails=jails,
            user=run.get("user"),
            command=tuple(run.get("command", ())),
            workdir=run.get("workdir"),
            system_locale=table.get("system_locale"),
            shares_llm_of=table.get("shares_llm_of"),
            protected=bool(table.get("protected", False)),
            host_db=HostDatabase(**table["host_db"]) if "host_db" in table else None,
            workers=workers,
        )
    except (KeyError, TypeError, AttributeError, AddressValueError, ValueError) as error:
        raise _broken(path, str(error)) from error


def parse_host_record(text: str) -> HostRecord:
    """Give what Warden changed for all agents; raises FactsError where the file does not say."""
    table = _table(HOST_RECORD, text)
    try:
        before = {name: value or None for name, value in table.get("rc_conf_before", {}).items()}
        return HostRecord(isolation=table.get("isolation"), rc_conf_before=before)
    except (TypeError, AttributeError) as error:
        raise _broken(HOST_RECORD, str(error)) from error


def _table(path: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _broken(path, str(error)) from error


def _broken(path: str, why: str) -> FactsError:
    return FactsError(
        f"the registry's file {path} is not understood: {why}",
        hint="it is Warden's own: put back what was changed by hand, or move the file away",
    )
