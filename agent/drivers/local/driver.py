"""The verbs that are the same for every driver whose VMs are processes of this host."""

from __future__ import annotations

import shutil
from abc import abstractmethod
from collections.abc import Iterator

from agent.drivers import moving as files
from agent.drivers.base import Progress
from agent.drivers.capabilities.metrics import Sample
from agent.drivers.capabilities.moving import Fetched
from agent.drivers.capabilities.snapshots import FinishedSnapshot
from agent.drivers.images import find
from agent.drivers.limits import Left, countdown, only_driver_failures
from agent.drivers.local import (
    adapters,
    daemon,
    images,
    measuring,
    merging,
    moving,
    records,
    restores,
    snapshots,
    written,
)
from agent.drivers.local.folder import STATE, LocalVmFolder, LocalVmRecord
from agent.drivers.local.machines import H, LocalMachines
from agent.network import namespaces
from agent.system import cgroups, folders
from core.contract.errors import DriverFailure
from core.contract.images import ImageManifest
from core.contract.messages import VmSpec
from core.contract.moves import MovedFile
from core.contract.states import Observed
from core.contract.vms import Observation
from core.durable import sync_folder

NETWORK_LOG = f"{namespaces.FOLDER}/{namespaces.LOG}"
CAPABILITIES = frozenset(
    {
        "adapters",
        "bridges",
        "disks",
        "execs",
        "files",
        "guest",
        "guest_network",
        "kernels",
        "metrics",
        "moves",
        "pause",
        "port_forwards",
        "resizing",
        "snapshots",
        "snapshots_with_memory",
        "terminals",
    }
)


