# SPDX-License-Identifier: BSD-2-Clause
"""The lines `pass`, `block`, `match`, `anchor`, `antispoof` and `scrub` of pf.conf(5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.host.fake.pf_clauses import (
    FilterOptions,
    FromTo,
    direction,
    family,
    filter_options,
    from_to,
    interface_name,
    interfaces,
    log_and_quick,
    protocols,
    tagged,
)
from warden.host.fake.pf_expand import Lists, expand
from warden.host.fake.pf_lexer import STRING
from warden.host.fake.pf_names import TCP
from warden.host.fake.pf_rules import Address, Rule
from warden.host.fake.pf_states import check_state_options, printed_state_options
from warden.host.fake.program import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from warden.host.fake.pf_options import OptionReader
    from warden.host.fake.pf_reader import Reader


def filter_rules(read: Reader, settings: OptionReader, begin: Callable[[], None]) -> list[Rule]:
    """Take a `pass`, `block` or `match` line; `begin` is called when all of it has been read."""
    action = read.take().kind
    answer, ttl = _block_answer(read, settings.block_policy) if action == "block" else ("", 0)
    where = direction(read)
    log, quick = log_and_quick(read)
    lists, of_family, options = _body(read)
    begin()
    state, state_options = _state(read, action, options, if_bound=settings.if_bound)
    flags, flag_set = options.flags or ("", "")
    if action == "pass" and state and options.flags is None and not options.fragment:
        flags, flag_set = "S", "SA"
    rule = Rule(
        "filter",
        action,
        answer=answer,
        ttl=ttl,
        direction=where,
        log=log,
        quick=quick,
        family=of_family,
        flags=flags,
        flag_set=flag_set,
        state=state,
        state_options=state_options,
        fragment=options.fragment,
        allow_options=options.allow_options,
        labels=tuple(options.labels),
        tag=options.tag,
        tagged=options.tagged,
        tagged_not=options.tagged_not,
    )
    return expand(read, rule, lists)


def _body(read: Reader) -> tuple[Lists, int, FilterOptions]:
    """Take what filter rules and anchors share: interface, family, protocol, addresses and options."""
    on = interfaces(read)
    of_family = family(read)
    lists = Lists(on, protocols(read), from_to(read))
    options = filter_options(read)
    lists.icmp = options.icmp
    if options.flags is not None and any(options.flags):
        if not set(options.flags[0]) <= set(options.flags[1]):
            read.refuse("flags always false")
        if lists.protocols and TCP not in lists.protocols:
            read.refuse("flags only apply to tcp")
    return lists, of_family, options


def _block_answer(read: Reader, policy: str) -> tuple[str, int]:
    if read.at("drop", "return"):
        return read.take().kind, 0
    if read.at("return-icmp", "return-icmp6"):
        read.take()
        if read.at("("):
            raise UnsupportedError("pf.conf: block return-icmp(CODE)")
        return "return-icmp", 0
    if not read.accept("return-rst"):
        return policy, 0
    ttl = 0
    if read.accept("("):
        read.expect("ttl")
        ttl = read.number()
        read.expect(")")
        if not 0 <= ttl <= 255:
            read.refuse(f"illegal ttl value {ttl}")
    return "return-rst", ttl


def _state(read: Reader, action: str, options: FilterOptions, *, if_bound: bool) -> tuple[str, tuple[str, ...]]:
    """Give the state that a rule keeps: `pass` keeps it unless told not to."""
    state = options.state
    if state is None:
        state = "keep" if action == "pass" else ""
    found = dict(options.state_options)
    check_state_options(read, found)
    if state and if_bound and "floating" not in found:
        found["if-bound"] = ""
    return state, printed_state_options(found)


def anchor_rules(read: Reader, begin: Callable[[], None]) -> list[Rule]:
    """Take an `anchor` line; `anchor` has been taken."""
    name = read.string() if read.at(STRING) else ""
    where = direction(read)
    quick = read.accept("quick")
    lists, of_family, options = _body(read)
    if read.at("{"):
        raise UnsupportedError("pf.conf: anchor with rules in braces")
    begin()
    if name.startswith("_") or "/_" in name:
        read.refuse("anchor names beginning with '_' are reserved for internal use")
    if not name:
        read.refuse("anchors without explicit rules must specify a name")
    if options.state:
        read.refuse("cannot specify state handling on anchors")
    flags, flag_set = options.flags or ("", "")
    rule = Rule(
        "filter",
        "pass",
        anchor=name,
        direction=where,
        quick=quick,
        family=of_family,
        flags=flags,
        flag_set=flag_set,
        labels=tuple(options.labels),
        tag=options.tag,
        tagged=options.tagged,
        tagged_not=options.tagged_not,
    )
    return expand(read, rule, lists)


def antispoof_rules(read: Reader, begin: Callable[[], None]) -> list[Rule]:
    """Take an `antispoof` line; `antispoof` has been taken."""
    log, quick = log_and_quick(read)
    read.expect("for")

    def item() -> list[tuple[str, bool]]:
        if not read.accept("("):
            return [(interface_name(read), False)]
        name = interface_name(read)
        read.expect(")")
        return [(name, True)]

    names = read.one_or_braced(item)
    of_family = family(read)
    labels: list[str] = []
    while read.accept("label"):
        labels.append(read.string())
    begin()
    rule = Rule(
        "filter", "block", answer="drop", direction="in", log=log, quick=quick, family=of_family, labels=tuple(labels)
    )
    rules: list[Rule] = []
    for name, dynamic in names:
        inside = _interface_addresses(read, name, "network", dynamic=dynamic)
        if inside:
            rules += expand(read, rule, Lists([(name, True)], [], FromTo(sources=inside)))
        own = _interface_addresses(read, name, "", dynamic=dynamic)
        if own and not read.where.is_loopback(name):
            rules += expand(read, rule, Lists([], [], FromTo(sources=own)))
    return rules


def _interface_addresses(read: Reader, name: str, modifier: str, *, dynamic: bool) -> list[Address]:
    if dynamic:
        return [Address("dynamic", f"{name}:{modifier}" if modifier else name)]
    return read.where.addresses(name, modifier) or []


def scrub_rules(read: Reader, begin: Callable[[], None], *, no: bool) -> list[Rule]:
    """Take a `scrub` line; `no` and `scrub` have been taken."""
    where = direction(read)
    log, quick = log_and_quick(read)
    on = interfaces(read)
    of_family = family(read)
    lists = Lists(on, protocols(read), from_to(read))
    options = _scrub_options(read)
    mark, mark_not = tagged(read)
    begin()
    if quick:
        read.refuse("scrub rules do not support 'quick'")
    if where and "reassemble tcp" in options:
        read.refuse("reassemble tcp rules can not specify direction")
    rule = Rule(
        "scrub",
        "no scrub" if no else "scrub",
        direction=where,
        log=log,
        family=of_family,
        scrub_options="".join(f" {option}" for option in options),
        tagged=mark,
        tagged_not=mark_not,
    )
    return expand(read, rule, lists)


def _scrub_options(read: Reader) -> list[str]:
    """Take scrub's own options; give them in the order in which they are printed."""
    found: dict[str, str] = {}
    while read.at("no-df", "random-id", "min-ttl", "max-mss", "fragment", "reassemble"):
        word = read.take().kind
        if word in found:
            read.refuse(f"{'fragcache' if word == 'fragment' else word} cannot be respecified")
        found[word] = word
        if word in {"min-ttl", "max-mss"}:
            number = read.number()
            if not 0 <= number <= (255 if word == "min-ttl" else 65535):
                read.refuse(f"illegal {word} value {number}")
            found[word] = f"{word} {number}"
        elif word == "fragment":
            read.expect("reassemble")
        elif word == "reassemble":
            protocol = read.string()
            if protocol.lower() != "tcp":
                read.refuse(f"scrub reassemble supports only tcp, not '{protocol}'")
            found[word] = "reassemble tcp"
    return [found[word] for word in ("no-df", "random-id", "min-ttl", "max-mss", "reassemble") if word in found]
