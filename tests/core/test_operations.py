"""An operation from its acceptance to its end, and what may come between."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text

from core.contract import channels
from core.contract.errors import Conflict, NoCapacity, NotFound
from core.contract.messages import Failure, encode
from core.contract.states import Observed
from core.contract.vms import Observation
from core.dispatch import Dispatch
from core.models import Host, Operation, Vm
from core.services import events, listing, lookup, operations, vms
from core.services.context import Actor
from core.services.intake import inbox, inventories, sweeps


def test_a_vm_is_created_started_and_deleted(transaction: Any, actor: Actor, host: str, helpers: Any) -> None:
    helpers.do(lambda s: vms.create(s, actor, helpers.request("web")), Observed.STOPPED)
    assert helpers.status(actor, "web") == "created"
    helpers.do(lambda s: vms.start(s, actor, "web"), Observed.RUNNING)
    assert helpers.status(actor, "web") == "running"
    helpers.do(lambda s: vms.delete(s, actor, "web"), Observed.ABSENT)
    with transaction() as session:
        with pytest.raises(NotFound):
            lookup.vm(session, actor, "web")
        row = session.get_one(Host, host)
        assert (row.reserved_vcpus, row.reserved_memory_mb, row.reserved_disk_gb) == (0, 0, 0)
        kinds = [note.type for note in events.replay(session, replace(actor, role="admin"), 0)]
    assert kinds.count("vm_created") == kinds.count("vm_deleted") == 1
    assert kinds.count("status_change") == 4  # creating→created, →starting→running, →deleting


def test_of_two_starts_at_once_one_is_refused(transaction: Any, actor: Actor, host: str, helpers: Any) -> None:
    helpers.do(lambda s: vms.create(s, actor, helpers.request("web")), Observed.STOPPED)

    def start(_: int) -> str:
        try:
            with transaction() as session:
                return vms.start(session, actor, "web").state
        except Conflict as error:
            return error.code

    with ThreadPoolExecutor(8) as pool:
        outcomes = sorted(pool.map(start, range(8)))
    assert outcomes == ["conflict"] * 7 + ["queued"]


def test_fifty_creates_at_once_never_overbook(transaction: Any, actor: Actor, host: str, helpers: Any) -> None:
    def create(number: int) -> str:
        try:
            with transaction() as session:
                return vms.create(session, actor, helpers.request(f"vm-{number}")).state
        except NoCapacity as error:
            return f"{error.code} on {error.details['rejected'][0]['host']}"

    with ThreadPoolExecutor(50) as pool:
        outcomes = list(pool.map(create, range(50)))
    assert sorted(outcomes) == ["insufficient_resources on host-a"] * 46 + ["queued"] * 4
    with transaction() as session:
        assert session.get_one(Host, host).reserved_vcpus == 4
        assert session.scalar(select(func.count()).select_from(Vm)) == 4


def test_delete_wins_over_what_is_under_way(transaction: Any, actor: Actor, host: str, helpers: Any) -> None:
    with transaction() as session:
        create = vms.create(session, actor, helpers.request("web"))
    with transaction() as session:
        delete = vms.delete(session, actor, "web")
    with transaction() as session:
        assert operations.get(session, actor, create.id).state == "cancelled"
        assert vms.delete(session, actor, "web").id == delete.id
    helpers.tell(create, "succeeded", Observed.STOPPED)  # too late: the operation has ended
    assert helpers.status(actor, "web") == "deleting"
    helpers.tell(delete, "succeeded", Observed.ABSENT)
    with transaction() as session, pytest.raises(NotFound):
        lookup.vm(session, actor, "web")


def test_a_report_twice_or_out_of_order_changes_nothing(
    transaction: Any, actor: Actor, host: str, helpers: Any
) -> None:
    helpers.do(lambda s: vms.create(s, actor, helpers.request("web")), Observed.STOPPED)
    with transaction() as session:
        start = vms.start(session, actor, "web")
    begun = helpers.report(start, "begun", Observed.STOPPED)
    done = helpers.report(start, "succeeded", Observed.RUNNING)
    for told in (done, begun, done):
        helpers.apply(told)
    assert helpers.status(actor, "web") == "running"
    with transaction() as session:
        assert operations.get(session, actor, start.id).state == "succeeded"
        ends = [n for n in events.replay(session, actor, 0) if n.data.get("state") == "succeeded"]
    assert len(ends) == 2  # the create's and the start's


def test_a_failed_create_frees_its_room_and_its_name(transaction: Any, actor: Actor, host: str, helpers: Any) -> None:
    with transaction() as session:
        create = vms.create(session, actor, helpers.request("web"))
    failure = Failure("image_not_found", "no such image")
    helpers.apply(helpers.report(create, "failed", Observed.ABSENT, failure=failure))
    assert helpers.status(actor, "web") == "failed"
    with transaction() as session:
        assert session.get_one(Host, host).reserved_vcpus == 0
        assert vms.create(session, actor, helpers.request("web")).state == "queued"


def test_a_lost_message_is_sent_again_with_a_higher_attempt(
    transaction: Any, actor: Actor, host: str, helpers: Any, dispatch: Dispatch
) -> None:
    with transaction() as session:
        create = vms.create(session, actor, helpers.request("web"))
    dispatch.redis.flushall()
    with transaction() as session:
        assert sweeps.resend(session, timedelta(seconds=5)) == 0  # too soon
        session.execute(text("UPDATE operations SET send_at = now()"))
    with transaction() as session:
        assert sweeps.resend(session, timedelta(seconds=5)) == 1
    assert dispatch.redis.llen(channels.command_queue(host)) == 1
    with transaction() as session:
        assert session.get_one(Operation, create.id).attempt == 2


def test_what_a_dead_agent_had_taken_is_sent_to_the_next(
    transaction: Any, actor: Actor, host: str, helpers: Any, dispatch: Dispatch
) -> None:
    with transaction() as session:
        vms.create(session, actor, helpers.request("web"))
    assert dispatch.redis.delete(channels.command_queue(host)) == 1  # as if popped
    for boot, sent in (("boot", 0), ("another", 1)):
        with transaction() as session:
            inventories.record(session, replace(helpers.inventory(host), boot_id=boot))
        with transaction() as session:
            assert sweeps.resend(session, timedelta(seconds=5)) == sent, boot
    assert dispatch.redis.llen(channels.command_queue(host)) == 1


def test_what_a_host_says_at_once_is_applied_in_its_order(
    transaction: Any, actor: Actor, host: str, helpers: Any
) -> None:
    for name in ("web", "db"):
        helpers.do(lambda s, name=name: vms.create(s, actor, helpers.request(name)), Observed.STOPPED)
        helpers.do(lambda s, name=name: vms.start(s, actor, name), Observed.RUNNING)
    with transaction() as session:
        web = vms.stop(session, actor, "web", grace_seconds=0, force=True)
        db = vms.stop(session, actor, "db", grace_seconds=0, force=True)
    said = [
        ("report", helpers.report(web, "begun")),
        ("inventory", helpers.inventory(host, [Observation(each.vm_id, Observed.RUNNING) for each in (web, db)])),
        ("report", helpers.report(web, "succeeded", Observed.STOPPED)),
        ("report", helpers.report(db, "succeeded", Observed.STOPPED)),
    ]
    entries = [f'{{"kind":"{kind}","body":{encode(message)}}}'.encode() for kind, message in said]
    with transaction() as session:
        for step in inbox.steps(host, entries):
            inbox.record(session, host, step)
    assert [helpers.status(actor, name) for name in ("web", "db")] == ["stopped", "stopped"]
    with transaction() as session:
        found = lookup.vm(session, actor, "web")
        assert (found.wanted, operations.get(session, actor, web.id).state) == ("stopped", "succeeded")


def test_what_runs_past_its_deadline_fails_visibly(transaction: Any, actor: Actor, host: str, helpers: Any) -> None:
    with transaction() as session:
        create = vms.create(session, actor, helpers.request("web"))
        session.execute(text("UPDATE operations SET deadline_at = now() - interval '1 hour'"))
    with transaction() as session:
        [late] = sweeps.late(session)
        sweeps.expire(session, *late)
    with transaction() as session:
        ended = operations.get(session, actor, create.id)
    assert ended.state == "failed"
    assert ended.error is not None
    assert ended.error["code"] == "deadline_exceeded"


def test_an_inventory_marks_what_crashed_adopts_and_names_orphans(
    transaction: Any, actor: Actor, host: str, helpers: Any
) -> None:
    helpers.do(lambda s: vms.create(s, actor, helpers.request("web")), Observed.STOPPED)
    helpers.do(lambda s: vms.start(s, actor, "web"), Observed.RUNNING)
    with transaction() as session:
        vm_id = lookup.vm(session, actor, "web").id
        seen = [Observation(vm_id, Observed.CRASHED), Observation("vm-stranger", Observed.RUNNING)]
        inventories.record(session, helpers.inventory(host, seen))
    assert helpers.status(actor, "web") == "crashed"
    with transaction() as session:
        assert session.get_one(Host, host).orphans == ["vm-stranger"]


def test_a_silent_host_makes_its_vms_unknown_until_it_is_back(
    transaction: Any, actor: Actor, host: str, helpers: Any
) -> None:
    helpers.do(lambda s: vms.create(s, actor, helpers.request("web")), Observed.STOPPED)
    with transaction() as session:
        session.execute(text("UPDATE hosts SET last_seen_at = now() - interval '1 minute'"))
    with transaction() as session:
        sweeps.heartbeats(session, timedelta(seconds=15))
    assert helpers.status(actor, "web") == "unknown"
    with transaction() as session:
        session.execute(text("UPDATE hosts SET last_seen_at = now()"))
        sweeps.heartbeats(session, timedelta(seconds=15))
    assert helpers.status(actor, "web") == "created"


def test_another_users_vm_is_not_there(transaction: Any, actor: Actor, host: str, helpers: Any) -> None:
    helpers.do(lambda s: vms.create(s, actor, helpers.request("web")), Observed.STOPPED)
    other: Actor = helpers.user("bob")
    for act in (vms.start, vms.delete, listing.view):
        change: Callable[..., Any] = act
        with transaction() as session, pytest.raises(NotFound):
            change(session, other, "web")
