# SPDX-License-Identifier: BSD-2-Clause
"""What the agents may use at most, by rctl(8): a jail of its own rules, an agent's command by its user.

A jail's rules stand in its rctl.conf, which Bastille loads when it starts the jail; a user's in rctl.conf(5). What
holds now is set by rctl(8), and both are compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.facts.jails import JAILS
from warden.host.files import write_file
from warden.resources.change import Change, Note, Stage
from warden.resources.commands import command, remove_file, sysrc_set
from warden.resources.errors import RefusedError
from warden.resources.marks import USER_COMMENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from warden.facts.model import Facts
    from warden.host.command import Command
    from warden.resources.change import Finding
    from warden.resources.desired import Desired, DesiredAgent, DesiredJail
    from warden.spec.model import Limits

RCTL_CONF = "/etc/rctl.conf"
_RCTL = "/usr/bin/rctl"
_LIFT = 'test -z "$(rctl "$1")" || rctl -r "$1"'
_MARK = "# warden: "
_RESOURCES = ("memoryuse", "maxproc", "pcpu")
"""What Limits has of memory, processes and cpu, as rctl(8) calls it."""
# a jail that was started meanwhile has what its old rctl.conf said
_SET = """\
for resource in {}; do rctl -r "$1:$resource:deny" 2> /dev/null; done; shift
[ $# -eq 0 ] || rctl -a "$@"
""".format(" ".join(_RESOURCES))


def check(desired: Desired, facts: Facts) -> None:
    """Raise RefusedError where limits are asked for on a host whose kernel keeps none."""
    for agent in desired.agents.values():
        check_agent(agent.name, [agent.limits, *(jail.limits for jail in agent.jails.values())], facts)


def check_agent(agent: str, asked: Iterable[Limits], facts: Facts) -> None:
    """Raise RefusedError where an agent is to have limits on a host whose kernel keeps none."""
    if facts.rctl is None and any(_amounts(limits) for limits in asked):
        raise RefusedError(
            f"{facts.address} keeps no resource limits, and {agent} is to have some",
            hint='write kern.racct.enable="1" into /boot/loader.conf there and reboot, or take its limits out',
        )


def changes(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the changes to the limits of the agents' jails; those of a jail go with it."""
    for agent in desired.agents.values():
        for jail in agent.jails.values():
            yield from _of_jail(agent, jail, facts)


def user_changes(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Give the changes to what the agents' commands may use, and the end of it for agents that leave."""
    file = facts.files.get(RCTL_CONF)
    lines = file.text.splitlines() if file else []
    wanted = list(lines)
    live: list[Command] = []
    for agent in desired.agents.values():
        rules, remark = _of_user(agent, facts)
        wanted = [*_without(wanted, agent.name), *(f"{rule}  {_MARK}{agent.name}" for rule in rules)]
        live += _set_live(rules, _ours(lines, agent.name), facts)
        if remark:
            yield Note(agent=agent.name, message=remark)
    for name in desired.leaving:
        wanted = _without(wanted, name)
        live += _set_live((), _ours(lines, name), facts)
    if wanted == lines and not live:
        return
    at_boot = facts.rc_conf.get("rctl_enable", "absent")
    leaving = next(iter(desired.leaving), None)
    yield Change(
        kind="limits",
        name=RCTL_CONF,
        agent=leaving,
        action="~",
        # a rule of a user that is gone could not be taken away any more
        stage=Stage.AGENT if leaving else Stage.FIRST,
        detail=", ".join(line.partition(" ")[0] for line in wanted if line not in lines) or "those of agents that go",
        commands=(
            *((sysrc_set({"rctl_enable": "YES"}),) if wanted and at_boot.upper() != "YES" else ()),
            # the file last: as long as a rule stands there, a run after a cut-off finds it
            *live,
            *((_write(wanted),) if wanted != lines else ()),
        ),
    )


def orphans(facts: Facts) -> Iterator[Finding]:
    """Give the end of the limits of users whose agents are not registered."""
    file = facts.files.get(RCTL_CONF)
    lines = file.text.splitlines() if file else []
    lost = [line for line in lines if _MARK in line and line.partition(_MARK)[2] not in facts.registry]
    if lost:
        left = [line for line in lines if line not in lost]
        yield Change(
            kind="limits",
            name=RCTL_CONF,
            action="-",
            stage=Stage.FIRST,
            detail=", ".join(line.partition(" ")[0] for line in lost),
            commands=(*_set_live((), [line.partition(" ")[0] for line in lost], facts), _write(left)),
        )


def _write(lines: Sequence[str]) -> Command:
    text = "".join(f"{line}\n" for line in lines)
    return write_file(RCTL_CONF, text.encode("utf-8", "surrogateescape")) if lines else remove_file(RCTL_CONF)


def _of_user(agent: DesiredAgent, facts: Facts) -> tuple[tuple[str, ...], str]:
    """Give the rules for an agent's command, and why there are none although some were asked for."""
    if agent.service is None or not _amounts(agent.limits):
        return (), ""
    account = facts.users.get(agent.service.user)
    if account is not None and not account.comment.startswith(USER_COMMENT):
        user = agent.service.user
        return (), f"{user} is an account of the host's own: the limits of {agent.name} are not set for all it runs"
    return _rules(f"user:{agent.service.user}", agent.limits), ""


def _of_jail(agent: DesiredAgent, jail: DesiredJail, facts: Facts) -> Iterator[Finding]:
    subject = f"jail:{jail.name}"
    rules = _rules(subject, jail.limits)
    defined = facts.bastille_jails.get(jail.name)
    there = defined.limits if defined is not None else ()
    # what an operator has limited besides is his
    at_boot = [*(line for line in there if not _is_managed(subject, line)), *(f"{rule}/jail" for rule in rules)]
    live = sorted(rule for rule in facts.rctl or () if _is_managed(subject, rule))
    right_now = jail.name not in facts.running_jails or live == sorted(rules)
    if sorted(at_boot) == sorted(there) and right_now:
        return
    text = "".join(f"{line}\n" for line in at_boot)
    yield Change(
        kind="limits",
        name=jail.name,
        agent=agent.name,
        action="~" if there else "+",
        stage=Stage.AGENT,
        detail=", ".join(rule.removeprefix(f"{subject}:") for rule in rules) or "none any more",
        commands=(
            write_file(f"{JAILS}/{jail.name}/rctl.conf", text.encode()),
            command("/bin/sh", "-c", _SET, "sh", subject, *rules),
        ),
    )


def _is_managed(subject: str, rule: str) -> bool:
    return rule.startswith(tuple(f"{subject}:{resource}:deny=" for resource in _RESOURCES))


def of_new_jail(name: str, limits: Limits) -> Iterator[Command]:
    """Give the commands that limit a jail that runs and has no limits yet."""
    rules = _rules(f"jail:{name}", limits)
    if rules:
        yield write_file(f"{JAILS}/{name}/rctl.conf", "".join(f"{rule}/jail\n" for rule in rules).encode())
        yield command(_RCTL, "-a", *rules)


def lift(name: str, facts: Facts) -> Iterator[Command]:
    """Give the command that takes away what holds of a jail that is gone: a rule does not go with it."""
    if any(rule.startswith(f"jail:{name}:") for rule in facts.rctl or ()):
        yield command("/bin/sh", "-c", _LIFT, "sh", f"jail:{name}")


def _amounts(limits: Limits) -> dict[str, int]:
    amounts = dict(zip(_RESOURCES, (limits.memory, limits.processes, limits.cpu), strict=True))
    return {resource: amount for resource, amount in amounts.items() if amount is not None}


def _rules(subject: str, limits: Limits) -> tuple[str, ...]:
    return tuple(f"{subject}:{resource}:deny={amount}" for resource, amount in _amounts(limits).items())


def _set_live(rules: Sequence[str], before: Sequence[str], facts: Facts) -> list[Command]:
    """Give the commands after which just these of our rules hold; `before` are those that we set earlier."""
    now = facts.rctl or frozenset[str]()
    stale = [rule for rule in now if rule not in rules and (rule in before or _rule_of(rules, rule))]
    new = [rule for rule in rules if rule not in now]
    return [
        *([command(_RCTL, "-r", *sorted(stale))] if stale else ()),
        *([command(_RCTL, "-a", *new)] if new else ()),
    ]


def _rule_of(rules: Sequence[str], rule: str) -> bool:
    """Tell whether a rule limits what one of ours limits, to another amount."""
    return any(rule.startswith(f"{ours.rpartition('=')[0]}=") for ours in rules)


def _ours(lines: Sequence[str], agent: str) -> tuple[str, ...]:
    mark = f"{_MARK}{agent}"
    return tuple(line.partition(" ")[0] for line in lines if line.endswith(mark))


def _without(lines: Sequence[str], agent: str) -> list[str]:
    mark = f"{_MARK}{agent}"
    return [line for line in lines if not line.endswith(mark)]
