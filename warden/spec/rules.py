# SPDX-License-Identifier: BSD-2-Clause
"""What must be true of several values together, in `warden.toml` and `.env` alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from ipaddress import IPv4Address, IPv4Network

    from warden.spec.model import Service

_LLM_SLOT = 4
"""Both servers of local models have this address in an agent's /24, unless the operator says otherwise."""


def one_address_for_two_llms(
    services: Sequence[Service],
    subnet: IPv4Network | None,
    *,
    ollama: IPv4Address | None,
    llama_cpp: IPv4Address | None,
) -> bool:
    """Tell whether both are asked for and would get one address; None is an address left to Warden."""
    if not {"ollama", "llama-cpp"} <= set(services):
        return False
    default = subnet[_LLM_SLOT] if subnet else None
    return (ollama or default) == (llama_cpp or default)


def duplicates(services: Sequence[Service]) -> Iterator[tuple[int, Service]]:
    """Give the index and name of each service that stood in the list before."""
    for index, service in enumerate(services):
        if service in services[:index]:
            yield index, service
