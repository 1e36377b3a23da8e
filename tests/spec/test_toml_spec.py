# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

import tomllib
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warden.spec.errors import SpecError, problem_at
from warden.spec.model import (
    SERVICES,
    AgentSpec,
    HostSpec,
    JailSpec,
    Limits,
    Locale,
    NetworkSpec,
    ServiceSettings,
    Spec,
)
from warden.spec.toml_spec import read_toml

FILE = Path("/srv/agents/warden.toml")

FULL = """\
[hosts.alpha]
address = "ssh://root@alpha.example"
become = "doas"
[hosts.beta]
address = "fake:beta.json"

[network]
bridge = "agents1"
pool = ["10.0.0.0/8", "192.168.0.0/16"]
reserved = ["10.9.0.0/16"]
external_interface = "vtnet0"
isolation = "open"
domain = "agents.example"

[defaults]
release = "14.3-RELEASE"
services = ["git"]
[defaults.jails.db]
release = "15.1-RELEASE"
[defaults.jails.llama-cpp]
release = "15.0-RELEASE"

[agents.atlas]
host = "alpha"
display_name = "Atlas"
subnet = "10.0.1.0/24"
services = ["git", "db", "llama-cpp", "ollama"]
command = ["/usr/local/bin/node", "dist/index.js", ""]
user = "atlas"
workdir = "code/atlas"
locale = { display = "sl-SI", assistant = "zh-Hant-TW", system = "sl_SI.UTF-8" }
llm = { shared_with = "clawdie" }
protected = true

[agents.atlas.jails.llama-cpp]
name = "atlasllm"
address = "10.0.1.14"
release = "14.2-RELEASE"
port = 8081

[agents.atlas.env]
GREETING = "dober dan"
EMPTY = ""

[agents.dev-qwen]
host = "beta"
"""


def problems(text: str, path: Path = FILE) -> list[str]:
    with pytest.raises(SpecError) as caught:
        read_toml(path, text)
    assert all(problem.path == path for problem in caught.value.problems)
    return [f"{problem.line}:{problem.column}: {problem.message}" for problem in caught.value.problems]


