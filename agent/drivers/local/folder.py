"""A VM's folder: where each file is, its state kept whole, and its lock."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from agent.drivers import ids
from agent.drivers.places import AttachedMedium
from agent.system import users
from agent.system.users import SystemUser
from core import filelocks
from core.contract.errors import DriverFailure, Invalid
from core.contract.images import ImageManifest
from core.contract.messages import VmSpec, decode
from core.contract.vms import Adapter
from core.durable import write_json

STATE = "vm.json"


@dataclass(frozen=True)
class VirtualMachineModel:
    """The machine as its guest sees it; a memory snapshot fits only the one that it was taken on.

    `max_vcpus`: so many it can have while it runs. `disk_queues`: fixed when it boots, whatever is plugged in later.
    Both are 0 in snapshots of an older release: as many as `vcpus`. `scsi`: it has a controller for more disks;
    `balloon`: a device by which its guest gives memory back.
    `adapters` are None on a machine of an older release: one, as `mac_address` says.
    """

    type: str
    acceleration: str
    vcpus: int
    memory_mb: int
    mac_address: str
    max_vcpus: int = 0
    disk_queues: int = 0
    scsi: bool = False
    balloon: bool = False
    adapters: list[Adapter] | None = None


@dataclass(frozen=True)
class LocalVmRecord:
    """The record of a VM. `disk` is its top layer, a file in `layers/`.

    `should_run`: its process is meant to be alive; `usable`: it has been, since its last launch; `waits`: that
    launch left it paused, until it is told to go on. `held` and `frozen`:
    a snapshot that is being taken has paused the machine, or frozen the guest's file systems. `resume`: the snapshot
    whose memory the next launch goes on from. `restores` counts the restores that have ended well. `media` are attached
    beside its own disk. `adapters` are None of a VM of an older release. `copied_by`: how its disk came from the image,
    where that differs: "reflink", "layer" or "copy".
    """

    spec: VmSpec
    image: ImageManifest | None
    disk: str
    should_run: bool = False
    usable: bool = False
    waits: bool = False
    held: bool = False
    frozen: bool = False
    machine: VirtualMachineModel | None = None
    resume: str | None = None
    restores: int = 0
    media: list[AttachedMedium] = field(default_factory=list)
    adapters: list[Adapter] | None = None
    copied_by: str | None = None


@dataclass(frozen=True)
class LocalVmFolder:
    """The folder of one VM."""

    path: Path

    @property
    def layers(self) -> Path:
        """The disk's layers, each on top of another or of the image's disk."""
        return self.path / "layers"

    @property
    def image(self) -> Path:
        """The files of the image it was made from: links, which the store may lose."""
        return self.path / "image"

    @property
    def snapshots(self) -> Path:
        """A folder per snapshot."""
        return self.path / "snapshots"

    @property
    def user(self) -> SystemUser | None:
        """Whom its process runs as; None: as the agent does, or was never started."""
        return users.known(self.path)

    def give(self, path: Path) -> None:
        """Makes a file that is in there its user's, and nobody else's."""
        user = self.user
        if user is None:
            path.chmod(0o600)
        else:
            user.own(path)

    def read(self) -> LocalVmRecord | None:
        """None when there is no such VM, or only the remains of one."""
        try:
            return decode(LocalVmRecord, (self.path / STATE).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Invalid as error:
            raise DriverFailure(f"{self.path / STATE} can't be read: {error}", code="state_damaged") from None

    def state(self) -> LocalVmRecord:
        """As `read`, for a VM that must be there."""
        found = self.read()
        if found is None:
            raise DriverFailure(f"VM {self.path.name} is not on this host", code="vm_not_found")
        return found

    def write(self, state: LocalVmRecord) -> LocalVmRecord:
        """Keeps the state, whole or not at all."""
        write_json(self.path / STATE, asdict(state))
        return state

    def change(self, **changes: Any) -> LocalVmRecord:
        """Keeps the state with some of it changed."""
        return self.write(replace(self.state(), **changes))


def folder_of(vms: Path, vm_id: str) -> LocalVmFolder:
    """The folder of the VM with that id, whether or not it is there."""
    return LocalVmFolder(vms / ids.checked("VM", vm_id))


@contextmanager
def locked(vms: Path, vm_id: str, timeout: float) -> Iterator[int]:
    """The VM for one verb at a time, whichever process it is in. Yields the lock's descriptor, for helpers to hold.

    The file is beside the folder, since a delete removes that; the last one out removes the file.
    """
    path = vms / f".{vm_id}.lock"
    vms.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + timeout
    while True:
        try:
            lock = filelocks.take(path, wait=deadline - time.monotonic())
        except BlockingIOError:
            raise DriverFailure(f"VM {vm_id} is still busy with another operation", code="timeout") from None
        try:
            if _is(path, lock):
                try:
                    yield lock
                finally:
                    path.unlink(missing_ok=True)
                return
        finally:
            os.close(lock)


def _is(path: Path, lock: int) -> bool:
    """Whether the locked file is still the one of that name."""
    try:
        return path.stat().st_ino == os.fstat(lock).st_ino
    except FileNotFoundError:
        return False
