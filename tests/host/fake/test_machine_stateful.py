# SPDX-License-Identifier: BSD-2-Clause
"""Any commands in any order leave a machine that could be one, and that a file keeps whole."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from warden.host.command import Command
from warden.host.fake.host import FakeHost, FakeUnsupportedError
from warden.host.fake.machine import Machine
from warden.host.fake.persist import from_json, to_json
from warden.host.fake.profiles import make
from warden.host.files import write_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.host.command import Result
    from warden.host.fake.machine import NetStack
    from warden.host.fake.store import Grip

PRESENT = re.compile(r"(link|jail|dataset|snapshot):(\d)")
JAILS = "/usr/local/bastille/jails"
SCRIPT = """\
#!/bin/sh
# PROVIDE: {name}
# REQUIRE: NETWORKING {after}
# KEYWORD: shutdown
. /etc/rc.subr
name="{name}"
rcvar="{name}_enable"
load_rc_config $name
: ${{{name}_enable:="NO"}}
pidfile="/var/run/{name}.pid"
command="/usr/sbin/daemon"
command_args="-P ${{pidfile}} -r -t {name} /bin/sleep {seconds}"
run_rc_command "$1"
"""


def words(*choices: str) -> st.SearchStrategy[str]:
    return st.sampled_from(choices)


def line(*parts: str | st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Give command lines: the parts, each drawn or as it is, with spaces between."""
    return st.tuples(*(st.just(part) if isinstance(part, str) else part for part in parts)).map(" ".join)


def present(kind: str, *names: str) -> st.SearchStrategy[str]:
    """Give names: mostly `KIND:N`, which stands for the Nth that the machine has, else one of those given."""
    return st.integers(0, 6).map(f"{kind}:{{}}".format) | words(*names)


JAIL = present("jail", "git", "web", "longname9")
STACK = words("", "", "", "-j git")
LINK = present("link", "epair0a", "epair0b", "e0b_git", "warden0", "bridge1")
BRIDGE = words("warden0", "warden0", "bridge1")
ADDRESS = words("10.0.1.1/24", "10.0.1.1/32", "10.0.1.2/24", "10.0.2.1/24", "10.9.0.1/16")
VARIABLE = words("cloned_interfaces", "ifconfig_warden0", "ifconfig_warden0_alias0", "atlas_enable", "hostname", "x")
VALUE = words("YES", "NO", "", "bridge0", "inet 10.0.1.1/24", "bridge0 bridge1", "10.0.1.1 netmask 255.255.255.0")
DATASET = present("dataset", "zroot/a", "zroot/a/b", "zroot/c", "zroot/bastille/jails/web")
SNAPSHOT = present("snapshot", "zroot/a@one", "zroot/a/b@two", "zroot/bastille/jails/git/root@one")
USER = words("atlas", "nova", "www")
RULES = words(
    "pass all\n", "block in all\n", "table <t> { 10.0.1.0/24 }\npass from <t>\n", 'anchor "warden"\n', "nonsense"
)
FOLDER = words("/tmp/a", "/tmp/a/b", "/var/models", f"{JAILS}/git/root/tmp/c")


class Shelf:
    """Keeps the machine that it is given."""

    def __init__(self, machine: Machine) -> None:
        self.kept = machine

    @contextmanager
    def machine(self) -> Iterator[Machine]:
        yield self.kept

    def grip(self, path: str) -> Grip | None:
        raise NotImplementedError(path)


