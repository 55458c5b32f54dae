"""The driver interface: the verbs of every driver. Optional verbs are in capabilities/.

The laws, each a test that every driver passes (tests/contract):

- Idempotent: a verb whose effect is already there returns quietly.
- A verb returns only when `observe` agrees with it.
- Every outside call has a deadline (`timeout`, in seconds); when it runs out: `GuestTimeout` or `DriverFailure`.
- Only `DriverFailure` (or a subclass) leaves, with a message that says what to do.
- Plain frozen data in and out; no memory between calls: what must be remembered is a file in the VM's folder, written
  whole or not at all. A driver object may be made anew at any time and find everything again.
- No database, no Celery. Verbs of different VMs run at once, in threads; the agent runs one verb per VM at a time
  (`observe` and guest calls may come at any time beside it).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from agent.images.contents import ImageContents
from agent.network.network import HostNetworking
from core.contract.hosts import DriverHealth
from core.contract.messages import VmSpec
from core.contract.vms import Observation

Progress = Callable[[str, int | None], None]
"""Told of each step: a few words, and the percent done where known. It raises `Cancelled` when it is to stop."""


Check = Callable[[], None]
"""Called now and then by a verb that only waits. It raises `Cancelled` when nobody wants the outcome any more."""


class Cancelled(Exception):
    """Raised by a `Progress` or `Check` inside a verb, which undoes or leaves what it had begun and lets it through."""


def wanted() -> None:
    """The `Check` of an outcome that is always wanted."""


@dataclass(frozen=True)
class DriverFolders:
    """The folders of a driver: `vms/<vm id>/` is one VM's folder, `images` the host's own store of images.

    `media` are the folders whose disks and DVDs may be attached to VMs (agent/media/).
    `cgroup` is where VMs have their groups; None: under the agent's own.
    """

    vms: Path
    images: Path
    media: tuple[Path, ...] = ()
    cgroup: Path | None = None
    network: HostNetworking = field(default_factory=HostNetworking)

    @property
    def arriving(self) -> Path:
        """Where the files of VMs from other hosts are while they come: on the same file system too."""
        return self.vms.parent / "arriving"

    @property
    def contents(self) -> ImageContents:
        """The images that came from the fleet: on the VMs' own file system, so that they can share blocks and files."""
        return ImageContents(self.vms.parent / "pulled")


@dataclass(frozen=True)
class Console:
    """A VM's serial console.

    `log` has all that it put out, of every start: the newest part, when it has grown long; the part before is beside
    it, with ".1" to its name. Its folder is the VM's, and goes with it. `socket` (unix) takes what is typed and repeats
    what is put out, for one connection at a time; None: nothing can be typed. Both files may be missing while the VM
    does not run.
    """

    log: Path
    socket: Path | None


@runtime_checkable
class Driver(Protocol):
    """The verbs that every driver has."""

    name: str
    capabilities: frozenset[str]
    """What it has beyond the verbs below: the capabilities in capabilities/, "pause", "snapshots_with_memory",
    "bridges" (a VM can be on one), and "kernels" (it boots images that have a kernel and no boot loader)."""

    def probe(self) -> DriverHealth:
        """Whether it works here, found by use and not by a file being there; never raises."""

    def create(self, vm: VmSpec, progress: Progress, timeout: float) -> Observation: ...

    def start(self, vm: VmSpec, progress: Progress, timeout: float) -> Observation:
        """Running, and usable: where the image has a guest agent, it has answered."""

    def stop(self, vm: VmSpec, grace_seconds: float, progress: Progress, timeout: float) -> Observation:
        """Asks the guest, and cuts the power once the grace is over; at once if it is 0."""

    def pause(self, vm: VmSpec, timeout: float) -> Observation: ...

    def resume(self, vm: VmSpec, timeout: float) -> Observation: ...

    def delete(self, vm: VmSpec, timeout: float) -> Observation:
        """Cuts the power if need be and removes all traces; ABSENT afterwards. Works on a half-made VM."""

    def observe(self, vm_id: str) -> Observation:
        """What is true now; ABSENT for a VM that isn't there. CRASHED: it should run by its own files and does not."""

    def observe_all(self) -> list[Observation]: ...

    def remembered(self, vm_id: str) -> VmSpec | None:
        """The VM as it was asked for last, by the driver's own files; None where it isn't there."""

    def console(self, vm_id: str) -> Console:
        """Where its serial console is, whether or not there is such a VM."""
