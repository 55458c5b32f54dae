"""Control groups (version 2): one for each VM, under the agent's own, with the VM's limits.

https://docs.kernel.org/admin-guide/cgroup-v2.html. A group with processes of its own can't hand controllers down, so an
agent that is alone in its group moves into one below it.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from pathlib import Path

from core.contract.errors import Unsupported
from core.contract.messages import VmSpec

CONTROLLERS = ("cpu", "memory")
PERIOD_MICROSECONDS = 100_000
PROCESSES = "cgroup.procs"
AGENT = "agent"
REMOVE_SECONDS = 1.0


def find(home: Path | None, vm: VmSpec) -> Path | None:
    """Where the VM's group is to be; None for a VM without limits on a host that has none.

    `home` is the group that holds those of VMs; None: the agent's own. `Unsupported` says what the host lacks.
    """
    try:
        return hand_down(home or own()) / f"vm-{vm.id}"
    except Unsupported:
        if is_limited(vm):
            raise
        return None


def prepare(home: Path | None, vm: VmSpec, beyond_mb: int) -> Path | None:
    """As `find`, and makes the group with the VM's limits; see `limit`."""
    group = find(home, vm)
    if group is not None:
        group.mkdir(exist_ok=True)
        limit(group, vm, beyond_mb)
    return group


def is_limited(vm: VmSpec) -> bool:
    """Whether it may take less than its size."""
    return vm.cpu_limit_percent is not None or vm.memory_limit_percent is not None


def limit(group: Path, vm: VmSpec, beyond_mb: int) -> None:
    """Writes the limits. `beyond_mb` is what its hypervisor may hold beside the guest's memory.

    Memory beyond its share is not refused, which would kill the VM, but slows it down.
    """
    cpu, memory = vm.cpu_limit_percent, vm.memory_limit_percent
    quota = "max" if cpu is None else str(max(1000, vm.vcpus * PERIOD_MICROSECONDS * cpu // 100))
    (group / "cpu.max").write_text(f"{quota} {PERIOD_MICROSECONDS}")
    high = "max" if memory is None else str(vm.memory_mb * 2**20 * memory // 100 + beyond_mb * 2**20)
    (group / "memory.high").write_text(high)


def holds(group: Path, pid: int) -> bool:
    """Whether that process is in the group."""
    try:
        return str(pid) in (group / PROCESSES).read_text().split()
    except OSError:
        return False


def remove(home: Path | None, vm_id: str) -> None:
    """Removes a VM's group, once the process in it is gone; an empty group that stays does no harm."""
    with suppress(Unsupported):
        group = (home or own()) / f"vm-{vm_id}"
        deadline = time.monotonic() + REMOVE_SECONDS
        while group.exists() and time.monotonic() < deadline:
            with suppress(OSError):
                group.rmdir()
                return
            time.sleep(0.02)


def own() -> Path:
    """The group of this process, or the one above it if it has moved down itself."""
    mounts = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
    mounted = next((fields[4] for fields in mounts if fields[fields.index("-") + 1] == "cgroup2"), None)
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    name = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), None)
    if mounted is None or name is None:
        raise Unsupported("this host has no control groups of version 2, which limits need")
    group = Path(mounted) / name.strip("/")
    return group.parent if group.name == AGENT else group


def hand_down(home: Path) -> Path:
    """Checks that VMs can have groups with limits below it, and sees to it; `Unsupported` says what is missing."""
    try:
        home.mkdir(exist_ok=True)
        offered = (home / "cgroup.controllers").read_text().split()
    except OSError as error:
        raise Unsupported(f"limits need a control group of version 2 for VMs: {error.strerror or error}") from None
    if missing := [name for name in CONTROLLERS if name not in offered]:
        raise Unsupported(
            f"limits need the controllers {' and '.join(missing)}, which are not delegated to the agent's cgroup "
            "or are used by control groups of version 1"
        )
    try:
        _enable(home)
    except OSError as error:
        raise Unsupported(
            f"limits can't be set ({error.strerror or type(error).__name__}): set CORRAL_CGROUP to a cgroup "
            "delegated to this agent"
        ) from None
    return home


def _enable(home: Path) -> None:
    control = home / "cgroup.subtree_control"
    if set(CONTROLLERS) <= set(control.read_text().split()):
        return
    wanted = " ".join(f"+{name}" for name in CONTROLLERS)
    try:
        control.write_text(wanted)
    except OSError as error:
        if error.errno != errno.EBUSY or (home / PROCESSES).read_text().split() != [str(os.getpid())]:
            raise
        (home / AGENT).mkdir(exist_ok=True)
        (home / AGENT / PROCESSES).write_text(str(os.getpid()))
        control.write_text(wanted)
