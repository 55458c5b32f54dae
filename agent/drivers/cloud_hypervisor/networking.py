"""The network of a VM: taps on the host's bridge or in a namespace, passed to its process as open files.

What is not on the bridge has the user-mode network of agent/network/namespaces.py, in which the VM's process is
started; slirp4netns ends with it. Ports of the host are opened there, or by the host's firewall for a bridge.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from agent.drivers.cloud_hypervisor import config
from agent.drivers.cloud_hypervisor.api import CloudHypervisorApi
from agent.drivers.cloud_hypervisor.confinement import INSIDE
from agent.drivers.limits import Left
from agent.drivers.local import daemon
from agent.drivers.local.adapters import Kinds, mode_of_first
from agent.drivers.local.folder import LocalVmFolder
from agent.network import ports, taps
from agent.network.namespaces import FOLDER, TAP, Namespace
from agent.network.network import HostNetworking
from core.contract.errors import DriverFailure
from core.contract.messages import Forward, VmSpec
from core.contract.vms import Adapter

KINDS = Kinds("Cloud Hypervisor", ("virtio",), plugs=True)


@contextmanager
def tapped(
    folder: LocalVmFolder, network: HostNetworking, vm: VmSpec, adapters: list[Adapter]
) -> Iterator[dict[int, int]]:
    """The open tap of each adapter, by slot; ours until the block ends, and its process's for as long as it lives."""
    found: dict[int, int] = {}
    try:
        inside = [each for each in adapters if each.mode in INSIDE]
        if inside:
            pid = _inside(folder)
            opened = taps.in_namespace(pid, [_name(each) for each in inside])
            found.update(zip([each.slot for each in inside], opened, strict=True))
            for each in inside:
                if each.mode == "nat":
                    taps.join_bridge(pid, _name(each))
        for each in adapters:
            if each.mode == "bridged":
                found[each.slot] = taps.on_host(network.join(vm))
        yield found
    finally:
        for descriptor in found.values():
            os.close(descriptor)


def set_cables(folder: LocalVmFolder, network: HostNetworking, vm: VmSpec, adapters: list[Adapter]) -> None:
    """Of a machine that was just launched, or for one adapter of one that runs."""
    for each in adapters:
        if each.mode == "nat":
            taps.set_cable(_inside(folder), _name(each), connected=each.cable_connected)
        elif each.mode == "bridged":
            taps.set_cable(None, network.join(vm), connected=each.cable_connected)


def change(folder: LocalVmFolder, network: HostNetworking, vm: VmSpec, adapter: Adapter, left: Left) -> Adapter:
    """Makes it like that, at once if the VM runs: a cable is pulled, and all else is another adapter."""

    def plug(before: list[Adapter], after: Adapter) -> None:
        now = next((each for each in before if each.slot == after.slot), None)
        api = CloudHypervisorApi(folder.path, left())
        if now is not None and (not after.enabled or _differ(now, after)):
            config.unplug(api, folder.path, config.net_name(now.slot), left)
            now = None
        if now is None and after.enabled:
            _must_have_namespace(folder, vm, after)
            with tapped(folder, network, vm, [after]) as opened:
                api.put("vm.add-net", config.net(after), [opened[after.slot]])
        if after.enabled:
            set_cables(folder, network, vm, [after])

    return KINDS.change(folder, vm, adapter, plug)


def forward(folder: LocalVmFolder, network: HostNetworking, vm: VmSpec, adapters: list[Adapter]) -> None:
    """Opens the ports of a machine that was just launched; those of a bridge were opened as it was joined."""
    if any(each.slot == 0 and each.mode == "nat" for each in adapters):
        for each in vm.forwards:
            Namespace(folder.path).forward(network.forward_address, each, TAP.address)


def apply_forwards(folder: LocalVmFolder, network: HostNetworking, vm: VmSpec) -> None:
    """Makes the forwards of a VM those of its spec: of what runs, and those that are remembered."""
    before = folder.state()
    running, mode = daemon.alive(folder.path) is not None, mode_of_first(before)
    if running and mode == "nat":
        inside, wanted = Namespace(folder.path), set(vm.forwards)
        there = inside.forwards()
        for each in there.keys() - wanted:
            inside.close(there[each])
        ports.must_be_free(network.forward_address, wanted - there.keys())
        for each in wanted - there.keys():
            inside.forward(network.forward_address, each, TAP.address)
    else:
        ports.must_be_free(network.forward_address, set(vm.forwards) - set(before.spec.forwards))
        if running and mode == "bridged":
            network.join(vm)
    folder.change(spec=vm)


def forwards(folder: LocalVmFolder, network: HostNetworking) -> list[Forward]:
    """Those that are in effect."""
    mode = mode_of_first(folder.state()) if daemon.alive(folder.path) is not None else "none"
    if mode == "bridged":
        return network.forwards(folder.path.name)
    return list(Namespace(folder.path).forwards()) if mode == "nat" else []


def _differ(now: Adapter, after: Adapter) -> bool:
    """In more than the cable."""
    return (now.mode, now.type, now.mac_address, now.network) != (
        after.mode,
        after.type,
        after.mac_address,
        after.network,
    )


def _must_have_namespace(folder: LocalVmFolder, vm: VmSpec, adapter: Adapter) -> None:
    if adapter.mode in INSIDE and not (folder.path / FOLDER).exists():
        raise DriverFailure(
            f"VM '{vm.name}' was started without a network namespace: stop the VM first",
            code="invalid_state",
        )


def _inside(folder: LocalVmFolder) -> int:
    pid = daemon.alive(folder.path)
    if pid is None:
        raise DriverFailure("Cloud Hypervisor exited without an error message")
    return pid


def _name(adapter: Adapter) -> str:
    return f"guest{adapter.slot}"
