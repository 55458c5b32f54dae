"""The event log of a VM that Cloud Hypervisor's event monitor writes to a file."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent.drivers.local import daemon, happened

FILE = "run/events.json"
TAIL_BYTES = 256 * 1024
SHUTDOWN = "shutdown"


@dataclass(frozen=True)
class CloudHypervisorRunEvents(happened.RunEvents):
    """`panicked`: its guest's kernel has, and did not restart."""

    panicked: bool = False

    @property
    def powered_off(self) -> bool:
        """Whether the guest did it itself. It is not told from one who ends the process by a signal."""
        return self.ended is not None and not self.panicked

    @property
    def end(self) -> str:
        """In words."""
        return "the guest's kernel panicked" if self.panicked else "Cloud Hypervisor exited without an error message"


class CloudHypervisorEventLog(happened.EventLog):
    """Objects with an empty line after each."""

    file = FILE

    def run_events(self, folder: Path, since: int = 0) -> CloudHypervisorRunEvents:
        """What it says from that byte of it on."""
        found = CloudHypervisorRunEvents()
        for each in _events(self.tail(folder, since, TAIL_BYTES)):
            match each.get("source"), each.get("event"):
                case "vm", "paused" | "restored":
                    found = replace(found, paused=True)
                case "vm", "resumed":
                    found = replace(found, paused=False, resumed=True)
                case "vm", "booted":
                    found = replace(found, paused=False, panicked=False)
                case "vm", "rebooted":
                    found = replace(found, paused=False, panicked=False, restarted_at=_time(folder, each))
                case "vmm", "shutdown":
                    found = replace(found, ended=SHUTDOWN)
                case "guest", "panic":
                    found = replace(found, panicked=True)
        return found


RECORD = CloudHypervisorEventLog()


def removed(folder: Path, device: str) -> int:
    """How often the guest has let go of a device of that name."""
    return sum(
        each.get("event") == "device-removed" and (each.get("properties") or {}).get("id") == device
        for each in _events(RECORD.tail(folder, 0, TAIL_BYTES))
    )


def _time(folder: Path, event: dict[str, Any]) -> float:
    """Since the epoch; an event has the time since the process was started."""
    passed = event.get("timestamp") or {}
    return (daemon.started_at(folder) or time.time()) + float(passed.get("secs", 0))


def _events(text: bytes) -> Iterator[dict[str, Any]]:
    """One that is cut, the first or the last, is left out."""
    for part in text.split(b"\n\n"):
        try:
            event = json.loads(part)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event
