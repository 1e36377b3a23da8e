# SPDX-License-Identifier: BSD-2-Clause
"""The packages of PostgreSQL: initdb(1), pg_ctl(1), postgres(1), pg_isready(1), and the port's rc.d script.

From PostgreSQL's manual and from the ports databases/postgresql*-server, -client, -contrib and databases/pgvector.
Nothing here was recorded.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from warden.host.fake.filesystem import FileError
from warden.host.fake.listeners import LISTENERS, ConnectError, Listener, OutsideError, connect, resolve, sockets
from warden.host.fake.options import getopt
from warden.host.fake.packages import PACKAGES, Package
from warden.host.fake.processes import advance, children, kill, spawn
from warden.host.fake.program import Call, Reply, program, say
from warden.host.fake.unrecorded.postgresql_cluster import (
    VERSION_FILE,
    Catalogue,
    Cluster,
    ClusterError,
    Database,
    Role,
    program_version,
    read_settings,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.host.fake.machine import Machine, NetStack, Process

VERSIONS = (16, 17, 18, 19)
BIN = "/usr/local/bin"
RECOVERY = 2
"""The seconds that a server recovers after it was not stopped."""
PATIENCE = 60
"""The seconds that pg_ctl waits for a server to take connections."""
HELPERS = ("checkpointer ", "background writer ", "walwriter ", "autovacuum launcher ")
EXTENSION = "/usr/local/share/postgresql/extension/{}.control"
IN_CONTRIB = {"pgcrypto": "1.4", "uuid-ossp": "1.1"}
VECTOR = "0.8.1"

RC_SCRIPT = """\
#!/bin/sh
#
# PROVIDE: postgresql
# REQUIRE: DAEMON
# KEYWORD: shutdown

. /etc/rc.subr

name=postgresql
rcvar=postgresql_enable
load_rc_config postgresql
: ${postgresql_enable:="NO"}
: ${postgresql_user:="postgres"}
: ${postgresql_data:="/var/db/postgres/data@VERSION@"}
: ${postgresql_flags:="-w -s -m fast"}
: ${postgresql_initdb_flags:="--encoding=utf-8 --lc-collate=C"}

command=/usr/local/bin/pg_ctl
extra_commands="reload initdb"
start_cmd="control start"
stop_cmd="control stop"
restart_cmd="control restart"
reload_cmd="control reload"
status_cmd="control status"
initdb_cmd="make_cluster"

control()
{
	echo "$1 postgresql"
	/usr/bin/su -l ${postgresql_user} \\
		-c "exec /usr/local/bin/pg_ctl -l /dev/null -D ${postgresql_data} ${postgresql_flags} $1"
}

make_cluster()
{
	echo "initdb postgresql"
	/usr/bin/su -l ${postgresql_user} \\
		-c "exec /usr/local/bin/initdb ${postgresql_initdb_flags} -D ${postgresql_data} -U ${postgresql_user}"
}

