"""pfctl, the service pf, and what pf decides."""

from __future__ import annotations

import time

import pytest

import warden.host.fake.programs  # noqa: F401 - registers pfctl and service
from warden.host.fake import pf_service
from warden.host.fake.machine import Machine, Pf
from warden.host.fake.persist import from_json, to_json
from warden.host.fake.pf_decide import passes
from warden.host.fake.profiles import recorded
from warden.host.fake.program import Call, Reply, UnsupportedError, run_program

ANCHOR = """\
table <warden_net> persist file "/usr/local/etc/warden/subnets"
nat on vtnet0 inet from <warden_net> to ! <warden_net> -> (vtnet0:0)
pass quick on warden0 inet from <warden_net> to any
"""
ANCHOR_SHOWN = ["pass quick on warden0 inet from <warden_net> to any flags S/SA keep state"]
HOOKS = 'nat-anchor "warden"\nanchor "warden"\npass all\n'


class Host:
    """The recorded machine, and the commands that are run on it."""

    def __init__(self) -> None:
        self.machine: Machine = recorded()

    def write(self, path: str, text: str) -> None:
        self.machine.files.make_dir(path.rpartition("/")[0], parents=True)
        self.machine.files.write(path, text.encode())

    def reply(self, *argv: str, stdin: str = "") -> Reply:
        return run_program(Call(self.machine, argv, stdin.encode()))

    def out(self, *argv: str, stdin: str = "", status: int = 0) -> list[str]:
        reply = self.reply(*argv, stdin=stdin)
        assert reply.exit_code == status
        return reply.stdout.decode().splitlines()

    def err(self, *argv: str, stdin: str = "", status: int = 0) -> list[str]:
        reply = self.reply(*argv, stdin=stdin)
        assert reply.exit_code == status
        assert reply.stdout == b""
        return reply.stderr.decode().splitlines()

    def reboot(self) -> None:
        self.machine.pf = Pf()
        pf_service.start(self.machine)


@pytest.fixture
def host() -> Host:
    made = Host()
    made.write("/usr/local/etc/warden/subnets", "10.0.1.0/24\n192.168.72.0/24 # the first\n")
    made.write("/usr/local/etc/warden/pf.conf", ANCHOR)
    return made


def test_a_load_replaces_the_rules_and_leaves_anchors_alone(host: Host) -> None:
    host.err("pfctl", "-f", "-", stdin=HOOKS)
    assert host.err("pfctl", "-a", "warden", "-f", "/usr/local/etc/warden/pf.conf") == []
    assert host.err("pfctl", "-f", "-", stdin='anchor "warden"\nblock in\n') == []
    assert host.out("pfctl", "-sr") == ['anchor "warden" all', "block drop in all"]
    assert host.out("pfctl", "-sn") == []
    assert host.out("pfctl", "-a", "warden", "-sr") == ANCHOR_SHOWN


def test_a_load_that_fails_changes_nothing(host: Host) -> None:
    before = host.out("pfctl", "-sr")
    said = host.err("pfctl", "-f", "-", stdin="pass\nthis is not pf\n", status=1)
    assert said == ["stdin:2: syntax error", "pfctl: Syntax error in config file: pf rules not loaded"]
    assert host.out("pfctl", "-sr") == before
    assert host.err("pfctl", "-nf", "-", stdin="nope\n", status=1) == ["stdin:1: syntax error"]


def test_an_anchor_that_cannot_be_loaded_fails_the_main_rules_too(host: Host) -> None:
    host.write("/etc/pf.conf", HOOKS + 'load anchor "warden" from "/usr/local/etc/warden/none"\n')
    assert host.err("pfctl", "-nf", "/etc/pf.conf", status=1) == [
        "pfctl: pushfile: /usr/local/etc/warden/none: No such file or directory",
        "pfctl: cannot open the main config file!: No such file or directory",
        "pfctl: load anchors",
    ]
    host.reboot()
    assert host.out("pfctl", "-s", "Running") == ["Enabled"]
    assert host.reply("pfctl", "-sr") == Reply()
    assert host.reply("pfctl", "-a", "warden", "-sr") == Reply()


def test_an_anchor_of_its_own_outlives_reload_restart_and_flush(host: Host) -> None:
    host.write("/etc/pf.conf", HOOKS)
    host.err("pfctl", "-f", "/etc/pf.conf")
    host.err("pfctl", "-a", "warden", "-f", "/usr/local/etc/warden/pf.conf")
    for command in (["service", "pf", "reload"], ["service", "pf", "restart"], ["pfctl", "-F", "all"]):
        host.reply(*command)
        assert host.out("pfctl", "-a", "warden", "-sr") == ANCHOR_SHOWN
        assert host.out("pfctl", "-a", "warden", "-t", "warden_net", "-T", "show") == [
            "   10.0.1.0/24",
            "   192.168.72.0/24",
        ]
    host.reboot()
    assert host.reply("pfctl", "-a", "warden", "-sr") == Reply()


