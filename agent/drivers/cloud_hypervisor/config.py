"""The configuration of a VM for Cloud Hypervisor's API. Every path is relative to the VM's folder, where the process
starts.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.drivers import places
from agent.drivers.cloud_hypervisor import confinement, events
from agent.drivers.cloud_hypervisor.api import CloudHypervisorApi, CloudHypervisorError
from agent.drivers.cloud_hypervisor.program import Version
from agent.drivers.limits import Left
from agent.drivers.local import daemon, disks
from agent.drivers.local.folder import LocalVmFolder, LocalVmRecord, VirtualMachineModel
from agent.drivers.nics import first_mac_address
from agent.drivers.places import AttachedMedium
from agent.guest import vsock
from core import settings
from core.contract.errors import DriverFailure
from core.contract.images import ImageManifest
from core.contract.messages import JSON, VmSpec
from core.contract.vms import Adapter

SERIAL = "run/serial.sock"
DISK = "disk0"
MAX_VCPUS = 16
HOTPLUG_MB = 64 * 1024  # of addresses alone: what is not plugged in costs nothing
GUEST_CID = 3  # each VM has a process, and so a vsock of its own
TYPE = "cloud-hypervisor-"
IMAGE_TYPES = {"raw": "Raw", "qcow2": "Qcow2"}
POLL_SECONDS = 0.02
_PCI = re.compile(r"(?P<domain>[0-9a-f]{4}):(?P<bus>[0-9a-f]{2}):(?P<slot>[0-9a-f]{2})\.(?P<function>[0-7])")
LSM = Path("/sys/kernel/security/lsm")


def machine_of(vm: VmSpec, having: list[Adapter], version: Version) -> VirtualMachineModel:
    """The machine for a VM."""
    return VirtualMachineModel(
        type=f"{TYPE}{version.name}",
        acceleration="kvm",
        vcpus=vm.vcpus,
        memory_mb=vm.memory_mb,
        mac_address=first_mac_address(vm),
        max_vcpus=max(vm.vcpus, MAX_VCPUS),
        disk_queues=vm.vcpus,
        scsi=True,
        balloon=True,
        adapters=having,
    )


def config(
    vm: VmSpec,
    state: LocalVmRecord,
    machine: VirtualMachineModel,
    version: Version,
    paths: Mapping[str, str],
    media: Sequence[Path],
) -> JSON:
    """All of it but the network adapters, which come with open taps. `paths` are those of the media by the names that
    they have there, and `media` the host's folders of them."""
    return {
        "cpus": {"boot_vcpus": machine.vcpus, "max_vcpus": machine.max_vcpus, "nested": False},
        "memory": {"size": machine.memory_mb << 20, "hotplug_size": HOTPLUG_MB << 20},
        "payload": _payload(vm, state.image),
        "disks": [own_disk(state, machine), *(medium_disk(vm, each, paths) for each in state.media)],
        "rng": {"src": "/dev/urandom"},
        "balloon": {"size": 0, "deflate_on_oom": True},
        "serial": {"mode": "Socket", "socket": SERIAL},
        "console": {"mode": "Off"},
        "vsock": {"cid": GUEST_CID, "socket": vsock.SOCKET},
        "pvpanic": True,
        **_platform(vm.id, version),
        **_landlock(media),
    }


def own_disk(state: LocalVmRecord, machine: VirtualMachineModel) -> JSON:
    """The VM's own, of which its format is always said: a guest can write another one's header to a raw disk."""
    kind = disks.format_of(state.disk, state.image)
    return {
        "id": DISK,
        "path": f"layers/{state.disk}",
        "image_type": IMAGE_TYPES[kind],
        "backing_files": kind == "qcow2",
        "num_queues": machine.disk_queues,
    }


def lent(folder: LocalVmFolder, vm: VmSpec, media: Sequence[AttachedMedium]) -> dict[str, str]:
    """Where a process finds them, by their names in there."""
    names = {medium_name(places.number_of(vm, *each.place)): each for each in media}
    return {name: confinement.lend(folder, each, name) for name, each in names.items()}


def medium_disk(vm: VmSpec, medium: AttachedMedium, paths: Mapping[str, str]) -> JSON:
    """One beside it."""
    name = medium_name(places.number_of(vm, *medium.place))
    return {
        "id": name,
        "path": paths[name],
        "image_type": IMAGE_TYPES[medium.format],
        "readonly": medium.type == "dvd",
        "backing_files": False,
    }


def medium_name(number: int) -> str:
    """What a medium in that place is called."""
    return f"medium{number}"


def net(adapter: Adapter, descriptors: int = 1) -> JSON:
    """An adapter whose taps come along with the request."""
    return {
        "id": net_name(adapter.slot),
        "mac": str(adapter.mac_address).lower(),
        "num_queues": 2 * descriptors,
    }


def net_name(slot: int) -> str:
    """What the adapter in that slot is called."""
    return f"net{slot}"


def unplug(api: CloudHypervisorApi, folder: Path, device: str, left: Left) -> None:
    """Takes a device out of a running machine, and returns once the guest has let go of it."""
    before = events.removed(folder, device)
    try:
        api.put("vm.remove-device", {"id": device})
    except CloudHypervisorError:
        if device not in names_plugged(api):
            return
        raise
    while events.removed(folder, device) == before:
        left()
        if daemon.alive(folder) is None:
            raise DriverFailure("Cloud Hypervisor exited without an error message")
        time.sleep(POLL_SECONDS)


def names_plugged(api: CloudHypervisorApi) -> set[str]:
    """Of the disks and adapters of a machine."""
    found = api.get("vm.info")["config"]
    return {str(each.get("id")) for kind in ("disks", "net") for each in found.get(kind) or []}


def slot_of(api: CloudHypervisorApi, name: str) -> JSON | None:
    """Where a virtio device of a machine that runs is, as a GuestPCIAddress; None when it is nowhere."""
    device = api.get("vm.info").get("device_tree", {}).get(f"_virtio-pci-{name}") or {}
    found = _PCI.fullmatch(device.get("pci_bdf") or "")
    return None if found is None else {part: int(digits, 16) for part, digits in found.groupdict().items()}


def has_landlock() -> bool:
    """Whether the kernel can confine a process to files."""
    try:
        return "landlock" in LSM.read_text().split(",")
    except OSError:
        return False


def _payload(vm: VmSpec, image: ImageManifest | None) -> JSON:
    if image is not None and image.kernel is not None:
        initramfs = {"initramfs": f"image/{image.initrd.name}"} if image.initrd else {}
        return {"kernel": f"image/{image.kernel.name}", "cmdline": image.cmdline, **initramfs}
    firmware = settings.load().firmware
    if firmware is None:
        raise DriverFailure(
            f"the image of VM '{vm.name}' has no kernel, and this host has no firmware to boot its disk: set"
            " CORRAL_FIRMWARE",
            code="invalid_request",
        )
    return {"firmware": str(firmware)}


def _platform(vm_id: str, version: Version) -> JSON:
    try:
        name = "system_uuid" if version.names_system else "uuid"
        return {"platform": {name: str(uuid.UUID(vm_id))}}
    except ValueError:
        return {}


def _landlock(media: Sequence[Path]) -> JSON:
    """What the process may open: its own folder, and the media that may be attached while it runs."""
    if not has_landlock():
        return {}
    rules = [{"path": ".", "access": "rw"}]
    rules += [{"path": str(folder), "access": "rw"} for folder in media if folder.is_dir()]
    firmware = settings.load().firmware
    rules += [{"path": str(firmware), "access": "r"}] if firmware else []
    return {"landlock_enable": True, "landlock_rules": rules}