run_rc_command "$1"
"""


def _packages(version: int) -> dict[str, Package]:
    client, server = f"postgresql{version}-client", f"postgresql{version}-server"
    programs = [f"{BIN}/{name}" for name in ("initdb", "pg_ctl", "postgres")]
    script = RC_SCRIPT.replace("@VERSION@", str(version))
    contrib = {EXTENSION.format(name): f"default_version = '{number}'\n" for name, number in IN_CONTRIB.items()}
    return {
        client: Package(
            {
                **dict.fromkeys((f"{BIN}/psql", f"{BIN}/pg_isready"), ""),
                VERSION_FILE: f'#define PG_MAJORVERSION "{version}"\n',
            }
        ),
        server: Package(
            {**dict.fromkeys(programs, ""), "/usr/local/etc/rc.d/postgresql": script},
            users=(("postgres", 770, "/var/db/postgres", "/bin/sh"),),
            folders=(("/var/db/postgres", "postgres:postgres", 0o755),),
            depends=(client,),
        ),
        f"postgresql{version}-contrib": Package(contrib, depends=(server,)),
        f"postgresql{version}-pgvector": Package(
            {EXTENSION.format("vector"): f"default_version = '{VECTOR}'\n"}, depends=(server,)
        ),
    }


for _version in VERSIONS:
    PACKAGES.update(_packages(_version))


@program(
    f"{BIN}/initdb",
    "initdb --encoding=UTF8 --locale=LOCALE [--locale-provider=builtin --builtin-locale=C.UTF-8] [--lc-collate=C]"
    " [--data-checksums] [--waldir=FOLDER] [--auth-local=peer] [--auth-host=reject] -D FOLDER -U postgres",
    package="postgresql18-server",
)
def initdb(call: Call) -> Reply:
    """Make a cluster, in empty folders only."""
    options = _long_options(call, INITDB)
    data = options.get("-D", "")
    if not data or options.get("-U") != "postgres":
        raise call.unsupported()
    if call.user == "root":
        return say(error="initdb: error: cannot be run as root\n", status=1)
    cluster = Cluster(call.machine, call.jail, data)
    version = program_version(call.machine, call.jail)
    provider = options.get("--locale-provider", "libc")
    if provider == "builtin" and int(version) < 17:
        return say(error=f"initdb: error: unrecognized locale provider: {provider}\n", status=1)
    locale = options.get("--locale", "C.UTF-8")
    if locale not in (*call.machine.locales, "C", "C.UTF-8"):
        return say(error=f'initdb: error: invalid locale name "{locale}"\n', status=1)
    wal = options.get("--waldir", "")
    for kind, folder in (("directory", data), ("WAL directory", wal)):
        if folder and call.files.is_dir(folder, root=call.root) and call.files.list_dir(folder, root=call.root):
            return say(error=f'initdb: error: {kind} "{folder}" exists but is not empty\n', status=1)
    _lay_out(cluster, version, wal, locale)
    return say(f"Success. You can now start the database server using:\n\n    pg_ctl -D {data} -l logfile start\n\n")


INITDB = frozenset(
    [
        *("-D", "-U", "--encoding=UTF8", "--locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        *("--lc-collate=C", "--data-checksums", "--waldir", "--auth-local=peer", "--auth-host=reject"),
        "--encoding=utf-8",
    ]
)


def _long_options(call: Call, known: frozenset[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    words = list(call.args)
    while words:
        word = words.pop(0)
        name, _, value = word.partition("=")
        if word not in known and name not in known:
            raise call.unsupported()
        found[name] = words.pop(0) if name in ("-D", "-U") and words else value
    return found


def _lay_out(cluster: Cluster, version: str, wal: str, locale: str) -> None:
    for name in ("", "global", "base", "base/1", "pg_stat_tmp"):
        cluster.make_dir(name)
    if wal:
        Cluster(cluster.machine, cluster.jail, wal).make_dir("")
        cluster.files.symlink(wal, f"{cluster.data}/pg_wal", root=cluster.root)
    else:
        cluster.make_dir("pg_wal")
    cluster.write("PG_VERSION", f"{version}\n")
    cluster.write("postgresql.conf", f"max_connections = 100\nlog_destination = 'syslog'\nlc_messages = '{locale}'\n")
    cluster.write("pg_hba.conf", "local all all peer\nhost all all 127.0.0.1/32 reject\n")
    cluster.write("pg_wal/000000010000000000000001", "")
    superuser = Role(login=True, rights=["superuser", "createdb", "createrole", "replication", "bypassrls"])
    databases = {name: Database() for name in ("postgres", "template0", "template1")}
    cluster.keep(Catalogue({"postgres": superuser}, databases))
    cluster.write("global/pg_control", "")


@program(
    f"{BIN}/pg_ctl",
    "pg_ctl [-l FILE] -D FOLDER [-w] [-s] [-m fast] [-o OPTIONS] start|stop|restart|reload|status",
    package="postgresql18-server",
)
def pg_ctl(call: Call) -> Reply:
    """Start, stop or ask a server."""
    flags, words, wrong = getopt(call.args, "l:D:wsm:o:")
    given = {name: values[-1] if values else "" for name, values in flags.items()}
    if wrong or len(words) != 1 or words[0] not in VERBS or "D" not in given or given.get("m", "fast") != "fast":
        raise call.unsupported()
    if call.user == "root":
        return say(error="pg_ctl: cannot be run as root\n", status=1)
    cluster = Cluster(call.machine, call.jail, given["D"])
    if not cluster.version:
        what = "is not a database cluster directory" if _is_dir(cluster) else "does not exist"
        return say(error=f'pg_ctl: directory "{given["D"]}" {what}\n', status=4 if words[0] == "status" else 1)
    return VERBS[words[0]](call, cluster, given.get("o", ""))


def _is_dir(cluster: Cluster) -> bool:
    return cluster.files.is_dir(cluster.data, root=cluster.root)


def _start(call: Call, cluster: Cluster, options: str) -> Reply:
    had_pidfile = cluster.files.exists(f"{cluster.data}/postmaster.pid", root=cluster.root)
    warning = "pg_ctl: another server might be running; trying to start server anyway\n" if had_pidfile else ""
    argv = [f"{BIN}/postgres", "-D", cluster.data, *shlex.split(options)]
    try:
        loaded = _serve(call, cluster, argv, RECOVERY if had_pidfile else 0)
    except ClusterError:  # the log, which says why, is /dev/null
        return say(error=f"{warning}pg_ctl: could not start server\nExamine the log output.\n", status=1)
    advance(call.machine, max(0, min(PATIENCE, loaded - call.machine.clock)))
    if loaded > call.machine.clock:
        return say(error=f"{warning}pg_ctl: server did not start in time\n", status=1)
    return say(error=warning)


def _serve(call: Call, cluster: Cluster, argv: list[str], recovery: int) -> int:
    """Start a server; give the second from which it takes connections."""
    version = program_version(call.machine, call.jail)
    if cluster.postmaster() is not None:
        raise ClusterError('lock file "postmaster.pid" already exists')
    if cluster.version != version:
        raise ClusterError("database files are incompatible with server")
    for needed in ("global/pg_control", "pg_wal/000000010000000000000001"):
        if not cluster.files.exists(f"{cluster.data}/{needed}", root=cluster.root):
            raise ClusterError(f'could not open file "{needed}": No such file or directory')
    ready = call.machine.clock + recovery
    try:
        loaded = cluster.load(_config(call, cluster, argv), ready=ready)
        taken = {(socket.address, socket.port) for socket in sockets(call.machine, call.net)}
        if not [one for one in _bound(call.net, loaded.settings) if one not in taken]:
            raise ClusterError("could not create any TCP/IP sockets")
        cluster.set_loaded(loaded)
        for process in list(call.machine.processes.values()):  # helpers of one that was killed end by themselves
            if process.jail == call.jail and process.argv[0].startswith("postgres: ") and process.ppid == 1:
                kill(call.machine, process.pid)
        main = spawn(call.machine, argv, user="postgres", jail=call.jail)
        port = loaded.settings.get("port", "5432")
        cluster.write("postmaster.pid", f"{main.pid}\n{cluster.data}\n{port}\n/tmp\n")
        cluster.write("postmaster.opts", " ".join(argv) + "\n")
    except FileError as error:
        raise ClusterError(str(error)) from None
    for name in HELPERS:
        spawn(call.machine, [f"postgres: {name}"], user="postgres", jail=call.jail, ppid=main.pid)
    return ready


def _config(call: Call, cluster: Cluster, argv: list[str]) -> str:
    """Give the configuration file that a server is told to read."""
    rest = argv[3:]
    if not rest:
        return f"{cluster.data}/postgresql.conf"
    if len(rest) != 2 or rest[0] != "-c" or not rest[1].startswith("config_file="):
        raise call.unsupported(" ".join(argv))
    return rest[1].partition("=")[2]


def _bound(stack: NetStack, settings: dict[str, str]) -> Iterator[tuple[str, int]]:
    """Give the addresses of a server's that this host or jail has."""
    own = {inet.address for interface in stack.interfaces.values() for inet in interface.inet}
    for address in settings.get("listen_addresses", "127.0.0.1").replace(" ", "").split(","):
        if address in own:
            yield address, int(settings.get("port", "5432"))


