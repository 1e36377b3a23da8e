# SPDX-License-Identifier: BSD-2-Clause
"""Bare repositories over SSH, for one agent and its key; or Forgejo, where `runtime` says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.facts.keys import FOLDER
from warden.host.command import Command
from warden.resources.desired import Mount
from warden.resources.templates import render
from warden.services import forgejo
from warden.services.shape import JailFile, Needs, ServiceModule, Setup, inside

if TYPE_CHECKING:
    from warden.resources.desired import DesiredAgent, DesiredJail

USER = "git"
ID = 211
"""The uid and gid that FreeBSD's ports keep for this user."""
HOME = "/srv/git"
SHELL = "/usr/local/libexec/git-core/git-shell"
"""The one of the package's two that it enters into /etc/shells."""
PROGRAM = "/usr/local/bin/git"
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"
CONFIG = "/usr/local/etc/warden-sshd.conf"
AUTHORIZED_KEYS = "/usr/local/etc/warden-authorized_keys"
SHELL_COMMAND = "/usr/local/libexec/warden-git"

_USER = """\
set -e
pw groupshow "$1" >/dev/null 2>&1 || pw groupadd "$1" -g "$2"
if pw usershow "$1" >/dev/null 2>&1; then
    pw usermod "$1" -g "$1" -d "$3" -s "$4"
else
    pw useradd "$1" -u "$2" -g "$1" -c "repositories" -d "$3" -s "$4"
fi
mkdir -p "$3/git-shell-commands"
chown "$1:$1" "$3"
chmod 0755 "$3"
chown root:wheel "$3/git-shell-commands"
chmod 0755 "$3/git-shell-commands"
for name in create list no-interactive-login; do
    ln -sf "$5" "$3/git-shell-commands/$name"
done
"""

# ssh-keygen writes the public half last: where that is missing, the private one may be half a file
_HOST_KEY = '[ -s "$1.pub" ] || rm -f "$1"; exec /usr/sbin/service sshd keygen'

# on the host: the jail's own files are written from inside
_AUTHORIZE = """\
read -r key < "$1" || { echo "$1 has no key; the next apply makes one" >&2; exit 1; }
printf 'restrict %s\\n' "$key" | /usr/sbin/jexec -l -U root "$2" /bin/sh -c '
    umask 022
    cat > "$1.new" && chown root:wheel "$1.new" && chmod 0644 "$1.new" && mv -f "$1.new" "$1"' sh "$3"
"""

# on the host: what the jail says is taken for a key only if it looks like one
_TRUST = """\
umask 022
/usr/sbin/jexec -l -U root "$1" /usr/bin/head -c 400 "$2.pub" | {
    read -r kind key comment
    case $kind-$key in
    ssh-ed25519-*[!A-Za-z0-9+/=]*|ssh-ed25519-) kind= ;;
    ssh-ed25519-*) ;;
    *) kind= ;;
    esac
    [ -n "$kind" ] || { echo "the jail $1 shows no ed25519 key in $2.pub" >&2; exit 1; }
    new=${4%/*}/.${4##*/}.new
    printf '%s %s %s\\n' "$3" "$kind" "$key" > "$new" && chmod 0644 "$new" && mv -f "$new" "$4"
}
"""


def needs(agent: DesiredAgent, jail: DesiredJail) -> Needs:
    """Give what the host has to have: the repositories' dataset in the jail, and where the agent finds them."""
    if jail.settings.runtime == "forgejo":
        return forgejo.needs(agent, jail)
    repository = f"{agent.name}.git"
    usual = jail.port == 22
    key, known_hosts = f"{FOLDER}/{agent.name}", f"{FOLDER}/{agent.name}.known_hosts"
    return Needs(
        mounts=(Mount(source=f"/var/db/warden/{agent.name}/repos", target=HOME),) if agent.storage else (),
        environment={
            "GIT_REMOTE_URL": f"{USER}@{jail.address}:{repository}"
            if usual
            else f"ssh://{USER}@{jail.address}:{jail.port}{HOME}/{repository}",
            "GIT_SSH_COMMAND": f"/usr/bin/ssh -i {key} -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes"
            f" -o UserKnownHostsFile={known_hosts}",
        },
    )


def setup(agent: DesiredAgent, jail: DesiredJail) -> Setup:
    """Give how the jail is set up: FreeBSD's own sshd with a configuration of ours, and a first repository."""
    if jail.settings.runtime == "forgejo":
        return forgejo.setup(agent, jail)
    repository = f"{agent.name}.git"
    files = [
        JailFile(path=CONFIG, content=sshd_config(agent, jail).encode()),
        JailFile(path=SHELL_COMMAND, content=shell_command(jail).encode(), mode="0755"),
    ]
    prepare = [
        inside(jail.name, "/bin/sh", "-c", _USER, "sh", USER, str(ID), HOME, SHELL, SHELL_COMMAND),
        inside(jail.name, "/bin/sh", "-c", _HOST_KEY, "sh", HOST_KEY),
        inside(
            jail.name,
            *(PROGRAM, "init", "--quiet", "--bare", "--initial-branch=main", f"{HOME}/{repository}"),
            user=USER,
        ),
    ]
    if agent.public_key is None:
        words = (f"{FOLDER}/{agent.name}.pub", jail.name, AUTHORIZED_KEYS)
        prepare.append(Command(argv=("/bin/sh", "-c", _AUTHORIZE, "sh", *words)))
    else:
        files.append(JailFile(path=AUTHORIZED_KEYS, content=f"restrict {agent.public_key.strip()}\n".encode()))
    known_hosts = f"{FOLDER}/{agent.name}.known_hosts"
    return Setup(
        title=f"git over ssh on port {jail.port}, repository {repository}",
        packages=("git",),
        variables={
            "sshd_enable": "YES",
            "sshd_flags": f"-f {CONFIG}",
            "sshd_rsa_enable": "NO",
            "sshd_ecdsa_enable": "NO",
        },
        files=tuple(files),
        prepare=tuple(prepare),
        check=(inside(jail.name, "/usr/sbin/sshd", "-t", "-f", CONFIG),),
        daemon="sshd",
        finish=(Command(argv=("/bin/sh", "-c", _TRUST, "sh", jail.name, HOST_KEY, _names(agent, jail), known_hosts)),),
        items=frozenset(
            {
                f"user {USER} {ID} {ID} {HOME} {SHELL}",
                f"folder {HOME} 755 {USER}:{USER}",
                "authorized_keys",
                *(f"command {name}" for name in ("create", "list", "no-interactive-login")),
                f"repository {repository}",
            }
        ),
    )


def sshd_config(agent: DesiredAgent, jail: DesiredJail) -> str:
    """Give the whole configuration of sshd: nobody but git, keys only, nothing that goes on from there."""
    return render(
        "git/sshd.conf",
        agent=agent.name,
        address=jail.address,
        port=jail.port,
        user=USER,
        host_key=HOST_KEY,
        authorized_keys=AUTHORIZED_KEYS,
    )


def shell_command(jail: DesiredJail) -> str:
    """Give the script behind `create` and `list`."""
    return render("git/shell-command", address=jail.address, user=USER, home=HOME, git=PROGRAM)


def _names(agent: DesiredAgent, jail: DesiredJail) -> str:
    """Give what the agent may call its jail, as known_hosts(5) wants it."""
    names = (str(jail.address), f"git.{agent.name}.{agent.domain}")
    return ",".join(name if jail.port == 22 else f"[{name}]:{jail.port}" for name in names)


MODULE = ServiceModule(service="git", needs=needs, setup=setup)
