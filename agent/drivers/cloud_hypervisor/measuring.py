"""Measurements of a VM by Cloud Hypervisor's counters, in addition to the host's."""

from __future__ import annotations

from agent.drivers.cloud_hypervisor.api import CloudHypervisorApi
from agent.drivers.local import measuring
from agent.drivers.local.folder import LocalVmFolder
from core.contract.messages import JSON

SECONDS = 2.0
_DISK = {"read_bytes": "read_bytes", "written_bytes": "write_bytes", "reads": "read_ops", "writes": "write_ops"}
_NET = {"bytes_in": "rx_bytes", "bytes_out": "tx_bytes", "packets_in": "rx_frames", "packets_out": "tx_frames"}


def counted(folder: LocalVmFolder) -> measuring.HypervisorCounters:
    """What its disks and adapters have passed on."""
    counters = CloudHypervisorApi(folder.path, SECONDS).get("vm.counters")
    disks = [each for each in counters.values() if _DISK["reads"] in each]
    nets = [each for each in counters.values() if _NET["bytes_in"] in each]
    network: JSON | None = {name: sum(each[theirs] for each in nets) for name, theirs in _NET.items()} if nets else None
    if network is not None:
        network["source"] = "hypervisor"
    return measuring.HypervisorCounters(
        {name: sum(each[theirs] for each in disks) for name, theirs in _DISK.items()}, network
    )
