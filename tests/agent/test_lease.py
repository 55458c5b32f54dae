"""One agent a host: a second one of its name is refused, its successor is not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent.host.lease import Lease
from agent.runtime import locked
from core.contract import channels
from tests.agent.hosts import Host
from tests.support.waiting import until


@pytest.fixture
def agent(host: Host) -> Host:
    """A host with its agent running."""
    host.start()
    return host


def another(host: Host, home: Path) -> Host:
    """An agent of the same name, in another home."""
    made = Host(home, host.url)
    made.name, made.folder = host.name, home / "hosts" / host.name
    return made


def test_a_second_agent_of_the_name_is_refused_and_told_of(agent: Host, tmp_path: Path) -> None:
    second = another(agent, tmp_path / "second")
    second.home.mkdir()
    second.start(wait=False)
    assert second.process is not None
    assert second.process.wait(60) == 1
    assert f"host '{agent.name}' belongs to another agent" in second.log()
    assert agent.redis.exists(channels.claim(agent.name))
    agent.made()
    assert agent.alive()


def test_a_copy_of_the_home_is_no_better(agent: Host, tmp_path: Path) -> None:
    """As after a machine was cloned: all is the same but the machine, here the file that is locked."""
    second = another(agent, tmp_path / "second")
    shutil.copytree(agent.folder, second.folder)
    second.start(wait=False)
    assert second.process is not None
    assert second.process.wait(60) == 1


def test_the_same_agent_started_again_goes_on_at_once(agent: Host) -> None:
    lease = agent.redis.get(channels.lease(agent.name))
    agent.kill()
    agent.redis.persist(channels.lease(agent.name))  # whoever waits for it to lapse waits for ever
    agent.start()
    assert agent.redis.get(channels.lease(agent.name)) == lease


def test_an_agent_that_ends_lets_the_next_have_the_name(agent: Host, tmp_path: Path) -> None:
    agent.terminate()
    assert not agent.redis.exists(channels.lease(agent.name))


def test_a_home_that_the_control_plane_does_not_know_is_refused_even_alone(agent: Host, tmp_path: Path) -> None:
    agent.terminate()
    agent.redis.set(channels.home(agent.name), "the home that has the VMs")
    with locked(tmp_path, agent.name) as file:
        assert not Lease(agent.name, agent.redis, file).renew()
    agent.redis.delete(channels.home(agent.name))
    with locked(tmp_path, agent.name) as file:
        assert Lease(agent.name, agent.redis, file).renew()


def test_an_agent_that_has_lost_its_name_ends(agent: Host) -> None:
    agent.redis.set(channels.lease(agent.name), "another")
    until(lambda: not agent.alive())
