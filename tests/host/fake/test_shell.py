# SPDX-License-Identifier: BSD-2-Clause
"""sh(1) of the fake machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from warden.host.fake.processes import advance
from warden.host.fake.profiles import make
from warden.host.fake.program import Call, Reply, UnsupportedError, run_program

if TYPE_CHECKING:
    from warden.host.fake.machine import Machine


@pytest.fixture
def machine() -> Machine:
    return make("bare")


def sh(machine: Machine, script: str, *args: str, stdin: bytes = b"", **place: Any) -> Reply:
    environment = {"PATH": "/bin:/usr/bin:/sbin:/usr/sbin:/usr/local/bin", "HOME": "/root"}
    return run_program(Call(machine, ("sh", "-c", script, *args), stdin, environment, **place))


def out(machine: Machine, script: str, *args: str) -> str:
    reply = sh(machine, script, *args)
    assert reply.stderr == b""
    return reply.stdout.decode()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("x=a0a; echo ${x%a}b ${x#a} ${x%%0*} ${x##*0} ${#x}", "a0b 0a a a 3\n"),
        ("echo ${a:-none} ${b:=set} $b ${b:+other} ${c-}x", "none set set other x\n"),
        ('x="a  b"; echo $x "$x"', "a b a  b\n"),
        ("echo 'single $x' \"double \\$x\" back\\ slash", "single $x double $x back slash\n"),
        ('echo "$(echo "a $(echo b)")" `echo c`', "a b c\n"),
        ("echo $((2 + 3 * (4 - 1))) $((7 / -2)) $((5 > 3 && 1))", "11 -3 1\n"),
        ("echo a#b # comment", "a#b\n"),
        ('IFS=:; x=a:b::c; for w in $x; do echo "<$w>"; done', "<a>\n<b>\n<>\n<c>\n"),
        ("case file.txt in *.md|*.rst) echo no;; *.t[xy]t) echo yes;; esac", "yes\n"),
        ("if false; then echo a; elif true; then echo b; else echo c; fi", "b\n"),
        ("i=0; while [ $i -lt 3 ]; do i=$((i + 1)); [ $i = 2 ] && continue; echo $i; done", "1\n3\n"),
        ("for i in 1 2 3; do for j in a b; do [ $j = b ] && break 2; echo $i$j; done; done", "1a\n"),
        ("f() { local x=in; echo $x $1 $#; return 4; }; x=out; f p q; echo $? $x", "in p 2\n4 out\n"),
        ("printf 'a\\nb\\n' | while read line; do echo \"[$line]\"; done", "[a]\n[b]\n"),
        ("(x=1; exit 3); echo $? ${x-unset}", "3 unset\n"),
        ("{ echo a; echo b >&2; } 2>&1 | cat", "a\nb\n"),
        ("false || echo or; true && ! false && echo and", "or\nand\n"),
        ("X=1 env | grep -c ^X=; echo ${X-gone}", "1\ngone\n"),
        ("eval 'a=1; echo $a'; unset a; echo ${a-unset}", "1\nunset\n"),
        ('set -- a \'b c\'; shift; echo $# "$1"; echo "$*"', "1 b c\nb c\n"),
        ("trap 'echo bye' EXIT; echo hello", "hello\nbye\n"),
        ('echo ${0} $1; echo "$@" | cat', "sh\n\n"),
    ],
)
def test_language(machine: Machine, script: str, said: str) -> None:
    assert out(machine, script) == said


def test_arguments_are_kept_apart(machine: Machine) -> None:
    assert out(machine, 'for word; do echo "<$word>"; done', "name", "one two", "", "$x") == "<one two>\n<>\n<$x>\n"
    assert out(machine, 'set -- "$@"; echo $#', "name") == "0\n"


def test_file_is_written_under_umask_and_renamed(machine: Machine) -> None:
    script = 'umask 077; cat > "$1" && chown "$2" "$1" && chmod "$3" "$1" && mv -f "$1" "$4"'
    machine.files.make_dir("/tmp/x", parents=True)
    assert sh(machine, 'umask 077; cat > "$1"', "sh", "/tmp/x/.new", stdin=b"data").exit_code == 0
    assert machine.files.node("/tmp/x/.new").mode == 0o600
    assert sh(machine, script, "sh", "/tmp/x/.new", "root:wheel", "0640", "/tmp/x/file", stdin=b"data").exit_code == 0
    assert machine.files.read("/tmp/x/file") == b"data"
    assert machine.files.node("/tmp/x/file").mode == 0o640


@pytest.mark.parametrize(
    ("script", "status", "error"),
    [
        ("nosuch", 127, "sh: nosuch: not found\n"),
        ("eval nosuch", 127, "eval: nosuch: not found\n"),
        ("cat > /nonexistent/x", 2, "sh: cannot create /nonexistent/x: No such file or directory\n"),
        ("cat < /nonexistent", 2, "sh: cannot open /nonexistent: No such file or directory\n"),
        ("echo 'a", 2, "sh: Syntax error: Unterminated quoted string\n"),
        ("if true; then echo", 2, 'sh: Syntax error: end of file unexpected (expecting "fi")\n'),
        ("export a-b", 2, "export: a-b: bad variable name\n"),
        ("set -u; echo $nosuch; echo on", 2, "sh: nosuch: parameter not set\n"),
        ("set -e; false; echo on", 1, ""),
        ("exit 9", 9, ""),
        ("kill -9 $$", 255, ""),
    ],
)
def test_errors(machine: Machine, script: str, status: int, error: str) -> None:
    reply = sh(machine, script)
    assert (reply.exit_code, reply.stdout, reply.stderr.decode()) == (status, b"", error)


@pytest.mark.parametrize("script", ["cat <<end\nend\n", "set -x", "set", "while :; do :; done"])
def test_what_is_not_known_is_refused(machine: Machine, script: str) -> None:
    with pytest.raises(UnsupportedError):
        sh(machine, script)


def test_script_files_run(machine: Machine) -> None:
    machine.files.write("/usr/local/bin/hello", b'#!/bin/sh\necho "hello $1"\nexit 3\n', mode=0o755)
    reply = sh(machine, "hello you; echo $?")
    assert reply.stdout == b"hello you\n3\n"
    machine.files.node("/usr/local/bin/hello").mode = 0o644
    assert sh(machine, "/usr/local/bin/hello").stderr == b"sh: /usr/local/bin/hello: Permission denied\n"


def test_background_script_goes_on_when_time_passes(machine: Machine) -> None:
    out(machine, "a=1; { for i in 1 2; do sleep 5; echo $i $a; done; sleep 5 && echo end; } > /tmp/log 2>&1 &")
    assert machine.files.text("/tmp/log") == ""
    advance(machine, 5)
    assert machine.files.text("/tmp/log") == "1 1\n"
    advance(machine, 60)
    assert machine.files.text("/tmp/log") == "1 1\n2 1\nend\n"
    assert out(machine, "pgrep sleep | wc -l") == "       0\n"


def test_user_without_rights_cannot_write(machine: Machine) -> None:
    reply = sh(machine, "echo x > /etc/x", user="nobody")
    assert (reply.exit_code, reply.stderr) == (2, b"sh: cannot create /etc/x: Permission denied\n")
