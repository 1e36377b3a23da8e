# SPDX-License-Identifier: BSD-2-Clause
"""The questions that the insides of jails are asked, and what is made of the answers."""

from __future__ import annotations

import subprocess
from string import printable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warden.facts.inside.ask import LIST_INSIDES, QUESTIONS, WAIT, parse_insides
from warden.facts.keys import LIST_KEYS, parse_keys
from warden.facts.model import Inside, InsideFile

SHA = "0" * 64


@pytest.mark.parametrize("script", [LIST_INSIDES, WAIT, LIST_KEYS, *QUESTIONS.values()])
def test_a_script_is_one_for_sh(script: str) -> None:
    subprocess.run(["sh", "-n"], input=script.encode(), check=True)


def test_what_a_jail_tells() -> None:
    text = f"""\
atlasdb package postgresql18-server 18.1_2
atlasdb file 640 root:postgres {SHA} /usr/local/etc/a file
atlasdb variable postgresql_flags -w -s
atlasdb item role atlas
atlasdb healthy
atlasgit item repository atlas.git
atlasgit ill sshd does not answer
@rook item login works
"""
    told = parse_insides(text)
    assert told["atlasdb"] == Inside(
        packages={"postgresql18-server": "18.1_2"},
        files={"/usr/local/etc/a file": InsideFile(mode=0o640, owner="root:postgres", sha256=SHA)},
        variables={"postgresql_flags": "-w -s"},
        items=frozenset({"role atlas"}),
        ill="",
    )
    assert told["atlasgit"].ill == "sshd does not answer"
    assert told["@rook"].ill == "its jail did not answer to the end"


@given(lines=st.lists(st.text(alphabet=f"{printable}\x1c\x85\u2028", max_size=40), max_size=8))
def test_whatever_a_jail_says_is_said_of_itself(lines: list[str]) -> None:
    """The host puts the jail's name before every line: what stands in one is never another jail's."""
    said = "".join(f"evil {line}\n" for text in lines for line in text.split("\n"))
    told = parse_insides(f"{said}good healthy\n")
    assert told["good"] == Inside(ill="")
    assert set(told) <= {"good", "evil"}


def test_what_is_no_key_is_none() -> None:
    told = parse_keys("atlas atlas yes ssh-ed25519 AAAA atlas@home.arpa\nold root no \nodd root no hello\n")
    assert list(told) == ["atlas"]
    assert told["atlas"].known_hosts
