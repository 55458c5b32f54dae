"""A VM that comes back to a host which still has something of its former self to remove."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from agent.commands.vm_locks import VmLocks
from agent.drivers.base import Cancelled
from core.contract.commands import Delete, Move
from core.contract.messages import VmSpec, command
from core.contract.moves import MovedFile
from core.contract.states import Kind

if TYPE_CHECKING:
    from tests.agent.hosts import Host

VM = VmSpec("vm", "web", "fake", "linux", 1, 1, 1, home=2)
FILES = [MovedFile("fake-state.json", 1, "a" * 64, [(0, 1)])]


@pytest.mark.parametrize(("home", "ended"), [(1, False), (2, True)])
def test_a_delete_of_an_older_home_does_not_end_the_move(home: int, ended: bool) -> None:
    locks, until = VmLocks(), time.time() + 60
    coming, _ = locks.register(command("op-1", 1, VM, Move(files=FILES), until))
    locks.register(command("purge-1", 1, replace(VM, home=home), Delete(), until))
    assert coming.cancelled is ended
    if ended:
        with pytest.raises(Cancelled):
            coming.check()


def test_what_was_deleted_with_its_home_does_not_arrive_any_more(running: Host) -> None:
    vm = replace(running.made(), home=3)
    assert running.do(Kind.DELETE, vm).phase == "succeeded"
    late = running.do(Kind.MOVE, vm, files=FILES)
    assert (late.phase, late.failure.code) == ("failed", "vm_not_found")
    assert running.call("observe", vm).result["state"] == "absent"
