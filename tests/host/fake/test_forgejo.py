# SPDX-License-Identifier: BSD-2-Clause
"""Forgejo of the fake host, set up as Warden does it, and cut off where that would hurt."""

from __future__ import annotations

import pytest

from tests.host.fake.one_jail import OneJail
from tests.services.samples import agent_with
from warden.facts.inside import forgejo as question
from warden.host.fake.program import UnsupportedError
from warden.services import forgejo

SETUP = forgejo.setup(*agent_with("git", port=3000, runtime="forgejo"))
KEY = "/usr/local/etc/warden-keys/atlas.forgejo-admin"
CREATE = (
    *("/usr/local/sbin/forgejo", "admin", "user", "create", "--admin", "--username", "warden-admin"),
    *("--email", "warden-admin@atlas.home.arpa", "--random-password", "--must-change-password=false"),
)


@pytest.fixture
def jail() -> OneJail:
    return OneJail("atlasgit")


def answer(jail: OneJail) -> list[str]:
    return jail.ask(question.QUESTION, 3000, runtime="forgejo")


def accounts(jail: OneJail) -> list[str]:
    said = jail.inside("/usr/local/sbin/forgejo", "admin", "user", "list", user="git")[1]
    return [line.split()[1] for line in said.splitlines()[1:]]


def test_it_is_set_up_and_asked(jail: OneJail) -> None:
    ill = "ill no good answer to http://10.0.1.2:3000/api/healthz: Connection refused; see /var/log/forgejo in the jail"
    assert answer(jail)[-1] == ill
    jail.set_up(SETUP)
    assert jail.fits(SETUP, answer(jail))
    assert accounts(jail) == ["warden-admin"]
    assert jail.host("stat", "-f", "%Lp %Su", KEY)[1] == "600 root\n"
    assert len(jail.host("cat", KEY)[1].strip()) == 32


def test_doing_it_again_changes_no_secret_and_makes_no_account(jail: OneJail) -> None:
    def kept() -> list[str]:
        secrets = jail.path("/var/db/forgejo/secrets")
        names = jail.machine.files.list_dir(secrets)
        return [
            KEY + jail.host("cat", KEY)[1],
            *(f"{name}{jail.machine.files.text(f'{secrets}/{name}')}" for name in names),
        ]

    jail.set_up(SETUP)
    before = kept()
    assert len(before) == 6
    for _ in range(3):
        jail.set_up(SETUP)
    assert kept() == before
    assert accounts(jail) == ["warden-admin"]


def test_it_comes_back_after_a_reboot(jail: OneJail) -> None:
    jail.set_up(SETUP)
    jail.reboot()
    assert jail.fits(SETUP, answer(jail))
    assert accounts(jail) == ["warden-admin"]


def begun(jail: OneJail) -> None:
    """Bring it up to the moment at which the account is made."""
    jail.prepare(SETUP)
    jail.inside("service", "forgejo", "start")
    jail.run(SETUP.finish[0])
    jail.host("mkdir", "-p", "-m", "700", "/usr/local/etc/warden-keys")


def password_after_all(jail: OneJail) -> str:
    jail.run(SETUP.finish[1])
    assert jail.fits(SETUP, answer(jail))
    assert accounts(jail) == ["warden-admin"]
    assert jail.machine.files.list_dir("/usr/local/etc/warden-keys") == ["atlas.forgejo-admin"]
    return jail.host("cat", KEY)[1].strip()


def test_cut_off_before_the_account_is_made_it_is_made_next_time(jail: OneJail) -> None:
    begun(jail)
    jail.machine.files.write(f"{KEY}.new", b"generated random password is 'of nobody'\n", mode=0o600)
    assert password_after_all(jail) != "of nobody"


def test_cut_off_after_the_account_is_made_its_password_is_found(jail: OneJail) -> None:
    begun(jail)
    said = jail.inside(*CREATE, user="git")[1]
    jail.machine.files.write(f"{KEY}.new", said.encode(), mode=0o600)
    assert f"'{password_after_all(jail)}'" in said