def hints(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        read_toml(FILE, text)
    return [problem.hint for problem in caught.value.problems]


def agent(lines: str) -> AgentSpec:
    return read_toml(FILE, f"[agents.atlas]\n{lines}").agents["atlas"]


def test_a_file_with_every_key() -> None:
    spec = read_toml(FILE, FULL)
    assert spec.path == FILE
    assert spec.hosts == {
        "alpha": HostSpec(name="alpha", address="ssh://root@alpha.example", become="doas"),
        "beta": HostSpec(name="beta", address="fake:beta.json"),
    }
    assert spec.network == NetworkSpec(
        bridge="agents1",
        pool=(IPv4Network("10.0.0.0/8"), IPv4Network("192.168.0.0/16")),
        reserved=(IPv4Network("10.9.0.0/16"),),
        external_interface="vtnet0",
        isolation="open",
        domain="agents.example",
    )
    assert list(spec.agents) == ["atlas", "dev-qwen"]
    assert spec.agents["atlas"] == AgentSpec(
        name="atlas",
        display_name="Atlas",
        release="14.3-RELEASE",
        host="alpha",
        subnet=IPv4Network("10.0.1.0/24"),
        services=("git", "db", "llama-cpp", "ollama"),
        command=("/usr/local/bin/node", "dist/index.js", ""),
        user="atlas",
        workdir="/srv/agents/code/atlas",
        locale=Locale(display="sl-SI", assistant="zh-Hant-TW", system="sl_SI.UTF-8"),
        llm_shared_with="clawdie",
        protected=True,
        jails={
            "git": JailSpec(),
            "cms": JailSpec(),
            "db": JailSpec(release="15.1-RELEASE"),
            "llama-cpp": JailSpec(name="atlasllm", address=IPv4Address("10.0.1.14"), release="14.2-RELEASE", port=8081),
            "ollama": JailSpec(),
        },
        env={"GREETING": "dober dan", "EMPTY": ""},
    )


def test_what_is_left_out_is_as_the_manual_says() -> None:
    assert read_toml(FILE, "") == Spec(path=FILE, hosts={}, network=NetworkSpec(), agents={})
    assert agent("") == AgentSpec(
        name="atlas",
        display_name="atlas",
        release="15.1-RELEASE",
        services=(),
        jails={service: JailSpec() for service in SERVICES},
    )
    assert read_toml(FILE, FULL).agents["dev-qwen"].services == ("git",)


def test_no_service_can_be_said_against_the_defaults() -> None:
    spec = read_toml(FILE, '[defaults]\nservices = ["git"]\n[agents.a]\nservices = []\n[agents.b]\n')
    assert (spec.agents["a"].services, spec.agents["b"].services) == ((), ("git",))


def test_a_later_layer_can_point_into_the_file() -> None:
    spec = read_toml(FILE, FULL)
    named = problem_at(spec.path, spec.positions, ("agents", "atlas", "jails", "llama-cpp", "name"), "no", hint="h")
    assert str(named) == f"{FILE}:36:1: no"
    assert named.hint == "h"
    assert str(problem_at(spec.path, spec.positions, ("agents", "dev-qwen", "subnet"), "no")) == f"{FILE}:45:9: no"
    assert str(problem_at(spec.path, {}, ("agents",), "no")) == f"{FILE}: no"


@pytest.mark.parametrize(
    ("lines", "says", "hint"),
    [
        ('subnet = "10.0.0.0/23"', "subnet: 10.0.0.0/23 holds 2 subnets", "such as 10.0.0.0/24"),
        ('subnet = "10.0.0.64/26"', "subnet: 10.0.0.64/26 holds 64 addresses", "write 10.0.0.0/24"),
        ('subnet = "203.0.113.0/24"', "subnet: 203.0.113.0/24 is not private", "RFC 1918"),
        ('subnet = "10.0.1.7/24"', "subnet: 10.0.1.7/24 is an address inside", "write 10.0.1.0/24"),
        ('subnet = "10.0.1"', "subnet: '10.0.1' is no IPv4 network", "10.0.1.0/24"),
        ('subnet = "10.0.1.0/255.255.255.0"', "subnet: '10.0.1.0/255", "10.0.1.0/24"),
        ('subnet = "10.0.1.0/33"', "subnet: '10.0.1.0/33' is no IPv4 network", "10.0.1.0/24"),
        ('subnet = "10.0.256.0/24"', "subnet: '10.0.256.0/24' is no IPv4 network", "10.0.1.0/24"),
        ('subnet = "10.00.1.0/24"', "subnet: '10.00.1.0/24' is no IPv4 network", "10.0.1.0/24"),
        ("subnet = 10", "subnet: must be text in quotes, not a number", ""),
        ('services = ["gti"]', "services.0: 'gti' is no service", "did you mean git?"),
        ('services = ["mail"]', "services.0: 'mail' is no service", "git, cms, db, llama-cpp, ollama"),
        ('services = "git"', "services: must be a list in [ ], not text", ""),
        ('services = ["git", "cms", "git"]', "services: git is there twice", "keep one"),
        ('command = "node"', "command: must be a list in [ ], not text", ""),
        ("command = []", "command: holds no command", "leave"),
        ('command = [""]', "command: is empty", ""),
        ('command = ["a", "b\\n"]', "command: holds a control character", "one line"),
        ('command = ["a", 1]', "command.1: must be text in quotes, not a number", ""),
        ('user = "Atlas Smith"', "user: 'Atlas Smith' is no name of a user", "letters"),
        ('user = "1"', "user: '1' is no name of a user", "letters"),
        ('workdir = ""', "workdir: is empty", ""),
        ('display_name = "a\\nb"', "display_name: holds a control character", "one line"),
        ('locale = { system = "sl_SI" }', "locale.system: 'sl_SI' is no UTF-8", "write sl_SI.UTF-8"),
        ('locale = { system = "sl_SI.utf8" }', "locale.system: 'sl_SI.utf8' is no UTF-8", "write sl_SI.UTF-8"),
        ('locale = { system = "sl_SI.ISO8859-2" }', "locale.system: 'sl_SI.ISO8859-2'", "write sl_SI.UTF-8"),
        ('locale = { system = "sl-SI" }', "locale.system: 'sl-SI' is no UTF-8", "write sl_SI.UTF-8"),
        ('locale = { system = "C" }', "locale.system: 'C' is no UTF-8", "C.UTF-8"),
        ('locale = { display = "sl_SI" }', "locale.display: 'sl_SI' is no BCP 47", "write it as sl-SI"),
        ('locale = { assistant = "sl_SI.UTF-8" }', "locale.assistant: 'sl_SI.UTF-8'", "write it as sl-SI"),
        ('locale = { langage = "sl" }', "unknown key agents.atlas.locale.langage", "display, assistant, system"),
        ("protected = 1", "protected: must be true or false, not a number", ""),
        ('protected = "yes"', "protected: must be true or false, not text", ""),
        ('llm = { shared_with = "atlas" }', "llm.shared_with: an agent cannot share with itself", "leave llm out"),
        ('llm = { base_url = "http://x" }', "unknown key agents.atlas.llm.base_url", "shared_with"),
        ("llm = []", "llm: must be a table, not a list", ""),
        ('host = "alpha"', "host: there is no host 'alpha'", "[hosts.alpha]"),
        ('env = { "A B" = "x" }', "env.'A B': 'A B' is no name of a variable", "letters"),
        ('env = { 1A = "x" }', "env.1A: '1A' is no name of a variable", "letters"),
        ("env = { A = 1 }", "env.A: must be text in quotes, not a number", ""),
        ("env = { A = 2026-01-01 }", "env.A: must be text in quotes, not a date", ""),
        ('env = { A = "x\\ny" }', "env.A: holds a control character", "one line"),
        ('env = { A = "x\\u0000" }', "env.A: holds a control character", "one line"),
        ('jails.cms.name = "x"', "jails.cms: agent atlas has no service cms", 'add "cms"'),
        ('services = ["cms"]\njails.cms.address = "10.0.1.3/24"', "jails.cms.address: '10.0.1.3/24'", "mask"),
        ('services = ["cms"]\njails.cms.version = 80', "unknown key agents.atlas.jails.cms.version", "address"),
        ('services = ["cms"]\njails.cms.release = "15.1"', "'15.1' is no FreeBSD release", "15.1-RELEASE"),
        ('services = ["ollama"]\njails.ollama.port = 0', "jails.ollama.port: 0 is no port", "65535"),
        ('services = ["ollama"]\njails.ollama.port = true', "port: must be a whole number, not true", ""),
        ('jails.cmss.name = "x"', "unknown key agents.atlas.jails.cmss", "did you mean cms?"),
        ('services = ["ollama", "llama-cpp"]', "services: ollama and llama-cpp have the same address", "leave one out"),
        ("vm = { cpus = 2 }", "unknown key agents.atlas.vm", ""),
        ('harness = "codex"', "unknown key agents.atlas.harness", ""),
        ('release = "15.1-RELEASE"', "unknown key agents.atlas.release", ""),
    ],
)
def test_what_an_agent_cannot_have_is_refused_in_words(lines: str, says: str, hint: str) -> None:
    text = f"[agents.atlas]\n{lines}\n"
    found = problems(text)
    assert len(found) == 1
    assert says in found[0]
    assert hint in hints(text)[0]
    assert "pydantic" not in found[0]


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("hosts.alpha = {}", "1:7: hosts.alpha.address: is missing", ""),
        ('[hosts."a b"]\naddress = "local"', "1:8: hosts.'a b': 'a b' is no name for a host", "letters"),
        ('[hosts.alpha]\naddress = "local"\nbecome = "su"', "3:1: hosts.alpha.become: 'su' is no way", "sudo or doas"),
        ('[hosts.alpha]\naddress = "local"\nbecome = true', "3:1: hosts.alpha.become: must be text", ""),
        ('[hosts.alpha]\naddress = "local"\nmemory = 1', "3:1: unknown key hosts.alpha.memory", "address, become"),
        ('[network]\nbridge = "warden"', "2:1: network.bridge: 'warden' is no name for a bridge", "warden0"),
        ('[network]\nbridge = "warden0.1"', "network.bridge: 'warden0.1'", "warden0"),
        ('[network]\nbridge = "averylongbridge0"', "network.bridge: 'averylongbridge0'", "15"),
        ('[network]\nisolation = "strict"', "2:1: network.isolation: 'strict' is not built yet", "routed, or open"),
        ('[network]\nisolation = "none"', "network.isolation: 'none' is no isolation", "routed, or open"),
        ("[network]\npool = []", "2:1: network.pool is empty", "leave it out"),
        ('[network]\npool = ["10.0.0.0/8", "11.0.0.0/8"]', "2:23: network.pool.1: 11.0.0.0/8 is not private", "RFC"),
        ('[network]\nreserved = ["10.0.0.1"]', "2:13: network.reserved.0: '10.0.0.1' is no IPv4", "10.0.1.0/24"),
        ('[network]\nexternal_interface = "a b"', "network.external_interface: 'a b'", "vtnet0"),
        ('[network]\ndomain = "-x"', "network.domain: '-x' is no domain", "home.arpa"),
        ('[network]\nbrigde = "x0"', "2:1: unknown key network.brigde", "did you mean bridge?"),
        ('[defaults]\nrelease = "15.1-RELEASE-p1"', "names a patch level", "write 15.1-RELEASE"),
        ('[defaults]\nservices = ["db", "db"]', "2:19: defaults.services: db is there twice", "keep one"),
        ("[defaults.jails.db]\nmodel = 18", "2:1: unknown key defaults.jails.db.model", "release"),
        ('[defaults.jails.db]\nname = "x"', "2:1: unknown key defaults.jails.db.name", "release"),
        ("agents = 3", "1:1: agents: must be a table, not a number", ""),
        ("[[agents]]\na = 1", "1:3: agents: must be a table, not a list", ""),
        ("[agent.atlas]", "1:2: unknown key agent", "did you mean agents?"),
        ("[agents]\natlas = true", "2:1: agents.atlas: must be a table, not true", ""),
    ],
)
def test_what_a_file_cannot_have_is_refused_in_words(text: str, says: str, hint: str) -> None:
    found = problems(text)
    assert len(found) == 1
    assert says in found[0]
    assert hint in hints(text)[0]


