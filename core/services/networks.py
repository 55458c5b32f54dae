"""Networks of hosts, and the network of a VM."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.contract.messages import VmSpec
from core.contract.networks import BRIDGE, USER, tap_of
from core.contract.states import Observed
from core.models import Host, PortForward, Vm
from core.models.base import JSON
from core.services import lookup, operations
from core.services.context import Actor

_ON = (Observed.RUNNING, Observed.PAUSED)


def list_of(session: Session, actor: Actor, host: str | None = None) -> list[JSON]:
    """The networks of all hosts, or of one, by host and name, as their agents tell, and how many VMs are on there."""
    kind, bridge = Vm.network["type"].astext, Vm.network["bridge"].astext
    counted = select(Vm.host_name, kind, bridge, func.count()).where(Vm.deleted_at.is_(None), Vm.observed.in_(_ON))
    connected: dict[tuple[str, str], int] = {}
    for name, type_, on, number in session.execute(counted.group_by(Vm.host_name, kind, bridge)):
        key = (name, on if type_ == BRIDGE else USER)
        connected[key] = connected.get(key, 0) + number
    hosts = (
        select(Host)
        .order_by(Host.name)
        .where(Host.removed_at.is_(None), *([] if host is None else [Host.name == host]))
    )
    return [
        {**vars(each), "host": found.name, "vms_connected": connected.get((found.name, each.name), 0)}
        for found in session.scalars(hosts)
        for each in sorted(found.facts.networks, key=lambda each: each.name)
    ]


@dataclass(frozen=True)
class NetworkPlace:
    """A VM in its network, as recorded. `ask`: whom and about what to ask for more, if that has a point."""

    vm: Vm
    host: Host
    address: str | None
    bridge: str | None
    interface: str | None
    forwards: list[PortForward]
    ask: VmSpec | None

    @property
    def running(self) -> bool:
        """As far as was seen."""
        return self.vm.observed == Observed.RUNNING


def place_of(session: Session, actor: Actor, ref: str) -> NetworkPlace:
    """Where a VM is."""
    vm, host = lookup.placed(session, actor, ref)
    network = vm.network.true
    on_bridge = network.on_bridge
    askable = vm.observed == Observed.RUNNING and host.offline_since is None and _offers(host, vm, "guest_network")
    return NetworkPlace(
        vm=vm,
        host=host,
        address=network.ip,
        bridge=network.bridge,
        interface=USER if not on_bridge else tap_of(vm.id) if vm.observed in _ON else None,
        forwards=[each for each in vm.forwards if each.ready_at is not None],
        ask=operations.spec_of(vm) if askable else None,
    )


def _offers(host: Host, vm: Vm, capability: str) -> bool:
    return any(driver["name"] == vm.hypervisor and capability in driver["capabilities"] for driver in host.drivers)
