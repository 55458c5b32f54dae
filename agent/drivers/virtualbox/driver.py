"""The VirtualBox driver's verbs."""

from __future__ import annotations

from agent.drivers import consoles
from agent.drivers.base import Console, DriverFolders, Progress
from agent.drivers.capabilities.hardware import DiskRequest
from agent.drivers.capabilities.metrics import Measurement, Sample
from agent.drivers.capabilities.resizing import SizeChange
from agent.drivers.capabilities.snapshots import FinishedSnapshot
from agent.drivers.limits import countdown, only_driver_failures
from agent.drivers.virtualbox import (
    adapters,
    attachments,
    forwards,
    machines,
    measuring,
    power,
    saved,
    sizes,
    snapshots,
    states,
)
from agent.drivers.virtualbox.folder import VirtualBoxVmFolder, folder_of
from agent.drivers.virtualbox.guests import VirtualBoxGuests
from agent.drivers.virtualbox.observing import VirtualBoxWatch, folders_of, observe
from agent.media.media import MediaFolders
from agent.system import process
from core.contract.errors import DriverFailure
from core.contract.hosts import DriverHealth
from core.contract.messages import Forward, VmSpec
from core.contract.states import Observed
from core.contract.vms import Adapter, Disk, Observation

CAPABILITIES = frozenset(
    {
        "adapters",
        "disks",
        "files",
        "guest",
        "guest_credentials",
        "metrics",
        "pause",
        "port_forwards",
        "resizing",
        "saved_states",
        "snapshots",
        "snapshots_with_memory",
    }
)
INSTALL = "install VirtualBox 7 (on Debian: apt-get install virtualbox), or set CORRAL_VBOXMANAGE to its VBoxManage"
# Seen once in many starts with a window. The agent leaves it to a person, as VMs that run may lose their power with it.
HANGS = ". VirtualBox's server seems to hang: stop the VMs of this host from inside, then end the process VBoxSVC"
PROBE_SECONDS = 30.0
OLDEST = 7


