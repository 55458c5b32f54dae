"""The verbs on a VM that runs or is to run: the same for every driver whose VMs are processes of this host."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from agent.drivers.base import DriverFolders, Progress
from agent.drivers.capabilities.hardware import DiskRequest
from agent.drivers.capabilities.metrics import Measurement
from agent.drivers.capabilities.resizing import SizeChange
from agent.drivers.limits import Left, countdown, only_driver_failures
from agent.drivers.local import adapters, daemon, measuring, media, restores, shutdown, snapshots
from agent.drivers.local.folder import LocalVmFolder, LocalVmRecord, folder_of, locked
from agent.drivers.local.guests import LocalGuests
from agent.drivers.local.sizes import Plugs, resize
from agent.media.media import MediaFolders
from agent.network.namespaces import Namespace
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec
from core.contract.states import Observed
from core.contract.vms import Adapter, Disk, Observation

H = TypeVar("H")
"""What the driver knows of its host when it starts a VM."""
SETTLE_SECONDS = 2.0


class LocalMachines(LocalGuests, Generic[H]):
    """Power, sizes, media and adapters; a driver says what its hypervisor does."""

    plugs: Plugs

    def __init__(self, place: DriverFolders) -> None:
        super().__init__(place)
        self._place, self._media = place, MediaFolders(place.media)

    @abstractmethod
    def host(self) -> H:
        """As it is now."""

    @abstractmethod
    def switch_on(
        self, folder: LocalVmFolder, vm: VmSpec, host: H, progress: Progress, left: Left, *, paused: bool = False
    ) -> None:
        """From any state to a guest that can be used, or a machine that stands still where it was saved."""

    @abstractmethod
    def press(self, folder: LocalVmFolder) -> None:
        """The power button, of a machine that runs."""

    @abstractmethod
    def stand_still(self, folder: LocalVmFolder, timeout: float) -> None:
        """Pauses a machine that runs."""

    @abstractmethod
    def go_on(self, folder: LocalVmFolder) -> None:
        """Its processors run, whatever had stopped them."""

    def held_goes_on(self, folder: LocalVmFolder) -> None:
        """As that, of a machine that was held for a snapshot."""
        self.go_on(folder)

    @abstractmethod
    def counted(self, folder: LocalVmFolder) -> measuring.HypervisorCounters:
        """What the hypervisor has counted."""

    @abstractmethod
    def attach(self, folder: LocalVmFolder, vm: VmSpec, request: DiskRequest, left: Left, lock: int) -> Disk:
        """A medium, whether the VM runs or not."""

    @abstractmethod
    def detach(self, folder: LocalVmFolder, vm: VmSpec, place: tuple[str, int, int], left: Left) -> None:
        """The same, away."""

    @abstractmethod
    def adapt(self, folder: LocalVmFolder, vm: VmSpec, adapter: Adapter, left: Left) -> Adapter:
        """Makes an adapter like that."""

    @only_driver_failures
    def start(self, vm: VmSpec, progress: Progress, timeout: float) -> Observation:
        """Boots, or goes on from a memory that waits for it, and returns when the guest agent answers."""
        left = countdown(timeout)
        with self.busy(vm.id, timeout) as (folder, _):
            state = self.recover(folder)
            if state.usable and daemon.alive(folder.path) is not None:
                self.go_on(folder)
            else:
                self.switch_on(folder, vm, self.host(), progress, left)
            return self.seen_after(folder, Observed.PAUSED)

    @only_driver_failures
    def stop(self, vm: VmSpec, grace_seconds: float, progress: Progress, timeout: float) -> Observation:
        """By the guest agent and the power button, then by the plug."""
        left = countdown(timeout)
        with self.busy(vm.id, timeout) as (folder, _):
            self.recover(folder, asking=False)
            state = folder.change(should_run=False, usable=False)
            shutdown.wait(folder.path, state, grace_seconds, lambda: self.press(folder), progress, left)
            daemon.cut(folder.path)
            Namespace(folder.path).wait_gone()
            self._place.network.leave(vm.id)
            return self.observation_of(folder)

    @only_driver_failures
    def pause(self, vm: VmSpec, timeout: float) -> Observation:
        """The guest's processors stand still; its memory stays."""
        with self.busy(vm.id, timeout) as (folder, _):
            self.recover(folder)
            if self.observation_of(folder).state is Observed.RUNNING:
                self.stand_still(folder, timeout)
            return self.must_become(vm, folder, Observed.PAUSED, Observed.RUNNING)

    @only_driver_failures
    def resume(self, vm: VmSpec, timeout: float) -> Observation:
        """They go on, unless what had halted them halts them again at once."""
        with self.busy(vm.id, timeout) as (folder, _):
            self.recover(folder)
            if self.observation_of(folder).state is Observed.PAUSED:
                self.go_on(folder)
            seen = self.must_become(vm, folder, Observed.RUNNING, Observed.PAUSED)
        restores.set_clock(folder)
        return seen

    @only_driver_failures
    def resize(self, vm: VmSpec, progress: Progress, timeout: float) -> SizeChange:
        """What can be plugged in and all limits at once, the rest at the next start."""
        left = countdown(timeout)
        with self.busy(vm.id, timeout) as (folder, _):
            self.recover(folder)
            return resize(folder, vm, self._place.cgroup, self.observation_of(folder).state, self.plugs, progress, left)

    @only_driver_failures
    def disk_attach(self, vm: VmSpec, request: DiskRequest, timeout: float) -> Disk:
        """At once, running or not."""
        left = countdown(timeout)
        with self.busy(vm.id, timeout) as (folder, lock):
            self.recover(folder)
            return self.attach(folder, vm, request, left, lock)

    @only_driver_failures
    def disk_detach(self, vm: VmSpec, controller: str, port: int, device: int, timeout: float) -> None:
        """At once, running or not."""
        left = countdown(timeout)
        with self.busy(vm.id, timeout) as (folder, _):
            self.recover(folder)
            self.detach(folder, vm, (controller, port, device), left)

    @only_driver_failures
    def disks(self, vm: VmSpec) -> list[Disk]:
        """From the VM's files."""
        return media.listed(self.folder(vm.id))

    @only_driver_failures
    def adapter_set(self, vm: VmSpec, adapter: Adapter, timeout: float) -> Adapter:
        """What can be while it runs, all else while it is off."""
        left = countdown(timeout)
        with self.busy(vm.id, timeout) as (folder, _):
            return self.adapt(folder, vm, adapter, left)

    @only_driver_failures
    def adapters(self, vm: VmSpec) -> list[Adapter]:
        """From the VM's files."""
        return adapters.of(self.folder(vm.id).state())

    @only_driver_failures
    def measure(self, vm: VmSpec, timeout: float) -> Measurement:
        """From `/proc`, the hypervisor and the guest agent; zeros and its disk for a VM without a process."""
        folder = self.folder(vm.id)
        return measuring.measure(folder, self.observation_of(folder).state, lambda: self.counted(folder), timeout)

    def recover(self, folder: LocalVmFolder, *, asking: bool = True) -> LocalVmRecord:
        """Undoes what a snapshot that was cut off has left; the state after that."""
        return snapshots.recover(folder, self.held_goes_on, asking=asking)

    def folder(self, vm_id: str) -> LocalVmFolder:
        """That of one, whether or not it is there."""
        return folder_of(self._place.vms, vm_id)

    @contextmanager
    def busy(self, vm_id: str, timeout: float) -> Iterator[tuple[LocalVmFolder, int]]:
        """The VM for one verb at a time: its folder, and the lock."""
        folder = self.folder(vm_id)
        with locked(self._place.vms, vm_id, timeout) as lock:
            yield folder, lock

    def must_become(self, vm: VmSpec, folder: LocalVmFolder, after: Observed, before: Observed) -> Observation:
        """What is seen; `DriverFailure` unless it is so by now."""
        seen = self.seen_after(folder, before)
        if seen.state is not after:
            raise DriverFailure(f"VM '{vm.name}' is {seen.state}, but must be {before}", code="invalid_state")
        return seen

    def seen_after(self, folder: LocalVmFolder, before: Observed) -> Observation:
        """What is seen, once that is over: a hypervisor writes an event just after its answer."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while (seen := self.observation_of(folder)).state is before and time.monotonic() < deadline:
            time.sleep(0.005)
        return seen
