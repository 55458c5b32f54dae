"""The Cloud Hypervisor driver's verbs."""

from __future__ import annotations

from agent.drivers import consoles
from agent.drivers.base import Console, Progress
from agent.drivers.cloud_hypervisor import (
    config,
    events,
    hardware,
    images,
    measuring,
    networking,
    power,
    program,
    sizes,
    snapshots,
)
from agent.drivers.cloud_hypervisor.api import Api
from agent.drivers.cloud_hypervisor.launch import Host
from agent.drivers.cloud_hypervisor.observing import observe
from agent.drivers.groups.hardware import DiskRequest
from agent.drivers.groups.metrics import Measured
from agent.drivers.groups.resizing import Resized
from agent.drivers.limits import Left, countdown, only_driver_failures
from agent.drivers.local import daemon, records, restores
from agent.drivers.local.driver import CAPABILITIES, LocalDriver
from agent.drivers.local.folder import Folder, State
from core.contract.errors import DriverFailure
from core.contract.images import Manifest
from core.contract.messages import DriverHealth, Forward, Observation, VmSpec
from core.contract.states import Observed
from core.contract.vms import Adapter, Disk


class CloudHypervisorDriver(LocalDriver[Host]):
    """All but credentials, over one process a VM."""

    name = "cloud-hypervisor"
    capabilities = CAPABILITIES
    kinds = networking.KINDS
    events = events.FILE

    def probe(self) -> DriverHealth:
        """Its version, and whether it really runs a guest here."""
        try:
            version = program.version()
            runs = program.runs_guests(self._place.images)
        except (DriverFailure, OSError) as error:
            return DriverHealth(self.name, False, problem=str(error))
        if not runs:
            problem = "the KVM of this host does not run a guest of Cloud Hypervisor's to the end of its kernel's start"
            return DriverHealth(self.name, False, version.name, "", sorted(self.capabilities), problem)
        return DriverHealth(self.name, True, version.name, "kvm", sorted(self.capabilities))

    @only_driver_failures
    def start(self, vm: VmSpec, progress: Progress, timeout: float) -> Observation:
        """Boots, or goes on from a memory that waits for it, and returns when the guest agent answers."""
        left = countdown(timeout)
        with self.busy(vm.id, timeout) as (folder, _):
            state = self.settle(folder)
            if state.usable and daemon.alive(folder.path) is not None:
                power.go_on(folder)
            else:
                self.switch_on(folder, vm, self.host(), progress, left)
            return self.seen_after(folder, Observed.PAUSED)

    @only_driver_failures
    def stop(self, vm: VmSpec, grace_seconds: float, progress: Progress, timeout: float) -> Observation:
        """By the guest agent and the power button, then by the plug."""
        left = countdown(timeout)
        with self.busy(vm.id, timeout) as (folder, _):
            self.settle(folder)
            power.switch_off(folder, grace_seconds, progress, left)
            self._place.network.leave(vm.id)
            return observe(folder)

    @only_driver_failures
    def pause(self, vm: VmSpec, timeout: float) -> Observation:
        """The guest's processors stand still; its memory stays."""
        return self._between(vm, "vm.pause", Observed.RUNNING, Observed.PAUSED, timeout)

    @only_driver_failures
    def resume(self, vm: VmSpec, timeout: float) -> Observation:
        """They go on."""
        seen = self._between(vm, "vm.resume", Observed.PAUSED, Observed.RUNNING, timeout)
        restores.set_clock(self.folder(vm.id))
        return seen

    @only_driver_failures
    def console(self, vm_id: str) -> Console:
        """Its serial port, by a relay."""
        folder = self.folder(vm_id).path
        return consoles.console(folder, folder / config.SERIAL)

    @only_driver_failures
    def set_port_forwards(self, vm: VmSpec, timeout: float) -> None:
        """By its network if it runs; else remembered, so that only a new one's port must be free."""
        with self.busy(vm.id, timeout) as (folder, _):
            networking.apply_forwards(folder, self._place.network, vm)

    @only_driver_failures
    def port_forwards(self, vm_id: str) -> list[Forward]:
        """As its network lists them."""
        return networking.forwards(self.folder(vm_id), self._place.network)

    @only_driver_failures
    def resize(self, vm: VmSpec, progress: Progress, timeout: float) -> Resized:
        """More vCPUs, more memory and all limits at once, the rest at the next start."""
        left = countdown(timeout)
        with self.busy(vm.id, timeout) as (folder, _):
            self.settle(folder)
            return sizes.resize(folder, vm, self._place.cgroup, progress, left)

    @only_driver_failures
    def disk_attach(self, vm: VmSpec, request: DiskRequest, timeout: float) -> Disk:
        """At once, running or not."""
        left = countdown(timeout)
        with self.busy(vm.id, timeout) as (folder, lock):
            self.settle(folder)
            return hardware.attach(folder, self._media, vm, request, left, lock)

    @only_driver_failures
    def disk_detach(self, vm: VmSpec, controller: str, port: int, device: int, timeout: float) -> None:
        """At once, running or not."""
        left = countdown(timeout)
        with self.busy(vm.id, timeout) as (folder, _):
            self.settle(folder)
            hardware.detach(folder, vm, (controller, port, device), left)

    @only_driver_failures
    def adapter_set(self, vm: VmSpec, adapter: Adapter, timeout: float) -> Adapter:
        """At once, running or not."""
        left = countdown(timeout)
        with self.busy(vm.id, timeout) as (folder, _):
            return networking.change(folder, self._place.network, vm, adapter, left)

    @only_driver_failures
    def measure(self, vm: VmSpec, timeout: float) -> Measured:
        """From `/proc`, its counters and the guest agent; zeros and its disk for a VM without a process."""
        return measuring.measure(self.folder(vm.id), timeout)

    def seen(self, folder: Folder) -> Observation:
        """From its files."""
        return observe(folder)

    def host(self) -> Host:
        """The program and its version, and what the agent was given."""
        place = self._place
        return Host(program.path(), program.version(), place.cgroup, place.network, self._media, place.media)

    def acceleration(self, host: Host) -> str:
        """There is no other."""
        return "kvm"

    def first_disk(self, folder: Folder, image: Manifest | None, disk_gb: int, lock: int) -> tuple[str, str | None]:
        """A reflink, else a layer, else a copy."""
        return images.first_disk(folder, image, disk_gb, lock)

    def switch_on(
        self, folder: Folder, vm: VmSpec, host: Host, progress: Progress, left: Left, *, paused: bool = False
    ) -> None:
        """By a process of its own."""
        power.switch_on(folder, vm, host, progress, left, paused=paused)

    def settle(self, folder: Folder) -> State:
        """Set going, and thawed."""
        return snapshots.settle(folder)

    def take(
        self, folder: Folder, snapshot_id: str, include_memory: bool, progress: Progress, left: Left, lock: int
    ) -> records.Snapshot:
        """The memory in a folder, the disk as a copy or a layer."""
        return snapshots.take(folder, snapshot_id, include_memory, self.host(), progress, left, lock)

    def _between(self, vm: VmSpec, order: str, before: Observed, after: Observed, timeout: float) -> Observation:
        with self.busy(vm.id, timeout) as (folder, _):
            self.settle(folder)
            if observe(folder).state is before:
                Api(folder.path, timeout).put(order)
            return self.must_become(vm, folder, after, before)
