"""The network of a VM, and its port forwards.

In user mode QEMU itself listens on them, or in a namespace behind slirp4netns, which does; on a bridge the host's
firewall passes them on.
"""

from __future__ import annotations

import re

from agent.drivers.limits import Left
from agent.drivers.local import daemon
from agent.drivers.local.adapters import mode_of_first
from agent.drivers.local.folder import LocalVmFolder
from agent.drivers.local.handing import Handing
from agent.drivers.qemu.adapters import netdev_of
from agent.drivers.qemu.qmp import Monitor
from agent.network import ports
from agent.network.namespaces import SOCKETS, Namespace
from agent.network.network import HostNetworking
from agent.network.user_mode import Way
from core.contract.errors import DriverFailure
from core.contract.messages import Forward, VmSpec
from core.contract.vms import Adapter

LIST_SECONDS = 5.0
NETDEV = netdev_of(0)
# A line of `info usernet`: TCP[HOST_FORWARD]  12  127.0.0.1 20000  10.0.2.15  80  0  0
_LISTED = re.compile(r"^\s*(TCP|UDP)\[HOST_FORWARD\]\s+\d+\s+(\S+)\s+(\d+)\s+\S+\s+(\d+)\s", re.MULTILINE)


def netdevs(
    network: HostNetworking, vm: VmSpec, adapters: list[Adapter], way: Way | None, handing: Handing
) -> dict[int, str]:
    """The back ends of the VM's adapters, by slot, as QEMU's command line has them; `PortTaken` for a port that a
    stranger has. Forwards lead to the first adapter; each other one has a network to itself."""
    ports.must_be_free(network.forward_address, vm.forwards)
    address = SOCKETS.address if way is Way.NAMESPACE else network.forward_address
    found: dict[int, str] = {}
    for each in adapters:
        if each.mode == "bridged":
            found[each.slot] = f"tap,id={netdev_of(each.slot)},fd={handing.tap(network.join(vm))}"
        elif each.mode == "nat":
            found[each.slot] = _user_netdev(each.slot, address, vm, closed=way is Way.CLOSED)
    return found


def lead_in(folder: LocalVmFolder, address: str, vm: VmSpec) -> None:
    """Opens the ports of a VM that was just started in a namespace."""
    for forward in vm.forwards:
        Namespace(folder.path).forward(address, _to_namespace(forward), SOCKETS.address)


def _user_netdev(slot: int, address: str, vm: VmSpec, *, closed: bool) -> str:
    options = ["user", f"id={netdev_of(slot)}", *(["restrict=on"] if closed else [])]
    if slot:
        return ",".join([*options, f"net=10.0.{2 + slot}.0/24"])
    return ",".join([*options, *(f"hostfwd={_rule(address, forward)}" for forward in vm.forwards)])


def apply(folder: LocalVmFolder, network: HostNetworking, vm: VmSpec, left: Left) -> None:
    """Makes the forwards of a VM those of its spec: of its process if there is one, and those that are remembered."""
    before = folder.state()
    running, mode = daemon.alive(folder.path) is not None, mode_of_first(before)
    if running and mode == "nat":
        _apply_in_qemu(folder, network.forward_address, vm, left)
    else:
        ports.must_be_free(network.forward_address, set(vm.forwards) - set(before.spec.forwards))
        if running and mode == "bridged":
            network.join(vm)
    folder.change(spec=vm)


def in_effect(folder: LocalVmFolder, network: HostNetworking) -> list[Forward]:
    """Those that are in effect."""
    mode = mode_of_first(folder.state()) if daemon.alive(folder.path) is not None else "none"
    if mode == "bridged":
        return network.forwards(folder.path.name)
    if mode != "nat":
        return []
    with Monitor(folder.path, LIST_SECONDS) as monitor:
        listed = list(_listed(monitor))
    namespace = Namespace(folder.path)
    leading_in = namespace.forwards() if namespace.there else None
    return [each for each in listed if leading_in is None or _to_namespace(each) in leading_in]


def _apply_in_qemu(folder: LocalVmFolder, address: str, vm: VmSpec, left: Left) -> None:
    wanted, namespace = set(vm.forwards), Namespace(folder.path)
    if namespace.there:
        leading_in = {_to_namespace(forward) for forward in wanted}
        for forward, number in namespace.forwards().items():
            if forward not in leading_in:
                namespace.close(number)
        ports.must_be_free(address, leading_in - namespace.forwards().keys())
        _listen(folder, SOCKETS.address, vm, left)
        for forward in leading_in - namespace.forwards().keys():
            namespace.forward(address, forward, SOCKETS.address)
    else:
        _listen(folder, address, vm, left)


def _listen(folder: LocalVmFolder, address: str, vm: VmSpec, left: Left) -> None:
    wanted = set(vm.forwards)
    with Monitor(folder.path, left()) as monitor:
        there = _listed(monitor)
        for forward in there.keys() - wanted:
            # From where it listens: the agent may have had another address when the VM was started.
            _change(monitor, f"hostfwd_remove {NETDEV} {_source(there[forward], forward)}")
        if address != SOCKETS.address:
            ports.must_be_free(address, wanted - there.keys())
        for forward in wanted - there.keys():
            _change(monitor, f"hostfwd_add {NETDEV} {_rule(address, forward)}")
        if _listed(monitor).keys() != wanted:
            raise DriverFailure(f"QEMU does not forward the ports of VM '{vm.name}' as requested")


def _listed(monitor: Monitor) -> dict[Forward, str]:
    """Those that QEMU has, and where each listens."""
    shown = monitor.ask("human-monitor-command", command_line="info usernet")
    return {
        Forward(kind.lower(), int(port), int(guest)): "0.0.0.0" if address == "*" else address  # noqa: S104  # as told
        for kind, address, port, guest in _LISTED.findall(shown)
    }


def _change(monitor: Monitor, line: str) -> None:
    """QEMU says what went wrong in words only; what came of it is looked up afterwards."""
    said = monitor.ask("human-monitor-command", command_line=line).strip()
    if line.startswith("hostfwd_add") and said:
        raise DriverFailure(f"QEMU refused '{line}': {said}")


def _to_namespace(forward: Forward) -> Forward:
    """QEMU listens in there on the host's number."""
    return Forward(forward.protocol, forward.host_port, forward.host_port)


def _source(address: str, forward: Forward) -> str:
    return f"{forward.protocol}:{address}:{forward.host_port}"


def _rule(address: str, forward: Forward) -> str:
    return f"{_source(address, forward)}-:{forward.guest_port}"
