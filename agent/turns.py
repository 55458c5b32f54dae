"""Who is at work on what in this process: an operation once, one verb per VM at a time, a delete before all."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from agent.drivers.base import Cancelled
from core.contract.errors import DriverFailure
from core.contract.messages import Command
from core.contract.states import Kind

DELETE_WAITS_SECONDS = 10.0


@dataclass(eq=False)
class Work:
    """One operation under way. `attempt` is the newest seen of it; `overtaken`: a delete went ahead without waiting."""

    operation_id: str
    vm_id: str
    kind: Kind
    attempt: int
    cancelled: bool = False
    overtaken: bool = False

    def check(self) -> None:
        """Raises `Cancelled` once the operation is to stop."""
        if self.cancelled:
            raise Cancelled


class Turns:
    """Every `Work` of this process; waiting is done on one condition, so that a cancel wakes whoever waits."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._works: dict[str, Work] = {}
        self._holders: dict[str, Work] = {}

    def claim(self, command: Command) -> tuple[Work, bool]:
        """The work on an operation, and whether the caller is the one to do it."""
        with self._changed:
            running = self._works.get(command.operation_id)
            if running is not None:
                running.attempt = max(running.attempt, command.attempt)
                return running, False
            work = Work(command.operation_id, command.vm.id, command.kind, command.attempt)
            self._works[work.operation_id] = work
            if work.kind is Kind.DELETE:
                self._cancel_others(work)
            return work, True

    def take(self, work: Work, deadline_at: float) -> None:
        """Waits until the VM is this work's alone. A delete waits ten seconds at most, then goes ahead."""
        patience = DELETE_WAITS_SECONDS if work.kind is Kind.DELETE else max(0.0, deadline_at - time.time())
        with self._changed:
            free = self._changed.wait_for(lambda: work.cancelled or work.vm_id not in self._holders, patience)
            work.check()
            if not free and work.kind is not Kind.DELETE:
                raise DriverFailure("another operation on the VM did not end in time", code="deadline_exceeded")
            if not free:
                self._holders[work.vm_id].overtaken = True
            self._holders[work.vm_id] = work

    def leave(self, work: Work) -> None:
        """Ends it, and lets the next one in."""
        with self._changed:
            self._works.pop(work.operation_id, None)
            if self._holders.get(work.vm_id) is work:
                del self._holders[work.vm_id]
            self._changed.notify_all()

    def cancel(self, operation_id: str) -> bool:
        """Asks an operation to stop; False if it isn't under way here."""
        with self._changed:
            work = self._works.get(operation_id)
            if work is not None:
                work.cancelled = True
                self._changed.notify_all()
            return work is not None

    def busy_vms(self) -> set[str]:
        """The VMs that something is under way on."""
        with self._changed:
            return {work.vm_id for work in self._works.values()}

    def wait_idle(self, seconds: float) -> bool:
        """Whether nothing is under way any more, within that time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._works, seconds)

    def _cancel_others(self, work: Work) -> None:
        for other in self._works.values():
            if other.vm_id == work.vm_id and other is not work and other.kind is not Kind.DELETE:
                other.cancelled = True
        self._changed.notify_all()
