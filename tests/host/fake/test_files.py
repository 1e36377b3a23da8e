# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

import hashlib
import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from warden.host.fake.profiles import make
from warden.host.fake.program import Call, Reply, UnsupportedError, run_program

if TYPE_CHECKING:
    from warden.host.fake.machine import Machine


@pytest.fixture
def machine() -> Machine:
    return make("bare")


def run(machine: Machine, *argv: str, stdin: bytes = b"") -> Reply:
    return run_program(Call(machine, argv, stdin))


def test_a_file_is_replaced_by_a_rename_and_keeps_mode_and_owner_of_the_new_one(machine: Machine) -> None:
    machine.files.write("/tmp/old", b"old")
    machine.files.write("/tmp/new", b"new", mode=0o600, uid=80)
    assert run(machine, "mv", "-f", "/tmp/new", "/tmp/old") == Reply()
    node = machine.files.node("/tmp/old")
    assert (node.data, node.mode, node.uid) == (b"new", 0o600, 80)
    assert not machine.files.exists("/tmp/new")


def test_what_fails_is_said_and_does_not_stop_the_rest(machine: Machine) -> None:
    machine.files.write("/tmp/a", b"a\n")
    reply = run(machine, "cat", "/tmp/nosuch", "/tmp/a", "/tmp")
    assert reply.stdout == b"a\n"
    assert reply.stderr == b"cat: /tmp/nosuch: No such file or directory\ncat: /tmp: Is a directory\n"
    assert reply.exit_code == 1


def test_writing_through_a_link_to_nowhere_makes_what_it_names(machine: Machine) -> None:
    machine.files.make_dir("/j")
    run(machine, "ln", "-s", "/etc/made", "/j/trap")
    run(machine, "tee", "/j/trap", stdin=b"x")
    assert machine.files.read("/etc/made") == b"x"
    machine.files.make_dir("/j/etc")
    machine.files.write("/trap", b"y", root="/j")
    assert machine.files.read("/j/etc/made") == b"y"


def test_a_new_file_gets_the_group_of_its_folder(machine: Machine) -> None:
    machine.files.make_dir("/tmp/www", gid=80)
    run(machine, "touch", "/tmp/www/x")
    run(machine, "mkdir", "/tmp/www/y")
    assert machine.files.node("/tmp/www/x").gid == machine.files.node("/tmp/www/y").gid == 80


@pytest.mark.parametrize(
    ("mode", "before", "after"),
    [
        ("0640", 0o777, 0o640),
        ("u+x,go=", 0o644, 0o700),
        ("a+X", 0o600, 0o600),
        ("g=u", 0o640, 0o660),
        ("+t", 0, 0o1000),
    ],
)
def test_chmod(machine: Machine, mode: str, before: int, after: int) -> None:
    machine.files.write("/tmp/f", b"", mode=before).mode = before
    assert run(machine, "chmod", mode, "/tmp/f").exit_code == 0
    assert machine.files.node("/tmp/f").mode == after


def test_a_tree_is_copied_with_owners_and_links(machine: Machine) -> None:
    machine.files.make_dir("/tmp/t/d", parents=True)
    machine.files.write("/tmp/t/d/f", b"1", mode=0o640, uid=80)
    machine.files.symlink("d/f", "/tmp/t/l")
    assert run(machine, "cp", "-Rp", "/tmp/t", "/tmp/u").exit_code == 0
    assert machine.files.node("/tmp/u/l", follow=False).target == "d/f"
    assert machine.files.node("/tmp/u/d/f").uid == 80


def test_a_sparse_file_takes_no_room(machine: Machine) -> None:
    run(machine, "truncate", "-s", "20G", "/tmp/disk")
    node = machine.files.node("/tmp/disk")
    assert (node.length, len(node.data)) == (20 * 1024**3, 0)


def test_an_archive_holds_what_is_there_and_misses_are_told(machine: Machine) -> None:
    machine.files.write("/tmp/x", b"1" * 700, mode=0o640)
    machine.files.make_dir("/tmp/.snap")
    reply = run(machine, "tar", "-cf", "-", "-C", "/", "--exclude", ".snap", "tmp", "nosuch")
    assert reply.exit_code == 1
    assert reply.stderr.endswith(
        b"tar: nosuch: Cannot stat: No such file or directory\ntar: Error exit delayed from previous errors.\n"
    )
    with tarfile.open(fileobj=io.BytesIO(reply.stdout)) as archive:
        assert archive.getmember("tmp/x").mode == 0o640
        assert "tmp/.snap" not in archive.getnames()


@pytest.mark.parametrize(
    ("argv", "stdout"),
    [
        (("grep", "-n", "^b"), "2:b 2\n"),
        (("grep", "-vc", "[[:digit:]]"), "0\n"),
        (("grep", "-o", "a\\|c"), "a\nc\n"),
        (("sed", "-n", "2,3p"), "b 2\nc 3\n"),
        (("sed", "s/\\([a-z]\\) \\(.\\)/\\2&/"), "1a 1\n2b 2\n3c 3\n"),
        (("sed", "-e", "1d", "-e", "$d"), "b 2\n"),
        (("awk", "/b/{print $2, NR}"), "2 2\n"),
        (("head", "-n", "1"), "a 1\n"),
        (("tail", "-n", "+3"), "c 3\n"),
        (("wc", "-l"), "       3\n"),
        (("sha256", "-q"), hashlib.sha256(b"a 1\nb 2\nc 3\n").hexdigest() + "\n"),
    ],
)
def test_text_tools(machine: Machine, argv: tuple[str, ...], stdout: str) -> None:
    assert run(machine, *argv, stdin=b"a 1\nb 2\nc 3\n").stdout.decode() == stdout


@pytest.mark.parametrize("argv", [("ls", "-Z"), ("find", "/", "-exec", "rm"), ("sed", "y/a/b/"), ("awk", "{x=1}")])
def test_what_is_not_known_is_refused(machine: Machine, argv: tuple[str, ...]) -> None:
    with pytest.raises(UnsupportedError):
        run(machine, *argv)


def test_lockf_is_held_by_a_process_that_goes_on(machine: Machine) -> None:
    run(machine, "sh", "-c", "lockf -k /tmp/l sleep 5 >/dev/null 2>&1 &")
    refused = run(machine, "lockf", "-k", "-t", "0", "/tmp/l", "true")
    assert (refused.exit_code, refused.stderr) == (75, b"lockf: /tmp/l: already locked\n")
    assert run(machine, "lockf", "-k", "-t", "9", "/tmp/l", "echo", "now").stdout == b"now\n"


def test_a_link_that_leads_back_to_itself(machine: Machine) -> None:
    run(machine, "ln", "-s", "/tmp/b", "/tmp/a")
    run(machine, "ln", "-s", "/tmp/a", "/tmp/b")
    assert run(machine, "touch", "/tmp/a").stderr == b"touch: /tmp/a: Too many levels of symbolic links\n"


def test_cp_names_what_it_could_not_write(machine: Machine) -> None:
    assert run(machine, "cp", "/etc/rc.conf", "/nosuch/x").stderr == b"cp: /nosuch/x: No such file or directory\n"
    run(machine, "mkdir", "/tmp/a")
    with pytest.raises(UnsupportedError, match="into itself"):
        run(machine, "cp", "-R", "/tmp/a", "/tmp/a")
