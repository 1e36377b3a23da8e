# SPDX-License-Identifier: BSD-2-Clause
"""How a file is put on a host: by a command, whole or not at all."""

from __future__ import annotations

from warden.host.command import Command

_CHECKED = (
    'umask 077; new=$1 path=$4; cat > "$new" && chown "$2" "$new" && chmod "$3" "$new" && shift 4 && "$@" "$new"'
    ' && mv -f "$new" "$path" || { rm -f "$new"; exit 1; }'
)
_WRITE = 'umask 077; cat > "$1" && chown "$2" "$1" && chmod "$3" "$1" && mv -f "$1" "$4" || { rm -f "$1"; exit 1; }'


def write_file(
    path: str,
    content: bytes,
    *,
    mode: str = "0644",
    owner: str = "root:wheel",
    secret: bool = False,
    check: tuple[str, ...] = (),
) -> Command:
    """Give the command that writes a file.

    The content goes over standard input into a temporary name in the same folder; mode and owner are set before
    the rename, so nobody ever reads half a file, nor a secret one before its mode is right. `check` is a command
    that is given the temporary name as its last argument, and has to exit 0 before the rename.
    """
    folder, _, name = path.rpartition("/")
    temporary = f"{folder}/.{name}.warden"
    script = _CHECKED if check else _WRITE
    argv = ("/bin/sh", "-c", script, "sh", temporary, owner, mode, path, *check)
    return Command(argv=argv, stdin=content, secret=secret)
