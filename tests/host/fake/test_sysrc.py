# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warden.host.fake import rcconf
from warden.host.fake.machine import Machine
from warden.host.fake.profiles import make
from warden.host.fake.program import Call, Reply, UnsupportedError, run_program


@pytest.fixture
def machine() -> Machine:
    return make("bare")


def run(machine: Machine, *argv: str, stdin: bytes = b"") -> Reply:
    return run_program(Call(machine, argv, stdin))


def out(machine: Machine, *argv: str) -> str:
    return run(machine, *argv).stdout.decode()


def rc_conf(machine: Machine, text: str) -> None:
    machine.files.write("/etc/rc.conf", text.encode())


def test_a_new_variable_goes_to_the_end_and_a_known_one_is_changed_in_place(machine: Machine) -> None:
    rc_conf(machine, "a='1' # one\nb=2\n")
    assert out(machine, "sysrc", "c=3", "a=x y", "b=4") == "c:  -> 3\na: 1 -> x y\nb: 2 -> 4\n"
    assert machine.files.text("/etc/rc.conf") == 'a=\'x y\' # one\nb="4"\nc="3"\n'


def test_the_last_assignment_is_the_one_that_counts_and_is_changed(machine: Machine) -> None:
    rc_conf(machine, 'a="1"\na="2"\n')
    assert out(machine, "sysrc", "a=3") == "a: 2 -> 3\n"
    assert machine.files.text("/etc/rc.conf") == 'a="1"\na="3"\n'
    assert run(machine, "sysrc", "-x", "a").exit_code == 0
    assert machine.files.text("/etc/rc.conf") == ""


def test_a_value_is_stored_as_it_is_and_sh_reads_it_back(machine: Machine) -> None:
    assert out(machine, "sysrc", 'v=it\'s "quoted" $hostname') == "v:  -> it's quoted freebsd\n"
    assert machine.files.text("/etc/rc.conf").endswith('v="it\'s "quoted" $hostname"\n')


def test_words_are_added_once_and_taken_away(machine: Machine) -> None:
    run(machine, "sysrc", "list=a b")
    assert out(machine, "sysrc", "list+=b c") == "list: a b -> a b c\n"
    assert out(machine, "sysrc", "list-=a") == "list: a b c -> b c\n"
    assert out(machine, "sysrc", "other+=,x,y") == "other:  -> x,y\n"


def test_a_file_that_sh_cannot_read_is_not_read_on(machine: Machine) -> None:
    rc_conf(machine, 'a="1\n')
    reply = run(machine, "sysrc", "-n", "hostname")
    assert (reply.exit_code, reply.stderr) == (1, b"sysrc: Exiting due to previous syntax errors\n")


def test_another_root_and_another_file(machine: Machine) -> None:
    machine.files.make_dir("/j/etc/defaults", parents=True)
    machine.files.write("/j/etc/defaults/rc.conf", rcconf.DEFAULTS_TEXT.encode())
    assert out(machine, "sysrc", "-R", "/j", "x=1") == "x:  -> 1\n"
    assert machine.files.text("/j/etc/rc.conf") == 'x="1"\n'
    assert out(machine, "sysrc", "-f", "/boot/loader.conf", "-n", "zfs_load") == "YES\n"


def test_what_is_not_known_is_refused(machine: Machine) -> None:
    with pytest.raises(UnsupportedError):
        run(machine, "sysrc", "-L")
    with pytest.raises(UnsupportedError):
        run(machine, "sysrc", "-d", "sshd_enable")


def test_rc_conf_is_read_in_order_and_may_use_what_was_set_before(machine: Machine) -> None:
    rc_conf(machine, "a=1; b=\"${a}2\" # c\nc='$a'\nd=${nosuch:-x}${a:+y}\nexport e=5\nbad-name=YES\n")
    machine.files.write("/etc/rc.conf.local", b"a=9\n")
    variables = rcconf.read_rc_conf(machine)
    assert [variables[name] for name in "abcde"] == ["9", "12", "$a", "xy", "5"]
    assert variables["sshd_enable"] == "NO"


@given(st.text(alphabet=st.characters(exclude_characters='\\"$`\n\0', exclude_categories=["Cs"]), max_size=40))
def test_any_plain_value_comes_back(value: str) -> None:
    machine = Machine()
    machine.files.make_dir("/etc/defaults", parents=True)
    machine.files.write("/etc/defaults/rc.conf", rcconf.DEFAULTS_TEXT.encode())
    run(machine, "sysrc", f"v={value}")
    run(machine, "sysrc", f"v={value}")
    assert rcconf.read_rc_conf(machine)["v"] == value


@pytest.mark.parametrize(("value", "yes"), [("YES", True), ("on", True), ("1", True), ("NO", False), ("", False)])
def test_what_counts_as_yes(value: str, *, yes: bool) -> None:
    assert rcconf.is_yes(value) is yes
