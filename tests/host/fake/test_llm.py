# SPDX-License-Identifier: BSD-2-Clause
"""llama-server and ollama of the fake host, set up as Warden does it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.host.fake.one_jail import OneJail
from tests.services.samples import agent_with
from warden.facts.inside import llama_cpp as llama_question
from warden.facts.inside import ollama as ollama_question
from warden.host.fake.program import UnsupportedError
from warden.services import llama_cpp, ollama
from warden.spec.model import ServiceSettings

MODEL = "/srv/models/qwen3.gguf"
AGENT, JAIL = agent_with("llama-cpp", model=MODEL)
JAIL = replace(JAIL, name="atlasllm")
LLAMA = llama_cpp.setup(AGENT, JAIL)
OLLAMA = ollama.setup(*agent_with("ollama", models=("qwen3:8b", "nomic-embed-text")))


@pytest.fixture
def llama() -> OneJail:
    """Give a jail with a folder of models."""
    jail = OneJail(JAIL.name)
    jail.host("mkdir", "-p", "/srv/models", jail.path("/models"))
    jail.machine.files.write(MODEL, b"GGUF")
    assert jail.host("mount", "-t", "nullfs", "-o", "ro", "/srv/models", jail.path("/models"))[0] == 0
    return jail


@pytest.fixture
def ollama_jail() -> OneJail:
    return OneJail("atlasollama")


def answers(jail: OneJail) -> list[str]:
    return jail.ask(llama_question.QUESTION, 8080)


def test_llama_server_reads_its_model_and_then_answers(llama: OneJail) -> None:
    assert answers(llama)[-1] == "ill no model"
    llama.set_up(LLAMA)
    assert answers(llama)[-1] == "ill loading model"
    llama.host("sleep", "10")
    assert llama.fits(LLAMA, answers(llama))


def test_llama_server_comes_back_with_its_jail(llama: OneJail) -> None:
    llama.set_up(LLAMA)
    llama.inside("pkill", "-9", "llama-server")
    assert answers(llama)[-1].startswith("ill no answer on 10.0.1.2:8080: Connection refused")
    llama.host("sleep", "20")
    assert answers(llama)[-1] == "healthy"
    llama.host("bastille", "restart", llama.name)
    llama.host("mount", "-t", "nullfs", "-o", "ro", "/srv/models", llama.path("/models"))
    llama.host("sleep", "20")
    assert llama.fits(LLAMA, answers(llama))


def test_llama_server_ends_without_its_model_s_file(llama: OneJail) -> None:
    llama.machine.files.remove(MODEL)
    llama.install("llama-cpp")
    status, _, said = llama.inside("/usr/local/bin/llama-server", "--model", "/models/qwen3.gguf")
    assert status == 1
    assert "failed to load model '/models/qwen3.gguf'" in said
    missing, unreadable = LLAMA.check
    assert "there is no model" in llama.host(*missing.argv)[2]
    llama.run(*LLAMA.prepare)
    assert "cannot read /models/qwen3.gguf" in llama.host(*unreadable.argv)[2]


@pytest.mark.parametrize("words", ["--model /models/qwen3.gguf --banana", "/models/qwen3.gguf"])
def test_llama_server_refuses_what_it_does_not_know(llama: OneJail, words: str) -> None:
    llama.install("llama-cpp")
    assert llama.inside("/usr/local/bin/llama-server", *words.split())[0] == 1


def test_a_model_taken_away_stops_llama_server(llama: OneJail) -> None:
    llama.set_up(LLAMA)
    llama.set_up(llama_cpp.setup(AGENT, replace(JAIL, settings=ServiceSettings())))
    assert llama.inside("pgrep", "llama-server")[0] == 1
    assert answers(llama)[-1] == "ill no model"
    llama.host("bastille", "restart", llama.name)
    assert llama.inside("pgrep", "llama-server")[0] == 1


def test_ollama_fetches_its_models_once(ollama_jail: OneJail) -> None:
    assert ollama_jail.ask(ollama_question.QUESTION, 11434)[-1].startswith("ill no answer on 10.0.1.2:11434")
    ollama_jail.set_up(OLLAMA)
    assert ollama_jail.fits(OLLAMA, ollama_jail.ask(ollama_question.QUESTION, 11434))
    pulled = [ollama_jail.host(*command.argv) for command in OLLAMA.finish]
    assert pulled == [(0, "", "")] * 3
    listed = ollama_jail.inside("env", "OLLAMA_HOST=10.0.1.2:11434", "ollama", "list", user="llm")[1]
    assert [line.split()[0] for line in listed.splitlines()] == ["NAME", "nomic-embed-text:latest", "qwen3:8b"]


def test_ollama_and_its_models_come_back_after_a_reboot(ollama_jail: OneJail) -> None:
    ollama_jail.set_up(OLLAMA)
    ollama_jail.reboot()
    assert ollama_jail.fits(OLLAMA, ollama_jail.ask(ollama_question.QUESTION, 11434))


def test_ollama_has_no_model_that_its_registry_has_not(ollama_jail: OneJail) -> None:
    setup = ollama.setup(*agent_with("ollama", models=("banana",)))
    ollama_jail.prepare(setup)
    pull = setup.finish[1]
    assert "could not connect to ollama server" in ollama_jail.host(*pull.argv)[2]
    ollama_jail.inside("service", "warden_llm", "start")
    status, _, said = ollama_jail.host(*pull.argv)
    assert (status, said.splitlines()[-1]) == (1, "Error: pull model manifest: file does not exist")


def test_ollama_has_to_get_out_for_a_model(ollama_jail: OneJail) -> None:
    ollama_jail.set_up(ollama.setup(*agent_with("ollama")))
    ollama_jail.host("sysctl", "net.inet.ip.forwarding=0")
    status, _, said = ollama_jail.host(*OLLAMA.finish[1].argv)
    assert status == 1
    assert "no such host" in said


def test_ollama_cannot_keep_models_in_another_s_folder(ollama_jail: OneJail) -> None:
    ollama_jail.install("ollama")
    ollama_jail.run(*OLLAMA.prepare)
    ollama_jail.inside("chown", "root:wheel", "/var/db/ollama/models")
    with pytest.raises(UnsupportedError):
        ollama_jail.inside("ollama", "serve")
    ollama_jail.inside("daemon", "-u", "llm", "-o", "/tmp/said", "env", "OLLAMA_MODELS=/var/db/ollama/models",
                       "ollama", "serve")  # fmt: skip
    assert "permission denied" in ollama_jail.inside("cat", "/tmp/said")[1]


@pytest.mark.parametrize("words", ["", "run qwen3", "pull", "serve now"])
def test_ollama_refuses_what_it_does_not_know(ollama_jail: OneJail, words: str) -> None:
    ollama_jail.install("ollama")
    with pytest.raises(UnsupportedError):
        ollama_jail.inside("ollama", *words.split())


def test_a_server_that_never_answers_is_waited_for_so_long_only(ollama_jail: OneJail) -> None:
    ollama_jail.prepare(OLLAMA)
    began = ollama_jail.machine.clock
    status, _, said = ollama_jail.host(*OLLAMA.finish[0].argv)
    assert status == 1
    assert "does not answer; what the server says is in /var/log/warden_llm.log" in said
    assert 30 <= ollama_jail.machine.clock - began <= 300
