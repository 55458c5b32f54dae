"""What a VM has of disks and adapters, as reports and replies tell it: each as `Disk` and `Adapter` in plain data."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict

from agent.drivers.base import Driver
from agent.drivers.groups.hardware import Adapters, Disks
from core.contract.errors import DriverFailure, Unsupported
from core.contract.messages import JSON, VmSpec


def with_disks(driver: Driver) -> Disks:
    """The driver, if disks can be attached to its VMs; `Unsupported`."""
    if "disks" not in driver.capabilities or not isinstance(driver, Disks):
        raise Unsupported(f"the driver '{driver.name}' has no disks to attach")
    return driver


def with_adapters(driver: Driver) -> Adapters:
    """The driver, if its VMs' adapters can be set; `Unsupported`."""
    if "adapters" not in driver.capabilities or not isinstance(driver, Adapters):
        raise Unsupported(f"the driver '{driver.name}' has no network adapters to set")
    return driver


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
        found |= disks(with_disks(driver), vm)
    with suppress(DriverFailure):
        found |= adapters(with_adapters(driver), vm)
    return found
