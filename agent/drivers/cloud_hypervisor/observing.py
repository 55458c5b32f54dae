"""What is true of a VM now, from its files and the lock that its process holds."""

from __future__ import annotations

from dataclasses import replace

from agent.drivers.cloud_hypervisor import events
from agent.drivers.local import daemon
from agent.drivers.local.folder import Folder
from core.contract.errors import DriverFailure
from core.contract.messages import Observation
from core.contract.states import Observed
from core.contract.vms import Running


def observe(folder: Folder) -> Observation:
    """A machine whose guest powered itself off is stopped; one that should run and has no process has crashed."""
    try:
        state = folder.read()
    except DriverFailure as error:  # one damaged VM must not hide the others; it can be deleted
        return Observation(folder.path.name, Observed.CRASHED, pid=daemon.alive(folder.path), reason=error.message)
    if state is None:
        return Observation(folder.path.name, Observed.ABSENT)
    pid = daemon.alive(folder.path)
    seen = events.seen(folder.path)
    facts = Running(state.restores, None, None, state.machine.acceleration if state.machine else None, state.copied_by)
    if pid is not None:
        # A snapshot holds the machine for a moment; that is no state of the VM.
        paused = not state.held and (seen.paused or (state.waits and not seen.resumed))
        if state.machine is not None:
            facts = replace(facts, vcpus=state.machine.vcpus, memory_mb=state.machine.memory_mb)
        power = Observed.PAUSED if paused else Observed.RUNNING
        return Observation(folder.path.name, power, daemon.started_at(folder.path), pid, facts=facts)
    if state.should_run and (not seen.ended or seen.panicked):
        reason = "its guest panicked" if seen.panicked else "Cloud Hypervisor ended without a word"
        return Observation(folder.path.name, Observed.CRASHED, reason=reason, facts=facts)
    return Observation(folder.path.name, Observed.STOPPED, facts=facts)
