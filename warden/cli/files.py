# SPDX-License-Identifier: BSD-2-Clause
"""The operator's own files: the one place where Warden reads and writes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from warden.cli.errors import CommandLineError

if TYPE_CHECKING:
    from collections.abc import Callable

_BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"


def current_folder() -> Path:
    """Give the folder that the command line was typed in; raises CommandLineError where it has been removed."""
    try:
        return Path.cwd()
    except OSError as error:
        raise CommandLineError(
            f"the current folder: {error.strerror}", hint="change to a folder that is there"
        ) from error


def is_there(path: Path) -> bool:
    """Tell whether anything has this path, be it a file or not; raises CommandLineError where that is not known."""
    try:
        return path.exists() or path.is_symlink()
    except OSError as error:
        raise CommandLineError(f"{path}: {error.strerror}", hint="change to a folder that you can read") from error


def read_text(path: Path) -> str:
    """Give a file's text, its line ends as they are; raises CommandLineError where it cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CommandLineError(f"{path}: {error.strerror}", hint="name a file that is there and can be read") from error
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, len(before.rpartition(b"\n")[2].decode()) + 1
        raise CommandLineError(
            f"{path}:{line}:{column}: byte {data[error.start]:#04x} is not UTF-8", hint="save the file as UTF-8"
        ) from error
    if text.startswith(_BOM):
        raise CommandLineError(f"{path}:1:1: begins with a byte order mark", hint="save the file as UTF-8 without one")
    return text


def owner_of(folder: Path) -> str:
    """Give the name of a folder's owner, or its number where the owner has no name."""
    try:
        return folder.owner()
    except (KeyError, OSError):
        return str(folder.stat().st_uid)


def write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet; raises CommandLineError where one is."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise CommandLineError(f"{path} is there already", hint="move it away first: nothing is overwritten") from error
    except OSError as error:
        raise CommandLineError(f"{path}: {error.strerror}") from error


def check_replaceable(path: Path, is_own: Callable[[str], bool]) -> None:
    """Raise CommandLineError where a file is there that is none of Warden's own, by its text."""
    if is_there(path) and not is_own(read_text(path)):
        raise CommandLineError(f"{path} is there already, and is something else", hint="name a file that is not there")


def write_private(path: Path, text: str, is_own: Callable[[str], bool]) -> None:
    """Write a file that only its owner can read, in one step; one of the same kind that is there is replaced."""
    check_replaceable(path, is_own)
    try:
        target = path.resolve()
        temporary = target.with_name(f".{target.name}.warden")
        temporary.unlink(missing_ok=True)
        temporary.touch(mode=0o600, exist_ok=False)
        temporary.write_bytes(text.encode("utf-8", "surrogateescape"))
        temporary.replace(target)
    except OSError as error:
        raise CommandLineError(f"{path}: {error.strerror}", hint="name a file in a folder of yours") from error


def append_private_line(path: Path, line: str) -> None:
    """Add a line to a file of the operator's own, below what is there; a file or folder that is not, is made."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        whole = not (there := path.read_bytes()) or there.endswith(b"\n")
        with path.open("ab") as file:
            file.write(f"{'' if whole else chr(10)}{line.rstrip()}\n".encode())
    except OSError as error:
        raise CommandLineError(
            f"{path}: {error.strerror}", hint="see that you can write this file, or add the line to it yourself"
        ) from error


def replace_text(path: Path, text: str) -> None:
    """Replace a file in one step: whoever reads it meanwhile has the old text or the new."""
    try:
        target = path.resolve()  # a link to the file stays a link
        temporary = target.with_name(f".{target.name}.warden")
        temporary.write_bytes(text.encode())
        temporary.chmod(target.stat().st_mode & 0o777)
        temporary.replace(target)
    except OSError as error:
        raise CommandLineError(f"{path}: {error.strerror}") from error
