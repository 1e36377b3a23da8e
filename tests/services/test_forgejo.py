# SPDX-License-Identifier: BSD-2-Clause
"""Forgejo: its app.ini read back, its secrets apart from it, its data on the agent's dataset."""

from __future__ import annotations

import subprocess
from configparser import ConfigParser
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.services.samples import agent_with
from warden.facts.inside import forgejo as question
from warden.services import forgejo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def app_ini(port: int = 3000) -> ConfigParser:
    """Read the configuration back; a key that is there twice is an error."""
    parser = ConfigParser(interpolation=None)
    file = forgejo.setup(*agent_with("git", port=port, runtime="forgejo")).files[0]
    parser.read_string(f"[top]\n{file.content.decode()}")
    return parser


def test_its_configuration_says_where_it_serves() -> None:
    parser = app_ini(3100)
    assert parser["top"]["RUN_USER"] == "git"
    server = parser["server"]
    assert (server["HTTP_ADDR"], server["HTTP_PORT"]) == ("10.0.1.2", "3100")
    assert server["ROOT_URL"] == "http://10.0.1.2:3100/"
    assert parser["database"]["DB_TYPE"] == "sqlite3"
    assert parser.getboolean("security", "INSTALL_LOCK")
    assert parser.getboolean("service", "DISABLE_REGISTRATION")
    assert parser.getboolean("server", "OFFLINE_MODE")
    # bash, its default, is not there
    assert parser["repository"]["SCRIPT_TYPE"] == "sh"


def test_everything_that_it_keeps_is_on_the_dataset() -> None:
    agent, jail = agent_with("git", port=3000, runtime="forgejo")
    (mount,) = forgejo.needs(agent, jail).mounts
    assert mount.source == "/var/db/warden/atlas/repos"
    parser = app_ini()
    for section, key in (
        ("server", "APP_DATA_PATH"),
        ("database", "PATH"),
        ("repository", "ROOT"),
        ("repository.upload", "TEMP_PATH"),
        ("indexer", "ISSUE_INDEXER_PATH"),
        ("session", "PROVIDER_CONFIG"),
        ("picture", "AVATAR_UPLOAD_PATH"),
    ):
        assert parser[section][key].startswith(f"{mount.target}/"), key
    assert forgejo.needs(replace(agent, storage=None), jail).mounts == ()


def test_its_configuration_names_secrets_and_holds_none() -> None:
    parser = app_ini()
    places = {
        key: value for section in parser.sections() for key, value in parser[section].items() if key.endswith("_uri")
    }
    assert places.keys() == {"secret_key_uri", "internal_token_uri", "jwt_secret_uri", "lfs_jwt_secret_uri"}
    assert {value.rpartition("/")[2] for value in places.values()} == set(forgejo.SECRET_NAMES)
    assert all(value.startswith("file:/var/db/forgejo/secrets/") for value in places.values())
    for section in parser.sections():
        # with a value of its own beside the file Forgejo does not start, and without any it writes one here
        assert not {"secret_key", "internal_token", "jwt_secret", "lfs_jwt_secret"} & set(parser[section])


def test_its_configuration_is_for_its_user_to_read_and_nobody_to_change() -> None:
    file = forgejo.setup(*agent_with("git", runtime="forgejo")).files[0]
    assert (file.path, file.mode, file.owner) == ("/usr/local/etc/forgejo/conf/app.ini", "0640", "root:git")


def test_no_command_has_a_password_among_its_words() -> None:
    setup = forgejo.setup(*agent_with("git", runtime="forgejo"))
    words = " ".join(word for command in (*setup.prepare, *setup.check, *setup.finish) for word in command.argv)
    assert "--random-password" in words
    assert "--password" not in words


def test_the_agent_is_told_where_it_is() -> None:
    needs = forgejo.needs(*agent_with("git", port=3100, runtime="forgejo"))
    assert needs.environment == {"FORGE_URL": "http://10.0.1.2:3100"}


def test_all_that_is_set_up_is_asked_about() -> None:
    setup = forgejo.setup(*agent_with("git", runtime="forgejo"))
    items = (item.rpartition(" ")[2] for item in setup.items)
    for told in (*setup.packages, *setup.variables, *(file.path for file in setup.files), *items):
        assert told in question.QUESTION


def test_its_scripts_please_sh_and_shellcheck(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    setup = forgejo.setup(*agent_with("git", runtime="forgejo"))
    scripts = [
        argv[argv.index("-c") + 1] for command in (*setup.prepare, *setup.finish) if "-c" in (argv := command.argv)
    ]
    assert len(scripts) == 4
    path = tmp_path / "script"
    for script in scripts:
        path.write_text(f"#!/bin/sh\n{script}")
        for argv in (("sh", "-n", str(path)), (require_tool("shellcheck"), "-s", "sh", str(path))):
            result = subprocess.run(argv, capture_output=True, text=True, check=False)
            assert result.returncode == 0, result.stdout + result.stderr
