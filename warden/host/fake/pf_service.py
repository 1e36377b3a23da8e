# SPDX-License-Identifier: BSD-2-Clause
"""The rc.d script pf: sessions 04, 15 and 17."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.host.fake import kld
from warden.host.fake.program import Call, Reply, say
from warden.host.fake.rcconf import is_yes, read_rc_conf
from warden.host.fake.service import rc_service

if TYPE_CHECKING:
    from warden.host.fake.machine import Machine

PFCTL = "/sbin/pfctl"
SCRIPT = "/etc/rc.d/pf"


@rc_service("pf", description="Packet filter", extra="check reload resync")
def pf(call: Call, verb: str) -> Reply:
    """Do what the script does with a verb."""
    settings = read_rc_conf(call.machine, call.jail, "pf")
    if verb == "start":
        return _start(call, settings)
    if verb == "stop":
        return _stop(call)
    if verb == "restart":
        return _stop(call) + _start(call, settings)
    if verb == "check":
        return say("Checking pf rules.\n") + _with_rules(call, settings, "-n")
    if verb == "reload":
        return say("Reloading pf rules.\n") + _resync(call, settings)
    return _resync(call, settings) if verb == "resync" else _status(call, verb)


def start(machine: Machine) -> Reply:
    """Start pf as /etc/rc does when the host boots: what rc.conf says, and nothing where pf is not enabled."""
    enabled = is_yes(read_rc_conf(machine, service="pf").get("pf_enable", ""))
    return pf(Call(machine, (SCRIPT, "start")), "start") if enabled else Reply()


def _with_rules(call: Call, settings: dict[str, str], *options: str) -> Reply:
    """Run pfctl on the file of rules that rc.conf names."""
    flags = settings.get("pf_flags", "").split()
    return call.run(PFCTL, *options, "-f", settings["pf_rules"], *flags)


def _start(call: Call, settings: dict[str, str]) -> Reply:
    rules = settings["pf_rules"]
    if not call.files.exists(rules, root=call.root):
        return say(error=f"{SCRIPT}: WARNING: {rules} is not readable.\n", status=1)
    kld.load(call.machine, "pf")
    # Tables, rules and anchors that nothing in the new rules calls are gone before the file is read.
    call.run(PFCTL, "-F", "all")
    reply = say("Enabling pf") + _with_rules(call, settings)
    if reply.exit_code:
        # pf is enabled all the same, with no rule at all (session 15).
        reply += _fallback(call, settings)
    if not call.machine.pf.enabled:
        reply += call.run(PFCTL, "-eq")
    return reply + say(".\n")


def _fallback(call: Call, settings: dict[str, str]) -> Reply:
    reply = say(error=f"{SCRIPT}: WARNING: Unable to load {settings['pf_rules']}.\n")
    if not is_yes(settings.get("pf_fallback_rules_enable", "NO")):
        return reply
    file = settings.get("pf_fallback_rules_file", "/etc/pf-fallback.conf")
    flags = settings.get("pf_flags", "").split()
    if call.files.exists(file, root=call.root):
        reply += say(error=f"{SCRIPT}: WARNING: Loading fallback rules file: {file}\n")
        return reply + call.run(PFCTL, "-f", file, *flags)
    rules = settings.get("pf_fallback_rules", "block drop log all")
    reply += say(error=f"{SCRIPT}: WARNING: Loading fallback rules: {rules}\n")
    return reply + call.run(PFCTL, "-f", "-", *flags, stdin=f"{rules}\n".encode())


def _stop(call: Call) -> Reply:
    if not call.machine.pf.enabled:
        return Reply()
    return say("Disabling pf") + call.run(PFCTL, "-dq") + say(".\n")


def _resync(call: Call, settings: dict[str, str]) -> Reply:
    checked = _with_rules(call, settings, "-n")
    return checked if checked.exit_code else checked + _with_rules(call, settings)


def _status(call: Call, verb: str) -> Reply:
    if verb != "status":
        raise call.unsupported(f"service pf {verb}")
    if "pf.ko" not in call.machine.modules:
        return say("pf.ko is not loaded\n", status=1)
    # It goes by `-s Running`, whose own line is thrown away.
    status = call.run(PFCTL, "-s", "info")
    return Reply(call.run(PFCTL, "-s", "Running").exit_code, status.stdout, status.stderr)
