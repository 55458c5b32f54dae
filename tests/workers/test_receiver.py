"""Whatever one host sends, and whatever becomes of a worker: what the others report is recorded."""

from __future__ import annotations

import ctypes
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from core.contract import channels
from core.contract.errors import Invalid
from core.contract.messages import Report
from core.contract.states import Observed, Phase
from core.contract.vms import Observation
from core.services.monitoring import health
from tests.support.waiting import until
from tests.workers.conftest import Workers, envelope
from workers.intake import Batch, Intake
from workers.receiver import Receiver


def _report(**changes: Any) -> bytes:
    whole = {"host": "host-a", "generation": 1, "operation_id": "op-x", "attempt": 1, "phase": "begun", "at": 1.0}
    return json.dumps({"kind": "report", "body": whole | changes}).encode()


def _inventory(**changes: Any) -> bytes:
    whole = {
        "host": "host-a",
        "boot_id": "boot",
        "generation": 2**40,
        "at": 1.0,
        "vcpus": 1,
        "memory_mb": 1,
        "disk_gb": 1,
        "drivers": [],
        "images": [],
        "vms": [],
    }
    return json.dumps({"kind": "inventory", "body": whole | changes}).encode()


POISON: dict[str, bytes] = {
    "not JSON": b"garbage",
    "empty": b"",
    "not text": b"\xff\xfe\x00",
    "half a character": b'{"kind":"report","body":"\\ud800"}',
    "a list": b"[1,2]",
    "null": b"null",
    "a number": b"7",
    "not a number": b"NaN",
    "empty object": b"{}",
    "deep": b"[" * 100_000,
    "deep inside": b'{"kind":"inventory","body":' + b'{"facts":' * 50_000,
    "other kind": b'{"kind":"heartbeat","body":{}}',
    "kind is a list": b'{"kind":[],"body":{}}',
    "kind is an object": b'{"kind":{},"body":{}}',
    "no body": b'{"kind":"report"}',
    "body is a list": b'{"kind":"report","body":[]}',
    "another host's report": _report(host="host-b"),
    "another host's inventory": _inventory(host="host-b"),
    "number too large": _inventory(vcpus=2**63),
    "generation too large": _inventory(generation=2**70),
    "time without end": _inventory(at=1e300),
    "no time": b'{"kind":"inventory","body":' + _inventory(at=0)[28:-1].replace(b'"at": 0', b'"at": NaN') + b"}",
    "zero byte": _inventory(boot_id="a\0b"),
    "half a character in a name": _inventory(images=["\ud800"]),
    "facts that no table takes": _inventory(facts={"a": "\0"}),
    "less than nothing": _inventory(vcpus=-(2**40)),
    "too long": b"x" * (17 * 2**20),
}


@pytest.mark.parametrize("entry", POISON.values(), ids=POISON.keys())
def test_a_poisonous_message_is_moved_aside_once_and_the_rest_is_recorded(workers: Workers, entry: bytes) -> None:
    workers.receiver()
    workers.send("host-a", entry)
    workers.send("host-b", workers.inventory("host-b"))
    until(lambda: workers.joined("host-b"))
    until(lambda: workers.left("host-a") == 0)
    workers.send("host-a", workers.inventory("host-a"))
    until(lambda: workers.joined("host-a"))
    [dead] = workers.dead("host-a")
    assert dead["reason"]
    assert dead["entry"] == entry[: 64 * 2**10].decode(errors="backslashreplace")


def _odd_results(operation_id: str) -> dict[str, dict[str, Any]]:
    return {
        "an id that is a number": {"snapshots": 5},
        "a size that is none": {"snapshots": {operation_id: 5}},
        "disks that are none": {"disks": 5},
        "adapters that are none": {"adapters": [[]]},
    }


def test_results_of_the_wrong_shape_hold_up_nobody(workers: Workers) -> None:
    workers.receiver()
    workers.send("host-a", workers.inventory("host-a"))
    until(lambda: workers.joined("host-a"))
    created = workers.create("web", "host-a")
    odd = [workers.report(created, "succeeded", result=each) for each in _odd_results(created.id).values()]
    workers.send("host-a", *odd, workers.report(created, "succeeded", Observed.STOPPED))
    workers.send("host-b", workers.inventory("host-b"))
    until(lambda: workers.joined("host-b"))
    until(lambda: workers.left("host-a") == 0)
    assert workers.state(created) == "succeeded"


@pytest.mark.parametrize("number", [2, 3])
def test_many_workers_move_each_message_aside_once_and_lose_no_good_one(workers: Workers, number: int) -> None:
    for each in range(number):
        workers.receiver(each)
    hosts = [f"host-{n}" for n in range(4)]
    for host in hosts:
        workers.send(host, workers.inventory(host))
    until(lambda: all(workers.joined(host) for host in hosts))
    created = {host: [workers.create(f"{host}-{n}", host) for n in range(10)] for host in hosts}
    for host in hosts:
        for n, operation in enumerate(created[host]):
            workers.send(host, f"garbage {n}".encode(), workers.report(operation, "succeeded", Observed.STOPPED))
    until(lambda: all(workers.left(host) == 0 for host in hosts))
    for host in hosts:
        assert sorted(each["entry"] for each in workers.dead(host)) == sorted(f"garbage {n}" for n in range(10))
    assert workers.scalar("SELECT count(*) FROM operations WHERE state = 'succeeded'") == 10 * len(hosts)


