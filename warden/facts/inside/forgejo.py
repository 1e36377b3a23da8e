# SPDX-License-Identifier: BSD-2-Clause
"""What is asked of a jail with Forgejo: whether it says itself that it is well, and what is made once and kept."""

from __future__ import annotations

QUESTION = """\
packages forgejo
files /usr/local/etc/forgejo/conf/app.ini
variables forgejo_enable
for s in SECRET_KEY INTERNAL_TOKEN JWT_SECRET LFS_JWT_SECRET; do
	[ ! -s "/var/db/forgejo/secrets/$s" ] || item secret "$s"
done
[ ! -f /var/db/forgejo/secrets/admin ] || item admin
url=http://$address:$port/api/healthz
said=$(timeout 3 fetch -q -T 3 -o /dev/null "$url" 2>&1) || {
	said=${said##*: }
	ill "no good answer to $url: ${said:-none in 3 seconds}; see /var/log/forgejo in the jail"
}
healthy
"""
