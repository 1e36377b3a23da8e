"""Hooking the anchor into an operator's pf.conf, and taking the hooks out again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warden.resources.pf_conf import FILTER_HOOK, NAT_HOOK, has_line, loads_anchor, skips, with_hooks, without_hooks

ORDER = ("options", "translation", "filtering")
LINES = {
    "options": ['ext_if = "vtnet0"', "set skip on lo0", "# a remark", "", "scrub in all", "table <t> { 10.0.0.0/8 }"],
    "translation": ["nat on $ext_if from 10.9.0.0/24 -> ($ext_if)", "no rdr on lo0", 'rdr-anchor "x/*"', "# nat", ""],
    "filtering": ["block in all", "pass out all \\\n  keep state", 'anchor "x"', "antispoof for lo0", "# rules", ""],
}
FILES = st.tuples(*(st.lists(st.sampled_from(LINES[part]), max_size=4) for part in ORDER)).map(
    lambda parts: "".join(f"{line}\n" for part in parts for line in part)
)


def section_of(line: str) -> int:
    word = line.split(maxsplit=1)[0] if line.split() else "#"
    if word in ("nat", "no", "rdr", "rdr-anchor", "nat-anchor"):
        return 1
    return 2 if word in ("block", "pass", "anchor", "antispoof") else 0


@given(text=FILES)
def test_hooks_keep_the_order_of_pf_and_every_line_of_the_operator(text: str) -> None:
    hooked = with_hooks(text)
    assert without_hooks(hooked) == text
    assert with_hooks(hooked) == hooked
    rules = [section_of(line) for line in hooked.splitlines() if section_of(line) and not line.startswith("  ")]
    assert rules == sorted(rules)
    first_filter = next(line for line in hooked.splitlines() if section_of(line) == 2)
    assert first_filter == FILTER_HOOK
    first_nat = next(line for line in hooked.splitlines() if section_of(line) == 1)
    assert first_nat == NAT_HOOK


def test_a_file_without_a_newline_at_its_end_loses_nothing() -> None:
    assert with_hooks("set skip on lo0") == f"set skip on lo0\n{NAT_HOOK}\n{FILTER_HOOK}\n"


def test_hooks_that_an_operator_wrote_otherwise_are_found() -> None:
    text = '  nat-anchor   warden  # agents\nanchor "warden"\npass all\n'
    assert has_line(text, NAT_HOOK)
    assert with_hooks(text) == text


@pytest.mark.parametrize("line", ["set skip on warden0", "set skip on { lo0, warden0 }", "set skip on bridge"])
def test_a_bridge_that_pf_skips_is_seen(line: str) -> None:
    assert skips(f"{line}\npass all\n", "warden0")
    assert not skips("set skip on { lo0 vtnet1 } # warden0\n", "warden0")


def test_an_anchor_that_is_loaded_by_the_boot_file_is_seen() -> None:
    assert loads_anchor('anchor "warden"\nload anchor "warden" from "/usr/local/etc/warden/pf.conf"\n')
    assert not loads_anchor('# load anchor "warden" from "x"\nload anchor "other" from "y"\n')