def test_an_anchor_goes_with_the_last_thing_that_needs_it(host: Host) -> None:
    host.err("pfctl", "-a", "a/b", "-f", "-", stdin="block\n")
    assert host.out("pfctl", "-s", "Anchors") == ["  a", "  a/b"]
    gone = "pfctl: Operation not supported by device"
    assert host.err("pfctl", "-a", "a/b", "-F", "all", status=1) == [
        "Ethernet rules cleared",
        "rules cleared",
        "nat cleared",
        gone,
    ]
    assert host.out("pfctl", "-s", "Anchors") == []
    assert host.err("pfctl", "-a", "a", "-sr") == ["pfctl: Anchor does not exist."]
    host.err("pfctl", "-a", "a", "-f", "-", stdin="table <t> persist\nblock\n")
    assert host.err("pfctl", "-a", "a", "-F", "all")[-2:] == ["1 tables deleted.", "rules cleared"]
    assert host.out("pfctl", "-s", "Anchors") == []


def test_a_table_without_persist_lives_as_long_as_a_rule_uses_it(host: Host) -> None:
    host.err("pfctl", "-f", "-", stdin="table <used> { 10.0.0.1 }\ntable <idle> { 10.0.0.1 }\nblock from <used>\n")
    assert host.out("pfctl", "-sT") == ["used"]
    host.err("pfctl", "-t", "mine", "-T", "add", "10.0.0.1")
    host.err("pfctl", "-f", "-", stdin="pass\n")
    assert host.out("pfctl", "-sT") == ["mine"]
    assert host.out("pfctl", "-vsT") == ["-pa----\tmine"]


def test_a_table_that_no_file_fills_keeps_its_addresses_through_a_reload(host: Host) -> None:
    rules = "table <kept> persist\ntable <read> persist { 10.0.0.1 }\npass\n"
    host.err("pfctl", "-f", "-", stdin=rules)
    for table in ("kept", "read"):
        host.err("pfctl", "-t", table, "-T", "replace", "10.9.0.1")
    host.err("pfctl", "-f", "-", stdin=rules)
    assert host.out("pfctl", "-t", "kept", "-T", "show") == ["   10.9.0.1"]
    assert host.out("pfctl", "-t", "read", "-T", "show") == ["   10.0.0.1"]


def test_table_commands_count_on_standard_error(host: Host) -> None:
    table = ("pfctl", "-t", "t", "-T")
    assert host.err(*table, "add", "10.0.2.0/24", "!10.0.2.9") == ["1 table created.", "2/2 addresses added."]
    assert host.err(*table, "add", "10.0.2.0/24", "10.0.10.0/24") == ["1/2 addresses added."]
    assert host.out(*table, "show") == ["   10.0.2.0/24", "  !10.0.2.9", "   10.0.10.0/24"]
    assert host.err(*table, "test", "10.0.2.7", "10.0.2.9", status=2) == ["1/2 addresses match."]
    assert host.err(*table, "replace", "-f", "-", stdin="10.0.2.0/24\n10.0.3.0/24\n") == [
        "1 addresses added.",
        "2 addresses deleted.",
    ]
    assert host.err("pfctl", "-nt", "t", "-T", "flush") == ["2 addresses deleted (dummy)."]
    assert host.err(*table, "replace", "10.0.3.0/24", "10.0.2.0/24") == ["no changes."]
    assert host.err(*table, "add", "banana", status=255) == ["no IP address found for banana"]
    assert host.err(*table, "replace", "-f", "/no", status=255) == ["pfctl: cannot load /no: No such file or directory"]
    assert host.err(*table, "kill") == ["1 table deleted."]
    assert host.err(*table, "show", status=255) == ["pfctl: Table does not exist."]


def test_a_constant_table_takes_no_addresses(host: Host) -> None:
    host.err("pfctl", "-f", "-", stdin="table <c> const { 10.0.0.1 }\nblock from <c>\n")
    assert host.err("pfctl", "-t", "c", "-T", "add", "10.0.0.2", status=255) == ["pfctl: Operation not permitted."]


def test_a_table_of_one_name_in_two_anchors_is_warned_of(host: Host) -> None:
    host.err("pfctl", "-a", "warden", "-f", "/usr/local/etc/warden/pf.conf")
    assert host.err("pfctl", "-nf", "-", stdin="table <warden_net> persist\n") == [
        'pfctl: warning: table <warden_net> already defined in anchor "warden"'
    ]


