"""Among many hosts the best is found without a look at them all, and is the one that such a look would find."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event, select, text
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from core.contract.hosts import HostFacts
from core.contract.vms import Placement
from core.models import Host
from core.models.base import now
from core.placement import Demand, Room
from core.services import placing
from core.services.bridges import Wish

QEMU = {"name": "qemu", "healthy": True, "capabilities": [], "problem": ""}
FAKE = {"name": "fake", "healthy": True, "capabilities": [], "problem": ""}


@pytest.fixture
def fleet(transaction: Any) -> Any:
    """Sixty hosts of all kinds, always the same."""
    chance = random.Random(3)
    with transaction() as session:
        for number in range(60):
            broken = QEMU | {"healthy": False, "problem": "no KVM"}
            session.add(
                Host(
                    name=f"h-{number:02d}",
                    boot_id="b",
                    generation=1,
                    offered_vcpus=chance.randint(1, 8),
                    offered_memory_mb=chance.choice([512, 1024, 2048]),
                    offered_disk_gb=100,
                    drivers=chance.choice([[QEMU], [FAKE], [QEMU, FAKE], [broken, FAKE]]),
                    images=chance.choice([["i"], ["i"], []]),
                    facts=HostFacts(image_sizes_gb={"i": chance.choice([1, 1, 50])}),
                    last_seen_at=now(),
                    offline_since=chance.choice([None, None, now()]),
                    problems=chance.choice([{}, {}, {"low_disk": {"message": "full", "since": ""}}]),
                )
            )
    return transaction


def demand(**changes: Any) -> Demand:
    values: dict[str, Any] = {"hypervisors": ("qemu", "fake"), "image": "i", "size": Room(1, 256, 10)}
    return Demand(**(values | changes))


DEMANDS = [
    demand(),
    demand(hypervisors=("fake", "qemu")),
    demand(hypervisors=("fake",), size=Room(4, 1024, 10)),
    demand(size=Room(2, 512, 60)),
    demand(image=""),
    demand(host="h-07"),
    demand(placement=Placement(strategy="pack")),
]


@pytest.mark.parametrize("wanted", DEMANDS, ids=range(len(DEMANDS)))
def test_the_choice_is_that_of_all(fleet: Any, wanted: Demand) -> None:
    for _ in range(12):
        with fleet() as session:
            all_ = [each.choice for each in placing.verdicts(session, "ann", wanted, Wish()) if each.choice]
            if not all_:
                return
            assert placing.reserve(session, "ann", wanted, Wish()) == all_[0]


@pytest.fixture
def read(engine: Engine) -> Iterator[list[int]]:
    """How many rows each statement about hosts has read."""
    found: list[int] = []

    def note(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "FROM hosts" in statement:
            found.append(cursor.rowcount)

    event.listen(engine, "after_cursor_execute", note)
    yield found
    event.remove(engine, "after_cursor_execute", note)


def test_most_hosts_are_not_looked_at(fleet: Any, read: list[int]) -> None:
    with fleet() as session:
        placing.reserve(session, "ann", demand(), Wish())
    assert max(read) <= 16


def test_a_host_that_another_is_placing_on_is_passed_over(fleet: Any) -> None:
    with fleet() as first, fleet() as second:
        session: Session = second
        session.execute(text("SET LOCAL lock_timeout = 200"))
        taken = placing.reserve(first, "ann", demand(), Wish())
        assert placing.reserve(session, "bob", demand(), Wish()).host != taken.host


def test_one_that_all_are_placing_on_is_waited_for(fleet: Any) -> None:
    with fleet() as first:
        best = placing.reserve(first, "ann", demand(), Wish()).host
    with fleet() as holder, fleet() as second:
        holder.execute(select(Host.name).with_for_update())
        second.execute(text("SET LOCAL lock_timeout = 200"))
        with pytest.raises(Exception, match="lock timeout"):
            placing.reserve(second, "ann", demand(host=best), Wish())
        second.rollback()
