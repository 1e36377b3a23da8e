# SPDX-License-Identifier: BSD-2-Clause
"""The questions to jails with local models and with Forgejo, put to real servers over HTTP.

A small server that speaks as llama-server does stands in for it: the wire and the shell are real. The text of a
question runs as it is; what FreeBSD alone has is played by a few lines in front of the PATH: fetch(1) with libfetch's
words for what goes wrong, sha256(1), and /etc/rc.conf, which grep and sed are given another file for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from tests.services.samples import agent_with
from warden.facts.inside import forgejo, llama_cpp, ollama
from warden.facts.inside.common import HEAD
from warden.resources.desired import LlmServer
from warden.services import llm
from warden.services.answers import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FETCH = """\
import socket, sys, urllib.error, urllib.request
quiet, timeout, seconds, output, file, url = sys.argv[1:]
assert (quiet, timeout, output) == ("-q", "-T", "-o"), sys.argv
try:
    body = urllib.request.urlopen(url, timeout=float(seconds)).read()
except urllib.error.HTTPError as error:
    words = {404: "Not Found", 500: "Internal Server Error", 503: "Service Unavailable"}
    sys.exit(f"fetch: {url}: {words[error.code]}")
except (TimeoutError, socket.timeout):
    sys.exit(f"fetch: {url}: Operation timed out")
except urllib.error.URLError as error:
    sys.exit(f"fetch: {url}: {error.reason.strerror if isinstance(error.reason, OSError) else error.reason}")
if file == "-":
    sys.stdout.buffer.write(body)
else:
    open(file, "wb").write(body)
"""
ELSEWHERE = """\
#!/bin/sh
for word; do
    shift
    [ "$word" = /etc/rc.conf ] && word={rc_conf}
    set -- "$@" "$word"
done
exec /usr/bin/env PATH=/bin:/usr/bin {program} "$@"
"""


@dataclass
class Server:
    """An HTTP server on this machine whose answers, by path, are changed as a test goes."""

    port: int = 0
    answers: dict[str, tuple[int, object]] = field(default_factory=dict)
    slow: float = 0

    def loads(self) -> None:
        """Answer as llama-server does while it reads its model."""
        body = {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}
        self.answers = dict.fromkeys(("/health", "/v1/models"), (503, body))

    def serves(self, model: str) -> None:
        """Answer as llama-server does once it has read its model."""
        listed = {"object": "list", "data": [{"id": model, "object": "model", "owned_by": "llamacpp"}]}
        said = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}}], "model": model}
        self.answers = {
            "/health": (200, {"status": "ok"}),
            "/v1/models": (200, listed),
            "/v1/chat/completions": (200, said),
        }


@contextmanager
def serving() -> Iterator[Server]:
    """Serve on a free port of the loopback interface."""
    server = Server()
    ending = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if server.slow:
                ending.wait(server.slow)
            status, body = server.answers.get(self.path, (404, {"error": "not found"}))
            data = json.dumps(body, separators=(",", ":")).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the library
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server.port = http.server_port
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        ending.set()
        http.shutdown()
        http.server_close()
        thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Give a PATH that begins with what FreeBSD has and this machine has not."""
    folder = tmp_path / "bin"
    folder.mkdir()
    rc_conf = tmp_path / "rc.conf"
    rc_conf.write_text('warden_llm_enable="YES"\nforgejo_enable="YES"\n')
    (folder / "fetch.py").write_text(FETCH)
    programs = {
        "fetch": f'#!/bin/sh\nexec {sys.executable} -S {folder}/fetch.py "$@"\n',
        "sha256": "#!/bin/sh\nsha256sum | cut -d ' ' -f 1\n",
        **{program: ELSEWHERE.format(program=program, rc_conf=rc_conf) for program in ("grep", "sed")},
    }
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return f"{folder}:/bin:/usr/bin"


@pytest.fixture
def ask(path: str) -> Callable[[str, int], list[str]]:
    """Give a function that runs a question as it is run in a jail."""

    def ask(question: str, port: int) -> list[str]:
        result = subprocess.run(
            ["/bin/sh", "-c", HEAD + question, "sh", "127.0.0.1", str(port), "18", "", "atlas"],
            input="\n",
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
            env={**os.environ, "PATH": path},
        )
        assert (result.returncode, result.stderr) == (0, "")
        return [line for line in result.stdout.splitlines() if not line.startswith("item hosts ")]

    return ask


def test_a_model_that_is_being_read_is_ill_and_then_healthy(
    server: Server, ask: Callable[[str, int], list[str]]
) -> None:
    server.loads()
    assert ask(llama_cpp.QUESTION, server.port) == ["variable warden_llm_enable YES", "ill loading model"]
    server.serves("qwen3-8b-q4")
    assert ask(llama_cpp.QUESTION, server.port)[1:] == ["item model qwen3-8b-q4", "healthy"]


