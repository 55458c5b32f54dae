"""Metrics of an agent for Prometheus, on a port of its own if one is configured.

Every label has few values; the VMs listed one by one are the first thousand that the host has now.
"""

from __future__ import annotations

from collections import Counter as Counted
from collections.abc import Iterator
from contextlib import AbstractContextManager

from prometheus_client import Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from agent.host.health import HealthMonitor
from agent.host.known import KnownVms
from agent.host.usage import UsageMonitor
from agent.reports.journal import Journal
from core.contract import metering
from core.units import GB

MOST_VMS = 1000
_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)

COMMANDS = Counter("corral_agent_commands", "Commands that ended, by kind and outcome.", ["kind", "outcome"])
COMMAND_SECONDS = Histogram("corral_agent_command_seconds", "How long commands took.", ["kind"], buckets=_BUCKETS)
CALLS = Counter("corral_agent_calls", "Calls that were answered, by verb and outcome.", ["verb", "outcome"])
CALL_SECONDS = Histogram("corral_agent_call_seconds", "How long answers took.", ["verb"], buckets=_BUCKETS)


def metered(verb: str) -> AbstractContextManager[None]:
    """Count a call, and how it ended: "ok", or the code of its error."""

    def tell(outcome: str, seconds: float) -> None:
        CALLS.labels(verb, outcome).inc()
        CALL_SECONDS.labels(verb).observe(seconds)

    return metering.metered(tell)


class HostMetrics(Collector):
    """The metrics of a host at the moment of a scrape. It asks no hypervisor."""

    def __init__(self, journal: Journal, known: KnownVms, usage: UsageMonitor, health: HealthMonitor) -> None:
        self._journal, self._known, self._usage, self._health = journal, known, usage, health

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All families."""
        unfinished, unsent = self._journal.depth()
        journal = GaugeMetricFamily(
            "corral_agent_journal", "Unfinished commands and unsent reports in the journal.", labels=["state"]
        )
        journal.add_metric(["unfinished"], unfinished)
        journal.add_metric(["unsent"], unsent)
        yield journal
        drivers = GaugeMetricFamily("corral_agent_driver_healthy", "Whether the driver works.", labels=["driver"])
        for driver in self._health.all():
            drivers.add_metric([driver.name], float(driver.healthy))
        yield drivers
        vms = GaugeMetricFamily("corral_agent_vms", "VMs by state.", labels=["state"])
        for state, count in Counted(self._known.states()).items():
            vms.add_metric([state], count)
        yield vms
        yield from self._of_each()

    def _of_each(self) -> Iterator[GaugeMetricFamily]:
        seen = sorted(self._usage.vms().items())[:MOST_VMS]
        cpu = GaugeMetricFamily("corral_agent_vm_cpu_percent", "Use of all the VM's vCPUs, in percent.", labels=["vm"])
        memory = GaugeMetricFamily(
            "corral_agent_vm_memory_bytes", "Memory of the host that the VM uses.", labels=["vm"]
        )
        disk = GaugeMetricFamily(
            "corral_agent_vm_disk_bytes", "Space of the host that the VM's disk uses.", labels=["vm"]
        )
        for vm_id, usage in seen:
            cpu.add_metric([vm_id], usage.cpu_percent)
            memory.add_metric([vm_id], usage.memory_mb * 2**20)
            disk.add_metric([vm_id], usage.disk_gb * GB)
        yield from (cpu, memory, disk)
