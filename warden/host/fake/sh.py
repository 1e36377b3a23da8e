# SPDX-License-Identifier: BSD-2-Clause
"""The program /bin/sh."""

from __future__ import annotations

from dataclasses import replace

from warden.host.fake.filesystem import FileError
from warden.host.fake.program import Call, Reply, program, say
from warden.host.fake.shell import run_script
from warden.host.fake.shell_parser import parse
from warden.host.fake.shell_words import ShellSyntaxError


@program("/bin/sh", "sh -c SCRIPT [NAME [ARGUMENT...]]", "sh FILE [ARGUMENT...]", "sh -n FILE", "sh -s [ARGUMENT...]")
def sh(call: Call) -> Reply:
    """Run a script that is given as text, as a file, or on standard input."""
    options, args = "", list(call.args)
    while args and args[0].startswith("-") and len(args[0]) > 1:
        options += args.pop(0)[1:]
    if set(options) - set("cnse"):
        raise call.unsupported()
    prefix = "set -e\n" if "e" in options else ""
    if "c" in options:
        if not args:
            return say(error="sh: -c requires an argument\n", status=2)
        return run_script(call, prefix + args[0], name=(args[1:] or ["sh"])[0], args=args[2:])
    if "s" in options or not args:
        text = call.stdin.decode("utf-8", "surrogateescape")
        return run_script(replace(call, stdin=b""), prefix + text, args=args)
    try:
        text = call.files.text(call.path(args[0]), root=call.root)
    except FileError as failure:
        return say(error=f"sh: cannot open {args[0]}: {failure.reason}\n", status=2)
    if "n" in options:
        return check(args[0], text)
    return run_script(call, prefix + text, name=args[0], args=args[1:], file=args[0])


def check(file: str, text: str) -> Reply:
    """Parse a script without running it."""
    try:
        parse(text)
    except ShellSyntaxError as error:
        return say(error=f"{file}: {text.count(chr(10)) + 1}: Syntax error: {error}\n", status=2)
    return say()
