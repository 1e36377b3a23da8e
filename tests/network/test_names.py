# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warden.network.errors import NetworkError
from warden.network.names import (
    AGENT_NAME,
    bastille_form,
    bastille_refusal,
    check_agent_name,
    check_jail_names,
    default_jail_name,
    env_suffix,
    rc_name,
)

SERVICES = ("git", "cms", "db", "llama-cpp", "ollama", "w01", "w49")
agent_names = st.from_regex(AGENT_NAME, fullmatch=True).map(lambda name: name[:24].rstrip("-"))


@pytest.mark.parametrize("name", ["pg", "pgx-1", "a-pg", "postgres-1", "a", "atlas", "dev-qwen", "a1-b2-3", "x" * 24])
def test_good_agent_names(name: str) -> None:
    check_agent_name(name)


@pytest.mark.parametrize(
    ("name", "says", "write"),
    [
        ("", "is empty", "another name"),
        ("Atlas", "capital letters", "'atlas'"),
        ("dev--qwen", "hyphen", "'dev-qwen'"),
        ("dev-", "hyphen", "'dev'"),
        ("-dev", "begin with a letter", "'dev'"),
        ("dev_qwen", "other characters", "'dev-qwen'"),
        ("dev qwen\n", "other characters", "'dev-qwen'"),
        ("atlas\n", "other characters", "'atlas'"),
        ("x; rm -rf /", "other characters", "'x-rm-rf'"),
        ("1st", "begin with a letter", "'st'"),
        ("x" * 25, "25 characters; 24 is the most", repr("x" * 24)),
        ("system", "reserved word", "another name"),
        ("postgres", "superuser of PostgreSQL", "another name"),
        ("public", "cannot be the name of a role of PostgreSQL", "another name"),
        ("none", "cannot be the name of a role of PostgreSQL", "another name"),
        ("pg-monitor", "would be a role pg_...", "another name"),
        ("PG-monitor", "capital letters", "another name"),
        ("kept", "where those of agents that are gone are kept", "another name"),
        ("Priority", "capital letters", "another name"),
        ("čšž", "other characters", "another name"),
        ("\u0661", "other characters", "another name"),
    ],
)
def test_bad_agent_names_say_why_and_what_to_write(name: str, says: str, write: str) -> None:
    with pytest.raises(NetworkError, match=re.escape(says)) as caught:
        check_agent_name(name)
    assert write in caught.value.hint


@given(st.text())
def test_what_an_error_says_to_write_is_accepted(name: str) -> None:
    try:
        check_agent_name(name)
    except NetworkError as error:
        suggested = re.fullmatch(r"write '(.*)'", error.hint)
        if suggested:
            check_agent_name(suggested[1])
    else:
        assert AGENT_NAME.fullmatch(name)


def test_other_forms_of_a_name() -> None:
    assert rc_name("dev-qwen-2") == "dev_qwen_2"
    assert env_suffix("dev-qwen-2") == "DEV_QWEN_2"


@pytest.mark.parametrize(
    ("agent", "service", "jail"),
    [
        ("atlas", "git", "atlasgit"),
        ("atlas", "cms", "atlascms"),
        ("atlas", "db", "atlasdb"),
        ("atlas", "llama-cpp", "atlasllm"),
        ("atlas", "ollama", "atlasllm"),
        ("atlas", "w01", "atlasw01"),
        ("dev-qwen", "git", "devqwengit"),
        ("eightabc", "git", "eightabcgit"),
        # What is written here once is on hosts: these must never change.
        ("research-and-writing", "git", "res2d80bgit"),
        ("research-and-writing", "db", "rese2d80bdb"),
    ],
)
def test_default_jail_names_are_stable(agent: str, service: str, jail: str) -> None:
    assert default_jail_name(agent, service) == jail


