"""The VMs of a simulated host: a command changes their state, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from core.contract.commands import (
    Create,
    Delete,
    Params,
    Pause,
    PortForwardCreate,
    PortForwardDelete,
    Resize,
    Restart,
    Resume,
    Save,
    SnapshotCreate,
    SnapshotDelete,
    SnapshotRestore,
    Start,
    Stop,
)
from core.contract.errors import DriverFailure, NotFound, Unsupported
from core.contract.messages import Command
from core.contract.results import HardwareResult, Resized, Result, SizeApplied, SnapshotDeleted, SnapshotTaken
from core.contract.states import Applied, Observed
from core.contract.vms import Observation, Running

CAPABILITIES = sorted(
    {
        "guest",
        "kernels",
        "metrics",
        "pause",
        "port_forwards",
        "resizing",
        "saved_states",
        "snapshots",
        "snapshots_with_memory",
    }
)
_ON = (Observed.RUNNING, Observed.PAUSED)
_SNAPSHOT_BYTES = 2**20


@dataclass(frozen=True)
class SimulatedVm:
    """A simulated VM. `vcpus` and `memory_mb` are what it runs with."""

    id: str
    state: Observed
    vcpus: int
    memory_mb: int
    started_at: float | None = None

    def observation(self) -> Observation:
        """As a driver sees it."""
        facts = Running(vcpus=self.vcpus, memory_mb=self.memory_mb) if self.state in _ON else Running()
        return Observation(self.id, self.state, self.started_at, facts=facts)


class SimulatedVms:
    """The VMs of one simulated host."""

    def __init__(self, there: list[SimulatedVm]) -> None:
        self.there = {vm.id: vm for vm in there}

    def observe(self, vm_id: str) -> Observation:
        """One of them, or that it is not there."""
        vm = self.there.get(vm_id)
        return vm.observation() if vm is not None else Observation(vm_id, Observed.ABSENT)

    def observe_all(self) -> list[Observation]:
        """All that are there."""
        return [vm.observation() for vm in self.there.values()]

    def perform(self, command: Command) -> Result:
        """Do it, which is done at once; the errors are those of a driver."""
        if isinstance(command.params, Delete):
            self.there.pop(command.vm.id, None)
            return Result()
        if isinstance(command.params, Create):
            vm = command.vm
            self.there.setdefault(vm.id, SimulatedVm(vm.id, Observed.STOPPED, vm.vcpus, vm.memory_mb))
            return HardwareResult()
        if command.vm.id not in self.there:
            raise NotFound(f"VM '{command.vm.name}' is not on this host", code="vm_not_found")
        change = _CHANGES.get(type(command.params))
        if change is not None:
            self._turn(command, *change)
            return HardwareResult() if isinstance(command.params, SnapshotRestore) else Result()
        return _told(command.params, self.there[command.vm.id].state)

    def _turn(self, command: Command, before: tuple[Observed, ...], after: Observed) -> None:
        vm = self.there[command.vm.id]
        if vm.state not in (*before, after):
            raise DriverFailure(f"VM '{command.vm.name}' is {vm.state}", code="invalid_state")
        if vm.state == after and not isinstance(command.params, Restart):
            return
        began = time.time() if after == Observed.RUNNING and vm.state != Observed.PAUSED else vm.started_at
        now = replace(vm, state=after, started_at=began if after in _ON else None)
        self.there[vm.id] = replace(now, vcpus=command.vm.vcpus, memory_mb=command.vm.memory_mb)


_ANY = tuple(Observed)
_CHANGES: dict[type[Params], tuple[tuple[Observed, ...], Observed]] = {
    Start: (_ANY, Observed.RUNNING),
    Restart: (_ANY, Observed.RUNNING),
    Stop: (_ANY, Observed.STOPPED),
    Pause: ((Observed.RUNNING,), Observed.PAUSED),
    Resume: ((Observed.PAUSED,), Observed.RUNNING),
    Save: (_ON, Observed.STOPPED),
    SnapshotRestore: (_ANY, Observed.STOPPED),
}


def _told(params: Params, state: Observed) -> Result:
    found = _TOLD.get(type(params))
    if found is None:
        raise Unsupported(f"a simulated host can do no {params.kind.replace('_', ' ')}")
    if isinstance(params, SnapshotCreate):
        return SnapshotTaken(_SNAPSHOT_BYTES, "0" * 64, params.include_memory, state)
    return found()


_TOLD: dict[type[Params], Callable[[], Result]] = {
    Resize: lambda: Resized(SizeApplied(*(Applied.LIVE,) * 4)),
    SnapshotCreate: Result,
    SnapshotDelete: SnapshotDeleted,
    PortForwardCreate: Result,
    PortForwardDelete: Result,
}
