# SPDX-License-Identifier: BSD-2-Clause
"""Replay recorded sessions on the fake machine: `python -m warden.host.fake.replay [-v] SESSION.jsonl...`.

A session starts on the profile `recorded`. Each command is sent as it was sent to the real host, and what comes back
is compared with what was recorded: exit status, standard output, standard error.
"""

from __future__ import annotations

import argparse
import base64
import difflib
import json
import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from warden.host.fake.boot import boot
from warden.host.fake.processes import advance
from warden.host.fake.profiles import make
from warden.host.fake.program import Call, UnsupportedError, run_program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.host.fake.machine import Machine

Verdict = Literal["same", "different", "not supported", "skipped"]

ENVIRONMENT = {
    "SSH_CLIENT": "10.0.2.2 54108 22",
    "LOGNAME": "root",
    "LANG": "C.UTF-8",
    "MAIL": "/var/mail/root",
    "PATH": "/sbin:/bin:/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin:/root/bin",
    "PWD": "/root",
    "TERM": "su",
    "HOME": "/root",
    "USER": "root",
    "SSH_CONNECTION": "10.0.2.2 54108 10.0.2.15 22",
    "SHELL": "/bin/sh",
    "MM_CHARSET": "UTF-8",
    "BLOCKSIZE": "K",
}
"""What the recorded commands had in their environment, coming over ssh (session 12)."""

