"""Placement of a new VM: what stands against each host, and the best host with the VM reserved on it."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from core.contract.errors import Invalid, NoCapacity
from core.contract.images import ImageManifest
from core.contract.states import SchedulingState
from core.contract.vms import PACK
from core.models import Host
from core.models.base import JSON
from core.placement import Demand, HostChoice, HostOffer, Obstacle, Verdict, judge
from core.services import groups, hosts, joining, problems, scheduling
from core.services.bridges import Wish

_TAKES_VMS = (Host.scheduling_state == SchedulingState.ACTIVE, Host.removed_at.is_(None))
_FEW = 16
_TOO_LATE = "ran out of capacity, or was closed, while this request was being placed"


def reserve(session: Session, owner_id: str, demand: Demand, wish: Wish) -> HostChoice:
    """Choose a host and count the VM on it, at once or not at all.

    The choice is made without a lock; the conditional UPDATE decides. When another request took the room meanwhile,
    the next choice is tried. `NoCapacity` lists every host and why not; `Invalid` for a host or image unknown.
    """
    choice = _of_few(session, owner_id, demand, wish)
    if choice is not None:
        return choice
    rejected: dict[str, str] = {}
    for verdict in verdicts(session, owner_id, demand, wish):
        if verdict.choice is None:
            if demand.host in (None, verdict.host):
                rejected[verdict.host] = verdict.why_not
        elif _take(session, owner_id, demand, verdict.host):
            return verdict.choice
        else:
            rejected[verdict.host] = _TOO_LATE
    size = demand.size
    raise NoCapacity(
        f"no host can take a VM with {size.vcpus} vCPUs, {size.memory_mb} MB memory and {size.disk_gb} GB disk",
        rejected=[{"host": name, "reason": reason} for name, reason in sorted(rejected.items())],
    )


def _of_few(session: Session, owner_id: str, demand: Demand, wish: Wish) -> HostChoice | None:
    """The same choice, where it is among the few that PostgreSQL finds best: not all hosts are looked at then.

    A host that another request is just placing a VM on is passed over, unless they all are.
    """
    if demand.placement.prefer:
        return None
    having = groups.hosts_of(session, owner_id, demand.placement.apart_from_group)
    offers = [_offer(host, demand, wish, having) for host in session.scalars(_few(demand))]
    fit = [verdict.choice for verdict in judge(offers, demand) if verdict.choice is not None]
    best = [choice for choice in fit if choice.hypervisor == demand.hypervisors[0]]  # others may be better elsewhere
    for wait in (False, True):
        for choice in best:
            if _take(session, owner_id, demand, choice.host, wait=wait):
                return choice
    return None


def _few(demand: Demand) -> Select[Host]:
    """Those with room that offer the hypervisor that is preferred, in the order of `judge`."""
    free_memory, free_vcpus = Host.memory_mb - Host.reserved_memory_mb, Host.vcpus - Host.reserved_vcpus
    query = select(Host).where(
        *_TAKES_VMS,
        Host.offline_since.is_(None),
        free_vcpus >= demand.size.vcpus,
        free_memory >= demand.size.memory_mb,
        Host.disk_gb - Host.reserved_disk_gb >= demand.size.disk_gb,
        Host.drivers.contains([{"name": demand.hypervisors[0], "healthy": True}]),
    )
    if demand.image:
        query = query.where(Host.images.contains([demand.image]))
    if demand.host is not None:
        query = query.where(Host.name == demand.host)
    packs = demand.placement.strategy == PACK
    order = (free_memory, free_vcpus) if packs else (free_memory.desc(), free_vcpus.desc())
    return query.order_by(*order, Host.name.collate("C")).limit(_FEW).execution_options(populate_existing=True)


def verdicts(session: Session, owner_id: str, demand: Demand, wish: Wish) -> list[Verdict]:
    """What stands against each host, the best one first; `Invalid` for a host or image unknown. Nothing is reserved."""
    present = select(Host).where(Host.removed_at.is_(None)).execution_options(populate_existing=True)
    having = groups.hosts_of(session, owner_id, demand.placement.apart_from_group)
    offers = [_offer(host, demand, wish, having) for host in session.scalars(present)]
    _check_known(offers, demand)
    return judge(offers, demand)


def _take(session: Session, owner_id: str, demand: Demand, host: str, *, wait: bool = True) -> bool:
    """Whether the VM is counted there now. Who has counted it has the host's row locked, and so places there alone."""
    group = demand.placement.apart_from_group
    with session.begin_nested() as savepoint:
        taken = hosts.take(session, host, demand.size, *_TAKES_VMS, wait=wait)
        if taken and host in groups.hosts_of(session, owner_id, group):
            taken = False
        if not taken:
            savepoint.rollback()
    return taken


def _check_known(offers: list[HostOffer], demand: Demand) -> None:
    if demand.host is not None and demand.host not in {offer.name for offer in offers}:
        raise Invalid(f"there is no host '{demand.host}'", field="host")
    if not demand.image:
        return
    if demand.content is None and offers and not any(demand.image in offer.images for offer in offers):
        raise Invalid(f"there is no image '{demand.image}' on any host", field="template", code="image_not_found")


def _offer(host: Host, demand: Demand, wish: Wish, having: frozenset[str]) -> HostOffer:
    return HostOffer(
        name=host.name,
        hypervisors={driver["name"]: _problem(host, driver, demand, wish) for driver in host.drivers},
        images=frozenset(host.images),
        free=hosts.free(host),
        labels=host.labels,
        contents=frozenset(host.facts.image_contents),
        pulls=host.facts.pulls_images,
        obstacles=tuple(_obstacles(host, demand, wish, having)),
    )


def _obstacles(host: Host, demand: Demand, wish: Wish, having: frozenset[str]) -> Iterator[Obstacle]:
    if host.offline_since is not None:
        yield Obstacle("offline", "is offline (no heartbeat)")
    if closed := scheduling.against_placement(host):
        yield Obstacle(host.scheduling_state, closed)
    if unfit := wish.unfit.get(host.name):
        yield Obstacle("network", unfit)
    least = host.facts.image_sizes_gb.get(demand.image, 0)
    if least > demand.size.disk_gb and _content_of(host, demand) is None:
        yield Obstacle("image_size", f"has a version of image '{demand.image}' that needs a disk of {least} GB")
    if host.name in having:
        yield Obstacle("group", f"has another VM of group '{demand.placement.apart_from_group}'")
    for code, message in problems.against_placement(host).items():
        yield Obstacle(code, message)


def _problem(host: Host, driver: JSON, demand: Demand, wish: Wish) -> str:
    if not driver["healthy"]:
        return str(driver["problem"])
    if wish.bridges and "bridges" not in driver["capabilities"]:
        return "can't put a VM on a bridge"
    if lacking := set(demand.needs) - set(driver["capabilities"]):
        return f"does not offer {', '.join(sorted(lacking))}"
    if shut := joining.closed(host, driver["name"], demand.joins):
        return f"does not allow adapters to join {', '.join(shut)}"
    image, content = demand.image, _content_of(host, demand)
    # An older agent tells neither of such images nor of who boots them.
    has_kernel = image in host.facts.kernel_images if content is None else content.kernel is not None
    if has_kernel and "kernels" not in driver["capabilities"]:
        return f"boots only from disks, and image '{image}' has a separate kernel and no boot loader on its disk"
    return ""


def _content_of(host: Host, demand: Demand) -> ImageManifest | None:
    """The fleet's image, if a VM there is made of that one."""
    digest = demand.digest_at(host.facts.image_contents, pulls=host.facts.pulls_images)
    return demand.content if digest else None
