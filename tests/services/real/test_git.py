# SPDX-License-Identifier: BSD-2-Clause
"""The repositories of an agent, over a real sshd, with the configuration and the commands that Warden generates."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

import pytest

from tests.host.ssh.server import new_key
from tests.services.real.jail_root import JailRoot, free_port
from tests.services.samples import agent_with
from tests.ssh.rig.tools import RigUnavailableError
from warden.facts.inside import git as inside_git
from warden.services import git

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from warden.services.shape import Setup


class Place:
    """An agent's jail with its sshd, and the agent's side of it."""

    def __init__(self, folder: Path, *, know_key: bool) -> None:
        self.folder = folder
        self.key = new_key(folder / "atlas")
        self.agent, jail = agent_with("git", port=free_port())
        # what is generated is for the jail's own address, and there is only this one here
        self.jail = replace(jail, address=IPv4Address("127.0.0.1"))
        if know_key:
            self.agent = replace(self.agent, public_key=self.key.with_suffix(".pub").read_text().strip())
        self.root = JailRoot(folder / "root")
        self.root.write("/usr/local/etc/warden-keys/atlas.pub", self.key.with_suffix(".pub").read_bytes())
        self.setup: Setup = git.setup(self.agent, self.jail)

    def serve(self) -> None:
        self.root.set_up(self.setup)
        self.root.start(self.jail.port, "/usr/sbin/sshd", "-D", "-e", "-f", git.CONFIG)
        for command in self.setup.finish:
            done = self.root.carry_out(command)
            assert done.returncode == 0, done.stderr.decode()

    @property
    def known_hosts(self) -> Path:
        return self.root.root / "usr/local/etc/warden-keys/atlas.known_hosts"

    def told(self) -> dict[str, str]:
        """What the agent is told, with the paths of its files here."""
        told = dict(git.needs(self.agent, self.jail).environment)
        command = told["GIT_SSH_COMMAND"].replace("-i /usr/local/etc/warden-keys/atlas ", f"-F none -i {self.key} ")
        known = "/usr/local/etc/warden-keys/atlas.known_hosts"
        return {**told, "GIT_SSH_COMMAND": command.replace(known, str(self.known_hosts))}

    def ssh(self, *words: str, key: Path | None = None, options: tuple[str, ...] = ()) -> Any:
        told = self.told()["GIT_SSH_COMMAND"].replace(str(self.key), str(key or self.key)).split()
        argv = [*told, "-p", str(self.jail.port), *options, "git@127.0.0.1", *words]
        return subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60, env=clean()
        )

    def git(self, *words: str, cwd: Path | None = None, key: Path | None = None) -> Any:
        told = self.told()
        if key is not None:
            told["GIT_SSH_COMMAND"] = told["GIT_SSH_COMMAND"].replace(str(self.key), str(key))
        return subprocess.run(
            ["git", *words], cwd=cwd, capture_output=True, text=True, check=False, timeout=60, env={**clean(), **told}
        )

    def ask(self) -> list[str]:
        return self.root.ask(inside_git.QUESTION, "127.0.0.1", str(self.jail.port), "", "ssh", "atlas")


def clean() -> dict[str, str]:
    """An environment without the operator's own git and agent."""
    who = {"GIT_AUTHOR_NAME": "atlas", "GIT_AUTHOR_EMAIL": "atlas@home.arpa", "GIT_CONFIG_NOSYSTEM": "1"}
    who |= {"GIT_COMMITTER_NAME": "atlas", "GIT_COMMITTER_EMAIL": "atlas@home.arpa", "HOME": "/nonexistent"}
    return {"PATH": os.environ["PATH"], "LC_ALL": "C", **who}


@pytest.fixture
def make_place(tmp_path: Path, require_tool: Callable[[str], str]) -> Iterator[Callable[..., Place]]:
    for tool in ("sshd", "ssh-keygen", "ssh", "git", "git-shell", "busybox"):
        require_tool(tool)
    made: list[Place] = []

    def make(*, know_key: bool = True) -> Place:
        try:
            made.append(Place(tmp_path, know_key=know_key))
        except RigUnavailableError as reason:
            if os.environ.get("CI", "").lower() == "true":
                pytest.fail(f"no root directory, and with CI=true no check may be left out: {reason}", pytrace=False)
            pytest.skip(str(reason))
        made[-1].serve()
        return made[-1]

    yield make
    for place in made:
        place.root.stop()


@pytest.fixture
def place(make_place: Callable[..., Place]) -> Place:
    return make_place()


