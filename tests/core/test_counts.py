"""VMs are counted as they change: always as many, of each status, as there are; and lists rest on that."""

from __future__ import annotations

import random
from itertools import product
from typing import Any

import pytest
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.orm import Session

from core.contract.commands import Start, Stop
from core.contract.hosts import HostFacts
from core.contract.states import DesiredState, Kind, Observed, VmStatus, status
from core.contract.vms import Hardware, VmNetwork
from core.models import VM_COUNTS, Host, Operation, Vm
from core.models.base import now
from core.services import counts, listing, operations
from core.services.context import SYSTEM, Actor
from core.services.listing import VmFilter, joined
from core.services.status import status_column

HOSTS = ("h-a", "h-b", "h-c")


@pytest.fixture
def owner(transaction: Any, actor: Actor) -> Actor:
    """A user, and hosts."""
    offer = {"boot_id": "b", "generation": 1, "offered_vcpus": 9, "offered_memory_mb": 9999, "offered_disk_gb": 9999}
    with transaction() as session:
        for name in HOSTS:
            session.add(Host(name=name, **offer, drivers=[], images=[], facts=HostFacts(), last_seen_at=now()))
    return actor


def made(session: Session, owner: Actor, name: str, **changes: Any) -> Vm:
    values = {
        "hypervisor": "fake",
        "host_name": HOSTS[0],
        "os_type": "linux",
        "image": "i",
        "vcpus": 1,
        "memory_mb": 128,
        "disk_gb": 1,
        "network": VmNetwork(),
        "hardware": Hardware(),
        "wanted": "stopped",
        "observed": "stopped",
        "reserved": True,
    }
    vm = Vm(name=name, owner_id=owner.user_id, **(values | changes))
    session.add(vm)
    session.flush()
    return vm


def counted(session: Session, host: str | None = None) -> tuple[dict[str, int], int, int]:
    """As a look at each VM finds it."""
    word = status_column()
    query = joined(select(word, func.count()).select_from(Vm)).where(Vm.deleted_at.is_(None)).group_by(word)
    given = select(func.coalesce(func.sum(Vm.vcpus), 0), func.coalesce(func.sum(Vm.memory_mb), 0))
    given = given.where(Vm.deleted_at.is_(None), Vm.reserved)
    if host is not None:
        query, given = query.where(Vm.host_name == host), given.where(Vm.host_name == host)
    vcpus, memory_mb = session.execute(given).one()
    return dict(session.execute(query).all()), vcpus, memory_mb


def told(session: Session, host: str | None = None) -> tuple[dict[str, int], int, int]:
    found = counts.count(session, host)
    return found.by_status, found.vcpus, found.memory_mb


def test_the_databases_word_is_the_rules(transaction: Any, owner: Actor) -> None:
    with transaction() as session:
        combinations = product(DesiredState, [None, *Observed], [False, True], [False, True])
        for wanted, observed, started, lost in combinations:
            moment = now()
            of = (wanted, moment if lost else None, observed, moment if started else None)
            said = session.scalar(select(func.vm_status(*of)))
            assert said == status(
                wanted=wanted, observed=observed, ever_started=started, live_kind=None, host_offline=False, lost=lost
            ), of


def test_whatever_changes_the_counts_are_right(transaction: Any, owner: Actor) -> None:
    """By chance, but always the same: each change alone and committed, and the rows gathered now and then."""
    chance = random.Random(5)
    changes: list[Any] = [
        lambda: {"observed": chance.choice([None, *Observed])},
        lambda: {"wanted": chance.choice(list(DesiredState))},
        lambda: {"started_at": chance.choice([None, now()])},
        lambda: {"lost_at": chance.choice([None, now()])},
        lambda: {"reserved": chance.choice([False, True])},
        lambda: {"vcpus": chance.randint(1, 4), "memory_mb": chance.randint(1, 4) * 128},
        lambda: {"host_name": chance.choice(HOSTS)},
        lambda: {"deleted_at": chance.choice([None, now()])},
    ]
    for number in range(250):
        with transaction() as session:
            ids = list(session.scalars(select(Vm.id)))
            if len(ids) < 12:
                made(session, owner, f"vm-{number}", host_name=chance.choice(HOSTS))
            elif chance.random() < 0.05:
                session.execute(delete(Vm).where(Vm.id == chance.choice(ids)))
            else:
                chosen = chance.sample(ids, 3)
                session.execute(update(Vm).where(Vm.id.in_(chosen)).values(**chance.choice(changes)()))
            if chance.random() < 0.1:
                counts.gather(session)
        with transaction() as session:
            for host in (None, *HOSTS):
                assert told(session, host) == counted(session, host), number


def test_what_is_under_way_and_what_is_silent_counts_as_it_reads(transaction: Any, owner: Actor) -> None:
    with transaction() as session:
        for number in range(6):
            made(session, owner, f"vm-{number}", host_name=HOSTS[number % 2])
        first, second = (made(session, owner, f"busy-{n}", host_name=HOSTS[n]) for n in range(2))
        operations.begin(session, SYSTEM, first, Start(), wanted=DesiredState.RUNNING)
        operations.begin(session, SYSTEM, second, Stop(), wanted=DesiredState.STOPPED)
        session.get_one(Host, HOSTS[1]).offline_since = now()
        made(session, owner, "deleting", host_name=HOSTS[1], wanted=DesiredState.DELETED)
    with transaction() as session:
        assert told(session) == counted(session)
        assert counts.count(session).by_status == {
            VmStatus.CREATED: 3,
            VmStatus.UNKNOWN: 3,
            VmStatus.STARTING: 1,
            VmStatus.STOPPING: 1,
            VmStatus.DELETING: 1,
        }
        assert counts.count(session, HOSTS[2]).total == 0


