"""Checks before a join: the hypervisors are probed by use, before anything is sent or written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.probing import probed


def passed(hypervisors: Sequence[str], say: Callable[[str], None]) -> bool:
    """Whether one of them works; `say` is told of each, and of what to install for those that don't."""
    with tempfile.TemporaryDirectory(prefix="corral-") as folder:
        found = probed(hypervisors, Path(folder))
    for driver in found:
        speed = f", {driver.acceleration}" if driver.acceleration else ""
        say(f"  {driver.name}: {f'works ({driver.version}{speed})' if driver.healthy else driver.problem}")
    if any(driver.healthy for driver in found):
        return True
    say("not joined: no hypervisor works here. Repair that, then use the same line again")
    return False
