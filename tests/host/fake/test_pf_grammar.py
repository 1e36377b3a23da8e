"""pf.conf: what it becomes, and what pfctl says of what is wrong with it."""

from __future__ import annotations

import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warden.host.fake.machine import Inet, Interface
from warden.host.fake.pf_grammar import Ruleset, parse, parse_ether_rule, parse_rule
from warden.host.fake.pf_hosts import Surroundings
from warden.host.fake.pf_optimize import optimize
from warden.host.fake.pf_print import ether_text, rule_text
from warden.host.fake.program import UnsupportedError

WHERE = Surroundings(
    {
        "vtnet0": Interface("vtnet0", "vtnet0", "ether", 1, 1, inet=[Inet("10.0.2.15", 24), Inet("10.0.2.16", 24)]),
        "lo0": Interface("lo0", "lo0", "loop", 2, 2, inet=[Inet("127.0.0.1", 8)], groups=["lo"]),
    }
)


def read(text: str) -> Ruleset:
    return parse("stdin", text, WHERE)


def printed(text: str) -> list[str]:
    found = read(text)
    assert found.messages == []
    assert not found.failed
    return [*map(rule_text, found.rules), *map(ether_text, found.ether)]


def complaints(text: str) -> list[str]:
    found = read(text)
    assert found.failed
    return found.messages


CASES = r"""
block
    block drop all
set block-policy return ; block in
    block return in all
block return-rst proto tcp
    block return-rst proto tcp all
pass out quick on ! lo0 inet6
    pass out quick on ! lo0 inet6 all flags S/SA keep state
pass proto udp to port 53
    pass proto udp from any to any port = domain keep state
pass proto tcp from port > 1023
    pass proto tcp from any port > 1023 to any flags S/SA keep state
pass proto tcp to port 8000:8010
    pass proto tcp from any to any port 8000:8010 flags S/SA keep state
pass proto tcp flags any
    pass proto tcp all flags any keep state
pass proto tcp synproxy state
    pass proto tcp all flags S/SA synproxy state
pass proto { tcp udp } modulate state
    pass proto tcp all flags S/SA modulate state
    pass proto udp all keep state
pass in log (all, to pflog1) quick
    pass in log (all, to pflog1) quick all flags S/SA keep state
pass inet proto icmp icmp-type echoreq
    pass inet proto icmp all icmp-type echoreq keep state
pass from ! <bad> to (vtnet0:network)
    pass from ! <bad> to (vtnet0:network) flags S/SA keep state
pass from vtnet0:network
    pass inet from 10.0.2.0/24 to any flags S/SA keep state
    pass inet from 10.0.2.0/24 to any flags S/SA keep state
pass from vtnet0:0
    pass inet from 10.0.2.15 to any flags S/SA keep state
pass from 10/8
    pass inet from 10.0.0.0/8 to any flags S/SA keep state
pass from 10.0.1.7/24
    pass inet from 10.0.1.0/24 to any flags S/SA keep state
pass from 2001:db8::/32
    pass inet6 from 2001:db8::/32 to any flags S/SA keep state
pass label "a b" label c tag x
    pass all flags S/SA keep state label "a b" label "c" tag x
block from urpf-failed
    block drop from urpf-failed to any
match in all ! tagged x
    match in all ! tagged x
antispoof quick for vtnet0
    block drop in quick on ! vtnet0 inet from 10.0.2.0/24 to any
    block drop in quick on ! vtnet0 inet from 10.0.2.0/24 to any
    block drop in quick inet from 10.0.2.15 to any
    block drop in quick inet from 10.0.2.16 to any
antispoof for (vtnet0)
    block drop in on ! vtnet0 from (vtnet0:network) to any
    block drop in from (vtnet0) to any
scrub in on vtnet0 no-df max-mss 1440
    scrub in on vtnet0 all no-df max-mss 1440 fragment reassemble
nat on x from 10.0.0.0/8 -> 192.0.2.1
    nat on x inet from 10.0.0.0/8 to any -> 192.0.2.1
nat pass on x inet from any to any -> (x) static-port
    nat pass on x inet all -> (x) round-robin static-port
no nat on x from <t> to <t>
    no nat on x from <t> to <t>
rdr pass on x proto tcp to port 80 -> 10.0.1.3 port 8080
    rdr pass on x inet proto tcp from any to any port = http -> 10.0.1.3 port 8080
rdr on x proto tcp to port 80:82 -> { 10.0.1.3, 10.0.1.4 }
    rdr on x inet proto tcp from any to any port 80:82 -> { 10.0.1.3, 10.0.1.4 } round-robin
binat on x from 10.0.1.5 to any -> 192.0.2.5
    binat on x inet from 10.0.1.5 to any -> 192.0.2.5
anchor "w/*" in on x
    anchor "w/*" in on x all
pass keep state (max 100, tcp.first 9, floating)
    pass all flags S/SA keep state (max 100, tcp.first 9, adaptive.start 60, adaptive.end 120)
pass in keep state (overload <b>, max-src-conn 3)
    pass in all flags S/SA keep state (source-track rule, max-src-conn 3, overload <b>)
ether block out quick on x proto 0x0806 from ! 58:9C:fc:40:be:fb
    ether block out quick on x proto 0x0806 from ! 58:9c:fc:40:be:fb l3 all
"""
"""A line of pf.conf, and indented below it what pfctl shows of it; `;` stands for the end of a line before it."""


