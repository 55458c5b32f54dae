"""The memory and devices of a VM, written to a folder and read back."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from agent.drivers.cloud_hypervisor import config
from agent.drivers.cloud_hypervisor.api import CloudHypervisorApi, CloudHypervisorError
from agent.drivers.cloud_hypervisor.program import Version
from agent.drivers.local import records
from agent.drivers.local.folder import LocalVmFolder, LocalVmRecord, VirtualMachineModel
from core.contract.errors import DriverFailure
from core.contract.messages import JSON

CONFIG = "config.json"
SAVING, RESUMING = "run/saving", "run/resuming"


def save(api: CloudHypervisorApi, folder: LocalVmFolder, home: Path) -> None:
    """Writes a paused machine to a folder below `home`."""
    saving = folder.path / SAVING
    shutil.rmtree(saving, ignore_errors=True)
    saving.mkdir(mode=0o700)
    if folder.user is not None:
        folder.user.own(saving, 0o700)
    # Where its user may not come by the whole path; it is in the VM's folder.
    api.put("vm.snapshot", {"destination_url": f"file://{SAVING}"})
    for path in saving.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    saving.replace(home / records.MEMORY)


def load(
    api: CloudHypervisorApi,
    folder: LocalVmFolder,
    state: LocalVmRecord,
    machine: VirtualMachineModel,
    version: Version,
    saved: Path,
    taps: Mapping[int, int],
) -> None:
    """Makes the machine in a process that has none, and leaves it paused: on the disk that the VM has now."""
    into = folder.path / RESUMING
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(mode=0o700)
    try:
        for path in saved.iterdir():
            if path.name != CONFIG:
                (into / path.name).hardlink_to(path)
        (into / CONFIG).write_text(json.dumps(_on_disk_of(saved, state, machine)))
        if folder.user is not None:
            folder.user.own(into, 0o700)
        folder.give(into / CONFIG)
        _restore(api, version, taps)
    finally:
        shutil.rmtree(into, ignore_errors=True)


def _restore(api: CloudHypervisorApi, version: Version, taps: Mapping[int, int]) -> None:
    slots = sorted(taps)
    body: JSON = {"source_url": f"file://{RESUMING}", "memory_restore_mode": version.restore_mode}
    if slots:
        body["net_fds"] = [{"id": config.net_name(slot), "num_fds": 1} for slot in slots]
    descriptors = [taps[slot] for slot in slots]
    if version.restore_mode != "Copy":
        with suppress(CloudHypervisorError):  # where the kernel or its settings do not let it
            api.put("vm.restore", body, descriptors)
            return
    api.put("vm.restore", {**body, "memory_restore_mode": "Copy"}, descriptors)


def _on_disk_of(saved: Path, state: LocalVmRecord, machine: VirtualMachineModel) -> JSON:
    try:
        found: JSON = json.loads((saved / CONFIG).read_text())
        own = next(each for each in found["disks"] if each["id"] == config.DISK)
    except (OSError, ValueError, LookupError, TypeError, StopIteration):
        raise DriverFailure("the saved memory's configuration is damaged", code="snapshot_damaged") from None
    own.update(config.own_disk(state, machine))
    return found
