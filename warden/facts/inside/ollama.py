# SPDX-License-Identifier: BSD-2-Clause
"""What is asked of a jail with ollama: whether it answers, and which models it has."""

from __future__ import annotations

QUESTION = """\
packages ollama
files /usr/local/etc/rc.d/warden_llm
variables warden_llm_enable
url=http://$address:$port
said=$(timeout 3 fetch -q -T 3 -o /dev/null "$url/api/version" 2>&1) || {
	said=${said##*: }
	ill "no answer on $address:$port: ${said:-none in 3 seconds}; see /var/log/warden_llm.log in the jail"
}
models=$(timeout 3 fetch -q -T 3 -o - "$url/api/tags" 2>/dev/null) || ill "no answer to $url/api/tags"
while :; do
	case $models in
	*'"name":"'*) ;;
	*) break ;;
	esac
	models=${models#*'"name":"'}
	item model "${models%%'"'*}"
done
healthy
"""
