"""Limits on a host with control groups of version 2 and a KVM that is KVM."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.drivers.qemu.accelerators import BEYOND_MB
from tests.lab.conftest import MEMORY_MB, LabVm
from tests.support.waiting import until
from tools.lab import recipe

if TYPE_CHECKING:
    from tools.lab.lab import Lab

pytestmark = pytest.mark.timeout(600)
GROUPS = "/sys/fs/cgroup/corral"
BUSY = "timeout 5 sh -c 'while :; do :; done'; true"


@pytest.mark.usefixtures("lives")
def test_a_vm_is_held_to_its_limits(lab: Lab) -> None:
    guest = LabVm(lab, recipe.KVM.name, "limited")
    guest.create()
    guest.change("PUT", "/resources", {"cpu_limit_percent": 50, "memory_limit_percent": 75})
    group = f"{GROUPS}/vm-{guest.client.request('GET', '/vms/limited')['id']}"
    guest.change("POST", "/start")
    memory = (MEMORY_MB * 3 // 4 + BEYOND_MB["kvm"]) * 2**20
    assert guest.on_host(f"cat {group}/cpu.max {group}/memory.high").split() == ["50000", "100000", str(memory)]
    # Beside it there is a thread of KVM's own.
    assert guest.on_host(f"cat /proc/$(head -n 1 {group}/cgroup.procs)/comm").startswith("qemu-system")
    before = _throttled(guest, group)
    guest.run(BUSY)
    assert _throttled(guest, group) > before, "it had more of the processor than its limit"

    before = _free_mb(guest)
    guest.change("PUT", "/resources", {"cpu_limit_percent": 20, "memory_limit_percent": 100})
    assert guest.on_host(f"cat {group}/cpu.max").split() == ["20000", "100000"]
    until(lambda: _free_mb(guest) >= before + MEMORY_MB // 8, why="the guest did not get its memory back")
    guest.change("DELETE", "")
    assert guest.on_host(f"ls -d {group} 2>&1 | grep -c 'No such file'").strip() == "1"


def _free_mb(guest: LabVm) -> int:
    return int(guest.execute("awk '/^MemFree/ { print int($2 / 1024) }' /proc/meminfo"))


def _throttled(guest: LabVm, group: str) -> int:
    return int(guest.on_host(f"sed -n 's/^nr_throttled //p' {group}/cpu.stat"))