def _where(machine: Machine, process: Process) -> list[tuple[str, int]]:
    if process.argv[0].startswith("postgres: "):
        return []
    loaded = Cluster(machine, process.jail, process.argv[2]).loaded()
    return list(_bound(machine.stack(process.jail), loaded.settings))


LISTENERS["postgres"] = Listener(_where)


def _stop(call: Call, cluster: Cluster, _options: str) -> Reply:
    process = cluster.postmaster()
    if process is None:
        return _no_server(cluster)
    for child in children(call.machine, process.pid):
        kill(call.machine, child.pid)
    kill(call.machine, process.pid)
    cluster.files.remove(f"{cluster.data}/postmaster.pid", root=cluster.root)
    return Reply()


def _restart(call: Call, cluster: Cluster, options: str) -> Reply:
    stopped = _stop(call, cluster, options)
    if stopped.exit_code:
        stopped = say(error=stopped.stderr.decode() + "pg_ctl: starting server anyway\n")
    return stopped + _start(call, cluster, options)


def _reload(call: Call, cluster: Cluster, _options: str) -> Reply:
    process = cluster.postmaster()
    if process is None:
        return _no_server(cluster)
    before = cluster.loaded()
    try:
        loaded = cluster.load(_config(call, cluster, process.argv), ready=before.ready)
    except ClusterError:  # it logs that and goes on as before
        return Reply()
    for name in ("listen_addresses", "port"):  # these need a restart
        loaded.settings.pop(name, None)
        loaded.settings |= {name: before.settings[name]} if name in before.settings else {}
    cluster.set_loaded(loaded)
    return Reply()


