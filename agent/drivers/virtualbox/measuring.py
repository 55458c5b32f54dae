"""Measurements of a VM: from its process and files, and if asked also from VirtualBox's counters and the guest.

A sample asks nothing of VirtualBox. How much of the guest's memory counts as its process's is the host system's word.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

import psutil

from agent.drivers.capabilities.metrics import Measurement, Sample
from agent.drivers.limits import Left
from agent.drivers.virtualbox import inside
from agent.drivers.virtualbox.folder import VirtualBoxVmFolder, VirtualBoxVmRecord
from agent.drivers.virtualbox.observing import process_of
from agent.drivers.virtualbox.vboxmanage import VBoxManage
from agent.system.vault import Vault
from core.contract.errors import DriverFailure
from core.contract.messages import JSON

WINDOW_SECONDS = 0.5
SECTOR = 512  # the unit of st_blocks, whatever the file system's own is
# `<Counter c="512" unit="bytes" name="/Public/Storage/AHCI0/Port0/BytesRead"/>`, in any order, U32 and U64 with `val`.
_COUNTER = re.compile(r"<(?:Counter|U32|U64)\s[^>]*>")
_ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')
STORAGE = {
    "read_bytes": "BytesRead",
    "written_bytes": "BytesWritten",
    "reads": "ReqsRead",
    "writes": "ReqsWrite",
}


def sample(folder: VirtualBoxVmFolder) -> Sample | None:
    """None for what is no VM, or one whose files can't be read."""
    try:
        record = folder.read()
        return None if record is None else _sample(folder, record)
    except (DriverFailure, OSError):
        return None


def measure(manage: VBoxManage, vault: Vault, folder: VirtualBoxVmFolder, left: Left) -> Measurement:
    """All of it in three calls, one of them into the guest; none for a VM without a process."""
    record = folder.record()
    before, began = _sample(folder, record), time.monotonic()
    if before.cpu_seconds is None:
        return Measurement(before, 0.0, unknown={"guest": "the VM does not run"})
    unknown: dict[str, str] = {}
    counters = _counters(manage, folder, left, unknown)
    disk_io, network = _disk_io(counters, unknown), _network(counters, unknown)
    guest = _guest(manage, vault, folder, left, unknown)
    time.sleep(max(0.0, began + WINDOW_SECONDS - time.monotonic()))
    after = _sample(folder, record)
    percent = after.cpu_percent_since(before, time.monotonic() - began)
    return Measurement(after, percent, network, disk_io, guest, unknown)


def parse(text: str) -> dict[str, int]:
    """The counters of `debugvm statistics` by their names."""
    found: dict[str, int] = {}
    for tag in _COUNTER.findall(text):
        attributes: dict[str, str] = dict(_ATTRIBUTE.findall(tag))
        number = attributes.get("c", attributes.get("val", ""))
        if number.isdecimal() and "name" in attributes:
            found[attributes["name"]] = int(number)
    return found


def _sample(folder: VirtualBoxVmFolder, record: VirtualBoxVmRecord) -> Sample:
    vm, taken = record.spec, _disk_bytes(folder)
    process = process_of(folder)
    if process is not None:
        try:
            times, age = process.cpu_times(), time.time() - process.create_time()
            resident = min(process.memory_info().rss, vm.memory_mb * 2**20)
        except psutil.Error:
            process = None  # it has just ended
    if process is None:
        return Sample(vm.id, vm.vcpus, None, 0, taken)
    return Sample(vm.id, vm.vcpus, times.user + times.system, resident, taken, age)


def _disk_bytes(folder: VirtualBoxVmFolder) -> int:
    """The VM's own disk, and what was written since each snapshot."""
    layers = (folder.settings / "Snapshots").glob("*.vdi")
    found = [path.stat() for path in (folder.disk, *layers) if path.exists()]
    return sum(each.st_blocks * SECTOR if hasattr(each, "st_blocks") else each.st_size for each in found)


def _counters(
    manage: VBoxManage, folder: VirtualBoxVmFolder, left: Left, unknown: dict[str, str]
) -> Mapping[str, int] | None:
    try:
        return parse(manage.run("debugvm", folder.uuid, "statistics", "--pattern", "/Public/*", timeout=left()))
    except DriverFailure as error:
        unknown |= {"disk_io": error.message, "network": error.message}
        return None


def _disk_io(counters: Mapping[str, int] | None, unknown: dict[str, str]) -> JSON | None:
    if counters is None:
        return None
    found = {ours: _sum(counters, "/Public/Storage/", theirs) for ours, theirs in STORAGE.items()}
    if set(found.values()) == {None}:
        unknown["disk_io"] = "this VirtualBox does not count it"
        return None
    return {name: count or 0 for name, count in found.items()}  # it does not list what has not happened yet


def _network(counters: Mapping[str, int] | None, unknown: dict[str, str]) -> JSON | None:
    if counters is None:
        return None
    came, went = (_sum(counters, "/Public/Net", name) for name in ("BytesReceived", "BytesTransmitted"))
    if came is None or went is None:
        unknown["network"] = "this VirtualBox does not count the traffic of the VM's adapters, or it has none"
        return None
    unknown["network.packets"] = "VirtualBox counts only bytes"
    return {"bytes_in": came, "bytes_out": went, "packets_in": None, "packets_out": None, "source": "virtualbox"}


def _sum(counters: Mapping[str, int], below: str, name: str) -> int | None:
    found = [value for key, value in counters.items() if key.startswith(below) and key.rpartition("/")[2] == name]
    return sum(found) if found else None


def _guest(
    manage: VBoxManage, vault: Vault, folder: VirtualBoxVmFolder, left: Left, unknown: dict[str, str]
) -> JSON | None:
    try:
        return inside.ask(manage, vault, folder, left)
    except DriverFailure as error:
        unknown["guest"] = error.message
        return None
