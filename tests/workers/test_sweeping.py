"""A round of sweeps: one worker at a time, each part by itself, and deadlocks that end well."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from core import bounded, database
from core.contract import channels
from core.contract.errors import Busy
from core.contract.hosts import Heartbeat
from core.contract.messages import encode
from core.database import transact
from core.models.base import now
from tests.support.waiting import until
from tests.workers.conftest import Workers
from workers import sweeping
from workers.sweeping import SweepFailed


def test_one_worker_sweeps_at_a_time_and_the_lock_holds_for_the_round(workers: Workers) -> None:
    first, second = workers.context.engine, workers.another().engine
    with database.exclusively(first, 1) as mine:
        assert mine
        for _ in range(3):  # transactions of the holder come and go
            with workers.context.transaction() as session:
                session.execute(text("SELECT 1"))
            with database.exclusively(second, 1) as theirs:
                assert not theirs
    with database.exclusively(second, 1) as theirs:
        assert theirs


def test_a_round_is_left_to_the_worker_that_is_at_it(workers: Workers) -> None:
    with database.exclusively(workers.another().engine, sweeping.LOCK):
        assert sweeping.sweep(workers.context) == "another worker is sweeping"
    assert workers.redis.get(channels.SWEPT) is None
    sweeping.sweep(workers.context)
    assert workers.redis.get(channels.SWEPT) is not None


def test_the_lock_goes_with_the_connection_of_a_worker_that_dies(workers: Workers) -> None:
    ended = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = 1"
    with database.exclusively(workers.context.engine, 1) as mine:
        assert mine
        with workers.another().engine.begin() as connection:
            connection.execute(text(ended))
        with database.exclusively(workers.another().engine, 1) as theirs:
            assert theirs
    with database.exclusively(workers.context.engine, 1) as mine:
        assert mine


def test_a_part_that_fails_does_not_stop_the_rest(workers: Workers) -> None:
    workers.receiver()
    workers.send("host-a", workers.inventory("host-a"))
    until(lambda: workers.joined("host-a"))
    late = workers.create("web", "host-a")
    with workers.context.engine.begin() as connection:
        connection.execute(text("UPDATE operations SET deadline_at = now() - interval '1 hour'"))
    workers.redis.acl_setuser("default", enabled=True, commands=["-strlen"])
    try:
        with pytest.raises(SweepFailed, match=r"failed: heartbeats, problems of hosts$"):
            sweeping.sweep(workers.context)
    finally:
        workers.redis.acl_setuser("default", enabled=True, commands=["+strlen"])
    assert workers.state(late) == "failed"
    sweeping.sweep(workers.context)


FLOOD = 4 * 2**20
BAD_BEATS = {
    "not JSON": b"garbage",
    "deep": b"[" * 100_000,
    "another's": encode(Heartbeat("host-b", "boot", 1.0)).encode(),
    "of many bytes": encode(Heartbeat("host-x", "boot", 1.0)).encode().ljust(bounded.SHORT + 2, b"x"),
    "no time": b'{"host":"host-x","boot_id":"b","at":NaN}',
    "time without end": encode(Heartbeat("host-x", "boot", 1e300)).encode(),
    "a time that no calendar knows": encode(Heartbeat("host-x", "boot", 1e18)).encode(),
}


@pytest.mark.parametrize("beat", BAD_BEATS.values(), ids=BAD_BEATS.keys())
def test_a_heartbeat_that_can_t_be_read_is_removed_and_the_others_count(workers: Workers, beat: bytes) -> None:
    workers.receiver()
    for host in ("host-a", "host-b", "host-x"):
        workers.send(host, workers.inventory(host))
        until(lambda host=host: workers.joined(host))  # type: ignore[misc]
    with workers.context.engine.begin() as connection:
        connection.execute(text("UPDATE hosts SET last_seen_at = now() - interval '1 hour'"))
    workers.redis.set(channels.heartbeat("host-x"), beat)
    at = now().timestamp()
    for host in ("host-a", "host-b"):
        workers.redis.set(channels.heartbeat(host), encode(Heartbeat(host, "boot", at)))
    sweeping.sweep(workers.context)
    assert not workers.redis.exists(channels.heartbeat("host-x"))
    assert workers.scalar("SELECT count(*) FROM hosts WHERE offline_since IS NULL") == 2


def test_what_a_host_writes_without_end_is_not_carried_by_the_sweep(workers: Workers) -> None:
    workers.receiver()
    workers.send("host-x", workers.inventory("host-x"))
    until(lambda: workers.joined("host-x"))
    for name in (channels.heartbeat("host-x"), channels.usage("host-x"), channels.claim("host-x")):
        workers.redis.set(name, b"x" * FLOOD)
    before: Any = workers.redis.info("stats")
    sweeping.sweep(workers.context)
    after: Any = workers.redis.info("stats")
    assert after["total_net_output_bytes"] - before["total_net_output_bytes"] < FLOOD
    assert not workers.redis.exists(channels.heartbeat("host-x"))


def test_a_crosswise_change_of_two_vms_ends_well(workers: Workers) -> None:
    """Each of two transactions locks one VM and then wants the other's: PostgreSQL ends one, which is tried again."""
    workers.receiver()
    for host in ("host-a", "host-b"):
        workers.send(host, workers.inventory(host))
        until(lambda host=host: workers.joined(host))  # type: ignore[misc]
    ids = [workers.create(host, host).vm_id for host in ("host-a", "host-b")]
    tries: list[str] = []
    both_hold_one = threading.Barrier(2)

    def change(first: str, second: str) -> Any:
        def work(session: Session) -> None:
            tries.append(first)
            session.execute(text("UPDATE vms SET os_type = os_type || 'x' WHERE id = :id"), {"id": first})
            if tries.count(first) == 1:
                both_hold_one.wait(10)
            session.execute(text("UPDATE vms SET os_type = os_type || 'x' WHERE id = :id"), {"id": second})

        return transact(workers.context.transaction, work)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(change, *ids), pool.submit(change, *reversed(ids))]:
            done.result(30)
    assert len(tries) == 3
    assert workers.scalar("SELECT min(os_type) FROM vms") == workers.scalar("SELECT max(os_type) FROM vms") == "linuxxx"


