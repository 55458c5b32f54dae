"""What a VM has of disks and adapters, as reports and replies tell it: each as `Disk` and `Adapter` in plain data."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict

from agent.drivers.base import Driver
from agent.drivers.groups.hardware import Adapters, Disks
from agent.drivers.offers import offered
from core.contract.errors import DriverFailure
from core.contract.messages import JSON, VmSpec


def disks(driver: Disks, vm: VmSpec) -> JSON:
    """{"disks": all that are attached}."""
    return {"disks": [asdict(disk) for disk in driver.disks(vm)]}


def adapters(driver: Adapters, vm: VmSpec) -> JSON:
    """{"adapters": those that the VM has}."""
    return {"adapters": [asdict(adapter) for adapter in driver.adapters(vm)]}


def told(driver: Driver, vm: VmSpec) -> JSON:
    """Both, of what a driver can tell now: what has been done does not fail for it."""
    found: JSON = {}
    with suppress(DriverFailure):
        found |= disks(offered(driver, Disks), vm)
    with suppress(DriverFailure):
        found |= adapters(offered(driver, Adapters), vm)
    return found