def test_rules_are_shown_with_what_they_call(host: Host) -> None:
    host.err("pfctl", "-f", "-", stdin='anchor "a"\nanchor "b/*"\n')
    for anchor in ("a", "b/one", "b/two"):
        host.err("pfctl", "-a", anchor, "-f", "-", stdin="block in\n")
    assert host.out("pfctl", "-a", "*", "-sr") == [
        'anchor "a" all {',
        "  block drop in all",
        "}",
        'anchor "b/*" all {',
        '  anchor "one" all {',
        "    block drop in all",
        "  }",
        '  anchor "two" all {',
        "    block drop in all",
        "  }",
        "}",
    ]


def test_numbers_stand_beside_rules_when_asked_for(host: Host) -> None:
    host.err("pfctl", "-f", "-", stdin="table <t> { 10.0.0.1 10.0.0.2 }\npass proto tcp from <t> to (vtnet0) port 22\n")
    assert host.out("pfctl", "-P", "-sr") == ["pass proto tcp from <t> to (vtnet0) port = 22 flags S/SA keep state"]
    first, *counters = host.reply("pfctl", "-vvsr").stdout.decode().splitlines()
    assert first == "@0 pass proto tcp from <t:2> to (vtnet0:1) port = ssh flags S/SA keep state"
    assert counters[0].startswith("  [ Evaluations: 0")
    assert counters[-1] == "  [ Last Active Time: N/A ]"


def test_macros_may_come_with_the_command(host: Host) -> None:
    rule = host.reply("pfctl", "-D", "if=vtnet0", "-nvf", "-", stdin='if = "lo0"\npass on $if\n').stdout.decode()
    assert rule.splitlines()[-1] == "pass on vtnet0 all flags S/SA keep state"


def test_labels_name_the_parts_of_their_rules(host: Host) -> None:
    rules = 'pass\nblock in on x proto tcp from <t> to port > 9 label "$nr $if $proto $srcaddr $dstaddr $dstport"\n'
    host.err("pfctl", "-f", "-", stdin=rules)
    assert host.out("pfctl", "-sr")[1].endswith(' label "1 x tcp <t> any >9"')


def test_six_blocked_hosts_become_a_table(host: Host) -> None:
    rules = f"block in from {{ {' '.join(f'10.0.0.{number}' for number in range(1, 7))} }}\n"
    shown = host.reply("pfctl", "-nvf", "-", stdin=rules).stdout.decode().splitlines()
    assert shown[0].startswith("table <__automatic_0> const { 10.0.0.1 10.0.0.2 ")
    assert shown[1] == "block drop in inet from <__automatic_0> to any"
    host.err("pfctl", "-f", "-", stdin=rules)
    (table,) = host.out("pfctl", "-sT")
    assert table.startswith("__automatic_")
    assert len(host.out("pfctl", "-t", table, "-T", "show")) == 6


def test_pf_is_switched_on_and_off(host: Host) -> None:
    assert host.err("pfctl", "-e", status=1) == ["pfctl: pf already enabled"]
    assert host.err("pfctl", "-d") == ["pf disabled"]
    assert host.out("pfctl", "-s", "Running", status=1) == ["Disabled"]
    assert host.out("service", "pf", "status", status=1)[0].startswith("Status: Disabled for 0 days 00:00:00 ")
    assert host.err("pfctl", "-qe") == []


def test_limits_come_from_the_rules(host: Host) -> None:
    host.err("pfctl", "-f", "-", stdin="set limit { states 5000 frags 10 }\npass\n")
    assert host.out("pfctl", "-sm")[:3] == [
        "states        hard limit     5000",
        "src-nodes     hard limit    10000",
        "frags         hard limit       10",
    ]


def test_a_flush_of_everything_leaves_its_mark_until_the_next_load(host: Host) -> None:
    host.reply("pfctl", "-F", "all")
    assert "Interface Stats for none              IPv4             IPv6" in host.out("pfctl", "-si")
    host.reply("service", "pf", "reload")
    assert "Interface Stats for none              IPv4             IPv6" not in host.out("pfctl", "-si")


def test_without_the_module_there_is_no_pf(host: Host) -> None:
    host.machine.modules.remove("pf.ko")
    assert host.err("pfctl", "-sr", status=1) == ["pfctl: /dev/pf: No such file or directory"]
    host.machine.pf = Pf()
    assert host.out("service", "pf", "start") == ["Enabling pf."]
    assert host.out("pfctl", "-sr")[-1] == "pass all flags S/SA keep state"


