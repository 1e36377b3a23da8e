# SPDX-License-Identifier: BSD-2-Clause
"""git and sshd of the fake host, set up as Warden does it: repositories as files, keys, and where sshd listens."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import cache

import pytest

from tests.host.fake.one_jail import OneJail
from tests.services.samples import agent_with
from warden.facts.inside import git as question
from warden.host.fake.machine import Machine
from warden.host.fake.persist import from_json, to_json
from warden.host.fake.program import UnsupportedError
from warden.services import git

AGENT, JAIL = agent_with("git")
SETUP = git.setup(AGENT, JAIL)
KEY = "/usr/local/etc/warden-keys/atlas"
REPOSITORY = "/srv/git/atlas.git"


def without_set_up() -> OneJail:
    jail = OneJail("atlasgit")
    assert jail.host("mkdir", "-p", "/usr/local/etc/warden-keys")[0] == 0
    assert jail.host("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "atlas", "-f", KEY)[0] == 0
    return jail


@cache
def _pickled() -> bytes:
    jail = without_set_up()
    jail.set_up(SETUP)
    return pickle.dumps(jail)


@pytest.fixture
def jail() -> OneJail:
    found: OneJail = pickle.loads(_pickled())  # noqa: S301 - made a moment ago
    return found


def answer(jail: OneJail) -> list[str]:
    return jail.ask(question.QUESTION, 22, runtime="ssh")


def test_a_bare_jail_is_ill() -> None:
    bare = without_set_up()
    assert answer(bare)[-1] == "ill the repository /srv/git/atlas.git is not there"


def test_it_is_set_up_and_asked(jail: OneJail) -> None:
    lines = answer(jail)
    wanted = {*(f"item {item}" for item in SETUP.items), *(f"variable {k} {v}" for k, v in SETUP.variables.items())}
    assert wanted <= set(lines)
    assert lines[-1] == "healthy"
    owner = jail.host("stat", "-f", "%Su:%Sg %Lp", jail.path("/usr/local/etc/warden-authorized_keys"))[1]
    assert owner == "root:wheel 644\n"


def test_what_the_host_wrote_is_what_the_next_plan_wants(jail: OneJail) -> None:
    public = jail.host("cat", f"{KEY}.pub")[1].strip()
    setup = git.setup(replace(AGENT, public_key=public), JAIL)
    wanted = next(file.content for file in setup.files if file.path == git.AUTHORIZED_KEYS)
    assert jail.host("cat", jail.path(git.AUTHORIZED_KEYS))[1].encode() == wanted
    assert jail.fits(setup, answer(jail))


def test_the_agent_knows_its_jail(jail: OneJail) -> None:
    key = jail.host("cat", jail.path(f"{git.HOST_KEY}.pub"))[1].split()[1]
    assert jail.host("cat", f"{KEY}.known_hosts")[1] == f"10.0.1.2,git.atlas.home.arpa ssh-ed25519 {key}\n"
    assert jail.host("stat", "-f", "%Lp", f"{KEY}.known_hosts")[1] == "644\n"
    kinds = jail.machine.files.list_dir(jail.path("/etc/ssh"))
    assert not [name for name in kinds if "rsa" in name or "ecdsa" in name]


def test_the_repository_belongs_to_git(jail: OneJail) -> None:
    for path in ("/srv/git", REPOSITORY, f"{REPOSITORY}/HEAD", f"{REPOSITORY}/refs/heads"):
        assert jail.inside("stat", "-f", "%Su:%Sg", path)[1] == "git:git\n", path
    assert jail.inside("cat", f"{REPOSITORY}/HEAD")[1] == "ref: refs/heads/main\n"
    assert jail.inside("id", "git")[1].startswith("uid=211(git) gid=211(git)")


def test_doing_it_again_changes_nothing(jail: OneJail) -> None:
    def kept() -> dict[str, bytes]:
        paths = ("/srv", "/etc/ssh", "/usr/local/etc", "/usr/local/libexec", "/etc/passwd")
        found: dict[str, bytes] = {}
        for place in (*(jail.path(path) for path in paths), "/usr/local/etc/warden-keys"):
            found |= {f"{place}{name}": node.data for name, node in jail.machine.files.walk(place)}
        return found

    before = kept()
    for _ in range(3):
        jail.run(*SETUP.prepare, *SETUP.check, *SETUP.finish)
    assert kept() == before


def test_it_survives_a_reboot(jail: OneJail) -> None:
    jail.machine = from_json(Machine, to_json(jail.machine))
    jail.reboot()
    assert answer(jail)[-1] == "healthy"


def test_a_daemon_that_is_gone_is_seen(jail: OneJail) -> None:
    assert jail.inside("service", "sshd", "stop")[0] == 0
    assert answer(jail)[-1] == "ill sshd does not answer at 10.0.1.2:22"
    assert jail.inside("service", "sshd", "start")[0] == 0
    assert answer(jail)[-1] == "healthy"


def test_it_listens_where_its_configuration_says(jail: OneJail) -> None:
    listening = jail.inside("sockstat", "-4l")[1]
    assert "10.0.1.2:22" in listening
    assert jail.host("nc", "-z", "-w", "3", "10.0.1.2", "22")[0] == 0
    assert jail.host("nc", "-z", "-w", "3", "10.0.1.2", "23")[0] == 1


def test_a_host_key_that_was_cut_off_is_made_anew(jail: OneJail) -> None:
    before = jail.inside("cat", git.HOST_KEY)[1]
    jail.machine.files.remove(jail.path(f"{git.HOST_KEY}.pub"))
    jail.run(*SETUP.prepare, *SETUP.check, *SETUP.finish)
    assert jail.inside("cat", git.HOST_KEY)[1] != before
    key = jail.inside("cat", f"{git.HOST_KEY}.pub")[1].split()[1]
    assert key in jail.host("cat", f"{KEY}.known_hosts")[1]


def test_a_repository_that_was_cut_off_is_finished(jail: OneJail) -> None:
    jail.machine.files.remove(jail.path(f"{REPOSITORY}/HEAD"))
    assert answer(jail)[-1].startswith("ill the repository")
    jail.run(*SETUP.prepare)
    assert answer(jail)[-1] == "healthy"


@pytest.mark.parametrize(
    ("old", "new", "status", "said"),
    [
        ("Port 22", "Port x", 255, "line 4: Badly formatted port number."),
        ("UseDNS no", "UseDNS maybe", 255, 'unsupported option "maybe".'),
        ("UseDNS no", "UseDNZ no", 255, "Bad configuration option: UseDNZ"),
        ("UseDNS no", "UseDNS", 255, 'no argument after keyword "UseDNS"'),
        ("PermitTTY no", "PermitTTY no way", 255, "keyword PermitTTY extra arguments at end of line"),
        ("ssh_host_ed25519_key", "nothing", 1, "no hostkeys available -- exiting."),
    ],
)
def test_a_wrong_configuration_is_refused(jail: OneJail, old: str, new: str, status: int, said: str) -> None:
    text = jail.inside("cat", git.CONFIG)[1]
    jail.machine.files.write(jail.path(git.CONFIG), text.replace(old, new).encode())
    code, _, error = jail.inside("/usr/sbin/sshd", "-t", "-f", git.CONFIG)
    assert (code, said in error) == (status, True), error
    assert jail.inside("service", "sshd", "restart")[0] != 0
    assert jail.inside("pgrep", "-x", "sshd")[0] == 0, "what runs goes on"


def test_what_is_not_understood_is_refused(jail: OneJail) -> None:
    jail.machine.files.write(jail.path("/tmp/config"), b"Match User git\n")
    for argv in (
        ("/usr/sbin/sshd", "-D"),
        ("/usr/sbin/sshd", "-t", "-f", "/tmp/config"),
        ("git", "clone", "x", "y"),
        ("git", "init", REPOSITORY),
        ("git", "init", "--bare", "--shared", REPOSITORY),
        ("git", "-C", "/", "log"),
    ):
        with pytest.raises(UnsupportedError):
            jail.inside(*argv)


def test_git_says_what_git_says(jail: OneJail) -> None:
    assert jail.inside("git", f"--git-dir={REPOSITORY}", "rev-parse", "--is-bare-repository") == (0, "true\n", "")
    lost = jail.inside("git", "--git-dir=/srv/git/no.git", "rev-parse", "--is-bare-repository")
    assert lost == (128, "", "fatal: not a git repository: '/srv/git/no.git'\n")
    made = jail.inside("git", "init", "--bare", "-b", "main", "/srv/git/two.git", user="git")
    assert made == (0, "Initialized empty Git repository in /srv/git/two.git/\n", "")
    denied = jail.inside("git", "init", "--bare", "/etc/two.git", user="git")
    assert denied == (128, "", "fatal: cannot mkdir /etc/two.git: Permission denied\n")


def test_the_shell_command_works_here_too(jail: OneJail) -> None:
    """In the fake's sh, by the names that git-shell calls it by."""
    create = "/srv/git/git-shell-commands/create"
    assert jail.inside(create, "notes", user="git") == (0, "/srv/git/notes.git\n", "")
    assert jail.inside(create, "notes", user="git") == (1, "", "notes.git is there already\n")
    assert jail.inside(create, "../up", user="git")[0] == 1
    assert jail.inside("/srv/git/git-shell-commands/list", user="git")[1] == "atlas.git\nnotes.git\n"
