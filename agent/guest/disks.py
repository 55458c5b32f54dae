"""The disks of a guest, as its agent lists them: guest-get-disks, since 5.2, where it is built with udev.

https://qemu.readthedocs.io/en/v7.2.0/interop/qemu-ga-ref.html, GuestDiskInfo and GuestDiskAddress.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from agent.guest import qga
from agent.guest.replies import QgaDisk, QgaDiskAddress
from core.contract.errors import DriverFailure
from core.contract.messages import JSON

POLL_SECONDS = 0.25
Judge = Callable[[QgaDiskAddress], bool | None]
"""Whether an address is that of the disk that is looked for; None when that does not show in it."""


def has(channel: Path, judge: Judge, seconds: float, watch: qga.Tick) -> bool | None:
    """Whether the guest has a disk: as soon as it does, or else after so many seconds; None when it does not say."""
    deadline, told = time.monotonic() + seconds, None
    while not told and (left := deadline - time.monotonic()) > 0:
        try:
            told = _lists(qga.ask(channel, "guest-get-disks", left, watch), judge)
        except qga.AgentRestarted:
            pass  # the new one is asked
        except DriverFailure:
            return told
        if not told:
            time.sleep(min(POLL_SECONDS, left))
    return told


def by_serial(serial: str) -> Judge:
    """A SCSI disk. The agent tells the unit of one, and of no virtio controller's the target: its own number does.

    udev has put vendor and model before that; a disk that has come just now, or where no udev runs, shows none.
    """

    def judge(address: QgaDiskAddress) -> bool | None:
        if address.bus_type != "scsi":
            return False
        return address.serial.endswith(serial) if address.serial else None

    return judge


def by_slot(slot: JSON) -> Judge:
    """What has a place of its own on the PCI bus, as a GuestPCIAddress."""
    return lambda address: address.pci_controller == slot


def _lists(disks: list[QgaDisk], judge: Judge) -> bool | None:
    found = [judge(each.address) for each in disks if each.address is not None]
    return True if True in found else None if None in found else False