def cases() -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    for line in CASES.strip().splitlines():
        if line.startswith("    "):
            found[-1][1].append(line.strip())
        else:
            found.append((line.replace(" ; ", "\n"), []))
    return found


@pytest.mark.parametrize(("text", "rules"), cases())
def test_a_line_becomes_the_rules_that_pfctl_shows(text: str, rules: list[str]) -> None:
    assert printed(f"{text}\n") == rules


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("this is not pf", ["stdin:1: syntax error"]),
        ("block all extra", ["stdin:1: syntax error"]),
        ("pass on from to banana", ["stdin:1: syntax error"]),
        ("pass from 10", ["stdin:1: syntax error"]),
        ("ether pass from any to any", ["stdin:1: syntax error"]),
        ("nat on x from any to any", ["stdin:1: translation rule requires '-> address'"]),
        ("pass from $nothing to any", ["stdin:1: macro 'nothing' not defined", "stdin:1: syntax error"]),
        ("\n\npass proto tcp to port 99999", ["stdin:3: illegal port value 99999"]),
        ("pass proto tcp to port banana", ["stdin:1: unknown port banana"]),
        ("pass proto banana", ["stdin:1: unknown protocol banana"]),
        ("pass proto tcp flags Z/SA", ["stdin:1: bad flags Z"]),
        ("pass from 10.0.1.300", ["no IP address found for 10.0.1.300", "stdin:1: could not parse host specification"]),
        ("table <t> { <u> }", ["stdin:1: tables cannot contain tables"]),
        ("table <t> maybe", ["stdin:1: invalid table option 'maybe'"]),
        ('table <t> file "/no"', ['stdin:1: cannot load "/no": No such file or directory']),
        ('include "/no"', ["pfctl: pushfile: /no: No such file or directory", "stdin:1: failed to include file /no"]),
        ("set limit bananas 4", ["pfctl: Bad pool name.", "stdin:1: unable to set limit bananas 4"]),
        ('anchor "_x"', ["stdin:1: anchor names beginning with '_' are reserved for internal use"]),
        (
            "pass to port 22",
            [
                "stdin:1: port only applies to tcp/udp/sctp",
                "stdin:1: skipping rule due to errors",
                "stdin:1: rule expands to no valid combination",
            ],
        ),
        ("pass inet from ::1", ["stdin:1: rule expands to no valid combination"]),
    ],
)
def test_what_is_wrong_is_said_as_pfctl_says_it(text: str, said: list[str]) -> None:
    assert complaints(f"{text}\n") == said


def test_the_order_of_statements_is_watched() -> None:
    order = "options, ethernet, normalization, queueing, translation, filtering"
    assert complaints("pass\nscrub in\n") == [f"stdin:2: Rules must be in order: {order}"]
    assert not read("set require-order no\npass\nscrub in\n").failed
    assert not read("pass\nset skip on lo\ntable <t> persist\n").failed


def test_after_a_syntax_error_the_next_few_words_are_not_complained_of() -> None:
    assert complaints("foo bar\nbaz qux\npass\npass\npass\nfoo bar\n") == [
        "stdin:1: syntax error",
        "stdin:6: syntax error",
    ]


def test_lines_may_be_continued_and_lists_spread_over_lines() -> None:
    assert printed("pass in \\\n  on vtnet0 # why\n") == ["pass in on vtnet0 all flags S/SA keep state"]
    assert printed("block from {\n 10.0.0.1\n 10.0.0.2, 10.0.0.3\n}\n") == [
        f"block drop inet from 10.0.0.{number} to any" for number in (1, 2, 3)
    ]
    assert complaints("block from { 10.0.0.1,\n10.0.0.2 }\n")[0] == "stdin:1: syntax error"


def test_a_macro_is_text_and_may_hold_a_list() -> None:
    nets = 'if = "vtnet0"\nnets = "{ 10.0.1.0/24, 10.0.2.0/24 }"\nboth = $if "lo0"\n'
    found = read(f"{nets}nat on $if from $nets to any -> ($if:0)\npass on $if from $if:0\n")
    assert found.shown == ['if = "vtnet0"', 'nets = "{ 10.0.1.0/24, 10.0.2.0/24 }"', 'both = "vtnet0 lo0"']
    assert [rule_text(rule) for rule in found.rules] == [
        "nat on vtnet0 inet from 10.0.1.0/24 to any -> (vtnet0:0)",
        "nat on vtnet0 inet from 10.0.2.0/24 to any -> (vtnet0:0)",
        "pass on vtnet0 inet from 10.0.2.15 to any flags S/SA keep state",
    ]


