# SPDX-License-Identifier: BSD-2-Clause
"""The rig is what it says: a real sshd, FreeBSD's answers behind it, and nothing left when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.ssh.rig.tools import RigUnavailableError, find

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.ssh.rig.rig import Rig

ENVIRONMENT = "PATH=/sbin:/bin:/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin LC_ALL=C.UTF-8 HOME=/root"
SHELL = f"/usr/bin/env -i {ENVIRONMENT} /bin/sh -s"
HOLD = f"""/usr/bin/env -i {ENVIRONMENT} /usr/bin/lockf -s -k -t 0 /var/run/warden.lock \
/bin/sh -c 'printf "%s\\n" "$1" > "$2" && echo held && exec cat > /dev/null' sh me /var/run/warden.lock"""


def ssh(rig: Rig, *, through_link: bool = False, options: Sequence[str] = ()) -> list[str | Path]:
    config = rig.write_ssh_config("host", through_link=through_link)
    return [find("ssh"), "-F", config, *options, "host"]


def run(
    rig: Rig, command: str, stdin: bytes = b"", *, through_link: bool = False
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*ssh(rig, through_link=through_link), command], input=stdin, capture_output=True, timeout=60, check=False
    )


def start(rig: Rig, command: str, *, through_link: bool = False) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*ssh(rig, through_link=through_link), command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def hold(rig: Rig) -> subprocess.Popen[bytes]:
    holder = start(rig, HOLD)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    return holder


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a client that a test started, if it is still there."""
    process.kill()
    process.communicate()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ran(rig: Rig) -> list[tuple[str, ...]]:
    return [command.argv for command in rig.commands()]


# ---- commands


def test_a_batch_as_warden_sends_it_is_answered_by_the_fake(rig: Rig) -> None:
    script = b"""
(exec '/usr/sbin/sysrc' 'warden_enable=YES')</dev/null; echo "[$?]"
(exec '/usr/sbin/sysrc' '-n' 'warden_enable')</dev/null; echo "[$?]"
printf -- 'a\\000b'|(exec '/bin/sh' '-c' 'cat > "$1"' 'sh' '/root/file'); echo "[$?]"
(exec '/usr/bin/timeout' '5' '/bin/cat' '/root/file')</dev/null; echo "[$?]"
(exec '/bin/ls' '/nowhere')</dev/null; echo "[$?]"
(exec '/usr/local/bin/nothing')</dev/null; echo "[$?]"
"""
    done = run(rig, SHELL, script)
    assert done.stdout == b"warden_enable:  -> YES\n[0]\nYES\n[0]\n[0]\na\0b[0]\n[1]\n[127]\n"
    assert (
        done.stderr == b"ls: /nowhere: No such file or directory\n/bin/sh: 7: exec: /usr/local/bin/nothing: not found\n"
    )
    assert [(command.argv[0], command.exit_code) for command in rig.commands()] == [
        ("/usr/sbin/sysrc", 0),
        ("/usr/sbin/sysrc", 0),
        ("/bin/sh", 0),
        ("/bin/cat", 0),
        ("/bin/ls", 1),
    ]
    assert rig.machine().files.read("/root/file") == b"a\0b"
    assert rig.unsupported() == []
    assert len(rig.conversations()) == 1
    began, ended = rig.conversations()[0]
    assert ended is not None
    assert 0 < ended - began < 10


@pytest.mark.parametrize("become", ["sudo", "doas"])
def test_a_shell_may_be_started_as_root(rig: Rig, become: str) -> None:
    assert run(rig, f"{become} -n {SHELL}", b"/usr/bin/id -u").stdout == b"0\n"


def test_the_machine_is_freebsd_to_warden_and_real_to_those_who_bring_python(rig: Rig) -> None:
    assert run(rig, SHELL, b"/usr/bin/uname -s").stdout == b"FreeBSD\n"
    assert run(rig, "sh -c 'uname -s'").stdout == b"Linux\n"
    assert run(rig, "python3 -c 'import json, ssl; print(6 * 7)'").stdout == b"42\n"
    assert run(rig, "echo file > /root/mine && cat /root/mine && /usr/sbin/sysrc -n hostname").stdout == (
        b"file\nhost.example.org\n"
    )
    assert ran(rig) == [("/usr/bin/uname", "-s"), ("/usr/sbin/sysrc", "-n", "hostname")]
    assert (rig.root / "root/mine").read_text() == "file\n"


