# SPDX-License-Identifier: BSD-2-Clause
"""service(8), rc.subr(8), daemon(8) and the tools that look at processes."""

from __future__ import annotations

from typing import Any

import pytest

from warden.host.fake.machine import Machine
from warden.host.fake.persist import from_json, to_json
from warden.host.fake.processes import advance
from warden.host.fake.profiles import make
from warden.host.fake.program import Call, UnsupportedError, run_program
from warden.host.fake.rcorder import order, parse_head

SCRIPT = """#!/bin/sh
# PROVIDE: atlas
# REQUIRE: LOGIN
# KEYWORD: shutdown
. /etc/rc.subr
name=atlas
rcvar=atlas_enable
load_rc_config $name
: ${{atlas_enable:="NO"}}
pidfile="/var/run/atlas.pid"
command="/usr/sbin/daemon"
command_args="-P ${{pidfile}} -r -R 2 -u nobody -t atlas -o /var/log/atlas.log {command}"
{more}
run_rc_command "$1"
"""


@pytest.fixture
def machine() -> Machine:
    return make("bare")


def run(machine: Machine, *argv: str, **place: Any) -> tuple[int, str, str]:
    reply = run_program(Call(machine, argv, **place))
    return reply.exit_code, reply.stdout.decode(), reply.stderr.decode()


def install(machine: Machine, *, command: str = "/bin/sleep 1000", more: str = "", name: str = "atlas") -> None:
    text = SCRIPT.format(command=command, more=more)
    machine.files.write(f"/usr/local/etc/rc.d/{name}", text.encode(), mode=0o555)


def test_a_service_lives_and_dies(machine: Machine) -> None:
    install(machine)
    assert run(machine, "service", "atlas", "onestart") == (0, "Starting atlas.\n", "")
    status = run(machine, "service", "atlas", "onestatus")
    assert status[0] == 0
    assert status[1].startswith("atlas is running as pid ")
    assert run(machine, "service", "atlas", "onestart")[0] == 1
    assert run(machine, "pgrep", "-u", "nobody", "-x", "sleep")[0] == 0
    run(machine, "service", "atlas", "onestop")
    assert run(machine, "service", "atlas", "onestatus") == (1, "atlas is not running.\n", "")
    assert run(machine, "pgrep", "-x", "sleep")[0] == 1
    assert not machine.files.exists("/var/run/atlas.pid")


def test_a_child_that_dies_is_started_again_after_the_delay(machine: Machine) -> None:
    install(machine)
    run(machine, "service", "atlas", "onestart")
    run(machine, "pkill", "-x", "sleep")
    assert run(machine, "pgrep", "-x", "sleep")[0] == 1
    advance(machine, 1)
    assert run(machine, "pgrep", "-x", "sleep")[0] == 1
    advance(machine, 1)
    assert run(machine, "pgrep", "-x", "sleep")[0] == 0


def test_a_command_that_is_not_there_leaves_the_supervisor_alone(machine: Machine) -> None:
    install(machine, command="/usr/local/bin/nosuch")
    assert run(machine, "service", "atlas", "onestart") == (0, "Starting atlas.\n", "")
    assert run(machine, "service", "atlas", "onestatus")[0] == 0
    assert machine.files.text("/var/log/atlas.log") == "daemon: /usr/local/bin/nosuch: No such file or directory\n"


def test_a_program_that_is_only_a_file_lives(machine: Machine) -> None:
    machine.files.write("/usr/local/bin/node", b"\x7fELF", mode=0o755)
    install(machine, command="/usr/local/bin/node server.js")
    run(machine, "service", "atlas", "onestart")
    assert run(machine, "pgrep", "-f", "node server.js")[0] == 0


def test_what_is_required_is_checked_before_the_start(machine: Machine) -> None:
    install(machine, more='required_files="/usr/local/etc/atlas.conf"')
    warning = "/usr/local/etc/rc.d/atlas: WARNING:"
    assert run(machine, "service", "atlas", "onestart") == (
        1,
        "",
        f"{warning} /usr/local/etc/atlas.conf is not readable.\n{warning} failed precmd routine for atlas\n",
    )
    machine.files.write("/usr/local/etc/atlas.conf", b"")
    assert run(machine, "service", "atlas", "onestart")[0] == 0


def test_own_commands_and_functions(machine: Machine) -> None:
    more = """
    start_precmd="atlas_prepare"
    status_cmd="atlas_status"
    extra_commands="check"
    check_cmd='echo "checking $name"'
    atlas_prepare() { echo "preparing"; }
    atlas_status() { echo "own status"; return 3; }
    """
    install(machine, more=more)
    assert run(machine, "service", "atlas", "onestart")[1] == "preparing\nStarting atlas.\n"
    assert run(machine, "service", "atlas", "onestatus")[:2] == (1, "own status\n")
    assert run(machine, "service", "atlas", "onecheck")[:2] == (0, "checking atlas\n")
    assert run(machine, "service", "atlas", "extracommands")[1] == (
        "Cannot 'extracommands' atlas. Set atlas_enable to YES in /etc/rc.conf"
        " or use 'oneextracommands' instead of 'extracommands'.\n"
    )


