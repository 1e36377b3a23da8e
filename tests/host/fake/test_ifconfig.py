"""ifconfig, netstat, route, sysctl and kldload against the kernel's rules."""

from __future__ import annotations

import json
import time

import pytest

import warden.host.fake.programs  # noqa: F401 - registers the programs
from warden.host.fake import network
from warden.host.fake.machine import Jail, Machine
from warden.host.fake.persist import from_json, to_json
from warden.host.fake.profiles import recorded
from warden.host.fake.program import Call, Reply, UnsupportedError, run_program


class Host:
    """The recorded machine, and the commands that are run on it."""

    def __init__(self) -> None:
        self.machine = recorded()

    def run(self, line: str, jail: str = "") -> Reply:
        return run_program(Call(self.machine, tuple(line.split()), jail=jail))

    def out(self, line: str, jail: str = "") -> str:
        reply = self.run(line, jail)
        assert reply.exit_code == 0, reply
        return reply.stdout.decode()

    def error(self, line: str, jail: str = "") -> str:
        reply = self.run(line, jail)
        assert reply.exit_code, reply
        return reply.stderr.decode().strip()

    def jail(self, name: str) -> None:
        self.machine.jails[name] = Jail(name, self.machine.next_jid, "/", name)
        self.machine.next_jid += 1
        self.machine.jails[name].net = network.new_stack(self.machine, name)

    def stop(self, name: str) -> None:
        network.return_from_jail(self.machine, name)
        del self.machine.jails[name]


@pytest.fixture
def host() -> Host:
    return Host()


def addresses(host: Host, interface: str) -> list[str]:
    lines = host.out(f"ifconfig -f inet:cidr {interface} inet").splitlines()
    return [line.split()[1] for line in lines if line.startswith("\tinet ")]


def test_a_name_that_is_taken_leaves_a_stray_bridge(host: Host) -> None:
    host.out("ifconfig bridge create name warden0")
    reply = host.run("ifconfig bridge create name warden0")
    assert (reply.exit_code, reply.stdout) == (1, b"bridge1\n")
    assert host.out("ifconfig -l") == "vtnet0 lo0 warden0 bridge1\n"


def test_an_address_given_again_goes_to_the_end(host: Host) -> None:
    host.out("ifconfig bridge create name warden0")
    for number in (1, 2, 3):
        host.out(f"ifconfig warden0 inet 10.0.{number}.1/24 alias")
    host.out("ifconfig warden0 inet 10.0.1.1/24 alias")
    assert addresses(host, "warden0") == ["10.0.2.1/24", "10.0.3.1/24", "10.0.1.1/24"]


def test_an_address_without_alias_takes_the_place_of_the_first(host: Host) -> None:
    host.out("ifconfig bridge create name warden0")
    host.out("ifconfig warden0 inet 10.0.1.1/24 alias")
    host.out("ifconfig warden0 inet 10.0.2.1 netmask 255.255.255.0")
    assert addresses(host, "warden0") == ["10.0.2.1/24"]


def test_a_bridge_has_the_same_mac_whenever_it_is_made(host: Host) -> None:
    # recorded on this very host UUID in session 01
    host.out("ifconfig bridge create")
    host.out("ifconfig epair create")
    assert "ether 58:9c:fc:10:7c:cb" in host.out("ifconfig bridge0")
    assert "ether 58:9c:fc:10:fd:8d" in host.out("ifconfig epair0a")


def test_an_epair_goes_as_a_whole(host: Host) -> None:
    host.out("ifconfig epair create")
    host.jail("atlasgit")
    network.move_to_jail(host.machine, "epair0b", "atlasgit")
    host.out("ifconfig epair0b name vnet0", jail="atlasgit")
    assert host.out("ifconfig -l", jail="atlasgit") == "lo0 vnet0\n"
    host.out("ifconfig epair0a destroy")
    assert host.out("ifconfig -l", jail="atlasgit") == "lo0\n"
    assert host.out("ifconfig epair create") == "epair0a\n"


