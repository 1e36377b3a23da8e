# SPDX-License-Identifier: BSD-2-Clause
"""A host to try Warden on as a user does, and testinfra to look at it: through Warden's own door, whatever host it is.

Where nothing else is said, it is a fake one: in a file, and behind a real sshd. A real one is left as it was found;
docs/acceptance.md says how.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from testinfra.backend.base import BaseBackend, CommandResult  # type: ignore[import-untyped]
from testinfra.host import Host as Seen  # type: ignore[import-untyped]

import warden as package
from tests.ssh.rig.rig import Rig
from tests.ssh.rig.tools import RigUnavailableError
from warden.host.address import open_host
from warden.host.command import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from warden.host.command import Host

AGENTS = "wardentesta,wardentestb"
SUBNETS = "10.213.71.0/24,10.213.72.0/24"
LOCALE = "sl_SI.UTF-8"
PATIENCE = 1800
CI = os.environ.get("CI", "").lower() == "true"

DEFAULTS = """\
[defaults]
release = "{release}"
"""
SPEC = """\
[agents.{name}]
subnet = "{subnet}"
services = ["git", "cms"]
command = ["/bin/sh", "-c", "locale > locale.now; exec sleep 86400"]
locale = {{ system = "{locale}" }}
[agents.{name}.env]
GREETING = "it's a \\"test\\""
"""

HOMES = "ls -d /home /home/* 2>/dev/null; true"
LOOK = (
    "cat /etc/rc.conf",
    "cat /etc/pf.conf",
    "cat /etc/devfs.rules 2>&1; true",
    "find /usr/local/etc/warden -type f 2>&1 | while read -r path; do sha256 $path; done; true",
    "ls /usr/local/etc/rc.d",
    "getent passwd",
    "getent group",
    "sysctl -n net.inet.ip.forwarding",
    "ifconfig -l",
    "ifconfig -f inet:cidr -a | grep 'inet '",
    "netstat -4rn",
    "jls name",
    "ls /usr/local/bastille/jails",
    "zfs list -H -t filesystem,volume,snapshot -o name",
    "pfctl -sn; pfctl -sr",
    "pfctl -a warden -sn 2>/dev/null; pfctl -a warden -sr 2>/dev/null; true",
    "pfctl -a warden -t warden_net -T show 2>/dev/null; true",
    "service -e",
    HOMES,
)
"""What is looked at before and after: each gives the same lines again on a host that is as it was."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("warden", "acceptance tests of Warden")
    group.addoption("--warden-host", help="the host: ssh://root@host, local, or fake:PATH; without it fake ones")
    group.addoption("--warden-agents", help=f"the names of the two agents to make there ({AGENTS})")
    group.addoption("--warden-subnets", help=f"their subnets ({SUBNETS})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the tests take place: a host, the names and subnets of two agents, and the release of their jails."""

    address: str
    folder: Path
    agents: tuple[str, str]
    subnets: tuple[str, str]
    release: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command line ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Door(BaseBackend):  # type: ignore[misc]  # it comes without types
    """testinfra's way to a host, by Warden's."""

    NAME = "warden"

    def __init__(self, host: Host) -> None:
        super().__init__(host.address)
        self._encoding = "UTF-8"
        self._door = host

    def run(self, command: str, *args: str, **_: Any) -> CommandResult:
        line = self.get_command(command, *args)
        (result,) = self._door.run([Command(argv=("/bin/sh", "-c", line))], stop_on_error=False)
        return self.result(result.exit_code, line.encode(), result.stdout, result.stderr)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have each test take place on the host that the command line names; else on a fake one, near and behind sshd."""
    if "place" in metafunc.fixturenames:
        named = metafunc.config.getoption("--warden-host", None)
        metafunc.parametrize("place", [named] if named else ["fake", "ssh"], indirect=True, scope="module")


@pytest.fixture(scope="module")
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Give the place, with a folder of its own in which its spec stands."""
    config, folder, address = request.config, tmp_path_factory.mktemp("acceptance"), request.param
    first, second = (config.getoption("--warden-agents", None) or AGENTS).split(",")
    one, two = (config.getoption("--warden-subnets", None) or SUBNETS).split(",")
    with ExitStack() as ending:
        if address == "fake":
            address = f"fake:{folder}/host.json"
        elif address == "ssh":
            address = ending.enter_context(behind_sshd(folder))
        elif hasattr(config, "workerinput"):
            pytest.fail("on a host that is named these tests run one after the other: leave -n out", pytrace=False)
        with open_host(address, folder=folder) as door:
            release = Seen(Door(door)).check_output("freebsd-version").partition("-p")[0]
        place = Place(address=address, folder=folder, agents=(first, second), subnets=(one, two), release=release)
        write_spec(place, place.agents)
        yield place


@contextmanager
def behind_sshd(folder: Path) -> Iterator[str]:
    """Give the address of a fake host behind a real sshd, for an operator without an agent."""
    try:
        rig = Rig(folder / "rig")
    except RigUnavailableError as reason:
        if CI:
            pytest.fail(f"no rig, and with CI=true no check may be left out: {reason}", pytrace=False)
        pytest.skip(f"no rig: {reason}")
    with rig, pytest.MonkeyPatch.context() as patch:
        home = folder / "operator"
        (home / ".ssh").mkdir(parents=True)
        (home / ".ssh" / "config").write_text(rig.ssh_config_text("alpha"), encoding="ascii")
        patch.setenv("HOME", str(home))
        patch.delenv("SSH_AUTH_SOCK", raising=False)
        yield "ssh://alpha"
        assert rig.unsupported() == []


def write_spec(place: Place, agents: tuple[str, ...]) -> None:
    """Write the spec of some of the agents."""
    subnets = dict(zip(place.agents, place.subnets, strict=True))
    text = DEFAULTS.format(release=place.release)
    text += "".join(SPEC.format(name=name, subnet=subnets[name], locale=LOCALE) for name in agents)
    (place.folder / "warden.toml").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def host(place: Place) -> Iterator[Seen]:
    """Give the host as testinfra has it."""
    with open_host(place.address, folder=place.folder) as door:
        yield Seen(Door(door))


def run_warden(place: Place, *args: str) -> Ended:
    """Run `warden` as a user does, in the folder of the spec."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WARDEN_")}
    environment |= {"WARDEN_HOST": place.address, "PYTHONPATH": str(Path(package.__file__).parents[1])}
    done = subprocess.run(
        (sys.executable, "-m", "warden", *args),
        cwd=place.folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    return Ended(status=done.returncode, out=done.stdout, err=done.stderr)


@pytest.fixture(scope="module")
def warden(place: Place) -> Callable[..., Ended]:
    """Give a function that runs `warden` with these arguments."""
    return partial(run_warden, place)


@pytest.fixture(scope="module")
def found(place: Place, host: Seen) -> Iterator[dict[str, str]]:
    """Give what the host looks like before anything is done; whatever becomes of the tests, it looks so afterwards."""
    refuse_where_taken(place, host)
    before = look(host)
    yield before
    left = [name for name in place.agents if host.file(f"/usr/local/etc/warden/agents/{name}.toml").exists]
    failed = [ended for name in left if (ended := run_warden(place, *destroy_words(name))).status]
    if not failed:
        forget(place, host, before)
    after = look(host)
    different = {line: (before[line], after[line]) for line in LOOK if before[line] != after[line]}
    assert not failed, f"{place.address} still has {', '.join(left)}: {failed[0].err}"
    assert different == {}, f"{place.address} is not as it was found"


def destroy_words(agent: str) -> tuple[str, ...]:
    """Give the words that destroy an agent with all that is its."""
    return ("destroy", agent, "-y", "--purge")


def refuse_where_taken(place: Place, host: Seen) -> None:
    """Fail, and do nothing, where the host has something that the tests would make, or cannot have it."""
    for name in place.agents:
        for path in (f"/home/{name}", f"/var/log/{name}.log"):
            if host.file(path).exists:
                pytest.fail(f"{place.address} has {path}: take other names, --warden-agents", pytrace=False)
        if host.run("id -u %s", name).succeeded:
            pytest.fail(f"{place.address} has a user {name}: take other names, --warden-agents", pytrace=False)
    planned = run_warden(place, "plan", "--json")
    if planned.status:
        pytest.fail(f"{place.address} cannot have these agents: {planned.err}", pytrace=False)
    plan = planned.json
    if plan["conflicts"] or not all(agent["new"] for agent in plan["agents"]):
        pytest.fail(f"{place.address} has agents, jails or addresses of these names: {planned.out}", pytrace=False)


def look(host: Seen) -> dict[str, str]:
    """Give what the host looks like, without the order: what is taken away and put back may stand elsewhere."""
    return {line: "\n".join(sorted(host.check_output(line).splitlines())) for line in LOOK}


def forget(place: Place, host: Seen, before: dict[str, str]) -> None:
    """Remove what a destroyed agent leaves to its operator, its home and its log: they were not there before."""
    for name in place.agents:
        host.check_output("rm -rf %s %s", f"/home/{name}", f"/var/log/{name}.log")
    if host.file("/home").exists and "/home" not in before[HOMES].splitlines():
        host.check_output("rmdir /home")
