# SPDX-License-Identifier: BSD-2-Clause
"""What pydantic finds wrong, in words for the operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from warden.spec.errors import RefusedValueError

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_WANTED = {
    "string_type": "text in quotes",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "list_type": "a list in [ ]",
    "dict_type": "a table",
    "model_type": "a table",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is wrong at one place: the keys that lead there, and words that do not repeat them.

    `unknown` is set where the key is one that does not exist; then there is no hint yet.
    """

    keys: tuple[str, ...]
    message: str
    hint: str = ""
    unknown: bool = False


def findings(error: ValidationError) -> list[Finding]:
    """Give what a validation found, one by one."""
    return [_finding(details) for details in error.errors(include_url=False)]


def _finding(details: ErrorDetails) -> Finding:
    # pydantic marks an error of a key itself, and not of its value, by this at the end.
    keys = tuple(str(key) for key in details["loc"] if key != "[key]")
    kind = details["type"]
    if kind == "extra_forbidden":
        return Finding(keys=keys, message="unknown key", unknown=True)
    if kind == "missing":
        return Finding(keys=keys, message="is missing")
    refused = details.get("ctx", {}).get("error")
    if isinstance(refused, RefusedValueError):
        return Finding(keys=keys, message=str(refused), hint=refused.hint)
    wanted = _WANTED.get(kind, "something else")
    return Finding(keys=keys, message=f"must be {wanted}, not {_in_words(details['input'])}")


def _in_words(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    kinds = ((str, "text"), ((int, float), "a number"), (list, "a list"), (Mapping, "a table"))
    return next((words for kind, words in kinds if isinstance(value, kind)), "a date or time")
