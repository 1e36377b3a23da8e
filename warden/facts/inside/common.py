# SPDX-License-Identifier: BSD-2-Clause
"""What the questions to all services have in common.

A question is a piece of sh(1) that runs inside the jail, in which these are set: `address` and `port` of the service,
`version` (PostgreSQL's major one), `runtime`, `agent`, and `password`, the agent's own of the database. It answers on
standard output with the functions of HEAD, and says at its end either `healthy` or `ill` and why.
"""

from __future__ import annotations

HEAD = """\
address=$1 port=$2 version=$3 runtime=$4 agent=$5 role=$5
while case $role in *-*) true;; *) false;; esac; do role=${role%%-*}_${role#*-}; done
IFS= read -r password || password=
packages() { [ ! -x /usr/local/sbin/pkg ] || pkg query 'package %n %v' "$@" 2>/dev/null; }
files() { for f; do [ ! -f "$f" ] || echo "file $(stat -f '%Lp %Su:%Sg' "$f") $(sha256 -q "$f") $f"; done; }
variables() {
	for v; do
		sed -n -e "s/^\\($v\\)=\\"\\(.*\\)\\"[[:space:]]*\\(#.*\\)*\\$/variable \\1 \\2/p" \\
			-e "s/^\\($v\\)='\\(.*\\)'[[:space:]]*\\(#.*\\)*\\$/variable \\1 \\2/p" /etc/rc.conf
	done
}
item() { echo "item $*"; }
healthy() { echo healthy; exit 0; }
ill() { echo "ill $*"; exit 0; }
[ ! -e /var/run/warden.stale ] || item stale
stamp=; [ ! -s /var/db/warden.upgraded ] || read -r stamp < /var/db/warden.upgraded
[ -z "$stamp" ] || item "upgraded $stamp"
names='' ours=''
while IFS= read -r line; do
	case $line in
	'# warden begin'*) ours=yes;;
	'# warden end'*) ours='';;
	*) [ -z "$ours" ] || names="$names|$line";;
	esac
done < /etc/hosts
item "hosts $names"
"""
