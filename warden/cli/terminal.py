# SPDX-License-Identifier: BSD-2-Clause
"""Where output goes: results to standard output, everything else to standard error, colour only for people."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import cache
from select import select

import click
from rich.console import Console


@cache
def out() -> Console:
    """Give the console for results."""
    return _console(stderr=False)


@cache
def err() -> Console:
    """Give the console for progress, remarks and errors."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    plain = bool(os.environ.get("NO_COLOR")) or is_set("WARDEN_NO_COLOR")
    return Console(stderr=stderr, highlight=False, soft_wrap=True, no_color=plain, markup=False, emoji=False)


def is_set(variable: str) -> bool:
    """Tell whether a variable of the environment says yes; what is neither yes nor no counts as yes here."""
    return os.environ.get(variable, "").lower() not in {"", "0", "false", "f", "no", "n", "off"}


def piped_input() -> bytes:
    """Give what is piped in on standard input, whole; nothing where that is a terminal or closed."""
    return b"" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.buffer.read()


def can_ask() -> bool:
    """Tell whether somebody sits at a terminal who can be asked."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def ask_secret(prompt: str) -> str | None:
    """Ask for a secret, which is not shown as it is typed; None where nobody can be asked, or nothing was typed."""
    if not can_ask():
        return None
    typed: str = click.prompt(prompt.rstrip(": "), hide_input=True, default="", show_default=False, err=True)
    return typed or None


def answered_in_time(question: str, seconds: float) -> bool:
    """Ask a question to which yes has to be answered within some seconds; everything else is no."""
    err().print(f"{question} [y within {seconds:g} s]: ", end="")
    with suppress(OSError, ValueError):
        readable, _, _ = select([sys.stdin], [], [], seconds)
        if readable:
            return sys.stdin.readline().strip().lower() in {"y", "yes"}
    err().print("")
    return False