@pytest.mark.parametrize(
    "text", ["pass route-to (x 10.0.0.1)", "altq on x cbq", "pass user root", "pass nat-to x", 'anchor "a" {\n}']
)
def test_good_pf_that_is_not_known_is_refused_by_name(text: str) -> None:
    with pytest.raises(UnsupportedError, match=r"pf\.conf: "):
        read(f"{text}\n")


def test_rules_are_ordered_and_thinned_as_pfctl_does() -> None:
    rules = read(
        "block in quick on b\nblock quick on w inet from 10.0.1.0/24\nblock quick on w inet from 10.7.2.0/24\n"
        "pass\npass proto tcp to port 22\npass\n"
    ).rules
    found, tables = optimize(rules, lambda _name: False, lambda number, _made: f"t{number}")
    assert [rule_text(rule) for rule in found] == [
        "block drop quick on w inet from 10.0.1.0/24 to any",
        "block drop quick on w inet from 10.7.2.0/24 to any",
        "block drop in quick on b all",
        "pass all flags S/SA keep state",
    ]
    assert tables == []


def test_six_rules_that_differ_in_one_address_share_a_table() -> None:
    rules = read("".join(f"block from 10.0.0.{number}\n" for number in range(6)) + "pass\n").rules
    found, tables = optimize(rules, lambda _name: False, lambda number, _made: f"auto{number}")
    assert [rule_text(rule) for rule in found] == [
        "block drop inet from <auto0> to any",
        "pass all flags S/SA keep state",
    ]
    assert tables[0].contents == tuple(f"10.0.0.{number}" for number in range(6))


def test_a_long_ruleset_is_read_quickly() -> None:
    text = "".join(f"block quick on e{n} from 10.{n}.0.0/16 to {{ 10.0.0.1 10.0.0.2 }}\n" for n in range(250))
    before = time.perf_counter()
    optimize(read(text).rules, lambda _name: False, lambda number, _made: f"t{number}")
    assert time.perf_counter() - before < 1


addresses = st.sampled_from(
    [
        "any",
        "10.0.1.0/24",
        "! 10.0.2.15",
        "<t>",
        "! <t>",
        "(vtnet0)",
        "(vtnet0:0)",
        "urpf-failed",
        "2001:db8::1",
        "no-route",
    ]
)
destinations = addresses.filter(lambda text: text != "urpf-failed")
ports = st.sampled_from(
    ["", " port 22", " port != 80", " port 1000:2000", " port 5 >< 9", " port { 53, 5432 }", " port >= 7"]
)
ends = st.tuples(addresses, ports, destinations, ports).map(lambda parts: "from {}{} to {}{}".format(*parts))


def words(*choices: str) -> st.SearchStrategy[str]:
    return st.sampled_from(choices)


filters = st.tuples(
    words("pass", "block", "block return", "match"),
    words("", "in", "out"),
    words("", "log", "log (all)"),
    words("", "quick"),
    words("", "on vtnet0", "on ! lo0", "on { x y }"),
    words("proto tcp", "proto { tcp, udp }"),
    ends | st.just("all"),
    words("", "fragment", "allow-opts", "tag a", "! tagged b", 'label "l"', "keep state", "no state", "flags S/SAFR"),
).map(" ".join)
translations = st.tuples(
    words("nat", "no nat", "rdr pass", "nat log"),
    words("", "on vtnet0"),
    words("proto tcp", "proto udp"),
    ends,
    words("-> 192.0.2.1", "-> (vtnet0)", "-> (vtnet0:0) static-port", "-> { 192.0.2.1 192.0.2.2 } port 8080", ""),
).map(" ".join)


@given(filters | translations)
def test_what_is_printed_reads_as_the_same_rule(text: str) -> None:
    for rule in read(f"{text}\n").rules:
        assert parse_rule(rule_text(rule)) == rule


@given(words("pass", "block"), words("", "in", "out"), words("", "proto 0x0806"), words("", "l3 from 10.0.1.0/24"))
def test_an_ether_rule_reads_as_the_same_rule(action: str, direction: str, protocol: str, ends: str) -> None:
    for rule in read(f"ether {action} {direction} on x {protocol} {ends}\n").ether:
        assert parse_ether_rule(ether_text(rule)) == rule


@given(
    st.text(string.ascii_lowercase[:5] + '0/ {}()<>!$"\\\n-=:#,', max_size=40)
    | st.lists(
        words("pass", "to", "port", "{", "}", "on", "any", "\n", "1", "=", "x", "(", ")", "nat", "->", "table", "<"),
        max_size=12,
    ).map(" ".join)
)
def test_any_text_is_answered(text: str) -> None:
    try:
        found = read(text)
    except UnsupportedError:
        return
    assert found.failed == bool(found.messages)
