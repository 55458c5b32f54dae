"""Limits of QEMU's VMs: held from the launch on, over restarts, and in words that a real kernel takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.drivers.base import DriverFolders
from agent.drivers.capabilities.resizing import SizeChange
from agent.drivers.qemu import QemuDriver
from agent.drivers.qemu.accelerators import BEYOND_MB
from agent.drivers.qemu.qmp import Monitor
from agent.system import cgroups, process
from core.contract.errors import Unsupported
from core.contract.messages import VmSpec
from core.contract.states import Applied
from tests.qemu.conftest import LONG, silent, spec
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.qemu.conftest import Run
    from tests.support.clones import Clones

LIVE, LATER = Applied.LIVE, Applied.AT_NEXT_START


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    """A folder in the place of the group that VMs have theirs in."""
    (tmp_path / "cgroup.controllers").write_text("cpu memory")
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory")
    return tmp_path


@pytest.fixture
def empty(place: DriverFolders) -> Iterator[VmSpec]:
    """A VM without an image: its firmware looks for one for ever."""
    made = spec(image=None, disk_gb=1)
    QemuDriver(place).create(made, silent, LONG)
    yield made
    QemuDriver(place).delete(made, LONG)


def test_limits_hold_from_the_launch_and_over_restarts(place: DriverFolders, groups: Path, empty: VmSpec) -> None:
    place = replace(place, cgroup=groups)
    limited = replace(empty, cpu_limit_percent=80)
    group = groups / f"vm-{empty.id}"
    assert QemuDriver(place).resize(limited, silent, LONG) == SizeChange(LATER, LATER, LATER, LATER)
    assert not group.exists()
    seen = QemuDriver(place).start(limited, silent, LONG)
    assert (group / "cgroup.procs").read_text() == f"{seen.pid}\n"
    assert (group / "cpu.max").read_text() == "80000 100000"
    narrower = replace(limited, memory_mb=512, memory_limit_percent=50)
    assert QemuDriver(place).resize(narrower, silent, LONG) == SizeChange(LIVE, LATER, LIVE, LIVE)
    beyond = BEYOND_MB["tcg"]
    assert (group / "memory.high").read_text() == str((128 + beyond) * 2**20)  # of what it runs with
    QemuDriver(place).stop(narrower, 0.0, silent, LONG)
    QemuDriver(place).start(narrower, silent, LONG)
    assert (group / "memory.high").read_text() == str((256 + beyond) * 2**20)


def test_a_guest_gives_back_what_it_is_not_to_have(
    place: DriverFolders, groups: Path, vm: VmSpec, clones: Clones
) -> None:
    driver = QemuDriver(replace(place, cgroup=groups))
    clones.start(driver, place.vms, vm)
    limited = replace(vm, memory_limit_percent=75)
    driver.resize(limited, silent, LONG)
    until(lambda: _held_mb(place, vm) == 192)
    driver.stop(limited, 0.0, silent, LONG)
    driver.start(limited, silent, LONG)
    until(lambda: _held_mb(place, vm) == 192)
    driver.resize(vm, silent, LONG)
    until(lambda: _held_mb(place, vm) == 256)


def _held_mb(place: DriverFolders, vm: VmSpec) -> int:
    """What the guest's driver says that it has."""
    with Monitor(place.vms / vm.id, LONG) as monitor:
        return int(monitor.ask("query-balloon")["actual"]) >> 20


def test_a_vm_that_runs_outside_of_any_group_is_limited_when_it_starts(
    place: DriverFolders, groups: Path, empty: VmSpec
) -> None:
    QemuDriver(replace(place, cgroup=groups / "gone" / "x")).start(empty, silent, LONG)
    driver = QemuDriver(replace(place, cgroup=groups))
    assert driver.resize(replace(empty, cpu_limit_percent=80), silent, LONG).cpu_limit_percent is LATER
    assert driver.resize(empty, silent, LONG).cpu_limit_percent is LIVE


def test_a_start_does_without_no_limit(place: DriverFolders, groups: Path, empty: VmSpec) -> None:
    driver = QemuDriver(replace(place, cgroup=groups / "gone" / "x"))
    with pytest.raises(Unsupported, match="limits need"):
        driver.start(replace(empty, memory_limit_percent=80), silent, LONG)


def test_a_real_kernel_takes_what_is_written(running: VmSpec, run: Run, tmp_path: Path) -> None:
    """The guest's, which hands its controllers down."""
    limited = replace(running, cpu_limit_percent=10, memory_mb=512, memory_limit_percent=50)
    cgroups.limit(tmp_path, limited, 0)
    cpu, memory = ((tmp_path / name).read_text() for name in ("cpu.max", "memory.high"))
    group = "/sys/fs/cgroup/corral/vm-x"
    made = run(
        f"mkdir -p /sys/fs/cgroup/corral && echo +cpu +memory >/sys/fs/cgroup/corral/cgroup.subtree_control && "
        f"mkdir -p {group} && echo {cpu} >{group}/cpu.max && echo {memory} >{group}/memory.high && "
        f"cat {group}/cpu.max {group}/memory.high"
    )
    assert made.stdout.decode() == f"{cpu}\n{memory}\n", made.stderr
    busy = 'cat /proc/self/cgroup; timeout 2 sh -c "while :; do :; done"'
    entered = run(f"sh -c '{process.BEGIN}' {group} '' sh -c '{busy}'", timeout=60.0)
    assert entered.stdout == b"0::/corral/vm-x\n"
    used = run(f"awk '/usage_usec/ {{print $2}}' {group}/cpu.stat; grep -c . {group}/cgroup.procs")
    assert int(used.stdout.split()[0]) < 1_000_000  # of two seconds