def test_the_real_system_cannot_be_written(rig: Rig) -> None:
    done = run(rig, "cd /real/tmp && touch here")
    assert done.returncode == 1
    assert b"Read-only file system" in done.stderr


def test_files_are_transferred_by_sftp(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "sent").write_bytes(os.urandom(300_000))
    command: list[str | Path] = [
        find("scp"),
        "-q",
        "-F",
        rig.write_ssh_config("host"),
        tmp_path / "sent",
        "host:/tmp/received",
    ]
    subprocess.run(command, check=True, timeout=60)
    assert (rig.root / "tmp/received").read_bytes() == (tmp_path / "sent").read_bytes()


def test_eight_mebibytes_go_in_and_out_as_they_are(rig: Rig) -> None:
    data = os.urandom(8 << 20)
    done = run(rig, f"/usr/bin/env -i {ENVIRONMENT} /bin/sh -c 'tee /root/data'", data)
    assert done.stdout == data
    assert rig.machine().files.read("/root/data") == data


def test_a_command_that_reads_nothing_answers_while_its_input_is_open(rig: Rig) -> None:
    process = start(rig, f"/usr/bin/env -i {ENVIRONMENT} /usr/sbin/sysrc -n hostname")
    assert process.wait(20) == 0
    assert process.communicate()[0] == b"host.example.org\n"


def test_a_command_leaves_input_that_it_does_not_read_to_the_next(rig: Rig) -> None:
    assert run(rig, "/usr/sbin/sysrc -n hostname; cat", b"rest").stdout == b"host.example.org\nrest"


def test_a_form_that_the_fake_does_not_know_is_refused_and_remembered(rig: Rig) -> None:
    done = run(rig, "/usr/bin/lockf -w /tmp/lock /usr/bin/true")
    assert done.returncode == 70
    assert b"does not know this form" in done.stderr
    assert "lockf -w" in rig.unsupported()[0]


# ---- the lock


def test_a_lock_is_held_until_the_input_ends(rig: Rig) -> None:
    holder = hold(rig)
    assert run(rig, HOLD).returncode == 75
    assert run(rig, "/usr/bin/lockf -s -k -t 0 /var/run/warden.lock /usr/bin/true").returncode == 75
    assert run(rig, SHELL, b"/bin/cat /var/run/warden.lock").stdout == b"me\n"
    holder.communicate(timeout=20)
    assert holder.returncode == 0
    again = hold(rig)
    end(again)


def test_a_lock_is_let_go_of_when_the_client_is_killed(rig: Rig) -> None:
    end(hold(rig))
    until(lambda: run(rig, HOLD).returncode == 0)


# ---- what goes wrong


def test_a_killed_server_takes_its_sessions_and_comes_back_on_its_port(rig: Rig) -> None:
    port = rig.host_port
    holder = hold(rig)
    rig.kill_server()
    assert holder.wait(20) == 255
    assert run(rig, "true").returncode == 255
    rig.start_server()
    assert rig.host_port == port
    assert run(rig, SHELL, b"/bin/cat /var/run/warden.lock").stdout == b"me\n"
    end(hold(rig))
    end(holder)


def test_a_broken_connection_is_broken_at_that_very_command(rig: Rig) -> None:
    script = b"/usr/sbin/sysrc a=1; /usr/sbin/sysrc b=1; /usr/sbin/sysrc c=1"
    rig.set_faults(drop_after=2)
    assert run(rig, SHELL, script).returncode == 255
    assert [(command.argv[1], command.exit_code) for command in rig.commands()] == [("a=1", 0), ("b=1", None)]
    rig.set_faults(fail_match="c=1")
    rig.start_server()
    assert run(rig, SHELL, script).stdout == b"a: 1 -> 1\nb: 1 -> 1\n"


def test_a_command_that_hangs_is_ended_by_timeout(rig: Rig) -> None:
    rig.set_faults(hang_nth=1)
    assert run(rig, SHELL, b"/usr/bin/timeout 0.3 /usr/sbin/sysrc a=1; echo $?").stdout == b"124\n"
    assert ran(rig) == []


