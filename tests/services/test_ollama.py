# SPDX-License-Identifier: BSD-2-Clause
"""ollama: where its models are kept, how it is set up, and which models it is to have."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.services.samples import agent_with
from warden.facts.inside import ollama as question
from warden.services import llm, ollama


def test_its_models_are_on_a_dataset_of_their_own() -> None:
    needs = ollama.needs(*agent_with("ollama"))
    (dataset,), (mount,) = needs.datasets, needs.mounts
    assert dataset.name == "zroot/warden/atlas/ollama"
    assert dataset.mountpoint == mount.source == "/var/db/warden/atlas/ollama"
    assert mount.target == "/var/db/ollama"
    assert mount.writable


def test_without_a_pool_they_are_in_the_jail() -> None:
    agent, jail = agent_with("ollama")
    needs = ollama.needs(replace(agent, storage=None), jail)
    assert (needs.datasets, needs.mounts) == ((), ())


def test_it_serves_at_its_own_address_and_keeps_its_models_there() -> None:
    text = ollama.setup(*agent_with("ollama", port=11500)).files[0].content.decode()
    assert "OLLAMA_HOST=10.0.1.2:11500 OLLAMA_MODELS=/var/db/ollama/models /usr/local/bin/ollama serve" in text


def test_models_are_fetched_once_the_server_answers_by_its_user() -> None:
    setup = ollama.setup(*agent_with("ollama", models=("qwen3:8b", "nomic-embed-text")))
    wait, *pulls = setup.finish
    assert "http://10.0.1.2:11434/api/version" in wait.argv
    assert [pull.argv[-1] for pull in pulls] == ["qwen3:8b", "nomic-embed-text"]
    assert all(pull.argv[:4] == ("/usr/sbin/jexec", "-l", "-U", llm.USER) for pull in pulls)
    assert all("OLLAMA_HOST=10.0.1.2:11434" in pull.argv for pull in pulls)
    assert setup.items == {"model qwen3:8b", "model nomic-embed-text:latest"}
    assert setup.warning == ""


def test_without_a_model_it_serves_and_says_so() -> None:
    setup = ollama.setup(*agent_with("ollama"))
    assert setup.daemon == "warden_llm"
    assert setup.warning.startswith("no model")
    assert setup.items == frozenset()


@pytest.mark.parametrize(
    ("written", "listed"),
    [
        ("qwen3", "qwen3:latest"),
        ("qwen3:8b", "qwen3:8b"),
        ("hf.co/some/model", "hf.co/some/model:latest"),
        ("example.org:5000/some/model", "example.org:5000/some/model:latest"),
    ],
)
def test_a_model_is_listed_with_its_tag(written: str, listed: str) -> None:
    assert ollama.full_name(written) == listed


def test_all_that_is_set_up_is_asked_about() -> None:
    setup = ollama.setup(*agent_with("ollama"))
    for told in (*setup.packages, *setup.variables, *(file.path for file in setup.files)):
        assert told in question.QUESTION