@given(agent_names, st.sampled_from(SERVICES))
def test_default_jail_names_are_short_and_bastille_takes_them(agent: str, service: str) -> None:
    name = default_jail_name(agent, service)
    assert len(name) <= 11
    assert bastille_refusal(name) is None
    assert bastille_form(name) == name
    if len(agent.replace("-", "")) > 9:
        assert len(name) == 11


def test_long_names_that_begin_alike_differ() -> None:
    agents = [f"benchmark-agent-{number:03}" for number in range(500)]
    names = {default_jail_name(agent, "git") for agent in agents}
    assert len(names) == 500


def test_a_service_without_a_jail_is_an_error() -> None:
    with pytest.raises(NetworkError, match="'mail' has no jail"):
        default_jail_name("atlas", "mail")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "needs a name"),
        ("atlas-cms", "takes no '-' in"),
        ("atlas_cms", "takes no '_' in"),
        ("a-b_c", "takes no '-' or '_' in"),
        ("123", "digits only"),
        ("a.b", "only letters and digits"),
        ("atlas\n", "only letters and digits"),
        ("ALL", "use of its own"),
        ("boot", "use of its own"),
        ("Debian12", "release"),
        ("15.1-RELEASE", "only letters and digits"),
        ("é", "only letters and digits"),
        ("\u0661\u0662", "only letters and digits"),
    ],
)
def test_names_that_bastille_cannot_have(name: str, says: str) -> None:
    refusal = bastille_refusal(name)
    assert refusal is not None
    assert says in refusal


@given(st.text())
def test_bastilles_form_holds_letters_and_digits_only(name: str) -> None:
    form = bastille_form(name)
    assert re.fullmatch(r"[a-z0-9]*", form)
    assert bastille_form(form) == form


def test_the_guides_names_become_what_bastille_takes() -> None:
    assert bastille_form("atlas-cms") == "atlascms"
    assert bastille_form("atlas-ollama") == "atlasollama"


def test_agents_that_fold_together_are_both_named() -> None:
    named = [
        (default_jail_name(agent, service), f"{service} of agent {agent}")
        for agent in ("dev-qwen", "devqwen")
        for service in ("git", "db")
    ]
    with pytest.raises(NetworkError, match=r"agent dev-qwen.*agent devqwen") as caught:
        check_jail_names(named)
    assert "are the same" in str(caught.value)


def test_a_name_that_begins_another_is_refused_with_a_name_to_write() -> None:
    named = [("atlasllamacpp", "llama-cpp of agent atlas"), ("db", "db of x"), ("atlasllama", "ollama of agent atlas")]
    with pytest.raises(NetworkError) as caught:
        check_jail_names(named)
    assert str(caught.value) == (
        "jail names 'atlasllama' (ollama of agent atlas) and 'atlasllamacpp' (llama-cpp of agent atlas)"
        " begin alike, and Bastille takes the one for the other"
    )
    suggested = re.search(r"such as '(\w+)'", caught.value.hint)
    assert suggested
    check_jail_names([("atlasllama", "a"), (suggested[1], "b"), ("db", "c")])


short_names = st.text("ab1", min_size=1, max_size=4)


@given(st.lists(short_names, max_size=6))
def test_jail_names_are_refused_exactly_where_two_begin_alike(names: list[str]) -> None:
    clash = any(
        other.startswith(name) for index, name in enumerate(names) for at, other in enumerate(names) if at != index
    )
    named = [(name, f"jail {index}") for index, name in enumerate(names)]
    if clash:
        with pytest.raises(NetworkError):
            check_jail_names(named)
    else:
        check_jail_names(named)


def test_thousands_of_jail_names_are_quick() -> None:
    named = [
        (default_jail_name(f"agent-{number}", service), f"{service} of agent-{number}")
        for number in range(1000, 2000)
        for service in ("git", "cms", "db", "ollama")
    ]
    started = time.perf_counter()
    check_jail_names(named)
    assert time.perf_counter() - started < 0.5
