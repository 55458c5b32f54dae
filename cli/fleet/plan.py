"""The plan of a fleet: its processes, ports and folders."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cli.fleet.share import Share
from core import settings
from core.settings import Settings


@dataclass(frozen=True)
class FleetPlan:
    """What to start. A port of 0: any free one. With the address of a server that one is used, and none started."""

    home: Path
    images: Path
    host: str = "127.0.0.1"
    port: int = 0
    ports: tuple[int, int] = field(default_factory=lambda: settings.load().ports)  # to forward from, to guests
    flower_port: int = 0
    metrics_port: int = 0  # the worker's; the agents' follow it, one each, then more workers'; 0: none has one
    metrics_token: str = ""  # empty: one that is made at the first start
    database_url: str = ""
    redis_url: str = ""
    hypervisors: tuple[str, ...] = ("qemu",)
    agents: int = 2
    api_workers: int = 2
    workers: int = 1  # of the control plane
    flower: bool = True
    durable: bool = True  # False: PostgreSQL without fsync, for tests
    image: bool = True  # make the default image if it is missing, and wait for it
    share: Share | None = None  # what each agent offers; None: an equal part of the machine
    environment: Mapping[str, str] = field(default_factory=dict)  # on top of ours, for every process

    @classmethod
    def of(cls, settings: Settings) -> FleetPlan:
        """As the environment says."""
        return cls(
            home=settings.home,
            images=settings.images,
            host=settings.host,
            port=settings.port,
            ports=settings.ports,
            api_workers=settings.api_workers,
            workers=settings.workers,
            flower_port=settings.flower_port,
            metrics_port=settings.metrics_port,
            metrics_token=settings.metrics_token,
            database_url=settings.database_url,
            redis_url=settings.redis_url,
        )

    @property
    def fakes(self) -> bool:
        """Whether it is to have the fake driver."""
        return "fake" in self.hypervisors

    @property
    def forward_ports(self) -> list[range]:
        """Each agent's own part of the ports that are chosen from: all of them are this machine's."""
        first, last = self.ports
        each = (last - first + 1) // max(1, self.agents)
        return [range(first + n * each, first + (n + 1) * each) for n in range(self.agents)]

    @property
    def host_names(self) -> list[str]:
        """host-a, host-b, ...; after 26 of them by number."""
        letters = string.ascii_lowercase
        return [f"host-{letters[n] if n < len(letters) else n + 1}" for n in range(self.agents)]

    @property
    def worker_names(self) -> list[str]:
        """worker, worker-2, ..."""
        return ["worker", *(f"worker-{n}" for n in range(2, self.workers + 1))]

    @property
    def metrics_ports(self) -> dict[str, int]:
        """The port of each process that has one of its own for Prometheus, 0 if it is to have none."""
        names = ("worker", *self.host_names, *self.worker_names[1:])
        return {name: self.metrics_port + n if self.metrics_port else 0 for n, name in enumerate(names)}
