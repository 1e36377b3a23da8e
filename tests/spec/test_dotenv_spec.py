# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warden.spec.dotenv_schema import KEYS
from warden.spec.dotenv_spec import read_env
from warden.spec.errors import SpecError
from warden.spec.model import SERVICES, AgentSpec, JailSpec, Locale, NetworkSpec, Spec

FILE = Path("/home/atlas/atlas/.env")
DIRECTORY = FILE.parent

GUIDE = """\
AGENT_NAME=atlas
ASSISTANT_NAME=Atlas

AGENT_SUBNET_BASE=10.0.1
WARDEN_GATEWAY=10.0.1.1
WARDEN_SUBNET=10.0.1.0/24

WARDEN_GIT_IP=10.0.1.2
WARDEN_CMS_IP=10.0.1.3
WARDEN_OLLAMA_IP=10.0.1.4
WARDEN_LLAMA_CPP_IP=10.0.1.4
WARDEN_DB_IP=10.0.1.5
"""
GUIDE_JAILS = """\
CMS_JAIL_NAME=atlas-cms
OLLAMA_JAIL_NAME=atlas-ollama
LLAMA_CPP_JAIL_NAME=atlas-llamacpp
"""
GUIDE_LOCALES = """\
DISPLAY_LOCALE=sl-SI
ASSISTANT_LOCALE=sl-SI
SYSTEM_LOCALE=sl_SI.UTF-8
"""


def read(text: str) -> Spec:
    return read_env(FILE, text, directory=DIRECTORY, owner="vesna")


def agent(lines: str) -> AgentSpec:
    return read(f"AGENT_NAME=atlas\n{lines}").agents["atlas"]


