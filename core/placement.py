"""Pure placement: hosts and a demand → what stands against each host, and the hosts that can take it, best first."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from core import labels
from core.contract.images import ImageManifest
from core.contract.vms import PACK, Placement


@dataclass(frozen=True)
class Room:
    """An amount of what VMs need."""

    vcpus: int
    memory_mb: int
    disk_gb: int


@dataclass(frozen=True)
class Obstacle:
    """The reason why a host can't take a VM: `code` for programs, `message` for people, with the host as its
    subject.
    """

    code: str
    message: str


@dataclass(frozen=True)
class HostOffer:
    """A host as placement sees it: what is free, and what it can run. `hypervisors`: "" when healthy, else the problem.

    `contents`: the digests of all images there; it `pulls` those of the fleet that are not. `obstacles`: why this VM
    can't be there, whatever there is room for.
    """

    name: str
    hypervisors: dict[str, str]
    images: frozenset[str]
    free: Room
    labels: labels.Labels = field(default_factory=dict)
    contents: frozenset[str] = frozenset()
    pulls: bool = False
    obstacles: tuple[Obstacle, ...] = ()


@dataclass(frozen=True)
class Demand:
    """The demand of a new VM. `hypervisors` in order of preference; `host` pins it.

    `joins`: what its adapters are to join of a host's networks, each as "mode:name". `content`: the fleet's image of
    that name; None: hosts alone may have one. `needs`: capabilities that its hypervisor is to have there.
    """

    hypervisors: tuple[str, ...]
    image: str
    size: Room
    host: str | None = None
    joins: tuple[str, ...] = ()
    placement: Placement = field(default_factory=Placement)
    content: ImageManifest | None = None
    needs: tuple[str, ...] = ()

    def digest_at(self, contents: Collection[str], *, pulls: bool) -> str:
        """The digest of the fleet's image if a VM is made of that one on such a host; "": of the host's own."""
        fleets = self.content.digest if self.content is not None else ""
        return fleets if pulls or fleets in contents else ""


@dataclass(frozen=True)
class HostChoice:
    """A host, and the hypervisor to use there.

    `digest`: that of the fleet's image, if the VM is made of that one; `pulls`: it is not there yet.
    """

    host: str
    hypervisor: str
    digest: str = ""
    pulls: bool = False


@dataclass(frozen=True)
class Verdict:
    """The verdict on a host for a VM: `choice`, or None and the `obstacles`.

    `preferred`: the terms that the VM prefers, and that hold there.
    """

    host: str
    choice: HostChoice | None
    free: Room
    preferred: tuple[str, ...]
    obstacles: tuple[Obstacle, ...]

    @property
    def why_not(self) -> str:
        """All that stands against it in a sentence; "" if nothing does."""
        return "; ".join(each.message for each in self.obstacles)


def judge(offers: Iterable[HostOffer], demand: Demand) -> list[Verdict]:
    """A verdict on each host: those that can take it, best first, then the others by name.

    The best one holds most of what is preferred, has the better hypervisor, has the image, and then most memory left
    (or least, to pack), most vCPUs, and the first name.
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


def _verdict(offer: HostOffer, demand: Demand) -> Verdict:
    hypervisor = next((each for each in demand.hypervisors if offer.hypervisors.get(each) == ""), None)
    preferred = tuple(text for text in demand.placement.prefer if labels.term(text).holds(offer.labels))
    obstacles = (*offer.obstacles, *_obstacles(offer, demand, hypervisor))
    digest = demand.digest_at(offer.contents, pulls=offer.pulls)
    pulls = bool(digest) and digest not in offer.contents
    choice = HostChoice(offer.name, hypervisor, digest, pulls) if hypervisor is not None and not obstacles else None
    return Verdict(offer.name, choice, offer.free, preferred, obstacles)


def _obstacles(offer: HostOffer, demand: Demand, hypervisor: str | None) -> Iterator[Obstacle]:
    if demand.host not in (None, offer.name):
        yield Obstacle("not_chosen", f"is not host '{demand.host}', which was asked for")
    for text in demand.placement.require:
        if not labels.term(text).holds(offer.labels):
            yield Obstacle("label", f"is not labelled {text}")
    if hypervisor is None:
        yield Obstacle("hypervisor", _no_hypervisor(offer, demand.hypervisors))
    if demand.image and not demand.digest_at(offer.contents, pulls=offer.pulls) and demand.image not in offer.images:
        why = ", and its agent has no address of the API" if demand.content is not None else ""
        yield Obstacle("image", f"does not have image '{demand.image}'{why}")
    yield from lacking(offer.free, demand.size)


def _no_hypervisor(offer: HostOffer, wanted: Sequence[str]) -> str:
    problems = [f"{name}: {offer.hypervisors[name]}" for name in wanted if offer.hypervisors.get(name)]
    return "; ".join(problems) or f"does not offer {' or '.join(wanted)}"


def _order(verdict: Verdict, demand: Demand) -> tuple[bool, int, int, bool, int, int, str]:
    if verdict.choice is None:
        return (True, 0, 0, False, 0, 0, verdict.host)
    sign = 1 if demand.placement.strategy == PACK else -1
    free = verdict.free
    better = (-len(verdict.preferred), demand.hypervisors.index(verdict.choice.hypervisor))
    return (False, *better, verdict.choice.pulls, sign * free.memory_mb, sign * free.vcpus, verdict.host)