def test_a_lock_that_stays_is_told_as_what_it_is(workers: Workers) -> None:
    workers.receiver()
    workers.send("host-a", workers.inventory("host-a"))
    until(lambda: workers.joined("host-a"))
    workers.create("web", "host-a")
    statement = text("SELECT 1 FROM vms FOR UPDATE")
    with workers.context.engine.begin() as holder:
        holder.execute(statement)
        with pytest.raises(Busy, match="conflicts with others"):
            transact(workers.context.receiving, lambda session: session.execute(statement), within=0)
        slow = text("SELECT pg_sleep(8)")
        with pytest.raises(Busy):
            transact(workers.context.receiving, lambda session: session.execute(slow), within=0)


def test_late_operations_are_ended_one_vm_a_transaction(workers: Workers) -> None:
    """A VM that somebody holds does not keep the others from their end."""
    workers.receiver()
    workers.send("host-a", workers.inventory("host-a"))
    until(lambda: workers.joined("host-a"))
    operations = sorted((workers.create(f"web-{n}", "host-a") for n in range(3)), key=lambda each: each.vm_id)
    with workers.context.engine.begin() as connection:
        connection.execute(text("UPDATE operations SET deadline_at = now() - interval '1 hour'"))
    with workers.context.engine.begin() as holder, ThreadPoolExecutor(1) as pool:
        holder.execute(text("SELECT 1 FROM vms WHERE id = :id FOR UPDATE"), {"id": operations[-1].vm_id})
        swept = pool.submit(sweeping.sweep, workers.context)
        until(lambda: [workers.state(each) for each in operations[:-1]] == ["failed", "failed"])
        assert workers.state(operations[-1]) == "queued"
        holder.rollback()
        swept.result(30)
    assert workers.state(operations[-1]) == "failed"
