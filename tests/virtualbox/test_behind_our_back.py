"""What someone does by hand in VirtualBox shows in the API within seconds: a whole fleet, on the real VBoxManage."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from agent.drivers.virtualbox.folder import VirtualBoxVmFolder, folder_of
from cli.fleet.fleet import Fleet
from cli.fleet.plan import FleetPlan
from cli.fleet.share import Share
from core import database, images
from core.models import Host
from tests.disks import bootable
from tests.support.clients import administrator
from tests.support.guests import Guest
from tests.support.waiting import until

LONG_SECONDS = 60.0


@pytest.fixture(scope="module")
def fleet(vboxmanage: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One host, with VirtualBox alone, and an image that boots by itself."""
    home = tmp_path_factory.mktemp("by-hand")
    (home / "disk").write_bytes(bootable())
    images.add(home / "images", "empty", home / "disk")
    share = Share(vcpus=4, memory_mb=4096, disk_gb=100)
    plan = FleetPlan(
        home=home / "fleet",
        images=home / "images",
        hypervisors=("virtualbox",),
        agents=1,
        api_workers=1,
        flower=False,
        durable=False,
        image=False,
        share=share,
        environment={"CORRAL_VBOXMANAGE": vboxmanage, "RATE_LIMIT_BURST": "1000000", "RATE_LIMIT_HOURLY": "1000000"},
    )
    with Fleet(plan) as running:
        yield running


@pytest.fixture(scope="module")
def guest(fleet: Fleet) -> Guest:
    """Its administrator's."""
    return Guest(administrator(fleet), "web")


@pytest.fixture(scope="module")
def folder(fleet: Fleet, guest: Guest) -> Iterator[VirtualBoxVmFolder]:
    """A VM that was made by the API, off."""
    _take_as_healthy(fleet)
    made = guest.create(os_type="linux", template="empty", hypervisor="virtualbox", memory_mb=256)
    assert guest.status() == "created"
    yield folder_of(fleet.home / "hosts" / "host-a" / "vms", made["id"])
    guest.delete()


def test_one_that_is_unregistered_and_registered_again(
    vboxmanage: str, guest: Guest, folder: VirtualBoxVmFolder
) -> None:
    _by_hand(vboxmanage, "unregistervm", folder.uuid)
    guest.becomes("crashed")
    _by_hand(vboxmanage, "registervm", str(folder.settings / f"{folder.path.name}.vbox"))
    guest.becomes("created")


def _by_hand(vboxmanage: str, *arguments: str) -> None:
    subprocess.run([vboxmanage, *arguments], check=True, timeout=LONG_SECONDS, capture_output=True)


def _take_as_healthy(fleet: Fleet) -> None:
    """Without the kernel's driver VMs can be made and not started, so that none would be placed here."""
    engine = database.connect(fleet.database_url)

    def taken() -> bool:
        with database.transaction(engine) as session:
            host = session.get_one(Host, "host-a")
            if host.drivers[0]["version"]:
                host.drivers = [{**host.drivers[0], "healthy": True}]
            return bool(host.drivers[0]["version"])

    try:
        until(taken)
    finally:
        engine.dispose()
