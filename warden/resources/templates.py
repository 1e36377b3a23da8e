# SPDX-License-Identifier: BSD-2-Clause
"""The files that Warden generates, rendered from `templates/`."""

from __future__ import annotations

import shlex
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from warden.resources.marks import FILE_MARK

_PACKAGE = Path(__file__).resolve().parents[1]


@cache
def _environment() -> Environment:
    # a wheel carries the templates inside the package, a checkout has them beside it
    inside = _PACKAGE / "templates"
    folder = inside if inside.is_dir() else _PACKAGE.parent / "templates"
    environment = Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - scripts and pf rules, not HTML; what goes in was validated
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["sh"] = shlex.quote
    return environment


def render(template: str, **values: object) -> str:
    """Render a template by its path below `templates/`; a value that is missing raises jinja2.UndefinedError."""
    return _environment().get_template(template).render(mark=FILE_MARK, **values)
