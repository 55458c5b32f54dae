"""The disks and adapters of a VM, as reports contain them."""

from __future__ import annotations

from contextlib import suppress

from agent.drivers.base import Driver
from agent.drivers.capabilities.hardware import AdaptersCapability, DisksCapability
from agent.drivers.offers import offered
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec
from core.contract.results import HardwareResult


def hardware_of(driver: Driver, vm: VmSpec) -> HardwareResult:
    """All that a driver can tell now: what has been done does not fail for it."""
    disks = adapters = None
    with suppress(DriverFailure):
        disks = offered(driver, DisksCapability).disks(vm)
    with suppress(DriverFailure):
        adapters = offered(driver, AdaptersCapability).adapters(vm)
    return HardwareResult(disks, adapters)
