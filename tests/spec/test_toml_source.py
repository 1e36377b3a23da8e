# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warden.spec.errors import SpecError, dotted
from warden.spec.toml_source import parse_toml

FILE = Path("/srv/warden.toml")


def test_positions_of_every_kind_of_key() -> None:
    text = """# a comment
[agents.atlas]   # with 'quotes"
services = [
  "git",   # ]
  'cms',
]
locale = { display = "sl-SI", system = '''
sl]
''' }
jails.cms.name = \"\"\"a "quoted\\" ] \"\"\"\"
"odd \\u0065 key" = 1979-05-27 07:32:00
  [agents."b.c"]
protected=true
"""
    assert tomllib.loads(text)
    assert parse_toml(FILE, text).positions == {
        "agents": (2, 2),
        "agents.atlas": (2, 9),
        "agents.atlas.services": (3, 1),
        "agents.atlas.services.0": (4, 3),
        "agents.atlas.services.1": (5, 3),
        "agents.atlas.locale": (7, 1),
        "agents.atlas.locale.display": (7, 12),
        "agents.atlas.locale.system": (7, 31),
        "agents.atlas.jails": (10, 1),
        "agents.atlas.jails.cms": (10, 7),
        "agents.atlas.jails.cms.name": (10, 11),
        "agents.atlas.'odd e key'": (11, 1),
        "agents.'b.c'": (12, 11),
        "agents.'b.c'.protected": (13, 1),
    }


def test_windows_line_ends_count_as_one() -> None:
    assert parse_toml(FILE, "a = 1\r\n\r\n b = 2\r\n").positions == {"a": (1, 1), "b": (3, 2)}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a = 1\nb = 2\n a = 3\n", ["3:2: a is written twice; the first one is in line 1"]),
        ("[a]\nb = 1\n[c]\n[a]\n", ["4:2: a is written twice; the first one is in line 1"]),
        ("[a.b]\nc = 1\n[a]\nb.c = 1\n", ["4:3: a.b.c is written twice; the first one is in line 2"]),
        ("a = {b = 1, b = 2}", ["1:13: a.b is written twice; the first one is in line 1"]),
        ("a = 1\n[a]\n", ["2:2: a is written twice; the first one is in line 1"]),
        ("a = 1\na = 2\na = 3", ["2:1: a is", "3:1: a is"]),
        ("[[a]]\nb = 1\n[[a]]\nb = 1\nb = 2", ["5:1: a.b is written twice; the first one is in line 4"]),
        ("a = 1\nb = ?\n", ["2:5: not valid TOML: invalid value"]),
        ("a = 1\n\nb = 'x", ["3:5: not valid TOML: "]),
        ("a.b = 1\na.b.c = 2\n", ["2:10: not valid TOML: a key or a table is written twice"]),
        ("a = " + "[" * 100_000, ["1:56: not valid TOML: nested too deeply"]),
        ("a = " + "9" * 10_000, [" not valid TOML: a number is too long"]),
        ("a = '\ud800", ["1:5: not valid TOML: "]),
    ],
)
def test_what_is_no_toml_is_refused_at_its_place(text: str, says: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        parse_toml(FILE, text)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(says)
    for line, expected in zip(lines, says, strict=True):
        assert line.startswith(f"{FILE}:{expected}")


def test_the_same_key_of_two_elements_is_not_twice() -> None:
    assert parse_toml(FILE, "[[a]]\n[a.b]\nc=1\n[[a]]\n[a.b]\nc=1\n").values == {"a": [{"b": {"c": 1}}] * 2}


keys = st.one_of(st.text("abc-_0", min_size=1, max_size=4), st.text(st.characters(codec="utf-8"), max_size=5))
scalars = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.dates(),
    st.times().map(lambda time: time.replace(fold=0)),
)
inline = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=6
)
tables = st.dictionaries(keys, inline | st.dictionaries(keys, inline, max_size=3), max_size=4)


def basic(text: str) -> str:
    plain = "".join(
        f"\\u{ord(character):04x}" if character in '"\\' or ord(character) < 32 or ord(character) == 127 else character
        for character in text
    )
    return f'"{plain}"'


def value(inner: Any) -> str:
    match inner:
        case dict():
            return "{" + ", ".join(f"{basic(key)} = {value(each)}" for key, each in inner.items()) + "}"
        case list():
            return "[" + ", ".join(map(value, inner)) + "]"
        case bool():
            return str(inner).lower()
        case str():
            return basic(inner)
        case float():
            return f"{inner:f}"
        case _:
            return str(inner)


@given(tables)
def test_every_key_of_any_toml_has_a_position_where_it_stands(table: dict[str, Any]) -> None:
    lines: list[str] = []
    expected: dict[str, int] = {}
    for key, inner in table.items():
        if not isinstance(inner, dict):
            lines.append(f"  {basic(key)} = {value(inner)}  # {basic('# = [')}")
            expected[dotted([key])] = len(lines)
    for key, inner in table.items():
        if isinstance(inner, dict):
            lines.append(f"[ {basic(key)} ]")
            expected[dotted([key])] = len(lines)
            for inner_key, innermost in inner.items():
                lines.append(f"{basic(inner_key)} = {value(innermost)}")
                expected[dotted([key, inner_key])] = len(lines)

    source = parse_toml(FILE, "\n".join(lines))

    assert source.values.keys() == table.keys()
    assert {key: source.positions[key][0] for key in expected} == expected


@given(st.text(st.characters()) | st.text("[]{}=\"'\\\n.,# a1", max_size=40))
def test_any_text_is_toml_or_a_spec_error(text: str) -> None:
    try:
        values = parse_toml(FILE, text).values
    except SpecError:
        with pytest.raises((ValueError, RecursionError)):
            tomllib.loads(text)
    else:
        assert values == tomllib.loads(text) or "nan" in text
