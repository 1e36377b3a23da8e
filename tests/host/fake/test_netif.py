"""What rc makes of rc.conf's network variables, at boot and by service(8)."""

from __future__ import annotations

import pytest

import warden.host.fake.programs  # noqa: F401 - registers the programs
from warden.host.fake import boot, network
from warden.host.fake.machine import Jail, Machine
from warden.host.fake.profiles import recorded
from warden.host.fake.program import Call, Reply, UnsupportedError, run_program

BRIDGE = """
cloned_interfaces="bridge0"
ifconfig_bridge0_name="warden0"
"""


def machine_with(rc_conf: str) -> Machine:
    machine = recorded()
    machine.files.write("/etc/rc.conf", rc_conf.encode(), append=True)
    return machine


def run(machine: Machine, line: str, jail: str = "") -> Reply:
    return run_program(Call(machine, tuple(line.split()), jail=jail))


def out(machine: Machine, line: str, jail: str = "") -> str:
    reply = run(machine, line, jail)
    assert reply.exit_code == 0, reply
    return reply.stdout.decode()


def addresses(machine: Machine, interface: str) -> list[str]:
    return [f"{inet.address}/{inet.prefix}" for inet in machine.net.interfaces[interface].inet]


def booted(rc_conf: str) -> Machine:
    machine = machine_with(rc_conf)
    boot.boot(machine)
    return machine


def test_dhcp_gives_the_lease_back_after_a_boot() -> None:
    machine = booted("")
    assert addresses(machine, "vtnet0") == ["10.0.2.15/24"]
    assert run(machine, "route -n get default").exit_code == 255


def test_first_the_interfaces_own_then_the_list_then_the_numbers() -> None:
    machine = booted(
        BRIDGE
        + 'ifconfig_warden0_alias10="inet 10.0.10.1/24"\nifconfig_warden0_alias9="inet 10.0.9.1/24"\n'
        + 'ifconfig_warden0_aliases="inet 10.0.5.1/24 inet 10.0.6.1 netmask 255.255.255.0"\n'
        + 'ifconfig_warden0="inet 10.0.1.1/24"\n'
    )
    assert addresses(machine, "warden0") == [f"10.0.{number}.1/24" for number in (1, 5, 6, 9, 10)]


def test_an_empty_number_ends_the_list_and_a_missing_one_does_not() -> None:
    aliases = 'ifconfig_warden0_alias0="inet 10.0.1.1/24"\nifconfig_warden0_alias7="inet 10.0.7.1/24"\n'
    machine = booted(BRIDGE + aliases)
    assert addresses(machine, "warden0") == ["10.0.1.1/24", "10.0.7.1/24"]
    machine.files.write("/etc/rc.conf", b'ifconfig_warden0_alias3=""\n', append=True)
    boot.boot(machine)
    assert addresses(machine, "warden0") == ["10.0.1.1/24"]


def test_a_range_keeps_its_prefix_for_the_first_address_only() -> None:
    machine = booted(BRIDGE + 'ifconfig_warden0_alias0="inet 10.0.1.5-7/24"\n')
    assert addresses(machine, "warden0") == ["10.0.1.5/24", "10.0.1.6/32", "10.0.1.7/32"]


def test_the_group_is_lost_unless_rc_conf_brings_it_back() -> None:
    machine = machine_with(BRIDGE + 'ifconfig_warden0="up"\n')
    assert out(machine, "ifconfig bridge create name warden0 group warden") == "warden0\n"
    boot.boot(machine)
    assert out(machine, "ifconfig -g warden") == ""
    machine.files.write("/etc/rc.conf", b'create_args_bridge0="group warden vlanfilter"\n', append=True)
    boot.boot(machine)
    assert out(machine, "ifconfig -g warden") == "warden0\n"
    assert machine.net.interfaces["warden0"].vlanfilter


def test_vlans_and_autobridge_and_forwarding() -> None:
    machine = booted(
        'cloned_interfaces="bridge0 epair3"\nifconfig_bridge0="vlanfilter up"\nvlans_bridge0="101 shop"\n'
        'create_args_shop="vlan 7"\nifconfig_bridge0_101="inet 10.0.1.1/24"\nifconfig_shop="inet 10.0.7.1/24"\n'
        'autobridge_interfaces="bridge0"\nautobridge_bridge0="epair*a"\ngateway_enable="YES"\n'
    )
    assert addresses(machine, "bridge0.101") == ["10.0.1.1/24"]
    assert addresses(machine, "shop") == ["10.0.7.1/24"]
    assert out(machine, "sysctl -n net.inet.ip.forwarding") == "1\n"
    assert out(machine, "service bridge start") == ""
    assert list(machine.net.interfaces["bridge0"].members) == ["epair3a"]


def test_static_routes() -> None:
    machine = booted('defaultrouter="10.0.2.2"\nstatic_routes="office"\nroute_office="-net 10.9.0.0/16 10.0.2.9"\n')
    assert "gateway: 10.0.2.2" in out(machine, "route -n get default")
    assert "gateway: 10.0.2.9" in out(machine, "route -n get 10.9.3.4")


def test_one_interface_is_stopped_and_started() -> None:
    machine = booted(BRIDGE + 'ifconfig_warden0="inet 10.0.1.1/24 descr gateways"\n')
    assert out(machine, "service netif stop warden0").startswith("Stopping Network: warden0.\nwarden0: flags=8802<")
    assert addresses(machine, "warden0") == []
    assert out(machine, "service netif restart warden0").count("Network: warden0.") == 2
    assert addresses(machine, "warden0") == ["10.0.1.1/24"]
    assert machine.net.interfaces["warden0"].description == "gateways"


def test_rc_says_what_it_cannot_find() -> None:
    reply = run(recorded(), "service netif stop nosuch0")
    assert reply.stderr == b"/etc/rc.d/netif: WARNING: nosuch0 does not exist.  Skipped.\n"


def test_a_jail_configures_its_own() -> None:
    machine = recorded()
    out(machine, "ifconfig epair create")
    out(machine, "ifconfig epair0b name e0b_git")
    path = "/usr/local/bastille/releases/15.1-RELEASE"
    machine.jails["git"] = Jail("git", 1, path, "git", net=network.new_stack(machine, "git"))
    rc_conf = b'ifconfig_e0b_git_name="vnet0"\nifconfig_vnet0="inet 10.0.1.2/24"\ndefaultrouter="10.0.1.1"\n'
    machine.files.write("/etc/rc.conf", rc_conf, root=path)
    network.move_to_jail(machine, "e0b_git", "git")
    for name in ("netif", "routing"):
        run(machine, f"service {name} start", jail="git")
    assert "inet 10.0.1.2/24" in out(machine, "ifconfig -j git -f inet:cidr")
    assert "gateway: 10.0.1.1" in out(machine, "route -j git -n get default")


def test_what_rc_would_do_and_the_fake_does_not() -> None:
    machine = machine_with(BRIDGE + 'ifconfig_warden0_ipv6="inet6 fd00::1/64"\n')
    with pytest.raises(UnsupportedError):
        boot.boot(machine)
