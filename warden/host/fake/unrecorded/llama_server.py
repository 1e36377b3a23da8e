# SPDX-License-Identifier: BSD-2-Clause
"""llama-server of the package llama-cpp, as the README of llama.cpp's tools/server says.

It answers as soon as it runs, and until its model is read every answer is 503. The model itself is any file here.
"""

from __future__ import annotations

import json
from getopt import GetoptError, gnu_getopt
from typing import TYPE_CHECKING

from warden.host.fake.listeners import LISTENERS, Listener
from warden.host.fake.packages import PACKAGES, Package
from warden.host.fake.processes import advance
from warden.host.fake.program import Call, Reply, WaitingError, program, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.host.fake.machine import Machine, Process

PATH = "/usr/local/bin/llama-server"
READING = 3
"""Seconds that every model takes to be read."""
_OPTIONS = ("model=", "alias=", "host=", "port=", "parallel=", "ctx-size=")
_NUMBERS = ("--port", "--parallel", "--ctx-size")
_BEGAN = "fake llama-server began"
"""Stands in its environment: the second of the clock at which it began to read its model."""

PACKAGES["llama-cpp"] = Package({PATH: "", "/usr/local/bin/llama-cli": "", "/usr/local/etc/rc.d/llama-server": ""})


@program(
    PATH,
    "llama-server --model FILE [--alias NAME] [--host ADDRESS] [--port PORT] [--parallel COUNT] [--ctx-size TOKENS]",
    package="llama-cpp",
)
def llama_server(call: Call) -> Reply:
    """Serve a model until it is killed; without the model's file it ends at once."""
    try:
        found, rest = gnu_getopt(list(call.args), "", _OPTIONS)
    except GetoptError as error:
        return say(error=f"error: invalid argument: --{error.opt}\n", status=1)
    options = dict(found)
    if rest:
        return say(error=f"error: invalid argument: {rest[0]}\n", status=1)
    if "--model" not in options or not all(options.get(name, "1").isdigit() for name in _NUMBERS):
        raise call.unsupported()
    node = call.files.lookup(call.path(options["--model"]), root=call.root)
    if node is None or node.kind != "file":
        failed = f"llama_model_load_from_file_impl: failed to load model '{options['--model']}'\n"
        return say(error=f"{failed}main: exiting due to model loading error\n", status=1)
    process = call.machine.processes.get(call.pid)
    if process is None:
        raise call.unsupported("llama-server that is waited for")
    process.environment[_BEGAN] = str(call.machine.clock)
    raise WaitingError(call.argv, 0)


def _options(process: Process) -> dict[str, str]:
    return dict(gnu_getopt(process.argv[1:], "", _OPTIONS)[0])


def _where(_machine: Machine, process: Process) -> Iterator[tuple[str, int]]:
    options = _options(process)
    yield options.get("--host", "127.0.0.1"), int(options.get("--port", "8080"))


def _http(call: Call, process: Process, path: str) -> tuple[int, bytes]:
    """Answer a request; while it reads its model, each answer takes a second."""
    if call.machine.clock < int(process.environment[_BEGAN]) + READING:
        advance(call.machine, 1)
        return 503, _json({"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}})
    if path in ("/health", "/v1/health"):
        return 200, _json({"status": "ok"})
    if path in ("/models", "/v1/models"):
        options = _options(process)
        name = options.get("--alias", options["--model"])
        model = {"id": name, "object": "model", "created": call.machine.clock, "owned_by": "llamacpp"}
        return 200, _json({"object": "list", "data": [model]})
    raise call.unsupported(f"llama-server: GET {path}")


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


LISTENERS["llama-server"] = Listener(_where, _http)
