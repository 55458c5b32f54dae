"""The observed state of a VM, from its files and the lock that its process holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from agent.drivers.local import daemon
from agent.drivers.local.folder import LocalVmFolder
from agent.drivers.local.happened import EventLog, RunEvents
from core.contract.errors import DriverFailure
from core.contract.states import Observed
from core.contract.vms import Observation, Running


def observe(folder: LocalVmFolder, record: EventLog) -> Observation:
    """A machine whose guest powered itself off is stopped; one that should run and has no process has crashed."""
    name = folder.path.name
    try:
        state = folder.read()
    except DriverFailure as error:  # one damaged VM must not hide the others; it can be deleted
        return Observation(name, Observed.CRASHED, pid=daemon.alive(folder.path), reason=error.message)
    if state is None:
        return Observation(name, Observed.ABSENT)
    pid = daemon.alive(folder.path)
    seen = record.run_events(folder.path)
    facts = Running(state.restores, None, None, state.machine.acceleration if state.machine else None, state.copied_by)
    if pid is not None:
        # A snapshot holds the machine for a moment; that is no state of the VM.
        paused = not state.held and (seen.paused or (state.waits and not seen.resumed))
        power = Observed.PAUSED if paused else Observed.RUNNING
        if state.machine is not None:
            facts = replace(facts, vcpus=state.machine.vcpus, memory_mb=state.machine.memory_mb)
        return Observation(name, power, daemon.started_at(folder.path), pid, _reason(seen, power), facts)
    if state.should_run and not seen.powered_off:
        return Observation(name, Observed.CRASHED, reason=seen.end, facts=facts)
    powered_off = "the guest shut itself down" if state.should_run else None
    return Observation(name, Observed.STOPPED, reason=powered_off, facts=facts)


def _reason(seen: RunEvents, power: Observed) -> str | None:
    """Why a machine that is on is as it is, where that is not what was asked for."""
    if power is Observed.PAUSED and seen.halt is not None:
        return seen.halt
    if seen.restarted_at is not None:
        return f"the guest restarted itself at {datetime.fromtimestamp(seen.restarted_at, UTC):%Y-%m-%d %H:%M:%S} UTC"
    return None
