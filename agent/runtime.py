"""One agent, put together: its journal, its drivers, its threads and its Celery worker."""

from __future__ import annotations

import logging
import os
import signal
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from prometheus_client.registry import REGISTRY

from agent.broker import app as celery_app
from agent.broker.connection import connect
from agent.broker.secret import HostSecret
from agent.calls.consoles import Consoles
from agent.calls.files import FileCalls
from agent.calls.hosts import HostCalls
from agent.calls.rotating import Rotating
from agent.calls.server import Calls
from agent.calls.streams import AgentStreams
from agent.commands import tasks
from agent.commands.outcomes import Outcomes
from agent.commands.runner import Commands
from agent.commands.vm_locks import WAITING, VmLocks
from agent.drivers.base import DriverFolders
from agent.drivers.registry import Drivers
from agent.host import heartbeat
from agent.host.capacity import HostCapacity
from agent.host.exits import Exits
from agent.host.fencing import AgentFencing
from agent.host.health import HealthMonitor
from agent.host.inventory import AgentIdentity, Inventories
from agent.host.known import KnownVms
from agent.host.lease import Lease, refusal
from agent.host.prometheus import HostMetrics
from agent.host.usage import UsageMonitor
from agent.images.collecting import Rules
from agent.images.download import Rate
from agent.images.images import HostImages
from agent.images.prefetching import Prefetches
from agent.images.pulls import Pulls
from agent.images.source import Source
from agent.media.media import MediaFolders
from agent.moves.arrivals import Arrivals
from agent.network.network import HostNetworking
from agent.reports import failures
from agent.reports.journal import Journal
from agent.reports.outbox import Outbox
from agent.system.loops import Loop
from core import exposition, filelocks
from core.sealing import HostKey

log = logging.getLogger(__name__)
FLUSH_SECONDS = 2.0
PRUNE_SECONDS = 600.0


@dataclass(frozen=True)
class Config:
    """The agent's configuration, from the command line and the environment."""

    host: str
    home: Path
    images: Path
    media: tuple[Path, ...]
    redis_url: str
    hypervisors: list[str]
    capacity: HostCapacity
    concurrency: int
    finish_seconds: float
    metrics_bind: str
    metrics_port: int
    metrics_token: str
    network: HostNetworking
    lock: Path
    secret: HostSecret | None
    source: Source | None
    pull_mb_per_second: int
    pulled: Rules
    cgroup: Path | None = None


@contextmanager
def locked(home: Path, host: str) -> Iterator[Path]:
    """The lock file by which one agent alone serves that host, held until the block ends."""
    file = home / "agent.lock"
    try:
        lock = filelocks.take(file)
    except BlockingIOError:
        raise SystemExit(
            f"another agent already runs as '{host}' in {home}; stop it or choose another --name"
        ) from None
    try:
        yield file
    finally:
        os.close(lock)


def run(config: Config) -> int:
    """Serves until a signal ends it; the exit code."""
    agent = Agent(config)
    agent.start()
    return agent.serve()