def test_one_row_a_host_and_status_is_left(transaction: Any, owner: Actor) -> None:
    with transaction() as session:
        vms = [made(session, owner, f"vm-{n}") for n in range(5)]
    for state in (Observed.RUNNING, Observed.CRASHED, Observed.RUNNING):
        with transaction() as session:
            session.execute(update(Vm).where(Vm.id.in_([vm.id for vm in vms])).values(observed=state))
    with transaction() as session:
        counts.gather(session)
    with transaction() as session:
        rows = session.execute(select(VM_COUNTS.c.host_name, VM_COUNTS.c.status, VM_COUNTS.c.vms)).all()
        assert [tuple(row) for row in rows] == [(HOSTS[0], "running", 5)]


def test_who_changes_a_vm_waits_for_nobody_elses_count(transaction: Any, owner: Actor) -> None:
    """Two transactions change VMs of one host and status, and neither is committed before the other has changed its."""
    with transaction() as session:
        ids = [made(session, owner, f"vm-{n}").id for n in range(2)]
    with transaction() as first, transaction() as second:
        for session, vm_id in ((first, ids[0]), (second, ids[1])):
            session.execute(text("SET LOCAL lock_timeout = 200"))
            session.execute(update(Vm).where(Vm.id == vm_id).values(observed=Observed.RUNNING))
    with transaction() as session:
        assert counts.count(session).by_status == {"running": 2}


@pytest.fixture
def many(transaction: Any, owner: Actor) -> Actor:
    """An administrator, and VMs of somebody's."""
    with transaction() as session:
        for number in range(120):
            crashed = {"observed": Observed.CRASHED} if number == 77 else {}
            made(session, owner, f"vm-{number:03d}", host_name=HOSTS[number % 2], **crashed)
        counts.gather(session)
    return Actor("admin", "admin", "admin")


@pytest.mark.parametrize("order", [None, "asc", "desc"])
@pytest.mark.parametrize("sort", [None, "name", "memory_mb", "vcpus", "os_type", "status", "created_at"])
@pytest.mark.parametrize("host", [None, HOSTS[1]])
def test_a_page_is_the_same_from_either_end(
    transaction: Any, many: Actor, sort: str | None, order: str | None, host: str | None
) -> None:
    def page(limit: int | None, offset: int) -> list[str]:
        with transaction() as session:
            found, total = listing.page(session, many, VmFilter(sort, order, limit, offset, host=host))
            assert total == (120 if host is None else 60)
        return [view.vm.name for view in found]

    whole = page(None, 0)
    assert len(set(whole)) == (120 if host is None else 60)
    pages = [page(7, offset) for offset in range(0, len(whole) + 7, 7)]
    assert [name for each in pages for name in each] == whole
    assert page(None, 90) == whole[90:]
    assert page(50, 1000) == []


def test_a_vm_that_is_made_meanwhile_does_not_move_the_page(
    transaction: Any, many: Actor, owner: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The count is taken first: what is read backwards by a count that holds no more is read anew."""
    with transaction() as session:
        expected = [view.vm.name for view in listing.page(session, many, VmFilter(limit=10, offset=100))[0]]
    look = counts.count

    def late(session: Session, host: str | None = None) -> counts.Counts:
        found = look(session, host)
        with transaction() as another:
            made(another, owner, "late")
        return found

    monkeypatch.setattr(counts, "count", late)
    with transaction() as session:
        found, _ = listing.page(session, many, VmFilter(limit=10, offset=100))
    assert [view.vm.name for view in found] == expected


def test_few_of_a_status_are_found_where_they_are(transaction: Any, many: Actor, owner: Actor) -> None:
    def names(*statuses: str) -> list[str]:
        with transaction() as session:
            found, total = listing.page(session, many, VmFilter(statuses=statuses, limit=100))
            assert total == len(found)
        return [view.vm.name for view in found]

    assert names("crashed") == ["vm-077"]
    assert names("starting") == []
    with transaction() as session:
        vm = session.scalars(select(Vm).where(Vm.name == "vm-004")).one()
        operations.begin(session, SYSTEM, vm, Start(), wanted=DesiredState.RUNNING)
    assert names("starting") == ["vm-004"]
    assert names("starting", "crashed") == ["vm-004", "vm-077"]
    with transaction() as session:
        session.execute(update(Operation).values(kind=Kind.SNAPSHOT_CREATE))
        made(session, owner, "alone", host_name=HOSTS[2])
        session.get_one(Host, HOSTS[2]).offline_since = now()
    assert names("unknown") == ["alone"]
    assert names("starting") == []


def test_a_user_is_told_of_their_own_alone(transaction: Any, many: Actor, helpers: Any, owner: Actor) -> None:
    stranger = helpers.user("bob")
    with transaction() as session:
        made(session, stranger, "bobs")
        assert [view.vm.name for view in listing.page(session, stranger, VmFilter())[0]] == ["bobs"]
        assert listing.page(session, stranger, VmFilter())[1] == 1
        assert listing.page(session, owner, VmFilter(statuses=("crashed",)))[1] == 1
        assert listing.page(session, stranger, VmFilter(statuses=("crashed",)))[1] == 0
