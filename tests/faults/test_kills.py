"""`kill -9` of each process at its worst moment: what was accepted ends, and nothing runs twice."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest
import redis
import requests
from sqlalchemy import text

from tests.support.waiting import until

HYPERVISOR = "fake"


def test_api_killed_after_the_commit_and_before_the_hand_over(rig: Any) -> None:
    rig.create("handover")
    rig.fleet.kill("redis", hold=True)  # the commit goes through, the message can't
    try:
        asking = threading.Thread(target=_ask_in_vain, args=(rig, "/vms/handover/start"))
        asking.start()
        accepted = "SELECT count(*) FROM operations WHERE vm_name = 'handover' AND kind = 'start'"
        until(lambda: rig.row(accepted)[0] == 1, why="the start was committed")
        rig.fleet.kill("api", hold=True)
        asking.join()
    finally:
        rig.fleet.restart("redis")
    (operation,) = rig.row("SELECT id FROM operations WHERE vm_name = 'handover' AND kind = 'start'")
    assert rig.ended(operation) == "succeeded"
    assert rig.effects("handover")["start"] == 1
    rig.fleet.restart("api")
    until(lambda: _healthy(rig))


def test_worker_killed_between_report_and_record(rig: Any) -> None:
    rig.create("record")
    operation = rig.accept("POST", "/vms/record/start")
    with rig.engine.begin() as held:
        # The row is ours: the worker has read the report and can't record it.
        held.execute(text("SELECT 1 FROM vms WHERE name = 'record' FOR UPDATE"))
        until(lambda: rig.effects("record")["start"] == 1)
        for name in rig.fleet.plan.worker_names:
            rig.fleet.kill(name)
    assert rig.ended(operation) == "succeeded"
    assert rig.effects("record")["start"] == 1


def test_one_of_two_workers_killed(rig: Any) -> None:
    rig.create("one-of-two", slow={"start": 1.0})
    operation = rig.accept("POST", "/vms/one-of-two/start")
    rig.running(operation)
    rig.fleet.kill("worker", hold=True)
    try:
        assert rig.ended(operation) == "succeeded"
        stop = rig.accept("POST", "/vms/one-of-two/stop", {"force": True})
        assert rig.ended(stop) == "succeeded"
    finally:
        rig.fleet.restart("worker")


def test_a_slow_start_is_one_task(rig: Any) -> None:
    """Sent once: Flower shows it once. The pause after which what is lost is sent again is a second here."""
    rig.create("slow", slow={"start": 8.0})
    operation = rig.accept("POST", "/vms/slow/start")
    assert rig.ended(operation) == "succeeded"
    assert rig.row("SELECT attempt FROM operations WHERE id = :id", id=operation)[0] == 1
    assert rig.effects("slow")["start"] == 1


@pytest.mark.parametrize("moment", ["before", "during", "after"])
def test_agent_killed(rig: Any, moment: str) -> None:
    name = f"agent-{moment}"
    rig.create(name, slow={"start": 2.0})
    (host,) = rig.row("SELECT host_name FROM vms WHERE name = :name", name=name)
    agent = rig.fleet.process(host).pid
    if moment == "before":
        os.kill(agent, signal.SIGSTOP)
    operation = rig.accept("POST", f"/vms/{name}/start")
    if moment == "during":
        rig.running(operation)
    if moment == "after":
        rig.running(operation)
        broker = rig.fleet.process("redis").pid
        os.kill(broker, signal.SIGSTOP)  # the report is journaled and can't leave
        try:
            until(lambda: rig.effects(name)["start"] == 1)
            rig.fleet.kill(host)
        finally:
            os.kill(broker, signal.SIGCONT)
    else:
        rig.fleet.kill(host)
    assert rig.ended(operation) == "succeeded"
    assert rig.effects(name)["start"] == 1


def test_redis_emptied_and_restarted_with_operations_queued_and_running(rig: Any) -> None:
    names = [f"flush-{number}" for number in range(6)]
    for name in names:
        rig.create(name, slow={"start": 1.5})
    hosts = {rig.row("SELECT host_name FROM vms WHERE name = :name", name=name)[0] for name in names}
    agents = [rig.fleet.process(host).pid for host in hosts]
    running = [rig.accept("POST", f"/vms/{name}/start") for name in names[:3]]
    for operation in running:
        rig.running(operation)
    for agent in agents:
        os.kill(agent, signal.SIGSTOP)  # what comes now stays queued
    try:
        queued = [rig.accept("POST", f"/vms/{name}/start") for name in names[3:]]
        _flush(rig)
        rig.fleet.restart("redis")
        _flush(rig)
    finally:
        for agent in agents:
            os.kill(agent, signal.SIGCONT)
    for operation in running + queued:
        assert rig.ended(operation) == "succeeded"
    for name in names:
        assert rig.effects(name)["start"] == 1, name


def test_postgresql_killed_while_operations_run(rig: Any) -> None:
    rig.create("record-lost", slow={"start": 2.0})
    operation = rig.accept("POST", "/vms/record-lost/start")
    rig.running(operation)
    rig.fleet.kill("postgres", hold=True)
    answer = rig.request("GET", "/vms")
    assert answer.status_code == 503, answer.text
    rig.fleet.restart("postgres")
    until(lambda: rig.request("GET", "/vms").status_code == 200)
    assert rig.ended(operation) == "succeeded"
    assert rig.effects("record-lost")["start"] == 1


def test_delete_during_create(rig: Any) -> None:
    config = rig.fleet.home / "hosts"
    for host in rig.fleet.plan.host_names:
        (config / host / "fake.json").write_text('{"slow": {"create": 3}}')
    try:
        create = rig.accept("POST", "/vms", {"name": "brief", "memory_mb": 512, "cpus": 1, "storage_gb": 10})
        rig.running(create)
        delete = rig.accept("DELETE", "/vms/brief")
        assert rig.ended(create) == "cancelled"
        assert rig.ended(delete) == "succeeded"
    finally:
        for host in rig.fleet.plan.host_names:
            (config / host / "fake.json").unlink()
    assert rig.request("GET", "/vms/brief").status_code == 404


def _ask_in_vain(rig: Any, path: str) -> None:
    try:
        rig.request("POST", path, Prefer="respond-async")
    except requests.RequestException:  # the answer may have begun
        pass


def _healthy(rig: Any) -> bool:
    try:
        return bool(rig.request("GET", "/health").status_code == 200)
    except requests.ConnectionError:
        return False


def _flush(rig: Any) -> None:
    client = redis.Redis.from_url(rig.fleet.redis_url)
    until(lambda: _pings(client))
    client.flushall()
    client.close()


def _pings(client: Any) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
