"""Measurements of fake VMs: a tenth of a processor and 64 MiB while they run."""

from __future__ import annotations

import time

from agent.drivers.capabilities.metrics import Measurement, Sample
from core.contract.messages import VmSpec
from core.contract.states import Observed
from core.contract.vms import Observation

SHARE = 0.1
MEMORY_BYTES, DISK_BYTES = 64 * 2**20, 2**20
NETWORK = {"bytes_in": 1000, "bytes_out": 500, "packets_in": 10, "packets_out": 5, "source": "guest"}
DISK_IO = {"read_bytes": 4096, "written_bytes": 8192, "reads": 1, "writes": 2}
GUEST = {
    "cpu": {"usage_percent": 100 * SHARE},
    "memory": {"total_mb": 128, "used_mb": 64, "available_mb": 64, "usage_percent": 50.0},
    "file_systems": [{"mountpoint": "/", "type": "ext4", "total_bytes": 2**30, "used_bytes": 2**20}],
}


def sample(seen: Observation) -> Sample:
    """Of a VM that was seen so."""
    if seen.started_at is None or seen.state not in (Observed.RUNNING, Observed.PAUSED):
        return Sample(seen.vm_id, 1, None, 0, DISK_BYTES)
    age = max(0.0, time.time() - seen.started_at)
    return Sample(seen.vm_id, 1, age * SHARE, MEMORY_BYTES, DISK_BYTES, age)


def measure(vm: VmSpec, seen: Observation) -> Measurement:
    """The same, with all that a real driver tells."""
    now = sample(seen)
    if now.cpu_seconds is None:
        return Measurement(now, 0.0, unknown={"guest": "the VM does not run"})
    if seen.state is Observed.PAUSED:
        return Measurement(now, 0.0, NETWORK, DISK_IO, unknown={"guest": "the VM is paused"})
    return Measurement(now, 100 * SHARE / vm.vcpus, NETWORK, DISK_IO, GUEST)