def problems(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        read(text)
    assert all(problem.path == FILE for problem in caught.value.problems)
    return [f"{problem.line}:{problem.column}: {problem.message}" for problem in caught.value.problems]


def test_the_guides_example_works_as_it_is_printed() -> None:
    spec = read(GUIDE + GUIDE_JAILS + GUIDE_LOCALES)
    assert spec.hosts == {}
    assert spec.network == NetworkSpec()
    assert spec.agents == {
        "atlas": AgentSpec(
            name="atlas",
            display_name="Atlas",
            release="15.1-RELEASE",
            subnet=IPv4Network("10.0.1.0/24"),
            gateway=IPv4Address("10.0.1.1"),
            services=None,
            command=("/usr/local/bin/node", "dist/index.js"),
            user="vesna",
            user_is_owner=True,
            workdir="/home/atlas/atlas",
            locale=Locale(display="sl-SI", assistant="sl-SI", system="sl_SI.UTF-8"),
            jails={
                "git": JailSpec(address=IPv4Address("10.0.1.2")),
                "cms": JailSpec(name="atlascms", address=IPv4Address("10.0.1.3")),
                "db": JailSpec(address=IPv4Address("10.0.1.5")),
                "llama-cpp": JailSpec(name="atlasllamacpp", address=IPv4Address("10.0.1.4")),
                "ollama": JailSpec(name="atlasollama", address=IPv4Address("10.0.1.4")),
            },
        )
    }
    assert spec.notes == {
        "atlas.cms": ("CMS_JAIL_NAME=atlas-cms: Bastille takes no '-'",),
        "atlas.ollama": ("OLLAMA_JAIL_NAME=atlas-ollama: Bastille takes no '-'",),
        "atlas.llama-cpp": ("LLAMA_CPP_JAIL_NAME=atlas-llamacpp: Bastille takes no '-'",),
    }
    assert spec.positions["agents.atlas"] == (1, 1)
    assert spec.positions["agents.atlas.subnet"] == (6, 1)
    assert spec.positions["agents.atlas.jails.llama-cpp.name"] == (15, 1)


def test_a_name_is_enough() -> None:
    spec = read("AGENT_NAME=dev-qwen\n")
    assert spec.agents["dev-qwen"] == AgentSpec(
        name="dev-qwen",
        display_name="dev-qwen",
        release="15.1-RELEASE",
        services=None,
        command=("/usr/local/bin/node", "dist/index.js"),
        user="vesna",
        user_is_owner=True,
        workdir="/home/atlas/atlas",
        jails={service: JailSpec() for service in SERVICES},
    )
    assert spec.notes == {}


@pytest.mark.parametrize("text", ["", "# AGENT_NAME=atlas\n", "AGENT_NAME=\n", "\n\n"])
def test_without_a_name_there_is_no_agent(text: str) -> None:
    (problem,) = problems(text)
    assert problem.endswith(": AGENT_NAME: is missing")


def test_what_warden_does_not_know_is_the_agents_own() -> None:
    found = agent("TELEGRAM_BOT_TOKEN=123:abc$HOME${X}\nDB_RUNTIME='host'\nWARDEN_BRIDGE=x\nempty=\nagent_user=me\n")
    assert found.env == {
        "TELEGRAM_BOT_TOKEN": "123:abc$HOME${X}",
        "DB_RUNTIME": "host",
        "WARDEN_BRIDGE": "x",
        "empty": "",
        "agent_user": "me",
    }
    assert found.env.keys() & KEYS == {"DB_RUNTIME"}  # the agent reads it as well
    assert found.jails["db"].settings.runtime == "host"
    assert found.user == "vesna"


def test_keys_with_nothing_after_them_count_as_not_there() -> None:
    assert agent("\n".join(f"{key}=" for key in KEYS if key != "AGENT_NAME")) == agent("")


@pytest.mark.parametrize("line", ["AGENT_SUBNET_BASE=10.0.1", "WARDEN_SUBNET=10.0.1.0/24"])
def test_either_key_gives_the_subnet(line: str) -> None:
    assert agent(line).subnet == IPv4Network("10.0.1.0/24")


@pytest.mark.parametrize(
    ("line", "services"),
    [
        ("AGENT_SERVICES=git,cms", ("git", "cms")),
        ('AGENT_SERVICES=" db  llama-cpp, git "', ("db", "llama-cpp", "git")),
        ("AGENT_SERVICES=", None),
    ],
)
def test_services_are_a_list(line: str, services: tuple[str, ...] | None) -> None:
    assert agent(line).services == services


def test_the_command_is_split_as_a_shell_does() -> None:
    found = agent(
        """AGENT_COMMAND="/usr/local/bin/python3.11 -m 'my agent' --name=\\"a b\\" $HOME"\nAGENT_USER=atlas\n"""
    )
    assert found.command == ("/usr/local/bin/python3.11", "-m", "my agent", "--name=a b", "$HOME")
    assert (found.user, found.user_is_owner) == ("atlas", False)


def test_settings_of_a_service_that_is_not_asked_for_stay() -> None:
    found = agent(
        "AGENT_SERVICES=git\nOLLAMA_JAIL_NAME=my_ollama-1\nAGENT_SUBNET_BASE=10.0.1\nWARDEN_OLLAMA_IP=10.0.1.9\n"
    )
    assert found.jails["ollama"] == JailSpec(name="myollama1", address=IPv4Address("10.0.1.9"))


def test_a_changed_jail_name_is_noted() -> None:
    spec = read("AGENT_NAME=atlas\nGIT_JAIL_NAME=my_git-1\nDB_JAIL_NAME=AtlasDB\n")
    assert spec.notes == {"atlas.git": ("GIT_JAIL_NAME=my_git-1: Bastille takes no '-' and no '_'",)}
    assert spec.agents["atlas"].jails["db"].name == "AtlasDB"


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("AGENT_SUBNET_BASE=10.0.1.0", "2:1: AGENT_SUBNET_BASE: '10.0.1.0' is no base of a subnet"),
        ("AGENT_SUBNET_BASE=203.0.113", "2:1: AGENT_SUBNET_BASE: 203.0.113.0/24 is not private"),
        ("AGENT_SUBNET_BASE=10.0.999", "2:1: AGENT_SUBNET_BASE: '10.0.999.0/24' is no IPv4 network"),
        ("WARDEN_SUBNET=10.0.0.0/16", "2:1: WARDEN_SUBNET: 10.0.0.0/16 holds 256 subnets"),
        ("WARDEN_GATEWAY=10.0.1.1/24", "2:1: WARDEN_GATEWAY: '10.0.1.1/24' is no IPv4 address"),
        ("AGENT_SERVICES=git,mail", "2:1: AGENT_SERVICES: 'mail' is no service"),
        ("AGENT_SERVICES=git,git", "2:1: AGENT_SERVICES: git is there twice"),
        ("AGENT_SERVICES=,", "2:1: AGENT_SERVICES: names no service"),
        ("AGENT_COMMAND=node 'x", "2:1: AGENT_COMMAND: has a quote or a backslash"),
        ('AGENT_COMMAND=" "', "2:1: AGENT_COMMAND: holds no command"),
        ("AGENT_USER=a b", "2:1: AGENT_USER: 'a b' is no name of a user"),
        ("GIT_JAIL_NAME=--", "2:1: GIT_JAIL_NAME: '--' holds no letter and no digit"),
        ("SYSTEM_LOCALE=sl_SI", "2:1: SYSTEM_LOCALE: 'sl_SI' is no UTF-8 locale"),
        ("DISPLAY_LOCALE=sl_SI", "2:1: DISPLAY_LOCALE: 'sl_SI' is no BCP 47"),
        ("nonsense", "2:1: this line is no KEY=value"),
        ("  A B=c", "2:3: this line is no KEY=value"),
        ("A='x", "2:1: this line is no KEY=value"),
        ('A="x" y', "2:1: this line is no KEY=value"),
        ("\n\n  =x", "4:3: this line is no KEY=value"),
        ("my-key=1", "2:1: 'my-key' is no name of a variable"),
        ("A=1\r\n\r\n export A=2", "4:2: A is written twice; the first one is in line 2"),
        ("AGENT_NAME=borea", "2:1: AGENT_NAME is written twice; the first one is in line 1"),
        ("A='x\ny'", "2:1: A: holds a control character"),
        ("A=x\0", "2:1: A: holds a control character"),
        (
            "AGENT_SUBNET_BASE=10.0.1\nWARDEN_SUBNET=10.0.2.0/24",
            "3:1: AGENT_SUBNET_BASE=10.0.1 and WARDEN_SUBNET=10.0.2.0/24 are two subnets",
        ),
        (
            "AGENT_SUBNET_BASE=10.0.1\nWARDEN_GATEWAY=10.0.2.1",
            "3:1: WARDEN_GATEWAY=10.0.2.1 is outside of AGENT_SUBNET_BASE=10.0.1",
        ),
        (
            "WARDEN_DB_IP=10.0.2.5\nWARDEN_SUBNET=10.0.1.0/24",
            "2:1: WARDEN_DB_IP=10.0.2.5 is outside of WARDEN_SUBNET=10.0.1.0/24",
        ),
        (
            "WARDEN_GIT_IP=10.0.1.9\nWARDEN_LLAMA_CPP_IP=10.0.1.9",
            "3:1: WARDEN_GIT_IP=10.0.1.9 and WARDEN_LLAMA_CPP_IP=10.0.1.9 are the same address",
        ),
        (
            "WARDEN_GATEWAY=10.0.1.2\nWARDEN_GIT_IP=10.0.1.2",
            "3:1: WARDEN_GATEWAY=10.0.1.2 and WARDEN_GIT_IP=10.0.1.2 are the same address",
        ),
        (
            "AGENT_SERVICES=ollama llama-cpp",
            "2:1: AGENT_SERVICES names ollama and llama-cpp, which have the same address",
        ),
        (
            "AGENT_SERVICES=ollama llama-cpp\nAGENT_SUBNET_BASE=10.0.1\nWARDEN_OLLAMA_IP=10.0.1.4",
            "2:1: AGENT_SERVICES names ollama and llama-cpp",
        ),
    ],
)
def test_what_cannot_be_is_refused_at_its_place(lines: str, says: str) -> None:
    (problem,) = problems(f"AGENT_NAME=atlas\n{lines}\n")
    assert problem.startswith(says)


