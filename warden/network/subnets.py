# SPDX-License-Identifier: BSD-2-Clause
"""Which /24 an agent gets: the free ones of a pool, and what stands in the way of the others."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from warden.network.errors import NetworkError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

PRIVATE = (IPv4Network("10.0.0.0/8"), IPv4Network("172.16.0.0/12"), IPv4Network("192.168.0.0/16"))
"""The private ranges of RFC 1918."""

_SIZE = 256
_NAMED_AT_MOST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A range that no agent can have; `what` is for people: `agent clawdie`, `route 10.9.0.0/16 via vtnet0`."""

    network: IPv4Network
    what: str

    def __str__(self) -> str:
        return f"{self.what} ({self.network})"


def overlapping(subnet: IPv4Network, taken: Iterable[Taken]) -> tuple[Taken, ...]:
    """Give those of `taken` that share an address with `subnet`, in their order."""
    return tuple(other for other in taken if other.network.overlaps(subnet))


def check_subnet(network: IPv4Network) -> None:
    """Raise NetworkError unless `network` is a private /24 (RFC 1918), which is what an agent has."""
    if not any(network.subnet_of(private) for private in PRIVATE):
        ranges = ", ".join(str(private) for private in PRIVATE)
        raise NetworkError(f"subnet {network} is not private", hint=f"write a /24 inside one of {ranges} (RFC 1918)")
    if network.prefixlen != 24:
        start = int(network.network_address) // _SIZE * _SIZE
        raise NetworkError(
            f"subnet {network} holds {network.num_addresses} addresses; an agent has a /24, which holds {_SIZE}",
            hint=f"write a /24, such as {IPv4Network((start, 24))}",
        )


def first_free(pool: Sequence[IPv4Network], taken: Sequence[Taken]) -> IPv4Network:
    """Give the first /24 of the pool's ranges, in their order, that overlaps nothing taken.

    Raises NetworkError, naming the pool and what fills it, when there is none.
    """
    free = next(_free(pool, _Ranges(other.network for other in taken)), None)
    if free is None:
        raise _exhausted(pool, taken)
    return free


def allocate(
    wanted: Mapping[str, IPv4Network | None], pool: Sequence[IPv4Network], taken: Sequence[Taken]
) -> dict[str, IPv4Network]:
    """Give each agent of `wanted` its subnet: the one it asks for, or for None the next free /24 of the pool.

    Those that are asked for go first, whatever the order, so that none of them is given to another agent. The
    result has the order of `wanted`. Raises NetworkError for a subnet that is no private /24, that overlaps
    something taken or another agent's, and for a pool that has not enough left.
    """
    explicit = {agent: subnet for agent, subnet in wanted.items() if subnet is not None}
    _check_explicit(explicit, taken)
    filled = [*taken, *(Taken(network=subnet, what=f"agent {agent}") for agent, subnet in explicit.items())]
    free = _free(pool, _Ranges(other.network for other in filled))
    allocated: dict[str, IPv4Network] = {}
    for agent, subnet in wanted.items():
        given = subnet or next(free, None)
        if given is None:
            others = [
                Taken(network=allocated[other], what=f"agent {other}") for other in allocated if other not in explicit
            ]
            raise _exhausted(pool, [*filled, *others], agent=agent)
        allocated[agent] = given
    return allocated


def _check_explicit(explicit: Mapping[str, IPv4Network], taken: Sequence[Taken]) -> None:
    ranges = _Ranges(other.network for other in taken)
    owners: dict[IPv4Network, str] = {}
    for agent, subnet in explicit.items():
        try:
            check_subnet(subnet)
        except NetworkError as error:
            raise NetworkError(f"agent {agent}: {error}", hint=error.hint) from None
        if subnet in owners:
            raise NetworkError(
                f"agents {owners[subnet]} and {agent} both ask for subnet {subnet}",
                hint=f"write another /24 for one of them, or leave the subnet of {agent} out to get a free one",
            )
        owners[subnet] = agent
        if ranges.end_of_overlap(int(subnet.network_address), int(subnet.broadcast_address)) is not None:
            raise NetworkError(
                f"subnet {subnet} of agent {agent} overlaps {_named(overlapping(subnet, taken))}",
                hint="write another private /24, or leave the subnet out to get a free one",
            )


class _Ranges:
    """Networks merged into ranges that neither overlap nor touch, so that one search finds what is in the way."""

    def __init__(self, networks: Iterable[IPv4Network]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in sorted((int(each.network_address), int(each.broadcast_address)) for each in networks):
            if self._ends and start <= self._ends[-1] + 1:
                self._ends[-1] = max(self._ends[-1], end)
            else:
                self._starts.append(start)
                self._ends.append(end)

    def end_of_overlap(self, first: int, last: int) -> int | None:
        """Give the last address of the last range that shares an address with `first` to `last`, or None."""
        index = bisect_right(self._starts, last) - 1
        return self._ends[index] if index >= 0 and self._ends[index] >= first else None


def _free(pool: Iterable[IPv4Network], taken: _Ranges) -> Iterator[IPv4Network]:
    """Give the free /24s of the pool one after another, each once even where the pool's ranges overlap."""
    given: set[int] = set()
    for network in pool:
        start = -(-int(network.network_address) // _SIZE) * _SIZE
        while start + _SIZE - 1 <= int(network.broadcast_address):
            end = taken.end_of_overlap(start, start + _SIZE - 1)
            if end is None:
                if start not in given:
                    given.add(start)
                    yield IPv4Network((start, 24))
                start += _SIZE
            else:
                # The whole range that is in the way is skipped: a taken /9 costs one step.
                start = (end // _SIZE + 1) * _SIZE


def _exhausted(pool: Sequence[IPv4Network], taken: Iterable[Taken], *, agent: str = "") -> NetworkError:
    ranges = ", ".join(str(network) for network in pool) or "(empty)"
    fills = [other for other in taken if any(other.network.overlaps(network) for network in pool)]
    filled = f": taken by {_named(fills)}" if fills else ""
    whom = f" for agent {agent}" if agent else ""
    return NetworkError(
        f"no free /24 is left{whom} in the pool {ranges}{filled}",
        hint="add a private range to the pool of [network], or write a subnet for the agent",
    )


def _named(taken: Sequence[Taken]) -> str:
    words = ", ".join(str(other) for other in taken[:_NAMED_AT_MOST])
    return words if len(taken) <= _NAMED_AT_MOST else f"{words} and {len(taken) - _NAMED_AT_MOST} more"
