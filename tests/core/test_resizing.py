"""What a host counts for a VM that is resized: never less than it may use, never more than there is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs
from sqlalchemy import update

from core.contract.errors import Conflict, NoCapacity, Unsupported
from core.contract.messages import Failure
from core.contract.states import Observed
from core.contract.vms import Observation, Running
from core.models import Host, Operation, Vm
from core.models.base import JSON, now
from core.services import lookup, sizes, snapshots, vms
from core.services.accepted import Accepted
from core.services.context import Actor
from core.services.intake import inventories, sweeps


class Resizer:
    """Short forms; the host has 4 vCPUs and 4096 MB, a VM begins with 1 and 512."""

    def __init__(self, transaction: Any, actor: Actor, helpers: Any) -> None:
        self.transaction, self.actor, self.helpers = transaction, actor, helpers

    def make(self, *names: str, running: bool = False) -> None:
        for name in names:
            self.helpers.do(lambda s, n=name: vms.create(s, self.actor, self.helpers.request(n)), Observed.STOPPED)
            if running:
                self.do(lambda s, n=name: vms.start(s, self.actor, n), self.runs(1, 512))

    def begin(self, name: str = "web", **changes: int) -> Accepted:
        with self.transaction() as session:
            return sizes.resize(session, self.actor, name, changes)

    def runs(self, vcpus: int, memory_mb: int) -> JSON:
        return {"state": Observed.RUNNING, "facts": Running(vcpus=vcpus, memory_mb=memory_mb)}

    def end(self, operation: Accepted, seen: JSON | None = None, phase: str = "succeeded", **fields: Any) -> None:
        seen = seen or {"state": Observed.STOPPED}
        told = self.helpers.report(operation, phase, **fields)
        self.helpers.apply(structs.replace(told, observation=Observation(operation.vm_id, **seen)))

    def do(self, begin: Any, seen: JSON | None = None) -> None:
        with self.transaction() as session:
            operation = begin(session)
        self.end(operation, seen)

    def counted(self) -> tuple[int, int]:
        with self.transaction() as session:
            row = session.get_one(Host, "host-a")
            return row.reserved_vcpus, row.reserved_memory_mb

    def size(self, name: str = "web") -> tuple[int, int, int, int]:
        """What it has, and what it is to have."""
        with self.transaction() as session:
            vm = lookup.vm(session, self.actor, name)
            return vm.current_vcpus, vm.current_memory_mb, vm.vcpus, vm.memory_mb


@pytest.fixture
def resizer(transaction: Any, actor: Actor, host: str, helpers: Any) -> Resizer:
    return Resizer(transaction, actor, helpers)


def test_a_stopped_vm_is_counted_with_its_new_size_at_once(resizer: Resizer) -> None:
    resizer.make("web")
    larger = resizer.begin(vcpus=3)
    assert larger.params == {"vcpus": 3, "memory_mb": 512, "cpu_limit_percent": None, "memory_limit_percent": None}
    assert resizer.counted() == (3, 512)
    assert resizer.size() == (1, 512, 1, 512)
    resizer.end(larger)
    assert resizer.size() == (3, 512, 3, 512)
    smaller = resizer.begin(vcpus=2, memory_mb=128, cpu_limit_percent=100, memory_limit_percent=50)
    assert (smaller.params["cpu_limit_percent"], smaller.params["memory_limit_percent"]) == (None, 50)
    assert resizer.counted() == (3, 512)  # until it is true
    resizer.end(smaller)
    assert resizer.counted() == (2, 128)
    resizer.do(lambda s: vms.delete(s, resizer.actor, "web"), {"state": Observed.ABSENT})
    assert resizer.counted() == (0, 0)


def test_a_running_vm_holds_what_it_uses_until_it_stops(resizer: Resizer) -> None:
    resizer.make("web")
    resizer.end(resizer.begin(vcpus=2, memory_mb=1024))
    resizer.do(lambda s: vms.start(s, resizer.actor, "web"), resizer.runs(2, 1024))
    resizer.end(resizer.begin(vcpus=3, memory_mb=512), resizer.runs(3, 1024))
    assert resizer.counted() == (3, 1024)
    assert resizer.size() == (3, 1024, 3, 512)
    with resizer.transaction() as session:  # it ends by itself, and an inventory tells
        vm_id = lookup.vm(session, resizer.actor, "web").id
        seen = [Observation(vm_id, Observed.STOPPED)]
        inventories.record(session, resizer.helpers.inventory("host-a", seen))
    assert resizer.counted() == (3, 512)
    assert resizer.size() == (3, 512, 3, 512)


@pytest.mark.parametrize("ending", ["failed", "cancelled", "silence"])
def test_what_does_not_succeed_gives_back_what_it_took(resizer: Resizer, ending: str) -> None:
    resizer.make("web", running=True)
    operation = resizer.begin(vcpus=4, memory_mb=4096)
    assert resizer.counted() == (4, 4096)
    if ending == "silence":
        with resizer.transaction() as session:
            session.execute(update(Operation).values(deadline_at=now() - timedelta(minutes=1)))
        with resizer.transaction() as session:
            [late] = sweeps.late(session)
            sweeps.expire(session, *late)
    else:
        resizer.end(operation, resizer.runs(1, 512), ending, failure=Failure("operation_failed", "no"))
    assert resizer.counted() == (1, 512)
    assert resizer.size() == (1, 512, 1, 512)


def test_a_failure_that_left_the_vm_larger_is_counted(resizer: Resizer) -> None:
    resizer.make("web", running=True)
    resizer.end(resizer.begin(vcpus=2), resizer.runs(2, 512), "failed", failure=Failure("operation_failed", "no"))
    assert resizer.counted() == (2, 512)
    assert resizer.size() == (2, 512, 1, 512)


def test_nine_resizes_at_once_never_overbook(resizer: Resizer) -> None:
    resizer.make("a", "b", "c")

    def grow(name: str) -> str:
        try:
            return resizer.begin(name, vcpus=2, memory_mb=1024).state
        except (NoCapacity, Conflict) as error:
            return error.code

    with ThreadPoolExecutor(9) as pool:
        outcomes = list(pool.map(grow, "abc" * 3))
    assert outcomes.count("queued") == 1
    assert "insufficient_resources" in outcomes
    assert resizer.counted() == (4, 2048)


def test_no_room_names_the_host_and_changes_nothing(resizer: Resizer) -> None:
    resizer.make("web")
    with pytest.raises(NoCapacity) as full:
        resizer.begin(vcpus=5)
    assert full.value.details["rejected"] == [
        {"host": "host-a", "reason": "4 vCPUs and 0 MB more wanted, 3 and 3584 left"}
    ]
    with resizer.transaction() as session:  # a host that has promised more than it has by now
        session.execute(update(Host).values(offered_vcpus=0))
    resizer.end(resizer.begin(memory_mb=1024))
    with resizer.transaction() as session:
        session.execute(update(Host).values(offered_vcpus=4, offered_memory_mb=0))
    resizer.end(resizer.begin(vcpus=2))
    assert resizer.counted() == (2, 1024)


def test_going_back_to_a_larger_machine_needs_room_for_it(resizer: Resizer) -> None:
    resizer.make("web")
    resizer.end(resizer.begin(vcpus=3, memory_mb=1024))
    resizer.do(lambda s: vms.start(s, resizer.actor, "web"), resizer.runs(3, 1024))
    take: Any = {"name": "large", "description": "", "include_memory": True}
    resizer.do(lambda s: snapshots.create(s, resizer.actor, "web", **take), resizer.runs(3, 1024))
    resizer.do(lambda s: vms.stop(s, resizer.actor, "web", grace_seconds=0, force=True))
    resizer.end(resizer.begin(vcpus=1, memory_mb=512))
    assert resizer.counted() == (1, 512)
    resizer.do(lambda s: snapshots.restore(s, resizer.actor, "web", "large"), resizer.runs(3, 1024))
    assert resizer.counted() == (3, 1024)
    assert resizer.size() == (3, 1024, 1, 512)
    resizer.do(lambda s: snapshots.restore(s, resizer.actor, "web", "large", start=False))
    assert resizer.counted() == (1, 512)
    resizer.make("other")
    resizer.end(resizer.begin("other", vcpus=2))
    with pytest.raises(NoCapacity):
        resizer.do(lambda s: snapshots.restore(s, resizer.actor, "web", "large"))
    assert resizer.counted() == (3, 1024)


def test_vms_of_an_older_release_are_counted_as_they_were(resizer: Resizer) -> None:
    resizer.make("web")
    with resizer.transaction() as session:
        session.execute(update(Vm).values(held_vcpus=None, held_memory_mb=None))
    resizer.end(resizer.begin(vcpus=2))
    assert resizer.counted() == (2, 512)
    resizer.do(lambda s: vms.delete(s, resizer.actor, "web"), {"state": Observed.ABSENT})
    assert resizer.counted() == (0, 0)


def test_a_driver_that_can_not_is_named(resizer: Resizer) -> None:
    resizer.make("web")
    with resizer.transaction() as session:
        session.execute(update(Host).values(drivers=[{"name": "fake", "healthy": True, "capabilities": []}]))
    with pytest.raises(Unsupported, match="'fake' of VM 'web' does not offer resizing"):
        resizer.begin(vcpus=2)