def test_the_service_says_when_its_rules_are_not_there(host: Host) -> None:
    host.machine.files.remove("/etc/pf.conf")
    reply = host.reply("service", "pf", "start")
    assert (reply.exit_code, reply.stderr) == (1, b"/etc/rc.d/pf: WARNING: /etc/pf.conf is not readable.\n")


@pytest.mark.parametrize(
    "argv", [("-sa",), ("-z", "-sr"), ("-vT", "show", "-t", "x"), ("-F", "osfp"), ("-m", "-f", "x")]
)
def test_what_it_cannot_do_it_refuses(host: Host, argv: tuple[str, ...]) -> None:
    with pytest.raises(UnsupportedError):
        host.reply("pfctl", *argv)


@pytest.mark.parametrize(
    "argv", [(), ("-t", "x"), ("-s", "bananas"), ("-F", ""), ("banana",), ("-k", "a", "-k", "b", "-k", "c")]
)
def test_what_nobody_could_do_ends_with_the_usage(host: Host, argv: tuple[str, ...]) -> None:
    assert host.err("pfctl", *argv, status=1)[-4].startswith("usage: pfctl ")


def test_the_state_of_pf_can_be_saved(host: Host) -> None:
    host.err("pfctl", "-a", "warden", "-f", "/usr/local/etc/warden/pf.conf")
    assert from_json(Pf, to_json(host.machine.pf)) == host.machine.pf


def test_an_anchor_with_many_networks_is_loaded_quickly(host: Host) -> None:
    host.write("/usr/local/etc/warden/subnets", "".join(f"10.{number}.0.0/24\n" for number in range(200)))
    before = time.perf_counter()
    for _ in range(10):
        host.err("pfctl", "-a", "warden", "-f", "/usr/local/etc/warden/pf.conf")
    assert time.perf_counter() - before < 1
    assert len(host.out("pfctl", "-a", "warden", "-t", "warden_net", "-T", "show")) == 200


class TestDecision:
    """What pf lets through."""

    def test_the_last_rule_that_matches_decides_unless_one_is_quick(self, host: Host) -> None:
        host.err(
            "pfctl", "-f", "-", stdin="block in\npass in proto tcp to port 22\nblock in quick from 10.9.0.0/16\npass\n"
        )
        assert self.inward(host, "10.0.0.1", port=22)
        assert self.inward(host, "10.0.0.1", port=80)
        assert not self.inward(host, "10.9.0.1", port=22)
        host.err("pfctl", "-f", "-", stdin="block in\npass in proto tcp to port 22\n")
        assert not self.inward(host, "10.0.0.1", port=80)

    def test_nothing_is_blocked_where_no_rule_matches_or_pf_is_off(self, host: Host) -> None:
        host.err("pfctl", "-f", "-", stdin="block out\n")
        assert self.inward(host, "10.0.0.1", port=80)
        host.err("pfctl", "-f", "-", stdin="block\n")
        assert not self.inward(host, "10.0.0.1", port=80)
        host.err("pfctl", "-d")
        assert self.inward(host, "10.0.0.1", port=80)

    def test_an_anchor_is_gone_through_where_it_is_called(self, host: Host) -> None:
        host.err("pfctl", "-f", "-", stdin='pass\nanchor "w/*" on vtnet0\n')
        host.err(
            "pfctl", "-a", "w/a", "-f", "-", stdin="table <t> persist { 10.1.0.0/16 !10.1.0.5 }\nblock quick from <t>\n"
        )
        assert not self.inward(host, "10.1.0.4", port=80)
        assert self.inward(host, "10.1.0.5", port=80)
        host.err("pfctl", "-f", "-", stdin='pass\nanchor "w/*" on lo0\n')
        assert self.inward(host, "10.1.0.4", port=80)

    def test_a_skipped_interface_lets_all_through(self, host: Host) -> None:
        host.err("pfctl", "-f", "-", stdin="set skip on vtnet0\nblock\n")
        assert self.inward(host, "10.0.0.1", port=80)

    def test_addresses_of_interfaces_are_looked_up_when_a_packet_comes(self, host: Host) -> None:
        host.err("pfctl", "-f", "-", stdin="block\npass in to (vtnet0)\n")
        assert self.inward(host, "10.0.0.1", port=80)
        host.machine.net.interfaces["vtnet0"].inet.clear()
        assert not self.inward(host, "10.0.0.1", port=80)

    @staticmethod
    def inward(host: Host, source: str, *, port: int) -> bool:
        return passes(
            host.machine,
            interface="vtnet0",
            direction="in",
            source=source,
            destination="10.0.2.15",
            protocol="tcp",
            port=port,
        )
