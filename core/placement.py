"""Pure: hosts and a demand → the hosts that can take it, best first, or why none can."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Offer:
    """A host as placement sees it: what is free, and what it can run."""

    name: str
    silent: bool
    hypervisors: dict[str, str]
    """Name → "" when healthy, else the problem."""
    images: frozenset[str]
    free_vcpus: int
    free_memory_mb: int
    free_disk_gb: int
    unfit: str = ""
    """Why this VM can't be there, whatever there is room for."""


@dataclass(frozen=True)
class Demand:
    """What a VM needs. `hypervisors` in order of preference; `host` pins it."""

    hypervisors: tuple[str, ...]
    image: str
    vcpus: int
    memory_mb: int
    disk_gb: int
    host: str | None = None
    joins: tuple[str, ...] = ()
    """What its adapters are to join of a host's networks, each as "mode:name"."""


@dataclass(frozen=True)
class Choice:
    """A host, and the hypervisor to use there."""

    host: str
    hypervisor: str


def rank(offers: Iterable[Offer], demand: Demand) -> tuple[list[Choice], dict[str, str]]:
    """The choices in order, and each rejected host with its reason.

    A better hypervisor first; among equals the host with most memory left, then most vCPUs, then by name: VMs spread.
    """
    choices: list[tuple[tuple[int, int, int, str], Choice]] = []
    rejected: dict[str, str] = {}
    for offer in offers:
        if demand.host is not None and offer.name != demand.host:
            continue
        hypervisor = next((h for h in demand.hypervisors if offer.hypervisors.get(h) == ""), None)
        reason = _why_not(offer, demand, hypervisor)
        if reason or hypervisor is None:
            rejected[offer.name] = reason
            continue
        key = (demand.hypervisors.index(hypervisor), -offer.free_memory_mb, -offer.free_vcpus, offer.name)
        choices.append((key, Choice(offer.name, hypervisor)))
    return [choice for _, choice in sorted(choices, key=lambda pair: pair[0])], rejected


def _why_not(offer: Offer, demand: Demand, hypervisor: str | None) -> str:
    if offer.silent:
        return "is offline (no heartbeat)"
    if offer.unfit:
        return offer.unfit
    if hypervisor is None:
        return _no_hypervisor(offer, demand.hypervisors)
    if demand.image and demand.image not in offer.images:
        return f"does not have image '{demand.image}'"
    return lacking(offer, demand)


def lacking(offer: Offer, demand: Demand) -> str:
    """What a host has too little of; "" if it has room."""
    short = [
        f"{wanted} {what} wanted, {max(free, 0)} left"
        for what, wanted, free in (
            ("vCPUs", demand.vcpus, offer.free_vcpus),
            ("MB of memory", demand.memory_mb, offer.free_memory_mb),
            ("GB of disk", demand.disk_gb, offer.free_disk_gb),
        )
        if wanted > free
    ]
    return "; ".join(short)


def _no_hypervisor(offer: Offer, wanted: Sequence[str]) -> str:
    problems = [f"{name}: {offer.hypervisors[name]}" for name in wanted if offer.hypervisors.get(name)]
    return "; ".join(problems) or f"does not offer {' or '.join(wanted)}"
