# SPDX-License-Identifier: BSD-2-Clause
"""A fake host with one jail, in which a service is set up by its own commands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.host.fake.jail_box import ADDRESS, create, with_bridge
from warden.facts.inside.common import HEAD
from warden.host.fake.boot import boot
from warden.host.fake.program import Call, run_program
from warden.services.shape import Place

if TYPE_CHECKING:
    from warden.host.command import Command
    from warden.host.fake.machine import Machine
    from warden.services.shape import Setup

ROOT = "/usr/local/bastille/jails/{name}/root"


@dataclass
class OneJail:
    """A jail of the fake host's, at ADDRESS."""

    name: str
    machine: Machine = field(default_factory=with_bridge)

    def __post_init__(self) -> None:
        create(self.machine, self.name, ADDRESS)

    def host(self, *argv: str, stdin: bytes = b"") -> tuple[int, str, str]:
        """Run a command on the host."""
        reply = run_program(Call(self.machine, argv, stdin))
        return reply.exit_code, reply.stdout.decode(), reply.stderr.decode()

    def inside(self, *argv: str, user: str = "root") -> tuple[int, str, str]:
        """Run a command in the jail."""
        return self.host("jexec", "-l", "-U", user, self.name, *argv)

    def install(self, *packages: str) -> None:
        """Install packages in the jail."""
        answer = self.inside("env", "ASSUME_ALWAYS_YES=yes", "pkg", "install", "-y", *packages)
        assert answer[0] == 0, answer

    def run(self, *commands: Command) -> None:
        """Run a set-up's commands, which have to work."""
        for command in commands:
            answer = self.host(*command.argv, stdin=command.stdin)
            assert answer[0] == 0, (command, answer)

    def set_up(self, setup: Setup) -> None:
        """Do what a set-up says, in its order."""
        self.prepare(setup)
        if setup.daemon is not None:
            assert self.inside("service", setup.daemon, setup.how)[0] == 0
        self.run(*setup.finish)

    def prepare(self, setup: Setup) -> None:
        """Do what a set-up says, up to the start."""
        self.install(*setup.packages)
        for name, value in setup.variables.items():
            assert self.inside("sysrc", f"{name}={value}")[0] == 0
        self.run(*(Place(jail=self.name).write(file) for file in setup.files), *setup.prepare, *setup.check)

    def ask(self, question: str, port: int, *, runtime: str = "") -> list[str]:
        """Ask the jail as a probe does, and give the lines of its answer without those that all jails have."""
        script = ("/bin/sh", "-c", HEAD + question, "sh", ADDRESS, str(port), "18", runtime, "atlas")
        status, said, complaint = self.host("timeout", "15", "jexec", "-l", self.name, *script, stdin=b"\n")
        assert (status, complaint) == (0, "")
        return [line for line in said.splitlines() if not line.startswith("item hosts ")]

    def fits(self, setup: Setup, lines: list[str]) -> bool:
        """Tell whether an answer says all that a set-up wants to be there, and that the service is well."""
        wanted = {
            *(f"variable {name} {value}" for name, value in setup.variables.items()),
            *(f"item {item}" for item in setup.items),
        }
        files = [line.split()[-1] for line in lines if line.startswith("file ")]
        packages = [line.split()[1] for line in lines if line.startswith("package ")]
        return (
            wanted <= set(lines)
            and lines[-1] == "healthy"
            and files == [file.path for file in setup.files]
            and packages == list(setup.packages)
        )

    def path(self, path: str) -> str:
        """Give the path on the host of a file in the jail."""
        return ROOT.format(name=self.name) + path

    def reboot(self) -> None:
        """Start the host again, without a clean stop."""
        boot(self.machine)
