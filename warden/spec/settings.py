# SPDX-License-Identifier: BSD-2-Clause
"""The environment variables that stand for options of the command line."""

from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from warden.spec.errors import Problem, SpecError
from warden.spec.words import findings


class Settings(BaseSettings):
    """`WARDEN_HOST`, `WARDEN_FILE`, `WARDEN_ENV_FILE`, `WARDEN_NO_COLOR` and `WARDEN_DEBUG`.

    Others that begin alike mean nothing here: a `.env` that was sourced leaves WARDEN_GATEWAY and the like behind.
    A variable that is empty counts as not set.
    """

    model_config = SettingsConfigDict(env_prefix="WARDEN_", env_ignore_empty=True, frozen=True)

    host: str | None = None
    file: Path | None = None
    env_file: Path | None = None
    no_color: bool = False
    debug: bool = False


def read_settings() -> Settings:
    """Give the settings of this process's environment; raise SpecError for one that is neither yes nor no."""
    try:
        return Settings()
    except ValidationError as error:
        raise SpecError(
            Problem(path=None, message=f"WARDEN_{finding.keys[0].upper()} is neither yes nor no", hint="write 1 or 0")
            for finding in findings(error)
        ) from None
