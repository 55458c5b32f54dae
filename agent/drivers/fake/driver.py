"""The fake driver's verbs."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace

from agent.drivers import nics, places
from agent.drivers.base import Console, DriverFolders, Progress
from agent.drivers.capabilities.hardware import DiskRequest
from agent.drivers.capabilities.metrics import Measurement, Sample
from agent.drivers.capabilities.resizing import SizeChange
from agent.drivers.capabilities.snapshots import FinishedSnapshot
from agent.drivers.fake import hardware, measuring, snapshots, state
from agent.drivers.fake.behaviour import Behaviour, behaviour, misbehave, silent
from agent.drivers.fake.listing import Listing
from agent.drivers.fake.moving import FakeMoves
from agent.drivers.fake.state import FakeVmRecord
from agent.drivers.images import find
from agent.media.media import MediaFolders
from agent.network import ports
from core.contract.errors import DriverFailure
from core.contract.hosts import DriverHealth
from core.contract.messages import Forward, VmSpec
from core.contract.states import Applied, Observed
from core.contract.vms import Adapter, Disk, Observation


class FakeDriver(FakeMoves):
    """The fake driver, over files: all but credentials. A forwarded port must be free; nothing listens there."""

    name = "fake"
    capabilities = frozenset(
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
            "saved_states",
            "snapshots",
            "snapshots_with_memory",
            "terminals",
        }
    )

    def __init__(self, place: DriverFolders) -> None:
        super().__init__(place)
        self._vms = place.vms
        self._network, self._media = place.network, MediaFolders(place.media)
        self._listing = Listing(place.vms)

    def probe(self) -> DriverHealth:
        """Always well."""
        return DriverHealth(self.name, True, "1", "none", sorted(self.capabilities))

    def create(self, vm: VmSpec, progress: Progress, timeout: float) -> Observation:
        """Makes the VM's folder at once and its state at the end. Of its image only the version counts."""
        if state.read(self._vms, vm.id) is None:
            if vm.image is not None and vm.image.digest:
                find(self._place, vm)
            (self._vms / vm.id).mkdir(parents=True, exist_ok=True)
            self._misbehave(vm, "create", progress, timeout)
            self._change(vm, "create", FakeVmRecord("stopped", adapters=nics.asked(vm)))
        return self.observe(vm.id)

    def start(self, vm: VmSpec, progress: Progress, timeout: float) -> Observation:
        """Running, unless it is."""
        if self.observe(vm.id).state is not Observed.RUNNING:
            told = self._misbehave(vm, "start", progress, timeout)
            ports.must_be_free(self._network.forward_address, vm.forwards)
            now = time.time()
            crash_at = None if told.crash_after_seconds is None else now + told.crash_after_seconds
            on = replace(self._state(vm), power="running", started_at=now, crash_at=crash_at, forwards=vm.forwards)
            self._change(vm, "start", replace(on, saved=False, vcpus=vm.vcpus, memory_mb=vm.memory_mb))
        return self.observe(vm.id)

    def stop(self, vm: VmSpec, grace_seconds: float, progress: Progress, timeout: float) -> Observation:
        """Stopped, unless it is; `slow` may take longer than the grace, which then ends it."""
        if self._state(vm).power != "stopped":
            told = behaviour(self._vms, vm)
            asked = min(told.slow.get("stop", 0.0), grace_seconds)
            misbehave(replace(told, slow={"stop": asked}), "stop", progress, timeout)
            self._change(vm, "stop", replace(self._state(vm), power="stopped", started_at=None, crash_at=None))
        return self.observe(vm.id)

    def pause(self, vm: VmSpec, timeout: float) -> Observation:
        """Paused, if it runs."""
        return self._between(vm, "pause", Observed.RUNNING, Observed.PAUSED, timeout)

    def resume(self, vm: VmSpec, timeout: float) -> Observation:
        """Running again, if it is paused."""
        return self._between(vm, "resume", Observed.PAUSED, Observed.RUNNING, timeout)

    def save(self, vm: VmSpec, timeout: float) -> Observation:
        """Off, and it says that it is saved."""
        if not self._state(vm).saved:
            if self.observe(vm.id).state not in (Observed.RUNNING, Observed.PAUSED):
                raise DriverFailure(f"VM '{vm.name}' is off and has no memory to save", code="invalid_state")
            self._misbehave(vm, "save", silent, timeout)
            self._change(vm, "save", replace(self._state(vm), power="stopped", started_at=None, saved=True))
        return self.observe(vm.id)

    def delete(self, vm: VmSpec, timeout: float) -> Observation:
        """Removes the folder."""
        folder = self._vms / vm.id
        if folder.exists():
            self._misbehave(vm, "delete", silent, timeout)
            shutil.rmtree(folder, ignore_errors=True)
            state.count_effect(self._vms, vm.id, "delete")
            self._linger(vm, "delete")
        if folder.exists():
            raise DriverFailure(f"the folder of VM '{vm.name}' could not be removed")
        return self.observe(vm.id)

    def observe(self, vm_id: str) -> Observation:
        """From its file alone."""
        found = state.read(self._vms, vm_id)
        return found.observation(vm_id) if found else Observation(vm_id, Observed.ABSENT)

    def observe_all(self) -> list[Observation]:
        """Every VM with a whole state."""
        return self._listing.observe_all()

    def remembered(self, vm_id: str) -> VmSpec | None:
        """As of its last change."""
        found = state.read(self._vms, vm_id)
        return None if found is None else found.spec

    def console(self, vm_id: str) -> Console:
        """A log with a line for each change of power; nothing can be typed."""
        return Console(self._vms / vm_id / state.CONSOLE, None)

    def snapshot_create(
        self, vm: VmSpec, snapshot_id: str, include_memory: bool, progress: Progress, timeout: float
    ) -> FinishedSnapshot:
        """Copies the guest's files and the power state."""
        found = snapshots.taken(self._vms, vm.id, snapshot_id)
        if found is None:
            hardware.check_memory(self._state(vm), include_memory)
            self._misbehave(vm, "snapshot_create", progress, timeout)
            found = snapshots.take(self._vms, vm.id, snapshot_id, self._state(vm), include_memory)
            state.count_effect(self._vms, vm.id, "snapshot_create")
            self._linger(vm, "snapshot_create")
        return found

    def snapshot_restore(
        self, vm: VmSpec, snapshot_id: str, start: bool | None, progress: Progress, timeout: float
    ) -> Observation:
        """Puts files and power back, and counts it in the same write."""
        saved, with_memory = snapshots.read(self._vms, vm.id, snapshot_id)
        self._misbehave(vm, "snapshot_restore", progress, timeout)
        power = saved.power if start is None else "running" if start else "stopped"
        now = time.time() if power != "stopped" else None
        snapshots.put_back_files(self._vms, vm.id, snapshot_id)
        before = self._state(vm)
        back = replace(saved, power=power, started_at=now, restores=before.restores + 1, forwards=vm.forwards)
        back = replace(back, media=before.media, adapters=before.adapters)
        if not with_memory or start is False:
            back = replace(back, vcpus=vm.vcpus, memory_mb=vm.memory_mb)
        self._change(vm, "snapshot_restore", back)
        return self.observe(vm.id)

    def snapshot_delete(
        self, vm: VmSpec, snapshot_id: str, progress: Progress, timeout: float
    ) -> dict[str, FinishedSnapshot]:
        """Removes it, unless it is gone."""
        if snapshots.taken(self._vms, vm.id, snapshot_id) is not None:
            self._misbehave(vm, "snapshot_delete", progress, timeout)
            snapshots.remove(self._vms, vm.id, snapshot_id)
            state.count_effect(self._vms, vm.id, "snapshot_delete")
            self._linger(vm, "snapshot_delete")
        others = {each: snapshots.taken(self._vms, vm.id, each) for each in snapshots.ids(self._vms, vm.id)}
        return {name: taken for name, taken in others.items() if taken is not None}

    def set_port_forwards(self, vm: VmSpec, timeout: float) -> None:
        """Keeps them; the ports of new ones must be free."""
        before = self._state(vm).forwards
        if set(before) != set(vm.forwards):
            self._misbehave(vm, "set_port_forwards", silent, timeout)
            ports.must_be_free(self._network.forward_address, set(vm.forwards) - set(before))
            self._change(vm, "set_port_forwards", replace(self._state(vm), forwards=vm.forwards))

    def port_forwards(self, vm_id: str) -> list[Forward]:
        """Those kept, if it runs."""
        found = state.read(self._vms, vm_id)
        return found.forwards if found is not None and found.power != "stopped" else []

    def snapshot_ids(self, vm_id: str) -> list[str]:
        """Those of one VM."""
        return snapshots.ids(self._vms, vm_id)

    def resize(self, vm: VmSpec, progress: Progress, timeout: float) -> SizeChange:
        """A running VM takes more vCPUs and other limits at once, the rest when it starts."""
        before = self._state(vm)
        runs = self.observe(vm.id).state is Observed.RUNNING
        self._misbehave(vm, "resize", progress, timeout)
        if runs and vm.vcpus > before.vcpus:
            self._change(vm, "resize", replace(self._state(vm), vcpus=vm.vcpus))
        has = self._state(vm)
        return SizeChange(
            vcpus=_applied(runs and has.vcpus == vm.vcpus),
            memory_mb=_applied(runs and has.memory_mb == vm.memory_mb),
            cpu_limit_percent=_applied(runs),
            memory_limit_percent=_applied(runs),
        )

    def disks(self, vm: VmSpec) -> list[Disk]:
        """Its state's file stands for its own disk."""
        return hardware.disks(vm, self._state(vm))

    def disk_attach(self, vm: VmSpec, request: DiskRequest, timeout: float) -> Disk:
        """At once, running or not; a disk that is made is as long as it says, and empty."""
        now = self._state(vm)
        self._misbehave(vm, "disk_attach", silent, timeout)
        others = hardware.elsewhere(self._vms, vm)
        taken = places.take(self._media, now.media, others, vm, request, hardware.ENGINE)
        if taken not in now.media:
            self._change(vm, "disk_attach", replace(self._state(vm), media=[*now.media, taken]))
        return taken.disk()

    def disk_in_guest(self, vm: VmSpec, disk: Disk, timeout: float) -> bool | None:
        """At once."""
        return hardware.in_guest(self._state(vm))

    def disk_detach(self, vm: VmSpec, controller: str, port: int, device: int, timeout: float) -> None:
        """At once, running or not."""
        now = self._state(vm)
        left = places.without(vm, now.media, (controller, port, device))
        if left != now.media:
            self._misbehave(vm, "disk_detach", silent, timeout)
            self._change(vm, "disk_detach", replace(self._state(vm), media=left))

    def adapters(self, vm: VmSpec) -> list[Adapter]:
        """Those kept."""
        return self._state(vm).adapters

    def adapter_set(self, vm: VmSpec, adapter: Adapter, timeout: float) -> Adapter:
        """In any mode; the cable alone while it runs."""
        now = self._state(vm)
        after = nics.changed(vm, now.adapters, adapter, on=now.power != "stopped")
        if after != now.adapters:
            self._misbehave(vm, "adapter_set", silent, timeout)
            self._change(vm, "adapter_set", replace(self._state(vm), adapters=after))
        return nics.at(after, adapter.slot)

    def sample_all(self) -> list[Sample]:
        """One of each VM."""
        return [measuring.sample(seen) for seen in self._listing.observe_all()]

    def measure(self, vm: VmSpec, timeout: float) -> Measurement:
        """Figures as a tenth busy VM would have them."""
        self._misbehave(vm, "measure", silent, timeout)
        self._state(vm)
        return measuring.measure(vm, self.observe(vm.id))

    def _between(self, vm: VmSpec, verb: str, before: Observed, after: Observed, timeout: float) -> Observation:
        seen = self.observe(vm.id)
        if seen.state is after:
            return seen
        if seen.state is not before:
            raise DriverFailure(
                f"VM '{vm.name}' is {seen.state}, not {before}: {verb} needs that", code="invalid_state"
            )
        self._misbehave(vm, verb, silent, timeout)
        self._change(vm, verb, replace(self._state(vm), power=after.value))
        return self.observe(vm.id)

    def _state(self, vm: VmSpec) -> FakeVmRecord:
        return state.of(self._vms, vm)

    def _misbehave(self, vm: VmSpec, verb: str, progress: Progress, timeout: float) -> Behaviour:
        told = behaviour(self._vms, vm)
        misbehave(told, verb, progress, timeout)
        return told

    def _change(self, vm: VmSpec, verb: str, new: FakeVmRecord) -> None:
        state.write(self._vms, vm.id, replace(new, spec=vm))
        state.print_out(self._vms, vm.id, f"the fake VM is {new.power}")
        state.count_effect(self._vms, vm.id, verb)
        self._linger(vm, verb)

    def _linger(self, vm: VmSpec, verb: str) -> None:
        if seconds := behaviour(self._vms, vm).linger.get(verb, 0.0):
            time.sleep(seconds)


def _applied(holds: bool) -> Applied:
    return Applied.LIVE if holds else Applied.AT_NEXT_START