def test_who_does_not_answer_is_ill_and_the_log_is_named(ask: Callable[[str, int], list[str]]) -> None:
    with serving() as gone:
        port = gone.port
    said = ask(llama_cpp.QUESTION, port)[-1]
    assert said == f"ill no answer on 127.0.0.1:{port}: Connection refused; see /var/log/warden_llm.log in the jail"


def test_who_answers_late_is_not_waited_for(server: Server, ask: Callable[[str, int], list[str]]) -> None:
    server.serves("qwen3")
    server.slow = 30
    assert ask(llama_cpp.QUESTION, server.port)[-1].startswith(f"ill no answer on 127.0.0.1:{server.port}: ")


def test_another_server_at_its_port_is_ill(server: Server, ask: Callable[[str, int], list[str]]) -> None:
    server.answers = {"/health": (200, {"status": "ok"}), "/v1/models": (200, {"object": "list", "data": []})}
    assert ask(llama_cpp.QUESTION, server.port)[-1].startswith("ill no model in the answer")
    server.answers = {}
    assert ask(llama_cpp.QUESTION, server.port)[-1].startswith("ill no answer on")


def test_an_agent_s_own_client_reaches_the_model_by_what_it_is_told(server: Server) -> None:
    server.serves("qwen3")
    agent, _ = agent_with("llama-cpp")
    own = LlmServer(service="llama-cpp", address=IPv4Address("127.0.0.1"), port=server.port)
    told = llm.environment(replace(agent, llm=own))
    request = urllib.request.Request(  # noqa: S310 - of this machine
        f"{told['OPENAI_BASE_URL']}/chat/completions",
        json.dumps({"model": "qwen3", "messages": [{"role": "user", "content": "hi"}]}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - of this machine
        assert json.load(answer)["choices"][0]["message"]["content"] == "hello"


def test_ollama_tells_its_models(server: Server, ask: Callable[[str, int], list[str]]) -> None:
    assert ask(ollama.QUESTION, server.port)[-1].startswith("ill no answer on")
    server.answers = {"/api/version": (200, {"version": "0.24.0"}), "/api/tags": (200, {"models": []})}
    assert ask(ollama.QUESTION, server.port)[1:] == ["healthy"]
    names = ("qwen3:8b", "hf.co/some/model:Q4_K_M")
    models = [{"name": name, "model": name, "details": {"family": "qwen3", "families": ["qwen3"]}} for name in names]
    server.answers["/api/tags"] = (200, {"models": models})
    assert ask(ollama.QUESTION, server.port)[1:] == [*(f"item model {name}" for name in names), "healthy"]


def test_forgejo_says_itself_whether_it_is_well(server: Server, ask: Callable[[str, int], list[str]]) -> None:
    server.answers = {"/api/healthz": (500, {"status": "fail"})}
    assert "/api/healthz: Internal Server Error; see" in ask(forgejo.QUESTION, server.port)[-1]
    server.answers = {"/api/healthz": (200, {"status": "pass"})}
    assert ask(forgejo.QUESTION, server.port) == ["variable forgejo_enable YES", "healthy"]


def test_the_wait_ends_when_the_server_answers_and_not_before(server: Server, path: str) -> None:
    """The script of `wait_for`, which runs in the jail before models are fetched."""

    def wait(seconds: int) -> subprocess.Popen[str]:
        url = f"http://127.0.0.1:{server.port}/health"
        argv = wait_for("atlasllm", url, seconds=seconds, log="/var/log/x.log").argv
        script = argv[argv.index("/bin/sh") :]
        return subprocess.Popen(script, stderr=subprocess.PIPE, text=True, env={**os.environ, "PATH": path})

    server.loads()
    waits = wait(60)
    with pytest.raises(subprocess.TimeoutExpired):
        waits.wait(timeout=2)
    server.serves("qwen3")
    assert waits.communicate(timeout=20)[1] == ""
    assert waits.returncode == 0
    server.loads()
    gives_up = wait(1)
    assert "does not answer; what the server says is in /var/log/x.log" in gives_up.communicate(timeout=20)[1]
    assert gives_up.returncode == 1


@pytest.mark.parametrize("question", [llama_cpp.QUESTION, ollama.QUESTION, forgejo.QUESTION])
def test_the_questions_please_shellcheck(question: str, tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    path = tmp_path / "question"
    path.write_text(f"#!/bin/sh\n{HEAD}{question}")
    # the head sets for all questions what one of them may not read
    argv = [require_tool("shellcheck"), "-s", "sh", "-e", "SC2034", str(path)]
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