def test_an_agent_clones_commits_and_pushes(place: Place) -> None:
    mine, again = place.folder / "mine", place.folder / "again"
    cloned = place.git("clone", place.told()["GIT_REMOTE_URL"], str(mine))
    assert cloned.returncode == 0, cloned.stderr + place.root.log()
    (mine / "notes").write_text("one\n")
    for words in (("add", "notes"), ("commit", "-q", "-m", "one"), ("push", "-q", "origin", "HEAD")):
        done = place.git(*words, cwd=mine)
        assert done.returncode == 0, done.stderr
    assert place.git("clone", "-q", place.told()["GIT_REMOTE_URL"], str(again)).returncode == 0
    assert (again / "notes").read_text() == "one\n"
    assert place.git("branch", "--show-current", cwd=again).stdout == "main\n"
    assert (place.root.root / "srv/git/atlas.git/refs/heads/main").exists()


def test_another_key_is_refused(place: Place) -> None:
    other = new_key(place.folder / "other")
    done = place.git("clone", place.told()["GIT_REMOTE_URL"], str(place.folder / "stolen"), key=other)
    assert done.returncode != 0
    assert "Permission denied (publickey)" in done.stderr
    assert not (place.folder / "stolen").exists()


def test_nobody_else_logs_in(place: Place) -> None:
    told = place.told()["GIT_SSH_COMMAND"].split()
    for user in ("root", "www", "sshd"):
        argv = [*told, "-p", str(place.jail.port), f"{user}@127.0.0.1", "list"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, env=clean())
        assert "Permission denied (publickey)" in done.stderr, user


def test_there_is_no_shell(place: Place) -> None:
    asked = place.ssh()
    assert asked.returncode != 0
    assert "there is no shell here" in asked.stderr
    for words in (("sh",), ("/bin/sh", "-c", "id"), ("id",), ("../../bin/sh",), ("git-shell-commands/create", "x")):
        done = place.ssh(*words)
        assert done.returncode != 0, words
        assert "uid=" not in done.stdout
    with_terminal = place.ssh(options=("-tt",))
    assert "PTY allocation request failed" in with_terminal.stderr


def test_there_are_no_files_to_fetch(place: Place) -> None:
    assert place.ssh("sftp", options=("-s",)).returncode != 0
    assert place.ssh("git-upload-pack '/etc'").returncode != 0


def test_nothing_is_forwarded(place: Place) -> None:
    target = free_port()
    with_stdio = place.ssh(options=("-W", f"127.0.0.1:{place.jail.port}"))
    assert with_stdio.returncode != 0
    assert "administratively prohibited" in with_stdio.stderr
    remote = place.ssh("list", options=("-o", "ExitOnForwardFailure=yes", "-R", f"{target}:127.0.0.1:22"))
    assert remote.returncode != 0
    assert "remote port forwarding failed" in remote.stderr


def test_create_and_list(place: Place) -> None:
    assert place.ssh("list").stdout == "atlas.git\n"
    made = place.ssh("create", "notes")
    assert (made.returncode, made.stdout) == (0, "/srv/git/notes.git\n"), made.stderr
    assert place.ssh("create", "Two.v1_0-x.git").returncode == 0
    assert place.ssh("list").stdout == "Two.v1_0-x.git\natlas.git\nnotes.git\n"
    url = place.told()["GIT_REMOTE_URL"].replace("atlas.git", "notes.git")
    assert place.git("ls-remote", url).returncode == 0
    again = place.ssh("create", "notes")
    assert (again.returncode, again.stderr) == (1, "notes.git is there already\n")


def test_what_was_cut_off_is_finished(place: Place) -> None:
    assert place.ssh("create", "notes").returncode == 0
    (place.root.root / "srv/git/notes.git/HEAD").unlink()
    assert place.ssh("list").stdout == "atlas.git\n"
    assert place.ssh("create", "notes").returncode == 0
    assert (place.root.root / "srv/git/notes.git/HEAD").read_text() == "ref: refs/heads/main\n"


EVIL = (
    *("", ".", "..", ".git", "../up", "a/b", "/srv/git/x", "-x", "--bare", "a b", "a..b", ".hidden", "x.lock", "a\nb"),
    *("$(touch /tmp/evil)", "`touch /tmp/evil`", "a;id", "a&b", "a|b", "*", "~", "ž", "a'b", 'a"b', "a\\b", "x" * 65),
)