def test_sshd_keeps_to_the_options_of_the_test(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(sshd_options=["MaxSessions 0"])
    assert run(rig, "true").returncode == 255
    assert "Server listening" in rig.sshd_log()


# ---- the link


def test_a_link_takes_its_time(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(latency=0.1)
    process = start(rig, "cat", through_link=True)
    assert process.stdin is not None
    assert process.stdout is not None
    for logged_in in (False, True, True):
        began = time.monotonic()
        process.stdin.write(b"ping\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"ping\n"
        if logged_in:
            assert 0.1 <= time.monotonic() - began < 1
        else:
            assert time.monotonic() - began >= 0.5
    end(process)


def test_a_link_counts_turns_and_bytes(rig: Rig) -> None:
    process = start(rig, "cat", through_link=True)
    assert process.stdin is not None
    assert process.stdout is not None
    for _ in range(2):
        # the first round is that of logging in
        rig.link.reset_counts()
        for _ in range(5):
            process.stdin.write(b"ping\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"ping\n"
        counts = rig.link.counts()
    assert counts["turns"] == 5
    assert counts["connections"] == 0
    end(process)
    rig.link.reset_counts()
    data = os.urandom(1 << 20)
    assert run(rig, "cat", data, through_link=True).stdout == data
    counts = rig.link.counts()
    assert counts["connections"] == 1
    assert counts["to_server"] > 1 << 20
    assert counts["to_client"] > 1 << 20


def test_a_link_may_be_slow(rig: Rig) -> None:
    rig.link.set(bytes_per_second=200_000)
    began = time.monotonic()
    assert len(run(rig, "head -c 200000 /dev/zero", through_link=True).stdout) == 200_000
    assert time.monotonic() - began >= 1


def test_a_link_is_cut_where_it_was_told_to(rig: Rig) -> None:
    rig.link.cut_after(50_000)
    done = run(rig, "head -c 1000000 /dev/zero", through_link=True)
    assert done.returncode == 255
    assert rig.link.counts()["to_client"] == 50_000
    assert run(rig, "true", through_link=True).returncode == 0


@pytest.mark.parametrize("how", ["reset", "silent"])
def test_a_link_is_cut_on_command(rig: Rig, how: str) -> None:
    process = start(rig, "echo there; cat", through_link=True)
    assert process.stdout is not None
    assert process.stdout.readline() == b"there\n"
    rig.link.cut(how)  # type: ignore[arg-type]
    if how == "reset":
        assert process.wait(20) == 255
    else:
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(b"anybody?", timeout=0.5)
    end(process)


# ---- the rig


def test_two_rigs_are_two_machines(make_rig: Callable[..., Rig], tmp_path: Path) -> None:
    one, other = make_rig(state=tmp_path / "one.json"), make_rig(profile="bare")
    run(one, "/usr/sbin/sysrc hostname=one")
    assert run(one, "/usr/sbin/sysrc -n hostname").stdout == b"one\n"
    assert run(other, "/usr/sbin/sysrc -n hostname").stdout == b"freebsd\n"
    one.close()
    again = make_rig(state=tmp_path / "one.json")
    assert run(again, "/usr/sbin/sysrc -n hostname").stdout == b"one\n"


def test_what_is_missing_is_said_with_the_way_to_it() -> None:
    with pytest.raises(RigUnavailableError, match="apt-get install no-such-program"):
        find("no-such-program")


def processes_of(rig: Rig) -> list[str]:
    """Give the processes that have to do with a rig: its root directory is in their words, or is their own."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            home = str((process / "root").readlink())
        except OSError:
            continue
        if str(rig.root) in words or home.startswith(str(rig.root)):
            found.append(f"{process.name} {words}")
    return found


def test_nothing_is_left_of_a_rig(rig: Rig) -> None:
    mounts = Path("/proc/self/mounts").read_text()
    holder = hold(rig)
    link = rig.link.pid
    run(rig, "sleep 1000 > /dev/null 2>&1 &")
    assert any("sleep 1000" in process for process in processes_of(rig))
    rig.close()
    assert processes_of(rig) == []
    assert not Path(f"/proc/{link}").exists()
    assert Path("/proc/self/mounts").read_text() == mounts
    assert list((rig.root / "real").iterdir()) == []
    end(holder)


def test_nothing_is_left_of_a_rig_whose_test_was_killed(rig: Rig) -> None:
    """The process that holds the rig ends without a word: here a child that starts one and kills itself."""
    script = (
        "import os, sys, pathlib; from tests.ssh.rig.rig import Rig; "
        "rig = Rig(pathlib.Path(sys.argv[1])); rig.link; os.kill(os.getpid(), 9)"
    )
    folder = rig.root.parent / "another"
    done = subprocess.run([sys.executable, "-c", script, folder], cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == -signal.SIGKILL
    until(lambda: not [process for process in processes_of(rig) if str(folder) in process])
