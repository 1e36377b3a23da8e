# SPDX-License-Identifier: BSD-2-Clause
"""ollama: its server and the commands that ask it, as its own documents docs/api.md and docs/faq.md say.

Its registry is out in the world, and has the few models of REGISTRY.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from warden.host.fake import reach
from warden.host.fake.listeners import LISTENERS, ConnectError, Listener, OutsideError, Socket, connect
from warden.host.fake.packages import PACKAGES, Package, installed
from warden.host.fake.processes import account
from warden.host.fake.program import Call, Reply, WaitingError, program, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.host.fake.machine import Machine, Process

PATH = "/usr/local/bin/ollama"
REGISTRY = {"qwen3:8b": 5_200_000_000, "llama3.2:latest": 2_000_000_000, "nomic-embed-text:latest": 274_000_000}
"""The models that can be had, and how big they are in bytes; here a model is its size in words."""
REGISTRY_ADDRESS = "192.0.2.81"
"""Where the registry is, for the way that packets take there: an address that nobody has."""
LIBRARY = "manifests/registry.ollama.ai/library"
_HOST, _MODELS = "OLLAMA_HOST", "OLLAMA_MODELS"
NO_SERVER = "Error: could not connect to ollama server, run 'ollama serve' to start it\n"

PACKAGES["ollama"] = Package({PATH: ""})


@program(PATH, "ollama serve", "ollama list", "ollama show MODEL", "ollama pull MODEL", package="ollama")
def ollama(call: Call) -> Reply:
    """Serve models, or ask the server that does; OLLAMA_HOST says where that is."""
    if call.args == ("serve",):
        return _serve(call)
    if call.args == ("list",) or (len(call.args) == 2 and call.args[0] in ("show", "pull")):
        try:
            socket = connect(call, *_address(call.environment))
        except (ConnectError, OutsideError):
            return say(error=NO_SERVER, status=1)
        if socket.program != "ollama":
            raise call.unsupported("ollama that asks another program")
        return _ask(call, socket)
    raise call.unsupported()


def _address(environment: dict[str, str]) -> tuple[str, int]:
    host, _, port = environment.get(_HOST, "127.0.0.1:11434").removeprefix("http://").partition(":")
    return host, int(port or "11434")


def _serve(call: Call) -> Reply:
    process = call.machine.processes.get(call.pid)
    if process is None:
        raise call.unsupported("ollama serve that is waited for")
    if not call.environment.get("HOME"):
        return say(error="Error: $HOME is not defined\n", status=1)
    models = call.environment.get(_MODELS, f"{call.environment['HOME']}/.ollama/models")
    folder = call.files.lookup(models, root=call.root)
    fields = account(call.files, call.user, call.root)
    if folder is None or not fields or (folder.uid != int(fields[2]) and call.user != "root"):
        return say(error=f"Error: mkdir {models}: permission denied\n", status=1)
    process.environment |= {_HOST: "{}:{}".format(*_address(call.environment)), _MODELS: models}
    raise WaitingError(call.argv, 0)


def _ask(call: Call, socket: Socket) -> Reply:
    kept = _models(call.machine, socket.process)
    if call.args == ("list",):
        head = f"{'NAME':<26}{'ID':<16}{'SIZE':<10}MODIFIED\n"
        rows = (f"{name:<26}{'0' * 12:<16}{f'{size / 1e9:.1f} GB':<10}now\n" for name, size in sorted(kept.items()))
        return say(head + "".join(rows))
    name = call.args[1] if ":" in call.args[1] else f"{call.args[1]}:latest"
    if call.args[0] == "show":
        if name not in kept:
            return say(error=f"Error: model '{call.args[1]}' not found\n", status=1)
        return say(f"  Model\n    parameters    {kept[name]}\n")
    return _pull(call, socket, name)


def _pull(call: Call, socket: Socket, name: str) -> Reply:
    """Let the server fetch a model: it is the server's way to the registry that counts."""
    model, _, tag = name.partition(":")
    url = f"https://registry.ollama.ai/v2/library/{model}/manifests/{tag}"
    server = socket.process
    packet = reach.Packet("", REGISTRY_ADDRESS, "tcp", 443)
    if not reach.gets_out(call.machine, call.machine.stack(server.jail), packet):
        reason = "dial tcp: lookup registry.ollama.ai: no such host"
        return say(error=f'pulling manifest\nError: pull model manifest: Get "{url}": {reason}\n', status=1)
    if name not in REGISTRY:
        return say(error="pulling manifest\nError: pull model manifest: file does not exist\n", status=1)
    root = call.machine.root_of(server.jail)
    folder = f"{server.environment[_MODELS]}/{LIBRARY}/{model}"
    uid, gid = (int(field) for field in account(call.files, server.user, root)[2:4])
    call.files.make_dir(folder, root=root, parents=True)
    call.files.write(f"{folder}/{tag}", str(REGISTRY[name]).encode(), root=root, uid=uid, gid=gid)
    return say(error="pulling manifest\nverifying sha256 digest\nwriting manifest\nsuccess\n")


def _models(machine: Machine, process: Process) -> dict[str, int]:
    """Give the models that a server has, and their sizes."""
    root, folder = machine.root_of(process.jail), f"{process.environment[_MODELS]}/{LIBRARY}"
    if not machine.files.is_dir(folder, root=root):
        return {}
    return {
        f"{model}:{tag}": int(machine.files.text(f"{folder}/{model}/{tag}", root=root))
        for model in machine.files.list_dir(folder, root=root)
        for tag in machine.files.list_dir(f"{folder}/{model}", root=root)
    }


def _where(_machine: Machine, process: Process) -> Iterator[tuple[str, int]]:
    if process.argv[1:] == ["serve"]:
        yield _address(process.environment)


def _http(call: Call, process: Process, path: str) -> tuple[int, bytes]:
    if path == "/api/version":
        return 200, _json({"version": installed(call.machine, process.jail)["ollama"]})
    if path == "/api/tags":
        kept = _models(call.machine, process)
        return 200, _json({"models": [{"name": name, "model": name, "size": size} for name, size in kept.items()]})
    raise call.unsupported(f"ollama: GET {path}")


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


LISTENERS["ollama"] = Listener(_where, _http)
