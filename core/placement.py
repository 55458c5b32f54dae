"""Pure: hosts and a demand → what stands against each, and the hosts that can take it, best first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from core import labels
from core.contract.vms import PACK, Placement


@dataclass(frozen=True)
class Room:
    """An amount of what VMs need."""

    vcpus: int
    memory_mb: int
    disk_gb: int


@dataclass(frozen=True)
class Obstacle:
    """Why a host can't take a VM: `code` for programs, `message` for people, with the host as its subject."""

    code: str
    message: str


@dataclass(frozen=True)
class Offer:
    """A host as placement sees it: what is free, and what it can run. `hypervisors`: "" when healthy, else the problem.

    `obstacles`: why this VM can't be there, whatever there is room for.
    """

    name: str
    hypervisors: dict[str, str]
    images: frozenset[str]
    free: Room
    labels: labels.Labels = field(default_factory=dict)
    obstacles: tuple[Obstacle, ...] = ()


@dataclass(frozen=True)
class Demand:
    """What a VM needs. `hypervisors` in order of preference; `host` pins it.

    `joins`: what its adapters are to join of a host's networks, each as "mode:name".
    """

    hypervisors: tuple[str, ...]
    image: str
    size: Room
    host: str | None = None
    joins: tuple[str, ...] = ()
    placement: Placement = field(default_factory=Placement)


@dataclass(frozen=True)
class Choice:
    """A host, and the hypervisor to use there."""

    host: str
    hypervisor: str


@dataclass(frozen=True)
class Verdict:
    """Whether a host can take a VM: `choice`, or None and the `obstacles`.

    `preferred`: the terms that the VM prefers, and that hold there.
    """

    host: str
    choice: Choice | None
    free: Room
    preferred: tuple[str, ...]
    obstacles: tuple[Obstacle, ...]

    @property
    def why_not(self) -> str:
        """All that stands against it in a sentence; "" if nothing does."""
        return "; ".join(each.message for each in self.obstacles)


def judge(offers: Iterable[Offer], demand: Demand) -> list[Verdict]:
    """A verdict on each host: those that can take it, best first, then the others by name.

    The best one holds most of what is preferred, has the better hypervisor, and then most memory left (or least, to
    pack), most vCPUs, and the first name.
    """
    return sorted((_verdict(offer, demand) for offer in offers), key=lambda verdict: _order(verdict, demand))


def lacking(free: Room, size: Room) -> list[Obstacle]:
    """What there is too little of."""
    wanted = (
        ("vcpus", "vCPUs", size.vcpus, free.vcpus),
        ("memory", "MB of memory", size.memory_mb, free.memory_mb),
        ("disk", "GB of disk", size.disk_gb, free.disk_gb),
    )
    return [
        Obstacle(f"no_{code}", f"{much} {what} wanted, {max(there, 0)} left")
        for code, what, much, there in wanted
        if much > there
    ]


def _verdict(offer: Offer, demand: Demand) -> Verdict:
    hypervisor = next((each for each in demand.hypervisors if offer.hypervisors.get(each) == ""), None)
    preferred = tuple(text for text in demand.placement.prefer if labels.term(text).holds(offer.labels))
    obstacles = (*offer.obstacles, *_obstacles(offer, demand, hypervisor))
    choice = Choice(offer.name, hypervisor) if hypervisor is not None and not obstacles else None
    return Verdict(offer.name, choice, offer.free, preferred, obstacles)


def _obstacles(offer: Offer, demand: Demand, hypervisor: str | None) -> Iterator[Obstacle]:
    if demand.host not in (None, offer.name):
        yield Obstacle("not_chosen", f"is not host '{demand.host}', which was asked for")
    for text in demand.placement.require:
        if not labels.term(text).holds(offer.labels):
            yield Obstacle("label", f"is not labelled {text}")
    if hypervisor is None:
        yield Obstacle("hypervisor", _no_hypervisor(offer, demand.hypervisors))
    if demand.image and demand.image not in offer.images:
        yield Obstacle("image", f"does not have image '{demand.image}'")
    yield from lacking(offer.free, demand.size)


def _no_hypervisor(offer: Offer, wanted: Sequence[str]) -> str:
    problems = [f"{name}: {offer.hypervisors[name]}" for name in wanted if offer.hypervisors.get(name)]
    return "; ".join(problems) or f"does not offer {' or '.join(wanted)}"


def _order(verdict: Verdict, demand: Demand) -> tuple[bool, int, int, int, int, str]:
    if verdict.choice is None:
        return (True, 0, 0, 0, 0, verdict.host)
    sign = 1 if demand.placement.strategy == PACK else -1
    free = verdict.free
    better = (-len(verdict.preferred), demand.hypervisors.index(verdict.choice.hypervisor))
    return (False, *better, sign * free.memory_mb, sign * free.vcpus, verdict.host)
