# SPDX-License-Identifier: BSD-2-Clause
"""The faults of an address, and which commands count for them."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from warden.host.address import open_host
from warden.host.command import Command
from warden.host.errors import AddressError, CommandTimeoutError, ConnectionLostError, HostError
from warden.host.fake.boot import boot
from warden.host.fake.changes import changes_state
from warden.host.fake.persist import to_json
from warden.host.fake.processes import advance
from warden.host.fake.profiles import make
from warden.host.fake.program import Call, UnsupportedError, run_program
from warden.host.files import write_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from warden.host.command import Host, Result
    from warden.host.fake.machine import Machine

SESSIONS = sorted((Path(__file__).parents[2] / "sessions").glob("*.jsonl"))
PASSING = frozenset({"clock", "now", "mtime", "neighbours", "next_pid", "random"})
"""What may differ after a command that only reads: time, pids, and what the network taught."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def host(folder: Path, faults: str) -> Host:
    return open_host(f"fake:x.json?{faults}", folder=folder)


def send(host: Host, *lines: str, stop_on_error: bool = True) -> list[Result]:
    return host.run([Command(argv=tuple(line.split())) for line in lines], stop_on_error=stop_on_error)


def there(folder: Path, *paths: str) -> list[str]:
    """Give those of the paths that another process finds on the machine."""
    plain = open_host("fake:x.json", folder=folder)
    return [path for path in paths if send(plain, f"test -e {path}")[0].ok]


def test_the_nth_command_that_changes_something_fails(folder: Path) -> None:
    failing = host(folder, "fail-nth=2")
    results = send(failing, "mkdir /tmp/a", "ls /tmp", "cat /etc/rc.conf", "mkdir /tmp/b", "mkdir /tmp/c")
    assert [result.exit_code for result in results] == [0, 0, 0, 1]
    assert results[-1].stderr == b"mkdir: failed, as the fake host was told to\n"
    assert there(folder, "/tmp/a", "/tmp/b", "/tmp/c") == ["/tmp/a"]


def test_every_command_that_matches_fails(folder: Path) -> None:
    failing = host(folder, "fail-match=mkdir+/tmp/b")
    lines = ("mkdir /tmp/a", "mkdir /tmp/b", "/usr/bin/lockf -k /tmp/lock mkdir /tmp/b/c", "mkdir /tmp/d")
    assert [result.exit_code for result in send(failing, *lines, stop_on_error=False)] == [0, 1, 1, 0]
    assert there(folder, "/tmp/a", "/tmp/b", "/tmp/d") == ["/tmp/a", "/tmp/d"]


@pytest.mark.parametrize(("fault", "left"), [("drop-before", ["/tmp/a"]), ("drop-after", ["/tmp/a", "/tmp/b"])])
def test_the_connection_breaks(folder: Path, fault: str, left: list[str]) -> None:
    with pytest.raises(ConnectionLostError) as lost:
        send(host(folder, f"{fault}=2"), "mkdir /tmp/a", "mkdir /tmp/b", "mkdir /tmp/c")
    assert [str(result.command) for result in lost.value.ran] == ["mkdir /tmp/a"]
    assert [str(command) for command in lost.value.unknown] == ["mkdir /tmp/b"]
    assert [str(command) for command in lost.value.not_run] == ["mkdir /tmp/c"]
    assert there(folder, "/tmp/a", "/tmp/b", "/tmp/c") == left


def test_a_command_that_hangs_runs_into_its_limit(folder: Path) -> None:
    with pytest.raises(CommandTimeoutError, match=r"mkdir /tmp/b did not end within 5 s"):
        host(folder, "hang-nth=1").run([Command(argv=("mkdir", "/tmp/b"), timeout=5)])
    assert there(folder, "/tmp/b") == []


def test_a_command_without_a_limit_is_not_waited_for(folder: Path) -> None:
    with pytest.raises(HostError, match=r"hangs, as it was told to, at: mkdir /tmp/b") as hung:
        send(host(folder, "hang-nth=2"), "mkdir /tmp/a", "mkdir /tmp/b")
    assert "no time limit" in hung.value.hint
    assert not isinstance(hung.value, CommandTimeoutError)
    assert there(folder, "/tmp/a", "/tmp/b") == ["/tmp/a"]


def test_a_round_trip_takes_time(folder: Path) -> None:
    slow = host(folder, "latency=0.02")
    began = time.monotonic()
    send(slow, "true", "true", "true")
    send(slow, "true")
    assert time.monotonic() - began >= 0.04


