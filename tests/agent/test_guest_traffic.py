"""What a guest's traffic is, by answers as qemu-ga 7.2 gives them, of a guest that is not ours."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.guest import measuring
from core.contract.messages import JSON
from tests.support.vsock_agent import VsockAgent

MAC = "52:54:00:12:34:56"
TRAFFIC = {"rx-bytes": 5, "tx-bytes": 6, "rx-packets": 1, "tx-packets": 2}
LOOPBACK = {"name": "lo", "hardware-address": "00:00:00:00:00:00", "statistics": TRAFFIC}


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[VsockAgent]:
    """Its agent answers what a test tells it to."""
    made = VsockAgent(tmp_path)
    yield made
    made.close()


def traffic(guest: VsockAgent, folder: Path, *interfaces: JSON) -> Any:
    """What is told of the network, and why not."""
    guest.answers = {"guest-get-cpustats": {"return": []}}
    guest.answers["guest-network-get-interfaces"] = {"return": [LOOPBACK, *interfaces]}
    found = measuring.measure(folder, MAC, 0.0, time.monotonic() + 20.0)
    return found.unknown.get("network") or (found.network or {}).get("bytes_in")


def test_an_adapter_that_the_guest_does_not_show_has_carried_nothing(guest: VsockAgent, tmp_path: Path) -> None:
    own: JSON = {"name": "eth0", "hardware-address": MAC.upper()}
    other: JSON = {"name": "eth1", "hardware-address": "02:00:00:00:00:01"}
    tunnel: JSON = {"name": "tun0"}
    counted: JSON = {"statistics": TRAFFIC}
    unknown = "the guest agent reports no network traffic"
    assert traffic(guest, tmp_path) == 0
    assert traffic(guest, tmp_path, tunnel) == 0
    assert traffic(guest, tmp_path, tunnel | {"hardware-address": "00:00:00:00:00:00"}) == 0
    assert traffic(guest, tmp_path, own, other | counted) == unknown
    assert traffic(guest, tmp_path, own | counted, other | counted) == 5
    assert traffic(guest, tmp_path, other) == unknown  # it may be the same, by another address
    assert traffic(guest, tmp_path, other | counted, tunnel | counted) == 10
