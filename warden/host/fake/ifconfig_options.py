# SPDX-License-Identifier: BSD-2-Clause
"""The options of ifconfig(8): what stands before the interface's name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from warden.host.fake.options import options_of

if TYPE_CHECKING:
    from warden.host.fake.program import Call

FORMS = ("cidr", "dotted", "hex")


@dataclass(slots=True)
class Options:
    """What ifconfig is asked to show, of whom, and how."""

    everything: bool = False
    names: bool = False
    only: str = ""
    jail: str | None = None
    group: str | None = None
    form: str = ""
    load: bool = True


def parse_options(call: Call) -> tuple[Options, list[str]]:
    """Give the options, and the words behind them."""
    given, valued, words = options_of(call, call.args, "alnud", "fgj")
    options = Options()
    for letter, value in valued:
        _option(call, options, letter, value)
    for letter in given:
        _flag(options, letter)
    if options.names and options.everything:
        raise call.unsupported()
    return options, words


def _option(call: Call, options: Options, letter: str, value: str) -> None:
    if letter == "g":
        options.group = value
    elif letter == "j":
        options.jail = value
    else:
        family, _, form = value.partition(":")
        if family != "inet" or form not in FORMS:
            raise call.unsupported()
        options.form = form


def _flag(options: Options, letter: str) -> None:
    if letter == "a":
        options.everything = True
    elif letter == "l":
        options.names = True
    elif letter == "n":
        options.load = False
    else:
        options.only = "up" if letter == "u" else "down"
