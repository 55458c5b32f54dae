"""VMs of a driver that could not be looked at stay as they were last seen."""

from __future__ import annotations

from dataclasses import replace

from core.contract.states import Observed
from core.services import vms
from core.services.context import Actor
from core.services.intake import inventories
from tests.core.conftest import Helpers, Transaction


def test_a_vm_is_not_gone_because_its_driver_hangs(
    transaction: Transaction, helpers: Helpers, actor: Actor, host: str
) -> None:
    helpers.do(lambda session: vms.create(session, actor, helpers.request("web")), Observed.STOPPED)
    told = helpers.inventory(host)
    blind = replace(
        told, drivers=[replace(each, healthy=False, observed=False, problem="hangs") for each in told.drivers]
    )
    with transaction() as session:
        inventories.record(session, blind)
    assert helpers.status(actor, "web") == "created"
    with transaction() as session:
        inventories.record(session, helpers.inventory(host))
    assert helpers.status(actor, "web") == "failed", "a driver that looked, and saw none, is believed"
