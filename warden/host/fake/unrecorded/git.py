# SPDX-License-Identifier: BSD-2-Clause
"""git: new bare repositories, as git-init(1) and gitrepository-layout(5) say.

What is pushed to them and cloned from them goes over ssh, which nobody here does.
"""

from __future__ import annotations

from getopt import GetoptError, gnu_getopt

from warden.host.fake.filesystem import FileError
from warden.host.fake.packages import PACKAGES, Package, installed
from warden.host.fake.processes import account
from warden.host.fake.program import Call, Reply, program, say
from warden.host.fake.shell_io import may
from warden.host.fake.users import uid_of

PATH = "/usr/local/bin/git"
PROGRAMS = ("git", "git-receive-pack", "git-shell", "git-upload-archive", "git-upload-pack")
CONFIG = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"
DESCRIPTION = "Unnamed repository; edit this file 'description' to name the repository.\n"
FOLDERS = ("hooks", "info", "refs/heads", "refs/tags", "objects/info", "objects/pack")

PACKAGES["git"] = Package(
    {**{f"/usr/local/bin/{name}": "" for name in PROGRAMS}, "/usr/local/libexec/git-core/git-shell": ""},
    users=(("git_daemon", 964, "/nonexistent", "/usr/sbin/nologin"),),
)


@program(
    PATH,
    "git init [-q] --bare [-b BRANCH] FOLDER",
    "git --git-dir=FOLDER rev-parse --is-bare-repository",
    "git --version",
    package="git",
)
def git(call: Call) -> Reply:
    """Make a bare repository, or tell whether there is one."""
    if call.args == ("--version",):
        return say(f"git version {installed(call.machine, call.jail)['git']}\n")
    if len(call.args) == 3 and call.args[1:] == ("rev-parse", "--is-bare-repository"):
        folder = call.args[0].removeprefix("--git-dir=")
        if folder == call.args[0]:
            raise call.unsupported()
        if _is_whole(call, folder):
            return say("true\n")
        return say(error=f"fatal: not a git repository: '{folder}'\n", status=128)
    if call.args[:1] != ("init",):
        raise call.unsupported()
    try:
        found, words = gnu_getopt(list(call.args[1:]), "qb:", ["quiet", "bare", "initial-branch="])
    except GetoptError:
        raise call.unsupported() from None
    options = {{"--quiet": "-q", "--initial-branch": "-b"}.get(name, name): value for name, value in found}
    if "--bare" not in options or len(words) != 1:
        raise call.unsupported()
    return _init(call, words[0], options.get("-b", "master"), given="-b" in options, quiet="-q" in options)


def _init(call: Call, folder: str, branch: str, *, given: bool, quiet: bool) -> Reply:
    """Make a repository; one that is there is left as it is, and what is missing of it is made."""
    path, uid, root = call.path(folder).rstrip("/"), uid_of(call), call.root
    gid = int(account(call.files, call.user, root)[3])
    parent = call.files.lookup(path.rpartition("/")[0], root=root)
    if not call.files.is_dir(path, root=root):
        if parent is None:
            raise call.unsupported("git init in a folder whose parent is not there")
        if not may(call, parent, 2):
            return say(error=f"fatal: cannot mkdir {folder}: Permission denied\n", status=128)
    there = _is_whole(call, folder)
    files = {"HEAD": f"ref: refs/heads/{branch}\n", "config": CONFIG, "description": DESCRIPTION}
    try:
        for name in ("", *FOLDERS):
            call.files.make_dir(f"{path}/{name}".rstrip("/"), root=root, parents=True)
        for name, text in files.items():
            if not call.files.exists(f"{path}/{name}", root=root):
                call.files.write(f"{path}/{name}", text.encode(), root=root)
    except FileError as failure:
        return say(error=f"fatal: cannot mkdir {failure.path}: {failure.reason}\n", status=128)
    finally:
        if call.files.is_dir(path, root=root):
            for _, node in call.files.walk(path, root=root):
                node.uid, node.gid = uid, gid
    said = "" if quiet else f"{'Reinitialized existing' if there else 'Initialized empty'} Git repository in {path}/\n"
    warning = f"warning: re-init: ignored --initial-branch={branch}\n" if there and given else ""
    return say(said, error=warning)


def _is_whole(call: Call, folder: str) -> bool:
    """Tell whether a folder is taken for a repository."""
    path = call.path(folder)
    head = call.files.lookup(f"{path}/HEAD", root=call.root)
    return head is not None and all(call.files.is_dir(f"{path}/{name}", root=call.root) for name in ("objects", "refs"))
