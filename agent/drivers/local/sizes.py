"""Another size for a VM that runs: what its guest has to do for it, and since when it holds."""

from __future__ import annotations

import time
from pathlib import Path

from agent.drivers.limits import Left
from agent.drivers.local import usable
from agent.drivers.local.folder import State
from agent.guest import qga
from core.contract.errors import DriverFailure
from core.contract.states import Applied

ONLINE_SECONDS, ASK_SECONDS = 30.0, 5.0
POLL_SECONDS = 0.1


def bring_online(folder: Path, state: State, vcpus: int, left: Left) -> bool:
    """Whether the guest uses that many by now. Linux is told to; others do it by themselves."""
    if not usable.has_agent(state):
        return False
    deadline = time.monotonic() + min(ONLINE_SECONDS, left())
    while time.monotonic() < deadline:
        try:
            seen = qga.ask(folder, "guest-get-vcpus", ASK_SECONDS)
            resting = [{"logical-id": each["logical-id"], "online": True} for each in seen if not each["online"]]
            if len(seen) - len(resting) >= vcpus:
                return True
            if resting:
                qga.ask(folder, "guest-set-vcpus", ASK_SECONDS, vcpus=resting)
                continue
        except qga.AgentSilent:
            pass  # an emulated guest may take longer for a processor than its agent is given to answer
        except DriverFailure:
            return False  # an agent that can't say; the machine has them all the same
        time.sleep(POLL_SECONDS)
    return False


def bring_memory_online(folder: Path, state: State, left: Left) -> bool:
    """Whether the guest uses all the memory that it has by now. Linux is told to; others do it by themselves."""
    if not usable.has_agent(state):
        return False
    deadline = time.monotonic() + min(ONLINE_SECONDS, left())
    before: int | None = None
    while time.monotonic() < deadline:
        try:
            seen = qga.ask(folder, "guest-get-memory-blocks", ASK_SECONDS)
            resting = [{"phys-index": each["phys-index"], "online": True} for each in seen if not each["online"]]
            if resting:
                qga.ask(folder, "guest-set-memory-blocks", ASK_SECONDS, **{"mem-blks": resting})
                return True
            if before is not None and len(seen) > before:
                return True  # it has taken them into use by itself
            before = len(seen) if before is None else before
        except qga.AgentSilent:
            pass
        except DriverFailure:
            return False
        time.sleep(POLL_SECONDS)
    return False


def applied(holds: bool) -> Applied:
    """Since when it holds."""
    return Applied.LIVE if holds else Applied.AT_NEXT_START