def test_a_lost_bell_is_made_up_for(workers: Workers) -> None:
    workers.receiver()
    workers.send("host-a", workers.inventory("host-a"), wake=False)
    until(lambda: workers.joined("host-a"))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_thread_is_started_again(workers: Workers) -> None:
    receiver = workers.receiver()
    workers.send("host-a", workers.inventory("host-a"))
    until(lambda: workers.joined("host-a"))
    [thread] = [each for each in threading.enumerate() if each.name == "receiver"]
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit))
    until(lambda: not thread.is_alive())
    workers.send("host-b", workers.inventory("host-b"))
    receiver.watch()
    until(lambda: workers.joined("host-b"))


def test_health_knows_a_receiver_by_its_rounds(workers: Workers) -> None:
    assert health.of_receiver(workers.redis) == "unhealthy"
    receiver = workers.receiver()
    until(lambda: health.of_receiver(workers.redis) == "healthy")
    assert receiver.age() < 10


@pytest.fixture
def unmigrated(workers: Workers) -> Any:
    """A schema of an older release: without a column that this one writes."""

    def change(statement: str) -> None:
        with workers.context.engine.begin() as connection:
            connection.execute(text(statement))

    change("ALTER TABLE snapshots RENAME COLUMN checksum TO checksum_of_later")
    change("ALTER TABLE hosts RENAME COLUMN facts TO facts_of_later")
    migrated = threading.Event()

    def migrate() -> None:
        if not migrated.is_set():
            migrated.set()
            change("ALTER TABLE snapshots RENAME COLUMN checksum_of_later TO checksum")
            change("ALTER TABLE hosts RENAME COLUMN facts_of_later TO facts")

    yield migrate
    migrate()


def test_a_schema_that_is_not_migrated_yet_loses_nothing(workers: Workers, unmigrated: Callable[[], None]) -> None:
    workers.receiver()
    workers.send("host-a", workers.inventory("host-a"))
    until(lambda: health.of_receiver(workers.redis) == "degraded")
    assert (workers.left("host-a"), workers.dead("host-a")) == (1, [])
    unmigrated()
    until(lambda: workers.joined("host-a"))
    assert workers.dead("host-a") == []
    until(lambda: health.of_receiver(workers.redis) == "healthy")


def test_a_locked_vm_holds_up_its_own_host_alone(workers: Workers) -> None:
    workers.receiver()
    workers.send("host-a", workers.inventory("host-a"))
    until(lambda: workers.joined("host-a"))
    created = workers.create("web", "host-a")
    with workers.context.engine.begin() as connection:
        connection.execute(text("SELECT 1 FROM vms FOR UPDATE"))
        workers.send("host-a", workers.report(created, "succeeded", Observed.STOPPED))
        workers.send("host-b", workers.inventory("host-b"))
        until(lambda: workers.joined("host-b"))
        assert workers.left("host-a") == 1
    until(lambda: workers.state(created) == "succeeded")
    assert workers.dead("host-a") == []


def test_a_host_that_sends_without_end_does_not_keep_others_waiting(workers: Workers) -> None:
    first = workers.inventory("host-a")
    workers.send("host-a", first, *(b"garbage %d" % n for n in range(3000)), wake=False)
    workers.send("host-z", workers.inventory("host-z"), wake=False)
    workers.receiver()
    until(lambda: workers.joined("host-z"))
    assert workers.left("host-a") > 0


def test_a_list_that_is_none_is_left_alone(workers: Workers) -> None:
    workers.redis.set(channels.reports("host-a"), "x")
    workers.receiver()
    workers.redis.publish(channels.REPORTS_WAKEUP, "host-a")
    workers.redis.publish(channels.REPORTS_WAKEUP, b"\xff\xfe no host")
    workers.send("host-b", workers.inventory("host-b"))
    until(lambda: workers.joined("host-b"))


def test_a_broken_recording_ends_neither_thread_nor_host(workers: Workers) -> None:
    """What nobody has thought of is moved aside too: here a time that no calendar knows."""
    receiver: Receiver = workers.receiver()
    workers.send("host-a", workers.inventory("host-a"))
    until(lambda: workers.joined("host-a"))
    created = workers.create("web", "host-a")
    seen = Observation(created.vm_id, Observed.RUNNING, started_at=1e18)
    odd = Report("host-a", 2**40, created.id, 1, Phase.SUCCEEDED, 1.0, observation=seen)
    workers.send("host-a", envelope("report", odd), workers.report(created, "succeeded", Observed.STOPPED))
    until(lambda: workers.state(created) == "succeeded")
    assert len(workers.dead("host-a")) == 1
    assert receiver.age() < 10


def test_two_workers_at_one_message_move_that_one_alone(workers: Workers) -> None:
    """Both have read it, and both find that it can't be recorded: the second must not take the next for it."""
    workers.send("host-a", b"garbage", workers.inventory("host-a"), wake=False)
    for one in (Intake(workers.context), Intake(workers.another())):
        batch = Batch("host-a", 1, len(b"garbage"), [b"garbage"])
        one.move_aside(batch, Invalid("not JSON"))
    assert ([each["entry"] for each in workers.dead("host-a")], workers.left("host-a")) == (["garbage"], 1)
