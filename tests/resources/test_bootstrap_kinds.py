# SPDX-License-Identifier: BSD-2-Clause
"""What a bootstrap finds on hosts where an operator has been before, and what it refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.conftest import TWO
from tests.resources.bare_host import BareHost, new
from warden.engine.bootstrap import releases_of
from warden.facts.base_system import parse_bastille_conf, parse_loader_conf
from warden.facts.jails import JAILS
from warden.host.fake.machine import Pool
from warden.resources.base.kernel import RACCT, with_tunable
from warden.resources.errors import RefusedError


@pytest.fixture
def bare() -> BareHost:
    return new()


def test_a_host_that_is_ready_lacks_little_and_keeps_everything_else() -> None:
    base = new("ready")
    before = {path: base.text(path) for path in ("/etc/pf.conf", "/boot/loader.conf")}
    assert base.changes() == [
        *("module:pf", "module:if_bridge", "module:if_epair", "module:nullfs", "rc.conf:bastille_enable"),
    ]
    assert base.bootstrap().ok
    assert {path: base.text(path) for path in before} == before


def test_programs_that_were_put_there_by_hand_do_as_well() -> None:
    base = new("recorded")
    assert "bootstrap:pkg" in base.changes()
    assert "packages:git" in base.changes()
    base.write("/usr/local/bin/git", "")
    base.machine.files.node("/usr/local/bin/git").mode = 0o555
    assert not [change for change in base.changes() if "pkg" in change or "packages" in change]


RULES = "# mine\nset skip on lo0\nblock in all\npass in proto tcp to port 22\npass out all\n"


def test_rules_of_the_operator_that_pf_does_not_run_are_started_by_the_operator(bare: BareHost) -> None:
    """Started over SSH they would know no state of the connection that starts them."""
    bare.write("/etc/pf.conf", RULES)
    (message,) = bare.conflicts()
    assert "could cut off whoever does so over SSH" in message
    assert not bare.machine.packages
    bare.sh("kldload", "pf")
    bare.sh("sysrc", "pf_enable=YES")
    bare.sh("service", "pf", "start")
    assert bare.bootstrap().ok
    assert bare.text("/etc/pf.conf") == RULES
    assert "block drop in all" in bare.sh("pfctl", "-sr")


@pytest.mark.parametrize("loaded", [False, True])
def test_broken_rules_of_the_operator_are_a_conflict(bare: BareHost, *, loaded: bool) -> None:
    if loaded:
        bare.sh("kldload", "pf")
    bare.write("/etc/pf.conf", "pass in all\npass everything\n")
    (message,) = bare.conflicts()
    assert message == "/etc/pf.conf is broken: /etc/pf.conf:2: syntax error"
    assert not bare.machine.packages


def test_a_link_in_the_place_of_the_rules_is_not_replaced(bare: BareHost) -> None:
    bare.write("/usr/local/etc/rules", RULES)
    bare.sh("ln", "-s", "/usr/local/etc/rules", "/etc/pf.conf")
    assert bare.conflicts() == ["/etc/pf.conf is a symbolic link, and what it leads to is not read"]


def test_rules_elsewhere_are_a_conflict(bare: BareHost) -> None:
    bare.sh("sysrc", "pf_rules=/usr/local/etc/rules")
    assert "come from /usr/local/etc/rules" in bare.conflicts()[0]


def test_rules_that_are_in_no_file_are_a_conflict() -> None:
    base = new("ready")
    base.sh("rm", "/etc/pf.conf")
    assert "in no /etc/pf.conf" in base.conflicts()[0]


def test_rules_for_a_host_without_any_pass_everything(bare: BareHost) -> None:
    bare.bootstrap()
    assert bare.sh("pfctl", "-sr") == "pass all flags S/SA keep state\n"
    assert "yours from here on" in bare.text("/etc/pf.conf")
    bare.sh("sysrc", "-x", "pf_enable")
    assert not [note for note in bare.base_plan().notes if "let you in" in note.message]
    bare.sh("sysrc", "pf_enable=YES")
    bare.write("/etc/pf.conf", RULES)
    assert bare.base_plan().empty


def test_pf_that_runs_and_will_not_after_a_restart_is_enabled_for_boot_only() -> None:
    base = new("ready")
    base.bootstrap()
    base.sh("sysrc", "-x", "pf_enable")
    commands = [" ".join(command.argv) for command in base.base_plan().changes[0].commands]
    assert not any("start" in command for command in commands)
    assert base.bootstrap().ok


LOADER = b'# mine \xff\n\n\nvmm_load="YES"\n#kern.racct.enable=0\n   \nlast="line"'


def test_loader_conf_keeps_every_other_line_byte_for_byte(bare: BareHost) -> None:
    bare.machine.files.write("/boot/loader.conf", LOADER)
    bare.machine.files.node("/boot/loader.conf").mode = 0o600
    assert bare.bootstrap().ok
    assert bare.machine.files.read("/boot/loader.conf") == LOADER + b'\nkern.racct.enable="1"\n'
    assert bare.machine.files.node("/boot/loader.conf").mode == 0o600


def test_a_host_without_loader_conf_gets_one(bare: BareHost) -> None:
    bare.sh("rm", "/boot/loader.conf")
    assert bare.bootstrap().ok
    assert bare.text("/boot/loader.conf") == 'kern.racct.enable="1"\n'


def test_a_tunable_that_is_off_is_turned_on_where_it_stands(bare: BareHost) -> None:
    bare.write("/boot/loader.conf", 'a="1"\nkern.racct.enable=0 # why not\nb="2"\n')
    assert bare.bootstrap().ok
    assert bare.text("/boot/loader.conf") == 'a="1"\nkern.racct.enable="1"\nb="2"\n'


@pytest.mark.parametrize("path", ["/boot/loader.conf.local", "/boot/loader.conf.d/mine.conf"])
def test_files_that_count_more_than_loader_conf_are_heeded(bare: BareHost, path: str) -> None:
    bare.write(path, "kern.racct.enable=1\n")
    assert f"loader:{RACCT}" not in bare.changes()
    bare.write(path, 'kern.racct.enable="0"\n')
    assert bare.conflicts() == [f"{path} turns {RACCT} off: limits of agents would do nothing"]


def test_modules_that_are_loaded_at_boot_in_another_way_are_left_to_it(bare: BareHost) -> None:
    bare.write("/boot/loader.conf", 'pf_load="YES"\nif_epair_load="NO"\n')
    bare.sh("sysrc", "kld_list=/boot/kernel/if_bridge.ko fdescfs")
    bare.reboot()
    assert [change for change in bare.changes() if change.startswith("module")] == ["module:if_epair", "module:nullfs"]
    assert bare.bootstrap().ok
    assert bare.sh("sysrc", "-n", "kld_list") == "/boot/kernel/if_bridge.ko fdescfs if_epair nullfs\n"


def test_bastille_conf_keeps_what_the_operator_set_in_it(bare: BareHost) -> None:
    bare.write("/usr/local/etc/bastille/bastille.conf", '# mine\nbastille_zfs_prefix="warden"\nbastille_tzdata="UTC"\n')
    assert "storage:zroot/warden" in bare.changes()
    assert bare.bootstrap().ok
    settings = parse_bastille_conf(bare.text("/usr/local/etc/bastille/bastille.conf"))
    assert settings["bastille_tzdata"] == "UTC"
    assert settings["bastille_zfs_enable"] == "YES"
    assert "zroot/warden/jails" in bare.machine.datasets


def test_a_bastille_that_has_its_sample_only_gets_its_file_from_there(bare: BareHost) -> None:
    for argv in (("pkg", "bootstrap", "-y"), ("pkg", "install", "-y", "bastille")):
        bare.sh(*argv)
    bare.sh("rm", "/usr/local/etc/bastille/bastille.conf")
    assert bare.bootstrap().ok
    assert 'bastille_prefix="/usr/local/bastille"' in bare.text("/usr/local/etc/bastille/bastille.conf")


def test_a_bastille_in_use_without_datasets_is_a_conflict(bare: BareHost) -> None:
    for argv in (("pkg", "bootstrap", "-y"), ("pkg", "install", "-y", "bastille"), ("sysrc", "zfs_enable=NO")):
        bare.sh(*argv)
    bare.sh("bastille", "bootstrap", "15.1-RELEASE")
    assert bare.conflicts() == [f"Bastille is in use, and keeps its jails in no dataset: {JAILS} is an ordinary folder"]


def test_a_bastille_below_another_folder_is_a_conflict(bare: BareHost) -> None:
    bare.write("/usr/local/etc/bastille/bastille.conf", 'bastille_prefix="/jails"\n')
    assert "below /jails" in bare.conflicts()[0]


# the pool, the releases, the host


def with_pools(base: BareHost, *names: str) -> BareHost:
    base.machine.pools = {name: Pool(name, size=2**40, allocated=0) for name in names}
    base.machine.datasets = {
        name: dataset for name, dataset in base.machine.datasets.items() if name.partition("/")[0] in names
    }
    return base


def refusal(base: BareHost) -> str:
    with pytest.raises(RefusedError) as caught:
        base.base_plan()
    assert caught.value.hint
    return str(caught.value)


def test_the_pool_is_the_named_one_or_zroot_or_the_only_one(bare: BareHost) -> None:
    def storage(base: BareHost) -> str:
        return next(change for change in base.changes() if change.startswith("storage"))

    assert storage(with_pools(bare, "tank")) == "storage:tank/bastille"
    assert storage(with_pools(bare, "data", "zroot")) == "storage:zroot/bastille"
    assert "several pools: data, tank" in refusal(with_pools(bare, "data", "tank"))
    bare.pool = "tank"
    assert storage(bare) == "storage:tank/bastille"
    bare.pool = "nosuch"
    assert "has no pool nosuch" in refusal(bare)


def test_a_host_without_a_pool_is_refused_and_no_disk_is_taken(bare: BareHost) -> None:
    assert "has no ZFS pool" in refusal(with_pools(bare))


def test_a_pool_that_bastille_has_already_stays_its_pool() -> None:
    base = new("ready", pool="tank")
    base.machine.pools["tank"] = Pool("tank", size=2**40, allocated=0)
    assert "has its datasets on zroot, not on tank" in refusal(base)
    base.pool = None
    base.sh("sysrc", "-f", "/usr/local/etc/bastille/bastille.conf", "bastille_zfs_zpool=gone")
    assert "the pool gone, which is not there" in refusal(base)


@pytest.mark.parametrize(
    ("host", "asked", "said"),
    [
        ("13.5-RELEASE", (), "Warden manages FreeBSD 14 and later"),
        ("15.1-STABLE", (), "no files to make jails from"),
        ("14.3-RELEASE-p2", ("15.1-RELEASE",), "15.1-RELEASE is newer than"),
        ("15.1-RELEASE", ("15.1",), "'15.1' is no release"),
    ],
)
def test_releases_that_cannot_be(bare: BareHost, host: str, asked: tuple[str, ...], said: str) -> None:
    bare.machine.release = host
    bare.releases = asked
    assert said in refusal(bare)


@pytest.mark.parametrize("host", ["14.3-RELEASE-p2", "15.0-RELEASE", "15.1-STABLE"])
def test_hosts_that_can_be(bare: BareHost, host: str) -> None:
    bare.machine.release = host
    bare.releases = ["14.3-RELEASE"]
    assert bare.bootstrap().ok
    assert bare.base_plan().empty


def test_the_releases_of_a_spec_are_those_of_its_jails() -> None:
    assert releases_of(TWO, ["atlas", "clawdie"]) == ("15.1-RELEASE",)
    assert releases_of(TWO, []) == ()


# texts


@given(st.text(alphabet=st.sampled_from('kern.racct.enable=10"# \t\nxé'), max_size=120))
def test_a_tunable_is_set_and_all_other_lines_stay(text: str) -> None:
    changed = with_tunable(text, RACCT, "1")
    assert parse_loader_conf(changed)[RACCT] == "1"
    others = [line for line in text.split("\n") if not line.strip(" \t").startswith(RACCT)]
    kept = [line for line in changed.split("\n") if not line.strip(" \t").startswith(RACCT)]
    assert [line for line in kept if line] == [line for line in others if line]
    assert with_tunable(changed, RACCT, "1") == changed


def test_bastille_conf_is_read_with_its_remarks_and_quotes() -> None:
    text = 'a="YES"        ## default: "NO"\nb=plain # c\n  c=\'x y\'\nd="${a}/b"\n# e="1"\nf=""\n'
    assert parse_bastille_conf(text) == {"a": "YES", "b": "plain", "c": "x y", "d": "${a}/b", "f": ""}