def test_all_problems_are_found_together_in_the_order_of_the_file() -> None:
    text = 'nonsense = 1\n[agents.a]\nuser = ""\nworkdri = "/"\n[agents.b]\nsubnet = "10.0.0.0/8"\n'
    assert [problem.split(": ")[0] for problem in problems(text)] == ["1:1", "3:1", "4:1", "6:1"]


def test_one_subnet_for_two_agents_names_both() -> None:
    text = '[agents.atlas]\nsubnet = "10.0.1.0/24"\n[agents.borea]\nsubnet = "10.0.1.0/24"\n'
    assert problems(text) == ["4:1: agents atlas and borea both ask for subnet 10.0.1.0/24"]
    one_host = '[hosts.alpha]\naddress = "local"\n' + text + 'host = "alpha"\n'
    assert problems(one_host) == ["6:1: agents atlas and borea both ask for subnet 10.0.1.0/24"]


def test_two_hosts_can_have_one_subnet_each() -> None:
    hosts = '[hosts.a]\naddress = "fake:a"\n[hosts.b]\naddress = "fake:b"\n'
    agents = "".join(f'[agents.x{host}]\nhost = "{host}"\nsubnet = "10.0.1.0/24"\n' for host in "ab")
    assert len(read_toml(FILE, hosts + agents).agents) == 2
    assert problems(hosts + "[agents.x]\n") == ["5:9: agents.x.host: must say which host, as there are several"]


