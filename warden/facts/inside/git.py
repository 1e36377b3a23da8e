# SPDX-License-Identifier: BSD-2-Clause
"""What is asked inside a jail of git: sshd, the user of the repositories, the first of them; or Forgejo."""

from __future__ import annotations

from warden.facts.inside import forgejo

_SSH = """\
packages git
variables sshd_enable sshd_flags sshd_rsa_enable sshd_ecdsa_enable
files /usr/local/etc/warden-sshd.conf /usr/local/libexec/warden-git /usr/local/etc/warden-authorized_keys
while IFS=: read -r name _ uid gid _ home shell; do
    [ "$name" != git ] || item "user git $uid $gid $home $shell"
done < /etc/passwd
[ ! -d /srv/git ] || item "folder /srv/git $(stat -f '%Lp %Su:%Sg' /srv/git)"
[ ! -s /usr/local/etc/warden-authorized_keys ] || item authorized_keys
for name in create list no-interactive-login; do
    [ ! -x "/srv/git/git-shell-commands/$name" ] || item "command $name"
done
if [ -s "/srv/git/$agent.git/HEAD" ] && [ -d "/srv/git/$agent.git/objects/pack" ]; then
    item "repository $agent.git"
else
    ill "the repository /srv/git/$agent.git is not there"
fi
[ -s /etc/ssh/ssh_host_ed25519_key.pub ] || ill "sshd has no host key"
nc -z -w 3 "$address" "$port" >/dev/null 2>&1 || ill "sshd does not answer at $address:$port"
healthy
"""

QUESTION = f"""\
if [ "$runtime" = forgejo ]; then
{forgejo.QUESTION}
fi
{_SSH}"""
