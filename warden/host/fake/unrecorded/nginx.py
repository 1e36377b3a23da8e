# SPDX-License-Identifier: BSD-2-Clause
"""nginx: its check, its master process, and the files that it serves, as nginx(8) and its documentation say.

Of its processes only the master is played; the workers would come and go with it. What it serves is what the
configuration says at the time of the request. Its rc.d script is no copy of the port's, and does the same.
"""

from __future__ import annotations

import re
from posixpath import normpath
from typing import TYPE_CHECKING
from urllib.parse import unquote

from warden.host.fake.listeners import LISTENERS, Listener, sockets
from warden.host.fake.options import getopt
from warden.host.fake.packages import PACKAGES, Package, installed
from warden.host.fake.processes import account, spawn
from warden.host.fake.program import Call, Reply, program, say
from warden.host.fake.unrecorded.nginx_conf import (
    LOCATION,
    NO_FILE,
    SERVER,
    Block,
    ConfigError,
    Reader,
    UnknownError,
    address_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.host.fake.file_node import Node
    from warden.host.fake.machine import Machine, Process

PATH = "/usr/local/sbin/nginx"
FOLDER = "/usr/local/etc/nginx"
CONFIG = f"{FOLDER}/nginx.conf"
PID, ERROR_LOG, ACCESS_LOG = "/var/run/nginx.pid", "/var/log/nginx/error.log", "/var/log/nginx/access.log"
ANY_ADDRESS = "0.0.0.0"
REASONS = {403: "403 Forbidden", 404: "404 Not Found"}
SAMPLE = """\
worker_processes  1;

events {
    worker_connections  1024;
}

http {
    include       mime.types;
    default_type  application/octet-stream;
    sendfile        on;
    keepalive_timeout  65;

    server {
        listen       80;
        server_name  localhost;

        location / {
            root   /usr/local/www/nginx;
            index  index.html index.htm;
        }
    }
}
"""
SCRIPT = """\
#!/bin/sh
# PROVIDE: nginx
# REQUIRE: LOGIN cleanvar
# KEYWORD: shutdown

. /etc/rc.subr
name=nginx
rcvar=nginx_enable
load_rc_config $name
: ${nginx_enable:=NO}
command=/usr/local/sbin/nginx
pidfile=/var/run/nginx.pid
required_files=/usr/local/etc/nginx/nginx.conf
extra_commands="reload configtest"
start_precmd=nginx_try
restart_precmd=nginx_try
reload_precmd=nginx_try
configtest_cmd=nginx_try
nginx_try()
{
	echo "Performing sanity check on nginx configuration:"
	$command $nginx_flags -t
}
run_rc_command "$1"
"""
PACKAGES["nginx"] = Package(
    {
        PATH: "",
        "/usr/local/etc/rc.d/nginx": SCRIPT,
        CONFIG: SAMPLE,
        f"{CONFIG}-dist": SAMPLE,
        f"{FOLDER}/mime.types": "types {\n    text/html  html htm shtml;\n    text/css  css;\n}\n",
        "/usr/local/www/nginx-dist/index.html": "<h1>Welcome to nginx!</h1>\n",
    },
    folders=(("/var/tmp/nginx", "www:www", 0o755), ("/var/log/nginx", "root:wheel", 0o755)),
)


class StartError(Exception):
    """nginx does not start; the text is what it says."""


@program(PATH, "nginx [-c FILE] [-t [-q]]", "nginx -v", package="nginx")
def nginx(call: Call) -> Reply:
    """Check a configuration, or start with it."""
    flags, rest, wrong = getopt(call.args, "c:tqv")
    if wrong or rest:
        raise call.unsupported()
    if flags.keys() == {"v"}:
        version = installed(call.machine, call.jail)["nginx"].partition("_")[0].partition(",")[0]
        return say(error=f"nginx version: nginx/{version}\n")
    if "v" in flags or ("q" in flags and "t" not in flags):
        raise call.unsupported()
    path, testing = flags.get("c", [CONFIG])[-1], "t" in flags
    said = ""
    try:
        main = Reader(call.files, call.root, path).read()
        said = f"nginx: the configuration file {path} syntax is ok\n" if testing and "q" not in flags else ""
        _open_logs(call, main)
        _bind(call, main, testing=testing)
    except UnknownError as unknown:
        raise call.unsupported(str(unknown)) from None
    except (ConfigError, StartError) as failure:
        if testing and not said and getattr(failure, "late", False):
            said = f"nginx: the configuration file {path} syntax is ok\n"
        error = f"{said}nginx: [emerg] {failure}\n"
        return say(error=f"{error}nginx: configuration file {path} test failed\n" if testing else error, status=1)
    if testing:
        return say(error=f"{said}nginx: configuration file {path} test is successful\n" if said else "")
    master = spawn(call.machine, call.argv, jail=call.jail, title=f"nginx: master process {' '.join(call.argv)}")
    pid_file = main.get("pid", [PID])[0]
    call.files.write(pid_file, f"{master.pid}\n".encode(), root=call.root)
    return Reply()


def _open_logs(call: Call, main: Block) -> None:
    """Open the logs, which makes those that are not there."""
    paths = [words[0] for words in main.everywhere("error_log") or [[ERROR_LOG]]]
    paths += [words[0] for words in main.everywhere("access_log") or [[ACCESS_LOG]] if words[0] != "off"]
    for path in paths:
        if not call.files.is_dir(path.rpartition("/")[0], root=call.root):
            raise StartError(f'open() "{path}" failed ({NO_FILE})')
        call.files.write(path, b"", root=call.root, append=True)


def _bind(call: Call, main: Block, *, testing: bool) -> None:
    """Refuse an address that is not there, and one that somebody listens on, which a check does not mind."""
    own = {address.address for item in call.net.interfaces.values() if item.up for address in item.inet}
    taken = {(socket.address, socket.port) for socket in sockets(call.machine, call.net)}
    for address, port in _listening(main):
        if address not in (ANY_ADDRESS, *own):
            raise StartError(f"bind() to {address}:{port} failed (49: Can't assign requested address)")
        if not testing and taken & {(address, port), ("*", port)}:
            raise StartError(f"bind() to {address}:{port} failed (48: Address already in use)")


def _listening(main: Block) -> list[tuple[str, int]]:
    """Give the addresses and ports of all servers, each once; a server without `listen` has port 80."""
    servers = [server for http in main.all("http") for server in http.all(SERVER)]
    found = [address_of(words[0]) for server in servers for words in server.everywhere("listen") or [["80"]]]
    return list(dict.fromkeys(found))


def _configuration(machine: Machine, process: Process) -> Block:
    path = process.argv[process.argv.index("-c") + 1] if "-c" in process.argv else CONFIG
    return Reader(machine.files, machine.root_of(process.jail), path).read()


def _where(machine: Machine, process: Process) -> Iterator[tuple[str, int]]:
    try:
        main = _configuration(machine, process)
    except ConfigError:
        return  # changed under it, and wrong: what it had read before is not kept here
    for address, port in _listening(main):
        yield ("*" if address == ANY_ADDRESS else address), port


def _http(call: Call, process: Process, path: str) -> tuple[int, bytes]:
    """Answer a request, by the first server that there is."""
    main = _configuration(call.machine, process)
    servers = [server for http in main.all("http") for server in http.all(SERVER)]
    if len(servers) != 1:
        raise call.unsupported("nginx with more than one server")
    plain = unquote(path.partition("?")[0])
    uri = normpath(plain) + ("/" if plain.endswith("/") and plain != "/" else "")
    place = _location(servers[0], "/" + uri.lstrip("/"))
    given = place.get("return", [])
    if given:
        status = int(given[0])
        return status, given[1].encode() if len(given) > 1 else _page(status)
    return _serve(call, process, place, "/" + uri.lstrip("/"), main.get("user", ["nobody"])[0])


def _location(server: Block, uri: str) -> Block:
    """Give the place that answers: the exact one, the first expression that matches, or the longest beginning."""
    places = server.all(LOCATION)
    exact = next((place for place in places if place.words == ["=", uri]), None)
    if exact is not None:
        return exact
    plain = [place for place in places if len(place.words) == 1 or place.words[0] == "^~"]
    longest = max(
        (place for place in plain if uri.startswith(place.words[-1])),
        key=lambda place: len(place.words[-1]),
        default=server,
    )
    if longest.words[:1] == ["^~"]:
        return longest
    for place in places:
        if place.words[0] in ("~", "~*") and re.search(
            place.words[1], uri, re.IGNORECASE if place.words[0] == "~*" else 0
        ):
            return place
    return longest


def _serve(call: Call, process: Process, place: Block, uri: str, user: str) -> tuple[int, bytes]:
    root, jail = place.get("root", [f"{FOLDER}/html"])[0], call.machine.root_of(process.jail)
    tried = place.get("try_files", [])
    if tried not in ([], ["$uri", "$uri/", "=404"]):
        raise call.unsupported(f"nginx: try_files {' '.join(tried)}")
    uid = int((account(call.files, user, jail) or ["", "", "65534"])[2])
    node = call.files.lookup(f"{root}{uri}".rstrip("/"), root=jail)
    if node is None or (node.kind == "file" and uri.endswith("/")):
        return 404, _page(404)
    if node.kind == "dir":
        if not uri.endswith("/"):
            raise call.unsupported("nginx: a redirection to a folder")
        names = place.get("index", ["index.html"])
        found = (call.files.lookup(f"{root}{uri}{name}", root=jail) for name in names)
        node = next((file for file in found if file is not None and file.kind == "file"), None)
        if node is None:
            return 403, _page(403)
    if not _readable(node, uid):
        return 403, _page(403)
    return 200, node.data


def _readable(node: Node, uid: int) -> bool:
    return bool(node.mode & (0o400 if node.uid == uid else 0o004))


def _page(status: int) -> bytes:
    if status not in REASONS:
        return b""
    reason = REASONS[status]
    return (
        f"<html>\r\n<head><title>{reason}</title></head>\r\n<body>\r\n<center><h1>{reason}</h1></center>\r\n".encode()
    )


LISTENERS["nginx"] = Listener(_where, _http, descriptor=6)
