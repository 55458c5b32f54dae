"""VM locks: each operation runs once, one verb at a time works on a VM, and a delete goes first.

So many verbs at once, and of them so many for any one owner of VMs: whoever has fewest under way is next.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass

from agent.drivers.base import Cancelled
from core.contract.errors import DriverFailure
from core.contract.messages import Command
from core.contract.states import Kind

DELETE_WAITS_SECONDS = 10.0
WAITING, WAITING_EACH = 256, 64
"""How many commands may wait here for a place, and of one owner; what is beyond that its record sends again later."""


class Full(Exception):
    """Too much of an owner's waits here already: this command is left to its record."""


class AgentEnds(Exception):
    """The agent ends before the command's turn has come: its next start takes it up."""


@dataclass(eq=False)
class RunningOperation:
    """One operation under way. `attempt` is the newest seen of it; `holds`: it is its VM's turn, and it has a place;
    `overtaken`: a delete went ahead without waiting."""

    operation_id: str
    vm_id: str
    kind: Kind
    attempt: int
    owner: str = ""
    home: int = 0
    holds: bool = False
    cancelled: bool = False
    overtaken: bool = False

    def check(self) -> None:
        """Raises `Cancelled` once the operation is to stop."""
        if self.cancelled:
            raise Cancelled


class VmLocks:
    """Each `RunningOperation` of this process. Threads wait on one condition, so that a cancel wakes them."""

    def __init__(self, places: int = 16) -> None:
        self._places, self._each = places, max(1, places * 3 // 4)
        self._under_way = Counter[str]()
        self._waiting: list[RunningOperation] = []
        self._ends = False
        self._changed = threading.Condition()
        self._works: dict[str, RunningOperation] = {}
        self._holders: dict[str, RunningOperation] = {}

    def register(self, command: Command, *, resumed: bool = False) -> tuple[RunningOperation, bool]:
        """The work on an operation, and whether the caller is the one to do it; `Full`, unless it is `resumed`."""
        with self._changed:
            running = self._works.get(command.operation_id)
            if running is not None:
                running.attempt = max(running.attempt, command.attempt)
                return running, False
            owner = command.vm.owner
            waiting = sum(each.owner == owner and not each.holds for each in self._works.values())
            if waiting >= WAITING_EACH and not resumed:
                raise Full(f"{WAITING_EACH} commands of owner {owner or 'nobody'} are waiting already")
            work = RunningOperation(
                command.operation_id, command.vm.id, command.kind, command.attempt, owner, command.vm.home
            )
            self._works[work.operation_id] = work
            if work.kind is Kind.DELETE:
                self._cancel_others(work)
            return work, True

    def acquire(self, work: RunningOperation, deadline_at: float) -> None:
        """Waits until the VM is this work's alone, and its owner has a place for it.

        A delete waits ten seconds at most, then goes ahead. `AgentEnds` once the agent ends.
        """
        patience = DELETE_WAITS_SECONDS if work.kind is Kind.DELETE else max(0.0, deadline_at - time.time())
        with self._changed:
            self._waiting.append(work)
            self._give_places()
            self._changed.wait_for(lambda: work.cancelled or work.holds or self._ends, patience)
            self._waiting.remove(work)
            work.check()
            if self._ends and not work.holds:
                raise AgentEnds
            if not work.holds and work.kind is not Kind.DELETE:
                raise self._too_late(work)
            if not work.holds:
                if work.vm_id in self._holders:
                    self._holders[work.vm_id].overtaken = True
                self._let_in(work)

    def release(self, work: RunningOperation) -> None:
        """Ends it, and lets the next one in."""
        with self._changed:
            self._works.pop(work.operation_id, None)
            if self._holders.get(work.vm_id) is work:
                del self._holders[work.vm_id]
            if work.holds:
                work.holds = False
                self._under_way[work.owner] -= 1
                if self._under_way[work.owner] <= 0:
                    del self._under_way[work.owner]
            self._give_places()

    def cancel(self, operation_id: str) -> bool:
        """Asks an operation to stop; False if it isn't under way here."""
        with self._changed:
            work = self._works.get(operation_id)
            if work is not None:
                work.cancelled = True
                self._changed.notify_all()
            return work is not None

    def check(self, work: RunningOperation) -> None:
        """For who waits without a place: raises `Cancelled`, or `AgentEnds`, once that is over."""
        work.check()
        if self._ends:
            raise AgentEnds

    def busy_vms(self) -> set[str]:
        """The VMs that something is under way on."""
        with self._changed:
            return {work.vm_id for work in self._works.values()}

    def end(self) -> None:
        """Lets nobody in any more. Called in a signal handler, whose thread may be in here: it waits for nothing."""
        self._ends = True
        threading.Thread(target=self._wake, name="ending", daemon=True).start()

    def wait_idle(self, seconds: float) -> bool:
        """Whether nothing is under way any more, within that time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._works, seconds)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _cancel_others(self, work: RunningOperation) -> None:
        for other in self._works.values():
            gone = other.vm_id == work.vm_id and other.home <= work.home  # else the VM has come back since
            if gone and other is not work and other.kind is not Kind.DELETE:
                other.cancelled = True
        self._changed.notify_all()

    def _give_places(self) -> None:
        """Lets in whoever can be: of the owner with fewest under way the one that has waited longest."""
        while not self._ends and self._under_way.total() < self._places:
            free = [
                each
                for each in self._waiting
                if not each.holds
                and not each.cancelled
                and each.vm_id not in self._holders
                and self._under_way[each.owner] < self._each
            ]
            if not free:
                break
            self._let_in(min(free, key=lambda each: self._under_way[each.owner]))
        self._changed.notify_all()

    def _let_in(self, work: RunningOperation) -> None:
        self._holders[work.vm_id] = work
        work.holds = True
        self._under_way[work.owner] += 1

    def _too_late(self, work: RunningOperation) -> DriverFailure:
        if work.vm_id in self._holders:
            return DriverFailure("another operation on the VM did not end in time", code="deadline_exceeded")
        late = DriverFailure(
            f"{self._under_way[work.owner]} operations on other VMs of the same owner did not end in time on this"
            " host; try again",
            code="deadline_exceeded",
        )
        late.retryable = True
        return late
