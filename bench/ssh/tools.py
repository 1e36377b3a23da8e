# SPDX-License-Identifier: BSD-2-Clause
"""The tools that are compared: how each is set up in a home folder of its own, and how it is run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.ssh.work import HOST, TABLE, spec_text, variables
from tests.ssh.rig.tools import find

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.ssh.work import Agent
    from tests.ssh.rig.rig import Rig

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
OTHERS = PROJECT / ".bench" / "venv"
"""Where the tools live that are none of Warden's own: a virtual environment, made by `install_others`."""

_COMPLETE = OTHERS / "complete"

ANSIBLE_CFG = """\
[defaults]
inventory = inventory.json
interpreter_python = /usr/local/bin/python3
host_key_checking = True

[connection]
pipelining = True

[ssh_connection]
ssh_common_args = -F {config}
control_path_dir = {home}/cp
"""

PYINFRA_INVENTORY = """\
import json
from pathlib import Path

hosts = [("{host}", json.loads(Path("variables.json").read_text()))]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool. `table_file` is where it keeps the agents' subnets; `beside`: its files land beside the fake's."""

    name: str
    command: tuple[str, ...]
    start: tuple[str, ...]
    """What takes as long as the tool does before it begins: it loads all that the command loads, and ends."""
    prepare: Callable[[Path, Sequence[Agent], dict[str, str]], None]
    table_file: str
    beside: bool
    after: Callable[[Path], None] = lambda home: None  # noqa: ARG005

    def there(self) -> bool:
        """Tell whether the tool is installed."""
        return self.command[0] == sys.executable or _COMPLETE.exists()


def install_others() -> None:
    """Make the virtual environment of the tools that Warden is compared with, unless it is there."""
    if _COMPLETE.exists():
        return
    print(f"installing ansible and pyinfra into {OTHERS}", file=sys.stderr)
    shutil.rmtree(OTHERS, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", OTHERS], check=True)
    pip = (OTHERS / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check")
    subprocess.run([*pip, "-r", HERE / "requirements.txt"], check=True)
    _COMPLETE.touch()


def versions() -> dict[str, str]:
    """Give the versions of the other tools."""
    names = ("ansible-core", "ansible", "pyinfra")
    script = f"import importlib.metadata as m, json; print(json.dumps({{n: m.version(n) for n in {names!r}}}))"
    done = subprocess.run([OTHERS / "bin" / "python", "-c", script], check=True, capture_output=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def make_home(folder: Path, rig: Rig) -> Path:
    """Make a home folder from which the host is reached over its wire."""
    home = folder / "home"
    (home / ".ssh").mkdir(parents=True)
    config = rig.ssh_config_text(HOST, through_link=True)
    (home / ".ssh" / "config").write_text(config, encoding="ascii")
    return home


def environment(home: Path) -> dict[str, str]:
    """Give the environment of every tool."""
    return {"HOME": str(home), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "PYTHONPATH": str(PROJECT)}


def make_room(rig: Rig) -> None:
    """Put into sshd's own root directory what every FreeBSD has there, and the tools expect."""
    (rig.root / "usr/local/etc/rc.d").mkdir(parents=True)
    (rig.root / "etc/rc.conf").touch()


def _prepare_warden(home: Path, agents: Sequence[Agent], _scripts: dict[str, str]) -> None:
    (home / "warden.toml").write_text(spec_text(agents, f"ssh://{HOST}"), encoding="utf-8")


def _prepare_ansible(home: Path, agents: Sequence[Agent], scripts: dict[str, str]) -> None:
    config = ANSIBLE_CFG.format(config=home / ".ssh" / "config", home=home)
    (home / "ansible.cfg").write_text(config, encoding="utf-8")
    inventory = {"all": {"hosts": {HOST: variables(agents, scripts, home / "scripts")}}}
    (home / "inventory.json").write_text(json.dumps(inventory), encoding="utf-8")
    shutil.copy(HERE / "playbook.yml", home)


def _end_master(home: Path) -> None:
    """End the connection that ssh keeps for the next minute: every run begins without one."""
    for path in (home / "cp").iterdir():
        subprocess.run(
            [find("ssh"), "-F", home / ".ssh" / "config", "-o", f"ControlPath={path}", "-O", "exit", HOST],
            check=True,
            capture_output=True,
        )


def _prepare_pyinfra(home: Path, agents: Sequence[Agent], scripts: dict[str, str]) -> None:
    (home / "variables.json").write_text(json.dumps(variables(agents, scripts, home / "scripts")), encoding="utf-8")
    (home / "inventory.py").write_text(PYINFRA_INVENTORY.format(host=HOST), encoding="utf-8")
    shutil.copy(HERE / "deploy.py", home)


_OTHERS_BIN = OTHERS / "bin"

WARDEN = Tool(
    name="warden",
    command=(sys.executable, "-m", "warden", "apply", "-y"),
    start=(sys.executable, "-c", "import warden.cli.main, warden.host.ssh"),
    prepare=_prepare_warden,
    table_file="/usr/local/etc/warden/subnets",
    beside=False,
)
ANSIBLE = Tool(
    name="ansible-core",
    command=(str(_OTHERS_BIN / "ansible-playbook"), "playbook.yml"),
    start=(str(_OTHERS_BIN / "ansible-playbook"), "--version"),
    prepare=_prepare_ansible,
    table_file=f"/etc/{TABLE}",
    beside=True,
    after=_end_master,
)
PYINFRA = Tool(
    name="pyinfra",
    command=(str(_OTHERS_BIN / "pyinfra"), "-y", "inventory.py", "deploy.py"),
    start=(str(_OTHERS_BIN / "pyinfra"), "--version"),
    prepare=_prepare_pyinfra,
    table_file=f"/etc/{TABLE}",
    beside=True,
)
TOOLS = (WARDEN, ANSIBLE, PYINFRA)
