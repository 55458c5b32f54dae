"""Hosts that take no new VMs, as an administrator says: what is there goes on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, text

from core.contract.errors import Forbidden, NoCapacity, NotFound
from core.contract.states import Observed
from core.models import Event, Host
from core.services import cordons, hosts, vms
from core.services.context import Actor
from core.services.intake import inventories
from tests.core.conftest import Helpers, Transaction
from tests.support.waiting import until

ADMIN = Actor("admin", "root", "admin")
WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")


def cordon(transaction: Transaction, host: str, reason: str = "") -> None:
    with transaction() as session:
        cordons.cordon(session, ADMIN, host, reason)


def changes(transaction: Transaction) -> list[tuple[str, str]]:
    with transaction() as session:
        told = session.scalars(select(Event.data).where(Event.type == "host_scheduling").order_by(Event.seq))
        return [(data["old_state"], data["new_state"]) for data in told]


def test_new_vms_go_elsewhere_and_what_is_there_goes_on(
    transaction: Transaction, helpers: Helpers, host: str, actor: Actor
) -> None:
    helpers.do(lambda session: vms.create(session, actor, helpers.request("old")), Observed.STOPPED)
    cordon(transaction, host, "new disks")
    with transaction() as session, pytest.raises(NoCapacity) as refused:
        vms.create(session, actor, helpers.request("new"))
    assert refused.value.details["rejected"] == [{"host": host, "reason": "is cordoned: new disks"}]
    helpers.do(lambda session: vms.start(session, actor, "old"), Observed.RUNNING)
    assert helpers.status(actor, "old") == "running"

    with transaction() as session:
        inventories.record(session, helpers.inventory("host-b"))
    with transaction() as session:
        assert vms.create(session, actor, helpers.request("new")).host_name == "host-b"
    with transaction() as session, pytest.raises(NoCapacity):
        vms.create(session, actor, helpers.request("pinned", host))


def test_it_is_kept_until_it_is_ended(transaction: Transaction, helpers: Helpers, host: str, actor: Actor) -> None:
    cordon(transaction, host, "new disks")
    with transaction() as session:
        inventories.record(session, helpers.inventory(host))  # by an agent that was started again
    with transaction() as session:
        kept = hosts.get(session, actor, host)
        assert (kept.scheduling_state, kept.scheduling_by, kept.scheduling_reason) == ("cordoned", "root", "new disks")
        assert kept.scheduling_since is not None
    with transaction() as session:
        cordons.uncordon(session, ADMIN, host)
    with transaction() as session:
        assert vms.create(session, actor, helpers.request("new")).host_name == host


def test_each_change_is_told_once(transaction: Transaction, host: str) -> None:
    cordon(transaction, host)
    cordon(transaction, host)
    cordon(transaction, host, "as it rattles")  # why is told when it is known
    cordon(transaction, host, "as it rattles")
    with transaction() as session:
        cordons.activate(session, ADMIN, host)
        cordons.uncordon(session, ADMIN, host)
    assert changes(transaction) == [("active", "cordoned"), ("cordoned", "cordoned"), ("cordoned", "active")]


def test_a_vm_that_is_being_placed_meanwhile_is_not_there(
    transaction: Transaction, helpers: Helpers, host: str, actor: Actor
) -> None:
    """It has looked at the hosts before the cordon, and takes its room after it."""

    def create() -> str:
        with transaction() as session:
            return vms.create(session, actor, helpers.request("late")).host_name

    def waits() -> bool:
        with transaction() as other:
            return bool(other.scalar(WAITING))

    with ThreadPoolExecutor() as pool:
        with transaction() as session:
            cordons.cordon(session, ADMIN, host)
            session.flush()
            late = pool.submit(create)
            until(waits)
        with pytest.raises(NoCapacity) as refused:
            late.result()
    assert "is cordoned" in refused.value.details["rejected"][0]["reason"]
    with transaction() as session:
        assert session.get_one(Host, host).reserved_vcpus == 0


@pytest.mark.parametrize("verb", [cordons.cordon, cordons.uncordon, cordons.activate])
def test_whose_word_counts(transaction: Transaction, host: str, actor: Actor, verb: object) -> None:
    for who, name, error in (
        (actor, host, Forbidden),
        (Actor("admin", "root", "admin", read_only=True), host, Forbidden),
        (ADMIN, "nowhere", NotFound),
    ):
        with transaction() as session, pytest.raises(error):
            verb(session, who, name)  # type: ignore[operator]
    assert changes(transaction) == []
