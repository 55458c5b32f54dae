"""The QEMU driver's verbs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from agent import process
from agent.drivers.base import Console, Progress
from agent.drivers.groups.hardware import DiskRequest
from agent.drivers.groups.metrics import Measured
from agent.drivers.groups.resizing import Resized
from agent.drivers.limits import Left, countdown, only_driver_failures
from agent.drivers.local import daemon, disks, records, restores
from agent.drivers.local.driver import CAPABILITIES, LocalDriver
from agent.drivers.local.folder import Folder, State
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
    watching,
)
from agent.drivers.qemu.observing import observe
from agent.drivers.qemu.qmp import Monitor
from core.contract.errors import DriverFailure
from core.contract.images import Manifest
from core.contract.messages import DriverHealth, Forward, Observation, VmSpec
from core.contract.states import Observed
from core.contract.vms import Adapter, Disk

INSTALL = "apt-get install qemu-system-x86 qemu-utils"


class QemuDriver(LocalDriver[power.Host]):
    """All but credentials, over QEMU processes."""

    name = "qemu"
    capabilities = CAPABILITIES
    kinds = adapters.KINDS
    events = events.OUT

    def probe(self) -> DriverHealth:
        """QEMU's version and what really accelerates it."""
        try:
            process.run(["qemu-img", "--version"], 10.0)
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
    def start(self, vm: VmSpec, progress: Progress, timeout: float) -> Observation:
        """Boots, or goes on from a memory that waits for it, and returns when the guest agent answers."""
        left = countdown(timeout)
        with self.busy(vm.id, timeout) as (folder, _):
            state = snapshots.settle(folder)
            if state.usable and daemon.alive(folder.path) is not None:
                power.go_on(folder)
            else:
                power.switch_on(folder, vm, self.host(), progress, left)
            return observe(folder)

    @only_driver_failures
    def stop(self, vm: VmSpec, grace_seconds: float, progress: Progress, timeout: float) -> Observation:
        """By the guest agent and the power button, then by the plug."""
        left = countdown(timeout)
        with self.busy(vm.id, timeout) as (folder, _):
            snapshots.settle(folder, asking=False)
            power.switch_off(folder, grace_seconds, progress, left)
            self._place.network.leave(vm.id)
            return observe(folder)

    @only_driver_failures
    def pause(self, vm: VmSpec, timeout: float) -> Observation:
        """The guest's processors stand still; its memory stays."""
        return self._between(vm, "stop", Observed.RUNNING, Observed.PAUSED, timeout)

    @only_driver_failures
    def resume(self, vm: VmSpec, timeout: float) -> Observation:
        """They go on, unless what had halted them halts them again at once."""
        seen = self._between(vm, "cont", Observed.PAUSED, Observed.RUNNING, timeout)
        restores.set_clock(self.folder(vm.id))
        return seen

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
        return forwarding.seen(self.folder(vm_id), self._place.network)

    @only_driver_failures
    def resize(self, vm: VmSpec, progress: Progress, timeout: float) -> Resized:
        """More vCPUs and all limits at once, the rest at the next start."""
        left = countdown(timeout)
        with self.busy(vm.id, timeout) as (folder, _):
            snapshots.settle(folder)
            return sizes.resize(folder, vm, self._place.cgroup, progress, left)

    @only_driver_failures
    def disk_attach(self, vm: VmSpec, request: DiskRequest, timeout: float) -> Disk:
        """At once, running or not."""
        left = countdown(timeout)
        with self.busy(vm.id, timeout) as (folder, lock):
            snapshots.settle(folder)
            return media.attach(folder, self._media, vm, request, left, lock)

    @only_driver_failures
    def disk_detach(self, vm: VmSpec, controller: str, port: int, device: int, timeout: float) -> None:
        """At once, running or not."""
        left = countdown(timeout)
        with self.busy(vm.id, timeout) as (folder, _):
            snapshots.settle(folder)
            media.detach(folder, vm, (controller, port, device), left)

    @only_driver_failures
    def adapter_set(self, vm: VmSpec, adapter: Adapter, timeout: float) -> Adapter:
        """The cable while it runs, all else while it is off."""
        left = countdown(timeout)
        with self.busy(vm.id, timeout) as (folder, _):
            return adapters.change(folder, vm, adapter, left)

    @only_driver_failures
    def measure(self, vm: VmSpec, timeout: float) -> Measured:
        """From `/proc`, QEMU's monitor and the guest agent; zeros and its disk for a VM without a process."""
        return measuring.measure(self.folder(vm.id), timeout)

    def seen(self, folder: Folder) -> Observation:
        """From its files."""
        return observe(folder)

    @contextmanager
    def watched(self, folder: Folder) -> Iterator[watching.Watch]:
        """By QEMU's record of events."""
        with watching.watched(folder) as watch:
            yield watch

    def host(self) -> power.Host:
        """QEMU's version, and what really accelerates it."""
        version = acceleration.version()
        return power.Host(
            acceleration.choose(self._place.images, self._place.network.user_mode.users),
            version,
            self._place.cgroup,
            self._place.network,
            self._media,
        )

    def acceleration(self, host: power.Host) -> str:
        """What that found."""
        return host.acceleration

    def first_disk(self, folder: Folder, image: Manifest | None, disk_gb: int, lock: int) -> tuple[str, str | None]:
        """A layer over the image's."""
        return disks.first_layer(folder, image, disk_gb, lock), None

    def switch_on(
        self, folder: Folder, vm: VmSpec, host: power.Host, progress: Progress, left: Left, *, paused: bool = False
    ) -> None:
        """By a process of its own."""
        power.switch_on(folder, vm, host, progress, left, paused=paused)

    def settle(self, folder: Folder) -> State:
        """Set going, and thawed."""
        return snapshots.settle(folder)

    def take(
        self, folder: Folder, snapshot_id: str, include_memory: bool, progress: Progress, left: Left, lock: int
    ) -> records.Snapshot:
        """Freezes the disk's layer, and saves the memory while the guest waits."""
        return snapshots.take(folder, snapshot_id, include_memory, progress, left, lock)

    def _between(self, vm: VmSpec, order: str, before: Observed, after: Observed, timeout: float) -> Observation:
        with self.busy(vm.id, timeout) as (folder, _):
            snapshots.settle(folder)
            if observe(folder).state is before:
                with Monitor(folder.path, timeout) as monitor:
                    monitor.ask(order)
                if after is Observed.RUNNING:
                    power.must_not_halt_again(folder)
            return self.must_become(vm, folder, after, before)