@pytest.mark.parametrize(
    ("lines", "refused"),
    [
        ('jails.ollama.address = "10.0.1.14"', False),
        ('jails.llama-cpp.address = "10.0.1.14"', False),
        ('jails.llama-cpp.address = "10.0.1.4"', True),
        ('jails.llama-cpp.address = "10.0.1.9"\njails.ollama.address = "10.0.1.9"', True),
        ('jails.llama-cpp.address = "10.0.1.9"\njails.ollama.address = "10.0.1.10"', False),
    ],
)
def test_two_servers_of_models_need_two_addresses(lines: str, refused: bool) -> None:  # noqa: FBT001
    text = f'[agents.atlas]\nsubnet = "10.0.1.0/24"\nservices = ["ollama", "llama-cpp"]\n{lines}\n'
    if refused:
        assert "have the same address" in problems(text)[0]
    else:
        read_toml(FILE, text)


def test_a_path_starts_where_the_file_stands() -> None:
    assert agent('workdir = "atlas"').workdir == "/srv/agents/atlas"
    assert agent('workdir = "/home/atlas"').workdir == "/home/atlas"
    text = '[agents.a]\nworkdir = "x"'
    spec = read_toml(Path("warden.toml"), text, directory=Path("/srv"))
    assert (spec.path, spec.agents["a"].workdir) == (Path("warden.toml"), "/srv/x")
    assert "no absolute path" in problems('[agents.a]\nworkdir = "x"', Path("warden.toml"))[0]


