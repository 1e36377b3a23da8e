# SPDX-License-Identifier: BSD-2-Clause
"""Files of the host, as `tar -cf -` gives them: many in one command, with their modes and owners."""

from __future__ import annotations

import io
import re
import tarfile

from warden.facts.errors import FactsError
from warden.facts.model import File

_MISSING = re.compile(r"^tar: .+: Cannot stat: No such file or directory$")
_DELAYED = "tar: Error exit delayed from previous errors."


def parse_archive(archive: bytes, errors: str) -> dict[str, File]:
    """Give the regular files of an archive by absolute path.

    tar says on standard error which of the files asked for do not exist; anything else there is a file that could
    not be read, and raises FactsError.
    """
    for line in errors.splitlines():
        if not _MISSING.match(line) and line != _DELAYED:
            raise FactsError(f"files of the host could not be read: {line}")
    files: dict[str, File] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isfile() else None
                if content is not None:
                    files[f"/{member.name.lstrip('/')}"] = File(
                        content=content.read(), mode=member.mode, owner=member.uname, group=member.gname
                    )
    except tarfile.TarError as error:
        raise FactsError(f"files of the host: an archive that is not understood: {error}") from error
    return files
