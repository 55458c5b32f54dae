"""The optional verbs of drivers: the capability of each group, and the error where a driver lacks it."""

from __future__ import annotations

from typing import TypeVar

from agent.drivers.base import Driver
from agent.drivers.capabilities.execs import ExecsCapability
from agent.drivers.capabilities.files import FilesCapability
from agent.drivers.capabilities.forwards import PortForwardsCapability
from agent.drivers.capabilities.guest import GuestCapability, GuestCredentialsCapability, GuestNetworkCapability
from agent.drivers.capabilities.hardware import AdaptersCapability, DisksCapability
from agent.drivers.capabilities.metrics import MetricsCapability
from agent.drivers.capabilities.moving import MovingCapability
from agent.drivers.capabilities.resizing import ResizingCapability
from agent.drivers.capabilities.saving import SavedStatesCapability
from agent.drivers.capabilities.snapshots import SnapshotsCapability
from agent.drivers.capabilities.terminals import TerminalsCapability
from core.contract.errors import Unsupported

T = TypeVar("T")

# A driver has a group's verbs where it can ever do them, and names the capability where it can do them now.
_GROUPS: dict[type, tuple[str, str]] = {
    AdaptersCapability: ("adapters", "does not support changing network adapters"),
    GuestCredentialsCapability: ("guest_credentials", "does not use guest credentials"),
    DisksCapability: ("disks", "does not support attaching disks"),
    ExecsCapability: ("execs", "does not support executions in a guest"),
    FilesCapability: ("files", "does not support files in a guest"),
    GuestCapability: ("guest", "does not support commands in a guest"),
    GuestNetworkCapability: ("guest_network", "does not report a guest's network"),
    MetricsCapability: ("metrics", "does not measure VMs"),
    MovingCapability: ("moves", "can't move VMs to other hosts yet"),
    PortForwardsCapability: ("port_forwards", "does not support port forwards"),
    ResizingCapability: ("resizing", "does not support resizing VMs"),
    SavedStatesCapability: ("saved_states", "does not support saving a VM's state"),
    SnapshotsCapability: ("snapshots", "does not support snapshots"),
    TerminalsCapability: ("terminals", "does not support terminals in a guest"),
}


def offered(driver: Driver, group: type[T]) -> T:
    """The driver, as one that has the verbs of that group; `Unsupported` says what it can't do."""
    capability, lack = _GROUPS[group]
    if capability not in driver.capabilities or not isinstance(driver, group):
        raise Unsupported(f"the driver '{driver.name}' {lack}")
    return driver
