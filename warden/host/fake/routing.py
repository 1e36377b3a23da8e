# SPDX-License-Identifier: BSD-2-Clause
"""/etc/rc.d/routing: static routes, the default router, and what routing sysctls rc.conf asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.host.fake.program import Reply, say
from warden.host.fake.rcconf import is_yes, read_rc_conf
from warden.host.fake.service import rc_service

if TYPE_CHECKING:
    from warden.host.fake.program import Call

OPTIONS = {
    "icmp_bmcastecho": ("net.inet.icmp.bmcastecho", "broadcast ping responses"),
    "icmp_drop_redirect": ("net.inet.icmp.drop_redirect", "ignore ICMP redirect"),
    "icmp_log_redirect": ("net.inet.icmp.log_redirect", "log ICMP redirect"),
    "gateway_enable": ("net.inet.ip.forwarding", "gateway"),
    "forward_sourceroute": ("net.inet.ip.sourceroute", "do source routing"),
    "accept_sourceroute": ("net.inet.ip.accept_sourceroute", "accept source routing"),
    "arpproxy_all": ("net.link.ether.inet.proxyall", "ARP proxyall"),
}
OPTIONS6 = {"ipv6_gateway_enable": ("net.inet6.ip6.forwarding", "gateway")}
LOOPBACK = "add host {}: gateway lo0 fib 0: route already in table\n"
INET6 = ["fe80::", "ff02::", "::ffff:0.0.0.0", "::0.0.0.0"]
"""The IPv6 networks that rc keeps off the wire."""


@rc_service("routing", rcvar="", description="Routing setup", extra="options static")
def routing(call: Call, verb: str) -> Reply:
    """Set routes and options, or flush the routes."""
    families = call.args[1:2] or ("any",)
    interface = call.args[2] if len(call.args) > 2 else ""
    if families[0] not in ("any", "all", "inet") or verb not in ("start", "stop", "restart", "static", "options"):
        raise call.unsupported()
    conf = read_rc_conf(call.machine, call.jail)
    if verb == "stop":
        return _stop(call, conf, interface)
    if verb == "restart":
        return _stop(call, conf, interface) + routing(call, "start")
    reply = Reply()
    if verb in ("start", "static"):
        reply += static(call, conf, "add", interface)
    if verb in ("start", "options"):
        reply += _options(call, conf, OPTIONS, "inet")
    if not interface and families[0] != "inet" and verb != "options":
        reply += say(LOOPBACK.format("::1") + "".join(f"add net {one}: gateway ::1\n" for one in INET6))
    if verb in ("start", "options"):
        reply += _options(call, conf, OPTIONS6, "inet6")
    return Reply(0, reply.stdout, reply.stderr)


def static(call: Call, conf: dict[str, str], action: str, interface: str = "") -> Reply:
    """Add or delete the routes of static_routes and defaultrouter; with an interface, those marked `:interface`."""
    routes = [(name, conf.get(f"route_{name.partition(':')[0]}", "")) for name in conf.get("static_routes", "").split()]
    router = conf.get("defaultrouter", "NO")
    if router.lower() not in ("no", ""):
        routes.append(("_default", f"default {router}"))
    reply = Reply() if interface else say(LOOPBACK.format("127.0.0.1"))
    for name, arguments in routes:
        if interface and not name.endswith(f":{interface}"):
            continue
        if not arguments:
            warning = f"/etc/rc.d/routing: WARNING: route_{name.partition(':')[0]} not found.\n"
            reply += say(error=warning)
        else:
            reply += call.run("/sbin/route", action, *arguments.split())
    return reply


def _stop(call: Call, conf: dict[str, str], interface: str) -> Reply:
    if interface:
        return static(call, conf, "delete", interface)
    return call.run("/sbin/route", "-n", "flush", "-inet")


def _options(call: Call, conf: dict[str, str], options: dict[str, tuple[str, str]], family: str) -> Reply:
    said = ""
    for variable, (oid, text) in options.items():
        value = conf.get(variable, "NO")
        if value.lower() == "auto":
            value = "NO"  # unless a routing daemon is enabled, of which the fake host has none
        call.run("/sbin/sysctl", f"{oid}={int(is_yes(value))}")
        if is_yes(value):
            said += f" {text}=YES"
    return say(f"Additional {family} routing options:{said}.\n" if said else "")
