"""Usage of the host and its VMs: measured every few seconds, and stored in Redis.

Not in the reports: it is of no worth a moment later, and nothing is lost when it is.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import redis

from agent.drivers.base import Driver
from agent.drivers.capabilities.metrics import MetricsCapability, Sample
from agent.drivers.registry import Drivers
from agent.host.looking import Looks
from agent.system.loops import Loop
from core.contract import channels
from core.contract.hosts import HostUsage
from core.contract.messages import encode
from core.contract.vms import VmUsage
from core.units import GB, MB

LOOK_SECONDS = 5.0
KEPT_SECONDS = 20
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Look:
    """One VM as it was seen last, and when by the monotonic clock."""

    sample: Sample
    at: float
    usage: VmUsage


class UsageMonitor:
    """The last look at everything; `loop` is the thread that looks."""

    def __init__(self, host: str, vms: Path, drivers: Drivers, client: redis.Redis) -> None:
        self._host, self._vms, self._drivers, self._client = host, vms, drivers, client
        self._lock = threading.Lock()
        self._looks: dict[str, Look] = {}
        self._samples = Looks(_samples)
        psutil.cpu_percent()  # the first call only begins to count
        self.loop = Loop("usage", self._look)

    def vms(self) -> dict[str, VmUsage]:
        """What each VM used at the last look, by its id."""
        with self._lock:
            return {vm_id: look.usage for vm_id, look in self._looks.items()}

    def _look(self) -> None:
        answers, _ = self._samples.at(self._drivers.all())
        looks = [self._seen(sample) for found in answers.values() for sample in found]
        with self._lock:
            self._looks = {look.sample.vm_id: look for look in looks}
        self._tell(of_host(self._host, self._vms), {vm_id: encode(usage) for vm_id, usage in self.vms().items()})
        self.loop.stopping.wait(LOOK_SECONDS)

    def _seen(self, sample: Sample) -> Look:
        now, before = time.monotonic(), self._looks.get(sample.vm_id)
        last, seconds = (before.sample, now - before.at) if before else (None, 0.0)
        percent = sample.cpu_percent_since(last, seconds)
        usage = VmUsage(time.time(), percent, sample.memory_bytes // MB, round(sample.disk_bytes / GB, 2))
        return Look(sample, now, usage)

    def _tell(self, host: HostUsage, vms: dict[str, str]) -> None:
        key = channels.vm_usage(self._host)
        with self._client.pipeline() as together:
            together.set(channels.usage(self._host), encode(host))
            together.delete(key)
            if vms:
                together.hset(key, mapping=vms)
                together.expire(key, KEPT_SECONDS)
            together.execute()


def _samples(driver: Driver) -> list[Sample]:
    return driver.sample_all() if isinstance(driver, MetricsCapability) else []


def of_host(name: str, vms: Path) -> HostUsage:
    """The machine now; the processors since the last time."""
    memory, disk = psutil.virtual_memory(), psutil.disk_usage(str(vms))
    machine = BOOT_ID.read_text().strip()
    return HostUsage(
        host=name,
        at=time.time(),
        machine=machine,
        disk=f"{machine}:{vms.stat().st_dev}",
        cpu_percent=psutil.cpu_percent(),
        cpu_cores=os.cpu_count() or 1,
        memory_total_mb=memory.total // 2**20,
        memory_used_mb=(memory.total - memory.available) // 2**20,
        disk_total_mb=disk.total // 2**20,
        disk_used_mb=disk.used // 2**20,
        disk_free_mb=disk.free // 2**20,
    )
