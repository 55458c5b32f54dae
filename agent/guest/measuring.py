"""Measurements inside a guest: processors, memory, file systems and network, by its agent.

https://qemu.readthedocs.io/en/v7.2.0/interop/qemu-ga-ref.html: guest-get-cpustats (since 7.1), guest-get-fsinfo,
guest-network-get-interfaces, and guest-file-* for /proc/meminfo. No program is run in the guest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from msgspec import to_builtins

from agent.guest import metrics, qga
from agent.guest.replies import QgaCpuTimes, QgaInterface
from core.contract.errors import DriverFailure, GuestTimeout
from core.contract.messages import JSON

T = TypeVar("T")
QUESTION_SECONDS = 3.0
MEMINFO, MEMINFO_BYTES = "/proc/meminfo", 16 * 1024
BUSY = ("user", "nice", "system", "irq", "softirq", "steal")  # "guest" is within "user": proc(5)
IDLE = ("idle", "iowait")
NO_ADDRESS = "00:00:00:00:00:00"  # of tunnels and the like
# An agent that was not heard, or whose VM is gone, is not asked again.
_DEAF = (GuestTimeout, qga.AgentGone)


@dataclass
class Inside:
    """Measurements inside a guest, and why some are missing. `network` counts from the guest's start."""

    guest: JSON | None = None
    network: JSON | None = None
    unknown: dict[str, str] = field(default_factory=dict)

    @classmethod
    def silent(cls, why: str) -> Inside:
        """Of a guest that can't be asked."""
        return cls(unknown={"guest": why, "network": why})


def measure(channel: Path, mac_address: str, seconds: float, deadline: float) -> Inside:
    """Asks for all of it, with `seconds` between two looks at the processors; done by `deadline` (monotonic)."""
    asked = _Questions(channel, deadline)
    before, began = asked.ask("guest.cpu", _cpu), time.monotonic()
    guest = {
        "memory": asked.ask("guest.memory", _memory),
        "file_systems": asked.ask("guest.file_systems", _file_systems),
    }
    network = asked.ask("network", lambda ask: _network(ask, mac_address))
    if before is not None and asked.heard:
        time.sleep(max(0.0, min(began + seconds, deadline) - time.monotonic()))
    after = asked.ask("guest.cpu", _cpu)
    if not asked.ever_heard:
        return Inside.silent(asked.unknown["guest.cpu"])
    cpu = None if before is None or after is None else metrics.cpu(after[0] - before[0], after[1] - before[1])
    return Inside({"cpu": cpu} | guest, network, asked.unknown)


Ask = Callable[..., Any]


class _Questions:
    """One question after the other, until the agent is not heard any more."""

    def __init__(self, channel: Path, deadline: float) -> None:
        self._channel, self._deadline = channel, deadline
        self.unknown: dict[str, str] = {}
        self.heard, self.ever_heard = True, False

    def ask(self, name: str, question: Callable[[Ask], T]) -> T | None:
        """The answer; None when there is none, and then `unknown` says why."""
        if not self.heard:
            self.unknown.setdefault(name, "the guest agent does not answer")
            return None
        try:
            with qga.understood():
                answer = question(self._ask)
        except DriverFailure as error:
            self.unknown[name] = error.message
            self.heard = not isinstance(error, _DEAF)
            return None
        self.ever_heard = True
        return answer

    def _ask(self, command: str, **arguments: Any) -> Any:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise GuestTimeout("no time was left before the deadline")
        return qga.ask(self._channel, command, min(left, QUESTION_SECONDS), **arguments)


def _cpu(ask: Ask) -> tuple[int, int]:
    """(busy, all) milliseconds of all processors since the guest's start."""
    processors: list[QgaCpuTimes] = ask("guest-get-cpustats")
    busy = sum(getattr(each, name) for each in processors for name in BUSY)
    return busy, busy + sum(getattr(each, name) for each in processors for name in IDLE)


def _memory(ask: Ask) -> JSON:
    handle = ask("guest-file-open", path=MEMINFO, mode="r")
    try:
        text = ask("guest-file-read", handle=handle, count=MEMINFO_BYTES).buf_b64.decode()
    finally:
        ask("guest-file-close", handle=handle)
    return metrics.memory(text)


def _file_systems(ask: Ask) -> list[JSON]:
    return metrics.file_systems([to_builtins(each) for each in ask("guest-get-fsinfo")])


def _network(ask: Ask, mac_address: str) -> JSON:
    """Of the VM's own adapter; of all but the loopback where none has that address.

    One that the guest does not show, as it has not come to it or has no driver for it, has carried nothing. What is
    shown without an address of hardware is no adapter, whether or not its traffic is counted.
    """
    found: list[QgaInterface] = [each for each in ask("guest-network-get-interfaces") if each.name != "lo"]
    own = [each for each in found if each.hardware_address.lower() == mac_address.lower()]
    adapters = own or [each for each in found if each.hardware_address not in ("", NO_ADDRESS)]
    counted = [each.statistics for each in own or found if each.statistics is not None]
    if adapters and not counted:
        raise DriverFailure("the guest agent reports no network traffic")
    return metrics.traffic(
        {
            "bytes_in": sum(each.rx_bytes for each in counted),
            "bytes_out": sum(each.tx_bytes for each in counted),
            "packets_in": sum(each.rx_packets for each in counted),
            "packets_out": sum(each.tx_packets for each in counted),
        }
    )