def test_a_package_that_the_repository_has_not(folder: Path) -> None:
    refusing = host(folder, "refuse-package=nginx")
    jq, nginx = send(refusing, "pkg install -y jq", "pkg install -y nginx")
    assert jq.ok
    assert nginx.exit_code == 1
    expected = "pkg: No packages available to install matching 'nginx' have been found in the repositories\n"
    assert nginx.stderr.decode() == expected
    assert send(open_host("fake:x.json", folder=folder), "pkg install -y nginx")[0].ok


def test_a_full_disk_takes_no_file_and_gives_up_none(folder: Path) -> None:
    full = host(folder, "disk-full-after=2")
    assert send(full, "ifconfig bridge99 create")[0].ok
    lines = {
        "touch /tmp/b": (1, "touch: /tmp/b: No space left on device\n"),
        "mkdir /tmp/c": (1, "mkdir: /tmp/c: No space left on device\n"),
        "cp /etc/rc.conf /tmp/d": (1, "cp: /tmp/d: No space left on device\n"),
        "sysrc foo=1": (1, ": No space left on device\n"),
        "zfs create zroot/x": (1, "cannot create 'zroot/x': out of space\n"),
        "bastille create -B -M -g 10.0.1.1 x 15.1-RELEASE 10.0.1.2/24 bridge99": (
            1,
            "[ERROR]: Failed to create jail dataset: zroot/bastille/jails/x\n",
        ),
    }
    for line, (status, error) in lines.items():
        result = send(full, line)[0]
        assert (line, result.exit_code) == (line, status)
        assert result.stderr.decode().endswith(error)
    assert full.run([write_file("/etc/rc.conf", b"x\n")])[0].stderr.endswith(b"No space left on device\n")
    assert send(full, "rm /etc/hosts", "mv /etc/fstab /etc/fstab.old", "cat /etc/rc.conf")[2].stdout.startswith(
        b"hostname="
    )
    assert there(folder, "/tmp/b", "/etc/hosts", "/etc/.rc.conf.warden", "/etc/fstab.old") == ["/etc/fstab.old"]
    assert send(open_host("fake:x.json", folder=folder), "touch /tmp/b")[0].ok


def test_a_host_with_a_full_disk_reboots(folder: Path) -> None:
    up = send(host(folder, "disk-full-after=1"), "shutdown -r now", "ifconfig vtnet0 inet", "jls")
    assert b"inet 203.0.113.10 " in up[1].stdout


def test_faults_count_through_lanes(folder: Path) -> None:
    failing = host(folder, "fail-nth=2")
    lanes = [[[Command(argv=("mkdir", f"/tmp/{lane}{batch}"))] for batch in "12"] for lane in "ab"]
    codes = [[[result.exit_code for result in batch] for batch in lane] for lane in failing.run_lanes(lanes)]
    assert codes == [[[0], [0]], [[1], [0]]]


@pytest.mark.parametrize(
    ("faults", "hint"),
    [
        ("fail-nth=x", "write fail-nth=1"),
        ("fail-nth=0", "write fail-nth=1"),
        ("hang-nth", "write hang-nth=1"),
        ("drop-before=-1", "write drop-before=1"),
        ("disk-full-after=1.5", "write disk-full-after=1"),
        ("latency=slow", "write latency=0.02"),
        ("latency=-1", "write latency=0.02"),
        ("latency=inf", "write latency=0.02"),
        ("fail-match=", r"write fail-match=bastille\+create"),
        ("refuse-package=", "write refuse-package=git"),
        ("explode=1", "it has: fail-nth, .*disk-full-after, fail-match, refuse-package, latency; and profile=NAME"),
        ("fail_nth=1", "it has: fail-nth"),
    ],
)
def test_a_fault_that_is_not_understood(folder: Path, faults: str, hint: str) -> None:
    with pytest.raises(AddressError) as refused:
        host(folder, faults)
    assert re.match(hint, refused.value.hint)


