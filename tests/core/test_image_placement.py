"""Where a VM goes by its image: to a hypervisor that can boot it, and first to a host that has it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from core.contract.errors import NoCapacity
from core.contract.hosts import DriverHealth, HostFacts
from core.contract.images import ImageFile, ImageManifest
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


NAME = "linux-default"
FLEETS = ImageManifest(NAME, "linux", "qcow2", ImageFile("disk.qcow2", "a" * 64, 600 << 20), 20)
BY_KERNEL = replace(FLEETS, kernel=ImageFile("vmlinuz", "b" * 64, 1000))
HAS = HostFacts(image_contents=[FLEETS.digest], pulls_images=True)
PULLS = HostFacts(image_sizes_gb={NAME: 90}, image_digests={NAME: "its own"}, kernel_images=[NAME], pulls_images=True)
OWN = HostFacts(image_digests={NAME: "its own"}, image_contents=["its own"])


def tell(transaction: Transaction, helpers: Helpers, host: str, facts: HostFacts, **more: object) -> None:
    with transaction() as session:
        inventories.record(session, replace(helpers.inventory(host), facts=facts, **more))  # type: ignore[arg-type]


def made(transaction: Transaction, actor: Actor, helpers: Helpers, name: str, content: ImageManifest = FLEETS) -> Vm:
    request = replace(helpers.request(name), content=content, disk_gb=None)
    with transaction() as session:
        return session.get_one(Vm, vms.create(session, actor, request).vm_id)


def test_a_host_that_has_the_image_is_preferred_and_one_that_gets_it_will_do(
    transaction: Transaction, actor: Actor, helpers: Helpers
) -> None:
    tell(transaction, helpers, "host-a", PULLS, vcpus=100, memory_mb=100_000)
    tell(transaction, helpers, "host-b", HAS)
    assert {made(transaction, actor, helpers, f"vm-{n}").host_name for n in range(4)} == {"host-b"}
    last = made(transaction, actor, helpers, "last")
    assert (last.host_name, last.image_digest, last.disk_gb) == ("host-a", FLEETS.digest, 20)


def test_a_create_that_waits_for_its_image_has_the_time_for_it(
    transaction: Transaction, actor: Actor, helpers: Helpers
) -> None:
    seconds = []
    for host, facts in (("host-a", HAS), ("host-b", PULLS)):
        tell(transaction, helpers, host, facts)
        request = replace(helpers.request(host, host), content=FLEETS, disk_gb=None)
        with transaction() as session:
            begun = vms.create(session, actor, request)
        seconds.append((begun.deadline_at - begun.accepted_at).total_seconds())
    assert seconds[1] - seconds[0] == 600


def test_a_host_that_gets_none_uses_its_own_of_that_name_or_none(
    transaction: Transaction, actor: Actor, helpers: Helpers
) -> None:
    tell(transaction, helpers, "host-a", HostFacts(), images=[])
    with pytest.raises(NoCapacity) as refused:
        made(transaction, actor, helpers, "web")
    (told,) = refused.value.details["rejected"]
    assert told["reason"] == f"does not have image '{NAME}', and its agent has no address of the API"
    tell(transaction, helpers, "host-b", OWN)
    vm = made(transaction, actor, helpers, "web")
    assert (vm.host_name, vm.image_digest) == ("host-b", "its own")


def test_it_is_the_fleet_s_image_that_has_to_boot_there(
    transaction: Transaction, actor: Actor, helpers: Helpers
) -> None:
    disks_alone = [DriverHealth("fake", healthy=True)]
    tell(transaction, helpers, "host-a", PULLS, drivers=disks_alone)
    assert made(transaction, actor, helpers, "by-disk").host_name == "host-a"
    with pytest.raises(NoCapacity) as refused:
        made(transaction, actor, helpers, "by-kernel", BY_KERNEL)
    (told,) = refused.value.details["rejected"]
    assert "has a separate kernel" in told["reason"]
