"""What happened to a machine, from the record that Cloud Hypervisor itself writes: its event monitor, to a plain file.

The file is still there when the process is gone. So observing needs no connection, and a machine that was switched off
is told from one that crashed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = "run/events.json"
TAIL_BYTES = 256 * 1024


@dataclass(frozen=True)
class Seen:
    """The last word on each matter since the launch. `resumed`: it was set going, and did not boot."""

    paused: bool = False
    resumed: bool = False
    ended: bool = False
    panicked: bool = False


def seen(folder: Path) -> Seen:
    """What the record says; nothing when there is none."""
    paused = resumed = ended = panicked = False
    for source, event in ((each.get("source"), each.get("event")) for each in _events(folder)):
        match source, event:
            case "vm", "paused" | "restored":
                paused = True
            case "vm", "resumed":
                paused, resumed = False, True
            case "vm", "booted" | "rebooted":
                paused = panicked = False
            case "vmm", "shutdown":
                ended = True
            case "guest", "panic":
                panicked = True
    return Seen(paused, resumed, ended, panicked)


def removed(folder: Path, device: str) -> int:
    """How often the guest has let go of a device of that name."""
    return sum(
        each.get("event") == "device-removed" and (each.get("properties") or {}).get("id") == device
        for each in _events(folder)
    )


def _events(folder: Path) -> Iterator[dict[str, Any]]:
    """Objects with an empty line after each; one that is cut, the first or the last, is left out."""
    try:
        with (folder / FILE).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            parts = file.read().split(b"\n\n")
    except FileNotFoundError:
        return
    for part in parts:
        try:
            event = json.loads(part)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event
