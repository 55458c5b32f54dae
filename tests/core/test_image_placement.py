"""An image that boots by its kernel alone goes to a hypervisor that can do that, as far as a host tells."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from core.contract.errors import NoCapacity
from core.contract.hosts import DriverHealth, HostFacts
from core.models import Vm
from core.services import vms
from core.services.accepted import Accepted
from core.services.intake import inventories

if TYPE_CHECKING:
    from core.services.context import Actor
    from tests.core.conftest import Helpers, Transaction

PREFERRED = ("virtualbox", "qemu")
VIRTUALBOX = DriverHealth("virtualbox", healthy=True)
QEMU = DriverHealth("qemu", healthy=True, capabilities=["kernels"])
OLD_QEMU = DriverHealth("qemu", healthy=True)
KERNEL = HostFacts(kernel_images=["linux-default"])


@pytest.mark.parametrize(
    ("drivers", "facts", "chosen"),
    [
        ([VIRTUALBOX, QEMU], KERNEL, "qemu"),
        ([VIRTUALBOX, QEMU], HostFacts(kernel_images=["another"]), "virtualbox"),
        ([VIRTUALBOX, OLD_QEMU], HostFacts(), "virtualbox"),  # an older agent tells nothing
        ([OLD_QEMU], HostFacts(), "qemu"),
    ],
)
def test_the_next_preferred_hypervisor_is_taken(
    transaction: Transaction,
    actor: Actor,
    helpers: Helpers,
    drivers: list[DriverHealth],
    facts: HostFacts,
    chosen: str,
) -> None:
    with transaction() as session:
        inventories.record(session, replace(helpers.inventory("host-a"), drivers=drivers, facts=facts))
    with transaction() as session:
        operation: Accepted = vms.create(session, actor, replace(helpers.request("web"), hypervisors=PREFERRED))
        assert session.get_one(Vm, operation.vm_id).hypervisor == chosen


def test_another_host_is_taken_and_without_one_the_reason_is_told(
    transaction: Transaction, actor: Actor, helpers: Helpers
) -> None:
    request = replace(helpers.request("web"), hypervisors=PREFERRED)
    with transaction() as session:
        inventories.record(session, replace(helpers.inventory("host-a"), drivers=[VIRTUALBOX], facts=KERNEL))
    with transaction() as session, pytest.raises(NoCapacity) as refused:
        vms.create(session, actor, request)
    (told,) = refused.value.details["rejected"]
    assert "image 'linux-default' has a separate kernel" in told["reason"]
    with transaction() as session:
        inventories.record(session, replace(helpers.inventory("host-b"), drivers=[QEMU], facts=KERNEL))
    with transaction() as session:
        operation = vms.create(session, actor, request)
        vm = session.get_one(Vm, operation.vm_id)
        assert (vm.host_name, vm.hypervisor) == ("host-b", "qemu")
