# SPDX-License-Identifier: BSD-2-Clause
"""Options as getopt(3) reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from warden.host.fake.program import Call


def getopt(args: Sequence[str], known: str) -> tuple[dict[str, list[str]], list[str], str]:
    """Give the options with their arguments ('' for none), the operands, and the first wrong option with its reason.

    `known` is getopt's string: a colon behind a letter that takes an argument. The wrong option is `illegal:X` or
    `missing:X`, '' where all is well.
    """
    options: dict[str, list[str]] = {}
    rest = list(args)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter == ":" or letter not in known:
                return options, rest, f"illegal:{letter}"
            value = ""
            if known[known.index(letter) + 1 :][:1] == ":":
                if not letters and not rest:
                    return options, rest, f"missing:{letter}"
                value, letters = letters or rest.pop(0), ""
            options.setdefault(letter, []).append(value)
    return options, rest, ""


def options_of(
    call: Call, args: Sequence[str], flags: str, with_value: str = ""
) -> tuple[str, list[tuple[str, str]], list[str]]:
    """Split a command's arguments into its flags, its options with values in their order, and the rest.

    What a real program would refuse is refused here as not supported.
    """
    given, words = "", list(args)
    valued: list[tuple[str, str]] = []
    while words and words[0].startswith("-") and words[0] != "-":
        word = words.pop(0)[1:]
        while word:
            letter, word = word[0], word[1:]
            if letter in with_value:
                valued.append((letter, word or (words.pop(0) if words else "")))
                word = ""
            elif letter in flags:
                given += letter
            else:
                raise call.unsupported()
    return given, valued, words


def complaint(name: str, wrong: str) -> str:
    """Give what getopt(3) says of a wrong option."""
    kind, _, letter = wrong.partition(":")
    if kind == "illegal":
        return f"{name}: illegal option -- {letter}\n"
    return f"{name}: option requires an argument -- {letter}\n"
