# SPDX-License-Identifier: BSD-2-Clause
"""A process of the rig, and how it is talked to: a line of JSON each way. It ends when its standard input does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from threading import Lock
from typing import Any

PROJECT = Path(__file__).resolve().parents[3]
PATIENCE = 10.0


class RigError(Exception):
    """A part of the rig does not work; the message says which, and what it wrote."""


class Helper:
    """Runs `python -m MODULE ARGUMENT...`, which first writes a line to say that it is ready."""

    def __init__(self, module: str, *arguments: str | Path, log: Path) -> None:
        self._module = module
        self._log = log
        self._turn = Lock()
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=PROJECT,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, request: str, **arguments: object) -> Any:
        """Ask for something and wait for the answer; a request of '' waits for the line that says it is ready."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._turn:
            try:
                if request:
                    self._process.stdin.write(json.dumps([request, arguments]).encode() + b"\n")
                    self._process.stdin.flush()
                answer = self._process.stdout.readline()
            except (OSError, ValueError) as error:
                raise RigError(f"{self._module} cannot be asked for {request!r}: {error}") from error
        if not answer:
            raise RigError(f"{self._module} ended at {request!r}: {self._log.read_text(errors='replace')}")
        return json.loads(answer)

    def close(self) -> None:
        """End the process; harmless when done twice."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.close()
            self._process.wait(PATIENCE)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