@pytest.mark.parametrize("name", EVIL)
def test_evil_names_are_refused(name: str, tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    """By the script itself, whatever git-shell makes of the words before it."""
    home, command = tmp_path / "home", tmp_path / "create"
    home.mkdir()
    text = git.shell_command(agent_with("git")[1])
    command.write_text(text.replace("/srv/git", str(home)).replace(git.PROGRAM, require_tool("git")))
    done = subprocess.run(["sh", command, name], capture_output=True, text=True, check=False, env=clean())
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("a name ")
    assert list(home.iterdir()) == []


def test_evil_names_over_ssh(place: Place) -> None:
    for words in ("create ../up", "create '$(touch /tmp/evil)'", "create a b", "create", "create 'a;touch /tmp/evil'"):
        assert place.ssh(words).returncode != 0, words
    assert sorted(path.name for path in (place.root.root / "srv/git").iterdir()) == ["atlas.git", "git-shell-commands"]
    assert list((place.root.root / "tmp").iterdir()) == []


def test_the_question_tells_all_that_was_set_up(place: Place) -> None:
    told = place.ask()
    assert told[-1] == "healthy", told
    items = {line.removeprefix("item ") for line in told if line.startswith("item ")}
    number = 211 if os.geteuid() == 0 else os.geteuid()
    wanted = {item.replace(" 211 211 ", f" {number} {number} ") for item in place.setup.items}
    assert {item for item in items if not item.startswith("hosts ")} == wanted
    files = {line.split()[-1]: line.split()[1] for line in told if line.startswith("file ")}
    assert files == {file.path: file.mode.lstrip("0") for file in place.setup.files}


def test_the_question_says_what_is_wrong(place: Place) -> None:
    place.root.stop()
    assert place.ask()[-1] == f"ill sshd does not answer at 127.0.0.1:{place.jail.port}"
    (place.root.root / "srv/git/atlas.git/HEAD").unlink()
    assert place.ask()[-1] == "ill the repository /srv/git/atlas.git is not there"


def test_setting_up_again_changes_nothing(place: Place) -> None:
    def everything() -> dict[str, bytes]:
        folders = ("srv", "etc", "usr/local/etc", "usr/local/libexec")
        paths = [path for folder in folders for path in (place.root.root / folder).rglob("*")]
        return {str(path): path.read_bytes() for path in paths if path.is_file() and not path.is_symlink()}

    before = everything()
    place.root.set_up(place.setup)
    for command in place.setup.finish:
        assert place.root.carry_out(command).returncode == 0
    assert everything() == before


def test_a_key_that_was_not_there_at_the_plan_lets_the_agent_in(make_place: Callable[..., Place]) -> None:
    """What the host writes then is, to the byte, what the next plan wants."""
    place = make_place(know_key=False)
    assert place.ssh("list").stdout == "atlas.git\n"
    agent = replace(place.agent, public_key=place.key.with_suffix(".pub").read_text().strip())
    wanted = {file.path: file.content for file in git.setup(agent, place.jail).files}[git.AUTHORIZED_KEYS]
    assert (place.root.root / git.AUTHORIZED_KEYS.lstrip("/")).read_bytes() == wanted
    assert wanted.startswith(b"restrict ssh-ed25519 ")
    assert place.ask()[-1] == "healthy"


@pytest.mark.parametrize(
    "said",
    ["", "\n", "ssh-rsa AAAA\n", "ssh-ed25519\n", "ssh-ed25519 AA*A\n", "a" * 100_000, "* ssh-ed25519 AAAA\n"],
)
def test_a_jail_that_lies_about_its_key_is_not_believed(place: Place, said: str) -> None:
    before = place.known_hosts.read_bytes()
    place.root.write(f"{git.HOST_KEY}.pub", said.encode())
    done = place.root.carry_out(place.setup.finish[0])
    assert done.returncode == 1
    assert f"the jail {place.jail.name} shows no ed25519 key" in done.stderr.decode()
    assert place.known_hosts.read_bytes() == before


def test_a_jail_cannot_name_other_hosts(place: Place) -> None:
    """Whatever stands behind its key, or in further lines, is left out."""
    key = (place.root.root / f"{git.HOST_KEY}.pub".lstrip("/")).read_text().split()[1]
    place.root.write(f"{git.HOST_KEY}.pub", f"ssh-ed25519 {key} x\ngithub.com ssh-ed25519 {key}\n".encode())
    assert place.root.carry_out(place.setup.finish[0]).returncode == 0
    port = place.jail.port
    names = f"[127.0.0.1]:{port},[git.atlas.home.arpa]:{port}"
    assert place.known_hosts.read_text() == f"{names} ssh-ed25519 {key}\n"
    assert place.known_hosts.stat().st_mode & 0o777 == 0o644


def test_a_host_key_that_was_cut_off_is_made_anew(place: Place) -> None:
    key = place.root.root / git.HOST_KEY.lstrip("/")
    key.write_text("half")
    key.with_suffix(".pub").unlink()
    place.root.set_up(place.setup)
    assert key.read_text().startswith("-----BEGIN OPENSSH PRIVATE KEY-----")


def test_the_shell_command_pleases_shellcheck(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    path = tmp_path / "script"
    path.write_text(git.shell_command(agent_with("git")[1]))
    for argv in (["sh", "-n", str(path)], [require_tool("shellcheck"), "-s", "sh", str(path)]):
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
