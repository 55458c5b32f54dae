"""Events: the order of their numbers; that drivers break and work again, and who hears of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FuturesTimeout
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine

from core.contract.hosts import DriverHealth, Inventory
from core.services import events
from core.services.context import Actor
from core.services.intake import inventories
from tests.core.conftest import Transaction, inventory, make_user


def told(transaction: Transaction, actor: Actor) -> list[tuple[str, str]]:
    with transaction() as session:
        return [(note.type, note.data.get("problem", "")) for note in events.replay(session, actor, 0)]


def test_numbers_grow_in_the_order_of_commits(transaction: Transaction, engine: Engine) -> None:
    del transaction  # its empty tables are what is needed
    one = text("INSERT INTO events (type, at, data) VALUES ('told', now(), '{}') RETURNING seq")
    with engine.connect() as first, ThreadPoolExecutor() as pool:

        def second() -> int:
            with engine.begin() as other:
                return int(other.execute(one).scalar_one())

        seq = first.execute(one).scalar_one()
        later = pool.submit(second)
        with pytest.raises(FuturesTimeout):
            later.result(0.3)
        first.commit()
        assert later.result(5) > seq


def test_drivers_that_break_and_recover_are_told_to_all(transaction: Transaction) -> None:
    user = make_user(transaction, "ann")

    def tell(boot: str, **health: object) -> None:
        with transaction() as session:
            driver = replace(DriverHealth("fake", healthy=True), **health)  # type: ignore[arg-type]
            inventories.record(session, replace(_inventory(), boot_id=boot, drivers=[driver]))

    def _inventory() -> Inventory:
        return inventory("host-a")

    tell("one", healthy=False, problem="not probed yet")
    assert told(transaction, user) == [("host_joined", "")]
    tell("one")
    tell("one")
    tell("one", healthy=False, problem="no KVM")
    tell("one", healthy=False, problem="no KVM")
    expected = [("host_joined", ""), ("driver_healthy", ""), ("driver_unhealthy", "no KVM")]
    assert told(transaction, user) == expected
    tell("two", healthy=False, problem="not probed yet")  # it has just started, and knows nothing yet
    assert told(transaction, user) == expected
    tell("two", healthy=False, problem="no KVM")
    assert told(transaction, user) == [*expected, ("driver_unhealthy", "no KVM")]
