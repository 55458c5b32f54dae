"""Asks a guest to shut down, until the grace period is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from agent.drivers.base import Progress
from agent.drivers.limits import Left
from agent.drivers.local import daemon, usable
from agent.drivers.local.folder import LocalVmRecord
from agent.guest import patience, qga
from core.contract.errors import DriverFailure

ASK_SECONDS, ASK_AGAIN_SECONDS = 1.0, 3.0
CUT_SECONDS = 15.0
POLL_SECONDS = 0.05
# What `systemctl poweroff` comes to, asked of systemd itself: shutdown(8) and the power button wait for D-Bus, which
# comes up long after the guest agent. systemd(1), SIGRTMIN+4, by number, as not every shell has its name; sd_booted(3).
_POWER_OFF = "test -d /run/systemd/system && kill -38 1"


def wait(
    folder: Path, state: LocalVmRecord, grace_seconds: float, press: Callable[[], None], progress: Progress, left: Left
) -> None:
    """Asks the guest for as long as the grace lasts; returns when its process is gone, or the grace is over.

    By `press`, which pushes the power button, and by its agent, in two ways: a guest listens to some or, early in its
    boot, to none. What fails is asked again later.
    """
    deadline = time.monotonic() + min(grace_seconds, max(0.0, left() - CUT_SECONDS))
    ask_at = 0.0
    while daemon.alive(folder) is not None and (now := time.monotonic()) < deadline:
        progress("waiting for the guest to shut down", None)
        if now >= ask_at:
            with patience.ends_in(deadline - now):
                with suppress(DriverFailure):
                    press()
                _ask_agent(folder, state)
            ask_at = time.monotonic() + ASK_AGAIN_SECONDS
        time.sleep(POLL_SECONDS)


def _ask_agent(folder: Path, state: LocalVmRecord) -> None:
    if usable.has_agent(state):
        with suppress(DriverFailure):
            qga.tell(folder, "guest-exec", ASK_SECONDS, path="/bin/sh", arg=["-c", _POWER_OFF])
        with suppress(DriverFailure):
            qga.tell(folder, "guest-shutdown", ASK_SECONDS, mode="powerdown")
