# SPDX-License-Identifier: BSD-2-Clause
"""The lint that keeps the door shut finds every way through the wall that it claims to find."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "check_doors.py"


class Tool(Protocol):
    """What this file uses of tools/check_doors.py, which is a script and in no package."""

    DOORS: dict[str, dict[str, str]]
    MAX_LINES: int

    def check(self, root: Path, doors: Mapping[str, Mapping[str, str]]) -> Iterator[str]: ...


def _load() -> Tool:
    spec = importlib.util.spec_from_file_location("check_doors", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast("Tool", module)


TOOLBOX = _load()

OS_FILES = [
    *(
        "replace",
        "rename",
        "renames",
        "remove",
        "unlink",
        "rmdir",
        "removedirs",
        "mkdir",
        "makedirs",
        "mkfifo",
        "mknod",
    ),
    *("chmod", "chown", "link", "symlink", "open", "write", "truncate", "utime", "chdir", "umask", "putenv"),
]

FORBIDDEN = [
    # processes
    "import subprocess",
    "import subprocess as s",
    "from subprocess import run as r",
    "from subprocess import *",
    "import pty",
    "import multiprocessing.pool",
    "from multiprocessing import Process",
    "from concurrent.futures import ProcessPoolExecutor",
    "import concurrent.futures\nconcurrent.futures.ProcessPoolExecutor()",
    "import os\nos.system('true')",
    "import os as o\no.system('true')",
    "import os\nrun = os.popen",
    "import os\nos.execvp('x', ['x'])",
    "import os\nos.spawnlp(0, 'x', 'x')",
    "import os\nos.fork()",
    "import os\nos.forkpty()",
    "import os\nos.posix_spawn('x', [], {})",
    "import os\nos.kill(1, 9)",
    "from os import system",
    "from os import system as harmless",
    "from os import *",
    "import os.path\nos.system('true')",
    "import os.path as p\np.os.system('true')",
    "import pathlib\npathlib.os.system('true')",
    "import os\no = os\no.system('true')",
    "import os\ngetattr(os, 'sys' + 'tem')('true')",
    "import os\nvars(os)['system']('true')",
    "import asyncio\nasyncio.create_subprocess_exec('x')",
    "import asyncio.subprocess",
    "from asyncio import create_subprocess_shell",
    "async def f(loop):\n    await loop.subprocess_exec(None, 'x')",
    "import webbrowser",
    "import click\nclick.launch('x')",
    # sockets
    "import socket",
    "from socket import create_connection as c",
    "import socketserver",
    "import ssl",
    "import asyncio\nasyncio.open_connection('x', 1)",
    "import asyncio\nasyncio.start_unix_server(None, 'x')",
    "from asyncio import streams",
    "import urllib.request",
    "from urllib import request",
    "from urllib.request import urlopen",
    "import http.client",
    "from http.client import HTTPConnection",
    "from http import client",
    "import requests",
    "import httpx",
    "import paramiko",
    "from paramiko.client import SSHClient",
    "import logging.handlers",
    # files
    "import shutil",
    "import tempfile",
    "open('x', 'w')",
    "open('x', mode='ab')",
    "open('x', 'r+')",
    "open('x', 'x')",
    "def f(mode):\n    open('x', mode)",
    "def f(mode):\n    open('x', mode=mode)",
    "def f(args):\n    open(*args)",
    "def f(options):\n    open('x', **options)",
    "o = open",
    "list(map(open, ['x']))",
    "import io\nio.open('x', 'w')",
    "import io\nio.FileIO('x', 'w')",
    "from io import open as o",
    "import codecs\ncodecs.open('x', 'w')",
    "from pathlib import Path\nPath('x').open('w')",
    "from pathlib import Path\nPath('x').open(mode='a')",
    "from pathlib import Path\ndef f(mode):\n    Path('x').open(mode=mode)",
    "from pathlib import Path\nPath.open(Path('x'), 'w')",
    "from pathlib import Path\nPath('x').write_text('')",
    "from pathlib import Path\nPath.write_text(Path('x'), '')",
    "from pathlib import Path\nwrite = Path('x').write_bytes",
    "from pathlib import Path\ngetattr(Path('x'), 'write_text')('')",
    "def f(path):\n    path.parent.write_bytes(b'')",
    "def f(path):\n    path.unlink()",
    "def f(path):\n    path.mkdir()",
    "def f(path):\n    path.rmdir()",
    "def f(path):\n    path.touch()",
    "def f(path):\n    path.symlink_to('x')",
    "def f(path):\n    path.hardlink_to('x')",
    "def f(path):\n    path.chmod(0)",
    "def f(path):\n    path.replace('x')",
    "def f(path):\n    path.rename('x')",
    *(f"import os\nos.{name}('x')" for name in OS_FILES),
    "from os import replace as r",
    "from os.path import os\nos.system('true')",
    "import sqlite3",
    "import logging\nlogging.FileHandler('x')",
    "import tarfile\ntarfile.open('x', 'w:gz')",
    "def f(archive):\n    archive.extractall()",
    "import dotenv\ndotenv.set_key('x', 'y', 'z')",
    "import tomlkit\ntomlkit.TOMLFile('x')",
    # locks, and code that no reader can follow
    "import fcntl",
    "from fcntl import flock",
    "import ctypes",
    "from ctypes import CDLL",
    "eval('1')",
    "exec('1')",
    "compile('1', 'x', 'eval')",
    "e = eval",
    "__import__('subprocess')",
    "i = __import__",
    "import importlib\nimportlib.import_module('subprocess')",
    "from importlib import import_module",
    "from importlib import import_module as load",
    "import importlib.util",
    "import builtins",
    "__builtins__['open']",
    "import runpy",
    "import posix",
    "import sys\nsys.modules['os']",
    # out of one of our own modules that has it
    "from warden.door import subprocess",
    "import warden.door\nwarden.door.subprocess.run",
    "from warden import door\ndoor.os.system('true')",
    "from . import door\ndoor.os.system('true')",
    "from .door import os\nos.system('true')",
    # wherever it stands
    "def f():\n    import subprocess",
    "try:\n    pass\nexcept OSError:\n    import socket",
    "class A:\n    from os import system",
    "def f():\n    o.system('true')\n\nimport os as o",
]

ALLOWED = [
    "import os\nos.environ.get('x')",
    "import os\nos.path.join('a', 'b')",
    "import os.path",
    "from os import PathLike, environ",
    "import asyncio\nasyncio.run",
    "import http\nhttp.HTTPStatus.OK",
    "from http import HTTPStatus",
    "from urllib.parse import urlsplit",
    "import urllib.parse\nurllib.parse.quote('x')",
    "from importlib import resources, metadata",
    "import importlib.resources\nimportlib.resources.files('warden')",
    "from concurrent.futures import ThreadPoolExecutor",
    "import io\nio.BytesIO()",
    "import re\nre.compile('x')",
    "from re import compile\ncompile('x')",
    "import sys\nsys.stdout.write('x')",
    "open('x')",
    "open('x', 'rb')",
    "open('x', mode='r', encoding='utf-8')",
    "from pathlib import Path\nPath('x').open()",
    "from pathlib import Path\nPath('x').open('rb')",
    "from pathlib import Path\nPath('x').read_text(encoding='utf-8')",
    "import io\nimport tarfile\ntarfile.open(fileobj=io.BytesIO(), mode='r:')",
    "from dotenv import dotenv_values",
    "def f(host, command):\n    host.open(command)",
    "def f(text):\n    return text.replace('a', 'b')",
    "import dataclasses\ndef f(value):\n    return dataclasses.replace(value, name='x')",
    "from dataclasses import replace\ndef f(value):\n    return replace(value, name='x')",
    "def f(files):\n    files.rename('a', 'b')",
    "def f(files):\n    files.symlink('a', 'b')\n    files.make_dir('a')\n    files.write('a', b'')",
    "def f(files):\n    files.remove('a')",
    "from warden import door\ndoor.unlink('x')",
    "def mkdir():\n    mkdir()",
    "DOCUMENTATION = 'import subprocess; os.system()'",
    "from warden import subprocess_names",
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "warden").mkdir()
    (tmp_path / "warden" / "__init__.py").touch()
    (tmp_path / "warden" / "door.py").write_text("import os\nimport subprocess\n")
    return tmp_path


def _plant(tree: Path, code: str, name: str = "warden/planted.py") -> list[str]:
    (tree / name).write_text(code + "\n")
    doors = {"warden/door.py": {"process": "the test's own"}}
    return list(TOOLBOX.check(tree, doors))


@pytest.mark.parametrize("code", FORBIDDEN)
def test_what_is_forbidden_is_found(tree: Path, code: str) -> None:
    found = _plant(tree, code)
    assert found
    assert all(line.startswith("warden/planted.py:") for line in found)


@pytest.mark.parametrize("code", ALLOWED)
def test_what_is_harmless_is_left_alone(tree: Path, code: str) -> None:
    assert _plant(tree, code) == []


def test_the_line_is_named(tree: Path) -> None:
    assert _plant(tree, "import os\n\n\nos.system('true')") == [
        "warden/planted.py:4: os.system: only a door may (process)"
    ]


def test_a_door_may_do_what_the_table_says_and_no_more(tree: Path) -> None:
    found = _plant(tree, "import os\nimport subprocess\nimport socket\nos.read(0, 1)", "warden/door.py")
    assert found == ["warden/door.py:3: socket: only a door may (network)"]


def test_an_entry_that_is_not_needed_is_found(tree: Path) -> None:
    doors = {"warden/door.py": {"process": "", "lock": ""}, "warden/gone.py": {"file": ""}}
    assert list(TOOLBOX.check(tree, doors)) == [
        "warden/door.py:1: the table of doors allows lock here, and it is not used",
        "warden/gone.py:1: the table of doors allows file here, and it is not used",
    ]


def test_a_module_that_is_too_long_is_found(tree: Path) -> None:
    assert _plant(tree, "\n" * (TOOLBOX.MAX_LINES - 1)) == []
    assert _plant(tree, "\n" * TOOLBOX.MAX_LINES) == ["warden/planted.py:401: 401 lines; a module has 400 at most"]


def test_a_file_that_is_not_python_is_found(tree: Path) -> None:
    (found,) = _plant(tree, "x = 1\ndef")
    assert found.startswith("warden/planted.py:2: not Python")


def test_the_command_prints_and_fails(tree: Path) -> None:
    _plant(tree, "import socket")
    done = subprocess.run([sys.executable, TOOL, tree], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "warden/planted.py:1: socket: only a door may (network)" in done.stdout.splitlines()


def test_the_real_tree_is_clean_and_its_table_has_no_entry_too_many() -> None:
    assert list(TOOLBOX.check(ROOT, TOOLBOX.DOORS)) == []


def test_every_door_says_why() -> None:
    assert all(why for door in TOOLBOX.DOORS.values() for why in door.values())