class Agent:
    """The parts of one agent and how they are joined."""

    def __init__(self, config: Config) -> None:
        self._config = config
        failures.hide_paths_below(config.home, config.images, *config.media)
        place = DriverFolders(config.home / "vms", config.images, config.media, config.cgroup, config.network)
        self._client = connect(config.redis_url, f"agent-{config.host}", config.secret)
        self._journal = Journal(config.home / "journal.sqlite")
        self._outbox = Outbox(config.host, self._client, self._journal)
        self._vm_locks = VmLocks(config.concurrency)
        drivers, exits = Drivers(config.hypervisors, place), Exits()
        known = KnownVms(exits)
        outcomes = Outcomes(config.host, drivers, self._journal, self._outbox, known)
        media = MediaFolders(config.media)
        rate = Rate(config.pull_mb_per_second << 20)
        pulls = Pulls(place.contents, config.source, rate, config.pulled)
        images = HostImages(config.images, place.contents, pulls)
        self._arrivals = arrivals = Arrivals(place.arriving, config.source, rate)
        self._commands = Commands(drivers, self._journal, self._vm_locks, outcomes, media, images, arrivals)
        streams = AgentStreams(self._client)
        consoles, files = Consoles(drivers, streams), FileCalls(drivers, streams)
        key = HostKey(config.home)
        self._calls = Calls(
            config.host,
            self._client,
            key,
            drivers,
            self._commands,
            consoles,
            files,
            HostCalls(media, Prefetches(images)),
        )
        self._calls.answer(Rotating(config.secret).verbs)
        facts = replace(config.network.facts(), own_ports=[config.metrics_port] if config.metrics_port else [])
        self._lease, boot_id = Lease(config.host, self._client, config.lock, config.secret), uuid.uuid4().hex
        self._fencing = AgentFencing(drivers, self._commands.give_up, self._lease.obeyed)
        host = AgentIdentity(config.host, boot_id, config.capacity, images, facts, self._lease.home_id, media)
        health = HealthMonitor(drivers)
        busy = self._vm_locks.busy_vms
        inventories = Inventories(host, drivers, health, self._journal, self._outbox, known, busy, exits)
        soon, refused = inventories.soon, self._on_refused
        pulls.on_new = soon
        beat = heartbeat.beat(host.name, host.boot_id, key.public, self._client, self._lease, soon, refused)
        usage = UsageMonitor(config.host, place.vms, drivers, self._client)
        self._pulls = pulls
        own = [self._calls.loop, self._outbox.loop, inventories.loop, exits.loop, usage.loop, beat, self._pruner()]
        self._metrics = lambda: HostMetrics(self._journal, known, usage, health)
        self._loops = [*own, *health.loops]
        self._loops += self._calls.guests.loops

    def start(self) -> None:
        """Takes up what was left, then starts the threads: a cancel must find what was left."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop_early)
        self._lease.obtain(self._fencing.obey)
        self._commands.resume(self._config.concurrency)
        for loop in self._loops:
            loop.start()
        if self._config.metrics_port:
            REGISTRY.register(self._metrics())  # type: ignore[no-untyped-call]
        exposition.serve(self._config.metrics_bind, self._config.metrics_port, self._config.metrics_token)

    def serve(self) -> int:
        """Runs the Celery worker until it is told to end, then lets work finish for a while."""
        app = celery_app.create_app(self._config.host, self._config.redis_url, self._config.secret)
        tasks.register(app, self._commands)
        code = celery_app.serve(app, self._config.host, self._config.concurrency + WAITING, self._on_stopping)
        self._finish(code)
        return code

    def _stop_early(self, *_: object) -> None:
        """The signal handler until Celery has put its own in place."""
        self._on_stopping()
        threading.Thread(target=self._finish, args=[0], daemon=True).start()

    def _on_stopping(self) -> None:
        self._calls.loop.stopping.set()
        self._vm_locks.end()
        # The worker waits for its threads without a bound. What isn't done by then stays in the journal.
        limit = threading.Timer(self._config.finish_seconds, self._leave, [0])
        limit.daemon = True
        limit.start()

    def _finish(self, code: int) -> None:
        self._vm_locks.wait_idle(self._config.finish_seconds)
        self._leave(code)

    def _on_refused(self) -> None:
        """The host was fenced, or another agent has taken over while this one stood still.

        What is done here is not believed any more.
        """
        if self._lease.fence is not None:
            self._vm_locks.end()
            self._fencing.obey(self._lease.fence)
        else:
            log.error("%s", refusal(self._config.host))
        logging.shutdown()
        os._exit(1)

    def _leave(self, code: int) -> None:
        self._calls.waiting.abandon_all(FLUSH_SECONDS)  # whoever waits hears no answer: see command_locks.py
        self._outbox.wait_empty(FLUSH_SECONDS)
        self._lease.end()
        logging.shutdown()
        os._exit(code)  # not sys.exit, which would wait for the threads of what did not finish

    def _pruner(self) -> Loop:
        def prune() -> None:
            self._journal.prune()
            self._pulls.collect()
            self._arrivals.tidy(self._vm_locks.busy_vms())
            loop.stopping.wait(PRUNE_SECONDS)

        loop = Loop("pruner", prune)
        return loop
