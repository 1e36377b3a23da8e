# SPDX-License-Identifier: BSD-2-Clause
"""What is left of a jail whose `bastille create`, `start` or `destroy` was killed (session 13): apply makes it good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.engine.conftest import TWO, agent_spec, differences, fresh, spec_of, what_matters
from warden.host.fake.faults import Faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.engine.conftest import World

JAILS = "/usr/local/bastille/jails"
DATASET = "zroot/bastille/jails"
CREATE = ("create", "-B", "-M", "-g", "10.0.1.1", "atlasgit", "15.1-RELEASE", "10.0.1.2/24", "warden0")
ONE = spec_of(agent_spec("atlas", "10.0.1.0/24", ("git", "db")))


def datasets_only(world: World) -> None:
    world.sh("zfs", "create", f"{DATASET}/atlasgit")
    world.sh("zfs", "create", f"{DATASET}/atlasgit/root")


def one_dataset_only(world: World) -> None:
    world.sh("zfs", "create", f"{DATASET}/atlasgit")


def without_settings(world: World) -> None:
    """Killed after 1 s: jail.conf and fstab, and nothing else."""
    without_rc_conf(world)
    world.sh("rm", f"{JAILS}/atlasgit/settings.conf")


def without_rc_conf(world: World) -> None:
    """Killed after 2 s: the jail's own files are there, but for its rc.conf."""
    world.sh("bastille", *CREATE)
    world.sh("bastille", "stop", "atlasgit")
    world.sh("rm", f"{JAILS}/atlasgit/root/etc/rc.conf")


def running_without_address(world: World) -> None:
    """Killed after 4 s, when it had been started for the first time; or somebody started what was left."""
    without_rc_conf(world)
    world.sh("bastille", "start", "atlasgit")


def mounts_and_epair_left(world: World) -> None:
    """Killed after 7 s, when it was about to start: not running, and all that a start needs is in the way."""
    without_rc_conf(world)
    leave_mounts_and_epair(world)


def leave_mounts_and_epair(world: World) -> None:
    world.sh(
        "mount",
        "-t",
        "nullfs",
        "-o",
        "ro",
        "/usr/local/bastille/releases/15.1-RELEASE",
        f"{JAILS}/atlasgit/root/.bastille",
    )
    world.sh("mount", "-t", "devfs", "devfs", f"{JAILS}/atlasgit/root/dev")
    leave_epair(world)


def leave_epair(world: World) -> None:
    end = world.sh("ifconfig", "epair", "create").strip()
    world.sh("ifconfig", end, "up", "name", "e0a_atlasgit")
    world.sh("ifconfig", end.removesuffix("a") + "b", "up", "name", "e0b_atlasgit")


def only_the_mark_is_missing(world: World) -> None:
    world.sh("bastille", *CREATE)


def without_a_jail_conf_and_running(world: World) -> None:
    world.sh("bastille", *CREATE)
    world.sh("rm", f"{JAILS}/atlasgit/jail.conf")


DEBRIS: list[Callable[[World], None]] = [
    datasets_only,
    one_dataset_only,
    without_settings,
    without_rc_conf,
    running_without_address,
    mounts_and_epair_left,
    leave_epair,
    only_the_mark_is_missing,
    without_a_jail_conf_and_running,
]


def stop(world: World) -> None:
    world.sh("bastille", "stop", "atlasgit")


def start_was_killed(world: World) -> None:
    stop(world)
    leave_mounts_and_epair(world)


def start_failed(world: World) -> None:
    stop(world)
    leave_epair(world)


def destroy_was_killed(world: World) -> None:
    """It had been unmarked, stopped, and lost its root; its own dataset was still to go."""
    world.sh("zfs", "inherit", "warden:agent", f"{DATASET}/atlasgit")
    stop(world)
    world.sh("zfs", "destroy", "-rf", f"{DATASET}/atlasgit/root")


WHOLE: list[Callable[[World], None]] = [stop, start_was_killed, start_failed, destroy_was_killed]


def goal(world: World) -> dict[str, Any]:
    assert world.apply(ONE).ok
    return what_matters(world.machine)


@pytest.mark.parametrize("reboot", [False, True], ids=["", "reboot"])
@pytest.mark.parametrize("debris", DEBRIS, ids=lambda debris: debris.__name__)
def test_apply_makes_a_jail_anew_whose_create_was_cut_off(
    world: World, debris: Callable[[World], None], *, reboot: bool
) -> None:
    cut = world.apply(ONE, Faults(fail_match="atlasgit 15.1-RELEASE"))
    assert not cut.ok
    debris(world)
    if reboot:
        world.reboot()
    done = world.apply(ONE)
    assert done.ok, done.trouble
    assert differences(what_matters(world.machine), goal(fresh())) == []


@pytest.mark.parametrize("debris", DEBRIS, ids=lambda debris: debris.__name__)
def test_destroy_leaves_nothing_of_a_jail_whose_create_was_cut_off(
    world: World, debris: Callable[[World], None]
) -> None:
    before = what_matters(world.machine)
    world.apply(ONE, Faults(fail_match="atlasgit 15.1-RELEASE"))
    debris(world)
    done = world.destroy("atlas")
    assert done.ok, done.trouble
    assert differences(what_matters(world.machine), before) == []


@pytest.mark.parametrize("reboot", [False, True], ids=["", "reboot"])
@pytest.mark.parametrize("harm", WHOLE, ids=lambda harm: harm.__name__)
def test_apply_brings_a_whole_jail_up_again(world: World, harm: Callable[[World], None], *, reboot: bool) -> None:
    assert world.apply(ONE).ok
    harm(world)
    if reboot:
        world.reboot()
    done = world.apply(ONE)
    assert done.ok, done.trouble
    assert differences(what_matters(world.machine), goal(fresh())) == []


@pytest.mark.parametrize("harm", WHOLE, ids=lambda harm: harm.__name__)
def test_destroy_takes_a_jail_in_whatever_state_it_is(world: World, harm: Callable[[World], None]) -> None:
    before = what_matters(world.machine)
    assert world.apply(ONE).ok
    harm(world)
    done = world.destroy("atlas")
    assert done.ok, done.trouble
    assert differences(what_matters(world.machine), before) == []


def test_a_jail_that_is_not_wardens_is_never_taken_for_debris(world: World) -> None:
    world.sh("ifconfig", "bridge", "create", "name", "mine0")
    world.sh("bastille", "create", "-B", "-M", "-g", "172.31.5.1", "atlasgit", "15.1-RELEASE", "172.31.5.2/24", "mine0")
    before = what_matters(world.machine)
    cut = world.apply(ONE)
    assert cut.report is None
    assert "atlasgit that is not Warden's" in str(cut.raised)
    assert differences(what_matters(world.machine), before) == []


def test_a_name_that_another_jail_begins_with_never_reaches_that_one(world: World) -> None:
    """Bastille takes `atlasgit` for `atlasgitold` where there is no atlasgit."""
    world.sh("ifconfig", "bridge", "create", "name", "mine0")
    world.sh(
        "bastille", "create", "-B", "-M", "-g", "172.31.5.1", "atlasgitold", "15.1-RELEASE", "172.31.5.2/24", "mine0"
    )
    world.apply(ONE, Faults(fail_match="atlasgit 15.1-RELEASE"))
    datasets_only(world)
    assert world.apply(ONE).ok
    assert world.destroy("atlas", spec=TWO).ok
    assert list(world.machine.jails) == ["atlasgitold"]
