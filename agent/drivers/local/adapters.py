"""Network adapters of a VM as its folder has them; each driver says what its hypervisor supports."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from agent.drivers import nics
from agent.drivers.local import daemon, media
from agent.drivers.local.folder import LocalVmFolder, LocalVmRecord
from agent.network.network import on_bridge
from core.contract.errors import Unsupported
from core.contract.images import ImageManifest
from core.contract.messages import VmSpec
from core.contract.vms import Adapter

Plug = Callable[[list[Adapter], Adapter], None]
"""Makes a running machine have that adapter instead of what is in its slot: first all adapters as they were."""


@dataclass(frozen=True)
class Kinds:
    """The adapters that a hypervisor has: its name, and its types. `plugs`: they can be hotplugged."""

    hypervisor: str
    types: Collection[str]
    plugs: bool = False

    def check(self, vm: VmSpec, adapter: Adapter) -> None:
        """`DriverFailure` for one that it can't have."""
        nics.check(adapter)
        if adapter.type not in self.types:
            raise Unsupported(f"'{adapter.type}' is not an adapter type of {self.hypervisor}: {', '.join(self.types)}")
        placed = adapter.slot == 0 and on_bridge(vm)
        modes = ("none", "null", "bridged" if placed else "nat")
        if adapter.mode not in modes:
            raise Unsupported(
                f"adapter {adapter.slot} of VM '{vm.name}' can't have mode '{adapter.mode}' with {self.hypervisor}, "
                f"only one of {', '.join(modes)}: a VM's first adapter is on a bridge if its network_config says so "
                "when it is made"
            )
        if placed and adapter.mode == "bridged" and adapter.network not in (None, vm.network.bridge):
            raise Unsupported(f"VM '{vm.name}' has its address on bridge '{vm.network.bridge}' and can't join another")
        mac = adapter.mac_address
        if adapter.slot == 0 and mac is not None and mac.lower() != nics.mac_address(vm, 0).lower():
            raise Unsupported(f"the MAC address of VM '{vm.name}' is {nics.mac_address(vm, 0)} and can't be changed")

    def asked(self, vm: VmSpec, image: ImageManifest | None) -> list[Adapter]:
        """Those that a new VM is to have. Debian's cloud kernels drive virtio alone, so their VMs have no other; nor
        where there is no other."""
        found = nics.asked(vm)
        if tuple(self.types) == ("virtio",) or (image and "-cloud-" in str(image.facts.get("kernel", ""))):
            found = [replace(each, type="virtio") for each in found]
        for each in found:
            self.check(vm, each)
        return found

    def change(self, folder: LocalVmFolder, vm: VmSpec, adapter: Adapter, plug: Plug) -> Adapter:
        """Makes it like that. It is remembered last: what was cut off is done once more."""
        state, on = folder.state(), daemon.alive(folder.path) is not None
        if adapter.enabled and adapter.mode != "none":
            self.check(vm, adapter)
        before = of(state)
        after = nics.changed(vm, before, adapter, on=on and not self.plugs)
        if after != before:
            if on:
                plug(before, nics.at(after, adapter.slot))
            else:
                media.check_resuming(state, vm)
            folder.change(adapters=after, machine=state.machine and replace(state.machine, adapters=after))
        return nics.at(after, adapter.slot)


def of(state: LocalVmRecord) -> list[Adapter]:
    """Those that a VM has, by slot."""
    if state.adapters is not None:
        return state.adapters
    mac = nics.mac_address(state.spec, 0)
    return [replace(nics.first(state.spec), mac_address=mac)]


def mode_of_first(state: LocalVmRecord) -> str:
    """What the adapter that forwards lead to is on."""
    return nics.at(of(state), 0).mode
