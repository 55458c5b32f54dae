"""The QEMU driver's verbs."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager

from agent import cgroups, process
from agent.drivers.base import Console, Place, Progress
from agent.drivers.durable import sync_folder
from agent.drivers.groups.hardware import DiskRequest
from agent.drivers.groups.metrics import Measured, Sample
from agent.drivers.groups.resizing import Resized
from agent.drivers.groups.snapshots import SnapshotTaken
from agent.drivers.images import find
from agent.drivers.limits import countdown, only_driver_failures
from agent.drivers.local import adapters as local_adapters
from agent.drivers.local import daemon, disks, images, merging, records, restores
from agent.drivers.local import measuring as local_measuring
from agent.drivers.local import media as local_media
from agent.drivers.local.folder import STATE, Folder, State, folder_of, locked
from agent.drivers.local.guests import Guests
from agent.drivers.local.snapshots import PAUSED, STOPPED
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
from agent.drivers.qemu.observing import observe
from agent.drivers.qemu.qmp import Monitor
from agent.media import Media
from core.contract.errors import DriverFailure
from core.contract.messages import DriverHealth, Forward, Observation, VmSpec
from core.contract.states import Observed
from core.contract.vms import Adapter, Disk

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
        "pause",
        "port_forwards",
        "resizing",
        "snapshots",
        "snapshots_with_memory",
    }
)
INSTALL = "apt-get install qemu-system-x86 qemu-utils"


class QemuDriver(Guests):
    """All but credentials, over QEMU processes."""

    name = "qemu"
    capabilities = CAPABILITIES

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._place, self._media = place, Media(place.media)

    def probe(self) -> DriverHealth:
        """QEMU's version and what really accelerates it."""
        try:
            process.run(["qemu-img", "--version"], 10.0)
            host = self._host()
        except process.MissingProgram as error:
            return DriverHealth(self.name, False, problem=f"{error.message}: {INSTALL}")
        except (DriverFailure, OSError) as error:
            return DriverHealth(self.name, False, problem=f"QEMU does not run: {error}")
        return DriverHealth(self.name, True, host.version, host.acceleration, sorted(self.capabilities))

    @only_driver_failures
    def create(self, vm: VmSpec, progress: Progress, timeout: float) -> Observation:
        """Its folder, the image's files as links, and an empty layer over the image's disk; the state comes last."""
        with self._busy(vm.id, timeout) as (folder, lock):
            if folder.read() is None:
                progress("making the disk", None)
                find(self._place.images, vm)
                shutil.rmtree(folder.path, ignore_errors=True)
                folder.path.mkdir(mode=0o700, parents=True)
                image = images.take(self._place.images, vm, folder.image, self._place.vms)
                having = adapters.KINDS.asked(vm, image)
                layer = disks.first_layer(folder, image, vm.disk_gb, lock)
                folder.write(State(vm, image, layer, adapters=having))
                sync_folder(self._place.vms)
            return observe(folder)

    @only_driver_failures
    def start(self, vm: VmSpec, progress: Progress, timeout: float) -> Observation:
        """Boots, or goes on from a memory that waits for it, and returns when the guest agent answers."""
        left = countdown(timeout)
        with self._busy(vm.id, timeout) as (folder, _):
            state = snapshots.settle(folder)
            if state.usable and daemon.alive(folder.path) is not None:
                power.go_on(folder)
            else:
                power.switch_on(folder, vm, self._host(), progress, left)
            return observe(folder)

    @only_driver_failures
    def stop(self, vm: VmSpec, grace_seconds: float, progress: Progress, timeout: float) -> Observation:
        """By the guest agent and the power button, then by the plug."""
        left = countdown(timeout)
        with self._busy(vm.id, timeout) as (folder, _):
            snapshots.settle(folder)
            power.switch_off(folder, grace_seconds, progress, left)
            self._place.network.leave(vm.id)
            return observe(folder)

    @only_driver_failures
    def pause(self, vm: VmSpec, timeout: float) -> Observation:
        """The guest's processors stand still; its memory stays."""
        return self._between(vm, "stop", Observed.RUNNING, Observed.PAUSED, timeout)

    @only_driver_failures
    def resume(self, vm: VmSpec, timeout: float) -> Observation:
        """They go on."""
        seen = self._between(vm, "cont", Observed.PAUSED, Observed.RUNNING, timeout)
        restores.set_clock(self._folder(vm.id))
        return seen

    @only_driver_failures
    def delete(self, vm: VmSpec, timeout: float) -> Observation:
        """Cuts the power and removes the folder, its state first, so that half a VM is none."""
        with self._busy(vm.id, timeout) as (folder, _):
            daemon.cut(folder.path)
            self._place.network.leave(vm.id)
            (folder.path / STATE).unlink(missing_ok=True)
            shutil.rmtree(folder.path, ignore_errors=True)
            if folder.path.exists():
                raise DriverFailure(f"{folder.path} could not be removed")
            cgroups.remove(self._place.cgroup, vm.id)
            images.tidy(self._place.vms)
        return Observation(vm.id, Observed.ABSENT)

    @only_driver_failures
    def observe(self, vm_id: str) -> Observation:
        """From the VM's files and its process's lock; asks QEMU nothing."""
        return observe(self._folder(vm_id))

    @only_driver_failures
    def observe_all(self) -> list[Observation]:
        """Every VM with a whole state; the logs of their consoles are kept short by the way."""
        folders = self._folders()
        for folder in folders:
            launch.trim_console(folder)
        seen = [observe(folder) for folder in folders]
        return [each for each in seen if each.state is not Observed.ABSENT]

    def console(self, vm_id: str) -> Console:
        """QEMU's own log, and the socket that it serves."""
        folder = self._folder(vm_id).path
        return Console(folder / command.CONSOLE_LOG, folder / command.CONSOLE_SOCKET)

    @only_driver_failures
    def snapshot_create(
        self, vm: VmSpec, snapshot_id: str, include_memory: bool, progress: Progress, timeout: float
    ) -> SnapshotTaken:
        """Freezes the disk's layer, and saves the memory while the guest waits."""
        left = countdown(timeout)
        with self._busy(vm.id, timeout) as (folder, lock):
            snapshots.settle(folder)
            merging.recover(folder)
            found = records.read(folder, snapshot_id)
            if found is None:
                progress("taking the snapshot", None)
                found = snapshots.take(folder, snapshot_id, include_memory, progress, left, lock)
                records.remove_unused_layers(folder, folder.state())
            return found.taken

    @only_driver_failures
    def snapshot_restore(
        self, vm: VmSpec, snapshot_id: str, start: bool | None, progress: Progress, timeout: float
    ) -> Observation:
        """Checks every file, then puts it back and starts, or not."""
        left = countdown(timeout)
        with self._busy(vm.id, timeout) as (folder, lock):
            host = self._host()
            folder.state()
            merging.recover(folder)
            snapshot = restores.check(folder, snapshot_id, None if start is False else host.acceleration, progress)
            running = snapshot.power != STOPPED if start is None else start
            state = restores.put_back(folder, snapshot, events.OUT, running=running, lock=lock)
            if running:
                paused = start is None and snapshot.power == PAUSED and state.resume is not None
                power.switch_on(folder, vm, host, progress, left, paused=paused)
            else:
                self._place.network.leave(vm.id)
            state = folder.change(restores=state.restores + 1)
            records.remove_unused_layers(folder, state)
            return observe(folder)

    @only_driver_failures
    def snapshot_delete(
        self, vm: VmSpec, snapshot_id: str, progress: Progress, timeout: float
    ) -> dict[str, SnapshotTaken]:
        """Removes its record, its memory, and the layers that only it needed; then merges layers if they are many."""
        left = countdown(timeout)
        with self._busy(vm.id, timeout) as (folder, lock):
            merging.recover(folder)
            state = folder.read()
            if state is not None:
                if state.resume == snapshot_id:
                    state = folder.change(resume=None)
                records.remove(folder, state, snapshot_id)
                merging.merge(folder, state, progress, left, lock)
            return records.all_taken(folder)

    @only_driver_failures
    def set_port_forwards(self, vm: VmSpec, timeout: float) -> None:
        """By QEMU's monitor if it runs; else remembered, so that only a new one's port must be free."""
        left = countdown(timeout)
        with self._busy(vm.id, timeout) as (folder, _):
            forwarding.apply(folder, self._place.network, vm, left)

    @only_driver_failures
    def port_forwards(self, vm_id: str) -> list[Forward]:
        """As QEMU lists them."""
        return forwarding.seen(self._folder(vm_id), self._place.network)

    @only_driver_failures
    def snapshot_ids(self, vm_id: str) -> list[str]:
        """The finished ones."""
        return records.ids(self._folder(vm_id))

    @only_driver_failures
    def resize(self, vm: VmSpec, progress: Progress, timeout: float) -> Resized:
        """More vCPUs and all limits at once, the rest at the next start."""
        left = countdown(timeout)
        with self._busy(vm.id, timeout) as (folder, _):
            snapshots.settle(folder)
            return sizes.resize(folder, vm, self._place.cgroup, progress, left)

    @only_driver_failures
    def disks(self, vm: VmSpec) -> list[Disk]:
        """From the VM's files; asks QEMU nothing."""
        return local_media.listed(self._folder(vm.id))

    @only_driver_failures
    def disk_attach(self, vm: VmSpec, request: DiskRequest, timeout: float) -> Disk:
        """At once, running or not."""
        left = countdown(timeout)
        with self._busy(vm.id, timeout) as (folder, lock):
            snapshots.settle(folder)
            return media.attach(folder, self._media, vm, request, left, lock)

    @only_driver_failures
    def disk_detach(self, vm: VmSpec, controller: str, port: int, device: int, timeout: float) -> None:
        """At once, running or not."""
        left = countdown(timeout)
        with self._busy(vm.id, timeout) as (folder, _):
            snapshots.settle(folder)
            media.detach(folder, vm, (controller, port, device), left)

    @only_driver_failures
    def adapters(self, vm: VmSpec) -> list[Adapter]:
        """From the VM's files."""
        return local_adapters.of(self._folder(vm.id).state())

    @only_driver_failures
    def adapter_set(self, vm: VmSpec, adapter: Adapter, timeout: float) -> Adapter:
        """The cable while it runs, all else while it is off."""
        left = countdown(timeout)
        with self._busy(vm.id, timeout) as (folder, _):
            return adapters.change(folder, vm, adapter, left)

    @only_driver_failures
    def sample_all(self) -> list[Sample]:
        """From `/proc` and the VMs' files."""
        found = (local_measuring.sample(folder) for folder in self._folders())
        return [each for each in found if each is not None]

    @only_driver_failures
    def measure(self, vm: VmSpec, timeout: float) -> Measured:
        """From `/proc`, QEMU's monitor and the guest agent; zeros and its disk for a VM without a process."""
        return measuring.measure(self._folder(vm.id), timeout)

    def _between(self, vm: VmSpec, order: str, before: Observed, after: Observed, timeout: float) -> Observation:
        with self._busy(vm.id, timeout) as (folder, _):
            snapshots.settle(folder)
            seen = observe(folder)
            if seen.state is before:
                with Monitor(folder.path, timeout) as monitor:
                    monitor.ask(order)
                seen = _wait_for(folder, after)
            if seen.state is not after:
                raise DriverFailure(
                    f"VM '{vm.name}' is {seen.state}, and would have to be {before}", code="invalid_state"
                )
            return seen

    def seen(self, folder: Folder) -> Observation:
        """From its files."""
        return observe(folder)

    def _host(self) -> power.Host:
        version = acceleration.version()
        return power.Host(
            acceleration.choose(self._place.images, version),
            version,
            self._place.cgroup,
            self._place.network,
            self._media,
        )

    def _folders(self) -> list[Folder]:
        return [Folder(path) for path in sorted(self._place.vms.glob("[!.]*")) if path.is_dir()]

    def _folder(self, vm_id: str) -> Folder:
        return folder_of(self._place.vms, vm_id)

    @contextmanager
    def _busy(self, vm_id: str, timeout: float) -> Iterator[tuple[Folder, int]]:
        folder = self._folder(vm_id)
        with locked(self._place.vms, vm_id, timeout) as lock:
            yield folder, lock


def _wait_for(folder: Folder, state: Observed) -> Observation:
    """QEMU writes an event just after its answer."""
    deadline = time.monotonic() + 2.0
    while (seen := observe(folder)).state is not state and time.monotonic() < deadline:
        time.sleep(0.005)
    return seen
