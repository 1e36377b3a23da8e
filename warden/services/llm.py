# SPDX-License-Identifier: BSD-2-Clause
"""What both servers of local models have in common: their rc.d script, their user, and what agents are told."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from warden.resources.templates import render
from warden.services.shape import JailFile, inside

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warden.host.command import Command
    from warden.resources.desired import DesiredAgent

DAEMON = "warden_llm"
"""The rc.d script; the packages' own ones keep nothing running, and bring no user of their own."""
SCRIPT = f"/usr/local/etc/rc.d/{DAEMON}"
VARIABLE = f"{DAEMON}_enable"
LOG = f"/var/log/{DAEMON}.log"
USER = "llm"
USER_ID = "11434"
"""The same in every jail: its files outlive the jail."""
RESTART_DELAY = 5
"""Seconds that daemon(8) waits before it starts a server again that has ended."""

_MAKE_USER = (
    'id -u "$1" >/dev/null 2>&1 || pw useradd "$1" -u "$2" -c "server of local models" -d "$3" -s /usr/sbin/nologin'
)


def environment(agent: DesiredAgent) -> Mapping[str, str]:
    """Give what an agent is told of the local models that it may ask, its own or those of another."""
    if agent.llm is None:
        return {}
    told = {"LLM_BASE_URL": agent.llm.url, "OPENAI_BASE_URL": f"{agent.llm.url}/v1"}
    if agent.llm.service == "ollama":
        told["OLLAMA_HOST"] = agent.llm.url
    return told


def script(title: str, *command: str) -> JailFile:
    """Give the rc.d script of a server that daemon(8) keeps running as its own user."""
    words = (
        *("-c", "-f", "-P", f"/var/run/{DAEMON}.pid", "-r", "-R", str(RESTART_DELAY)),
        *("-u", USER, "-t", DAEMON, "-o", LOG, *command),
    )
    text = render("llm/warden_llm", title=title, command_args=shlex.join(words), log=LOG)
    return JailFile(path=SCRIPT, content=text.encode(), mode="0555")


def make_user(jail: str, home: str) -> Command:
    """Give the command that makes the servers' user where there is none."""
    return inside(jail, "/bin/sh", "-c", _MAKE_USER, "sh", USER, USER_ID, home)
