# SPDX-License-Identifier: BSD-2-Clause
"""llama-server: what it needs, how it is set up, and what agents are told of it."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

import pytest

from tests.services.samples import agent_with
from warden.facts.inside import llama_cpp as question
from warden.resources.desired import LlmServer, Mount
from warden.resources.errors import RefusedError
from warden.services import llama_cpp, llm

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MODEL = "/srv/models/qwen3-8b-q4.gguf"


def test_its_model_s_folder_is_shared_for_reading_only() -> None:
    mounts = llama_cpp.needs(*agent_with("llama-cpp", model=MODEL)).mounts
    assert mounts == (Mount(source="/srv/models", target="/models", writable=False),)


def test_the_whole_host_is_no_folder_of_a_model() -> None:
    with pytest.raises(RefusedError, match="the whole host") as refused:
        llama_cpp.needs(*agent_with("llama-cpp", model="/qwen3.gguf"))
    assert "folder of its own" in refused.value.hint


def test_without_a_model_nothing_is_started_and_nothing_mounted() -> None:
    agent, jail = agent_with("llama-cpp")
    setup = llama_cpp.setup(agent, jail)
    assert llama_cpp.needs(agent, jail).mounts == ()
    assert (setup.daemon, setup.finish, setup.items) == (None, (), frozenset())
    assert setup.warning.startswith("no model")
    assert setup.packages == ("llama-cpp",)
    assert setup.variables == {"warden_llm_enable": "NO"}


def words_of(script: bytes) -> list[str]:
    """Give the words that rc.subr's eval makes of the script's command_args."""
    line = next(line for line in script.decode().splitlines() if line.startswith("command_args="))
    result = subprocess.run(
        ["/bin/sh", "-c", f'{line}\neval "set -- $command_args"\nprintf "%s\\n" "$@"'],
        check=True,
        capture_output=True,
        text=True,
    )
    return result.stdout.splitlines()


def test_the_server_is_given_what_the_operator_wrote() -> None:
    setup = llama_cpp.setup(*agent_with("llama-cpp", model=MODEL, parallel=4, context=32768, port=9000))
    words = words_of(setup.files[0].content)
    server = words[words.index("/usr/local/bin/llama-server") :]
    options = dict(zip(server[1::2], server[2::2], strict=True))
    assert options == {
        "--model": "/models/qwen3-8b-q4.gguf",
        "--alias": "qwen3-8b-q4",
        "--host": "10.0.1.2",
        "--port": "9000",
        "--parallel": "4",
        "--ctx-size": "32768",
    }
    assert words[words.index("-u") + 1] == "llm"
    assert words[words.index("-R") + 1] == "5"
    assert setup.items == {"model qwen3-8b-q4"}
    assert setup.patience >= 600


def test_no_setting_leaves_the_server_as_it_was() -> None:
    """The core sees a changed setting by the script's digest only."""
    first = llama_cpp.setup(*agent_with("llama-cpp", model=MODEL)).files[0]
    changed: tuple[dict[str, Any], ...] = (
        {"parallel": 2},
        {"context": 4096},
        {"port": 8081},
        {"model": "/srv/models/other.gguf"},
    )
    for change in changed:
        assert llama_cpp.setup(*agent_with("llama-cpp", **{"model": MODEL, **change})).files[0] != first
    assert llama_cpp.setup(*agent_with("llama-cpp", model=MODEL)).files[0] == first


def test_all_that_is_set_up_is_asked_about() -> None:
    setup = llama_cpp.setup(*agent_with("llama-cpp", model=MODEL))
    for told in (*setup.packages, *setup.variables, *(file.path for file in setup.files)):
        assert told in question.QUESTION


def test_a_model_that_is_not_on_the_host_is_named(tmp_path: Path) -> None:
    model = tmp_path / "models" / "qwen3.gguf"
    check = llama_cpp.setup(*agent_with("llama-cpp", model=str(model))).check[0]
    result = subprocess.run(check.argv, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert f"there is no model {model} on the host" in result.stderr
    model.parent.mkdir()
    model.write_bytes(b"GGUF")
    assert subprocess.run(check.argv, check=False).returncode == 0


@pytest.mark.parametrize("command", [("/usr/local/bin/llama-server", "--model", "/models/a b.gguf"), ("x", "it's")])
def test_the_script_pleases_sh_and_shellcheck(
    command: tuple[str, ...], tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    path = tmp_path / "warden_llm"
    script = llm.script("a title", *command)
    path.write_bytes(script.content)
    for argv in (["sh", "-n", str(path)], [require_tool("shellcheck"), "-s", "sh", str(path)]):
        result = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"{shlex.join(argv)}\n{result.stdout}{result.stderr}"
    assert words_of(script.content)[-len(command) :] == list(command)
    assert script.mode == "0555"


def test_an_agent_is_told_of_its_own_server_or_another_s() -> None:
    agent, _ = agent_with("llama-cpp", model=MODEL)
    assert llm.environment(agent) == {}
    own = LlmServer(service="llama-cpp", address=IPv4Address("10.0.1.4"), port=8080)
    assert llm.environment(replace(agent, llm=own)) == {
        "LLM_BASE_URL": "http://10.0.1.4:8080",
        "OPENAI_BASE_URL": "http://10.0.1.4:8080/v1",
    }
    shared = LlmServer(service="ollama", address=IPv4Address("10.0.2.4"), port=11434)
    told = llm.environment(replace(agent, llm=shared))
    assert told["OLLAMA_HOST"] == told["LLM_BASE_URL"] == "http://10.0.2.4:11434"
