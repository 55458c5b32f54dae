"""The memory limit of a running guest, by a balloon: the guest returns the memory above the limit.

Beyond its control group's limit a VM is slowed down until it stands still, as no other process can take its memory. So
the guest's balloon is what holds the limit, and the group what is left for a guest without one. A guest that would have
to kill for want of memory takes it back. https://docs.oasis-open.org/virtio/virtio/v1.2/virtio-v1.2.html, 5.5
"""

from __future__ import annotations

from agent.drivers.local.folder import LocalVmFolder, VirtualMachineModel
from agent.drivers.qemu.qmp import Monitor

DEVICE = ("-device", "virtio-balloon-pci,id=balloon0,deflate-on-oom=on")
SECONDS = 5.0


def fit(folder: LocalVmFolder, machine: VirtualMachineModel, percent: int | None) -> None:
    """Asks the guest to do with that share of its memory; one that has no driver for it does not hear."""
    if machine.balloon:
        with Monitor(folder.path, SECONDS) as monitor:
            monitor.ask("balloon", value=machine.memory_mb * 2**20 * (percent or 100) // 100)
