"""The Cloud Hypervisor driver's verbs."""

from __future__ import annotations

from agent.drivers import consoles
from agent.drivers.base import Console, Progress
from agent.drivers.capabilities.hardware import DiskRequest
from agent.drivers.cloud_hypervisor import (
    config,
    confinement,
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
from agent.drivers.cloud_hypervisor.api import CloudHypervisorApi
from agent.drivers.cloud_hypervisor.launch import CloudHypervisorHost
from agent.drivers.limits import Left, only_driver_failures
from agent.drivers.local import records
from agent.drivers.local.driver import CAPABILITIES, LocalDriver
from agent.drivers.local.folder import LocalVmFolder
from agent.drivers.local.measuring import HypervisorCounters
from agent.guest.disks import Judge
from core.contract.errors import DriverFailure
from core.contract.hosts import DriverHealth
from core.contract.images import ImageManifest
from core.contract.messages import Forward, VmSpec
from core.contract.vms import Adapter, Disk


class CloudHypervisorDriver(LocalDriver[CloudHypervisorHost]):
    """The driver of Cloud Hypervisor, one process a VM: all capabilities but credentials."""

    name = "cloud-hypervisor"
    capabilities = CAPABILITIES
    kinds = networking.KINDS
    record = events.RECORD
    writes = (events.FILE, confinement.LOG)
    plugs = sizes.PLUGS

    def probe(self) -> DriverHealth:
        """Its version, and whether it really runs a guest here."""
        try:
            version = program.version()
            runs = program.runs_guests(self._place.images)
        except (DriverFailure, OSError) as error:
            return DriverHealth(self.name, False, problem=str(error))
        if not runs:
            problem = "KVM on this host can't run a Cloud Hypervisor guest: its kernel did not boot to the end"
            return DriverHealth(self.name, False, version.name, "", sorted(self.capabilities), problem)
        return DriverHealth(self.name, True, version.name, "kvm", sorted(self.capabilities))

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

    def host(self) -> CloudHypervisorHost:
        """The program and its version, and what the agent was given."""
        place = self._place
        return CloudHypervisorHost(
            program.path(), program.version(), place.cgroup, place.network, self._media, place.media
        )

    def acceleration(self, host: CloudHypervisorHost) -> str:
        """There is no other."""
        return "kvm"

    def first_disk(
        self, folder: LocalVmFolder, image: ImageManifest | None, disk_gb: int, lock: int
    ) -> tuple[str, str | None]:
        """A reflink, else a layer, else a copy."""
        return images.first_disk(folder, image, disk_gb, lock)

    def switch_on(
        self,
        folder: LocalVmFolder,
        vm: VmSpec,
        host: CloudHypervisorHost,
        progress: Progress,
        left: Left,
        *,
        paused: bool = False,
    ) -> None:
        """By a process of its own."""
        power.switch_on(folder, vm, host, progress, left, paused=paused)

    def take(
        self, folder: LocalVmFolder, snapshot_id: str, include_memory: bool, progress: Progress, left: Left, lock: int
    ) -> records.LocalSnapshot:
        """The memory in a folder, the disk as a copy or a layer."""
        return snapshots.take(folder, snapshot_id, include_memory, self.host(), progress, left, lock)

    def press(self, folder: LocalVmFolder) -> None:
        """By its API."""
        power.press(folder)

    def stand_still(self, folder: LocalVmFolder, timeout: float) -> None:
        """By its API."""
        CloudHypervisorApi(folder.path, timeout).put("vm.pause")

    def go_on(self, folder: LocalVmFolder) -> None:
        """By its API."""
        power.go_on(folder)

    def known_by(self, folder: LocalVmFolder, vm: VmSpec, disk: Disk, timeout: float) -> Judge | None:
        """By its place on the PCI bus."""
        return hardware.known_by(folder, vm, disk, timeout)

    def counted(self, folder: LocalVmFolder) -> HypervisorCounters:
        """By its disks and adapters."""
        return measuring.counted(folder)

    def attach(self, folder: LocalVmFolder, vm: VmSpec, request: DiskRequest, left: Left, lock: int) -> Disk:
        """A virtio disk of its own."""
        return hardware.attach(folder, self._media, vm, request, left, lock)

    def detach(self, folder: LocalVmFolder, vm: VmSpec, place: tuple[str, int, int], left: Left) -> None:
        """Once its guest has let go of it."""
        hardware.detach(folder, vm, place, left)

    def adapt(self, folder: LocalVmFolder, vm: VmSpec, adapter: Adapter, left: Left) -> Adapter:
        """At once, running or not."""
        return networking.change(folder, self._place.network, vm, adapter, left)
