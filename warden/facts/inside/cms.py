# SPDX-License-Identifier: BSD-2-Clause
"""What is asked inside a jail of the cms: nginx, its configuration and its folders."""

from __future__ import annotations

QUESTION = """\
packages nginx
variables nginx_enable
files /usr/local/etc/nginx/nginx.conf /etc/newsyslog.conf.d/warden-nginx.conf
for folder in /var/log/nginx "/usr/local/www/$agent"; do
    [ ! -d "$folder" ] || item "folder $folder"
done
url=http://$address:$port/.warden/health
[ "$(timeout 3 fetch -q -T 3 -o - "$url" 2>/dev/null)" = ok ] || ill "nginx does not answer at $url"
healthy
"""
