"""What a VM has of disks and adapters, as reports tell it."""

from __future__ import annotations

from contextlib import suppress

from agent.drivers.base import Driver
from agent.drivers.capabilities.hardware import Adapters, Disks
from agent.drivers.offers import offered
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec
from core.contract.results import Told


def told(driver: Driver, vm: VmSpec) -> Told:
    """All that a driver can tell now: what has been done does not fail for it."""
    disks = adapters = None
    with suppress(DriverFailure):
        disks = offered(driver, Disks).disks(vm)
    with suppress(DriverFailure):
        adapters = offered(driver, Adapters).adapters(vm)
    return Told(disks, adapters)
