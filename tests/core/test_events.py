"""Events of hosts: that their drivers break and work again, and who hears of it."""

from __future__ import annotations

from dataclasses import replace

from core.contract.messages import DriverHealth, Inventory
from core.services import events, inventories
from core.services.context import Actor
from tests.core.conftest import Transaction, inventory, make_user


def told(transaction: Transaction, actor: Actor) -> list[tuple[str, str]]:
    with transaction() as session:
        return [(note.type, note.data.get("problem", "")) for note in events.replay(session, actor, 0)]


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
