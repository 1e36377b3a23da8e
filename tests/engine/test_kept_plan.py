# SPDX-License-Identifier: BSD-2-Clause
"""What a kept plan rests on: it moves when somebody changes something, and with nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.engine.conftest import HOLDER, TWO, RecordingHost, agent_spec, fresh, spec_of
from warden.engine.apply import carry_out
from warden.engine.errors import MovedError
from warden.engine.kept_plan import spec_parts
from warden.engine.plan import make_plan
from warden.facts.digest import digest_of, facts_parts
from warden.facts.probe import read_facts
from warden.host.fake.processes import advance

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.engine.conftest import World
    from warden.facts.model import Facts
    from warden.host.command import Command, Result

CHANGES: dict[str, tuple[str, ...]] = {
    "interfaces": ("ifconfig", "bridge", "create"),
    "rc.conf": ("sysrc", "mine=1"),
    "forwarding": ("sysctl", "net.inet.ip.forwarding=1"),
    "files": ("/bin/sh", "-c", "echo '# mine' >> /etc/pf.conf"),
    "users": ("pw", "useradd", "mine"),
    "datasets": ("zfs", "create", "zroot/mine"),
    "routes": ("route", "add", "10.77.0.0/24", "203.0.113.1"),
    "pf": ("pfctl", "-F", "rules"),
}


class Drifting(RecordingHost):
    """A host on which everything moves that moves by itself: expiries, counters, states of the moment, file times."""

    moved: frozenset[str] | set[str] = frozenset()

    def run(
        self,
        batch: Sequence[Command],
        *,
        stop_on_error: bool = True,
        on_result: Callable[[Result], None] | None = None,
    ) -> list[Result]:
        results = super().run(batch, stop_on_error=stop_on_error, on_result=on_result)
        drifted = [replace(result, stdout=drift(result)) for result in results]
        self.moved = {
            one.command.argv[0].rpartition("/")[2]
            for one, other in zip(results, drifted, strict=True)
            if one.stdout != other.stdout
        }
        return drifted


def drift(result: Result) -> bytes:
    program, out = result.command.argv[0].rpartition("/")[2], result.stdout
    match program:
        case "netstat":
            return re.sub(rb'"interface-name":', b'"expire-time": 1134, "interface-name":', out)
        case "ifconfig":
            out = re.sub(rb"(\tmedia: .*\n)", rb"\1\tstatus: no carrier\n", out)
            return re.sub(rb"(\tgroups: .*\n)", rb"\tnd6 options=29<PERFORMNUD>\n\1", out)
        case "jls":
            return re.sub(rb'"jid":("?)(\d+)', rb'"jid":\g<1>9\2', out)
        case "ps":
            return re.sub(rb"(?m)^ *(\d+) +(\d+)", rb" 9\1 9\2", out)
        case "pfctl" if "info" in result.command.argv:
            return re.sub(rb"for 0 days", b"for 3 days", out) + b"\n  match 5512 0.3/s\n"
    return out


def test_nothing_moves_by_itself() -> None:
    world = fresh()
    assert world.apply(TWO).ok
    before = world.facts(*TWO.agents)
    advance(world.machine, 86_400)
    world.sh("touch", "/etc/pf.conf")
    drifting = Drifting(world.machine)
    assert read_facts(drifting, list(TWO.agents)).digest == before.digest
    assert drifting.moved == {"netstat", "ifconfig", "jls", "ps", "pfctl"}
    world.sh("service", "atlas", "restart")
    world.sh("bastille", "restart", "atlasgit")
    assert changed(before, world.facts(*TWO.agents)) <= {"interfaces"}, "a jail's epair may get another MAC address"


def changed(before: Facts, after: Facts) -> set[str]:
    one, other = facts_parts(before), facts_parts(after)
    assert (before.digest == after.digest) == (one == other)
    return {name for name in one if one[name] != other[name]}


@pytest.mark.parametrize("part", list(CHANGES))
def test_what_somebody_changes_is_seen_and_named(part: str) -> None:
    world = fresh()
    before = world.facts()
    world.sh(*CHANGES[part])
    assert part in changed(before, world.facts())


def test_no_secret_of_the_host_is_in_the_digest() -> None:
    world: World = fresh()
    path = "/usr/local/etc/warden/agents/atlas.env"
    world.sh("mkdir", "-p", path.rpartition("/")[0])
    seen = []
    for text in ("T='one'\n", "T='other'\n", "T='other'\nU='1'\n"):
        world.sh("/bin/sh", "-c", 'umask 077; printf "%s" "$1" > "$2"', "sh", text, path)
        seen.append(world.facts().digest)
    assert seen[0] == seen[1] != seen[2]


def test_a_secret_that_changed_makes_a_shown_plan_stale() -> None:
    world = fresh()
    host = RecordingHost(world.machine)
    one, other = (spec_of(agent_spec("atlas", "10.0.1.0/24", (), env={"T": value})) for value in ("one", "other"))
    shown = make_plan(one, ["atlas"], read_facts(host, ["atlas"]))
    now = make_plan(other, ["atlas"], read_facts(host, ["atlas"]))
    assert shown.digest == now.digest, "whoever guessed the secret could tell from what is shown"
    assert shown.fingerprint != now.fingerprint
    with pytest.raises(MovedError):
        carry_out(
            host,
            lambda reached: read_facts(reached, ["atlas"]),
            lambda facts: make_plan(other, ["atlas"], facts),
            HOLDER,
            shown=shown,
        )
    assert "atlas" not in world.facts().registry


def test_the_parts_of_a_spec() -> None:
    before = spec_parts(TWO)
    clawdie, atlas = TWO.agents["clawdie"], TWO.agents["atlas"]
    assert spec_parts(spec_of(replace(clawdie, env={"TOKEN": "another"}), atlas)) == before
    assert spec_parts(replace(TWO, notes={"atlas": ("x",)}, positions={"atlas": (1, 1)})) == before
    edited = spec_parts(spec_of(replace(clawdie, env={"OTHER": "hush hush"}), replace(atlas, command=("a", "b"))))
    assert {name for name in before if before[name] != edited[name]} == {"agent clawdie", "agent atlas"}


def test_two_values_have_the_same_digest_only_if_they_are_the_same() -> None:
    values = [[], [[]], ["a", "b"], ["a,b"], ["a'", "b"], {"a": "b"}, frozenset("ab"), "1", 1, b"1", None, "None", True]
    assert len({digest_of(value) for value in values}) == len(values)
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