def test_cut_off_before_it_is_tidied_up_the_password_stays(jail: OneJail) -> None:
    begun(jail)
    said = jail.inside(*CREATE, user="git")[1]
    password = said.split("'")[1]
    jail.machine.files.write(f"{KEY}.new", said.encode(), mode=0o600)
    jail.machine.files.write(f"{KEY}.warden", b"", mode=0o600)
    jail.machine.files.write(KEY, f"{password}\n".encode(), mode=0o600)
    assert password_after_all(jail) == password


def test_the_password_of_an_account_that_is_gone_is_not_kept(jail: OneJail) -> None:
    begun(jail)
    jail.machine.files.write(KEY, b"of an earlier one\n", mode=0o600)
    assert password_after_all(jail) != "of an earlier one"


def test_an_account_whose_password_nobody_has_is_told(jail: OneJail) -> None:
    begun(jail)
    jail.inside(*CREATE, user="git")
    status, _, said = jail.host(*SETUP.finish[1].argv)
    assert status == 1
    assert f"its password is not in {KEY}" in said
    assert "change-password" in said
    assert "item admin" not in answer(jail)


def test_an_account_that_cannot_be_made_leaves_no_password(jail: OneJail, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(jail)
    jail.machine.files.write(KEY, b"of an earlier one\n", mode=0o600)
    monkeypatch.setattr(forgejo, "ADMIN", "admin")
    make = forgejo.setup(*agent_with("git", port=3000, runtime="forgejo")).finish[1]
    status, _, said = jail.host(*make.argv)
    assert status == 1
    assert "name is reserved" in said
    assert not jail.machine.files.exists(KEY)
    assert "item admin" not in answer(jail)


def test_cut_off_among_the_secrets_those_that_are_there_stay(jail: OneJail) -> None:
    jail.prepare(SETUP)
    folder = jail.path("/var/db/forgejo/secrets")
    first = jail.machine.files.text(f"{folder}/SECRET_KEY")
    jail.machine.files.write(f"{folder}/JWT_SECRET", b"")
    jail.machine.files.remove(f"{folder}/LFS_JWT_SECRET")
    jail.prepare(SETUP)
    assert jail.machine.files.text(f"{folder}/SECRET_KEY") == first
    assert all(jail.machine.files.text(f"{folder}/{name}") for name in forgejo.SECRET_NAMES)


def test_a_configuration_that_it_cannot_read_is_found_before_the_start(jail: OneJail) -> None:
    jail.prepare(SETUP)
    jail.inside("chown", "root:wheel", forgejo.CONFIGURATION)
    assert "permission denied" in jail.host(*SETUP.check[0].argv)[2]
    status, _, said = jail.inside("service", "forgejo", "start")
    assert status == 1
    assert "configuration errors" in said


def test_it_does_not_run_as_root_nor_without_its_secrets(jail: OneJail) -> None:
    jail.prepare(SETUP)
    assert "not supposed to be run as root" in jail.inside("/usr/local/sbin/forgejo", "web")[2]
    jail.machine.files.write(jail.path("/var/db/forgejo/secrets/INTERNAL_TOKEN"), b"")
    assert "the file is empty" in jail.inside("/usr/local/sbin/forgejo", "web", user="git")[2]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [({"--username": "admin"}, "name is reserved"), ({}, "user already exists"), ({"--email": ""}, "email is not set")],
)
def test_it_refuses_an_account(jail: OneJail, change: dict[str, str], complaint: str) -> None:
    jail.set_up(SETUP)
    words = [change.get(before, word) for before, word in zip(("", *CREATE), CREATE, strict=False)]
    status, _, said = jail.inside(*words, user="git")
    assert status == 1
    assert complaint in said
    assert accounts(jail) == ["warden-admin"]


@pytest.mark.parametrize("words", ["", "dump", "generate secret BANANA", "admin user delete --username x", "web -p 80"])
def test_it_refuses_what_it_does_not_know(jail: OneJail, words: str) -> None:
    jail.set_up(SETUP)
    with pytest.raises(UnsupportedError):
        jail.inside("/usr/local/sbin/forgejo", *words.split(), user="git")
