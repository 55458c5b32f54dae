"""QEMU's command line. Every path in it is relative to the VM's folder, where the process is started."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from agent.drivers.local.folder import LocalVmFolder, LocalVmRecord, VirtualMachineModel
from agent.drivers.local.handing import Handing
from agent.drivers.nics import first_mac_address
from agent.drivers.qemu import adapters, balloon, qmp
from agent.drivers.qemu.accelerators import ACCELERATORS
from core.contract.images import ImageManifest
from core.contract.messages import VmSpec
from core.contract.vms import Adapter

PROGRAM = "qemu-system-x86_64"
CONSOLE_SOCKET, CONSOLE_LOG = "console.sock", "console.log"
MAX_VCPUS = 16


@dataclass(frozen=True)
class BackEnds:
    """The host's side of a VM: the back ends of its adapters by their slots, and the options for its media.

    `handing`: the open files that they, and more, are handed over by.
    """

    netdevs: Mapping[int, str]
    media: list[str]
    handing: Handing


def machine_of(vm: VmSpec, having: list[Adapter], acceleration: str, version: str) -> VirtualMachineModel:
    """The machine for a VM. Its type has QEMU's version in it, so that a memory snapshot outlives an update."""
    release = ".".join(version.split(".")[:2])
    return VirtualMachineModel(
        type=f"pc-q35-{release}",
        acceleration=acceleration,
        vcpus=vm.vcpus,
        memory_mb=vm.memory_mb,
        mac_address=first_mac_address(vm),
        max_vcpus=max(vm.vcpus, MAX_VCPUS),
        disk_queues=vm.vcpus,
        scsi=True,
        balloon=True,
        adapters=having,
    )


def command(
    folder: LocalVmFolder, state: LocalVmRecord, machine: VirtualMachineModel, more: BackEnds, *, incoming: bool
) -> list[str]:
    """All of it. `incoming`: waits for a memory snapshot instead of booting."""
    vm_id = folder.path.name
    console, monitor = (more.handing.listener(folder.path, name) for name in (CONSOLE_SOCKET, qmp.SOCKET))
    return [
        PROGRAM,
        *["-name", f"corral-{vm_id}"],
        *_identity(vm_id),
        *["-nodefaults", "-no-user-config", "-display", "none", "-msg", "timestamp=on"],
        *["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
        *["-machine", machine.type, "-accel", ACCELERATORS[machine.acceleration], "-cpu", "max"],
        *["-smp", _processors(machine), "-m", str(machine.memory_mb)],
        *_disk(state.disk, machine),
        *_boot(state.image),
        *adapters.command(machine, more.netdevs, first=True),
        *["-device", "virtio-rng-pci"],
        *(balloon.DEVICE if machine.balloon else []),
        *["-chardev", "pipe,id=qga,path=qga", "-device", "virtio-serial-pci"],
        *["-device", "virtserialport,chardev=qga,name=org.qemu.guest_agent.0"],
        *["-chardev", f"socket,id=console,fd={console},server=on,wait=off,logfile={CONSOLE_LOG},logappend=on"],
        *["-serial", "chardev:console"],
        *["-chardev", f"socket,id=qmp,fd={monitor},server=on,wait=off", "-mon", "chardev=qmp,mode=control"],
        *["-chardev", "pipe,id=events,path=events", "-mon", "chardev=events,mode=control"],
        *(more.media if machine.scsi else []),
        *adapters.command(machine, more.netdevs, first=False),
        *(["-S", "-incoming", "defer"] if incoming else []),
    ]


def node_of(layer: str) -> str:
    """The name that QEMU knows a layer by: it may have 31 characters, and begins with a letter."""
    return f"layer-{layer.removesuffix('.qcow2')}"


def layer_of(node: str) -> str:
    """The layer that QEMU knows by that name."""
    return f"{node.removeprefix('layer-')}.qcow2"


def _processors(machine: VirtualMachineModel) -> str:
    return f"{machine.vcpus},maxcpus={machine.max_vcpus}" if machine.max_vcpus else str(machine.vcpus)


def _disk(layer: str, machine: VirtualMachineModel) -> list[str]:
    file = {"driver": "file", "filename": f"layers/{layer}"}
    node = {"driver": "qcow2", "node-name": node_of(layer), "discard": "unmap", "file": file}
    queues = f",num-queues={machine.disk_queues}" if machine.disk_queues else ""
    device = f"virtio-blk-pci,id=disk0,drive={node_of(layer)},bootindex=1{queues}"
    return ["-blockdev", json.dumps(node), "-device", device]


def _boot(image: ImageManifest | None) -> list[str]:
    if image is None or image.kernel is None:
        return []
    initrd = ["-initrd", f"image/{image.initrd.name}"] if image.initrd else []
    return ["-kernel", f"image/{image.kernel.name}", *initrd, "-append", image.cmdline]


def _identity(vm_id: str) -> list[str]:
    try:
        return ["-uuid", str(uuid.UUID(vm_id))]
    except ValueError:
        return []
