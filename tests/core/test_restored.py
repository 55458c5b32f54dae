"""What becomes of a record that was brought back: of operations, times to live, join tokens and numbers of events."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from core.contract.states import Observed
from core.models import AuditEntry, Event, JoinToken, Operation, Snapshot, Vm
from core.models.base import now
from core.services import restored, snapshots, vms
from core.services.context import Actor
from core.services.identities import tokens
from tests.core.conftest import Helpers, Transaction

ADMIN = Actor("admin", "admin", "admin")


@pytest.fixture
def vm(transaction: Transaction, actor: Actor, host: str, helpers: Helpers) -> str:
    """A stopped VM."""
    helpers.do(lambda session: vms.create(session, actor, helpers.request("one")), Observed.STOPPED)
    return "one"


def adapt(transaction: Transaction, ago: timedelta = timedelta(hours=2)) -> restored.RestoreResult:
    with transaction() as session:
        return restored.adapt(session, now() - ago, {"release": "0.1.0"})


def test_what_hosts_remember_is_asked_for_again(
    transaction: Transaction, actor: Actor, host: str, helpers: Any
) -> None:
    with transaction() as session:
        made = vms.create(session, actor, helpers.request("one"))
        operation = session.get_one(Operation, made.id)
        operation.begun_by, operation.attempt = "boot", 3
        operation.accepted_at -= timedelta(hours=2)
        operation.deadline_at -= timedelta(hours=2)
        time = operation.deadline_at - operation.accepted_at
    result = adapt(transaction)
    assert (result.going_on, result.failed) == (1, 0)
    with transaction() as session:
        operation = session.get_one(Operation, made.id)
        assert (operation.state, operation.begun_by) == ("queued", None)
        assert operation.attempt > 100
        assert operation.send_at <= now() < operation.deadline_at <= now() + time


def test_a_delete_goes_on(transaction: Transaction, actor: Actor, vm: str) -> None:
    with transaction() as session:
        vms.delete(session, actor, vm)
    assert adapt(transaction).going_on == 1


def test_all_else_has_failed_as_nobody_knows_what_came_after(
    transaction: Transaction, actor: Actor, vm: str, helpers: Helpers
) -> None:
    with transaction() as session:
        started = vms.start(session, actor, vm)
    assert adapt(transaction).failed == 1
    with transaction() as session:
        operation = session.get_one(Operation, started.id)
        assert operation.state == "failed"
        assert operation.error is not None
        assert (operation.error["code"], operation.error["retryable"]) == ("record_restored", False)
        assert session.get_one(Vm, operation.vm_id).wanted == "stopped"
        told = session.scalars(select(Event).where(Event.operation_id == started.id).order_by(Event.seq)).all()[-2:]
        assert [event.data.get("state", event.type) for event in told] == ["failed", "status_change"]
    assert helpers.status(actor, vm) == "created"


def test_a_snapshot_under_way_is_no_snapshot(transaction: Transaction, actor: Actor, vm: str) -> None:
    with transaction() as session:
        snapshots.create(session, actor, vm, name="clean", description="", include_memory=False)
        assert session.scalars(select(Snapshot.name)).all() == ["clean"]
    adapt(transaction)
    with transaction() as session:
        assert session.scalars(select(Snapshot.name)).all() == []


def test_no_vm_dies_of_a_time_that_may_have_been_made_longer(transaction: Transaction, actor: Actor, vm: str) -> None:
    later = now() + timedelta(days=1)
    for expires_at in (now() - timedelta(minutes=1), now() + timedelta(minutes=1), later, None):
        with transaction() as session:
            session.scalars(select(Vm)).one().expires_at = expires_at
        adapt(transaction)
        with transaction() as session:
            found = session.scalars(select(Vm)).one().expires_at
        if expires_at in (later, None):
            assert found == expires_at
        else:
            assert found is not None
            assert found > now() + timedelta(minutes=59)


def test_no_token_lets_a_second_machine_in(transaction: Transaction, actor: Actor) -> None:
    with transaction() as session:
        valid, old = (
            tokens.create(session, ADMIN, host=None, replaces=False, ttl_seconds=seconds, uses=1, labels={})[0]
            for seconds in (3600, -1)
        )
    assert adapt(transaction).revoked_tokens == 1
    with transaction() as session:
        assert session.get_one(JoinToken, valid.id).revoked_at is not None
        assert session.get_one(JoinToken, old.id).revoked_at is None


def test_an_events_number_is_not_given_twice(transaction: Transaction, actor: Actor, vm: str) -> None:
    with transaction() as session:
        before = session.scalars(select(Event.seq).order_by(Event.seq.desc())).first()
        assert before is not None
    adapt(transaction, timedelta(hours=1))
    with transaction() as session:
        vms.start(session, actor, vm)
    with transaction() as session:
        after = session.scalars(select(Event.seq).order_by(Event.seq.desc())).first()
        assert after is not None
        assert after > before + 3600 * 1000


def test_it_is_in_the_audit_log(transaction: Transaction, actor: Actor, vm: str) -> None:
    with transaction() as session:
        vms.start(session, actor, vm)
    adapt(transaction)
    with transaction() as session:
        entry = session.scalars(select(AuditEntry).where(AuditEntry.action_type == "restore")).one()
        assert (entry.result, entry.details) == (
            "success",
            {"release": "0.1.0", "failed": 1, "going_on": 0, "revoked_tokens": 0},
        )
