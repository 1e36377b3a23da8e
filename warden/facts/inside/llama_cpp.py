# SPDX-License-Identifier: BSD-2-Clause
"""What is asked of a jail with llama-server: whether it answers, or still reads its model, and which model that is."""

from __future__ import annotations

QUESTION = """\
packages llama-cpp
files /usr/local/etc/rc.d/warden_llm
variables warden_llm_enable
grep -q '^warden_llm_enable="YES"' /etc/rc.conf || ill no model
url=http://$address:$port
said=$(timeout 3 fetch -q -T 3 -o /dev/null "$url/health" 2>&1) || case $said in
*"Service "[Uu]navailable*) ill loading model ;;
*)
	said=${said##*: }
	ill "no answer on $address:$port: ${said:-none in 3 seconds}; see /var/log/warden_llm.log in the jail"
	;;
esac
models=$(timeout 3 fetch -q -T 3 -o - "$url/v1/models" 2>/dev/null)
case $models in
*'"id":"'*)
	models=${models#*'"id":"'}
	item model "${models%%'"'*}"
	;;
*) ill "no model in the answer to $url/v1/models" ;;
esac
healthy
"""
