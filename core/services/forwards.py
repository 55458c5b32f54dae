"""Port forwards: a port of the VM's host, reserved for it, that leads to one of the guest's."""

from __future__ import annotations

import random
from dataclasses import dataclass
from urllib.parse import urlsplit

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core import settings
from core.contract.commands import OfForward, PortForwardCreate, PortForwardDelete
from core.contract.errors import Conflict, Invalid, NotFound
from core.database import violates
from core.models import Host, PortForward, Vm
from core.services import lookup, operations, rules, vms
from core.services.accepted import Accepted
from core.services.context import Actor

PROTOCOLS = ("tcp", "udp")
FIRST_PORT, LAST_PORT = 1024, 65535


@dataclass(frozen=True)
class ForwardRequest:
    """A new port forward; a `host_port` of 0: any that is free."""

    host_port: int
    guest_port: int
    protocol: str = "tcp"
    description: str = ""


def page(session: Session, actor: Actor, ref: str, limit: int, offset: int) -> tuple[Vm, list[PortForward], int]:
    """A VM, a page of the forwards that it has, in the order of their ports, and how many there are."""
    vm = lookup.vm(session, actor, ref)
    mine = (PortForward.vm_id == vm.id, PortForward.ready_at.is_not(None))
    total = session.scalar(select(func.count()).select_from(PortForward).where(*mine)) or 0
    query = select(PortForward).where(*mine).order_by(PortForward.host_port, PortForward.protocol)
    return vm, list(session.scalars(query.limit(limit).offset(offset))), total


def get(session: Session, vm: Vm, ref: str, protocol: str | None = None) -> PortForward:
    """A forward of a VM by its id or its host's port; `NotFound`, `Invalid` when only the protocol could tell."""
    query = select(PortForward).where(PortForward.vm_id == vm.id, PortForward.ready_at.is_not(None))
    by_port = ref.isascii() and ref.isdigit() and len(ref) <= len(str(LAST_PORT))
    query = query.where(PortForward.host_port == int(ref) if by_port else PortForward.id == ref)
    if protocol is not None:
        query = query.where(PortForward.protocol == protocol)
    found = list(session.scalars(query))
    if len(found) > 1:
        raise Invalid(
            f"port {ref} of VM '{vm.name}' is forwarded for both tcp and udp: give the protocol", field="protocol"
        )
    if not found:
        raise NotFound(f"port forward '{ref}' of VM '{vm.name}' not found")
    return found[0]


def create(session: Session, actor: Actor, ref: str, request: ForwardRequest) -> Accepted:
    """Reserve the port, then have the host forward it. `Conflict` when another forward on that host has it."""
    _check(request)
    vm, host = vms.to_change(session, actor, ref)
    rules.must_exist(vm)
    rules.must_support(vm, host, "port_forwards")
    _must_be_open(host, request.host_port, actor)
    forward = PortForward(
        vm_id=vm.id,
        host_name=host.name,
        protocol=request.protocol,
        host_port=request.host_port or _choose(session, host, request.protocol),
        guest_port=request.guest_port,
        description=request.description,
    )
    taken = Conflict(
        f"{forward.protocol} port {forward.host_port} of host '{host.name}' is forwarded already: choose another",
        code="port_taken",
    )
    session.add(forward)
    try:
        session.flush()
    except IntegrityError as error:
        if violates(error, "uq_port_forwards_host_name_protocol_host_port"):
            raise taken from None
        raise
    session.expire(vm, ["forwards"])  # they came with the VM, before this one was there
    return operations.begin(session, actor, vm, _params(PortForwardCreate, forward))


def delete(session: Session, actor: Actor, ref: str, forward_ref: str, protocol: str | None = None) -> Accepted:
    """Have the host forward it no more, after which the port is free."""
    vm, host = vms.to_change(session, actor, ref)
    rules.must_support(vm, host, "port_forwards")
    forward = get(session, vm, forward_ref, protocol)
    return operations.begin(session, actor, vm, _params(PortForwardDelete, forward))


def follow(session: Session, vm: Vm, host: Host) -> None:
    """A VM's forwards are on that host from now on, on the same ports where those are free, else on others."""
    for forward in session.scalars(select(PortForward).where(PortForward.vm_id == vm.id).order_by(PortForward.id)):
        there = (PortForward.host_name == host.name, PortForward.protocol == forward.protocol)
        taken = session.scalar(select(PortForward.id).where(*there, PortForward.host_port == forward.host_port))
        if taken is not None or forward.host_port in _own_ports(host):
            forward.host_port = _choose(session, host, forward.protocol)
        forward.host_name = host.name
        session.flush()
    session.expire(vm, ["forwards"])


def address_of(host: Host) -> str:
    """Where the forwards of a host listen."""
    return host.facts.forward_address


def _check(request: ForwardRequest) -> None:
    if request.protocol not in PROTOCOLS:
        raise Invalid(f"protocol must be one of {', '.join(PROTOCOLS)}", field="protocol")
    if request.host_port and not FIRST_PORT <= request.host_port <= LAST_PORT:
        raise Invalid(f"host_port must be 0, or {FIRST_PORT} to {LAST_PORT}", field="host_port")
    if not 1 <= request.guest_port <= LAST_PORT:
        raise Invalid(f"guest_port must be 1 to {LAST_PORT}", field="guest_port")


def _must_be_open(host: Host, port: int, actor: Actor) -> None:
    """A caller's ports are those that the host's operator set aside; an administrator's all but Corral's own."""
    first, last = host.facts.forward_ports
    if port in _own_ports(host):
        raise Invalid(f"port {port} of host '{host.name}' is used by Corral itself: choose another", field="host_port")
    if port and not first <= port <= last and not actor.is_admin:
        raise Invalid(
            f"host_port must be 0, or {first} to {last} on host '{host.name}': only an administrator may choose"
            " another",
            field="host_port",
        )


def _own_ports(host: Host) -> set[int]:
    """Where something of Corral's listens, or is to: here, and on that host as its agent tells."""
    ours = settings.load()
    servers = {_port_of(ours.database_url, 5432), _port_of(ours.redis_url, 6379)}
    return {ours.port, ours.flower_port, ours.metrics_port, *servers, *host.facts.own_ports} - {0}


def _port_of(url: str, default: int) -> int:
    """That of a server's address; the usual one where it says none, or nothing that can be understood."""
    try:
        return urlsplit(url).port or default
    except ValueError:
        return default


def _choose(session: Session, host: Host, protocol: str) -> int:
    """At random: agents of one machine, as on a laptop, then hardly ever choose the same."""
    first, last = host.facts.forward_ports
    having = select(PortForward.host_port).where(PortForward.host_name == host.name, PortForward.protocol == protocol)
    free = sorted(set(range(first, last + 1)) - set(session.scalars(having)) - _own_ports(host))
    if not free:
        raise Conflict(f"host '{host.name}' has no free {protocol} port from {first} to {last}", code="port_taken")
    return random.choice(free)  # no secret


def _params(kind: type[OfForward], forward: PortForward) -> OfForward:
    return kind(forward.id, forward.protocol, forward.host_port, forward.guest_port)