@pytest.mark.parametrize("tag", ["sl", "sl-SI", "zh-Hans-CN", "de-CH-1996", "fil-PH"])
def test_language_tags(tag: str) -> None:
    assert agent(f'locale = {{ display = "{tag}" }}').locale.display == tag


@pytest.mark.parametrize("name", ["C.UTF-8", "sl_SI.UTF-8", "sr_RS.UTF-8@latin", "zh_Hans_CN.UTF-8"])
def test_system_locales(name: str) -> None:
    assert agent(f'locale = {{ system = "{name}" }}').locale.system == name


def test_secrets_in_the_environment_stay_out_of_messages() -> None:
    assert "hunter2" not in str(problems('[agents.atlas.env]\nTOKEN = "hunter2\\n"'))


known_lines = FULL.splitlines()


@given(st.integers(0, len(known_lines)), st.from_regex(r"[a-z]{3,12}_x", fullmatch=True))
def test_any_unknown_key_is_refused_in_its_line(at: int, key: str) -> None:
    lines = [*known_lines[:at], f"{key} = 1", *known_lines[at:]]
    text = "\n".join(lines)
    table = next((line.strip("[]") for line in reversed(known_lines[:at]) if line.startswith("[")), "")
    dotted = f"{table}.{key}" if table else key
    if table == "agents.atlas.env":
        assert problems(text) == [f"{at + 1}:1: {dotted}: must be text in quotes, not a number"]
    else:
        assert problems(text) == [f"{at + 1}:1: unknown key {dotted}"]


fragments = st.lists(
    st.sampled_from([*known_lines, *(line.replace('"', "") for line in known_lines), "= 1", "[", "x = 1979-05-27"]),
    max_size=25,
).map("\n".join)


@given(st.one_of(st.text(st.characters()), fragments))
def test_any_text_is_a_spec_or_a_spec_error(text: str) -> None:
    try:
        spec = read_toml(FILE, text)
    except SpecError as error:
        assert str(error)  # noqa: PT017
    else:
        assert spec.agents.keys() == tomllib.loads(text).get("agents", {}).keys()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=4,
)


