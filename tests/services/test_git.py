# SPDX-License-Identifier: BSD-2-Clause
"""What the repositories of an agent need, and how their jail is set up; what of it works is tried in real/."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from tests.services.samples import agent_with
from warden.facts.inside.git import QUESTION
from warden.resources.desired import Mount
from warden.services import forgejo, git
from warden.services.modules import MODULES

AGENT, JAIL = agent_with("git")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample warden agent atlas"


def files(public_key: str | None = KEY) -> dict[str, str]:
    setup = git.setup(replace(AGENT, public_key=public_key), JAIL)
    return {file.path: file.content.decode() for file in setup.files}


def test_the_agent_is_told_where_its_repository_is() -> None:
    told = git.needs(AGENT, JAIL).environment
    assert told["GIT_REMOTE_URL"] == "git@10.0.1.2:atlas.git"
    assert shlex.split(told["GIT_SSH_COMMAND"]) == [
        *("/usr/bin/ssh", "-i", "/usr/local/etc/warden-keys/atlas", "-o", "IdentitiesOnly=yes"),
        *("-o", "StrictHostKeyChecking=yes"),
        *("-o", "UserKnownHostsFile=/usr/local/etc/warden-keys/atlas.known_hosts"),
    ]


def test_another_port_stands_in_the_url_and_in_known_hosts() -> None:
    agent, jail = agent_with("git", port=2222)
    assert git.needs(agent, jail).environment["GIT_REMOTE_URL"] == "ssh://git@10.0.1.2:2222/srv/git/atlas.git"
    (trust,) = git.setup(agent, jail).finish
    assert "[10.0.1.2]:2222,[git.atlas.home.arpa]:2222" in trust.argv
    assert "Port 2222\nListenAddress 10.0.1.2\n" in git.sshd_config(agent, jail)


def test_the_repositories_are_the_agents_own_dataset() -> None:
    assert git.needs(AGENT, JAIL).mounts == (Mount(source="/var/db/warden/atlas/repos", target="/srv/git"),)
    assert git.needs(replace(AGENT, storage=None), JAIL).mounts == ()
    needs = git.needs(AGENT, JAIL)
    assert (needs.datasets, needs.secrets, needs.parameters) == ((), (), {})


def test_one_key_and_no_other_is_let_in() -> None:
    assert files()[git.AUTHORIZED_KEYS] == f"restrict {KEY}\n"
    assert files(f"{KEY}\n")[git.AUTHORIZED_KEYS] == f"restrict {KEY}\n"


def test_a_key_that_is_not_made_yet_is_read_on_the_host_when_it_is_there() -> None:
    setup = git.setup(AGENT, JAIL)
    assert AGENT.public_key is None
    assert git.AUTHORIZED_KEYS not in {file.path for file in setup.files}
    command = setup.prepare[-1]
    assert command.argv[0] == "/bin/sh"
    assert command.argv[-3:] == ("/usr/local/etc/warden-keys/atlas.pub", "atlasgit", git.AUTHORIZED_KEYS)
    known = git.setup(replace(AGENT, public_key=KEY), JAIL)
    assert known.prepare == setup.prepare[:-1]
    assert (known.items, known.variables) == (setup.items, setup.variables)


def test_sshd_lets_nobody_else_in_and_nothing_on() -> None:
    settings = dict(
        line.split(" ", 1) for line in git.sshd_config(AGENT, JAIL).splitlines() if line and not line.startswith("#")
    )
    assert settings["AllowUsers"] == "git"
    assert settings["AuthenticationMethods"] == "publickey"
    for keyword in ("PermitRootLogin", "PasswordAuthentication", "KbdInteractiveAuthentication", "UsePAM"):
        assert settings[keyword] == "no", keyword
    for keyword in ("AllowTcpForwarding", "AllowAgentForwarding", "X11Forwarding", "PermitTunnel", "PermitTTY"):
        assert settings[keyword] == "no", keyword
    assert settings["DisableForwarding"] == "yes"
    assert "Subsystem" not in settings


def test_every_file_says_whose_it_is() -> None:
    for path, text in files().items():
        if path != git.AUTHORIZED_KEYS:
            assert "managed by warden" in "\n".join(text.splitlines()[:5]), path


def test_what_is_wanted_is_asked() -> None:
    setup = git.setup(replace(AGENT, public_key=KEY), JAIL)
    for file in setup.files:
        assert file.path in QUESTION
    for name in setup.variables:
        assert name in QUESTION


def test_nothing_secret_is_in_any_command() -> None:
    """The private key's path is told to the agent alone; no command opens it."""
    setup = git.setup(AGENT, JAIL)
    for command in (*setup.prepare, *setup.check, *setup.finish):
        assert "/usr/local/etc/warden-keys/atlas" not in command.argv


@pytest.mark.parametrize("make", ["needs", "setup"])
def test_forgejo_is_another_module(make: str) -> None:
    agent, jail = agent_with("git", port=3000, runtime="forgejo")
    assert getattr(git, make)(agent, jail) == getattr(forgejo, make)(agent, jail)
    assert MODULES["git"] is git.MODULE
