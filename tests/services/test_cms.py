# SPDX-License-Identifier: BSD-2-Clause
"""What the site of an agent needs, and how its jail is set up; what of it works is tried in real/."""

from __future__ import annotations

from dataclasses import replace

from tests.services.samples import agent_with
from warden.facts.inside.cms import QUESTION
from warden.resources.desired import DesiredDataset, Mount
from warden.services import cms

AGENT, JAIL = agent_with("cms")


def test_the_agent_publishes_into_a_dataset_of_its_own() -> None:
    needs = cms.needs(AGENT, JAIL)
    folder = "/var/db/warden/atlas/site"
    assert needs.datasets == (DesiredDataset(name="zroot/warden/atlas/site", mountpoint=folder, owner="atlas:wheel"),)
    assert needs.mounts == (Mount(source=folder, target="/usr/local/www/atlas", writable=False),)
    assert needs.environment == {"CMS_URL": "http://10.0.1.2", "CMS_WEBROOT": folder}


def test_without_a_service_of_the_agent_root_publishes() -> None:
    (site,) = cms.needs(replace(AGENT, service=None), JAIL).datasets
    assert site.owner == "root:wheel"


def test_a_folder_of_the_operator_is_served_as_it_is() -> None:
    agent, jail = agent_with("cms", webroot="/home/atlas/site")
    for one in (agent, replace(agent, storage=None)):
        needs = cms.needs(one, jail)
        assert needs.datasets == ()
        assert needs.mounts == (Mount(source="/home/atlas/site", target="/usr/local/www/atlas", writable=False),)
        assert needs.environment["CMS_WEBROOT"] == "/home/atlas/site"
    assert "/home/atlas/site" in cms.setup(agent, jail).title


def test_without_storage_the_site_is_a_folder_of_the_jail() -> None:
    """Which the host has no path to that is safe, so the agent is told none."""
    needs = cms.needs(replace(AGENT, storage=None), JAIL)
    assert (needs.datasets, needs.mounts) == ((), ())
    assert needs.environment == {"CMS_URL": "http://10.0.1.2"}
    setup = cms.setup(replace(AGENT, storage=None), JAIL)
    assert setup.prepare[0].argv[-1] == "/usr/local/www/atlas"


def test_another_port() -> None:
    agent, jail = agent_with("cms", port=8080)
    assert cms.needs(agent, jail).environment["CMS_URL"] == "http://10.0.1.2:8080"
    text = cms.nginx_config(agent, jail)
    assert "listen 10.0.1.2:8080 default_server;" in text
    assert "listen 127.0.0.1:8080 default_server;" in text


def test_what_is_wanted_is_asked() -> None:
    setup = cms.setup(AGENT, JAIL)
    for file in setup.files:
        assert file.path in QUESTION
        assert "managed by warden" in file.content.decode().splitlines()[0]
    assert cms.HEALTH in QUESTION
    assert cms.LOGS in QUESTION
    assert "nginx_enable" in QUESTION


def test_the_configuration_is_tried_before_it_counts() -> None:
    setup = cms.setup(AGENT, JAIL)
    assert [command.argv[-3:] for command in setup.check] == [("/usr/local/sbin/nginx", "-t", "-q")]
    assert (setup.daemon, setup.how) == ("nginx", "reload")
