"""The drivers of a host; the code of a driver is imported only where the host offers it."""

from __future__ import annotations

import importlib
from collections.abc import Iterable

from agent.drivers.base import Driver, DriverFolders
from core.contract.errors import Unsupported

FAKE = "fake"
CLASSES = {
    "cloud-hypervisor": "agent.drivers.cloud_hypervisor.CloudHypervisorDriver",
    FAKE: "agent.drivers.fake.FakeDriver",
    "qemu": "agent.drivers.qemu.QemuDriver",
    "virtualbox": "agent.drivers.virtualbox.VirtualBoxDriver",
}


class Drivers:
    """The drivers of one host, by name."""

    def __init__(self, names: Iterable[str], place: DriverFolders) -> None:
        self._drivers = {name: _load(name, place) for name in names}

    def get(self, name: str) -> Driver:
        """The driver of that name; `Unsupported` names those there are."""
        try:
            return self._drivers[name]
        except KeyError:
            offered = ", ".join(self._drivers)
            raise Unsupported(f"this host does not offer the hypervisor '{name}', only {offered}") from None

    def all(self) -> list[Driver]:
        """Every driver of this host."""
        return list(self._drivers.values())


def _load(name: str, place: DriverFolders) -> Driver:
    module, _, kind = CLASSES[name].rpartition(".")
    driver: Driver = getattr(importlib.import_module(module), kind)(place)
    return driver
