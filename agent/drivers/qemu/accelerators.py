"""QEMU's two accelerators: their options, and the resources of the host that they need."""

from __future__ import annotations

from agent.drivers.local.folder import VirtualMachineModel

# Of a guest's code as the emulator has translated it. QEMU would keep a gigabyte, for each guest; with so much of it
# a guest is no quicker, and one that restarts itself overwrites it piece by piece, for 10 s and once for over 90 s.
# https://www.qemu.org/docs/master/system/invocation.html, -accel
TRANSLATED_MB = 128
ACCELERATORS = {"kvm": "kvm", "tcg": f"tcg,thread=multi,tb-size={TRANSLATED_MB}"}
# What QEMU's process holds beside the guest's memory, at most.
BEYOND_MB = {"kvm": 256, "tcg": 256 + TRANSLATED_MB}


def beyond_mb(machine: VirtualMachineModel) -> int:
    """The same of one machine."""
    return BEYOND_MB[machine.acceleration]
