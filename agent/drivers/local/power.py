"""The power of a VM: a launch until its guest is usable; a shutdown that asks the guest first, then cuts the power."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from agent.drivers.base import Progress
from agent.drivers.limits import Left
from agent.drivers.local import daemon, restores, usable
from agent.drivers.local.folder import LocalVmFolder, LocalVmRecord, VirtualMachineModel
from agent.drivers.local.happened import EventLog
from agent.network.network import HostNetworking
from agent.system import cgroups
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec


@dataclass(frozen=True)
class Ways:
    """The power functions of one hypervisor. `program` is what people call it, `log` the file with what its process
    says.

    `launch` begins the process of a VM that has none, `go_on` sets a machine going that stands still, and `wake` tells
    a guest that was away what it has missed.
    """

    program: str
    log: str
    record: EventLog
    launch: Callable[[LocalVmRecord], LocalVmRecord]
    go_on: Callable[[LocalVmFolder], None]
    wake: Callable[[LocalVmFolder, LocalVmRecord], None]


@dataclass(frozen=True)
class Prepared:
    """A launch that is prepared. `saved`: the folder or file with the memory that is resumed; None: the VM boots."""

    state: LocalVmRecord
    machine: VirtualMachineModel
    group: Path | None
    saved: Path | None


def switch_on(
    folder: LocalVmFolder, ways: Ways, network: HostNetworking, progress: Progress, left: Left, *, paused: bool
) -> None:
    """Running and usable, from any state; off again when that fails."""
    state = folder.state()
    if (
        daemon.alive(folder.path) is not None
        and state.resume is not None
        and not ways.record.run_events(folder.path).resumed
    ):
        daemon.cut(folder.path)  # an agent died while the memory was loaded: once more, from the beginning
    with _off_again(folder, network):
        if daemon.alive(folder.path) is None:
            state = ways.launch(state)
        if paused:
            folder.change(usable=True, resume=None)
            return
        ways.go_on(folder)
        wait_usable(folder, ways, state, progress, left)
        if state.resume is not None:
            ways.wake(folder, state)
        usable.warm_up(folder.path, state)
        folder.change(usable=True, resume=None)


def prepare(
    folder: LocalVmFolder,
    state: LocalVmRecord,
    vm: VmSpec,
    record: EventLog,
    fresh: VirtualMachineModel,
    groups: Path | None,
    beyond: Beyond,
) -> Prepared:
    """What a launch begins with: the machine of the memory that waits for it, else a `fresh` one; and its group."""
    if state.resume is not None and record.run_events(folder.path).resumed:
        state = folder.change(resume=None)  # it did go on from there, and has ended since
    saved = restores.memory_of(folder, state)
    machine = (saved[0].machine if saved else None) or fresh
    size = replace(vm, vcpus=machine.vcpus, memory_mb=machine.memory_mb)
    group = cgroups.prepare(groups, size, beyond(machine))
    return Prepared(state, machine, group, saved[1] if saved else None)


Beyond = Callable[[VirtualMachineModel], int]
"""What a machine's process holds beside the guest's memory, at most, in MB."""


def note(folder: LocalVmFolder, vm: VmSpec, prepared: Prepared, progress: Progress) -> LocalVmRecord:
    """That it should run from now on."""
    waits = prepared.saved is not None
    progress("resuming" if waits else "booting", None)
    return folder.change(should_run=True, usable=False, waits=waits, machine=prepared.machine, spec=vm)


def wait_usable(folder: LocalVmFolder, ways: Ways, state: LocalVmRecord, progress: Progress, left: Left) -> None:
    """Returns once the guest agent answers, if the image has one; `GuestTimeout` tells what was last seen."""

    def check() -> None:
        if daemon.alive(folder.path) is None:
            raise died()
        progress("waiting for the guest", None)

    def died() -> DriverFailure:
        shown = usable.console_tail(folder.path)
        if ways.record.run_events(folder.path).powered_off:
            return DriverFailure(f"the guest shut itself down while it booted: {shown}")
        said = usable.tail(folder.path / ways.log) or "no output"
        return DriverFailure(f"{ways.program} ended while the guest booted: {said}; the console ends with: {shown}")

    usable.wait(folder.path, state, check, died, left)


@contextmanager
def _off_again(folder: LocalVmFolder, network: HostNetworking) -> Iterator[None]:
    with ExitStack() as undo:
        undo.callback(network.leave, folder.path.name)
        undo.callback(folder.change, should_run=False, usable=False)
        undo.callback(daemon.cut, folder.path)
        yield
        undo.pop_all()
