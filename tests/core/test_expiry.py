"""VMs that are deleted by themselves."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from core.contract.errors import Forbidden, NotFound
from core.contract.states import Observed
from core.models import AuditEntry, Vm
from core.models.base import now
from core.services import expiry, lookup, vms
from core.services.context import Actor
from tests.core.conftest import Helpers, Transaction


def _made(helpers: Helpers, actor: Actor, name: str, ttl_seconds: int | None) -> None:
    wanted = replace(helpers.request(name), expires_at=expiry.after(ttl_seconds))
    helpers.do(lambda session: vms.create(session, actor, wanted), Observed.STOPPED)


def _pass_time(transaction: Transaction, actor: Actor, name: str) -> str:
    """As if the VM's time were over; its id."""
    with transaction() as session:
        vm = lookup.vm(session, actor, name)
        vm.expires_at = now() - timedelta(seconds=1)
        return vm.id


def _due(transaction: Transaction) -> list[str]:
    with transaction() as session:
        return expiry.due(session)


def test_a_vm_whose_time_is_over_is_deleted(
    transaction: Transaction, helpers: Helpers, actor: Actor, host: str
) -> None:
    _made(helpers, actor, "brief", 60)
    _made(helpers, actor, "lasting", None)
    assert _due(transaction) == []
    vm_id = _pass_time(transaction, actor, "brief")
    assert _due(transaction) == [vm_id]
    with transaction() as session:
        expiry.expire(session, vm_id)
    assert helpers.status(actor, "brief") == "deleting"
    assert _due(transaction) == [], "it is deleted once"
    with transaction() as session:
        entry = session.query(AuditEntry).filter_by(action_type="vm_expire").one()
        assert (entry.resource_id, entry.user_id) == ("brief", actor.user_id)


def test_more_time_is_heard_at_the_last_moment(
    transaction: Transaction, helpers: Helpers, actor: Actor, host: str
) -> None:
    _made(helpers, actor, "brief", 60)
    vm_id = _pass_time(transaction, actor, "brief")
    with transaction() as session:
        assert expiry.set_ttl(session, actor, "brief", 3600).expires_at is not None
    with transaction() as session:
        expiry.expire(session, vm_id)
        assert session.get_one(Vm, vm_id).wanted == "stopped"
    with transaction() as session:
        assert expiry.set_ttl(session, actor, "brief", None).expires_at is None


def test_only_its_owner_sets_it(transaction: Transaction, helpers: Helpers, actor: Actor, host: str) -> None:
    _made(helpers, actor, "brief", 60)
    with transaction() as session, pytest.raises(NotFound):
        expiry.set_ttl(session, helpers.user("bob"), "brief", None)
    with transaction() as session, pytest.raises(Forbidden):
        expiry.set_ttl(session, replace(actor, read_only=True), "brief", None)