def test_what_a_jail_was_given_comes_back(host: Host) -> None:
    host.out("ifconfig epair create")
    host.out("ifconfig epair0b name e0b_atlasgit")
    host.jail("atlasgit")
    network.move_to_jail(host.machine, "e0b_atlasgit", "atlasgit")
    host.out("ifconfig lo create", jail="atlasgit")
    assert host.out("ifconfig -l") == "vtnet0 lo0 epair0a\n"
    host.stop("atlasgit")
    assert host.out("ifconfig -l") == "vtnet0 lo0 epair0a e0b_atlasgit\n"
    assert sorted(host.machine.indexes.free) == [5, 6], "those of the jail's loopback interfaces"


def test_a_jail_takes_the_lowest_free_index_and_shows_it(host: Host) -> None:
    host.out("ifconfig bridge create name warden0")
    host.out("ifconfig epair create")
    host.jail("atlasgit")
    network.move_to_jail(host.machine, "epair0b", "atlasgit")
    host.out("ifconfig lo0 inet 127.0.0.1/8 up", jail="atlasgit")
    assert "scopeid 0x6" in host.out("ifconfig lo0", jail="atlasgit")
    assert "scopeid 0x6" in host.out("ifconfig -j atlasgit lo0")


def test_a_member_that_is_destroyed_leaves_the_bridge(host: Host) -> None:
    host.out("ifconfig bridge create name warden0")
    host.out("ifconfig epair create")
    host.out("ifconfig warden0 addm epair0a")
    assert "PROMISC" in host.out("ifconfig epair0a")
    host.out("ifconfig epair0a name e0a_atlasgit")
    assert "member: e0a_atlasgit " in host.out("ifconfig warden0")
    host.out("ifconfig e0a_atlasgit destroy")
    assert "member" not in host.out("ifconfig warden0")


def test_a_bridge_that_is_destroyed_lets_its_members_go(host: Host) -> None:
    host.out("ifconfig bridge create name warden0")
    host.out("ifconfig epair create")
    host.out("ifconfig warden0 addm epair0a")
    host.out("ifconfig warden0 destroy")
    host.out("ifconfig bridge create name warden0")
    assert "member" not in host.out("ifconfig warden0")
    host.out("ifconfig warden0 addm epair0a")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("ifconfig warden0 addm lo0", "BRDGADD lo0: Invalid argument (Unsupported interface type)"),
        ("ifconfig warden0 addm", "usage: addm <interface> [opts ...]"),
        ("ifconfig warden0 ifuntagged e0a 4095", "invalid VLAN identifier: 4095"),
        ("ifconfig warden0 iftagged e0a 9-3", "invalid vlan set: 9-3"),
        ("ifconfig warden0 inet 10.0.2.1/x alias", "10.0.2.1/x: bad value (width invalid)"),
        ("ifconfig warden0 nonsense", "nonsense: bad value"),
        ("ifconfig warden0.5000 create", "invalid vlan tag"),
        ("ifconfig warden0 ether 12:34", ""),
        ("ifconfig nosuch0.7 create", "SIOCIFCREATE2 (nosuch0.7): Invalid argument"),
        ("ifconfig -j nosuch", 'jail "nosuch" not found'),
    ],
)
def test_refusals(host: Host, line: str, error: str) -> None:
    host.out("ifconfig bridge create name warden0")
    assert host.error(line) == f"ifconfig: {error or 'malformed link-level address'}"


@pytest.mark.parametrize("line", ["ifconfig warden0 stp epair0a", "ifconfig -v", "ifconfig warden0 inet6 ::1/128"])
def test_what_is_not_known_is_said_to_be(host: Host, line: str) -> None:
    host.out("ifconfig bridge create name warden0")
    with pytest.raises(UnsupportedError):
        host.run(line)


def test_vlans_follow_their_parent(host: Host) -> None:
    host.out("ifconfig bridge create name br0")
    host.out("ifconfig br0.7 create inet 10.0.1.1/24")
    host.out("ifconfig br0 name warden0")
    assert "parent interface: warden0\n" in host.out("ifconfig br0.7")
    assert "mtu 1496\n" in host.out("ifconfig br0.7")
    assert host.error("ifconfig br0.7 mtu 1500").endswith("Invalid argument")
    host.out("ifconfig warden0 mtu 1504")
    host.out("ifconfig br0.7 mtu 1500")
    host.out("ifconfig warden0 destroy")
    assert "parent interface: <none>\n" in host.out("ifconfig br0.7")