@given(st.sampled_from([line.split(" = ")[0] for line in known_lines if " = " in line]), values)
def test_any_value_of_a_key_is_taken_or_refused(key: str, value: object) -> None:
    table = next(
        line
        for line in reversed(known_lines[: [line.split(" = ")[0] for line in known_lines].index(key)])
        if line.startswith("[")
    )
    shown = str(value).lower() if isinstance(value, bool) else str(value)
    text = f"{table}\n{key} = {shown}\n"
    try:
        read_toml(FILE, text)
    except SpecError as error:
        assert "pydantic" not in str(error)  # noqa: PT017
        assert "something else" not in str(error)  # noqa: PT017


def test_the_keys_of_services_of_their_own() -> None:
    text = """
[defaults.jails.db]
version = 17
[defaults.jails.llama-cpp]
parallel = 2
context = 4096
[agents.atlas]
services = ["git", "cms", "db", "llama-cpp"]
limits = { memory = "4G", processes = 400, cpu = 200, quota = "20G" }
[agents.atlas.jails.git]
runtime = "forgejo"
port = 3100
[agents.atlas.jails.cms]
webroot = "/home/atlas/site"
port = 8000
[agents.atlas.jails.db]
runtime = "host"
limits = { memory = "512M" }
[agents.atlas.jails.llama-cpp]
model = "/var/models/one.gguf"
parallel = 4
[agents.rook]
services = ["db", "ollama"]
[agents.rook.jails.db]
version = 18
[agents.rook.jails.ollama]
models = ["qwen3:8b", "bge-m3"]
"""
    agents = read_toml(FILE, text).agents
    assert agents["atlas"].limits == Limits(memory=4 << 30, processes=400, cpu=200, quota=20 << 30)
    jails = agents["atlas"].jails
    assert (jails["git"].settings.runtime, jails["git"].port) == ("forgejo", 3100)
    assert (jails["cms"].settings.webroot, jails["cms"].port) == ("/home/atlas/site", 8000)
    assert (jails["db"].settings.version, jails["db"].settings.runtime) == (17, "host")
    assert jails["db"].limits == Limits(memory=512 << 20)
    assert jails["llama-cpp"].settings == ServiceSettings(model="/var/models/one.gguf", parallel=4, context=4096)
    assert agents["rook"].jails["db"].settings.version == 18
    assert agents["rook"].jails["ollama"].settings.models == ("qwen3:8b", "bge-m3")


@pytest.mark.parametrize(
    ("lines", "message", "hint"),
    [
        ("jails.db.version = 9", "jails.db.version: 9 is no version of PostgreSQL", "16, 17, 18"),
        ('jails.db.runtime = "ssh"', "'ssh' is no way to run db", "jail or host"),
        ('jails.git.runtime = "gitea"', "'gitea' is no way to run git", "ssh or forgejo"),
        ('jails.cms.webroot = "site"', "'site' is no path", "from / on"),
        ('jails.cms.webroot = "/home/at las"', "is no path that a jail can be given", "letters"),
        ('jails.cms.webroot = "/home/../etc"', "is no path that a jail can be given", ""),
        ('jails.db.limits = { memory = "4 GB" }', "'4 GB' is no size", "512M, 4G"),
        ("jails.db.limits = { processes = 0 }", "0 is none", "from 1 on"),
        ('jails.db.limits = { quota = "4G" }', "unknown key agents.atlas.jails.db.limits.quota", ""),
        ("limits = { memory = 4 }", "agents.atlas.limits.memory: must be", ""),
    ],
)
def test_values_of_services_that_cannot_be(lines: str, message: str, hint: str) -> None:
    text = f'[agents.atlas]\nservices = ["git", "cms", "db"]\n{lines}'
    [problem] = problems(text)
    assert message in problem
    assert hint in hints(text)[0]
