"""Fencing on the host: nothing runs any more, and commands that had begun are given up.

An administrator fences a host that is dead, and some of its VMs are created again elsewhere. Should it live, or come
back, it must not bring a second one of them to life: neither by a process that lives on, nor by a command that an agent
had begun when it died. So before an agent may have its name again it powers off every VM, and gives up what the
journal has begun; that this was done is kept in its home, by the number of the fence. What of all that has gone
elsewhere the control plane has removed once the host is active again; the rest is found there, stopped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from agent.drivers.base import Driver
from agent.drivers.registry import Drivers
from core.contract.errors import CorralError
from core.contract.hosts import Fence
from core.contract.messages import VmSpec
from core.contract.states import Observed

log = logging.getLogger(__name__)

_STOP_SECONDS = 60.0
_PAUSE_SECONDS = 2.0


class AgentFencing:
    """`give_up` ends what was begun, `note` keeps that a fence was obeyed."""

    def __init__(self, drivers: Drivers, give_up: Callable[[], None], note: Callable[[Fence], None]) -> None:
        self._drivers, self._give_up, self._note = drivers, give_up, note
        self._obeyed = 0

    def obey(self, fence: Fence) -> None:
        """Power off all VMs, for as long as it takes, and give up what was begun; once a process."""
        if fence.number == self._obeyed:
            return
        log.error("this host was fenced by an administrator: nothing runs here until it is activated")
        loud = self._drivers.all()
        while loud := [driver for driver in loud if not _is_quiet(driver)]:
            time.sleep(_PAUSE_SECONDS)
        self._give_up()
        self._note(fence)
        self._obeyed = fence.number


def _is_quiet(driver: Driver) -> bool:
    """Whether nothing of that driver's runs any more."""
    try:
        for seen in driver.observe_all():
            if seen.state in (Observed.RUNNING, Observed.PAUSED):
                log.warning("powering off %s", seen.vm_id)
                spec = driver.remembered(seen.vm_id) or VmSpec(seen.vm_id, seen.vm_id, driver.name, "", 1, 1, 1)
                driver.stop(spec, 0.0, _unheard, _STOP_SECONDS)
    except CorralError as error:
        log.error("VMs of '%s' may run still: %s", driver.name, error.message)  # noqa: TRY400  # it says what to do
        return False
    return True


def _unheard(_step: str, _percent: int | None) -> None:
    """Nobody is told how far it is."""
