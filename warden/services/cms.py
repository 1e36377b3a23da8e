# SPDX-License-Identifier: BSD-2-Clause
"""nginx, which serves one folder: the operator's own, or one in the agent's storage that it publishes into."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.resources.desired import DesiredDataset, Mount
from warden.resources.templates import render
from warden.services.shape import JailFile, Needs, ServiceModule, Setup, inside

if TYPE_CHECKING:
    from warden.resources.desired import DesiredAgent, DesiredJail

CONFIG = "/usr/local/etc/nginx/nginx.conf"
ROTATION = "/etc/newsyslog.conf.d/warden-nginx.conf"
LOGS = "/var/log/nginx"
PID = "/var/run/nginx.pid"
HEALTH = "/.warden/health"
"""Where nginx says that it is there; the name begins with a dot, as none does that a site can have."""


def needs(agent: DesiredAgent, jail: DesiredJail) -> Needs:
    """Give what the host has to have: the folder that is served, and what the agent is told of it."""
    port = "" if jail.port == 80 else f":{jail.port}"
    folder, datasets = _host_folder(agent, jail)
    environment = {"CMS_URL": f"http://{jail.address}{port}"}
    if folder is None:
        return Needs(environment=environment)
    return Needs(
        datasets=datasets,
        mounts=(Mount(source=folder, target=webroot(agent), writable=False),),
        environment={**environment, "CMS_WEBROOT": folder},
    )


def setup(agent: DesiredAgent, jail: DesiredJail) -> Setup:
    """Give how the jail is set up: nginx with a configuration that is all ours."""
    root = webroot(agent)
    folder, _ = _host_folder(agent, jail)
    return Setup(
        title=f"nginx on port {jail.port}, site {folder or f'{root} of the jail'}",
        packages=("nginx",),
        variables={"nginx_enable": "YES"},
        files=(
            JailFile(path=CONFIG, content=nginx_config(agent, jail).encode()),
            JailFile(path=ROTATION, content=render("cms/newsyslog.conf", logs=LOGS, pid=PID).encode()),
        ),
        prepare=(inside(jail.name, "/bin/mkdir", "-p", LOGS, root),),
        check=(inside(jail.name, "/usr/local/sbin/nginx", "-t", "-q"),),
        daemon="nginx",
        how="reload",
        items=frozenset({f"folder {LOGS}", f"folder {root}"}),
    )


def webroot(agent: DesiredAgent) -> str:
    """Give the folder of the jail that nginx serves."""
    return f"/usr/local/www/{agent.name}"


def nginx_config(agent: DesiredAgent, jail: DesiredJail) -> str:
    """Give the whole nginx.conf."""
    return render(
        "cms/nginx.conf",
        agent=agent.name,
        addresses=(jail.address, "127.0.0.1"),
        port=jail.port,
        user="www",
        root=webroot(agent),
        health=HEALTH,
        logs=LOGS,
        pid=PID,
        types="mime.types",
    )


def _host_folder(agent: DesiredAgent, jail: DesiredJail) -> tuple[str | None, tuple[DesiredDataset, ...]]:
    """Give the folder of the host that is served, None for one inside the jail; and its dataset if it is ours."""
    if jail.settings.webroot is not None:
        return jail.settings.webroot, ()
    if agent.storage is None:
        return None, ()
    folder = f"/var/db/warden/{agent.name}/site"
    user = agent.owner
    site = DesiredDataset(name=f"{agent.storage}/site", mountpoint=folder, owner=f"{user}:wheel")
    return folder, (site,)


MODULE = ServiceModule(service="cms", needs=needs, setup=setup)