def test_routes_come_and_go_with_addresses(host: Host) -> None:
    host.out("ifconfig bridge create name warden0")
    host.out("ifconfig warden0 inet 10.0.1.1/24 alias")
    assert host.out("route add default 10.0.1.9") == "add net default: gateway 10.0.1.9\n"
    assert "gateway: 10.0.1.9\n" in host.out("route -n get 8.8.8.8")
    assert host.run("route add default 10.0.1.8").exit_code == 1
    host.out("ifconfig warden0 inet 10.0.1.1 -alias")
    assert host.run("route -n get default").exit_code == 255
    assert "10.0.1" not in host.out("netstat -4rn")


def test_netstat_gives_json(host: Host) -> None:
    entries = json.loads(host.out("netstat --libxo json -4rn"))["statistics"]["route-information"]["route-table"]
    routes = entries["rt-family"][0]["rt-entry"]
    assert [route["destination"] for route in routes] == ["10.0.2.0/24", "10.0.2.15", "127.0.0.1"]


def test_a_default_route_is_shown_as_such(host: Host) -> None:
    host.out("route add default 10.0.2.2")
    assert "default            10.0.2.2           UGS          vtnet0\n" in host.out("netstat -4rn")


def test_bridge_sysctls_come_with_the_module(host: Host) -> None:
    assert host.run("sysctl -n net.link.bridge.pfil_member").exit_code == 1
    host.out("ifconfig bridge create")
    assert host.out("sysctl -n net.link.bridge.pfil_member") == "0\n"
    assert host.out("sysctl net.link.bridge.pfil_member=1") == "net.link.bridge.pfil_member: 0 -> 1\n"
    with pytest.raises(UnsupportedError):
        host.run("sysctl kern.maxfiles")


def test_forwarding_is_each_stacks_own(host: Host) -> None:
    host.jail("atlasgit")
    host.out("sysctl net.inet.ip.forwarding=1", jail="atlasgit")
    assert host.out("sysctl -n net.inet.ip.forwarding") == "0\n"
    assert host.error("sysctl security.bsd.see_other_uids=0", jail="atlasgit").endswith("Operation not permitted")


def test_modules(host: Host) -> None:
    host.out("kldload if_bridge")
    assert host.out("kldstat").splitlines()[-1].endswith("bridgestp.ko")
    assert host.error("kldload if_bridge") == "kldload: can't load if_bridge: module already loaded or in kernel"
    assert host.run("kldstat -q -m if_bridge").exit_code == 0


def test_the_network_survives_being_saved(host: Host) -> None:
    host.out("ifconfig bridge create name warden0 vlanfilter")
    host.out("ifconfig warden0.7 create inet 10.0.1.1/24")
    host.out("ifconfig epair create")
    host.out("ifconfig warden0 addm epair0a untagged 7 tagged 8-10")
    before = host.out("ifconfig -a")
    host.machine = from_json(Machine, json.loads(json.dumps(to_json(host.machine))))
    assert host.out("ifconfig -a") == before
    assert "untagged 7 tagged 8-10" in before


def test_many_interfaces_take_little_time(host: Host) -> None:
    began = time.perf_counter()
    host.out("ifconfig bridge create name warden0")
    for number in range(600):
        end = host.out("ifconfig epair create").strip()
        host.out(f"ifconfig {end} up name e0a_j{number}")
        host.out(f"ifconfig {end[:-1]}b up name e0b_j{number}")
        host.out(f"ifconfig warden0 addm e0a_j{number}")
    for number in range(200):
        host.out(f"ifconfig warden0 inet 10.{number // 100}.{number % 100}.1/24 alias")
    for _ in range(5):
        host.out("ifconfig -f inet:cidr -a")
    assert time.perf_counter() - began < 3


def test_a_unit_whose_name_another_interface_has_is_passed_over(host: Host) -> None:
    for line in ("lo1 create", "lo1 name epair0b", "lo2 create", "lo2 name bridge0"):
        host.out(f"ifconfig {line}")
    assert host.out("ifconfig epair create") == "epair1a\n"
    assert host.out("ifconfig bridge create") == "bridge1\n"
    assert host.error("ifconfig bridge0 create") == "ifconfig: interface bridge0 already exists"
    host.out("ifconfig epair0b destroy")
    assert host.out("ifconfig epair create") == "epair0a\n"
