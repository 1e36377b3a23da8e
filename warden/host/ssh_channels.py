# SPDX-License-Identifier: BSD-2-Clause
"""The channels of one SSH connection, each with a shell that waits for a script."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from paramiko import SSHException

from warden.host.errors import HostError, HostUnreachableError

if TYPE_CHECKING:
    from paramiko import Channel, Transport

_OPEN_TIMEOUT = 30.0
_PATIENCE = 10.0
"""Seconds to wait for a channel to end, where the server allows no more of them."""
_ASK_EVERY = 10.0
_SILENCE = 30.0
"""Seconds without an answer after which the host is taken for gone."""


class Channels:
    """Gives channels in which `command` runs, keeps some ready, and watches over the connection.

    To open one takes two round trips: a channel that was made ready costs none.
    """

    def __init__(self, transport: Transport, command: str) -> None:
        self._transport = transport
        self._command = command
        self._ready: deque[Future[Channel]] = deque()
        self._kept = 0
        self._used = 0
        self._freed = threading.Condition()
        self._threads = ThreadPoolExecutor(thread_name_prefix="warden-ssh-channel")
        self._pulse = _Pulse(transport)

    def take(self, *, stays: bool = False) -> Channel:
        """Give a channel: one that is ready, else a new one. One that `stays` does not come back.

        Waits for one that is in use where the server allows no more (sshd_config(5), MaxSessions).
        """
        patience = time.monotonic() + _PATIENCE
        while True:
            ready = self._take_ready()
            try:
                channel = self._open() if ready is None else ready.result()
            except (SSHException, EOFError, OSError) as error:
                if not self._transport.is_active():
                    raise HostUnreachableError("the connection broke") from error
                if ready is None:
                    self._wait_for_another(patience, error)
                self._kept = 0  # there is no room for channels that nobody needs yet
                continue
            with self._freed:
                self._used += not stays
            self.keep_ready(self._kept)
            return channel

    def give_back(self, channel: Channel) -> None:
        """End a channel that was taken."""
        with suppress(OSError, EOFError, SSHException):
            channel.close()
        with self._freed:
            self._used -= 1
            self._freed.notify_all()

    def keep_ready(self, number: int) -> None:
        """Open channels in the background until so many are ready, and keep it so."""
        with self._freed:
            self._kept = number
            while len(self._ready) < number:
                self._ready.append(self._threads.submit(self._open))

    def alive(self) -> bool:
        """Tell whether the server has answered lately."""
        return self._transport.is_active() and self._pulse.silent_for < _SILENCE

    def close(self) -> None:
        """Open no more."""
        self._kept = 0
        self._pulse.stop()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _take_ready(self) -> Future[Channel] | None:
        with self._freed:
            return self._ready.popleft() if self._ready else None

    def _open(self) -> Channel:
        channel = self._transport.open_session(timeout=_OPEN_TIMEOUT)
        channel.exec_command(self._command)
        return channel

    def _wait_for_another(self, patience: float, error: Exception) -> None:
        with self._freed:
            if not self._freed.wait(timeout=0.2) and self._used == 0 and time.monotonic() > patience:
                raise HostError(
                    f"the server opens no session: {error}", hint="MaxSessions in its sshd_config must be 2 or more"
                ) from error


class _Pulse(threading.Thread):
    """Asks the server now and then whether it is there: a connection whose other end vanished keeps silent."""

    def __init__(self, transport: Transport) -> None:
        super().__init__(daemon=True, name="warden-ssh-pulse")
        self._transport = transport
        self._stopped = threading.Event()
        self._asked: float | None = None
        self.start()

    @property
    def silent_for(self) -> float:
        """Seconds since a question that is still open."""
        asked = self._asked
        return 0.0 if asked is None else time.monotonic() - asked

    def run(self) -> None:
        """Ask until told to stop; what the server says does not matter (RFC 4254, 4)."""
        while not self._stopped.wait(_ASK_EVERY):
            self._asked = time.monotonic()
            with suppress(SSHException, EOFError, OSError):
                self._transport.global_request("keepalive@openssh.com")
            self._asked = None

    def stop(self) -> None:
        """Ask no more."""
        self._stopped.set()
