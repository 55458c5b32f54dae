"""The QEMU driver's verbs."""

from __future__ import annotations

from agent.drivers.base import Console, Progress
from agent.drivers.capabilities.hardware import DiskRequest
from agent.drivers.limits import Left, countdown, only_driver_failures
from agent.drivers.local import disks, records
from agent.drivers.local.driver import CAPABILITIES, LocalDriver
from agent.drivers.local.folder import LocalVmFolder
from agent.drivers.local.measuring import HypervisorCounters
from agent.drivers.qemu import (
    acceleration,
    adapters,
    command,
    events,
    forwarding,
    launch,
    measuring,
    media,
    power,
    sizes,
    snapshots,
)
from agent.drivers.qemu.qmp import Monitor
from agent.guest.disks import Judge
from agent.system import process
from core.contract.errors import DriverFailure
from core.contract.hosts import DriverHealth
from core.contract.images import ImageManifest
from core.contract.messages import Forward, VmSpec
from core.contract.vms import Adapter, Disk, Observation

INSTALL = "apt-get install qemu-system-x86 qemu-utils"


class QemuDriver(LocalDriver[power.QemuHost]):
    """The driver of QEMU, one process a VM: all capabilities but credentials."""

    name = "qemu"
    capabilities = CAPABILITIES
    kinds = adapters.KINDS
    record = events.RECORD
    writes = (events.OUT, launch.LOG)
    plugs = sizes.PLUGS

    def probe(self) -> DriverHealth:
        """QEMU's version and what really accelerates it."""
        try:
            process.run(["qemu-img", "--version"], acceleration.VERSION_SECONDS)
            host = self.host()
        except process.MissingProgram as error:
            return DriverHealth(self.name, False, problem=f"{error.message}: {INSTALL}")
        except (DriverFailure, OSError) as error:
            return DriverHealth(self.name, False, problem=f"QEMU does not run: {error}")
        user_mode = self._place.network.user_mode
        user_mode.found_anew()
        return DriverHealth(
            self.name, True, host.version, host.acceleration, sorted(self.capabilities), problem=user_mode.problem
        )

    @only_driver_failures
    def observe_all(self) -> list[Observation]:
        """Every VM with a whole state; the logs of their consoles are kept short by the way."""
        for folder in self.folders():
            launch.trim_console(folder)
        return super().observe_all()

    def console(self, vm_id: str) -> Console:
        """QEMU's own log, and the socket that it serves."""
        folder = self.folder(vm_id).path
        return Console(folder / command.CONSOLE_LOG, folder / command.CONSOLE_SOCKET)

    @only_driver_failures
    def set_port_forwards(self, vm: VmSpec, timeout: float) -> None:
        """By QEMU's monitor if it runs; else remembered, so that only a new one's port must be free."""
        left = countdown(timeout)
        with self.busy(vm.id, timeout) as (folder, _):
            forwarding.apply(folder, self._place.network, vm, left)

    @only_driver_failures
    def port_forwards(self, vm_id: str) -> list[Forward]:
        """As QEMU lists them."""
        return forwarding.in_effect(self.folder(vm_id), self._place.network)

    def host(self) -> power.QemuHost:
        """QEMU's version, and what really accelerates it."""
        version = acceleration.version()
        return power.QemuHost(
            acceleration.choose(self._place.images, self._place.network.user_mode.users),
            version,
            self._place.cgroup,
            self._place.network,
            self._media,
        )

    def acceleration(self, host: power.QemuHost) -> str:
        """What that found."""
        return host.acceleration

    def first_disk(
        self, folder: LocalVmFolder, image: ImageManifest | None, disk_gb: int, lock: int
    ) -> tuple[str, str | None]:
        """A layer over the image's."""
        return disks.first_layer(folder, image, disk_gb, lock), None

    def switch_on(
        self,
        folder: LocalVmFolder,
        vm: VmSpec,
        host: power.QemuHost,
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
        """Freezes the disk's layer, and saves the memory while the guest waits."""
        return snapshots.take(folder, snapshot_id, include_memory, progress, left, lock)

    def press(self, folder: LocalVmFolder) -> None:
        """By its monitor."""
        power.press(folder)

    def stand_still(self, folder: LocalVmFolder, timeout: float) -> None:
        """By its monitor."""
        with Monitor(folder.path, timeout) as monitor:
            monitor.ask("stop")

    def go_on(self, folder: LocalVmFolder) -> None:
        """By its monitor; `DriverFailure` when what had halted it halts it again."""
        power.go_on(folder)
        power.must_not_halt_again(folder)

    def held_goes_on(self, folder: LocalVmFolder) -> None:
        """What it was writing is given up."""
        snapshots.go_on(folder)

    def counted(self, folder: LocalVmFolder) -> HypervisorCounters:
        """By its disks."""
        return measuring.counted(folder)

    def known_by(self, folder: LocalVmFolder, vm: VmSpec, disk: Disk, timeout: float) -> Judge:
        """By its serial number."""
        return media.known_by(vm, disk)

    def attach(self, folder: LocalVmFolder, vm: VmSpec, request: DiskRequest, left: Left, lock: int) -> Disk:
        """On its SCSI controller."""
        return media.attach(folder, self._media, vm, request, left, lock)

    def detach(self, folder: LocalVmFolder, vm: VmSpec, place: tuple[str, int, int], left: Left) -> None:
        """From there."""
        media.detach(folder, vm, place, left)

    def adapt(self, folder: LocalVmFolder, vm: VmSpec, adapter: Adapter, left: Left) -> Adapter:
        """The cable while it runs, all else while it is off."""
        return adapters.change(folder, vm, adapter, left)
