"""Measurements of a VM: from `/proc` and its files, and if asked also from its hypervisor and guest agent."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from agent.drivers.capabilities.metrics import Measurement, Sample
from agent.drivers.local import daemon, disks, usable
from agent.drivers.local.folder import LocalVmFolder, LocalVmRecord
from agent.guest import measuring
from agent.guest.measuring import Inside
from core.contract.errors import DriverFailure
from core.contract.messages import JSON
from core.contract.states import Observed

WINDOW_SECONDS = 0.5


@dataclass(frozen=True)
class HypervisorCounters:
    """The counters of a hypervisor; `network` where it has those."""

    disk_io: JSON
    network: JSON | None = None


def sample(folder: LocalVmFolder) -> Sample | None:
    """None for what is no VM, or one whose files can't be read."""
    try:
        state = folder.read()
        return None if state is None else _sample(folder, state)
    except DriverFailure:
        return None


def measure(
    folder: LocalVmFolder, power: Observed, ask: Callable[[], HypervisorCounters], timeout: float
) -> Measurement:
    """All of it, within `timeout` seconds; what does not answer in time is told among the unknown."""
    deadline = time.monotonic() + timeout
    state = folder.state()
    before, began = _sample(folder, state), time.monotonic()
    if before.cpu_seconds is None:
        return Measurement(before, 0.0, unknown={"guest": "the VM does not run"})
    unknown: dict[str, str] = {}
    counted: HypervisorCounters | None = None
    try:
        counted = ask()
    except DriverFailure as error:
        unknown["disk_io"] = error.message
    inside = _inside(folder, state, power, deadline)
    time.sleep(max(0.0, began + WINDOW_SECONDS - time.monotonic()))
    after = _sample(folder, state)
    percent = after.cpu_percent_since(before, time.monotonic() - began)
    network = _of_taps(daemon.alive(folder.path)) or (counted.network if counted else None) or inside.network
    if network is None:
        unknown["network"] = inside.unknown.get("network", "only the guest could tell")
    told = {name: why for name, why in inside.unknown.items() if name != "network"}
    return Measurement(after, percent, network, counted.disk_io if counted else None, inside.guest, unknown | told)


def _sample(folder: LocalVmFolder, state: LocalVmRecord) -> Sample:
    machine, pid = state.machine or state.spec, daemon.alive(folder.path)
    _, taken = disks.size_and_use(folder, state.disk)
    if pid is not None:
        try:
            process = psutil.Process(pid)
            times, age = process.cpu_times(), time.time() - process.create_time()
            resident = _memory_bytes(process, machine.memory_mb)
        except psutil.Error:
            pid = None  # it has just ended
    if pid is None:
        return Sample(folder.path.name, machine.vcpus, None, 0, taken)
    return Sample(folder.path.name, machine.vcpus, times.user + times.system, resident, taken, age)


def _memory_bytes(process: psutil.Process, memory_mb: int) -> int:
    """What of the VM's memory the host holds, where that is one mapping of its size, apart from the hypervisor's."""
    try:
        mappings = Path(f"/proc/{process.pid}/smaps").read_bytes()
    except OSError:
        mappings = b""
    found = re.search(rb"^Size: +%d kB\n(?:.*\n){0,3}?Rss: +(\d+) kB$" % (memory_mb * 1024), mappings, re.MULTILINE)
    return int(found[1]) * 1024 if found else min(process.memory_info().rss, memory_mb * 2**20)


def _inside(folder: LocalVmFolder, state: LocalVmRecord, power: Observed, deadline: float) -> Inside:
    if power is not Observed.RUNNING:
        return Inside.silent(f"the VM is {power}")
    if not usable.has_agent(state):
        return Inside.silent("the VM's image has no guest agent")
    mac_address = state.machine.mac_address if state.machine else ""
    return measuring.measure(folder.path, mac_address, WINDOW_SECONDS, deadline)


def _of_taps(pid: int | None) -> JSON | None:
    """The traffic of the taps that the process holds, seen from the VM. User-mode networking has none to count."""
    if pid is None:
        return None
    known = psutil.net_io_counters(pernic=True)
    counted = [known[name] for name in _taps(pid) if name in known]
    if not counted:
        return None
    return {
        "bytes_in": sum(each.bytes_sent for each in counted),
        "bytes_out": sum(each.bytes_recv for each in counted),
        "packets_in": sum(each.packets_sent for each in counted),
        "packets_out": sum(each.packets_recv for each in counted),
        "source": "tap",
    }


def _taps(pid: int) -> set[str]:
    """The kernel says of each open tap which it is: https://docs.kernel.org/networking/tuntap.html"""
    found: set[str] = set()
    for info in Path(f"/proc/{pid}/fdinfo").glob("*"):
        try:
            lines = info.read_text().splitlines()
        except OSError:  # closed meanwhile
            continue
        found.update(line.removeprefix("iff:").strip() for line in lines if line.startswith("iff:"))
    return found
