# SPDX-License-Identifier: BSD-2-Clause
"""chroot(8), as far as it runs a command as another user. From FreeBSD's manual page."""

from __future__ import annotations

from dataclasses import replace

from warden.host.fake.options import getopt
from warden.host.fake.program import Call, Reply, find_file, find_program, program, run_program, say
from warden.host.fake.users import groups, users


@program("/usr/sbin/chroot", "chroot -u USER -g GROUP / COMMAND [ARGUMENT...]")
def chroot(call: Call) -> Reply:
    """Run a command as another user, with the caller's environment."""
    flags, words, wrong = getopt(call.args, "u:g:")
    if wrong or not flags.keys() >= {"u", "g"} or len(words) < 2 or words[0] != "/" or call.user != "root":
        raise call.unsupported()
    user, group = flags["u"][-1], flags["g"][-1]
    if group not in groups(call.files, call.root):
        return say(error=f"chroot: {group}: illegal group name\n", status=1)
    if user not in users(call.files, call.root):
        return say(error=f"chroot: {user}: illegal user name\n", status=1)
    inside = replace(call, argv=tuple(words[1:]), user=user, cwd="/")
    if find_program(call.machine, words[1], call.jail) is None and not find_file(inside, words[1]):
        return say(error=f"chroot: {words[1]}: No such file or directory\n", status=127)
    return run_program(inside)