class LocalDriver(LocalMachines[H]):
    """Snapshots, and what needs nothing but a VM's files; a driver says what its hypervisor does."""

    kinds: adapters.Kinds
    writes: tuple[str, ...]
    """What its hypervisor writes into a VM's folder, without end."""

    @abstractmethod
    def acceleration(self, host: H) -> str:
        """By what guests run there."""

    @abstractmethod
    def first_disk(
        self, folder: LocalVmFolder, image: ImageManifest | None, disk_gb: int, lock: int
    ) -> tuple[str, str | None]:
        """A new VM's disk, and how it came from the image if the driver knows more than one way."""

    @abstractmethod
    def take(
        self, folder: LocalVmFolder, snapshot_id: str, include_memory: bool, progress: Progress, left: Left, lock: int
    ) -> records.LocalSnapshot:
        """A new snapshot, whole."""

    @only_driver_failures
    def create(self, vm: VmSpec, progress: Progress, timeout: float) -> Observation:
        """Its folder, the image's files as links, and a disk that shares what it can; the state comes last."""
        with self.busy(vm.id, timeout) as (folder, lock):
            if folder.read() is None:
                progress("making the disk", None)
                find(self._place, vm)
                shutil.rmtree(folder.path, ignore_errors=True)
                folder.path.mkdir(mode=0o700, parents=True)
                image = images.take(self._place, vm, folder.image)
                having = self.kinds.asked(vm, image)
                disk, copied_by = self.first_disk(folder, image, vm.disk_gb, lock)
                folder.write(LocalVmRecord(vm, image, disk, adapters=having, copied_by=copied_by))
                sync_folder(self._place.vms)
            return self.observation_of(folder)

    @only_driver_failures
    def delete(self, vm: VmSpec, timeout: float) -> Observation:
        """Cuts the power and removes the folder, its state first, so that half a VM is none."""
        with self.busy(vm.id, timeout) as (folder, _):
            daemon.cut(folder.path)
            self._place.network.leave(vm.id)
            (folder.path / STATE).unlink(missing_ok=True)
            if users := self._place.network.user_mode.users:
                users.release(self._place.vms, vm.id)
            folders.remove(folder.path)
            cgroups.remove(self._place.cgroup, vm.id)
            images.tidy(self._place.vms)
        return Observation(vm.id, Observed.ABSENT)

    @only_driver_failures
    def observe(self, vm_id: str) -> Observation:
        """From the VM's files and its process's lock; asks the hypervisor nothing."""
        return self.observation_of(self.folder(vm_id))

    @only_driver_failures
    def observe_all(self) -> list[Observation]:
        """Every VM with a whole state; what is written of each is kept short by the way."""
        for folder in self.folders():
            for name in (*self.writes, NETWORK_LOG):
                written.bound(folder.path / name)
        seen = [self.observation_of(folder) for folder in self.folders()]
        return [each for each in seen if each.state is not Observed.ABSENT]

    @only_driver_failures
    def remembered(self, vm_id: str) -> VmSpec | None:
        """From the VM's state."""
        state = self.folder(vm_id).read()
        return None if state is None else state.spec

    @only_driver_failures
    def snapshot_create(
        self, vm: VmSpec, snapshot_id: str, include_memory: bool, progress: Progress, timeout: float
    ) -> FinishedSnapshot:
        """The disk as it is at one moment, and with memory all that the guest knows then."""
        left = countdown(timeout)
        with self.busy(vm.id, timeout) as (folder, lock):
            self.recover(folder)
            merging.recover(folder)
            found = records.read(folder, snapshot_id)
            if found is None:
                progress("taking the snapshot", None)
                found = self.take(folder, snapshot_id, include_memory, progress, left, lock)
                records.remove_unused_layers(folder, folder.state())
            return found.taken

    @only_driver_failures
    def snapshot_restore(
        self, vm: VmSpec, snapshot_id: str, start: bool | None, progress: Progress, timeout: float
    ) -> Observation:
        """Checks every file, then puts it back and starts, or not."""
        left = countdown(timeout)
        with self.busy(vm.id, timeout) as (folder, lock):
            host = self.host()
            folder.state()
            merging.recover(folder)
            wanted = None if start is False else self.acceleration(host)
            snapshot = restores.check(folder, snapshot_id, wanted, progress)
            running = snapshot.power != snapshots.STOPPED if start is None else start
            state = restores.put_back(folder, snapshot, self.record.file, running=running, lock=lock)
            if running:
                paused = start is None and snapshot.power == snapshots.PAUSED and state.resume is not None
                self.switch_on(folder, vm, host, progress, left, paused=paused)
            else:
                self._place.network.leave(vm.id)
            state = folder.change(restores=state.restores + 1)
            records.remove_unused_layers(folder, state)
            return self.observation_of(folder)

    @only_driver_failures
    def snapshot_delete(
        self, vm: VmSpec, snapshot_id: str, progress: Progress, timeout: float
    ) -> dict[str, FinishedSnapshot]:
        """Removes its record, its memory, and the layers that only it needed; then merges layers if they are many."""
        left = countdown(timeout)
        with self.busy(vm.id, timeout) as (folder, lock):
            merging.recover(folder)
            state = folder.read()
            if state is not None:
                if state.resume == snapshot_id:
                    state = folder.change(resume=None)
                records.remove(folder, state, snapshot_id)
                merging.merge(folder, state, progress, left, lock)
            return records.all_taken(folder)

    @only_driver_failures
    def snapshot_ids(self, vm_id: str) -> list[str]:
        """The finished ones."""
        return records.snapshot_ids(self.folder(vm_id))

    @only_driver_failures
    def moved_files(self, vm: VmSpec, progress: Progress, timeout: float) -> list[MovedFile]:
        """Its state, the layers that it and its snapshots rest on, and its image's files."""
        with self.busy(vm.id, timeout) as (folder, _):
            self.recover(folder)
            merging.recover(folder)
            if daemon.alive(folder.path) is not None:
                raise DriverFailure(f"VM '{vm.name}' runs: it has to be off", code="invalid_state")
            return moving.files(folder, progress)

    @only_driver_failures
    def moved_file(self, vm_id: str, file: MovedFile, first: int) -> Iterator[bytes]:
        """From the VM's folder."""
        return files.read(self.folder(vm_id).path, file, first)

    @only_driver_failures
    def take_in(
        self, vm: VmSpec, files: list[MovedFile], fetched: Fetched, progress: Progress, timeout: float
    ) -> Observation:
        """A folder of what came, with this host's own image where it is here."""
        with self.busy(vm.id, timeout) as (folder, _):
            here = folder.read()
            if here is None or here.spec.home < vm.home:
                if daemon.alive(folder.path) is not None:
                    raise DriverFailure(f"VM '{vm.name}' runs on this host already", code="invalid_state")
                moving.take_in(self._place, folder, vm, files, fetched, progress)
            return self.observation_of(folder)

    @only_driver_failures
    def sample_all(self) -> list[Sample]:
        """From `/proc` and the VMs' files."""
        found = (measuring.sample(folder) for folder in self.folders())
        return [each for each in found if each is not None]

    def folders(self) -> list[LocalVmFolder]:
        """Those of all VMs."""
        return [LocalVmFolder(path) for path in sorted(self._place.vms.glob("[!.]*")) if path.is_dir()]
