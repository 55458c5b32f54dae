"""The parameters of each kind of command.

A field that a release adds has a default, and is passed over by an older agent: say nothing in it that must be known.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, to_builtins

from core.contract.bounds import Count, Line, Name, Percent, Port
from core.contract.moves import Files
from core.contract.states import Kind

Seconds = Annotated[float, Meta(ge=0, le=86400)]
Positive = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class Params(Struct, frozen=True):
    """Of any kind."""

    @property
    def kind(self) -> Kind:
        """What they are for."""
        return _KINDS[type(self)]

    def stored(self) -> dict[str, Any]:
        """As plain data."""
        plain: dict[str, Any] = to_builtins(self)
        return plain


class Create(Params, frozen=True):
    """Make the VM, off."""


class Start(Params, frozen=True):
    """`gui`: with a window, where the hypervisor has any."""

    gui: bool = False


class Stopping(Params, frozen=True):
    """Ask the guest, and cut the power once the grace is over; at once with `force`."""

    grace_seconds: Seconds = 30.0
    force: bool = False


class Stop(Stopping, frozen=True):
    """Be off."""


class Restart(Stopping, frozen=True):
    """Stop, then start."""


class Delete(Params, frozen=True):
    """Remove the VM with all it has; its extra disks stay, detached, or go with it if `delete_disks`."""

    delete_disks: bool = False


class Pause(Params, frozen=True):
    """Have the processors stand still."""


class Resume(Params, frozen=True):
    """Have them go on."""


class Save(Params, frozen=True):
    """Put the memory away, and be off."""


class Resize(Params, frozen=True):
    """All of a VM's size, which its spec has only afterwards. A limit of None: all of it."""

    vcpus: Positive
    memory_mb: Positive
    cpu_limit_percent: Percent | None = None
    memory_limit_percent: Percent | None = None


class InPlace(Params, frozen=True):
    """A place on a controller."""

    controller: Name
    port: Count
    device: Count


class DiskDetach(InPlace, frozen=True):
    """Empty it."""


class DiskAttach(InPlace, frozen=True):
    """A medium for a place. `type`: "hdd" or "dvd"; `medium`: a path below one of the host's media folders.

    `create_if_missing`: an empty disk of `size_gb` GiB is made there if nothing is, of the format its name ends in;
    `medium_id` is its id then.
    """

    type: Name
    medium: Line
    create_if_missing: bool = False
    size_gb: Count | None = None
    medium_id: Name = ""


class AdapterSet(Params, frozen=True):
    """The adapter in a slot, and what is to change of it; the words are those of `vms.Adapter`."""

    slot: Count
    enabled: bool | UnsetType = UNSET
    mode: Name | UnsetType = UNSET
    type: Name | UnsetType = UNSET
    cable_connected: bool | UnsetType = UNSET
    network: Name | UnsetType | None = UNSET

    @property
    def changes(self) -> dict[str, Any]:
        """What is to change, by name."""
        return {name: value for name, value in self.stored().items() if name != "slot"}


class OfSnapshot(Params, frozen=True):
    """A snapshot by its id, unique everywhere."""

    snapshot_id: Name


class SnapshotCreate(OfSnapshot, frozen=True):
    """Take it; with its name, as its owner knows it."""

    name: Name = ""
    include_memory: bool = False


class SnapshotRestore(OfSnapshot, frozen=True):
    """`start`: whether the VM runs afterwards; None: as it did when the snapshot was taken."""

    start: bool | None = None
    previous_state: Name = ""


class SnapshotDelete(OfSnapshot, frozen=True):
    """Remove it."""


class OfForward(Params, frozen=True):
    """A forward. What counts are those of the VM's spec, which are all that it has afterwards."""

    forward_id: Name
    protocol: Name = "tcp"
    host_port: Port | None = None
    guest_port: Port | None = None


class PortForwardCreate(OfForward, frozen=True):
    """It is one of the spec's."""


class PortForwardDelete(OfForward, frozen=True):
    """It is none of them."""


class Move(Stopping, frozen=True):
    """The VM leaves `source` for `target`. Its source is told first: stop it, if `stop`, and tell what it consists of.

    `files` are that; they are told to the target, which fetches them. `start`: it ran, and is to run again.
    """

    source: Name = ""
    target: Name = ""
    stop: bool = False
    start: bool = False
    files: Files | None = None


PARAMS: dict[Kind, type[Params]] = {
    Kind.CREATE: Create,
    Kind.START: Start,
    Kind.STOP: Stop,
    Kind.RESTART: Restart,
    Kind.DELETE: Delete,
    Kind.PAUSE: Pause,
    Kind.RESUME: Resume,
    Kind.SAVE: Save,
    Kind.RESIZE: Resize,
    Kind.DISK_ATTACH: DiskAttach,
    Kind.DISK_DETACH: DiskDetach,
    Kind.ADAPTER_SET: AdapterSet,
    Kind.SNAPSHOT_CREATE: SnapshotCreate,
    Kind.SNAPSHOT_RESTORE: SnapshotRestore,
    Kind.SNAPSHOT_DELETE: SnapshotDelete,
    Kind.PORT_FORWARD_CREATE: PortForwardCreate,
    Kind.PORT_FORWARD_DELETE: PortForwardDelete,
    Kind.MOVE: Move,
}
_KINDS = {params: kind for kind, params in PARAMS.items()}
