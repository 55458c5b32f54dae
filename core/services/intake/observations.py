"""Observed states of VMs, from reports and inventories: applied unless a newer one was."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy.orm import Session

from core.contract.commands import Delete
from core.contract.states import DesiredState, Observed
from core.contract.vms import Observation
from core.models import Vm
from core.models.base import now
from core.services import hosts, operations
from core.services.context import SYSTEM


def observe(vm: Vm, seen: Observation, generation: int) -> None:
    """Take over what was seen, unless something newer was applied already."""
    if generation <= vm.observed_generation or vm.deleted_at is not None:
        return
    vm.observed_generation = generation
    vm.observed_at = now()
    was, vm.observed, vm.observed_reason = vm.observed, seen.state, seen.reason
    if seen.started_at is not None:
        vm.started_at = datetime.fromtimestamp(seen.started_at, UTC)
    runs = seen.state in (Observed.RUNNING, Observed.PAUSED)
    vm.running_vcpus = seen.facts.vcpus or vm.running_vcpus if runs else None
    vm.running_memory_mb = seen.facts.memory_mb or vm.running_memory_mb if runs else None
    if was in (Observed.RUNNING, Observed.PAUSED) and seen.state in (Observed.STOPPED, Observed.CRASHED):
        vm.stopped_at = now()


def take_back(session: Session, vm: Vm) -> None:
    """A VM that was given up, as its create took too long, and is there after all: counted again, or else removed."""
    there = vm.observed not in (None, Observed.ABSENT)
    if (
        vm.reserved
        or not there
        or vm.deleted_at is not None
        or vm.wanted == DesiredState.DELETED
        or vm.lost_at is not None
    ):
        return
    if not hosts.count_again(session, vm) and operations.live_of(session, vm) is None:
        operations.begin(session, SYSTEM, vm, Delete(), wanted=DesiredState.DELETED)
