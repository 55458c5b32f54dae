"""The health of the drivers, probed in the background: a probe may take many seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable

from agent.drivers.base import Driver
from agent.drivers.registry import Drivers
from agent.system.loops import Loop
from core.contract.hosts import DriverHealth

WELL_SECONDS = 300.0
ILL_SECONDS = 30.0


class HealthMonitor:
    """The last probe of each driver; `loops` are the threads that probe."""

    def __init__(self, drivers: Drivers) -> None:
        self._lock = threading.Lock()
        self._health = {
            driver.name: DriverHealth(driver.name, False, problem="not probed yet: the agent has just started")
            for driver in drivers.all()
        }
        self.on_change: Callable[[], None] = lambda: None
        self.loops = [self._prober(driver) for driver in drivers.all()]

    def all(self) -> list[DriverHealth]:
        """What is known now."""
        with self._lock:
            return list(self._health.values())

    def _prober(self, driver: Driver) -> Loop:
        def probe() -> None:
            health = driver.probe()
            with self._lock:
                changed = self._health[driver.name] != health
                self._health[driver.name] = health
            if changed:
                self.on_change()
            loop.stopping.wait(WELL_SECONDS if health.healthy else ILL_SECONDS)

        loop = Loop(f"probe {driver.name}", probe)
        return loop
