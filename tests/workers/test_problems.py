"""What is wrong with a host beside its hypervisors: its clock, its disk, and a second agent of its name."""

from __future__ import annotations

import time
from typing import Any

import pytest

from core.contract import channels
from core.contract.errors import NoCapacity
from core.contract.hosts import Heartbeat, HostUsage
from core.contract.messages import encode
from core.contract.states import Observed
from core.contract.vms import Observation
from tests.support.waiting import until
from tests.workers.conftest import Workers
from workers import sweeping


def problems(workers: Workers, host: str = "host-a") -> dict[str, Any]:
    sweeping.sweep(workers.context)
    found: dict[str, Any] = workers.scalar("SELECT problems FROM hosts WHERE name = :name", name=host)
    return found


def events(workers: Workers) -> list[tuple[str, str]]:
    query = "SELECT coalesce(json_agg(json_build_array(type, data ->> 'problem') ORDER BY seq), '[]') FROM events"
    return [(type_, problem) for type_, problem in workers.scalar(query) if problem]


def beat(workers: Workers, at: float) -> None:
    workers.redis.set(channels.heartbeat("host-a"), encode(Heartbeat("host-a", "boot", at)))


def use(workers: Workers, free_mb: int) -> None:
    usage = HostUsage("host-a", time.time(), "m", "d", 1.0, 1, 1024, 512, 100_000, 1_000, free_mb)
    workers.redis.set(channels.usage("host-a"), encode(usage))


@pytest.fixture
def joined(workers: Workers) -> Workers:
    workers.receiver()
    workers.send("host-a", workers.inventory("host-a", home_id="home-1"))
    until(lambda: workers.joined("host-a"))
    return workers


@pytest.mark.parametrize("off", [-600.0, 600.0])
def test_a_host_whose_clock_is_off_is_heard_all_the_same(joined: Workers, off: float) -> None:
    beat(joined, time.time() + off)
    assert set(problems(joined)) == {"clock"}
    assert joined.scalar("SELECT offline_since FROM hosts") is None
    assert joined.scalar("SELECT last_seen_at > now() - interval '10 seconds' FROM hosts")
    beat(joined, time.time())
    assert problems(joined) == {}
    assert events(joined) == [("host_problem", "clock"), ("host_problem_over", "clock")]


def test_a_beat_that_does_not_change_is_no_sign_of_life(joined: Workers) -> None:
    beat(joined, time.time() + 3600)
    sweeping.sweep(joined.context)
    with joined.context.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE hosts SET last_seen_at = now() - interval '1 minute'")
    sweeping.sweep(joined.context)
    assert joined.scalar("SELECT offline_since FROM hosts") is not None
    beat(joined, time.time() + 3602)
    sweeping.sweep(joined.context)
    assert joined.scalar("SELECT offline_since FROM hosts") is None


def test_a_host_with_little_disk_left_takes_no_new_vms_and_says_why(joined: Workers) -> None:
    use(joined, 5000)
    assert problems(joined) == {}
    use(joined, 2000)
    assert "takes no new VMs" in problems(joined)["low_disk"]["message"]
    with pytest.raises(NoCapacity) as refused:
        joined.create("web", "host-a")
    assert refused.value.details["rejected"] == [
        {"host": "host-a", "reason": "has less than 2048 MB of disk left, so it takes no new VMs"}
    ]
    use(joined, 2100)  # on the edge
    assert set(problems(joined)) == {"low_disk"}
    use(joined, 3000)
    assert problems(joined) == {}
    joined.create("web", "host-a")


def test_nothing_is_believed_of_an_agent_from_another_home(joined: Workers) -> None:
    created = joined.create("web", "host-a")
    joined.send("host-a", joined.report(created, "succeeded", Observed.STOPPED))
    until(lambda: joined.state(created) == "succeeded")
    stranger = joined.inventory("host-a", home_id="home-2", boot_id="another", vcpus=1)
    joined.send("host-a", stranger)
    until(lambda: joined.left("host-a") == 0)
    row = joined.row("SELECT boot_id, vcpus, home_id FROM hosts")
    assert tuple(row) == ("boot", 64, "home-1")
    assert joined.scalar("SELECT observed FROM vms") == "stopped"
    assert set(problems(joined)) == {"impostor"}
    assert events(joined) == [("host_problem", "impostor")]
    joined.redis.delete(channels.claim("host-a"))  # as it lapses
    assert problems(joined) == {}
    joined.send("host-a", joined.inventory("host-a", Observation(created.vm_id, Observed.RUNNING), home_id="home-1"))
    until(lambda: joined.scalar("SELECT observed FROM vms") == "running")


def test_redis_knows_again_whose_each_name_is(joined: Workers) -> None:
    sweeping.sweep(joined.context)
    assert joined.redis.get(channels.home("host-a")) == b"home-1"
    joined.redis.flushdb()
    sweeping.sweep(joined.context)
    assert joined.redis.get(channels.home("host-a")) == b"home-1"
