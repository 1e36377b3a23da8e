# SPDX-License-Identifier: BSD-2-Clause
"""Forgejo, which serves git with `runtime = "forgejo"`: a web server with its database and repositories in one folder.

Its secrets are files beside its data, made once: app.ini names them, and holds none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.host.command import Command
from warden.resources.desired import Mount
from warden.resources.templates import render
from warden.services.answers import wait_for
from warden.services.shape import JailFile, Needs, Setup, inside

if TYPE_CHECKING:
    from warden.resources.desired import DesiredAgent, DesiredJail

PACKAGE = "forgejo"
PROGRAM = "/usr/local/sbin/forgejo"
CONFIGURATION = "/usr/local/etc/forgejo/conf/app.ini"
WORK = "/usr/local/share/forgejo"
DATA = "/var/db/forgejo"
SECRETS = f"{DATA}/secrets"
LOG = "/var/log/forgejo"
USER = "git"
HOME = "/usr/local/git"
"""As the port has it; where the jail served git over SSH before, this user is at home elsewhere."""
ADMIN = "warden-admin"
"""The account that the operator has there; Forgejo keeps the name `admin` for itself."""
PATIENCE = 120
SECRET_NAMES = ("SECRET_KEY", "INTERNAL_TOKEN", "JWT_SECRET", "LFS_JWT_SECRET")

_MAKE_FOLDERS = """\
set -e
user=$1
pw usermod "$user" -d "$2" -s /bin/sh
shift
for folder; do
	mkdir -p "$folder"
	chown "$user:$user" "$folder"
	chmod 0750 "$folder"
done
"""

_MAKE_SECRETS = """\
umask 077
folder=$1
shift
for name; do
	[ -s "$folder/$name" ] && continue
	/usr/local/sbin/forgejo generate secret "$name" > "$folder/.$name.new" && [ -s "$folder/.$name.new" ] &&
		mv -f "$folder/.$name.new" "$folder/$name" || exit 1
done
"""

# Forgejo takes a password as an argument only, so it makes one itself. It says it before it makes the account, and
# what it says is kept at once: whenever this is cut off, the next run either makes the account again or finds its
# password. Delete and make anew is no way: Forgejo does not delete the last administrator.
_MAKE_ADMIN = """\
umask 077
jail=$1 admin=$2 mail=$3 key=$4 made=$5
forgejo() { /usr/sbin/jexec -l -U git "$jail" /usr/local/sbin/forgejo "$@"; }
is_there() {
	accounts=$(forgejo admin user list) || exit 1
	case $accounts in *" $admin "*) return 0 ;; esac
	return 1
}
mkdir -p "${key%/*}" || exit 1
if ! is_there; then
	rm -f "$key"
	forgejo admin user create --admin --username "$admin" --email "$mail" --random-password \\
		--random-password-length 32 --must-change-password=false | cat > "$key.new"
	is_there || exit 1
fi
if [ -s "$key.new" ]; then
	sed -n "s/^generated random password is '\\(.*\\)'\\$/\\1/p" "$key.new" > "$key.warden" || exit 1
	[ ! -s "$key.warden" ] || mv -f "$key.warden" "$key" || exit 1
fi
rm -f "$key.new" "$key.warden"
if [ ! -s "$key" ]; then
	echo "Forgejo in the jail $jail has an account $admin, and its password is not in $key:" >&2
	echo "give it one with 'forgejo admin user change-password' in the jail, and write it into that file" >&2
	exit 1
fi
/usr/sbin/jexec -l -U git "$jail" /usr/bin/touch "$made"
"""


def password_path(agent: str) -> str:
    """Give the path of the administrator's password on the host."""
    return f"/usr/local/etc/warden-keys/{agent}.forgejo-admin"


def needs(agent: DesiredAgent, jail: DesiredJail) -> Needs:
    """Give what Forgejo needs: the agent's dataset for repositories, which holds all of its data."""
    kept = () if agent.storage is None else (Mount(source=f"/var/db/warden/{agent.name}/repos", target=DATA),)
    return Needs(mounts=kept, environment={"FORGE_URL": _url(jail)})


def setup(agent: DesiredAgent, jail: DesiredJail) -> Setup:
    """Give how Forgejo is set up."""
    text = render(
        "forgejo/app.ini",
        agent=agent.name,
        title=f"Forgejo of {agent.name}",
        address=jail.address,
        port=jail.port,
        url=_url(jail),
        work=WORK,
        data=DATA,
        secrets=SECRETS,
        log=LOG,
    )
    folders = (HOME, DATA, f"{DATA}/data", f"{DATA}/forgejo-repositories", SECRETS, LOG)
    made = f"{SECRETS}/admin"
    account = (ADMIN, f"{ADMIN}@{agent.name}.{agent.domain}", password_path(agent.name), made)
    return Setup(
        title=f"Forgejo on port {jail.port}",
        packages=(PACKAGE,),
        variables={"forgejo_enable": "YES"},
        files=(JailFile(path=CONFIGURATION, content=text.encode(), mode="0640", owner=f"root:{USER}"),),
        prepare=(
            inside(jail.name, "/bin/sh", "-c", _MAKE_FOLDERS, "sh", USER, *folders),
            inside(jail.name, "/bin/sh", "-c", _MAKE_SECRETS, "sh", SECRETS, *SECRET_NAMES, user=USER),
        ),
        check=(inside(jail.name, PROGRAM, "doctor", "check", "--run", "paths", user=USER),),
        daemon="forgejo",
        finish=(
            wait_for(jail.name, f"{_url(jail)}/api/healthz", seconds=PATIENCE, log=LOG),
            Command(argv=("/bin/sh", "-c", _MAKE_ADMIN, "sh", jail.name, *account)),
        ),
        items=frozenset({"admin", *(f"secret {name}" for name in SECRET_NAMES)}),
        patience=PATIENCE,
    )


def _url(jail: DesiredJail) -> str:
    return f"http://{jail.address}:{jail.port}"
