# SPDX-License-Identifier: BSD-2-Clause
"""ollama: a server of local models, which it fetches itself and keeps on a dataset of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.resources.desired import DesiredDataset, Mount
from warden.services import llm
from warden.services.answers import wait_for
from warden.services.shape import Needs, ServiceModule, Setup, inside

if TYPE_CHECKING:
    from warden.resources.desired import DesiredAgent, DesiredJail

PACKAGE = "ollama"
PROGRAM = "/usr/local/bin/ollama"
HOME = "/var/db/ollama"
"""The server's own folder: its key, and in `models` what it has fetched."""
PATIENCE = 600
START = 60
"""Seconds that the server may take before it can be told to fetch a model."""

_MAKE_FOLDERS = 'mkdir -p "$2/models" && chown "$1:$1" "$2" "$2/models" && chmod 0750 "$2" "$2/models"'
_PULL = '/usr/local/bin/ollama show "$1" >/dev/null 2>&1 || exec /usr/local/bin/ollama pull "$1"'


def needs(agent: DesiredAgent, _jail: DesiredJail) -> Needs:
    """Give what ollama needs: where models are kept. They are big, and compressed already."""
    if agent.storage is None:
        return Needs()
    source = f"/var/db/warden/{agent.name}/ollama"
    kept = DesiredDataset(
        name=f"{agent.storage}/ollama",
        mountpoint=source,
        properties={"recordsize": "1M", "compression": "off"},
        owner=f"{llm.USER_ID}:{llm.USER_ID}",
        mode="0750",
    )
    return Needs(datasets=(kept,), mounts=(Mount(source=source, target=HOME),))


def setup(_agent: DesiredAgent, jail: DesiredJail) -> Setup:
    """Give how ollama is set up; without a model it serves all the same, and says that it has none."""
    models = jail.settings.models
    listens = f"OLLAMA_HOST={jail.address}:{jail.port}"
    script = llm.script("ollama", "/usr/bin/env", listens, f"OLLAMA_MODELS={HOME}/models", PROGRAM, "serve")
    client = ("/usr/bin/env", listens, "/bin/sh", "-c", _PULL, "sh")
    return Setup(
        title=f"ollama with {', '.join(models) or 'no model'} on port {jail.port}",
        packages=(PACKAGE,),
        variables={llm.VARIABLE: "YES"},
        files=(script,),
        prepare=(
            llm.make_user(jail.name, HOME),
            inside(jail.name, "/bin/sh", "-c", _MAKE_FOLDERS, "sh", llm.USER, HOME),
        ),
        daemon=llm.DAEMON,
        finish=(
            wait_for(jail.name, f"http://{jail.address}:{jail.port}/api/version", seconds=START, log=llm.LOG),
            *(inside(jail.name, *client, model, user=llm.USER) for model in models),
        ),
        items=frozenset(f"model {full_name(model)}" for model in models),
        patience=PATIENCE,
        warning="" if models else "no model: write models = [...]",
    )


def full_name(model: str) -> str:
    """Give a model's name as ollama lists it: with its tag."""
    return model if ":" in model.rpartition("/")[2] else f"{model}:latest"


MODULE = ServiceModule(service="ollama", needs=needs, setup=setup)