def _no_server(cluster: Cluster) -> Reply:
    gone = f'pg_ctl: PID file "{cluster.data}/postmaster.pid" does not exist\nIs server running?\n'
    return say(error=gone, status=1)


def _status(_call: Call, cluster: Cluster, _options: str) -> Reply:
    process = cluster.postmaster()
    if process is None:
        return say("pg_ctl: no server running\n", status=3)
    return say(f"pg_ctl: server is running (PID: {process.pid})\n{' '.join(process.argv)}\n")


VERBS = {"start": _start, "stop": _stop, "restart": _restart, "reload": _reload, "status": _status}


@program(f"{BIN}/postgres", "postgres -D FOLDER -c config_file=FILE -C hba_file", package="postgresql18-server")
def postgres(call: Call) -> Reply:
    """Read the settings and show one; a server is started by pg_ctl here."""
    if len(call.args) != 6 or call.args[::2] != ("-D", "-c", "-C"):
        raise call.unsupported()
    if call.user == "root":
        return say(error='"root" execution of the PostgreSQL server is not permitted.\n', status=1)
    cluster = Cluster(call.machine, call.jail, call.args[1])
    try:
        config = _config(call, cluster, [call.argv[0], *call.args[:4]])
        settings = read_settings(call.files, call.root, config)
    except ClusterError as error:
        return say(error=f"postgres: {error}\n", status=1)
    if call.args[5] not in settings:
        raise call.unsupported()
    return say(f"{settings[call.args[5]]}\n")


@program(f"{BIN}/pg_isready", "pg_isready -q [-t SECONDS] [-h ADDRESS] -p PORT", package="postgresql18-client")
def pg_isready(call: Call) -> Reply:
    """Tell whether a server takes connections: 0 yes, 1 not now, 2 no answer."""
    flags, words, wrong = getopt(call.args, "qt:h:p:")
    if wrong or words or "q" not in flags or "p" not in flags:
        raise call.unsupported()
    cluster = find_server(call, flags["h"][-1] if "h" in flags else "", int(flags["p"][-1]))
    if cluster is None:
        return Reply(2)
    return Reply(0 if call.machine.clock >= cluster.loaded().ready else 1)


def find_server(call: Call, host: str, port: int) -> Cluster | None:
    """Give the cluster of the server that answers at an address, or without one at the local socket."""
    if not host:
        for process in call.machine.processes.values():
            if process.jail == call.jail and process.argv[0] == f"{BIN}/postgres":
                cluster = Cluster(call.machine, call.jail, process.argv[2])
                if cluster.loaded().settings.get("port", "5432") == str(port):
                    return cluster
        return None
    try:
        socket = connect(call, resolve(call, host) or host, port)
    except (ConnectError, OutsideError):
        return None
    if socket.program != "postgres":
        return None
    return Cluster(call.machine, socket.process.jail, socket.process.argv[2])
