"""Whether a guest has a disk, by answers as qemu-ga 7.2 gives them, of a guest that is not ours."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.guest import disks
from core.contract.messages import JSON
from tests.support.vsock_agent import VsockAgent

SLOT = {"domain": 0, "bus": 0, "slot": 4, "function": 0}
GONE = {"error": {"class": "CommandNotFound", "desc": "Command guest-get-disks has been disabled"}}


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[VsockAgent]:
    """Its agent answers what a test tells it to."""
    made = VsockAgent(tmp_path)
    yield made
    made.close()


def shown(*serials: str) -> JSON:
    """A virtio disk with a partition, and SCSI disks of these numbers: all are at target 0, by the agent's word."""
    first = {"bus-type": "virtio", "bus": 0, "unit": 0, "target": 0, "pci-controller": SLOT, "dev": "/dev/vda"}
    found: list[JSON] = [{"name": "/dev/vda1", "partition": True, "dependencies": ["/dev/vda"]}]
    found.append({"name": "/dev/vda", "partition": False, "dependencies": [], "address": first})
    for serial in serials:
        numbered = {"serial": f"0QEMU_QEMU_HARDDISK_{serial}"} if serial else {}
        address = first | {"bus-type": "scsi", "pci-controller": SLOT | {"slot": 6}} | numbered
        found.append({"name": "/dev/sdx", "partition": False, "dependencies": [], "address": address})
    return {"return": found}


def has(folder: Path, seconds: float, judge: disks.Judge | None = None) -> bool | None:
    """Of the second SCSI disk, or another."""
    return disks.has(folder, judge or disks.by_serial("medium2"), seconds, lambda: None)


def test_a_disk_is_found_as_soon_as_the_guest_has_it(guest: VsockAgent, tmp_path: Path) -> None:
    guest.answers["guest-get-disks"] = shown("medium1", "medium12")
    assert has(tmp_path, 0.6) is False
    threading.Timer(0.5, lambda: guest.answers.update({"guest-get-disks": shown("", "medium2")})).start()
    began = time.monotonic()
    assert has(tmp_path, 60.0) is True
    assert time.monotonic() - began < 30


def test_a_scsi_disk_without_a_number_may_be_the_one(guest: VsockAgent, tmp_path: Path) -> None:
    guest.answers["guest-get-disks"] = shown("medium1", "")
    assert has(tmp_path, 0.6) is None


def test_a_disk_of_its_own_on_the_bus_is_known_by_its_slot(guest: VsockAgent, tmp_path: Path) -> None:
    guest.answers["guest-get-disks"] = shown("")
    assert has(tmp_path, 20.0, disks.by_slot(SLOT)) is True
    assert has(tmp_path, 0.6, disks.by_slot(SLOT | {"slot": 5})) is False


@pytest.mark.parametrize("answer", [GONE, {"return": 7}, {"return": [None]}])
def test_an_agent_that_does_not_tell_is_not_asked_again(guest: VsockAgent, tmp_path: Path, answer: JSON) -> None:
    guest.answers["guest-get-disks"] = answer
    assert has(tmp_path, 60.0) is None
    assert guest.asked.count("guest-get-disks") == 1


def test_an_agent_that_nobody_hears_tells_nothing(guest: VsockAgent, tmp_path: Path) -> None:
    guest.listens = False
    assert has(tmp_path, 0.5) is None
