# SPDX-License-Identifier: BSD-2-Clause
"""The work as a deploy of pyinfra."""

from __future__ import annotations

from io import StringIO

from pyinfra import host  # type: ignore[import-not-found]
from pyinfra.facts.server import Command  # type: ignore[import-not-found]
from pyinfra.operations import files, server  # type: ignore[import-not-found]
from pyinfra.operations.freebsd.sysrc import sysrc  # type: ignore[import-not-found]

data = host.data
agents = data.agents
in_table = f"-a {data.anchor} -t {data.table}"

bridge = host.get_fact(Command, f"ifconfig {data.bridge} 2>/dev/null || true") or ""
if not bridge:
    server.shell(name="Make the bridge", commands=[f"ifconfig bridge create name {data.bridge}"])
for agent in agents:
    if f"inet {agent['gateway']} " not in bridge:
        server.shell(
            name=f"Give the bridge the gateway of {agent['name']}",
            commands=[f"ifconfig {data.bridge} inet {agent['gateway']}/24 alias"],
        )

for rc_conf in (data.bridge_rc_conf, *(agent["rc_conf"] for agent in agents)):
    for key, value in rc_conf.items():
        sysrc(name=f"Keep {key} in rc.conf", parameter=key, value=value)

files.put(name="Keep the agents' subnets in a file", src=StringIO(data.table_text), dest=data.table_file, mode="644")
live = host.get_fact(Command, f"pfctl {in_table} -T show 2>/dev/null || true") or ""
subnets = [agent["subnet"] for agent in agents]
if set(live.split()) != set(subnets):
    server.shell(
        name="Have the agents' subnets in pf's table", commands=[f"pfctl {in_table} -T replace {' '.join(subnets)}"]
    )

for agent in agents:
    files.put(
        name=f"Copy the rc.d script of {agent['name']}",
        src=f"{data.scripts}/{agent['name']}",
        dest=f"/usr/local/etc/rc.d/{agent['name']}",
        mode="555",
    )