class AnyMachine(RuleBasedStateMachine):
    """A fake host, and beside it a twin that goes through JSON before each command."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = make("ready")
        self.host = FakeHost("fake:", Shelf(self.machine))
        self.twin = self.machine

    def send(self, text: str) -> None:
        self.run(Command(argv=tuple(PRESENT.sub(self.name_of, text).split())))

    def name_of(self, wanted: re.Match[str]) -> str:
        """Give the name that `KIND:N` stands for."""
        machine, kind = self.machine, wanted[1]
        names = {
            "link": lambda: list(machine.net.interfaces),
            "jail": lambda: machine.files.list_dir(JAILS),
            "dataset": lambda: [one.name for one in machine.datasets.values() if one.kind != "snapshot"],
            "snapshot": lambda: [one.name for one in machine.datasets.values() if one.kind == "snapshot"],
        }[kind]()
        # from the end, where the newest are
        return names[-1 - int(wanted[2]) % len(names)] if names else f"no{kind}"

    def run(self, command: Command) -> None:
        self.twin = from_json(Machine, json.loads(json.dumps(to_json(self.machine))))
        assert self.twin == self.machine
        answers = [_answer(self.host, command), _answer(FakeHost("fake:", Shelf(self.twin)), command)]
        assert answers[0] == answers[1]
        assert self.twin == self.machine

    @initialize()
    def prepare(self) -> None:
        self.send("ifconfig bridge create name warden0 group warden")
        self.send("ifconfig warden0 inet 10.0.1.1/24 alias")
        self.send("sysrc cloned_interfaces=bridge0 ifconfig_bridge0_name=warden0 bastille_enable=YES")
        self.send("bastille create -B -M -g 10.0.1.1 git 15.1-RELEASE 10.0.1.2/24 warden0")

    @rule(text=line("ifconfig", STACK, words("bridge", "epair", "tap0", "lo1", "bridge0", "vlan7"), "create"))
    def make_link(self, text: str) -> None:
        self.send(text)

    @rule(text=line("ifconfig", STACK, LINK, words("destroy", "up", "down", "group warden", "descr x", "mtu 1400", "")))
    def change_link(self, text: str) -> None:
        self.send(text)

    @rule(text=line("ifconfig", STACK, LINK, words("inet", ""), ADDRESS, words("alias", "-alias", "")))
    def change_address(self, text: str) -> None:
        self.send(text)

    @rule(text=line("ifconfig", BRIDGE, words("addm", "deletem", "private", "-private"), LINK))
    def change_member(self, text: str) -> None:
        self.send(text)

    @rule(text=line("ifconfig", STACK, LINK, words("name", "vnet", "-vnet"), LINK | JAIL))
    def move_link(self, text: str) -> None:
        self.send(text)

    @rule(text=line("ifconfig vlan create vlan", words("7", "8"), "vlandev", LINK))
    def make_vlan(self, text: str) -> None:
        self.send(text)

    @rule(name=VARIABLE, operator=words("=", "+=", "-="), value=VALUE, jail=words("", "git"))
    def set_variable(self, name: str, operator: str, value: str, jail: str) -> None:
        self.run(Command(argv=("sysrc", *(("-j", jail) if jail else ()), f"{name}{operator}{value}")))

    @rule(text=line("sysrc", words("-x", "-n", "-ix"), VARIABLE))
    def drop_variable(self, text: str) -> None:
        self.send(text)

    @rule(name=JAIL, kind=words("-B -M", "-B -M -T", "-B"), address=ADDRESS, bridge=BRIDGE)
    def create_jail(self, name: str, kind: str, address: str, bridge: str) -> None:
        self.send(f"bastille create {kind} -g 10.0.1.1 {name} 15.1-RELEASE {address} {bridge}")

    @rule(text=line("bastille", words("start", "stop", "restart", "destroy -afy", "destroy -y", "list"), JAIL))
    def change_jail(self, text: str) -> None:
        self.send(text)

    @rule(
        text=line("bastille config", JAIL, words("set boot off", "set priority 5", "get boot", "set depend git"))
        | line("bastille limits", JAIL, words("add memoryuse 1G", "remove memoryuse", "show", "clear"))
        | line("bastille tags", JAIL, words("add x", "delete x", "list"))
        | line("bastille rename", JAIL, JAIL)
        | line("bastille clone", JAIL, JAIL, "10.0.1.9")
    )
    def configure_jail(self, text: str) -> None:
        self.send(text)

    @rule(
        text=line("bastille mount", JAIL, FOLDER, words("/models", "/tmp/x"), "nullfs ro 0 0")
        | line("bastille umount", JAIL, words("/models", "/tmp/x"))
    )
    def mount_in_jail(self, text: str) -> None:
        self.send(text)

    @rule(
        text=line(
            "jexec", JAIL, words("ps -ax", "ifconfig", "sysrc -ae", "daemon sleep 60", "touch /tmp/x", "pkill -x cron")
        )
        | line("bastille cmd", JAIL, words("service cron restart", "route -n get default", "sh -c true"))
    )
    def run_in_jail(self, text: str) -> None:
        self.send(text)

    @rule(
        text=line("zfs create", words("", "-p", "-o mountpoint=none", "-o mountpoint=/tmp/a"), DATASET)
        | line("zfs set", words("quota=1G", "mountpoint=/tmp/z", "canmount=off", "warden:agent=x"), DATASET)
        | line("zfs snapshot", words("", "-r"), DATASET, words("@one", "@two")).map(
            lambda text: text.replace(" @", "@")
        )
        | line("zfs clone", SNAPSHOT, DATASET)
        | line("zfs rollback", words("", "-r"), SNAPSHOT)
        | line("zfs rename", words("", "-p"), DATASET, DATASET)
        | line("zfs destroy", words("", "-r", "-R", "-rf"), DATASET | SNAPSHOT)
        | line("zfs", words("mount", "umount", "umount -f"), DATASET)
    )
    def change_dataset(self, text: str) -> None:
        self.send(text)

    @rule(anchor=words("", "-a warden"), check=words("-f", "-nf"), rules=RULES)
    def load_rules(self, anchor: str, check: str, rules: str) -> None:
        self.run(Command(argv=("pfctl", *anchor.split(), check, "-"), stdin=rules.encode()))

    @rule(
        text=line(
            "pfctl -a warden -t t -T", words("show", "add 10.0.3.0/24", "replace 10.0.4.0/24", "delete 10.0.3.0/24")
        )
        | line("pfctl", words("", "-a warden"), words("-F rules", "-F nat", "-F Tables", "-F all", "-sr", "-s info"))
        | line("pfctl", words("-d", "-e", "-k 10.0.1.0/24", "-ss"))
    )
    def change_pf(self, text: str) -> None:
        self.send(text)

    @rule(name=USER, after=words("", "nova", "pf"), seconds=words("5", "1000"))
    def write_service(self, name: str, after: str, seconds: str) -> None:
        text = SCRIPT.format(name=name, after=after, seconds=seconds)
        self.run(write_file(f"/usr/local/etc/rc.d/{name}", text.encode(), mode="0555"))

    @rule(
        text=line(
            "service", USER, words("start", "onestart", "onestop", "onestatus", "enable", "disable", "onerestart")
        )
        | line("service", words("pf", "devfs", "cron", "netif", "routing"), words("restart", "stop", "start", "status"))
    )
    def run_service(self, text: str) -> None:
        self.send(text)

    @rule(
        text=line("pw useradd", USER, words("-m", "-g wheel", "-u 1005", "-w no"))
        | line("pw", words("userdel", "userdel -r", "usershow", "groupadd", "groupdel"), USER)
        | line("id", USER)
    )
    def change_user(self, text: str) -> None:
        self.send(text)

    @rule(
        text=line(words("mkdir -p", "rm -rf", "ls -l", "touch", "rmdir", "cat", "chmod 700", "chown www"), FOLDER)
        | line(words("mv", "cp -R", "ln -s"), FOLDER, FOLDER)
        | line("mount -t nullfs", FOLDER, FOLDER)
        | line("umount", FOLDER)
        | words("df", "mount -p", "find /tmp")
    )
    def change_files(self, text: str) -> None:
        self.send(text)

    @rule(
        script=words(
            "echo x > /tmp/f && cat /tmp/f >> /tmp/g",
            "for i in a b; do mkdir -p /tmp/$i; done; ls /tmp",
            "sleep 30 > /dev/null 2>&1 & echo $!",
            'rm -f /tmp/f; test -e /tmp/f || echo "gone"',
            "cd /tmp/a && pwd > where",
            "lockf -k -t 0 /tmp/lock sysrc x=1",
        )
    )
    def run_script(self, script: str) -> None:
        self.run(Command(argv=("sh", "-c", script)))

    @rule(
        text=line("sysctl", words("net.inet.ip.forwarding", "net.inet.ip.forwarding=1", "kern.nosuch=1", "hw.ncpu=2"))
        | line(words("kldload", "kldunload", "kldstat -m"), words("nullfs", "if_bridge", "pf", "nosuch"))
        | words(
            "route -n get default",
            "route add default 10.0.1.2",
            "route delete default",
            "netstat -4rn",
            "ping -c 1 10.0.1.2",
        )
        | words(
            "shutdown -r now",
            "devfs rule -s 13 show",
            "devfs rule showsets",
            "rctl",
            "jls",
            "ps -axww",
            "sleep 7",
            "tar -cf - /etc",
        )
    )
    def use_kernel(self, text: str) -> None:
        self.send(text)

    @rule(
        text=line("daemon", words("-p /var/run/d.pid", "-r -P /var/run/s.pid", "-f"), "sleep", words("3", "100"))
        | line(words("pkill -F /var/run/s.pid", "pkill sleep", "pgrep -lf sleep", "kill -9 999999"))
    )
    def use_processes(self, text: str) -> None:
        self.send(text)

    @rule(
        rules=words("[warden=13]\nadd include $devfsrules_hide_all\nadd path 'tun*' unhide\n", "[x=5]\nadd hide\n", "")
    )
    def write_devfs_rules(self, rules: str) -> None:
        self.run(write_file("/etc/devfs.rules", rules.encode()))

    @invariant()
    def links_lead_somewhere(self) -> None:
        for name, stack in self.stacks().items():
            for link in stack.interfaces.values():
                addresses = [inet.address for inet in link.inet]
                assert len(addresses) == len(set(addresses)), (name, link)
                if link.kind == "epair":
                    other = self.machine.stack(link.peer_jail).interfaces[link.peer]
                    assert (other.peer, other.peer_jail) == (link.name, name)
                if link.bridge:
                    assert link.name in stack.interfaces[link.bridge].members
                for member in link.members:
                    assert stack.interfaces[member].bridge == link.name
                for tag, child in link.vlans.items():
                    assert (stack.interfaces[child].vlan, stack.interfaces[child].vlandev) == (tag, link.name)

    @invariant()
    def names_are_their_own(self) -> None:
        indexes = []
        for stack in self.stacks().values():
            assert [link.name for link in stack.interfaces.values()] == list(stack.interfaces)
            indexes += [link.index for link in stack.interfaces.values() if link.kind != "loop"]
        assert len(indexes) == len(set(indexes))

    @invariant()
    def jails_stand_on_something(self) -> None:
        machine = self.machine
        for name, jail in machine.jails.items():
            assert machine.files.is_dir(jail.path)
            assert f"zroot/bastille/jails/{name}" in machine.datasets
            assert jail.net is not None
            assert jail.net.jail == name
        assert {process.jail for process in machine.processes.values()} <= {"", *machine.jails}
        assert len({jail.jid for jail in machine.jails.values()}) == len(machine.jails)

    @invariant()
    def datasets_have_parents(self) -> None:
        for dataset in self.machine.datasets.values():
            parent = dataset.name.rpartition("@" if "@" in dataset.name else "/")[0]
            assert not parent or parent in self.machine.datasets
            assert not dataset.origin or dataset.origin in self.machine.datasets

    def teardown(self) -> None:
        """See that what Warden asks for is answered."""
        for text in (
            "sysrc -ae",
            "ifconfig -a",
            "bastille list -j",
            "mount -p",
            "pfctl -sr",
            "zfs list -Hp",
            "ps -axww",
        ):
            result = _answer(self.host, Command(argv=tuple(text.split())))
            assert not isinstance(result, str), result
            assert result.ok, result.stderr

    def stacks(self) -> dict[str, NetStack]:
        jails = {name: jail.net for name, jail in self.machine.jails.items() if jail.net is not None}
        return {"": self.machine.net, **jails}


def _answer(host: FakeHost, command: Command) -> Result | str:
    try:
        return host.run([command])[0]
    except FakeUnsupportedError as error:
        return str(error)


TestAnyMachine = AnyMachine.TestCase
TestAnyMachine.settings = settings(max_examples=settings().max_examples // 3, stateful_step_count=30)
