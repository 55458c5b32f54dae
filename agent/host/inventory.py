"""Inventories: sent at start, every half minute, and when a VM or the images change.

Changes are found by looking, every few seconds; when a VM's process ends, at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from agent.drivers.base import Driver
from agent.drivers.registry import Drivers
from agent.host.capacity import HostCapacity
from agent.host.exits import Exits
from agent.host.health import HealthMonitor
from agent.host.known import KnownVms
from agent.host.looking import Looks
from agent.images.images import HostImages
from agent.media.media import MediaFolders
from agent.reports.journal import Journal
from agent.reports.outbox import Outbox
from agent.system.loops import Loop
from core.contract import images
from core.contract.bounds import shortened
from core.contract.hosts import DriverHealth, HostFacts, Inventory
from core.contract.messages import encode
from core.contract.vms import Observation

LOOK_SECONDS, SLOW_LOOK_SECONDS = 2.0, 15.0
REST = 4  # how much longer than a look the pause after it is: on a slow host, looking must not be all that is done
TELL_SECONDS = 30.0


@dataclass(frozen=True)
class AgentIdentity:
    """The identity of an agent while it runs. `boot_id` is new with every start."""

    name: str
    boot_id: str
    capacity: HostCapacity
    images: HostImages
    facts: HostFacts
    home_id: str
    media: MediaFolders


def _vms_of(driver: Driver) -> list[Observation]:
    return driver.observe_all()


def _as_seen(health: DriverHealth, blind: dict[str, str]) -> DriverHealth:
    """Its last probe, or why its VMs could not be looked at now."""
    if health.name not in blind:
        return health
    return replace(health, healthy=False, observed=False, problem=shortened(blind[health.name]))


class Inventories:
    """Looks at the host; `loop` is the thread that does. `busy_vms`: those that something is under way on."""

    def __init__(
        self,
        host: AgentIdentity,
        drivers: Drivers,
        health: HealthMonitor,
        journal: Journal,
        outbox: Outbox,
        known: KnownVms,
        busy_vms: Callable[[], set[str]],
        exits: Exits,
    ) -> None:
        self._host, self._drivers, self._health = host, drivers, health
        self._journal, self._outbox, self._known, self._busy_vms = journal, outbox, known, busy_vms
        self._exits = exits
        self._wanted, self._wake = threading.Event(), threading.Event()
        self.soon()
        self._told_at = 0.0
        self._pause = LOOK_SECONDS
        self._stored: dict[str, tuple[int, int]] = {}
        self._pulled: list[str] = []
        self._looks = Looks(_vms_of)
        self._last: dict[str, list[Observation]] = {}
        self._blind: set[str] = set()
        self.loop = Loop("inventory", self._look)
        health.on_change = self.soon
        exits.on_exit = self._wake.set

    def soon(self) -> None:
        """Asks for one at the next opportunity: the control plane may have forgotten this host."""
        self._wanted.set()
        self._wake.set()

    def _look(self) -> None:
        self._wake.wait(self._pause)
        self._wake.clear()  # first: else whoever asks just now would not be heard
        asked = self._wanted.is_set()
        if asked:
            self._wanted.clear()
        began = time.monotonic()
        generation = self._journal.next_generation()
        busy = self._busy_vms()
        answers, blind = self._looks.at(self._drivers.all())
        self._last.update(answers)
        vms = [each for found in answers.values() for each in found]
        unseen = [each for name in blind for each in self._last.get(name, [])]
        self._exits.only(each.pid for each in vms + unseen)
        self._pause = min(max(LOOK_SECONDS, REST * (time.monotonic() - began)), SLOW_LOOK_SECONDS)
        stored, pulled = images.versions(self._host.images.store), self._host.images.contents.digests()
        due = time.monotonic() - self._told_at >= TELL_SECONDS
        news = (stored, pulled) != (self._stored, self._pulled) or blind.keys() != self._blind
        if asked or due or news or self._known.differs(vms + unseen, busy):
            self._stored, self._pulled, self._blind = stored, pulled, set(blind)
            self._tell(generation, vms, blind)
            self._known.replace(vms + unseen)

    def _tell(self, generation: int, vms: list[Observation], blind: dict[str, str]) -> None:
        manifests = images.readable(self._host.images.store, sorted(self._stored))
        inventory = Inventory(
            host=self._host.name,
            boot_id=self._host.boot_id,
            generation=generation,
            at=time.time(),
            vcpus=self._host.capacity.vcpus,
            memory_mb=self._host.capacity.memory_mb,
            disk_gb=self._host.capacity.disk_gb,
            drivers=[_as_seen(each, blind) for each in self._health.all()],
            images=sorted(self._stored),
            vms=vms,
            facts=replace(
                self._host.facts,
                kernel_images=[each.name for each in manifests if each.kernel is not None],
                image_sizes_gb={each.name: each.disk_size_gb for each in manifests},
                image_digests={each.name: each.digest for each in manifests},
                image_contents=sorted({*self._pulled, *(each.digest for each in manifests)}),
                pulls_images=self._host.images.pulls.possible,
            ),
            home_id=self._host.home_id,
            media=self._host.media.reported(),
        )
        self._outbox.inventory(encode(inventory))
        self._told_at = time.monotonic()
