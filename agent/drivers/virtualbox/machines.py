"""VMs of VirtualBox: created completely, and removed with everything that they have."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from agent.drivers.base import DriverFolders, Progress
from agent.drivers.images import find
from agent.drivers.limits import Left
from agent.drivers.virtualbox import adapters, disks
from agent.drivers.virtualbox.folder import GROUP, RECORD, VirtualBoxVmFolder, VirtualBoxVmRecord
from agent.drivers.virtualbox.vboxmanage import NOT_FOUND, VBoxManage, VBoxManageError
from agent.system import folders
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec
from core.durable import sync_folder

OS_TYPES = {"linux": "Linux_64", "windows": "WindowsNT_64"}
_OS_TYPE = re.compile(r"[A-Za-z0-9_]{1,64}")
_SERIAL = ("0x3F8", "4")  # COM1, which is ttyS0


def create(
    manage: VBoxManage,
    place: DriverFolders,
    folder: VirtualBoxVmFolder,
    vm: VmSpec,
    progress: Progress,
    left: Left,
) -> None:
    """Everything, from nothing or from the remains of an earlier try; our record comes last."""
    progress("making the machine", None)
    find(place, vm)
    options = _options(manage, folder, vm, place.network.joinable)
    remove(manage, folder, manage.info(folder.uuid), left)
    folder.path.mkdir(mode=0o700, parents=True)
    _register(manage, folder, vm)
    manage.change(folder.uuid, "modifyvm", *options, timeout=left())
    disks.add_controllers(manage, folder.uuid, vm)
    progress("making the disk", None)
    image = disks.make_own(manage, place, folder, vm, left)
    folder.write(VirtualBoxVmRecord(vm, image))
    sync_folder(folder.path.parent)


def remove(manage: VBoxManage, folder: VirtualBoxVmFolder, info: Mapping[str, str] | None, left: Left) -> None:
    """A machine that is off, or what there is of one, and its folder: our record first, so that half a VM is none.

    Media that are not the VM's own are detached before, since VirtualBox would delete them too.
    """
    (folder.path / RECORD).unlink(missing_ok=True)
    if info is not None:
        for place in disks.places(info):
            if place.medium and folder.path not in Path(place.medium).parents:
                disks.fasten(manage, folder.uuid, place, disks.kind_of(info, place), "none")
        _unregister(manage, folder, left)
    if folder.disk.exists():  # of a machine that was not made far enough to have it
        disks.forget(manage, folder.disk)
    if sys.platform != "win32" and folder.console.parent != folder.path:
        folder.console.unlink(missing_ok=True)
    folders.remove(folder.path)
    manage.forget(folder.uuid)


def _register(manage: VBoxManage, folder: VirtualBoxVmFolder, vm: VmSpec) -> None:
    os_type = vm.hardware.os_type or OS_TYPES.get(vm.os_type, "Other_64")
    if not _OS_TYPE.fullmatch(os_type):
        raise _unknown(os_type)
    where = ["--basefolder", str(folder.path), "--groups", GROUP]
    try:
        manage.run("createvm", "--name", vm.id, "--uuid", folder.uuid, "--ostype", os_type, *where, "--register")
    except VBoxManageError:
        if not re.search(rf"^ID\b.*:\s+{os_type}\b", manage.run("list", "ostypes"), re.MULTILINE):
            raise _unknown(os_type) from None
        raise


def _options(manage: VBoxManage, folder: VirtualBoxVmFolder, vm: VmSpec, joinable: Collection[str]) -> list[str]:
    """All that `modifyvm` is to make of a new machine; checked before anything is made."""
    return [
        *["--description", f"Corral's VM {vm.name!a}; change it by Corral's API"],
        *["--cpus", str(vm.vcpus), "--memory", str(vm.memory_mb), "--ioapic", "on", "--rtc-use-utc", "on"],
        *["--boot1", "disk", "--boot2", "dvd", "--boot3", "none", "--boot4", "none"],
        *["--graphicscontroller", "vmsvga", "--vram", "16", "--audio-driver", "none", "--usb-ehci", "off"],
        *["--uart1", *_SERIAL, "--uart-mode1", "server", str(folder.console)],
        *[option for adapter in adapters.wanted(vm) for option in adapters.options(manage, adapter, joinable)],
    ]


def _unregister(manage: VBoxManage, folder: VirtualBoxVmFolder, left: Left) -> None:
    """Where its settings or disks can't be read it goes without them, unless it has gone; its folder is next."""
    try:
        try:
            manage.unlocked("unregistervm", folder.uuid, "--delete", timeout=left())
        except VBoxManageError:
            manage.unlocked("unregistervm", folder.uuid, timeout=left())
    except VBoxManageError as refused:
        if refused.reason != NOT_FOUND:
            raise


def _unknown(os_type: str) -> DriverFailure:
    return DriverFailure(
        f"OS type '{os_type}' is unknown to VirtualBox on this host: `VBoxManage list ostypes` lists the known ones",
        code="invalid_request",
    )