class VirtualBoxDriver(VirtualBoxGuests):
    """The driver of VirtualBox, by VBoxManage: all capabilities but the guest's network and executions."""

    name = "virtualbox"
    capabilities = CAPABILITIES

    def __init__(self, place: DriverFolders) -> None:
        super().__init__(place)
        self._place = place
        self._address = place.network.forward_address
        self._media = MediaFolders(place.media)
        self._watch = VirtualBoxWatch(self.manage, place.vms)

    def probe(self) -> DriverHealth:
        """VirtualBox's version, whether its server answers, and whether VMs can be started."""
        try:
            # Debian's VBoxManage has a warning before it.
            version = self.manage.run("--version", timeout=PROBE_SECONDS).split()[-1]
            self.manage.run("list", "systemproperties", timeout=PROBE_SECONDS)
        except process.MissingProgram as error:
            return DriverHealth(self.name, False, problem=f"{error.message}: {INSTALL}")
        except (DriverFailure, OSError, IndexError) as error:
            told = HANGS if isinstance(error, DriverFailure) and error.code == "timeout" else ""
            return DriverHealth(self.name, False, problem=f"VBoxManage does not work: {error}{told}")
        problem = power.missing_kernel_driver()
        if not version.split(".")[0].isdigit() or int(version.split(".")[0]) < OLDEST:
            problem = f"VirtualBox {version} is too old: {INSTALL}"
        healthy = not problem
        if healthy:
            self._place.network.groups.ready(prove=True)
            problem = self._place.network.groups.problem
        return DriverHealth(self.name, healthy, version, "virtualbox", sorted(self.capabilities), problem)

    @only_driver_failures
    def create(self, vm: VmSpec, progress: Progress, timeout: float) -> Observation:
        """A registered machine with its disk and adapters, off."""
        folder, left = self._folder(vm.id), countdown(timeout)
        with self.manage.turn(folder.uuid):
            if folder.read() is None:
                machines.create(self.manage, self._place, folder, vm, progress, left)
            return observe(self.manage, folder)

    @only_driver_failures
    def start(self, vm: VmSpec, progress: Progress, timeout: float) -> Observation:
        """Boots, or goes on from a saved state."""
        folder = self._folder(vm.id)
        power.switch_on(self.manage, folder, self._place.network, vm, progress, countdown(timeout))
        return observe(self.manage, folder)

    @only_driver_failures
    def stop(self, vm: VmSpec, grace_seconds: float, progress: Progress, timeout: float) -> Observation:
        """By the power button, then by the plug."""
        folder = self._folder(vm.id)
        power.switch_off(self.manage, folder, grace_seconds, progress, countdown(timeout))
        return observe(self.manage, folder)

    @only_driver_failures
    def save(self, vm: VmSpec, timeout: float) -> Observation:
        """By VirtualBox's own saved state."""
        folder = self._folder(vm.id)
        power.save(self.manage, folder, vm, countdown(timeout))
        return observe(self.manage, folder)

    @only_driver_failures
    def pause(self, vm: VmSpec, timeout: float) -> Observation:
        """The guest's processors stand still; its memory stays."""
        return self._between(vm, Observed.RUNNING, Observed.PAUSED, timeout)

    @only_driver_failures
    def resume(self, vm: VmSpec, timeout: float) -> Observation:
        """They go on."""
        return self._between(vm, Observed.PAUSED, Observed.RUNNING, timeout)

    @only_driver_failures
    def delete(self, vm: VmSpec, timeout: float) -> Observation:
        """Cuts the power, and removes the machine and its folder; attached media of others stay."""
        folder, left = self._folder(vm.id), countdown(timeout)
        with self.manage.turn(folder.uuid):
            info = self.manage.info(folder.uuid)
            if info is not None:
                power.cut_if_on(self.manage, folder, info.get("VMState", ""), left)
            machines.remove(self.manage, folder, info, left)
        return Observation(vm.id, Observed.ABSENT)

    @only_driver_failures
    def observe(self, vm_id: str) -> Observation:
        """As VirtualBox says; in its own words, too, for a saved machine."""
        return observe(self.manage, self._folder(vm_id))

    @only_driver_failures
    def observe_all(self) -> list[Observation]:
        """Our VMs; those that VirtualBox has beside them are nobody's business here."""
        return self._watch.observe_all()

    @only_driver_failures
    def remembered(self, vm_id: str) -> VmSpec | None:
        """From our own record of it."""
        record = self._folder(vm_id).read()
        return None if record is None else record.spec

    @only_driver_failures
    def console(self, vm_id: str) -> Console:
        """The first serial port."""
        folder = self._folder(vm_id)
        return consoles.console(folder.path, folder.console)

    @only_driver_failures
    def snapshot_create(
        self, vm: VmSpec, snapshot_id: str, include_memory: bool, progress: Progress, timeout: float
    ) -> FinishedSnapshot:
        """Offline or live."""
        folder = self._folder(vm.id)
        folder.record()
        found = saved.read(folder, snapshot_id)
        if found is None:
            progress("taking the snapshot", None)
            left = countdown(timeout)
            found = snapshots.take(self.manage, folder, snapshot_id, include_memory, progress, left)
        return found.taken

    @only_driver_failures
    def snapshot_restore(
        self, vm: VmSpec, snapshot_id: str, start: bool | None, progress: Progress, timeout: float
    ) -> Observation:
        """Checks every file, then cuts the power, puts it back, and starts or not."""
        folder, left = self._folder(vm.id), countdown(timeout)
        folder.record()
        snapshot = snapshots.check(folder, snapshot_id, progress)
        running = snapshot.power != snapshots.STOPPED if start is None else start
        snapshots.restore(self.manage, folder, snapshot, running, progress, left)
        if running:
            power.switch_on(self.manage, folder, self._place.network, vm, progress, left)
            if start is None and snapshot.power == snapshots.PAUSED and snapshot.include_memory:
                power.hold(self.manage, folder, left)
        folder.change(restores=folder.record().restores + 1)
        return observe(self.manage, folder)

    @only_driver_failures
    def snapshot_delete(
        self, vm: VmSpec, snapshot_id: str, progress: Progress, timeout: float
    ) -> dict[str, FinishedSnapshot]:
        """Puts together what others need of it, and removes the rest."""
        folder = self._folder(vm.id)
        if folder.read() is not None:
            snapshots.delete(self.manage, folder, snapshot_id, countdown(timeout))
        others = (saved.read(folder, each) for each in saved.snapshot_ids(folder))
        return {each.id: each.taken for each in others if each is not None}

    @only_driver_failures
    def snapshot_ids(self, vm_id: str) -> list[str]:
        """The finished ones."""
        return saved.snapshot_ids(self._folder(vm_id))

    @only_driver_failures
    def resize(self, vm: VmSpec, progress: Progress, timeout: float) -> SizeChange:
        """The cap on its processors at once, the rest while it is off."""
        return sizes.resize(self.manage, self._folder(vm.id), vm, countdown(timeout))

    @only_driver_failures
    def disks(self, vm: VmSpec) -> list[Disk]:
        """The VM's own and what was attached, one call for each and one more."""
        folder = self._folder(vm.id)
        return attachments.listed(self.manage, self._media, folder, attachments.info_of(self.manage, folder))

    @only_driver_failures
    def disk_attach(self, vm: VmSpec, request: DiskRequest, timeout: float) -> Disk:
        """On a running VM as far as the controller can."""
        folder = self._folder(vm.id)
        with self.manage.turn(folder.uuid):
            return attachments.attach(self.manage, self._media, folder, vm, request, timeout)

    def disk_in_guest(self, vm: VmSpec, disk: Disk, timeout: float) -> bool | None:
        """Its guest additions have no such question."""
        return None

    @only_driver_failures
    def disk_detach(self, vm: VmSpec, controller: str, port: int, device: int, timeout: float) -> None:
        """The drive stays, empty, if it is one for DVDs."""
        folder = self._folder(vm.id)
        with self.manage.turn(folder.uuid):
            attachments.detach(self.manage, folder, controller, port, device)

    @only_driver_failures
    def adapters(self, vm: VmSpec) -> list[Adapter]:
        """Those that are enabled."""
        return adapters.parse(attachments.info_of(self.manage, self._folder(vm.id)))

    @only_driver_failures
    def adapter_set(self, vm: VmSpec, adapter: Adapter, timeout: float) -> Adapter:
        """All of it while the VM is off; network and cable while it runs."""
        folder = self._folder(vm.id)
        with self.manage.turn(folder.uuid):
            info = attachments.info_of(self.manage, folder)
            return adapters.change(self.manage, folder.uuid, info, adapter, self._place.network.joinable)

    @only_driver_failures
    def set_port_forwards(self, vm: VmSpec, timeout: float) -> None:
        """By the NAT engine of its first adapter in that mode, at once."""
        folder, left = self._folder(vm.id), countdown(timeout)
        with self.manage.turn(folder.uuid):
            info = attachments.info_of(self.manage, folder)
            forwards.apply(self.manage, folder, self._address, vm, info, left)

    @only_driver_failures
    def port_forwards(self, vm_id: str) -> list[Forward]:
        """As VirtualBox has them of a VM that runs."""
        folder = self._folder(vm_id)
        return [] if folder.read() is None else forwards.in_effect(self.manage.info(folder.uuid) or {})

    @only_driver_failures
    def sample_all(self) -> list[Sample]:
        """From the VMs' processes and files."""
        found = (measuring.sample(folder) for folder in folders_of(self._place.vms))
        return [each for each in found if each is not None]

    @only_driver_failures
    def measure(self, vm: VmSpec, timeout: float) -> Measurement:
        """From its process, VirtualBox's counters and Guest Additions; zeros and its disk for one without a process."""
        return measuring.measure(self.manage, self._vault, self._folder(vm.id), countdown(timeout))

    def _between(self, vm: VmSpec, before: Observed, after: Observed, timeout: float) -> Observation:
        folder, left = self._folder(vm.id), countdown(timeout)
        seen = states.observed(power.word(self.manage, folder))
        if seen is before:
            (power.hold if after is Observed.PAUSED else power.go_on)(self.manage, folder, left)
        elif seen is not after:
            raise DriverFailure(f"VM '{vm.name}' is {seen}, but must be {before}", code="invalid_state")
        return observe(self.manage, folder)

    def _folder(self, vm_id: str) -> VirtualBoxVmFolder:
        return folder_of(self._place.vms, vm_id)
