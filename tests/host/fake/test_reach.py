"""Who reaches whom: ping and arp through bridges, VLANs, routers and pf."""

from __future__ import annotations

import pytest

import warden.host.fake.programs  # noqa: F401 - registers the programs
from warden.host.fake import network
from warden.host.fake.machine import Jail, Machine
from warden.host.fake.profiles import recorded
from warden.host.fake.program import Call, run_program


def run(machine: Machine, line: str, jail: str = "", stdin: str = "") -> str:
    reply = run_program(Call(machine, tuple(line.split()), stdin.encode(), jail=jail))
    assert reply.exit_code == 0, reply
    return reply.stdout.decode()


def ping(machine: Machine, target: str, jail: str = "", more: str = "") -> int:
    """Give the answer's TTL, 0 for no answer."""
    reply = run_program(Call(machine, tuple(f"ping -c 1 -t 2 {more} {target}".split()), jail=jail))
    assert reply.exit_code == (0 if b" 0.0% packet loss" in reply.stdout else 2)
    return int(reply.stdout.partition(b"ttl=")[2].split()[0]) if b"ttl=" in reply.stdout else 0


def add_jail(machine: Machine, name: str, address: str, router: str) -> None:
    run(machine, "ifconfig epair create")
    run(machine, f"ifconfig epair{len(machine.jails)}a up name e0a_{name}")
    run(machine, f"ifconfig warden0 addm e0a_{name}")
    machine.jails[name] = Jail(name, len(machine.jails) + 1, "/", name)
    machine.jails[name].net = network.new_stack(machine, name)
    network.move_to_jail(machine, f"epair{len(machine.jails) - 1}b", name)
    run(machine, f"ifconfig epair{len(machine.jails) - 1}b inet {address}", jail=name)
    run(machine, f"route add default {router}", jail=name)


@pytest.fixture
def machine() -> Machine:
    machine = recorded()
    run(machine, "pfctl -d")
    run(machine, "ifconfig bridge create name warden0")
    run(machine, "ifconfig warden0 inet 10.0.1.1/24 alias")
    run(machine, "ifconfig warden0 inet 10.7.2.1/24 alias")
    add_jail(machine, "git", "10.0.1.2/24", "10.0.1.1")
    add_jail(machine, "shop", "10.7.2.2/24", "10.7.2.1")
    return machine


def test_between_networks_the_host_has_to_forward(machine: Machine) -> None:
    assert ping(machine, "10.0.1.1", "git") == 64
    assert ping(machine, "10.7.2.1", "git") == 64
    assert ping(machine, "10.7.2.2", "git") == 0
    run(machine, "sysctl net.inet.ip.forwarding=1")
    assert ping(machine, "10.7.2.2", "git") == 63
    assert ping(machine, "10.0.1.2") == 64


def test_one_wire_knows_no_subnets(machine: Machine) -> None:
    run(machine, "ifconfig epair0b inet 10.7.2.66/24 alias", "git")
    assert ping(machine, "10.7.2.2", "git") == 64
    run(machine, "ifconfig warden0 private e0a_git private e0a_shop")
    assert ping(machine, "10.7.2.2", "git", "-S 10.7.2.66") == 0
    assert ping(machine, "10.0.1.1", "git") == 64


def test_vlans_keep_members_apart(machine: Machine) -> None:
    run(machine, "ifconfig warden0 vlanfilter")
    assert ping(machine, "10.0.1.1", "git") == 0
    for name, vlan, address in (("git", 101, "10.0.1.1"), ("shop", 102, "10.7.2.1")):
        run(machine, f"ifconfig warden0 ifuntagged e0a_{name} {vlan}")
        run(machine, f"ifconfig warden0 inet {address} -alias")
        run(machine, f"ifconfig warden0.{vlan} create inet {address}/24")
    assert ping(machine, "10.0.1.1", "git") == 64
    run(machine, "ifconfig epair0b inet 10.7.2.66/24 alias", "git")
    assert ping(machine, "10.7.2.2", "git") == 0
    run(machine, "ifconfig vlan create vlan 102 vlandev epair0b inet 10.8.8.77/24", "git")
    run(machine, "ifconfig epair1b inet 10.8.8.2/24 alias", "shop")
    assert ping(machine, "10.8.8.2", "git") == 0
    run(machine, "ifconfig warden0 iftagged e0a_git 102")
    assert ping(machine, "10.8.8.2", "git") == 64


def test_pf_sees_what_is_routed_and_members_only_when_asked(machine: Machine) -> None:
    run(machine, "sysctl net.inet.ip.forwarding=1")
    run(machine, "pfctl -f -", stdin="pass all\nblock in quick on e0a_git from any to 10.0.1.1\n")
    run(machine, "pfctl -e")
    assert ping(machine, "10.0.1.1", "git") == 64
    run(machine, "sysctl net.link.bridge.pfil_member=1")
    assert ping(machine, "10.0.1.1", "git") == 0
    run(machine, "pfctl -f -", stdin="pass all\nblock in quick on warden0 from 10.0.1.0/24 to 10.7.2.0/24\n")
    assert ping(machine, "10.7.2.2", "git") == 0
    assert ping(machine, "10.0.1.1", "git") == 64


def test_what_is_too_long_or_has_no_route_is_not_sent(machine: Machine) -> None:
    long = run_program(Call(machine, ("ping", "-c", "1", "-t", "1", "-D", "-s", "1473", "10.0.1.2")))
    assert (long.exit_code, long.stderr) == (2, b"ping: sendto: Message too long\n")
    lost = run_program(Call(machine, ("ping", "-c", "1", "-t", "1", "192.0.2.1")))
    assert (lost.exit_code, lost.stderr) == (2, b"ping: sendto: No route to host\n")


def test_a_bridge_or_a_cable_that_is_down_carries_nothing(machine: Machine) -> None:
    run(machine, "ifconfig e0a_git down")
    assert ping(machine, "10.0.1.1", "git") == 0
    run(machine, "ifconfig e0a_git up")
    assert ping(machine, "10.0.1.1", "git") == 64
    run(machine, "ifconfig warden0 down")
    assert ping(machine, "10.0.1.1", "git") == 0


def test_arp_remembers_who_was_met(machine: Machine) -> None:
    assert run(machine, "arp -an", "git").count("\n") == 1
    ping(machine, "10.0.1.1", "git")
    assert "? (10.0.1.1) at 58:9c:fc:10:7c:cb on epair0b expires in 1200 seconds [ethernet]" in run(
        machine, "arp -an", "git"
    )
    machine.wait(1200)
    assert run(machine, "arp -an", "git").count("\n") == 1
