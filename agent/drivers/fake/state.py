"""The files of the fake driver: one JSON file for each VM and snapshot, and a log of every effect."""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.drivers.capabilities.saving import SAVED
from agent.drivers.places import AttachedMedium
from core import durable
from core.contract.errors import DriverFailure, Invalid
from core.contract.messages import Forward, VmSpec, decode, encode
from core.contract.states import Observed
from core.contract.vms import Adapter, Observation, Running

STATE = "fake-state.json"
EFFECTS = "fake-effects.log"
CONSOLE = "console.log"


@dataclass(frozen=True)
class FakeVmRecord:
    """The record of a VM. `power` is stopped, running or paused; from `crash_at` on a running one has crashed.

    `saved`: it is off, and its next start goes on from the memory that it had.
    `vcpus` and `memory_mb` are what it runs with, or ran with last. `spec`: as it was asked for last.
    """

    power: str
    started_at: float | None = None
    crash_at: float | None = None
    restores: int = 0
    saved: bool = False
    vcpus: int = 0
    memory_mb: int = 0
    forwards: list[Forward] = field(default_factory=list)
    media: list[AttachedMedium] = field(default_factory=list)
    adapters: list[Adapter] = field(default_factory=list)
    spec: VmSpec | None = None

    def observation(self, vm_id: str) -> Observation:
        """As `observe` tells it."""
        crashed = self.power == "running" and self.crash_at is not None and time.time() >= self.crash_at
        runs = self.power != "stopped" and not crashed
        size = Running(self.restores, self.vcpus, self.memory_mb) if runs else Running(self.restores)
        return Observation(
            vm_id,
            Observed.CRASHED if crashed else Observed(self.power),
            started_at=None if crashed else self.started_at,
            reason="the fake VM was told to crash" if crashed else SAVED if self.saved else None,
            facts=size,
        )


def read(vms: Path, vm_id: str) -> FakeVmRecord | None:
    """A VM's state; None when there is no such VM."""
    try:
        return decode(FakeVmRecord, (vms / vm_id / STATE).read_bytes())
    except FileNotFoundError:
        return None
    except Invalid:
        raise DriverFailure(f"the state of VM '{vm_id}' can't be read", code="state_damaged") from None


def of(vms: Path, vm: VmSpec) -> FakeVmRecord:
    """The state of a VM that must be there."""
    found = read(vms, vm.id)
    if found is None:
        raise DriverFailure(f"VM '{vm.name}' is not on this host", code="vm_not_found")
    return found


def write(vms: Path, vm_id: str, state: FakeVmRecord) -> None:
    """Keeps a VM's state."""
    write_whole(vms / vm_id / STATE, encode(state))


def write_whole(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    try:
        durable.write(path, text, lasting=False)
    except FileNotFoundError:
        raise DriverFailure(f"the folder {path.parent.name} is gone: the VM was deleted", code="vm_not_found") from None


def count_effect(vms: Path, vm_id: str, verb: str) -> None:
    """Notes that a verb has changed a VM."""
    _append(vms.parent / EFFECTS, f"{vm_id} {verb}\n")


def print_out(vms: Path, vm_id: str, line: str) -> None:
    """Has a VM put out a line on its serial console."""
    _append(vms / vm_id / CONSOLE, f"{line}\r\n")


def _append(path: Path, text: str) -> None:
    """By one write, so that lines of several threads don't mix."""
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(log, text.encode())
    finally:
        os.close(log)


def effects(vms: Path) -> Counter[tuple[str, str]]:
    """How often each verb changed each VM, by (vm id, verb), over all agents there ever were."""
    try:
        lines = (vms.parent / EFFECTS).read_text().splitlines()
    except FileNotFoundError:
        return Counter()
    return Counter((vm_id, verb) for vm_id, verb in (line.split() for line in lines))


def crash(vms: Path, vm_id: str) -> None:
    """Makes a VM crash now."""
    state = read(vms, vm_id)
    if state is not None:
        write(vms, vm_id, replace(state, crash_at=time.time()))
