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
    Adapters: ("adapters", "has no network adapters to set"),
    Credentials: ("guest_credentials", "takes no credentials of a guest's"),
    Disks: ("disks", "has no disks to attach"),
    Execs: ("execs", "can't run commands in a guest by themselves"),
    Files: ("files", "can't reach files in a guest"),
    Guest: ("guest", "can't run commands in a guest"),
    GuestNetwork: ("guest_network", "can't tell of a guest's network"),
    Metrics: ("metrics", "can't measure VMs"),
    PortForwards: ("port_forwards", "has no port forwards"),
    Resizing: ("resizing", "can't resize a VM"),
    SavedStates: ("saved_states", "can't save a VM's state"),
    Snapshots: ("snapshots", "has no snapshots"),
}


def offered(driver: Driver, group: type[T]) -> T:
    """The driver, as one that has the verbs of that group; `Unsupported` says what it can't do."""
    capability, lack = _GROUPS[group]
    if capability not in driver.capabilities or not isinstance(driver, group):
        raise Unsupported(f"the driver '{driver.name}' {lack}")
    return driver
