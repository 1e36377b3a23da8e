# SPDX-License-Identifier: BSD-2-Clause
"""The site of an agent, served by a real nginx with the configuration that Warden generates."""

from __future__ import annotations

import http.client
import os
import shutil
from dataclasses import replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

import pytest

from tests.services.real.jail_root import JailRoot, free_port
from tests.services.samples import agent_with
from tests.ssh.rig.newroot import inside as real_path
from tests.ssh.rig.tools import RigUnavailableError
from warden.facts.inside import cms as inside_cms
from warden.services import cms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from warden.host.command import Command

TYPES = "types { text/html html; text/css css; image/png png; }\n"
BODY_FOLDER = "var/lib/nginx"


class Site:
    """An agent's jail with its nginx."""

    def __init__(self, folder: Path, nginx: str) -> None:
        self.agent, jail = agent_with("cms", port=free_port())
        # of the jail's two addresses there is only this one here
        self.jail = replace(jail, address=IPv4Address("127.0.0.1"))
        self.root = JailRoot(folder / "root")
        (self.root.root / "usr/local/sbin/nginx").symlink_to(real_path(nginx))
        self.root.write("/usr/local/etc/nginx/mime.types", TYPES.encode())
        made = cms.setup(self.agent, self.jail)
        files = [replace(file, content=_once(file.content)) for file in made.files]
        check = tuple(_with_config(command) for command in made.check)
        self.setup = replace(made, files=tuple(files), check=check)

    def serve(self) -> None:
        self.root.set_up(self.setup)
        self.root.start(self.jail.port, *NGINX, "-g", "daemon off;")

    @property
    def webroot(self) -> Path:
        return self.root.root / cms.webroot(self.agent).lstrip("/")

    def get(self, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        """Ask for a path as it stands, with no client that makes it plain."""
        connection = http.client.HTTPConnection("127.0.0.1", self.jail.port, timeout=20)
        connection.putrequest(method, path)
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body

    def ask(self) -> list[str]:
        return self.root.ask(inside_cms.QUESTION, "127.0.0.1", str(self.jail.port), "", "", "atlas")


NGINX = ("/usr/local/sbin/nginx", "-c", cms.CONFIG)


def _once(content: bytes) -> bytes:
    """Take one of the two lines out that are the same where the jail's address is 127.0.0.1."""
    lines = content.decode().splitlines(keepends=True)
    listens = [number for number, line in enumerate(lines) if line.strip().startswith("listen ")]
    if listens:
        assert len(listens) == 2
        del lines[listens[1]]
    return "".join(lines).encode()


def _with_config(command: Command) -> Command:
    """Name the configuration, which Debian's nginx looks for elsewhere."""
    words: Any = list(command.argv)
    place = words.index("/usr/local/sbin/nginx")
    return replace(command, argv=(*words[:place], *NGINX, *words[place + 1 :]))


@pytest.fixture
def site(tmp_path: Path, require_tool: Callable[[str], str]) -> Iterator[Site]:
    require_tool("busybox")
    nginx = require_tool("nginx")
    try:
        made = Site(tmp_path, nginx)
    except RigUnavailableError as reason:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(f"no root directory, and with CI=true no check may be left out: {reason}", pytrace=False)
        pytest.skip(str(reason))
    with made.root:
        made.serve()
        yield made


def test_a_file_is_served(site: Site) -> None:
    (site.webroot / "index.html").write_text("<h1>atlas</h1>")
    (site.webroot / "notes").mkdir()
    (site.webroot / "notes/one.css").write_text("a {}")
    status, headers, body = site.get("/")
    assert (status, body) == (200, b"<h1>atlas</h1>")
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["server"] == "nginx"
    assert site.get("/notes/one.css")[2] == b"a {}"
    assert site.get("/notes")[1]["location"] == "/notes/"


def test_what_is_not_there(site: Site) -> None:
    status, _, body = site.get("/nothing")
    assert status == 404
    assert b"nginx/" not in body
    assert site.get("/")[0] == 403
    (site.webroot / "notes").mkdir()
    (site.webroot / "notes/one").write_text("one")
    assert site.get("/notes/")[0] == 403, "no list of a folder"


@pytest.mark.parametrize("path", ["/.git/config", "/.env", "/a/.env", "/%2eenv", "/a/%2Eenv", "//.env", "/x/../.env"])
def test_dotfiles_are_not_served(site: Site, path: str) -> None:
    (site.webroot / ".git").mkdir()
    (site.webroot / "a").mkdir()
    (site.webroot / "x").mkdir()
    for name in (".git/config", ".env", "a/.env"):
        (site.webroot / name).write_text("secret")
    status, _, body = site.get(path)
    assert status == 404
    assert b"secret" not in body


def test_well_known_is_served(site: Site) -> None:
    (site.webroot / ".well-known").mkdir()
    (site.webroot / ".well-known/security.txt").write_text("Contact: atlas")
    assert site.get("/.well-known/security.txt")[2] == b"Contact: atlas"
    (site.webroot / ".well-known/.env").write_text("secret")
    assert site.get("/.well-known/.env")[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        *("/../nginx.conf", "/../../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2f..%2f..%2fetc/passwd"),
        *("/a/../../outside", "/./../outside", "/..\\outside", "/%00/../outside", "/a%00"),
    ],
)
def test_nothing_outside_is_served(site: Site, path: str) -> None:
    (site.webroot.parent / "outside").write_text("outside")
    (site.webroot / "a").mkdir()
    status, _, body = site.get(path)
    assert status in (400, 404), path
    assert b"outside" not in body
    assert b"root:" not in body


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "MKCOL", "PATCH"])
def test_nothing_is_written(site: Site, method: str) -> None:
    (site.webroot / "page.html").write_text("page")
    assert site.get("/page.html", method)[0] == 405
    assert site.get("/new.html", method)[0] in (404, 405)
    assert [path.name for path in site.webroot.iterdir()] == ["page.html"]


