"""The verbs that act in the guest, by its agent."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from agent.drivers.base import Check, DriverFolders, wanted
from agent.drivers.capabilities.execs import UNKNOWN, Detached, ExecOutput, GuestExec, Size
from agent.drivers.capabilities.files import FileReading, FileTarget, GuestFileList
from agent.drivers.capabilities.guest import GuestExecRequest, GuestExecResult, GuestInterface
from agent.drivers.limits import only_driver_failures
from agent.drivers.local.folder import LocalVmFolder, folder_of
from agent.drivers.local.happened import EventLog
from agent.drivers.local.observing import observe
from agent.drivers.local.watching import Watch, watched
from agent.guest import (
    command_locks,
    commands,
    disks,
    exec_store,
    execs,
    files,
    interfaces,
    killing,
    patience,
    terminals,
)
from agent.guest.exec_store import ExecStore, StoredExec
from agent.guest.qga import AgentForbids, AgentRefused
from core.contract.errors import DriverFailure, GuestTimeout, Unsupported
from core.contract.messages import VmSpec
from core.contract.states import Observed
from core.contract.vms import Disk, Observation

log = logging.getLogger(__name__)


class LocalGuests(ABC):
    """Guest, GuestNetwork, Execs, Terminals and Files, through the guest agent, whose channel several take in turns."""

    name: str
    record: EventLog
    """What its hypervisor writes down of a machine."""

    def __init__(self, place: DriverFolders) -> None:
        self._vms = place.vms

    def observation_of(self, folder: LocalVmFolder) -> Observation:
        """What is true of the VM in that folder now."""
        return observe(folder, self.record)

    @abstractmethod
    def known_by(self, folder: LocalVmFolder, vm: VmSpec, disk: Disk, timeout: float) -> disks.Judge | None:
        """What tells a disk of a running VM from all others in what its guest agent lists; None when nothing does."""

    @only_driver_failures
    def execute(self, vm: VmSpec, request: GuestExecRequest, check: Check = wanted) -> GuestExecResult:
        """By the guest's shell."""
        with self._guest_of(vm) as (channel, watch):
            return commands.execute(channel, request, check, watch)

    @only_driver_failures
    def sweep_guests(self) -> None:
        """Of VMs that are paused, later."""
        for folder in self._with(command_locks.FOLDER):
            seen = self.observation_of(folder).state
            if seen is not Observed.PAUSED:
                killing.sweep(folder.path, is_on=seen is Observed.RUNNING)

    @only_driver_failures
    def exec_begin(self, vm: VmSpec, wanted: Detached) -> GuestExec:
        """Under the eyes of a small shell script in the guest."""
        with self._guest_of(vm) as (channel, _):
            return execs.begin(channel, wanted)

    @only_driver_failures
    def exec_list(self, vm: VmSpec) -> list[GuestExec]:
        """What ran in a guest that does not answer now, or not to the question, is `UNKNOWN`."""
        folder, found = folder_of(self._vms, vm.id), list[GuestExec]()
        answers = True
        for entry in ExecStore(folder.path).all():
            if answers:
                try:
                    found.append(self._look(folder, entry).exec)
                    continue
                except (GuestTimeout, AgentForbids, AgentRefused):
                    answers = False
            found.append(replace(entry.exec, state=UNKNOWN) if entry.is_running else entry.exec)
        return found

    @only_driver_failures
    def exec_get(self, vm: VmSpec, exec_id: str) -> GuestExec:
        """As it is now."""
        folder = folder_of(self._vms, vm.id)
        return self._look(folder, ExecStore(folder.path).get(exec_id)).exec

    @only_driver_failures
    def exec_output(self, vm: VmSpec, exec_id: str, stream: str, offset: int, limit: int) -> ExecOutput:
        """from the files that its supervisor in the guest writes."""
        entry = ExecStore(folder_of(self._vms, vm.id).path).get(exec_id)
        with self._guest_of(vm) as (channel, _):
            return execs.output(channel, entry, stream, offset, limit)

    @only_driver_failures
    def exec_signal(self, vm: VmSpec, exec_id: str, signal: str) -> GuestExec:
        """To its cgroup, or where there is none to all that have its mark."""
        folder = folder_of(self._vms, vm.id)
        entry = self._look(folder, ExecStore(folder.path).get(exec_id))
        if not entry.is_running:
            return entry.exec
        with self._guest_of(vm) as (channel, _):
            return execs.signal(channel, entry, signal)

    @only_driver_failures
    def exec_type(self, vm: VmSpec, exec_id: str, data: bytes) -> None:
        """Through a pipe that its supervisor has made."""
        entry = ExecStore(folder_of(self._vms, vm.id).path).get(exec_id)
        with self._guest_of(vm) as (channel, _):
            terminals.type_in(channel, entry, data)

    @only_driver_failures
    def exec_resize(self, vm: VmSpec, exec_id: str, size: Size) -> None:
        """By the guest's `stty`."""
        entry = ExecStore(folder_of(self._vms, vm.id).path).get(exec_id)
        with self._guest_of(vm) as (channel, _):
            terminals.resize(channel, entry, size)

    @only_driver_failures
    def exec_delete(self, vm: VmSpec, exec_id: str) -> None:
        """Its files stay in a guest that is off."""
        folder = folder_of(self._vms, vm.id)
        entry = self._look(folder, ExecStore(folder.path).get(exec_id))
        execs.forget(folder.path, entry, is_on=self.observation_of(folder).state is Observed.RUNNING)

    @only_driver_failures
    def exec_sweep(self) -> float | None:
        """Of VMs that are paused, later."""
        due = list[float]()
        for folder in self._with(exec_store.FOLDER):
            due += self._end_late(folder)
        return min(due, default=None)

    @only_driver_failures
    def file_write(
        self, vm: VmSpec, near: str | None, chunks: Iterator[bytes], target: Callable[[], FileTarget]
    ) -> FileTarget:
        """Under another name until it is whole."""
        with self._guest_of(vm) as (channel, _):
            return files.write(channel, near, chunks, target)

    @contextmanager
    def file_read(self, vm: VmSpec, path: str) -> Iterator[FileReading]:
        """Piece by piece."""
        with self._guest_of(vm) as (channel, _), files.read(channel, path) as reading:
            yield reading

    @only_driver_failures
    def file_list(self, vm: VmSpec, path: str, recursive: bool, most: int) -> GuestFileList:
        """By the guest's `find`."""
        with self._guest_of(vm) as (channel, _):
            return files.listing(channel, path, recursive, most)

    @only_driver_failures
    def guest_interfaces(self, vm: VmSpec, timeout: float) -> list[GuestInterface]:
        """As its agent lists them."""
        with self._guest_of(vm) as (channel, _):
            return interfaces.of_guest(channel, timeout)

    def disk_in_guest(self, vm: VmSpec, disk: Disk, timeout: float) -> bool | None:
        """By its agent's list, again and again; None of a guest that is off or paused, or has no agent that tells."""
        try:
            with self._guest_of(vm) as (channel, watch):
                judge = self.known_by(folder_of(self._vms, vm.id), vm, disk, timeout)
                return None if judge is None else disks.has(channel, judge, timeout, watch)
        except (DriverFailure, Unsupported, OSError):
            return None

    @contextmanager
    def _guest_of(self, vm: VmSpec) -> Iterator[tuple[Path, Watch]]:
        """The folder with the channel to its guest's agent, which is up; and what tells that the guest went away."""
        folder = folder_of(self._vms, vm.id)
        _must_run(vm, self.observation_of(folder))
        image = folder.state().image
        if image is None or not image.guest_agent:
            raise Unsupported(f"VM '{vm.name}' has no guest agent, which the driver '{self.name}' needs for this")
        with watched(folder, self.record) as watch:
            yield folder.path, watch

    def _with(self, name: str) -> Iterator[LocalVmFolder]:
        """The folders of VMs that have such a folder in them."""
        return (LocalVmFolder(path.parent) for path in sorted(self._vms.glob(f"[!.]*/{name}")))

    def _look(self, folder: LocalVmFolder, entry: StoredExec) -> StoredExec:
        """One of a paused guest stands still; one of a guest that is off is lost."""
        match self.observation_of(folder).state:
            case Observed.RUNNING:
                return execs.look(folder.path, entry)
            case Observed.PAUSED:
                return entry
            case _:
                return execs.lose(folder.path, entry) if entry.is_running else entry

    def _end_late(self, folder: LocalVmFolder) -> list[float]:
        """When its commands are due that are not yet; those that are past that are ended."""
        entries = [entry for entry in ExecStore(folder.path).all() if entry.deadline_at is not None]
        for entry in entries:
            if entry.is_due and self.observation_of(folder).state is Observed.RUNNING:
                try:
                    with patience.ends_in(killing.SWEEP_SECONDS):
                        execs.end_late(folder.path, entry)
                except DriverFailure as error:
                    log.warning("execution %s in VM %s: %s", entry.exec.id, folder.path.name, error.message)
                    break  # those of a guest that does not answer can wait
        return [entry.deadline_at for entry in entries if entry.deadline_at is not None and not entry.is_due]


def _must_run(vm: VmSpec, seen: Observation) -> None:
    if seen.state is Observed.PAUSED:
        raise DriverFailure(f"VM '{vm.name}' is paused: {seen.reason or 'resume it first'}", code="vm_paused")
    if seen.state is not Observed.RUNNING:
        why = f" ({seen.reason})" if seen.reason else ""
        raise DriverFailure(f"VM '{vm.name}' is {seen.state}{why}, not running: start it first", code="vm_not_running")