def test_base_daemons(machine: Machine) -> None:
    code, said, _ = run(machine, "service", "cron", "status")
    assert code == 0
    assert said.startswith("cron is running as pid ")
    assert run(machine, "service", "cron", "stop")[0] == 0
    assert run(machine, "service", "cron", "status") == (1, "cron is not running.\n", "")
    assert run(machine, "service", "cron", "start") == (0, "Starting cron.\n", "")


def test_a_killed_supervisor_leaves_its_child(machine: Machine) -> None:
    run(machine, "daemon", "-P", "/var/run/s.pid", "sleep", "1000")
    pid = machine.files.text("/var/run/s.pid")
    assert run(machine, "daemon", "-P", "/var/run/s.pid", "sleep", "1000") == (
        3,
        "",
        f"daemon: process already running, pid: {pid}\n",
    )
    run(machine, "kill", "-9", pid)
    assert run(machine, "pgrep", "-x", "sleep")[0] == 0
    assert run(machine, "pgrep", "-F", "/var/run/s.pid")[0] == 3


def test_what_is_under_way_survives_being_saved(machine: Machine) -> None:
    run(machine, "daemon", "-p", "/var/run/g.pid", "sh", "-c", "sleep 6; echo done > /tmp/done")
    copy = from_json(Machine, to_json(machine))
    advance(copy, 6)
    assert copy.files.text("/tmp/done") == "done\n"
    assert not copy.files.exists("/var/run/g.pid")


def test_timeout_ends_what_takes_too_long(machine: Machine) -> None:
    began = machine.clock
    assert run(machine, "timeout", "2", "sh", "-c", "echo a; sleep 5; echo b") == (124, "a\n", "")
    assert machine.clock - began == 2
    assert run(machine, "timeout", "9", "sh", "-c", "echo a; sleep 5; echo b") == (0, "a\nb\n", "")


def test_order_of_scripts() -> None:
    heads = {
        "/a": "# PROVIDE: a\n# REQUIRE: c",
        "/b": "# PROVIDE: b\n# BEFORE: c",
        "/c": "# PROVIDE: c",
    }
    ordered, problems = order([parse_head(path, text) for path, text in heads.items()])
    assert [script.path for script in ordered] == ["/b", "/c", "/a"]
    assert problems == []


def test_an_interpreted_service_is_found_by_its_interpreter(machine: Machine) -> None:
    machine.files.write("/usr/local/bin/agent.py", b"#!/usr/local/bin/python3\nprint()\n", mode=0o755)
    machine.files.write("/usr/local/bin/python3", b"\x7fELF", mode=0o755)
    run(machine, "daemon", "-p", "/var/run/agent.pid", "/usr/local/bin/agent.py", "-v")
    pid = machine.files.text("/var/run/agent.pid")
    assert run(machine, "ps", "-p", pid, "-o", "command=")[1] == "/usr/local/bin/python3 /usr/local/bin/agent.py -v\n"


def test_a_service_without_a_process_is_stopped_only_where_it_is_enabled() -> None:
    machine = make("ready")
    run(machine, "sysrc", "pf_enable=NO")
    refused = "Cannot 'stop' pf. Set pf_enable to YES in /etc/rc.conf or use 'onestop' instead of 'stop'.\n"
    assert run(machine, "service", "pf", "stop") == (0, refused, "")
    assert machine.pf.enabled
    assert run(machine, "service", "pf", "onestop") == (0, "Disabling pf.\n", "")


def test_daemon_opens_its_output_file_anew() -> None:
    machine = make("bare")
    run(machine, "daemon", "-H", "-P", "/var/run/d.pid", "-o", "/var/log/d.log", "sleep", "100")
    run(machine, "mv", "/var/log/d.log", "/var/log/d.log.0")
    assert run(machine, "pkill", "-HUP", "-F", "/var/run/d.pid") == (0, "", "")
    assert machine.files.exists("/var/log/d.log")
    assert run(machine, "pgrep", "-F", "/var/run/d.pid")[0] == 0


def test_a_file_that_is_no_known_program_is_refused() -> None:
    machine = make("ready")
    for words in (("vm", "list"), ("/usr/sbin/bhyvectl", "--vm=a", "--destroy"), ("sh", "-c", "vm list")):
        with pytest.raises(UnsupportedError, match="a program that the fake host does not know"):
            run(machine, *words)
    assert run(machine, "no-such-program")[0] == 127
