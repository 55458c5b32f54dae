"""One simulated host: what an agent promises, kept in memory. Nothing here knows Redis.

A command is done once, whatever is delivered twice: an older attempt is refused, a finished one is reported again, a
deleted VM stays deleted. Generations grow over restarts, as they begin at the clock.
"""

from __future__ import annotations

import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

from msgspec import Raw
from msgspec.structs import replace

from core.contract.errors import CorralError, DriverFailure, NotFound
from core.contract.hosts import DriverHealth, Heartbeat, HostFacts, HostUsage, Inventory
from core.contract.messages import Command, Failure, Numbered, Report, encode
from core.contract.results import Result
from core.contract.states import Kind, Observed, Phase
from core.contract.vms import VmUsage
from tools.simulator.vms import CAPABILITIES, SimulatedVm, SimulatedVms

VCPUS, MEMORY_MB, DISK_GB = 1024, 1024 * 1024, 10_000
_REMEMBERED = 1000
V = TypeVar("V")


@dataclass
class SimulatedOperation:
    """An operation as its host remembers it; `report` is its last, once there is one."""

    vm_id: str
    kind: Kind | None
    attempt: int
    report: Report | None = None
    cancelled: bool = False


class SimulatedHost:
    """A simulated host. `hypervisor`: the one that it offers."""

    def __init__(self, name: str, hypervisor: str, image: str, vms: list[SimulatedVm]) -> None:
        self.name, self.home_id = name, f"simulated-{name}"
        self._hypervisor, self._image = hypervisor, image
        self.vms = SimulatedVms(vms)
        self._generation = int(time.time() * 1000)
        self._entries: OrderedDict[str, SimulatedOperation] = OrderedDict()
        self._deleted: OrderedDict[str, None] = OrderedDict()
        self.boot()

    def boot(self) -> None:
        """Its agent is started anew."""
        self.boot_id = uuid.uuid4().hex

    def heartbeat(self) -> str:
        """A sign of life."""
        return encode(Heartbeat(self.name, self.boot_id, time.time()))

    def inventory(self) -> str:
        """All that it is and has, as an entry of its list."""
        generation = self._next_generation()
        driver = DriverHealth(self._hypervisor, True, "simulated", "none", CAPABILITIES)
        told = Inventory(
            host=self.name,
            boot_id=self.boot_id,
            generation=generation,
            at=time.time(),
            vcpus=VCPUS,
            memory_mb=MEMORY_MB,
            disk_gb=DISK_GB,
            drivers=[driver],
            images=[self._image],
            vms=self.vms.observe_all(),
            facts=HostFacts(os="simulated"),
            home_id=self.home_id,
            media=[],
        )
        return f'{{"kind":"inventory","body":{encode(told)}}}'

    def usage(self) -> tuple[str, dict[str, str]]:
        """What its machine uses, and each VM that runs."""
        at, running = time.time(), [vm.id for vm in self.vms.there.values() if vm.state == Observed.RUNNING]
        machine = f"simulated:{self.name}"
        used = HostUsage(
            self.name, at, machine, machine, 10.0, 64, MEMORY_MB, MEMORY_MB // 2, DISK_GB * 1024, DISK_GB * 512
        )
        of_vm = encode(VmUsage(at, 5.0, 128, 0.5))
        return encode(used), dict.fromkeys(running, of_vm)

    def takes(self, command: Command) -> bool:
        """Whether it is to be carried out now; else `again` has what there is to report of it."""
        known = self._entries.get(command.operation_id)
        if known is None:
            self._remember(command.operation_id, SimulatedOperation(command.vm.id, command.kind, command.attempt))
            if command.kind is Kind.DELETE:
                self._overtake(command)
            return True
        known.attempt = max(known.attempt, command.attempt)
        return False

    def again(self, operation_id: str, attempt: int) -> Report | None:
        """The last report of an operation, once it has ended, for whoever asks with its newest attempt."""
        known = self._entries.get(operation_id)
        if known is None or known.report is None or attempt < known.attempt:
            return None
        return replace(known.report, attempt=known.attempt)

    def begun(self, command: Command) -> Report:
        """That it is under way."""
        return self._report(command.operation_id, self._entries[command.operation_id].attempt, Phase.BEGUN)

    def carry_out(self, command: Command) -> Report:
        """Do it, and its last report."""
        entry = self._entries[command.operation_id]
        report = self._report(command.operation_id, entry.attempt, Phase.SUCCEEDED)
        try:
            report = replace(report, result=Raw(encode(self._performed(command, entry)).encode()))
        except CorralError as error:
            failure = Failure(error.code, error.message, error.retryable, error.details)
            report = replace(report, phase=Phase.FAILED, failure=failure)
        if entry.cancelled:
            report = replace(report, phase=Phase.CANCELLED, failure=None, result=Raw(b"{}"))
        entry.report = replace(report, observation=self.vms.observe(command.vm.id))
        return entry.report

    def refuse(self, unread: Numbered, why: str) -> Report:
        """That it can't read a command."""
        failure = Failure("invalid_request", f"the agent of the VM's host can't read the command: {why}")
        report = replace(self._report(unread.operation_id, unread.attempt, Phase.FAILED), failure=failure)
        self._remember(unread.operation_id, SimulatedOperation("", None, unread.attempt, report))
        return report

    def cancel(self, operation_id: str) -> tuple[str, Report | None]:
        """What becomes of it, and a report where there is one to be sent."""
        known = self._entries.get(operation_id)
        if known is None:
            report = self._report(operation_id, 0, Phase.CANCELLED)
            self._remember(operation_id, SimulatedOperation("", None, 0, report))
            return "cancelled", report
        if known.report is None:
            known.cancelled = True
            return "cancelling", None
        return "finished", known.report

    def state_of(self, operation_id: str) -> str:
        """How far it is."""
        known = self._entries.get(operation_id)
        return "unknown" if known is None else "running" if known.report is None else "finished"

    def is_cancelled(self, operation_id: str) -> bool:
        """Whether it is to stop."""
        return self._entries[operation_id].cancelled

    def _performed(self, command: Command, entry: SimulatedOperation) -> Result:
        if entry.cancelled:
            return Result()
        if time.time() >= command.deadline_at:
            late = DriverFailure(
                f"{command.kind} of VM '{command.vm.name}' reached its host after its deadline",
                code="deadline_exceeded",
            )
            late.retryable = True
            raise late
        if command.kind is not Kind.DELETE and command.vm.id in self._deleted:
            raise NotFound(f"VM '{command.vm.name}' was deleted", code="vm_not_found")
        result = self.vms.perform(command)
        if command.kind is Kind.DELETE:
            _keep(self._deleted, command.vm.id, None)
        return result

    def _overtake(self, delete: Command) -> None:
        for entry in self._entries.values():
            if entry.vm_id == delete.vm.id and entry.report is None and entry.kind is not Kind.DELETE:
                entry.cancelled = True

    def _report(self, operation_id: str, attempt: int, phase: Phase) -> Report:
        return Report(self.name, self._next_generation(), operation_id, attempt, phase, time.time())

    def _next_generation(self) -> int:
        self._generation += 1
        return self._generation

    def _remember(self, operation_id: str, entry: SimulatedOperation) -> None:
        _keep(self._entries, operation_id, entry)


def _keep(kept: OrderedDict[str, V], key: str, value: V) -> None:
    kept[key] = value
    while len(kept) > _REMEMBERED:
        kept.popitem(last=False)
