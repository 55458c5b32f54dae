"""What is true of a VM now, from its files and the lock that its process holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from agent.drivers.local import daemon
from agent.drivers.local.folder import Folder
from agent.drivers.qemu import events
from core.contract.errors import DriverFailure
from core.contract.messages import Observation
from core.contract.states import Observed
from core.contract.vms import Running

DISK_FULL = "the host's disk is full: the VM goes on by resume, once there is room"
DISK_BROKEN = "the host's disk failed as the VM wrote to it: the VM goes on by resume, once the disk works"
_ENDS = {"guest-panic": "the guest's kernel panicked", "host-signal": "its QEMU process was ended on the host"}


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
    facts = Running(state.restores, acceleration=state.machine.acceleration if state.machine else None)
    if pid is not None:
        # A snapshot holds the machine for a moment; that is no state of the VM.
        paused = not state.held and (seen.paused or (state.waits and not seen.resumed))
        power = Observed.PAUSED if paused else Observed.RUNNING
        if state.machine is not None:
            facts = replace(facts, vcpus=state.machine.vcpus, memory_mb=state.machine.memory_mb)
        return Observation(folder.path.name, power, daemon.started_at(folder.path), pid, _reason(seen, power), facts)
    if state.should_run and not seen.guest_powered_off:
        return Observation(folder.path.name, Observed.CRASHED, reason=_end(seen.ended), facts=facts)
    powered_off = "the guest powered itself off" if state.should_run else None
    return Observation(folder.path.name, Observed.STOPPED, reason=powered_off, facts=facts)


def _reason(seen: events.Seen, power: Observed) -> str | None:
    """Why a machine that is on is as it is, where that is not what was asked for."""
    if power is Observed.PAUSED and seen.halted is not None:
        return DISK_FULL if seen.halted == events.FULL else DISK_BROKEN
    if seen.restarted_at is not None:
        return f"the guest restarted itself at {datetime.fromtimestamp(seen.restarted_at, UTC):%Y-%m-%d %H:%M:%S} UTC"
    return None


def _end(why: str | None) -> str:
    return _ENDS.get(why or "", f"QEMU ended: {why}" if why else "QEMU ended without a word")