def test_the_webroot_can_be_read_only(site: Site) -> None:
    (site.webroot / "page.html").write_text("page")
    site.webroot.chmod(0o555)
    assert site.get("/page.html")[2] == b"page"


def test_health_needs_no_site(site: Site) -> None:
    assert site.get(cms.HEALTH)[::2] == (200, b"ok\n")
    site.webroot.rmdir()
    assert site.get(cms.HEALTH)[::2] == (200, b"ok\n")


def test_the_question_tells_all_that_was_set_up(site: Site) -> None:
    told = site.ask()
    assert told[-1] == "healthy", told
    items = {line.removeprefix("item ") for line in told if line.startswith("item ")}
    assert {item for item in items if not item.startswith("hosts ")} == site.setup.items
    files = {line.split()[-1]: line.split()[1] for line in told if line.startswith("file ")}
    assert files == {file.path: file.mode.lstrip("0") for file in site.setup.files}
    site.root.stop()
    shutil.rmtree(site.webroot)
    told = site.ask()
    assert told[-1] == f"ill nginx does not answer at http://127.0.0.1:{site.jail.port}/.warden/health"
    assert f"item folder {cms.webroot(site.agent)}" not in told


def test_the_check_refuses_a_configuration_that_is_wrong(site: Site) -> None:
    config = site.root.root / cms.CONFIG.lstrip("/")
    config.write_text(config.read_text().replace("sendfile on;", "sendfile on"))
    assert site.root.carry_out(site.setup.check[0]).returncode != 0


def test_the_configuration_is_the_one_of_the_jail() -> None:
    """What the test changes is the second address and the name of the configuration, and nothing else."""
    agent, jail = agent_with("cms")
    text = cms.nginx_config(agent, jail)
    assert text.count("listen 10.0.1.2:80 default_server;") == text.count("listen 127.0.0.1:80 default_server;") == 1
