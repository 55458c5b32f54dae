"""A VM's folder on its way to another host: what of it belongs to the VM, and what of another host's is believed."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path, PurePosixPath

from agent.drivers import moving
from agent.drivers.base import DriverFolders, Progress
from agent.drivers.capabilities.moving import Fetched
from agent.drivers.images import find
from agent.drivers.local import disks, images, records
from agent.drivers.local.folder import STATE, LocalVmFolder, LocalVmRecord, VirtualMachineModel
from agent.drivers.moving import damaged
from core.contract import diskformats
from core.contract.errors import CorralError, DriverFailure, Invalid
from core.contract.messages import VmSpec, decode
from core.contract.moves import MovedFile
from core.durable import sync_folder

_PARTS = ("image", "layers", "snapshots")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


def files(folder: LocalVmFolder, progress: Progress) -> list[MovedFile]:
    """All that a VM that is off consists of, its state last."""
    state = folder.state()
    if state.media:
        there = ", ".join(f"'{each.called}'" for each in state.media)
        raise DriverFailure(f"media are attached, which stay on their host: detach {there} first", code="invalid_state")
    records.remove_unused_layers(folder, state)
    names = [name for name in moving.below(folder.path) if PurePosixPath(name).parts[0] in _PARTS]
    return moving.listed(folder.path, [*names, STATE], progress)


def take_in(
    place: DriverFolders,
    folder: LocalVmFolder,
    vm: VmSpec,
    files: list[MovedFile],
    fetched: Fetched,
    progress: Progress,
) -> LocalVmRecord:
    """Makes the folder of what came, its state last, after which the VM is here."""
    (folder.path / STATE).unlink(missing_ok=True)
    shutil.rmtree(folder.path, ignore_errors=True)
    folder.path.mkdir(mode=0o700, parents=True)
    state = _state(vm, {file.name: file for file in files}, fetched)
    rest = [file for file in files if file.name != STATE]
    if strange := [
        file.name for file in rest if PurePosixPath(file.name).parts[:1] not in [(each,) for each in _PARTS]
    ]:
        raise damaged(f"'{strange[0][:80]}' is no file of a VM")
    own = _own_image(place, folder, vm, state)
    moving.put(folder.path, [file for file in rest if not (own and file.name.startswith("image/"))], fetched, progress)
    _check(folder, state)
    folder.write(state)
    sync_folder(place.vms)
    return state


def _state(vm: VmSpec, files: dict[str, MovedFile], fetched: Fetched) -> LocalVmRecord:
    """As it was sent, off, with nothing in it that is of its former host."""
    if STATE not in files:
        raise damaged("its state is missing")
    try:
        sent = decode(LocalVmRecord, fetched(files[STATE]).read_bytes())
    except Invalid as error:
        raise damaged(f"its state can't be read: {error.message}") from None
    off = {"should_run": False, "usable": False, "waits": False, "held": False, "frozen": False}
    return replace(sent, spec=vm, media=[], **off)  # type: ignore[arg-type]  # booleans all


def _own_image(place: DriverFolders, folder: LocalVmFolder, vm: VmSpec, state: LocalVmRecord) -> bool:
    """Whether this host has the image's files itself, which all its VMs share then."""
    if vm.image is None or state.image is None or not vm.image.digest:
        return False
    try:
        image = find(place, vm)
        if image is None or {each.sha256 for each in image.manifest.files} != {s.sha256 for s in state.image.files}:
            return False
        images.bring(image, folder.image, place.vms)
    except CorralError:  # it is not here, or not whole: it came with the VM
        shutil.rmtree(folder.image, ignore_errors=True)
        return False
    return True


def _check(folder: LocalVmFolder, state: LocalVmRecord) -> None:
    """That no layer leads out of the folder, and no machine is more than a machine."""
    found = [each for name in records.snapshot_ids(folder) if (each := records.read(folder, name)) is not None]
    for machine in [state.machine, *(each.machine for each in found)]:
        _check_machine(machine)
    tops = [state.disk, *(each.layer for each in found)]
    if not all(_WORD.fullmatch(name) for name in tops):
        raise damaged("a layer has no name of a layer")
    for file in folder.layers.iterdir():
        _check_layer(folder, file, state)
    for top in tops:
        disks.chain(folder, top)


def _check_machine(machine: VirtualMachineModel | None) -> None:
    words = [] if machine is None else [machine.type, machine.acceleration, machine.mac_address]
    if not all(_WORD.fullmatch(word) for word in words if word):
        raise damaged("its machine is none")


def _check_layer(folder: LocalVmFolder, layer: Path, state: LocalVmRecord) -> None:
    if layer.suffix == disks.RAW:
        return
    try:
        header = diskformats.qcow2(diskformats.head_of(layer))
    except Invalid as error:
        raise damaged(f"layer '{layer.name}': {error.message}") from None
    below = disks.below(folder, layer.name)
    image = disks.IMAGE_FOLDER + state.image.disk.name if state.image is not None else None
    leads_out = (
        below is not None and below != image and not (_WORD.fullmatch(below) and (folder.layers / below).is_file())
    )
    if header.has_data_elsewhere or leads_out:
        raise damaged(f"layer '{layer.name}' leads to another file")