def test_several_problems_are_found_together() -> None:
    assert len(problems("AGENT_NAME=a\nA\nB\nA=1\nA=2\n")) == 3
    assert len(problems("AGENT_USER=a b\nSYSTEM_LOCALE=C\n")) == 3


def test_both_servers_of_models_can_be_had_at_two_addresses() -> None:
    found = agent("AGENT_SERVICES=ollama llama-cpp\nAGENT_SUBNET_BASE=10.0.1\nWARDEN_OLLAMA_IP=10.0.1.14\n")
    assert found.services == ("ollama", "llama-cpp")


def test_what_is_no_assignment_keeps_its_secrets() -> None:
    assert "hunter2" not in str(problems("AGENT_NAME=a\nTOKEN='hunter2\nTOKEN2='hunter2\n\n'\nthe hunter2\n"))


names = st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True).filter(lambda name: name not in KEYS)
plain = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), max_size=20)


@given(st.dictionaries(names, plain, max_size=5), st.sampled_from(["'", '"']), st.sampled_from(["\n", "\r\n"]))
def test_values_in_quotes_come_back_as_they_were(variables: dict[str, str], quote: str, newline: str) -> None:
    def quoted(value: str) -> str:
        return quote + value.replace("\\", "\\\\").replace(quote, f"\\{quote}") + quote

    lines = [f"{name} = {quoted(value)}  # {quote}comment" for name, value in variables.items()]
    spec = read(newline.join(["AGENT_NAME=atlas", "", *lines]))
    assert spec.agents["atlas"].env == variables
    assert [spec.positions[f"agents.atlas.env.{name}"] for name in variables] == [
        (number, 1) for number in range(3, 3 + len(variables))
    ]


guide_lines = [*(GUIDE + GUIDE_JAILS + GUIDE_LOCALES).splitlines(), "AGENT_SERVICES=git", 'A="b', "C='d", "=", "export"]
fragments = st.lists(st.sampled_from(guide_lines) | st.text(st.characters(), max_size=10), max_size=20).map("\n".join)


@given(st.text(st.characters()) | fragments)
def test_any_text_is_a_spec_or_a_spec_error(text: str) -> None:
    for prefix in ("", "AGENT_NAME=atlas\n"):
        try:
            spec = read(prefix + text)
        except SpecError as error:
            assert str(error)  # noqa: PT017
        else:
            assert len(spec.agents) == 1


@given(st.sampled_from(sorted(KEYS)), plain)
def test_any_value_of_a_key_is_taken_or_refused_in_its_line(key: str, value: str) -> None:
    written = value.replace("\\", "\\\\").replace("'", "\\'")
    text = f"{'' if key == 'AGENT_NAME' else 'AGENT_NAME=atlas'}\n{key}='{written}'\n"
    try:
        read(text)
    except SpecError as error:
        assert [problem.line for problem in error.problems] == [2]  # noqa: PT017
