# SPDX-License-Identifier: BSD-2-Clause
"""nginx of the fake host, set up as Warden does it, and its configuration beside what the real nginx says of it."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
from functools import cache
from typing import TYPE_CHECKING

import pytest

from tests.host.fake.one_jail import OneJail
from tests.services.samples import agent_with
from warden.facts.inside import cms as question
from warden.host.fake.machine import Machine
from warden.host.fake.persist import from_json, to_json
from warden.host.fake.program import UnsupportedError
from warden.services import cms

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

AGENT, DESIRED = agent_with("cms")
SETUP = cms.setup(AGENT, DESIRED)
SITE = "/usr/local/www/atlas"
URL = "http://10.0.1.2"


@cache
def _pickled() -> bytes:
    jail = OneJail("atlascms")
    jail.prepare(SETUP)
    assert jail.inside("service", "nginx", "start")[0] == 0
    return pickle.dumps(jail)


@pytest.fixture
def jail() -> OneJail:
    found: OneJail = pickle.loads(_pickled())  # noqa: S301 - made a moment ago
    return found


def answer(jail: OneJail) -> list[str]:
    return jail.ask(question.QUESTION, 80)


def publish(jail: OneJail, path: str, text: str) -> None:
    place = jail.path(f"{SITE}/{path}")
    jail.machine.files.make_dir(place.rpartition("/")[0], parents=True)
    jail.machine.files.write(place, text.encode())


def get(jail: OneJail, path: str) -> str:
    """Fetch a page from the host; what is wrong is said instead."""
    code, said, error = jail.host("fetch", "-q", "-T", "3", "-o", "-", f"{URL}{path}")
    return error.rstrip("\n").rpartition(": ")[2] if code else said


def test_a_bare_jail_is_ill() -> None:
    assert answer(OneJail("atlascms"))[-1] == "ill nginx does not answer at http://10.0.1.2:80/.warden/health"


def test_it_is_set_up_and_asked(jail: OneJail) -> None:
    assert jail.fits(SETUP, answer(jail))
    assert "10.0.1.2:80" in jail.inside("sockstat", "-4l")[1]


def test_the_host_reaches_the_site(jail: OneJail) -> None:
    publish(jail, "index.html", "<h1>atlas</h1>")
    publish(jail, "notes/one", "one")
    publish(jail, ".git/config", "secret")
    publish(jail, "a/.env", "secret")
    publish(jail, ".well-known/security.txt", "Contact: atlas")
    assert get(jail, "/") == "<h1>atlas</h1>"
    assert get(jail, "/notes/one") == "one"
    assert get(jail, "/notes/") == "Forbidden"
    assert get(jail, "/nothing") == get(jail, "/.git/config") == get(jail, "/a/.env") == "Not Found"
    assert get(jail, "/.well-known/security.txt") == "Contact: atlas"
    assert get(jail, "/../../../etc/passwd") == get(jail, "/%2e%2e/%2e%2e/etc/passwd") == "Not Found"
    assert get(jail, cms.HEALTH) == "ok\n"


def test_a_file_that_others_may_not_read(jail: OneJail) -> None:
    publish(jail, "private.html", "private")
    jail.machine.files.node(jail.path(f"{SITE}/private.html")).mode = 0o600
    assert get(jail, "/private.html") == "Forbidden"


def test_it_survives_a_reboot(jail: OneJail) -> None:
    publish(jail, "index.html", "<h1>atlas</h1>")
    jail.machine = from_json(Machine, to_json(jail.machine))
    jail.reboot()
    assert answer(jail)[-1] == "healthy"
    assert get(jail, "/") == "<h1>atlas</h1>"


def test_its_script(jail: OneJail) -> None:
    def pid() -> str:
        return jail.inside("cat", "/var/run/nginx.pid")[1]

    before = pid()
    assert jail.inside("service", "nginx", "status") == (0, f"nginx is running as pid {before.strip()}.\n", "")
    assert jail.inside("service", "nginx", "configtest")[0] == 0
    assert jail.inside("service", "nginx", "reload")[0] == 0
    assert pid() == before
    assert jail.inside("service", "nginx", "restart")[0] == 0
    assert pid() != before
    assert jail.inside("service", "nginx", "stop")[0] == 0
    assert get(jail, "/") == "Connection refused"
    assert answer(jail)[-1].startswith("ill nginx does not answer")


def test_a_wrong_configuration_stops_nothing_that_runs(jail: OneJail) -> None:
    text = jail.inside("cat", cms.CONFIG)[1]
    jail.machine.files.write(jail.path(cms.CONFIG), text.replace("sendfile on;", "sendfile on").encode())
    for verb in ("reload", "restart", "configtest"):
        code, _, error = jail.inside("service", "nginx", verb)
        assert code != 0, verb
        assert "nginx: configuration file /usr/local/etc/nginx/nginx.conf test failed" in error
    assert jail.inside("pgrep", "-x", "nginx")[0] == 0
    assert jail.host(*SETUP.check[0].argv)[0] == 1


def test_an_address_that_is_not_there(jail: OneJail) -> None:
    text = jail.inside("cat", cms.CONFIG)[1]
    jail.machine.files.write(jail.path(cms.CONFIG), text.replace("10.0.1.2:80", "10.0.1.99:80").encode())
    error = "nginx: [emerg] bind() to 10.0.1.99:80 failed (49: Can't assign requested address)\n"
    assert error in jail.inside("/usr/local/sbin/nginx", "-t")[2]


def test_an_address_that_is_taken(jail: OneJail) -> None:
    error = "nginx: [emerg] bind() to 10.0.1.2:80 failed (48: Address already in use)\n"
    assert jail.inside("/usr/local/sbin/nginx") == (1, "", error)
    assert jail.inside("/usr/local/sbin/nginx", "-t")[0] == 0


def test_logs_that_cannot_be_opened(jail: OneJail) -> None:
    jail.machine.files.remove(jail.path("/var/log/nginx"), recursive=True)
    code, _, error = jail.inside("/usr/local/sbin/nginx", "-t", "-q")
    assert code == 1
    assert 'open() "/var/log/nginx/error.log" failed (2: No such file or directory)' in error
    jail.run(*SETUP.prepare, *SETUP.check)


def test_what_the_check_says(jail: OneJail) -> None:
    said = (
        f"nginx: the configuration file {cms.CONFIG} syntax is ok\n"
        f"nginx: configuration file {cms.CONFIG} test is successful\n"
    )
    assert jail.inside("/usr/local/sbin/nginx", "-t") == (0, "", said)
    assert jail.inside("/usr/local/sbin/nginx", "-t", "-q") == (0, "", "")
    lost = (
        'nginx: [emerg] open() "/no.conf" failed (2: No such file or directory)\n'
        "nginx: configuration file /no.conf test failed\n"
    )
    assert jail.inside("/usr/local/sbin/nginx", "-t", "-c", "/no.conf") == (1, "", lost)
    assert jail.inside("/usr/local/sbin/nginx", "-v")[2].startswith("nginx version: nginx/1.")


@pytest.mark.parametrize("argv", [("-s", "reload"), ("-T",), ("-g", "daemon off;"), ("-V",), ("-q",), ("-tv",)])
def test_what_is_not_understood_is_refused(jail: OneJail, argv: tuple[str, ...]) -> None:
    with pytest.raises(UnsupportedError):
        jail.inside("/usr/local/sbin/nginx", *argv)


@pytest.mark.parametrize(
    "text",
    [
        "events {} http { gzip on; }",
        "events {} http { include conf.d/*.conf; }",
        "events {} http { server { listen [::]:80; } }",
        "events {} http { server { listen 80 reuseport; } }",
        "events {} http { server { location ~ /(?<!x { } } }",
    ],
)
def test_configurations_that_are_not_understood_are_refused(jail: OneJail, text: str) -> None:
    jail.machine.files.write(jail.path("/tmp/nginx.conf"), text.encode())
    with pytest.raises(UnsupportedError):
        jail.inside("/usr/local/sbin/nginx", "-t", "-c", "/tmp/nginx.conf")


WRONG = (
    *("", "events {}", "events {} http {}", "# nothing\nevents {\n}\nhttp {\n}\n", "events {} events {} http {}"),
    *("http {}", "events {} http {", "events {} http { } }", "events {} http { bogus 1; }", "events {} server {}"),
    *("events {} http { sendfile; }", "events {} http { sendfile maybe; }", "events {} http { sendfile on off; }"),
    *("events {} http { sendfile on; sendfile off; }", "events {} http { root /a; root /b; }", "events;"),
    *("events {} http { sendfile on }", "events {} http { sendfile on { } }", "events {} http { ; }", "{}", "}"),
    *("events {} http { include /no/such; }", "events {} user nosuch; http {}", "user root; events {} http {}"),
    *("events {} http { server { listen %d; listen %d; } }", "events {} http { server { listen 127.0.0.1:99999; } }"),
    "events {} http { server { listen %d default_server; } server { listen %d default_server; } }",
    *("events {} http { location / {} }", "events {} http { server { location / {} location / {} } }"),
    *("events {} http { server { location = / { return xx; } } }", "events {} http { server { location x / { } } }"),
    *('events {} http { server { location / { return 200 "ok; } } }', "events {} http { index a b\n\n c; bogus; }"),
    *(
        'events {} http { root "/a"b; }',
        "events {} http { root '/a b'; }",
        "events { worker_connections 5 6; } http {}",
    ),
    *("events {} http { server { listen 127.0.0.1:%d; location / { try_files $uri; } } }", "events {} htp {}"),
    *("events {} http { types { text/html html; a b c; } }", "pid a b; events {}", "listen 80; events {} http {}"),
)


@pytest.mark.skipif(os.geteuid() != 0, reason="nginx opens the logs that it was built with")
@pytest.mark.parametrize("text", WRONG)
def test_nginx_itself_says_the_same(
    jail: OneJail, text: str, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """Word for word, but for the number of the error and the place of the file."""
    nginx = require_tool("nginx")
    text = text.replace("%d", "48231")
    head = f"error_log {tmp_path}/error.log; pid {tmp_path}/pid;\n"
    path = tmp_path / "nginx.conf"
    path.write_text(head + text)
    done = subprocess.run([nginx, "-t", "-c", path], capture_output=True, text=True, check=False, timeout=60)
    jail.machine.files.make_dir(jail.path(str(tmp_path)), parents=True)
    jail.machine.files.write(jail.path(str(path)), (head + text).encode())
    code, _, error = jail.inside("/usr/local/sbin/nginx", "-t", "-c", str(path))
    # nginx puts a date before what it says while its log is standard error itself
    real = re.sub(r"^\d{4}/.*? \[(\w+)\] \d+#\d+: ", r"nginx: [\1] ", done.stderr, flags=re.MULTILINE)
    real = re.sub(r"^nginx: \[(warn|alert|notice)\].*\n", "", real, flags=re.MULTILINE)
    assert (code, error) == (done.returncode, real)