DIFFERS = [
    (r"", r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b", "MAC"),
    (r"", r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", "UUID"),
    (r"", r"\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \d]\d +(?:\d\d:\d\d(?::\d\d)?|\d{4})", "DATE"),
    (r"", r"\b[Pp]ids?[ :=]+\d+|\bPIDS: [\d ]+|\bRC_PID=\d+|(?<=\w)\[\d+\](?= \(daemon\))|\"pid\":\d+", "PID"),
    (r"", r"\(\d{3,5}\)", "(PID)"),
    (r"", r"\bSSH_(?:CLIENT|CONNECTION)=.*", "SSH"),
    (r"", r"\bport \d+ (?=priority)", "port N "),
    (r"\.pid\b|\$!|\bpgrep\b", r"^\s*\d{3,5}$", "PID"),
    (r"/tmp\b", r"(?<=\w)\.[A-Za-z0-9]{6,8}$", ".RANDOM"),
    (r"\bls\b", r"0x[0-9a-f]+ (?=DATE)", "0xN "),
    (r"\bsockstat\b", r"^(\w+ +\S+ +)\d+ +", r"\1PID "),
    (r"\bsockstat\b", r" +PID", " PID"),
    (r"\bps\b", r"^( *)\d{3,5} +(\d{3,5} )?", "PID "),
    (r"\bping\b", r"time=[\d.]+ ms|= [\d./]+ ms", "TIME"),
    (r"\barp\b", r"expires in \d+ seconds", "EXPIRY"),
    (r"\b(?:pfctl|service)\b", r"for \d+ days [\d:]+", "TIME"),
    (r"\b(?:pfctl|service)\b", r"^(  [a-z][a-z -]+[a-z]) +\d+(?: +[\d.]+/s)?( *)$", r"\1"),
    (r"\bpfctl\b", r"(?:Evaluations|Packets|Bytes|States|pid|State Creations|Inserted: uid \d+): *\d+ *", "COUNTER "),
    (r"\bpfctl\b", r"Cleared: +.*", "Cleared"),
    (r"\bpfctl\b", r"^\d+ states cleared", "N states cleared"),
    (r"\b(?:zfs|zpool)\b", r"\b\d+(?:\.\d+)?[BKMGT]\b|\b\d{4,}\b|\b\d+%", "SIZE"),
    (r"\b(?:zfs|zpool)\b", r" +", " "),
    (r"\bzfs\b", r'"createtxg":"\d+"', '"createtxg":"N"'),
    (r"\brctl\b", r"^([a-z]+)=\d+[KMGT]?$", r"\1=AMOUNT"),
    (r"\bdf\b", r" +\d+ +\d+ +\d+ +\d+% ", " SIZES "),
    (r"\bdf\b", r"^Filesystem +", "Filesystem "),
    # the recorded machine's ssh connection, and what it asked of the network that it was emulated in
    (r"\bpfctl -ss\b", r"^all (?:tcp|udp) 10\.0\.2\.15:\d+ (?:<-|->) 10\.0\.2\.[23]:.*\n", ""),
    (r"\barp\b", r"^\? \(10\.0\.2\.[23]\) at .*\n", ""),
]
"""What differs from run to run and is not compared: which commands ('' for all), pattern, what stands for it."""

UNSORTED = r"\b(?:find|mount|df)\b"
"""Commands whose lines come in the order of a file system's hashes or of mounts made in parallel."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one command went, and where it differed."""

    argv: tuple[str, ...]
    verdict: Verdict
    difference: str = ""


def replay(lines: list[str], machine: Machine) -> Iterator[Outcome]:
    """Send a session's commands to a machine, and give the outcome of each."""
    for line in lines:
        entry = json.loads(line)
        if entry.get("reboot"):
            boot(machine)
        waited = re.match(r"waited (\d+) s", entry.get("remark", ""))
        if waited:
            advance(machine, int(waited.group(1)))
        if "argv" in entry:
            yield _run(entry, machine)


def normalise(argv: tuple[str, ...], text: str) -> str:
    """Take out of an output what differs from run to run."""
    line = " ".join(argv)
    for command, pattern, instead in DIFFERS:
        if re.search(command, line):
            text = re.sub(pattern, instead, text, flags=re.MULTILINE)
    if re.search(UNSORTED, line):
        text = "".join(sorted(text.splitlines(keepends=True)))
    return text


def _run(entry: dict[str, Any], machine: Machine) -> Outcome:
    argv = tuple(entry["argv"])
    call = Call(machine, argv, _bytes(entry.get("stdin", "")), dict(ENVIRONMENT))
    try:
        reply = run_program(call)
    except UnsupportedError as missing:
        is_script = argv[:2] == ("sh", "-c")
        return Outcome(argv, "skipped" if is_script else "not supported", f"{missing.form}\n")
    except Exception as broken:  # noqa: BLE001 - one broken command must not hide how the rest goes
        return Outcome(argv, "different", f"{type(broken).__name__}: {broken}\n")
    parts = [
        ("stdout", _text(_bytes(entry["stdout"])), _text(reply.stdout)),
        ("stderr", _text(_bytes(entry["stderr"])), _text(reply.stderr)),
    ]
    difference = ""
    if reply.exit_code != entry["exit"]:
        difference = f"exit: recorded {entry['exit']}, here {reply.exit_code}\n"
    for part, recorded, here in parts:
        wanted, got = normalise(argv, recorded), normalise(argv, here)
        if wanted != got:
            difference += f"{part}:\n" + "".join(
                f"  {line.rstrip()}\n"
                for line in difflib.unified_diff(wanted.splitlines(), got.splitlines(), "recorded", "fake", n=1)
            )
    return Outcome(argv, "different" if difference else "same", difference)


def _bytes(value: str | dict[str, str]) -> bytes:
    return value.encode() if isinstance(value, str) else base64.b64decode(value["base64"])


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def main(arguments: list[str]) -> int:
    """Replay the sessions named on the command line; gives 0 when every command went as recorded."""
    parser = argparse.ArgumentParser(prog="replay", description="Replay recorded sessions on the fake machine.")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what differed")
    parser.add_argument("session", nargs="+", type=Path)
    options = parser.parse_args(arguments)
    count: Counter[Verdict] = Counter()
    for session in options.session:
        click.echo(f"== {session.name}")
        for outcome in replay(session.read_text().splitlines(), make("recorded")):
            count[outcome.verdict] += 1
            click.echo(f"{outcome.verdict:14}{' '.join(outcome.argv)[:100].splitlines()[0]}")
            if options.verbose:
                click.echo("".join(f"    {line}\n" for line in outcome.difference.splitlines()), nl=False)
    counted = count["same"] + count["different"] + count["not supported"]
    click.echo(
        f"{counted} commands, {count['same']} identical, {count['different']} different,"
        f" {count['not supported']} unsupported"
    )
    return 0 if counted == count["same"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