READING = [
    "ifconfig -f inet:cidr -a",
    "ifconfig -j git -f inet:cidr",
    "ifconfig warden0 inet",
    "route -j git -n get default",
    "sysrc -ae",
    "sysrc -n -c hostname=x",
    "sysctl -n hw.ncpu",
    "pfctl -nf /etc/pf.conf",
    "pfctl -a warden -sr",
    "pfctl -a warden -t nets -T show",
    "zfs get -Hp -t filesystem -o name,value quota",
    "devfs rule -s 13 show",
    "service atlas onestatus",
    "service -j git sshd status",
    "bastille config git get priority",
    "bastille cmd git sysrc hostname",
    "bastille limits git show",
    "jexec -l git cat /etc/rc.conf",
    "env LC_ALL=C ls",
    "timeout 5 cat /etc/rc.conf",
    "mount -p",
    "rctl -u jail:git",
    "pw usershow atlas",
    "kill -0 5",
]
CHANGING = [
    "ifconfig bridge create",
    "ifconfig -j git vnet0 down",
    "ifconfig warden0 10.0.1.1/24",
    "ifconfig warden0 descr x",
    "route add default 10.0.1.1",
    "route flush",
    "sysrc -x foo",
    "sysrc a b=c",
    "sysctl -f /etc/sysctl.conf",
    "pfctl -d",
    "pfctl -a warden -t nets -T replace 10.0.1.0/24",
    "pfctl -k 10.0.1.0/24",
    "zfs set quota=1G zroot",
    "devfs rule -s 13 add path x hide",
    "service atlas status_and_stop",
    "service atlas onestart",
    "bastille config git set priority 5",
    "bastille cmd git sysrc hostname=x",
    "bastille cmd -a git rm -rf /",
    "jexec git touch /x",
    "jexec git",
    "env LC_ALL=C touch x",
    "mount -a",
    "mount -t nullfs /a /b",
    "hostname x",
    "rctl -r jail:git",
    "kill 5",
    "shutdown -r now",
    "lockf -k /tmp/lock true",
    "nosuch",
]
SCRIPTS = {
    'for jail in $(jls name); do ifconfig -j "$jail"; route -j "$jail" -n get default 2>/dev/null; done; true': False,
    "ifconfig -j git | grep -q inet || { echo 'no address' >&2; exit 1; }": False,
    "jls -j git jid > /dev/null 2>&1": False,
    "f() { cat $1; }; f /etc/rc.conf": False,
    "x=$(sysrc -n hostname); echo $x": False,
    "if syntax is wrong": False,
    "echo x > /tmp/file": True,
    "f() { rm $1; }; f /etc/rc.conf": True,
    "x=$(sysrc hostname=x)": True,
    'for jail in $(jls name); do echo $(ifconfig "$jail" destroy); done': True,
    "$program": True,
    "exec rm x": True,
    "exec cat > /dev/null": False,
    "sleep 60 > /dev/null &": True,
    ". /etc/rc.conf": True,
}


@pytest.mark.parametrize("line", READING)
def test_a_command_that_only_reads(line: str) -> None:
    assert not changes_state(tuple(line.split()))
    assert not changes_state(("/bin/sh", "-c", line))


@pytest.mark.parametrize("line", CHANGING)
def test_a_command_that_may_change_something(line: str) -> None:
    assert changes_state(tuple(line.split()))
    assert changes_state(("/bin/sh", "-c", line))


@pytest.mark.parametrize(("script", "changes"), SCRIPTS.items())
def test_a_script_is_what_it_runs(script: str, changes: bool) -> None:  # noqa: FBT001 - a column of the table
    assert changes_state(("/bin/sh", "-c", script)) is changes


@pytest.mark.parametrize("path", SESSIONS, ids=lambda path: path.stem)
def test_what_only_reads_changes_nothing(path: Path) -> None:
    machine = make("recorded")
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        if entry.get("reboot"):
            boot(machine)
        waited = re.match(r"waited (\d+) s", entry.get("remark", ""))
        if waited:
            advance(machine, int(waited.group(1)))
        if "argv" in entry:
            _check_reading(machine, entry["argv"], entry.get("stdin", ""))


def _check_reading(machine: Machine, argv: Sequence[str], stdin: Any) -> None:
    reads = not changes_state(tuple(argv))
    before = _lasting(to_json(machine)) if reads else None
    try:
        run_program(Call(machine, tuple(argv), stdin.encode() if isinstance(stdin, str) else b""))
    except UnsupportedError:
        return
    assert not reads or _lasting(to_json(machine)) == before, argv


def _lasting(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: _lasting(value) for key, value in state.items() if key not in PASSING}
    return [_lasting(item) for item in state] if isinstance(state, list) else state
