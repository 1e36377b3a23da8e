# SPDX-License-Identifier: BSD-2-Clause
"""llama.cpp: llama-server with one model, which is a file of the host in a folder that agents can share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.host.command import Command
from warden.resources.desired import Mount
from warden.resources.errors import RefusedError
from warden.services import llm
from warden.services.shape import Needs, ServiceModule, Setup, inside

if TYPE_CHECKING:
    from warden.resources.desired import DesiredAgent, DesiredJail

PACKAGE = "llama-cpp"
SERVER = "/usr/local/bin/llama-server"
MODELS = "/models"
"""Where the jail has the folder of its model."""
PATIENCE = 600
"""Seconds that a big model may take to be read."""

# the model is looked for where it is, and then as the server is going to: one message tells what is wrong with the
# file, the other what is wrong with its mode, or with the mount
_ON_HOST = """\
[ -f "$1" ] && exit 0
echo "there is no model $1 on the host: put it there, or write another model = ... for the jail $2" >&2
exit 1
"""
_IN_JAIL = """\
[ -r "$1" ] && exit 0
echo "the user $2 of the jail cannot read $1, on the host $3: let others read it (chmod o+r)" >&2
exit 1
"""
_STOP = '[ ! -x "$1" ] || service "$2" onestop || true'


def needs(agent: DesiredAgent, jail: DesiredJail) -> Needs:
    """Give what llama-server needs: the folder of its model, to read."""
    model = jail.settings.model
    if model is None:
        return Needs()
    folder = model.rpartition("/")[0]
    if not folder:
        raise RefusedError(
            f"{agent.name}: {jail.name} would have the whole host to read, as {model} lies in /",
            hint="put the model into a folder of its own: all that lies beside it can be read in the jail",
        )
    return Needs(mounts=(Mount(source=folder, target=MODELS, writable=False),))


def setup(_agent: DesiredAgent, jail: DesiredJail) -> Setup:
    """Give how llama-server is set up; without a model it is installed, and nothing is started."""
    model = jail.settings.model
    if model is None:
        return Setup(
            title="llama-server without a model",
            packages=(PACKAGE,),
            variables={llm.VARIABLE: "NO"},
            prepare=(inside(jail.name, "/bin/sh", "-c", _STOP, "sh", llm.SCRIPT, llm.DAEMON),),
            warning="no model: write model = ...",
        )
    name = model_name(model)
    file = f"{MODELS}/{model.rpartition('/')[2]}"
    server = (
        *(SERVER, "--model", file, "--alias", name, "--host", str(jail.address), "--port", str(jail.port)),
        *("--parallel", str(jail.settings.parallel), "--ctx-size", str(jail.settings.context)),
    )
    return Setup(
        title=f"llama-server with {name} on port {jail.port}",
        packages=(PACKAGE,),
        variables={llm.VARIABLE: "YES"},
        files=(llm.script("llama-server", *server),),
        prepare=(llm.make_user(jail.name, "/var/empty"),),
        check=(
            Command(argv=("/bin/sh", "-c", _ON_HOST, "sh", model, jail.name)),
            inside(jail.name, "/bin/sh", "-c", _IN_JAIL, "sh", file, llm.USER, model, user=llm.USER),
        ),
        daemon=llm.DAEMON,
        items=frozenset({f"model {name}"}),
        patience=PATIENCE,
    )


def model_name(path: str) -> str:
    """Give the name that clients ask for a model by: its file's, without the ending."""
    return path.rpartition("/")[2].removesuffix(".gguf")


MODULE = ServiceModule(service="llama-cpp", needs=needs, setup=setup)
