"""What a driver offers beyond the verbs that all have: each group's capability, and what to say where it is missing."""

from __future__ import annotations

from typing import TypeVar

from agent.drivers.base import Driver
from agent.drivers.capabilities.execs import Execs
from agent.drivers.capabilities.files import Files
from agent.drivers.capabilities.forwards import PortForwards
from agent.drivers.capabilities.guest import Credentials, Guest, GuestNetwork
from agent.drivers.capabilities.hardware import Adapters, Disks
from agent.drivers.capabilities.metrics import Metrics
from agent.drivers.capabilities.resizing import Resizing
from agent.drivers.capabilities.saving import SavedStates
from agent.drivers.capabilities.snapshots import Snapshots
from core.contract.errors import Unsupported

T = TypeVar("T")

# A driver has a group's verbs where it can ever do them, and names the capability where it can do them now.
_GROUPS: dict[type, tuple[str, str]] = {
    Adapters: ("adapters", "does not support changing network adapters"),
    Credentials: ("guest_credentials", "does not use guest credentials"),
    Disks: ("disks", "does not support attaching disks"),
    Execs: ("execs", "does not support executions in a guest"),
    Files: ("files", "does not support files in a guest"),
    Guest: ("guest", "does not support commands in a guest"),
    GuestNetwork: ("guest_network", "does not report a guest's network"),
    Metrics: ("metrics", "does not measure VMs"),
    PortForwards: ("port_forwards", "does not support port forwards"),
    Resizing: ("resizing", "does not support resizing VMs"),
    SavedStates: ("saved_states", "does not support saving a VM's state"),
    Snapshots: ("snapshots", "does not support snapshots"),
}


def offered(driver: Driver, group: type[T]) -> T:
    """The driver, as one that has the verbs of that group; `Unsupported` says what it can't do."""
    capability, lack = _GROUPS[group]
    if capability not in driver.capabilities or not isinstance(driver, group):
        raise Unsupported(f"the driver '{driver.name}' {lack}")
    return driver
